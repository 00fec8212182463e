"""Compiled loops and NumPy give the same bits, and the compiler is loaded only where it is worth it."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness.metrics import _arrays, _kernels, _loops, _vectors, _windows

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

BLOCK = _loops.BLOCK


def rows_of(kind: str, height: int, width: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """A pair of rows ``[H, 3 W]``: of bytes that differ everywhere or in one place, or of floats."""
    generator = np.random.default_rng(height * width)
    shape = height, 3 * width
    if kind == "floats":
        floats = generator.normal(size=shape)
        return floats + generator.normal(0, 0.01, shape), floats
    expected = generator.integers(0, 256, shape, dtype=np.uint8)
    if kind == "bytes":
        return generator.integers(0, 256, shape, dtype=np.uint8), expected
    actual = expected.copy()
    actual[height // 2 : height // 2 + 3, width : width + 9] ^= 7
    return actual, expected


def map_sums(
    loops: ModuleType, pair: tuple[NDArray[Any], NDArray[Any]], bands: list[int], data_range: float
) -> list[bytes]:
    rows, columns = pair[0].shape[0] - 10, pair[0].shape[1] // 3 - 10
    cells, totals = np.zeros((-(-rows // 4) + 8, -(-columns // 4) + 8)), np.empty(-(-rows // 4))
    constants = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    room = np.empty((4, _loops.ROOM), np.float32 if pair[0].dtype == np.uint8 else np.float64)
    for top, bottom in zip([0, *bands], [*bands, rows], strict=True):
        loops.similarity_rows(*pair, top, bottom, _windows._WEIGHTS, constants, room, cells, totals)
    return [cells.tobytes(), totals.tobytes()]


SIZES = [(11, 11), (12, 45), (43, 43), (53, 62), (90, 21), (26, 266), (46, 299), (15, 620)]
sizes = pytest.mark.parametrize(("height", "width"), SIZES)


@sizes
@pytest.mark.parametrize("kind", ["bytes", "one place", "floats"])
def test_the_similarity_map_has_the_same_bits(kind: str, height: int, width: int) -> None:
    pair = rows_of(kind, height, width)
    bands = [40] if height == 90 else []
    data_range = 1.0 if kind == "floats" else 255.0
    assert map_sums(_arrays, pair, bands, data_range) == map_sums(_kernels, pair, bands, data_range)


def test_a_range_of_which_nothing_is_left_when_it_is_squared_makes_no_difference() -> None:
    actual, expected = rows_of("floats", 60, 20)
    actual = np.where(np.arange(60)[:, None] < 50, expected, actual)
    assert map_sums(_arrays, (actual, expected), [], 1e-200) == map_sums(_kernels, (actual, expected), [], 1e-200)


def test_another_order_of_a_sum_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def backwards(columns: NDArray[np.float64]) -> NDArray[np.float64]:
        return cells(columns[:, ::-1])[:, ::-1]

    cells = _arrays._cells
    pair = rows_of("bytes", 43, 46)
    assert map_sums(_arrays, pair, [], 255.0) == map_sums(_kernels, pair, [], 255.0)
    monkeypatch.setattr(_arrays, "_cells", backwards)
    assert map_sums(_arrays, pair, [], 255.0) != map_sums(_kernels, pair, [], 255.0)


def counted(loops: ModuleType, kind: str, height: int, width: int) -> list[object]:
    actual, expected = rows_of(kind, height, width)
    counts, largest = np.zeros((3, 511), np.int64), np.zeros((height, width), np.uint8)
    blocks = np.zeros((-(-height // BLOCK), -(-width // BLOCK)), np.int64)
    meetings = np.zeros((256, 256), np.int64)
    for top, bottom in ((0, 4), (4, height)):
        loops.tally(actual, expected, top, bottom, counts, largest, blocks)
        loops.count_meetings(actual, expected, top, bottom, meetings)
    sides = min(32, height), min(32, width)
    last = height - sides[0] + 1
    windows = [loops.fullest_window(largest, 2.0, *sides, top, last) for top in range(0, last, 7)]
    return [counts.tolist(), largest.tolist(), blocks.tolist(), meetings.tolist(), windows]


@sizes
@pytest.mark.parametrize("kind", ["bytes", "one place"])
def test_counts_and_windows_are_the_same(kind: str, height: int, width: int) -> None:
    assert counted(_arrays, kind, height, width) == counted(_kernels, kind, height, width)


@pytest.mark.parametrize("loops", [_arrays, _kernels])
def test_a_band_without_rows_counts_nothing(loops: ModuleType) -> None:
    actual, expected = rows_of("bytes", 4, 5)
    counts, blocks = np.zeros((3, 511), np.int64), np.zeros((1, 1), np.int64)
    loops.tally(actual, expected, 2, 2, counts, np.zeros((4, 5), np.uint8), blocks)
    meetings = np.zeros((256, 256), np.int64)
    loops.count_meetings(actual, expected, 2, 2, meetings)
    assert not counts.any()
    assert not blocks.any()
    assert not meetings.any()


def test_without_any_difference_the_first_window_is_the_fullest() -> None:
    pixels = np.zeros((40, 40), np.uint8)
    assert _arrays.fullest_window(pixels, 2.0, 32, 32, 3, 9) == _kernels.fullest_window(pixels, 2.0, 32, 32, 3, 9)


@pytest.mark.parametrize("loops", [_arrays, _kernels])
@pytest.mark.parametrize("size", [1, 2, 3, 1000, 4097])
def test_a_sum_of_two_parts_is_rounded_once(loops: ModuleType, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_vectors, "loops", lambda _: loops)
    generator = np.random.default_rng(size)
    for _ in range(20):
        values = np.abs(generator.normal(size=size) * 2.0 ** generator.integers(-60, 60, size))
        assert _vectors.exact_sum(values) == math.fsum(values.tolist())
    assert _vectors.exact_sum(np.zeros(size)) == 0


def test_a_process_begins_with_numpy_and_goes_on_with_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "harness.metrics._kernels")
    monkeypatch.setattr(_loops, "_gone_over", [0])
    monkeypatch.setattr(_loops, "WORTH_COMPILING", 100)
    chosen = [_loops.loops(60).__name__ for _ in range(2)]
    assert chosen == ["harness.metrics._arrays", "harness.metrics._kernels"]
    assert _loops.loops(1).__name__ == "harness.metrics._kernels"
