"""A number from job to job as shapes: its points, the bound of each job, and where something changed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.language import say
from harness.render._charts import HEIGHT, WIDTH, Tick

if TYPE_CHECKING:
    from collections.abc import Sequence

Tone = Literal["good", "bad", "doubt", "quiet"]

_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 350, 12, 152
"""Where the axes lie."""
_MOST_TICKS = 5
_STEPS = (1.0, 2.0, 5.0, 10.0)
"""Distances between two labels, times a power of ten."""
_ONE_NUMBER = 1e-9
"""Share of a number by which others are no others: labels have twelve digits."""
_FLAT = 0.1
"""Share of a number that is shown around it where nothing else is."""


@dataclass(frozen=True)
class Value:
    """One job's number."""

    number: float | None
    """None interrupts the line; infinity is drawn at the edge of the drawing."""
    bound: float | None
    """What its limit names."""
    tone: Tone
    """How it was judged."""
    words: str
    """What it says when it is pointed at."""


@dataclass(frozen=True)
class Point:
    """A place of the drawing."""

    x: float
    y: float
    words: str
    tone: Tone


@dataclass(frozen=True)
class Course:
    """One drawing; all places are rounded to tenths."""

    title: str
    note: str
    """What the bound is."""
    across: str
    """What the horizontal axis counts."""
    lines: tuple[tuple[Point, ...], ...]
    """Pieces of the curve; it is interrupted where there is no value."""
    bounds: tuple[tuple[Point, ...], ...]
    """A level line for the bound of each job, which reaches half of the way to its neighbours."""
    changes: tuple[Tick, ...]
    """Jobs before which something changed."""
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = _RIGHT
    top: int = _TOP
    bottom: int = _BOTTOM


def course(  # noqa: PLR0913 - the parts of a drawing
    title: str,
    note: str,
    values: Sequence[Value],
    changed: Sequence[int],
    *,
    across: str = "",
    numbers: Sequence[int] = (),
) -> Course | None:
    """A number by job, from 1, with its bounds; None where nothing is finite. ``changed`` are numbers of jobs.

    ``across`` is what else than jobs is counted, and ``numbers`` what the values are called below the axis.
    """
    known = [number for value in values for number in (value.number, value.bound) if number is not None]
    finite = [number for number in known if math.isfinite(number)]
    if not finite:
        return None
    low, high, ticks = _scale(min(finite), max(finite))
    count = len(values)

    def place(index: int, number: float, value: Value) -> Point:
        return Point(_across(index, count), _up(number, low, high), value.words, value.tone)

    return Course(
        title=title,
        note=note,
        across=across or say("job"),
        lines=_pieces([None if v.number is None else place(i, v.number, v) for i, v in enumerate(values, 1)]),
        bounds=tuple(
            tuple(Point(x, place(index, value.bound, value).y, value.words, value.tone) for x in _around(index, count))
            for index, value in enumerate(values, 1)
            if value.bound is not None
        ),
        changes=tuple(
            Tick(_across(index, count), say("changed before job {number}", number=index)) for index in changed
        ),
        x_ticks=tuple(
            Tick(_across(index, count), str(numbers[index - 1] if numbers else index)) for index in _numbered(count)
        ),
        y_ticks=tuple(Tick(_up(number, low, high), f"{number:.6g}") for number in ticks),
    )


def _pieces(points: Sequence[Point | None]) -> tuple[tuple[Point, ...], ...]:
    pieces: list[list[Point]] = [[]]
    for point in points:
        if point is not None:
            pieces[-1].append(point)
        elif pieces[-1]:
            pieces.append([])
    return tuple(tuple(piece) for piece in pieces if piece)


def _scale(lowest: float, highest: float) -> tuple[float, float, list[float]]:
    """Ends of the axis and the numbers that are labelled on it.

    >>> _scale(38.2, 44.1)
    (38.0, 46.0, [38.0, 40.0, 42.0, 44.0, 46.0])
    """
    if highest - lowest <= _ONE_NUMBER * max(abs(lowest), abs(highest)):
        around = abs(lowest) * _FLAT or 1.0
        lowest, highest = lowest - around, highest + around
    rough = (highest - lowest) / (_MOST_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in _STEPS if step * power >= rough * (1 - 1e-9))
    first, last = math.floor(lowest / step), math.ceil(highest / step)
    ticks = [float(f"{number * step:.12g}") for number in range(first, last + 1)]
    return ticks[0], ticks[-1], ticks


def _numbered(count: int) -> list[int]:
    """Jobs whose numbers stand below the axis: the first, the last, and some between."""
    every = -(-count // _MOST_TICKS)
    numbers = sorted({1, count, *range(1, count + 1, every)})
    return [number for number in numbers if number == count or count - number >= every / 2]


def _across(index: int, count: int) -> float:
    return round(_LEFT + 8 + (index - 1) / max(count - 1, 1) * (_RIGHT - _LEFT - 16), 1) + 0.0


def _around(index: int, count: int) -> tuple[float, float]:
    """Half of the way from a job to its neighbours, on either side."""
    at, half = _across(index, count), (_RIGHT - _LEFT - 16) / max(count - 1, 1) / 2
    return round(max(at - half, _LEFT), 1), round(min(at + half, _RIGHT), 1)


def _up(number: float, low: float, high: float) -> float:
    share = (min(max(number, low), high) - low) / (high - low)
    return round(_BOTTOM - share * (_BOTTOM - _TOP), 1) + 0.0
