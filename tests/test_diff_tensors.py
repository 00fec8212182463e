"""``harness diff`` of two files of tensors: every number, and every way in which one must not pass for equal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from harness.compare.tensors import SPECS, compare_tensors
from harness.errors import TensorError
from harness.records import Limit, Scope, Status, TensorDiff
from harness.tensor_files import numbers, tensors_of
from tests.command_line import environment, patience_seconds

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.command_line import RunHarness

RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(size=(64, 33)).astype(np.float32)


def limit(metric: str = "max_abs_diff", most: float = 1e9) -> Limit:
    return Limit(metric=metric, scope=Scope.REFERENCE, at_most=most, reason="Only for this test.")


def compared(folder: Path, actual: dict[str, Any], expected: dict[str, Any], *limits: Limit) -> TensorDiff:
    """Two files of safetensors with these arrays, compared."""
    sides = []
    for name, arrays in (("actual", actual), ("expected", expected)):
        save_file(arrays, folder / f"{name}.safetensors")
        sides.append(tensors_of(folder / f"{name}.safetensors"))
    return compare_tensors(("a", "e"), sides[0], sides[1], limits)


# --- the numbers -----------------------------------------------------------------------------------------------------


def by_formula(actual: NDArray[Any], expected: NDArray[Any]) -> dict[str, float]:
    """Every metric as its words say it."""
    a, e = actual.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
    errors = np.abs(a - e) / np.maximum(np.abs(e), 2.0**-14)
    return {
        "max_abs_diff": np.abs(a - e).max(),
        "mean_abs_diff": np.abs(a - e).mean(),
        "relative_l2": np.linalg.norm(a - e) / np.linalg.norm(e),
        "max_relative_error": errors.max(),
        "mean_relative_error": errors.mean(),
        "share_over_1_percent": (errors > 0.01).mean(),
        "cosine_distance": 1 - a @ e / np.linalg.norm(a) / np.linalg.norm(e),
    }


@pytest.mark.parametrize("block", [7, 2**20])
def test_each_tensor_and_all_together_get_the_numbers_of_the_formulas(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.tensor_files.BLOCK", block)
    others = {"a": WEIGHTS + 0.02 * WEIGHTS[::-1], "b": WEIGHTS[:5] * np.float32(1.5)}
    expected = {"a": WEIGHTS, "b": WEIGHTS[:5]}
    found = compared(tmp_path, others, expected)
    rows = {pair.name: pair.measurements for pair in found.pairs} | {"whole": found.whole}
    row = [np.concatenate([side[name].ravel() for name in "ab"]) for side in (others, expected)]
    for name, (left, right) in {"a": (others["a"], WEIGHTS), "b": (others["b"], WEIGHTS[:5]), "whole": row}.items():
        assert {one.metric: one.value for one in rows[name]} == pytest.approx(
            by_formula(left, right), rel=1e-9, abs=1e-15
        )
        assert {one.metric: one.spec for one in rows[name]} == SPECS


def test_the_cosine_keeps_its_digits_where_two_tensors_are_nearly_equal(tmp_path: Path) -> None:
    expected = np.zeros(1000)
    expected[0] = 1.0
    actual = expected.copy()
    actual[1] = 1e-9
    (pair,) = compared(tmp_path, {"x": actual}, {"x": expected}).pairs
    value = next(one.value for one in pair.measurements if one.metric == "cosine_distance")
    assert value == pytest.approx(0.5e-18, rel=1e-6), "1 minus the cosine would be 0"


def test_whole_numbers_of_64_bits_are_told_apart(tmp_path: Path) -> None:
    expected = np.array([2**60, -(2**63), 5])
    (pair,) = compared(tmp_path, {"x": expected + np.array([1, 2**62, 0])}, {"x": expected}).pairs
    assert pair.measurements[0].value == 2.0**62
    assert pair.differing == 2


def test_types_that_numpy_lacks_are_widened_exactly() -> None:
    torch = pytest.importorskip("torch")
    for kind, bits in (("bfloat16", 16), ("float8_e4m3fn", 8), ("float8_e5m2", 8)):
        every = np.arange(2**bits, dtype=np.uint16 if bits == 16 else np.uint8)
        by_torch = torch.from_numpy(every.copy()).view(getattr(torch, kind)).double().numpy()
        assert np.array_equal(numbers(every, kind), by_torch, equal_nan=True), kind


# --- what must not pass for equal ------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[Any, Any, str]] = {
    "missing": ({"x": WEIGHTS}, {"x": WEIGHTS, "y": WEIGHTS}, "the actual file has no such tensor"),
    "unexpected": ({"x": WEIGHTS, "y": WEIGHTS}, {"x": WEIGHTS}, "the expected file has no such tensor"),
    "another shape": ({"y": WEIGHTS}, {"y": WEIGHTS.T.copy()}, "the shapes differ: actual [64, 33], expected [33, 64]"),
    "NaN on one side": (
        {"y": np.where(WEIGHTS > 2, np.nan, WEIGHTS)},
        {"y": WEIGHTS},
        "NaN or infinite values stand at different places",
    ),
    "infinity of another sign": (
        {"y": np.array([np.inf, 1.0, 2.0])},
        {"y": np.array([-np.inf, 1.0, 2.0])},
        "NaN or infinite values stand at different places",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_compared_is_an_error_even_without_a_limit(fault: str, tmp_path: Path) -> None:
    actual, expected, words = FAULTS[fault]
    found = compared(tmp_path, actual, expected)
    assert found.outcome is Status.ERROR
    assert [str(pair.problem) for pair in found.pairs if pair.problem] == [words]


NOTHING = {
    "zeros": np.zeros((4, 4), np.float32),
    "one value": np.full(9, 0.5, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "NaN": np.full(5, np.nan, np.float32),
}


@pytest.mark.parametrize("kind", NOTHING)
def test_equal_tensors_that_show_nothing_are_never_identical(kind: str, tmp_path: Path) -> None:
    array = NOTHING[kind]
    alone = compared(tmp_path, {"x": array}, {"x": array})
    assert alone.pairs[0].identical
    assert alone.pairs[0].blank
    assert (alone.outcome, compared(tmp_path, {"x": array}, {"x": array}, limit()).outcome) == (
        Status.SKIPPED,
        Status.ERROR,
    )
    beside = compared(tmp_path, {"x": array, "y": WEIGHTS}, {"x": array, "y": WEIGHTS}, limit())
    assert beside.outcome is (Status.ERROR if kind == "NaN" else Status.IDENTICAL)
    assert "1 with a side that shows nothing" in beside.message


def test_a_tensor_that_became_constant_breaks_every_limit(tmp_path: Path) -> None:
    flat, single = np.zeros_like(WEIGHTS), np.ones(1, np.float32)
    assert compared(tmp_path, {"x": flat}, {"x": WEIGHTS}, limit()).outcome is Status.ERROR
    assert compared(tmp_path, {"x": WEIGHTS}, {"x": WEIGHTS}, limit()).outcome is Status.IDENTICAL
    assert compared(tmp_path, {"x": single}, {"x": single}, limit()).outcome is Status.IDENTICAL, "one number"


def test_another_type_is_measured_and_is_not_identical(tmp_path: Path) -> None:
    half = WEIGHTS.astype(np.float16)
    found = compared(tmp_path, {"x": half}, {"x": half.astype(np.float32)}, limit(most=0))
    assert (found.outcome, found.pairs[0].identical) == (Status.WITHIN_LIMITS, False)
    assert "1 differ in type" in found.message


def test_a_limit_judges_every_tensor(tmp_path: Path) -> None:
    others = {"a": WEIGHTS, "b": WEIGHTS + np.float32(0.5)}
    expected = {"a": WEIGHTS, "b": WEIGHTS}
    within, broken = (compared(tmp_path, others, expected, limit(most=most)) for most in (0.6, 0.4))
    assert (within.outcome, broken.outcome) == (Status.WITHIN_LIMITS, Status.DRIFT)
    assert [pair.outcome for pair in broken.pairs] == [Status.IDENTICAL, Status.DRIFT]
    assert compared(tmp_path, others, expected).outcome is Status.SKIPPED
    zero = {"x": np.array([0.0, 0.0, 1e-30])}
    unknown = compared(tmp_path, {"x": np.array([0.0, 0.0, 1e200])}, zero, limit("relative_l2"))
    assert unknown.outcome is Status.ERROR
    assert "beyond the range of float64" in unknown.pairs[0].verdicts[0].message


def test_negative_zero_is_equal_as_a_number_and_not_in_bytes(tmp_path: Path) -> None:
    found = compared(tmp_path, {"x": np.array([-0.0, 1.0])}, {"x": np.array([0.0, 1.0])})
    assert (found.pairs[0].identical, found.pairs[0].differing) == (False, 0)


# --- files -----------------------------------------------------------------------------------------------------------


def test_every_kind_of_file_gives_the_same_tensors(tmp_path: Path) -> None:
    np.save(tmp_path / "plain.npy", WEIGHTS)
    np.save(tmp_path / "columns.npy", np.asfortranarray(WEIGHTS))
    np.save(tmp_path / "big.npy", WEIGHTS.astype(">f4"))
    np.savez_compressed(tmp_path / "several.npz", array=WEIGHTS)
    save_file({"array": WEIGHTS}, tmp_path / "some.safetensors")
    for path in sorted(tmp_path.iterdir()):
        tensor = tensors_of(path)["array"]
        assert (tensor.type, tensor.shape) == ("float32", (64, 33)), path.name
        assert b"".join(block.tobytes() for block in tensor.blocks()) == WEIGHTS.tobytes(), path.name


def test_a_damaged_file_and_one_with_objects_are_refused(tmp_path: Path) -> None:
    save_file({"x": WEIGHTS}, tmp_path / "cut.safetensors")
    whole = (tmp_path / "cut.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-4])
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    (tmp_path / "text.npz").write_text("no archive", encoding="utf-8")
    for name in ("cut.safetensors", "objects.npy", "text.npz"):
        with pytest.raises(TensorError, match="cannot be read as"):
            tensors_of(tmp_path / name)
    (tmp_path / "cut.safetensors").write_bytes(whole)
    assert list(tensors_of(tmp_path / "cut.safetensors")) == ["x"]


MEASURE_MEMORY = """
import sys
from pathlib import Path
from harness.compare.tensors import compare_tensors
from harness import tensor_files
from harness.tensor_files import tensors_of
tensor_files.BLOCK = 2**18
path = Path(sys.argv[1])
held = [list(tensors_of(path)["array"].blocks())] if sys.argv[2] == "hold" else []
copies = [[block.copy() for block in blocks] for blocks in held]
compare_tensors(("a", "e"), tensors_of(path), tensors_of(path), [])
anonymous = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
print(int(anonymous[0].split()[1]))
"""


@pytest.mark.parametrize(("way", "bounded"), [("stream", True), ("hold", False)])
def test_memory_does_not_grow_with_the_size_of_a_tensor(way: str, bounded: bool, tmp_path: Path) -> None:  # noqa: FBT001
    path = tmp_path / "large.npy"
    large = np.lib.format.open_memmap(path, "w+", np.float32, (40 * 2**20,))
    large[:1000] = 1
    del large
    words = [sys.executable, "-c", MEASURE_MEMORY, str(path), way]
    done = subprocess.run(
        words, env=environment(), capture_output=True, text=True, check=True, timeout=patience_seconds()
    )
    assert (int(done.stdout) < 130 * 1024) is bounded, done.stdout


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_shows_judges_and_tells(run_harness: RunHarness, tmp_path: Path) -> None:
    save_file({"w": WEIGHTS, "bias": np.zeros(4, np.float32)}, tmp_path / "e.safetensors")
    save_file({"w": WEIGHTS + np.float32(0.01), "bias": np.zeros(4, np.float32)}, tmp_path / "a.safetensors")
    files = ("a.safetensors", "e.safetensors")
    shown = run_harness("diff", *files)
    assert shown.code == 0, shown.err
    assert "shows nothing: bias: every value of the actual tensor is the same" in shown.out
    assert "relative_l2" in shown.out
    assert run_harness("diff", *files, "--at-most", "max_abs_diff=0.1").code == 0
    broken = run_harness("compare", *files).code, run_harness("diff", *files, "--at-most", "relative_l2=0.001").code
    assert broken == (0, 1)
    told = run_harness("diff", *files, "--json", "--out", "rows.jsonl")
    record = TensorDiff.model_validate_json(told.out)
    assert record == TensorDiff.model_validate_json((tmp_path / "rows.jsonl").read_text(encoding="utf-8"))
    assert [pair.name for pair in record.pairs] == ["bias", "w"]
    assert json.loads(told.out)["whole"][0]["metric"] == "max_abs_diff"


REFUSED = {
    "a metric of pictures": (["e.npy", "e.npy", "--at-least", "psnr_db=40"], "metric of tensors"),
    "an option for pictures": (["e.npy", "e.npy", "--alpha", "white"], "are for pictures"),
    "a picture on one side": (["e.npy", "e.png"], "is a file of tensors and"),
    "a file that is not there": (["e.npy", "gone.npy"], "gone.npy"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_wrong_use_is_refused(why: str, run_harness: RunHarness, tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", WEIGHTS)
    (tmp_path / "e.png").write_bytes(b"")
    words, says = REFUSED[why]
    ended = run_harness("diff", *words)
    assert ended.code == 2
    assert says in " ".join(ended.err.split())


# --- files of torch --------------------------------------------------------------------------------------------------


class Harmful:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.makedirs, ("harmed",)


@pytest.mark.slow
def test_a_file_of_torch_is_read_without_running_anything_in_it(run_harness: RunHarness, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    half = torch.from_numpy(WEIGHTS).bfloat16()
    torch.save({"state": {"w": half, "step": 3}, "list": [half.t()]}, tmp_path / "a.pt")
    ended = run_harness("diff", "a.pt", "a.pt", "--json")
    assert ended.code == 0, ended.err
    record = TensorDiff.model_validate_json(ended.out)
    assert record.outcome is Status.IDENTICAL
    assert [(pair.name, pair.actual and pair.actual.type) for pair in record.pairs] == [
        ("list.0", "bfloat16"),
        ("state.w", "bfloat16"),
    ]
    torch.save({"w": half, "x": Harmful()}, tmp_path / "harmful.pt")
    refused = run_harness("diff", "harmful.pt", "a.pt")
    assert refused.code == 2
    assert "weights_only=True" in refused.err
    assert not (tmp_path / "harmed").exists()


def test_without_torch_it_says_what_reads_such_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.run import torch_files

    monkeypatch.setattr(torch_files, "find_spec", lambda _name: None)
    with pytest.raises(TensorError, match="only torch reads such a file, and it is not installed here"):
        torch_files.as_safetensors(tmp_path / "a.pt", tmp_path / "a.safetensors")
