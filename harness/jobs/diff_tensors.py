"""Compare two files of tensors that no scenario knows: the verb diff."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from harness.compare.tensors import SPECS, compare_tensors
from harness.errors import UnknownName, UsageError
from harness.files import write_text
from harness.run.torch_files import as_safetensors
from harness.tensor_files import TORCH_ENDINGS, is_tensor_file, tensors_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.jobs.diff import Bounds, Output, Reading
    from harness.records import TensorDiff


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
    limits = bounds.limits()
    for limit in limits:
        if limit.metric not in SPECS:
            raise UnknownName("metric of tensors", limit.metric, SPECS)
    with TemporaryDirectory() as folder, _readable(actual, folder) as left, _readable(expected, folder) as right:
        found = compare_tensors((str(actual), str(expected)), tensors_of(left), tensors_of(right), limits)
    if output.lines is not None:
        write_text(output.lines, found.model_dump_json() + "\n")
    return found


@contextmanager
def _readable(path: Path, folder: str) -> Iterator[Path]:
    """The file, or for as long as it is needed what torch read of it."""
    if path.suffix.lower() not in TORCH_ENDINGS:
        yield path
        return
    with TemporaryDirectory(dir=folder) as place:
        yield as_safetensors(path, Path(place) / "tensors.safetensors")
