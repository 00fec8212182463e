"""What a recorder tells about one call: times by stage, and digest and sketch of the latents after every step."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness.backends import cpu
from harness.records import MemoryUse, Step, SwitchMode, from_json, to_json
from harness.run.worker.recorder import PROJECTIONS, Recorder

torch = pytest.importorskip("torch")

if TYPE_CHECKING:
    from pathlib import Path

LENGTHS = ["norm", "mean", "smallest", "largest"]


def recorder(on_step: Any = lambda _: None) -> Recorder:
    return Recorder(cpu.open(0, SwitchMode.AS_SHIPPED), on_step)


def step_of(latents: Any) -> Step:
    listening = recorder()
    listening.step(latents)
    (step,) = listening.per_step()
    return step


def latents(*, seed: int = 0, dtype: Any = torch.float32) -> Any:
    return torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed)).to(dtype)


# --- stages ----------------------------------------------------------------------------------------------------------


def test_the_times_of_a_stage_add_up() -> None:
    listening = recorder()
    for _ in range(3):
        with listening.stage("encoding"):
            time.sleep(0.01)
    assert listening.seconds["encoding"] >= 0.03


def test_stages_nest_and_the_outer_one_holds_the_inner_one() -> None:
    listening = recorder()
    with listening.stage("total"):
        with listening.stage("denoising"):
            time.sleep(0.01)
        time.sleep(0.01)
    assert listening.seconds["denoising"] >= 0.01
    assert listening.seconds["total"] >= listening.seconds["denoising"] + 0.01


def test_a_stage_that_fails_is_timed_and_its_error_passes() -> None:
    listening = recorder()
    with pytest.raises(KeyError), listening.stage("decoding"):
        raise KeyError
    assert listening.seconds["decoding"] >= 0


def test_queued_work_of_the_device_belongs_to_the_stage_that_queued_it(monkeypatch: pytest.MonkeyPatch) -> None:
    device = cpu.open(0, SwitchMode.AS_SHIPPED)
    waits = iter([0.0, 0.02])
    monkeypatch.setattr(device, "synchronize", lambda: time.sleep(next(waits)))
    listening = Recorder(device, lambda _: None)
    with listening.stage("denoising"):
        pass
    assert listening.seconds["denoising"] >= 0.02, "the wait at the end counts"


def test_the_memory_of_the_device_is_read_at_the_end_of_a_stage() -> None:
    listening = recorder()
    with listening.stage("quiet"):
        pass
    with listening.stage("greedy"):
        block = np.ones(32 * 2**20, np.uint8)
    assert listening.memory["greedy"].allocated_bytes - listening.memory["quiet"].allocated_bytes > block.nbytes // 2


class OnePeak:
    """A device that keeps one peak, as accelerators do: bytes are taken and given back by the test."""

    def __init__(self) -> None:
        self.bytes = self.peak = 0

    def take(self, count: int) -> None:
        self.bytes += count
        self.peak = max(self.peak, self.bytes)

    def synchronize(self) -> None:
        """Nothing is queued."""

    def memory(self, modules: dict[str, Any]) -> dict[str, MemoryUse]:
        del modules
        return {"device": MemoryUse(allocated_bytes=self.bytes, peak_bytes=self.peak)}

    def reset_peak_memory(self) -> None:
        self.peak = self.bytes


def test_each_stage_has_a_peak_of_its_own_and_the_outer_one_the_largest() -> None:
    device: Any = OnePeak()
    device.take(100)
    device.take(900)
    device.take(-900)  # a peak from before the call belongs to no stage
    listening = Recorder(device, lambda _: None)
    with listening.stage("total"):
        with listening.stage("encoding"):
            device.take(50)
            device.take(-50)
        device.take(300)
        device.take(-300)
        for _ in range(2):
            with listening.stage("denoising"):
                device.take(20)
    peaks = {name: use.peak_bytes for name, use in listening.memory.items()}
    assert peaks == {"encoding": 150, "denoising": 140, "total": 400}
    assert {name: use.allocated_bytes for name, use in listening.memory.items()} == {
        "encoding": 100,
        "denoising": 140,
        "total": 140,
    }


# --- rows ------------------------------------------------------------------------------------------------------------


def rows(*, spoil: slice = slice(0), dtype: Any = torch.float32) -> dict[str, list[Step]]:
    """Traces of [2, 5, 3] values whose first text has two padded rows; the rows of ``spoil`` are changed in it."""
    values = torch.arange(30, dtype=torch.float32).reshape(2, 5, 3).to(dtype)
    values[0, spoil] += 1
    real = torch.ones(2, 5, dtype=torch.int64)
    real[0, :2] = 0
    listening = recorder()
    listening.rows("text_encoding", values, real)
    values.zero_()
    return listening.traces()


def test_real_and_padded_rows_are_traced_apart_as_they_were_at_the_call() -> None:
    traces = rows()
    assert sorted(traces) == ["text_encoding/padded_rows", "text_encoding/real_rows"]
    (padded,), (real,) = (traces[name] for name in sorted(traces))
    assert (padded.shape, real.shape) == ([2, 3], [8, 3])
    assert padded.sketch[:4] == pytest.approx([np.sqrt(55), 2.5, 0, 5])
    assert real.sketch[2:4] == [6, 29]


@pytest.mark.parametrize(
    ("spoil", "changed"), [(slice(0, 2), "text_encoding/padded_rows"), (slice(2, 5), "text_encoding/real_rows")]
)
def test_a_change_in_one_kind_of_rows_shows_in_that_kind_only(spoil: slice, changed: str) -> None:
    before, after = rows(dtype=torch.bfloat16), rows(spoil=spoil, dtype=torch.bfloat16)
    assert [name for name in before if before[name] != after[name]] == [changed]


def test_a_text_without_padding_has_no_padded_rows() -> None:
    listening = recorder()
    for _ in range(2):
        listening.rows("text_encoding", torch.ones(1, 4, 2), torch.ones(1, 4, dtype=torch.bool))
    assert {name: len(steps) for name, steps in listening.traces().items()} == {"text_encoding/real_rows": 2}


def test_steps_are_told_by_number_from_one() -> None:
    told: list[int] = []
    listening = recorder(told.append)
    for seed in range(3):
        listening.step(latents(seed=seed))
    assert told == [1, 2, 3]
    assert len(listening.per_step()) == 3


# --- digests ---------------------------------------------------------------------------------------------------------


def test_equal_latents_have_equal_steps() -> None:
    assert step_of(latents()) == step_of(latents())


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("place", [0, 100, 255])
def test_one_bit_changes_the_digest(name: str, place: int) -> None:
    flipped = latents(dtype=getattr(torch, name))
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[flipped.element_size()]
    flipped.view(bits).view(-1)[place] ^= 1
    assert step_of(flipped).digest != step_of(latents(dtype=getattr(torch, name))).digest


def test_the_sign_of_a_zero_changes_the_digest() -> None:
    assert step_of(torch.zeros(4)).digest != step_of(-torch.zeros(4)).digest


def test_the_type_changes_the_digest_even_where_the_values_are_equal() -> None:
    exact = torch.tensor([0.5, 1.0, -2.0, 0.0])
    types = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
    assert len({step_of(exact.to(dtype)).digest for dtype in types}) == len(types)
    same_bytes = [torch.zeros(4, dtype=dtype) for dtype in (torch.float16, torch.bfloat16)]
    assert step_of(same_bytes[0]).digest != step_of(same_bytes[1]).digest


def test_the_shape_changes_the_digest() -> None:
    shapes = [(256,), (1, 256), (2, 128), (1, 4, 8, 8)]
    assert len({step_of(latents().reshape(shape)).digest for shape in shapes}) == len(shapes)


def test_the_layout_in_memory_does_not_change_the_digest() -> None:
    turned = latents().to(memory_format=torch.channels_last)
    assert turned.stride() != latents().stride()
    assert step_of(turned) == step_of(latents())


def test_a_single_value_has_a_step() -> None:
    assert step_of(torch.tensor(2.0)).sketch[:4] == [2, 2, 2, 2]


# --- sketches --------------------------------------------------------------------------------------------------------


def test_a_sketch_holds_norm_mean_smallest_and_largest_value_and_the_documented_projections() -> None:
    values = latents().numpy().astype(np.float64).reshape(-1)
    sketch = step_of(latents()).sketch
    assert len(sketch) == len(LENGTHS) + PROJECTIONS == 20
    assert sketch[:2] == pytest.approx([np.sqrt(np.sum(values**2)), np.mean(values)], rel=1e-5, abs=1e-7)
    assert sketch[2:4] == [values.min(), values.max()]
    bits = np.random.Philox(key=np.zeros(2, np.uint64)).random_raw(PROJECTIONS * values.size)
    signs = np.where(bits >= 2**63, 1.0, -1.0).reshape(PROJECTIONS, values.size)
    assert sketch[4:] == pytest.approx(signs @ values / np.sqrt(values.size), rel=1e-4, abs=1e-5)


def test_the_projections_tell_apart_what_norm_mean_and_range_do_not() -> None:
    values = latents()
    turned = values.flip(-1)
    assert step_of(turned).sketch[:4] == pytest.approx(step_of(values).sketch[:4], rel=1e-5, abs=1e-7)
    apart = np.subtract(step_of(turned).sketch[4:], step_of(values).sketch[4:])
    assert np.abs(apart).max() > 0.1


@pytest.mark.parametrize("values", [["nan"], ["inf"], ["-inf"], ["inf", "-inf"], ["3e38"] * 256])
def test_latents_that_are_not_finite_or_too_large_are_told_and_raise_nothing(values: list[str], tmp_path: Path) -> None:
    broken = latents()
    broken.view(-1)[: len(values)] = torch.tensor([float(value) for value in values])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step = step_of(broken)
    assert not np.isfinite(step.sketch[0])
    assert not np.isfinite(step.sketch).all()
    read = from_json(Step, to_json(step), place=tmp_path)
    assert np.array_equal(read.sketch, step.sketch, equal_nan=True)


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_later_changes_in_place_do_not_reach_what_was_kept() -> None:
    listening = recorder()
    working = latents()
    for _ in range(3):
        listening.step(working)
        working.mul_(0.5)
    expected = [step_of(latents()), step_of(latents() * 0.5), step_of(latents() * 0.25)]
    assert listening.per_step() == expected
    kept = listening.last_latents()
    assert kept is not None
    assert np.array_equal(kept[0], (latents() * 0.25).numpy())


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32"])
def test_the_last_latents_are_an_exact_upcast_and_say_what_they_were_computed_in(name: str) -> None:
    dtype = getattr(torch, name)
    listening = recorder()
    listening.step(latents(seed=1, dtype=dtype))
    listening.step(latents(seed=2, dtype=dtype))
    kept = listening.last_latents()
    assert kept is not None
    array, computed_in = kept
    assert (str(array.dtype), array.shape, computed_in) == ("float32", (1, 4, 8, 8), name)
    assert torch.equal(torch.from_numpy(array).to(dtype), latents(seed=2, dtype=dtype))


def test_a_gradient_does_not_hinder_the_recording() -> None:
    assert step_of(latents().requires_grad_()) == step_of(latents())


def test_without_a_step_there_are_no_latents() -> None:
    assert recorder().last_latents() is None
    assert recorder().per_step() == []


# --- values that are no numbers ---------------------------------------------------------------------------------------


def test_finite_values_are_nothing_to_tell() -> None:
    listening = recorder()
    listening.step(latents())
    listening.decoded("vae", latents(dtype=torch.bfloat16))
    assert listening.not_finite() is None


def test_the_first_step_with_values_that_are_no_numbers_is_named() -> None:
    listening = recorder()
    listening.step(latents())
    for count in (3, 200):
        spoilt = latents()
        spoilt.reshape(-1)[:count] = float("nan")
        listening.step(spoilt)
    found = listening.not_finite()
    assert found == ("the latents after step 2", 3, 256)


class Frames:
    """What a decoder of frames returns: an object that holds a tensor of five dimensions."""

    def __init__(self, sample: Any) -> None:
        self.sample = sample


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda tensor: tensor,
        lambda tensor: (tensor,),
        lambda tensor: [latents(), {"sample": tensor}],
        Frames,
    ],
    ids=["tensor", "tuple", "list of mappings", "object"],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_decoder_s_output_is_looked_through_whatever_its_form(wrapped: Any, value: float) -> None:
    frames = torch.zeros(1, 3, 2, 4, 4, dtype=torch.float16)
    frames[0, 1, 1, 2, 2] = value
    listening = recorder()
    listening.step(latents())
    listening.decoded("vae", wrapped(torch.zeros(1, 3, 2, 4, 4)))
    assert listening.not_finite() is None
    listening.decoded("vae", wrapped(frames))
    assert listening.not_finite() == ("the output of vae", 1, 96)


def test_whole_numbers_and_words_in_an_output_are_passed_over() -> None:
    listening = recorder()
    listening.decoded("vae", {"mask": torch.ones(3, dtype=torch.int64), "name": "frames", "nothing": None})
    assert listening.not_finite() is None
