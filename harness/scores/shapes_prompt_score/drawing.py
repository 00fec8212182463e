"""Draws scenes of the small world: large, then averaged down, so that edges are smooth."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from harness.scores.shapes_prompt_score.world import COLOURS, GROUNDS, SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.scores.shapes_prompt_score.world import Scene, Thing

Point = tuple[float, float]

OVERSAMPLING = 3
RING_HOLE = 0.55
"""Inner radius of a ring, as a share of its outer one."""

SIGN_OUTSIDE = (4, 32, 124, 96)
SIGN_INSIDE = (10, 38, 118, 90)
SIGN_WHITE = (250, 250, 250)
INK = (15, 15, 15)
CELL_TOP = 40
CELL_SIZE = (32, 48)
CELLS = {1: (48,), 2: (32, 64), 3: (16, 48, 80)}
"""Left edge of the cell of each letter, for a sign of one, two and three."""


def draw_scene(scene: Scene) -> NDArray[np.uint8]:
    """A scene as a picture ``uint8[128, 128, 3]``."""
    large = Image.new("RGB", (SIDE * OVERSAMPLING, SIDE * OVERSAMPLING), GROUNDS[scene.ground])
    pen = ImageDraw.Draw(large)
    for thing in scene.things:
        _draw_thing(pen, thing, GROUNDS[scene.ground])
    if scene.sign is not None:
        pen.rectangle([OVERSAMPLING * edge for edge in SIGN_OUTSIDE], fill=COLOURS[scene.sign.frame])
        pen.rectangle([OVERSAMPLING * edge for edge in SIGN_INSIDE], fill=SIGN_WHITE)
    picture = large.resize((SIDE, SIDE), Image.Resampling.BOX)
    if scene.sign is not None:
        for left, letter in zip(CELLS[len(scene.sign.letters)], scene.sign.letters, strict=True):
            picture.paste(INK, (left, CELL_TOP), glyph(letter))
    return np.asarray(picture)


@cache
def glyph(letter: str) -> Image.Image:
    """A capital letter as coverage, 48 rows by 32 columns, 38 pixels high and at most 28 wide."""
    large = Image.new("L", (48, 64), 0)
    font = ImageFont.load_default(46)
    ImageDraw.Draw(large).text((24, 32), letter, font=font, fill=255, anchor="mm", stroke_width=2)
    tight = large.crop(large.getbbox())
    width = min(28, tight.width)
    cell = Image.new("L", CELL_SIZE, 0)
    cell.paste(tight.resize((width, 38), Image.Resampling.LANCZOS), ((CELL_SIZE[0] - width) // 2, 5))
    return cell


def _draw_thing(pen: ImageDraw.ImageDraw, thing: Thing, ground: tuple[int, int, int]) -> None:
    x, y, radius = (OVERSAMPLING * value for value in (thing.x, thing.y, thing.radius))
    fill = COLOURS[thing.colour]
    if thing.shape in {"circle", "ring"}:
        pen.circle((x, y), radius, fill=fill)
        if thing.shape == "ring":
            pen.circle((x, y), RING_HOLE * radius, fill=ground)
        return
    pen.polygon([(x + radius * dx, y + radius * dy) for dx, dy in _outline(thing.shape)], fill=fill)


@cache
def _outline(shape: str) -> tuple[Point, ...]:
    """Corners of a shape of radius 1 around the origin, y downwards."""
    if shape == "square":
        return (-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)
    if shape == "triangle":
        return (0, -1), (1, 0.8), (-1, 0.8)
    if shape == "cross":
        arm = ((-0.34, -1), (0.34, -1), (0.34, -0.34))
        return tuple(turned for turns in range(4) for turned in _quarter_turns(arm, turns))
    if shape == "star":
        angles = np.arange(10) * np.pi / 5 - np.pi / 2
        reach = np.where(np.arange(10) % 2, 0.45, 1.08)
        return _points(reach * np.cos(angles), 0.08 + reach * np.sin(angles))
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    height = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return _points(np.sin(t) ** 3, -(height + 2) / 16)


def _quarter_turns(points: tuple[Point, ...], turns: int) -> tuple[Point, ...]:
    for _ in range(turns):
        points = tuple((-y, x) for x, y in points)
    return points


def _points(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Point, ...]:
    return tuple(zip(x.tolist(), y.tolist(), strict=True))
