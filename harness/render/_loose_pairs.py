"""Pairs of pictures that no job folder holds: for a notebook, and on a page of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.language import many, say, translated
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render import _maps as maps
from harness.render._pictures import Album, Picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from harness.contracts import ShownPair
    from harness.records import Measurement, PicturePair

_SIDE = 512
"""Most pixels along a side of a picture that is embedded; the larger ones are shown smaller, and say so."""


@dataclass(frozen=True, kw_only=True)
class LoosePair:
    """Two pictures as they are shown."""

    title: str
    sentence: str
    """Whether they are equal, and how alike they look; empty where nothing was measured."""
    lines: tuple[str, ...]
    """What else is said: why they are shown, the worst place, what the difference looks like."""
    pictures: tuple[Picture, ...]
    rows: tuple[tuple[str, str, str, str], ...]
    """Metric, value, which direction is better, and place."""
    links: tuple[tuple[str, str], ...]
    """What a file is called, and its address."""


def views(shown: Sequence[ShownPair]) -> list[LoosePair]:
    """Pairs as they are shown, their pictures whole while the budget of a page lasts."""
    album = Album(Path())
    return [_view(pair, album) for pair in shown]


def count(shown: Sequence[ShownPair]) -> str:
    """How many pictures are shown, in words."""
    return many("{count} picture", "{count} pictures", len(shown))


def _view(shown: ShownPair, album: Album) -> LoosePair:
    pair = shown.pair
    return LoosePair(
        title=shown.title,
        sentence=_sentence(pair) if pair else "",
        lines=(*filter(None, shown.message.splitlines()), *(_lines(pair) if pair else ())),
        pictures=tuple(_pictures(shown, album)),
        rows=tuple(_row(measurement) for measurement in sorted(pair.measurements, key=_rank)) if pair else (),
        links=tuple(shown.files.items()),
    )


def _rank(measurement: Measurement) -> tuple[int, str]:
    return labels.metric_rank(measurement.metric)


def _sentence(pair: PicturePair) -> str:
    if any(measurement.metric == "identical" and measurement.value == 1 for measurement in pair.measurements):
        return say("The 8-bit pictures are equal byte for byte.")
    if pair.appearance is None:
        return say("The pictures differ.")
    return say("The pictures differ; visual similarity: {appearance}.", appearance=labels.term(pair.appearance))


def _lines(pair: PicturePair) -> Iterator[str]:
    for hint in pair.hints:
        place = f" ({translated(hint.where)})" if hint.where else ""
        yield say("Hint: {message}", message=translated(hint.message) + place)
    yield from map(translated, pair.blank)


def _pictures(shown: ShownPair, album: Album) -> Iterator[Picture]:
    yield _picture(say("Actual"), shown.actual, album)
    if shown.expected is None:
        yield Picture(say("Expected"), problem=say("There is none."))
        return
    yield _picture(say("Expected"), shown.expected, album)
    heat, top = maps.heat(maps.differences(shown.actual, shown.expected), _SIDE)
    title = say("Difference: black is equal, the brightest is {top} levels", top=top)
    yield _picture(title, heat, album)


def _picture(title: str, array: NDArray[np.uint8], album: Album) -> Picture:
    small = maps.small(array, _SIDE)
    if small.shape != array.shape:
        title = say("{title}, shown smaller", title=title)
    pictures = album.embed([(title, small)])
    if pictures:
        return pictures[0]
    return album.thumbnail(title, maps.small(array, 96)) or Picture(
        title, problem=say("not shown: the page's budget for pictures is used up")
    )


def _row(measurement: Measurement) -> tuple[str, str, str, str]:
    if measurement.value is None:
        value = formats.undefined(measurement.problem)
    else:
        value = f"{formats.number(measurement.value)} {translated(measurement.unit)}".strip()
    return labels.metric_name(measurement.metric), value, say(measurement.better), translated(measurement.where)
