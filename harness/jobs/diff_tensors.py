"""Compare two files of tensors that no scenario knows: the verb diff."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from harness.compare.tensors import SPECS, compare_tensors
from harness.errors import UnknownName, UsageError
from harness.files import write_text
from harness.records import Limit, Scope
from harness.run.torch_files import as_safetensors
from harness.tensor_files import TORCH_ENDINGS, is_tensor_file, tensors_of
from harness.tensor_objects import tensors_of_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.jobs.diff import Bounds, Output, Reading
    from harness.records import TensorDiff
    from harness.tensor_files import Tensor


def are_tensors(actual: Path, expected: Path) -> bool:
    """Whether both are files of tensors, by their endings.

    Raises:
        UsageError: one is, and the other is not.
    """
    files = [path.is_file() and is_tensor_file(path) for path in (actual, expected)]
    if files[0] != files[1]:
        tensors, other = (actual, expected) if files[0] else (expected, actual)
        raise UsageError(f"{tensors} is a file of tensors and {other} is not; give two files of tensors.")
    return files[0]


def diff_tensors(actual: Path, expected: Path, *, bounds: Bounds, reading: Reading, output: Output) -> TensorDiff:
    """Compare two files of tensors by their names.

    Raises:
        UsageError: an option is for pictures alone.
        UnknownName: a limit is on a metric that tensors do not have.
        TensorError: a file cannot be read.
    """
    if reading.ignore or reading.pair or reading.pair_list or reading.alpha or reading.jobs or output.report:
        raise UsageError(
            "--ignore, --pair, --pair-list, --alpha, --jobs and --report are for pictures; files of tensors take "
            "--at-least, --at-most and --out."
        )
    with TemporaryDirectory() as folder:
        diff = _compared((actual, expected), bounds.limits(), Path(folder))
    if output.lines is not None:
        write_text(output.lines, diff.model_dump_json() + "\n")
    return diff


def compare_given(actual: Any, expected: Any, at_most: Mapping[str, float]) -> TensorDiff:
    """Compare files of tensors, arrays and mappings of them by their names; ``at_most`` are limits by metric.

    Raises:
        UsageError: a limit is no number from 0 on.
        UnknownName: a limit is on a metric that tensors do not have.
        TensorError: a side holds something else than tensors, or a file cannot be read.
    """
    for metric, bound in at_most.items():
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not bound >= 0:
            raise UsageError(
                f"{metric}: found {bound!r}; allowed is a number from 0 on. Give the largest value allowed."
            )
    limits = [
        Limit(metric=metric, scope=Scope.REFERENCE, at_most=float(bound), reason="Given by the caller.")
        for metric, bound in at_most.items()
    ]
    with TemporaryDirectory() as folder:
        return _compared((actual, expected), limits, Path(folder))


def _compared(sides: tuple[Any, Any], limits: list[Limit], folder: Path) -> TensorDiff:
    for limit in limits:
        if limit.metric not in SPECS:
            raise UnknownName("metric of tensors", limit.metric, SPECS)
    with _given(sides[0], folder) as actual, _given(sides[1], folder) as expected:
        names = tuple(str(side) if isinstance(side, str | os.PathLike) else type(side).__name__ for side in sides)
        return compare_tensors((names[0], names[1]), actual, expected, limits)


@contextmanager
def _given(side: Any, folder: Path) -> Iterator[Mapping[str, Tensor]]:
    """Tensors of a file, or of an object."""
    if not isinstance(side, str | os.PathLike):
        yield tensors_of_object(side)
        return
    with _readable(Path(side), folder) as file:
        yield tensors_of(file)


@contextmanager
def _readable(path: Path, folder: Path) -> Iterator[Path]:
    """The file, or for as long as it is needed what torch read of it."""
    if path.suffix.lower() not in TORCH_ENDINGS:
        yield path
        return
    with TemporaryDirectory(dir=folder) as place:
        yield as_safetensors(path, Path(place) / "tensors.safetensors")
