"""Real pipelines of videos: every frame comes one after the other, the stored ones with their float output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness.adapters import _pipelines
from harness.adapters import diffusers as adapter
from harness.backends import cpu
from harness.contracts import Request
from harness.errors import RunError
from harness.records import DrawnFrom, ModelRef, NoiseMode, SwitchMode
from harness.run.worker.draws import watched_draws
from harness.run.worker.recorder import Recorder
from tests.command_line import job_folder, read_json

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from tests.adapters.tiny_pipelines import VIDEO_PIPELINES, saved_video  # noqa: E402 - it imports torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.adapters.diffusers import Diffusers
    from harness.contracts import Picture
    from harness.run.worker.draws import DrawLog
    from tests.command_line import MadeOnce, RunHarness, WriteScenario

# diffusers' own schedulers hand tensors to numpy in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DEVICE = cpu.open(0, SwitchMode.AS_SHIPPED)
COUNT = 9
KEPT = (1, 4, 9)
ARGUMENTS: dict[str, dict[str, Any]] = {
    "ltx": {},
    "cogvideox": {"max_sequence_length": 16},
    "wan": {},
    "hunyuan-video": {"prompt_template": {"template": "{}", "crop_start": 0}, "max_sequence_length": 16},
}


@pytest.fixture
def folder_of(made_once: MadeOnce) -> Callable[[str], Path]:
    """Folder of a small random pipeline of videos."""
    return lambda name: made_once(f"videos of {name}", lambda place: saved_video(name, place / "model")) / "model"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def loaded(folder: Path) -> Diffusers:
    return adapter.load(folder, ModelRef(adapter="diffusers", source=str(folder), dtype="float32"), DEVICE)


def request(name: str, **changes: Any) -> Request:
    wanted: dict[str, Any] = {
        "prompt": "a cup",
        "negative_prompt": None,
        "input_image": None,
        "width": 64,
        "height": 64,
    }
    wanted |= {"steps": 2, "guidance_scale": 3.0, "seed": 42, "frames": COUNT, "kept_frames": KEPT}
    return Request(**{**wanted, "arguments": ARGUMENTS[name], **changes})


def make(pipeline: Diffusers, wanted: Request) -> tuple[list[Picture], Recorder, DrawLog]:
    recorder = Recorder(DEVICE, lambda _: None)
    DEVICE.seed(wanted.seed)
    with watched_draws(NoiseMode.PORTABLE, wanted.seed, DEVICE) as draws:
        recorder.given = draws.give
        frames = pipeline.generate_frames(wanted, recorder)
    return list(frames), recorder, draws


@pytest.mark.parametrize("name", VIDEO_PIPELINES)
def test_every_frame_is_given_and_the_stored_ones_have_a_float_output(
    name: str, folder_of: Callable[[str], Path]
) -> None:
    pipeline = loaded(folder_of(name))
    wanted = request(name)
    pipeline.check_request(wanted)
    frames, recorder, draws = make(pipeline, wanted)
    again, _, _ = make(pipeline, wanted)
    assert len(frames) == COUNT
    assert len({frame.image.tobytes() for frame in frames}) == COUNT
    assert [frame.image.tobytes() for frame in frames] == [frame.image.tobytes() for frame in again]
    assert tuple(number for number, frame in enumerate(frames, 1) if frame.float_image is not None) == KEPT
    for number in KEPT:
        floats = frames[number - 1].float_image
        assert floats is not None
        levels = np.round((floats * 0.5 + 0.5).clip(0, 1) * 255).astype(np.uint8)
        assert np.array_equal(levels, frames[number - 1].image), "the float output is that of this frame"
        assert len(np.unique(levels)) > 16, "a flat frame would prove nothing"
    assert (len(recorder.per_step()), draws.hidden, recorder.ignored) == (2, [], [])
    assert {draw.drawn_from for draw in draws.draws} == {DrawnFrom.GIVEN}
    assert {"text_encoding", "denoising", "vae_decode"} <= set(recorder.seconds)
    masked = {"text_encoding/real_rows", "text_encoding/padded_rows"}
    of_masks = {"wan", "hunyuan-video"}  # these give their encoders a mask
    assert set(recorder.traces()) == (masked if name in of_masks else set())
    other, _, _ = make(pipeline, request(name, seed=7))
    assert other[0].image.tobytes() != frames[0].image.tobytes()


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_values_that_are_no_numbers_are_found_in_frames_that_are_not_stored(folder_of: Callable[[str], Path]) -> None:
    pipeline = loaded(folder_of("ltx"))
    vae = pipeline.modules["vae"]
    own = vae.decode

    def broken(*words: Any, **options: Any) -> Any:
        (frames,) = own(*words, **options)
        frames[0, 0, 6, 3, 3] = float("nan")
        return (frames,)

    vae.decode = broken
    frames, recorder, _ = make(pipeline, request("ltx"))
    found = recorder.not_finite()
    assert found is not None
    assert (found.place, found.broken) == ("the output of vae", 1)
    assert all(np.isfinite(frame.float_image).all() for frame in frames if frame.float_image is not None)


@pytest.mark.nightly  # tests/test_host.py has what the harness does about it
def test_wan_changes_a_prompt_by_ftfy_where_it_is_installed(
    folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ftfy")
    pipeline = loaded(folder_of("wan"))

    def first_frame(prompt: str) -> bytes:
        return make(pipeline, request("wan", prompt=prompt))[0][0].image.tobytes()

    usual, full_width = "a cup", "\uff41 cup"
    assert first_frame(full_width) == first_frame(usual)
    monkeypatch.setattr("diffusers.pipelines.wan.pipeline_wan.is_ftfy_available", lambda: False)
    assert first_frame(full_width) != first_frame(usual)


def test_what_is_no_single_video_is_refused() -> None:
    class Made:
        frames: tuple[list[Any], ...] = ([], [])

    with pytest.raises(RunError, match=r"with .*2 videos; expected one video"):
        _pipelines.frames(Made(), [], [])


@pytest.mark.slow
@pytest.mark.nightly  # in each landing tests/test_videos.py goes through workers
def test_a_video_in_bfloat16_is_compared_with_float32(
    folder_of: Callable[[str], Path], run_harness: RunHarness, write_scenario: WriteScenario, tmp_path: Path
) -> None:
    once = {"in_process": 1, "processes": 1}
    arms = [
        {"name": "bfloat16", "device": "cpu", "dtype": "bfloat16"},
        {"name": "float32", "device": "cpu", "role": "reference", "dtype": "float32", "repeats": once},
    ]
    limits = [
        {"metric": "psnr_db", "scope": "reference", "at_least": 20, "reason": "Only for this test."},
        {
            "metric": "relative_l2",
            "subject": "latents",
            "scope": "reference",
            "at_most": 0.5,
            "reason": "For the test.",
        },
    ]
    model = {"adapter": "diffusers", "source": str(folder_of("ltx")), "trust_remote_code": False}
    question = {"model": model, "arms": arms, "limits": limits, "frames": {"count": COUNT, "keep": [1, 2, 9]}}
    ended = run_harness("check", write_scenario(**question))
    assert ended.code == 0, ended.err
    job = job_folder(tmp_path / "runs")
    found = read_json(job / "comparison-reference-bfloat16-against-float32.json")
    assert [pair["key"].get("frame") for pair in found["pairs"]] == [1, 2, 9, None]
    video = found["pairs"][-1]["video"]
    assert video["differing"] == list(range(1, COUNT + 1))
    assert [step["frame"] for step in video["flicker"]] == [2]
    assert 0 < video["flicker"][0]["rms"] < 20
    assert found["pairs"][-1]["first_differing_step"] == 1
    repeats = read_json(job / "comparison-repeat-bfloat16.json")["repetitions"]
    assert {len(each["outcomes"]) for each in repeats} == {1}
