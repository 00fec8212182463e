"""DPG-Bench: dense prompts, judged by the share of questions about a picture that are answered with yes.

Files and results are those of the benchmark's README and ``dpg_bench/compute_dpg_bench.py``
(github.com/TencentQQGYLab/ELLA; Hu and others 2024, arXiv 2403.05135).
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from harness.benchmark_contract import Item, ItemResult, LaidFile
from harness.errors import RecordError, UsageError
from harness.images import read_picture
from harness.score_files import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SPEC = "dpg-bench:share:1"
ITEMS = "DPG-Bench's folder dpg_bench/prompts"
MOST_PICTURES = 4

_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Row and column of the pictures in the grid, in the order in which the benchmark cuts them out."""
_RESULT = re.compile(r"(?P<path>.+\.png), (?P<numbers>[0-9.e+-]+(?:, [0-9.e+-]+)*)")
_SUMMARY = "Model: "
"""With what the benchmark's summary below the results begins."""
_ROUNDING = 1e-6


def items(path: Path) -> list[Item]:
    """A text file for each prompt; its name without ``.txt`` is the item's.

    Raises:
        RecordError: the folder holds no text file.
    """
    files = sorted(path.glob("*.txt"))
    if not files:
        raise RecordError(f"{path} holds no prompt (*.txt); allowed is {ITEMS}.")
    return [Item(name=file.stem, prompt=read_text(file).strip()) for file in files]


def lay_out(item: Item, pictures: Sequence[Path], method: str) -> Iterator[LaidFile]:
    """One file for each prompt: the picture, or a grid of two by two with black where there is none.

    Raises:
        UsageError: the pictures are not square, or of different sizes.
    """
    del method
    arrays = [read_picture(picture) for picture in pictures]
    sizes = {array.shape[:2] for array in arrays}
    side = arrays[0].shape[0]
    if sizes != {(side, side)}:
        raise UsageError(
            f"DPG-Bench cuts squares of one size out of a grid; {item.name} has pictures of {_sizes(sizes)}."
        )
    path = f"{item.name}.png"
    content = pictures[0].read_bytes() if len(pictures) == 1 else _grid(arrays, side)
    yield LaidFile(path=path, content=content, places=[f"{path}#{number}" for number in range(len(pictures))])


def _grid(arrays: Sequence[np.ndarray], side: int) -> bytes:
    grid = np.zeros((2 * side, 2 * side, 3), np.uint8)
    for (row, column), array in zip(_CORNERS, arrays, strict=False):
        grid[row * side : (row + 1) * side, column * side : (column + 1) * side] = array
    stream = BytesIO()
    Image.fromarray(grid).save(stream, "PNG")
    return stream.getvalue()


def _sizes(sizes: set[tuple[int, ...]]) -> str:
    return ", ".join(sorted(f"{width} x {height}" for height, width in sizes))


def results(path: Path) -> Iterator[ItemResult]:
    """A grid in each line: its file, the value of each picture in it, and their mean; below them a summary.

    Raises:
        RecordError: a line is no such result, or its mean is not that of its values.
    """
    lines = read_text(path).splitlines()
    end = next((number for number, line in enumerate(lines) if line.startswith(_SUMMARY)), len(lines))
    if not any(line.strip() for line in lines[:end]):
        raise RecordError(
            f"{path} holds no result; allowed is a line for each picture, as compute_dpg_bench.py writes."
        )
    for number, line in enumerate(lines[:end], start=1):
        if line.strip():
            yield from _of_line(line.strip(), f"{path}, line {number}")


def _of_line(line: str, place: str) -> Iterator[ItemResult]:
    matched = _RESULT.fullmatch(line)
    if matched is None:
        raise RecordError(f"{place}: allowed is PICTURE.png, its values and their mean; found {line[:80]!r}.")
    *values, mean = (_share(word, place) for word in matched["numbers"].split(", "))
    if not 1 <= len(values) <= MOST_PICTURES or abs(sum(values) / len(values) - mean) > _ROUNDING:
        raise RecordError(f"{place}: allowed are one to four values and their mean; found {matched['numbers']}.")
    name = matched["path"].replace("\\", "/").rpartition("/")[2]
    for number, value in enumerate(values):
        yield ItemResult(place=f"{name}#{number}", value=value)


def _share(word: str, place: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise RecordError(f"{place}: found {word}; allowed is a number from 0 to 1.")
    return value
