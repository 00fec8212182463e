"""Reads pictures of the small world by rules, and says which rule a picture breaks.

The rules say which objects, how many, in which colour, where. A picture is right when it keeps every rule that its
prompt sets; an edit is right when the result is the whole scene asked for, so what was not to change counts as much as
what was.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from harness.errors import UndefinedScore
from harness.language import recorded
from harness.scores.shapes_prompt_score.drawing import CELL_SIZE, CELL_TOP, CELLS, draw_scene, glyph
from harness.scores.shapes_prompt_score.world import GROUNDS, LETTERS, SHAPES, SIDE, Scene, Thing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from harness.scores.shapes_prompt_score.world import Sign

    Picture = NDArray[np.uint8]
    Mask = NDArray[np.bool_]

BORDER = 3
"""Pixels at the edge whose median is the ground."""
SMALLEST_DISTANCE = 60.0
"""Between a thing's colour and the ground's, in levels."""
SMALLEST_AREA = 90
SMALLEST_OVERLAP = 0.7
"""Intersection over union with the outline of a shape, both scaled to 32x32; below it the shape is unknown."""
WIDEST_SIDE_RATIO = 1.67
SECOND_COLOUR_SHARE = 0.25
"""A blob of two colours, each with this share, is two things that touch."""
LARGEST_SHIFT = 14.0
"""Of a thing that an edit leaves where it is, in pixels."""
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Asked:
    """What a prompt asks for."""

    ground: str
    looks: tuple[tuple[str, str], ...] = ()
    """Colour and shape of each thing."""
    sign: Sign | None = None
    relation: str | None = None
    """How the first of two things stands to the second; None where the prompt leaves it open."""
    places: tuple[tuple[float, float], ...] = ()
    """For an edit, where each thing must stay: x and y in pixels; empty for a picture from a prompt alone."""

    @property
    def words(self) -> str:
        """What is asked for, in words."""
        if self.sign is not None:
            return f"{f'{self.sign.frame} ' * self.sign.frame_named}sign {self.sign.letters} on {self.ground}"
        relation = f", the first {self.relation} the second" if self.relation else ""
        return f"{_listed(self.looks)} on {self.ground}{relation}"


@dataclass(frozen=True)
class Found:
    """A thing in a picture."""

    colour: str
    shape: str
    x: float
    y: float

    @property
    def look(self) -> tuple[str, str]:
        """Colour and shape."""
        return self.colour, self.shape


@dataclass(frozen=True)
class Seen:
    """What a picture shows; letters and frame only mean something where a sign was asked for."""

    ground: str
    things: tuple[Found, ...]
    letters: str
    frame: str

    def words(self, asked: Asked) -> str:
        """What is seen, in words; a sign where one was asked for."""
        if asked.sign is not None:
            return f"{self.frame} sign {self.letters} on {self.ground}"
        return f"{_listed([thing.look for thing in self.things])} on {self.ground}"


def rules(seen: Seen, asked: Asked) -> dict[str, bool]:
    """Every rule that a prompt sets, and whether the picture keeps it."""
    if asked.sign is not None:
        return _sign_rules(seen, asked.sign) | {"ground": seen.ground == asked.ground}
    looks = [thing.look for thing in seen.things]
    kept = {
        "count": len(looks) == len(asked.looks),
        "colours": _same([colour for colour, _ in looks], [colour for colour, _ in asked.looks]),
        "shapes": _same([shape for _, shape in looks], [shape for _, shape in asked.looks]),
        "objects": _same(looks, asked.looks),
        "ground": seen.ground == asked.ground,
    }
    if asked.relation is not None:
        kept["place"] = kept["objects"] and _related(seen, asked.looks, asked.relation)
    if asked.places:
        where = zip(asked.looks, asked.places, strict=True)
        kept["place"] = kept["objects"] and all(_nearest(seen, *place) < LARGEST_SHIFT for place in where)
    return kept


def see(picture: Picture) -> Seen:
    """Read a picture ``uint8[128, 128, 3]``.

    Raises:
        UndefinedScore: the picture has another size.
    """
    if picture.shape != (SIDE, SIDE, 3):
        height, width, *_ = picture.shape
        raise UndefinedScore(
            recorded(
                "the picture is {width}x{height}; the small world is read at {side}x{side} only.",
                width=width,
                height=height,
                side=SIDE,
            )
        )
    edge = np.ones((SIDE, SIDE), dtype=bool)
    edge[BORDER:-BORDER, BORDER:-BORDER] = False
    ground = np.median(picture[edge], axis=0)
    frame = np.median(picture[34:36, 20:108].reshape(-1, 3), axis=0)
    return Seen(_nearest_name(ground), tuple(_things(picture, ground)), _letters(picture), _nearest_name(frame))


def _things(picture: Picture, ground: NDArray[np.float64]) -> Iterator[Found]:
    distance = np.sqrt(((picture.astype(float) - ground) ** 2).sum(axis=2))
    colours = _nearest_colours(picture)
    for blob in _blobs(_opened(distance > SMALLEST_DISTANCE, 2)):
        for part in _of_one_colour(blob, colours):
            if part.sum() < SMALLEST_AREA:
                continue
            rows, columns = np.nonzero(part)
            colour = np.bincount(colours[_core(part)]).argmax()
            middle = (columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2
            yield Found(list(GROUNDS)[int(colour)], _shape(part), *map(float, middle))


def _of_one_colour(blob: Mask, colours: NDArray[np.intp]) -> list[Mask]:
    """The blob, or its two parts where it has two colours."""
    core = _core(blob)
    counts = np.bincount(colours[core], minlength=len(GROUNDS))
    large = [k for k in np.argsort(-counts)[:2] if counts[k] > SECOND_COLOUR_SHARE * core.sum()]
    if len(large) == 1:
        return [blob]
    parts = (list(_blobs(_opened(blob & (colours == k), 3))) for k in large)
    return [max(part, key=np.sum) for part in parts if part]


def _shape(blob: Mask) -> str:
    rows, columns = np.nonzero(blob)
    ratio = (np.ptp(columns) + 1) / (np.ptp(rows) + 1)
    if not 1 / WIDEST_SIDE_RATIO < ratio < WIDEST_SIDE_RATIO:
        return UNKNOWN
    outline = _scaled(blob)
    overlaps = {shape: (outline & other).sum() / (outline | other).sum() for shape, other in _outlines().items()}
    best = max(overlaps, key=overlaps.__getitem__)
    return best if overlaps[best] > SMALLEST_OVERLAP else UNKNOWN


@cache
def _outlines() -> dict[str, Mask]:
    pictures = {shape: draw_scene(Scene("white", (Thing("black", shape, 64, 64, 32),))) for shape in SHAPES}
    return {shape: _scaled(picture.mean(axis=2) < GROUNDS["grey"][0]) for shape, picture in pictures.items()}


def _scaled(blob: Mask) -> Mask:
    rows, columns = np.nonzero(blob)
    tight = blob[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(np.float32)
    scaled: Mask = cv2.resize(tight, (32, 32), interpolation=cv2.INTER_LINEAR) > 0.5  # noqa: PLR2004 - half covered
    return scaled


def _letters(picture: Picture) -> str:
    """The one to three glyphs in their cells that leave the least of the dark pixels unexplained."""
    dark = np.clip(1 - picture.astype(float).mean(axis=2) / 250, 0, 1)[CELL_TOP : CELL_TOP + CELL_SIZE[1]]
    glyphs = np.stack([np.asarray(glyph(letter), dtype=float).ravel() / 255 for letter in LETTERS])
    readings = []
    for cells in CELLS.values():
        error, letters = (dark[:, 12:116] ** 2).sum(), ""
        for left in cells:
            cell = dark[:, left : left + CELL_SIZE[0]].ravel()
            errors = ((cell - glyphs) ** 2).sum(axis=1)
            error += errors.min() - (cell**2).sum()
            letters += LETTERS[int(errors.argmin())]
        readings.append((float(error), letters))
    return min(readings)[1]


def _sign_rules(seen: Seen, sign: Sign) -> dict[str, bool]:
    kept = {"letters": seen.letters == sign.letters}
    return kept | {"frame": seen.frame == sign.frame} if sign.frame_named else kept


def _same(seen: Sequence[object], asked: Sequence[object]) -> bool:
    return Counter(seen) == Counter(asked)


def _related(seen: Seen, looks: Sequence[tuple[str, str]], relation: str) -> bool:
    """Whether the first thing asked for stands in the relation to the second; both are there."""
    first, second = (next(thing for thing in seen.things if thing.look == look) for look in looks)
    across, down = second.x - first.x, second.y - first.y
    return {
        "left of": across > abs(down),
        "right of": -across > abs(down),
        "above": down > abs(across),
        "below": -down > abs(across),
    }[relation]


def _nearest(seen: Seen, look: tuple[str, str], place: tuple[float, float]) -> float:
    """Distance in pixels from a place to the nearest thing of a look, which is there."""
    x, y = place
    return min(float(np.hypot(thing.x - x, thing.y - y)) for thing in seen.things if thing.look == look)


def _listed(looks: Iterable[tuple[str, str]]) -> str:
    """Things in words, sorted so that two lists can be compared with each other."""
    return ", ".join(" ".join(look) for look in sorted(looks)) or "nothing"


def _nearest_colours(levels: NDArray[np.generic]) -> NDArray[np.intp]:
    palette = np.array(list(GROUNDS.values()), dtype=float)
    indices: NDArray[np.intp] = ((levels.astype(float)[..., None, :] - palette) ** 2).sum(axis=-1).argmin(axis=-1)
    return indices


def _nearest_name(level: NDArray[np.float64]) -> str:
    return list(GROUNDS)[int(_nearest_colours(level))]


def _opened(mask: Mask, size: int) -> Mask:
    opened: Mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((size, size), np.uint8)) > 0
    return opened


def _core(mask: Mask) -> Mask:
    """The mask without a seam of two pixels, where colours mix; the mask itself where little would be left."""
    inner: Mask = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return inner if inner.sum() > 20 else mask  # noqa: PLR2004 - enough to vote


def _blobs(mask: Mask) -> Iterator[Mask]:
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    for label in range(1, count):
        yield labels == label
