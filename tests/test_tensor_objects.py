"""Tensors of programs: compared as those of files are, in every type that torch has and NumPy has not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import harness
from harness.errors import TensorError, UnknownName, UsageError
from harness.records import Status

if TYPE_CHECKING:
    from pathlib import Path

VALUES = np.linspace(1, 2, 1000, dtype=np.float32).reshape(10, 100)


def relative_l2(diff: Any, name: str = "array") -> float:
    (pair,) = (pair for pair in diff.pairs if pair.name == name)
    return float(next(one.value for one in pair.measurements if one.metric == "relative_l2"))


def test_arrays_are_measured_and_judged() -> None:
    near, far = VALUES * np.float32(1.001), VALUES * np.float32(1.1)
    assert harness.compare_tensors(VALUES, VALUES.copy()).outcome is Status.IDENTICAL
    kept = harness.compare_tensors(near, VALUES, relative_l2=0.01)
    assert (kept.outcome, kept.actual) == (Status.WITHIN_LIMITS, "ndarray")
    assert relative_l2(kept) == pytest.approx(0.001, rel=1e-3)
    assert harness.compare_tensors(far, VALUES, relative_l2=0.01).outcome is Status.DRIFT


def test_a_file_and_a_mapping_of_the_same_names_are_compared(tmp_path: Path) -> None:
    np.savez(tmp_path / "golden.npz", hidden=VALUES, latents=VALUES[0])
    mine = {"hidden": VALUES, "latents": VALUES[0] + np.float32(0.5)}
    diff = harness.compare_tensors(mine, tmp_path / "golden.npz", max_abs_diff=0.1)
    assert {pair.name: pair.outcome for pair in diff.pairs} == {"hidden": Status.IDENTICAL, "latents": Status.DRIFT}
    assert (diff.actual, diff.expected) == ("dict", str(tmp_path / "golden.npz"))
    missing = harness.compare_tensors({"hidden": VALUES}, tmp_path / "golden.npz")
    assert missing.outcome is Status.ERROR


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int64", "bool"])
def test_every_type_of_torch_is_compared_by_its_values(name: str) -> None:
    torch = pytest.importorskip("torch")
    expected = torch.from_numpy(VALUES - VALUES[0, 0]).to(getattr(torch, name))
    diff = harness.compare_tensors(expected.clone().requires_grad_(expected.is_floating_point()), expected)
    assert diff.outcome is Status.IDENTICAL
    assert diff.pairs[0].actual is not None
    assert (diff.pairs[0].actual.type, diff.pairs[0].actual.shape) == (name, [10, 100])
    if name == "bfloat16":
        rounded = harness.compare_tensors(expected, VALUES - VALUES[0, 0])
        exact = (VALUES - VALUES[0, 0]).astype(np.float64)
        wanted = float(np.linalg.norm(expected.double().numpy() - exact) / np.linalg.norm(exact))
        assert relative_l2(rounded) == pytest.approx(wanted, rel=1e-9)


def test_what_is_no_tensor_and_no_limit_is_refused() -> None:
    with pytest.raises(TensorError, match="array: found list; allowed are NumPy arrays, tensors of torch"):
        harness.compare_tensors([1.0, 2.0], VALUES)
    with pytest.raises(TensorError, match="hidden: it holds Python objects"):
        harness.compare_tensors({"hidden": np.array([object()])}, VALUES)
    with pytest.raises(UnknownName, match="Did you mean 'relative_l2'"):
        harness.compare_tensors(VALUES, VALUES, relativ_l2=0.1)
    for bound in (float("nan"), -1, True, "1"):
        with pytest.raises(UsageError, match="relative_l2: found"):
            harness.compare_tensors(VALUES, VALUES, relative_l2=bound)  # type: ignore[arg-type]
