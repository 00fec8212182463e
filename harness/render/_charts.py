"""Charts as shapes: where each bar, line and label of a drawing lies, in its own units and without a font's measures.

The template draws them as SVG, so the page's colours, light or dark, hold for them too, and equal numbers give equal
bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.language import many, say
from harness.render import _format as formats

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 360, 190
"""Size of a chart."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 350, 12, 152
"""Where the axes lie."""
_MOST_BARS = 32
_MOST_TICKS = 5


@dataclass(frozen=True)
class Tick:
    """A place on an axis, and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram, and what it stands for."""

    left: float
    top: float
    width: float
    height: float
    words: str


@dataclass(frozen=True)
class Point:
    """A point of a curve, and what it stands for."""

    x: float
    y: float
    words: str


@dataclass(frozen=True)
class Chart:
    """One drawing; all numbers are rounded to tenths."""

    title: str
    across: str
    """What the horizontal axis counts."""
    up: str
    """What the vertical axis counts."""
    bars: tuple[Bar, ...] = ()
    lines: tuple[tuple[Point, ...], ...] = ()
    """Pieces of a curve; it is interrupted where there is no value."""
    band: tuple[Bar, ...] = ()
    """What is not worth speaking of, from the bottom up."""
    note: str = ""
    """What the band is, or why there is none."""
    x_ticks: tuple[Tick, ...] = ()
    y_ticks: tuple[Tick, ...] = ()
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = _RIGHT
    top: int = _TOP
    bottom: int = _BOTTOM


def histogram(counts: Sequence[int]) -> Chart:
    """How many values differ by each level; the axis of counts is logarithmic, so that a single value is visible."""
    step = -(-len(counts) // _MOST_BARS)
    sums = [sum(counts[start : start + step]) for start in range(0, len(counts), step)]
    decades = _decades(sums)
    width = (_RIGHT - _LEFT) / len(sums)
    bars = []
    for index, amount in enumerate(sums):
        if amount:
            levels = formats.span((index * step, min((index + 1) * step, len(counts)) - 1))
            top = _up(math.log10(amount) + 0.3, -0.0, decades + 0.3)
            text = many("{levels} levels: {count} value", "{levels} levels: {count} values", amount, levels=levels)
            bars.append(Bar(_tenth(_LEFT + index * width), top, _tenth(max(width - 1, 1)), _tenth(_BOTTOM - top), text))
    shown = range(0, len(sums), -(-len(sums) // _MOST_TICKS))
    wide = say("levels of difference, {step} to a bar", step=step)
    return Chart(
        say("Differences of all values"),
        wide if step > 1 else say("levels of difference"),
        say("values"),
        bars=tuple(bars),
        x_ticks=tuple(Tick(_tenth(_LEFT + (index + 0.5) * width), str(index * step)) for index in shown),
        y_ticks=tuple(
            Tick(_up(decade + 0.3, 0, decades + 0.3), _amount(10**decade))
            for decade in range(0, decades + 1, -(-(decades + 1) // _MOST_TICKS))
        ),
    )


def curve(values: Sequence[float | None], floor: Sequence[float] = (), note: str = "") -> Chart | None:
    """Relative difference by step, from 1, on a logarithmic axis; None where no step has one above 0.

    A step without a value interrupts the line, and so does one with equal latents, which no logarithm can show.
    ``floor`` is a band for each step, from the bottom of the drawing up to its value; ``note`` says what it is.
    """
    if not any(values):
        return None
    noise = [(step, value) for step, value in enumerate(floor, 1) if value > 0 and math.isfinite(value)]
    positive = [value for value in values if value] + [value for _, value in noise]
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    high = max(high, low + 1)
    lines: list[list[Point]] = [[]]
    for step, value in enumerate(values, 1):
        if value:
            text = say("step {step}: {value}", step=step, value=formats.scientific(value))
            lines[-1].append(Point(_across(step, len(values)), _up(math.log10(value), low, high), text))
        elif lines[-1]:
            lines.append([])
    steps = sorted({1, len(values), *range(1, len(values) + 1, -(-len(values) // _MOST_TICKS))})
    steps = [step for step in steps if step == len(values) or len(values) - step >= len(values) / (2 * _MOST_TICKS)]
    ticks = range(low, high + 1, -(-(high - low + 1) // _MOST_TICKS))
    return Chart(
        say("Relative difference of the latents"),
        say("denoising step"),
        say("relative L2"),
        lines=tuple(tuple(line) for line in lines if line),
        band=tuple(_banded(step, len(values), value, _up(math.log10(value), low, high)) for step, value in noise),
        note=note,
        x_ticks=tuple(Tick(_across(step, len(values)), str(step)) for step in steps),
        y_ticks=tuple(Tick(_up(decade, low, high), f"1e{decade}") for decade in ticks),
    )


def _banded(step: int, steps: int, value: float, top: float) -> Bar:
    """The band of one step, which reaches half of the way to its neighbours."""
    half = (_RIGHT - _LEFT - 16) / max(steps - 1, 1) / 2
    left, right = max(_across(step, steps) - half, _LEFT), min(_across(step, steps) + half, _RIGHT)
    text = say("step {step}: noise floor {value}", step=step, value=formats.scientific(value))
    return Bar(_tenth(left), top, _tenth(right - left), _tenth(_BOTTOM - top), text)


def _decades(amounts: Sequence[int]) -> int:
    return max(1, math.ceil(math.log10(max(amounts))))


def _across(step: int, steps: int) -> float:
    return _tenth(_LEFT + 8 + (step - 1) / max(steps - 1, 1) * (_RIGHT - _LEFT - 16))


def _up(value: float, low: float, high: float) -> float:
    return _tenth(_BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP))


def _tenth(value: float) -> float:
    return round(value, 1) + 0.0


def _amount(value: int) -> str:
    """A power of ten, short.

    >>> _amount(100), _amount(10_000), _amount(1_000_000)
    ('100', '10k', '1M')
    """
    for size, sign in ((1_000_000, "M"), (1000, "k")):
        if value >= size:
            return f"{value // size}{sign}"
    return str(value)
