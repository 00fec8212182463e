"""What is said and shown of two folders of picture files: the worst pair first, and what was not compared by name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import ImageError
from harness.language import many, say, translated
from harness.records import EXIT_CODES, Status
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render import _maps as maps
from harness.render._document import (
    Bullets,
    Cell,
    Document,
    Figure,
    Heading,
    Mark,
    Paragraph,
    Section,
    clean,
    code,
    figure,
    plain,
    table,
    word,
)
from harness.render._format import running
from harness.render._pair_views import PairView, numbers, whole_view, with_thumbnail
from harness.render._pictures import BUDGET, THUMBNAIL_SIDE, Album, Picture
from harness.render._viewer import CaseView, Viewer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from harness.images import Alpha
    from harness.records import FolderDiff, Measurement, PicturePair
    from harness.render._charts import Chart
    from harness.render._document import Block

MOST_ROWS = 300
"""Rows of the table of pairs on a page; the file of values has all."""

MOST_SHOWN = 60
"""Pairs that are shown with pictures, the worst first."""

_SHOWN = ("psnr_db", "ssim", "max_abs_diff", "mean_abs_diff")
"""Metrics that have a column in the table of pairs."""


# --- order -----------------------------------------------------------------------------------------------------------


def ordered(pairs: Sequence[PicturePair]) -> list[PicturePair]:
    """The worst word first, then the lowest PSNR, then the name; equal pairs come last."""
    return sorted(pairs, key=lambda pair: (labels.RANKS[pair.outcome], _psnr(pair), pair.name))


def _psnr(pair: PicturePair) -> float:
    """PSNR in dB; below every other where nothing was measured, above where the pictures are equal."""
    psnr = _value(pair, "psnr_db")
    return -math.inf if psnr is None else psnr


def _value(pair: PicturePair, metric: str) -> float | None:
    return next((measurement.value for measurement in pair.measurements if measurement.metric == metric), None)


# --- words -----------------------------------------------------------------------------------------------------------


def document(diff: FolderDiff, pairs: Sequence[PicturePair], shown: Viewer) -> Document:
    """Everything the page says, in reading order."""
    places = {case.title: f"#{case.id}" for case in shown.cases}
    return Document(
        title=clean(say("{actual} compared with {expected}", actual=diff.actual, expected=diff.expected)),
        summary=say("Picture files by name; nobody recorded how they were made."),
        status=diff.outcome,
        sentence=_sentence(diff),
        reasons=(),
        marks=(
            Mark(
                say("NOISE UNVERIFIED"),
                say("A picture file does not tell which noise it began with, so a difference may come from there."),
                "unverified",
            ),
        ),
        figures=tuple(_figures(diff)),
        sections=tuple(section for section in _sections(diff, pairs, places) if section.blocks),
        pictures_before=("statistics",),
    )


def _sentence(diff: FolderDiff) -> str:
    equal = many(
        "{equal} of {count} pair is equal byte for byte.",
        "{equal} of {count} pairs are equal byte for byte.",
        diff.pairs,
        equal=diff.identical,
    )
    if not diff.limits:
        unjudged = say("No limit was given, so nothing is judged.") if diff.differing else ""
        return running([equal, _showing_nothing(diff), unjudged])
    broken = many("{count} pair breaks a limit.", "{count} pairs break a limit.", len(diff.broken))
    return running([equal, _showing_nothing(diff), broken])


def _showing_nothing(diff: FolderDiff) -> str:
    if not diff.blank:
        return ""
    return many(
        "{count} pair has a side that shows nothing.",
        "{count} pairs have a side that shows nothing.",
        len(diff.blank),
    )


def _figures(diff: FolderDiff) -> Iterator[Figure]:
    yield Figure(str(diff.pairs), say("pairs"))
    yield Figure(str(diff.identical), say("equal byte for byte"))
    yield Figure(str(diff.differing), say("differ"))
    if diff.limits:
        yield Figure(str(len(diff.broken)), say("break a limit"))
    if diff.blank:
        yield Figure(str(len(diff.blank)), say("show nothing"))
    alone = len(diff.missing) + len(diff.unexpected) + len(diff.problems)
    if alone:
        yield Figure(str(alone), say("not compared"))


def _sections(diff: FolderDiff, pairs: Sequence[PicturePair], places: Mapping[str, str]) -> Iterator[Section]:
    yield Section("blank", say("Show nothing"), tuple(_blank(diff)))
    yield Section("not-compared", say("Not compared"), tuple(_not_compared(diff)))
    yield Section("pairs", say("Pairs"), tuple(_pairs(pairs, places)))
    yield Section("statistics", say("All differing pairs"), tuple(_statistics(diff)))
    yield Section("limits", say("Limits"), tuple(_limits(diff)))


def _blank(diff: FolderDiff) -> Iterator[Block]:
    if diff.blank:
        yield Paragraph(
            say("If one side of a pair shows nothing, the pair proves nothing, even if both sides are equal.")
        )
        yield Bullets(tuple(map(clean, _reasons(diff.blank))))


def _reasons(of_pairs: Mapping[str, str]) -> Iterator[str]:
    """What is told of pairs, each after its name."""
    for name, why in of_pairs.items():
        yield say("{name}: {text}", name=name, text=translated(why))


def _not_compared(diff: FolderDiff) -> Iterator[Block]:
    groups = (
        (say("Missing: the actual folder does not hold them"), diff.missing),
        (say("Unexpected: the expected folder does not hold them"), diff.unexpected),
        (say("Not measured"), list(_reasons(diff.problems))),
        (say("Left out by name"), diff.ignored),
        (say("No pictures"), diff.not_images),
    )
    for title, names in groups:
        if names:
            yield Heading(title)
            yield Bullets(tuple(map(clean, names)))
    if diff.nearly:
        yield Heading(say("Names that nearly match"))
        yield Bullets(tuple(clean(f"{near.actual} – {near.expected}") for near in diff.nearly))  # noqa: RUF001  # a dash


def _pairs(pairs: Sequence[PicturePair], places: Mapping[str, str]) -> Iterator[Block]:
    differing = [pair for pair in ordered(pairs) if pair.measurements and pair.differing_pixels != 0]
    if not differing:
        return
    columns = [
        say("Name"),
        say("Outcome"),
        *(labels.metric_name(metric) for metric in _SHOWN),
        say("Differing pixels"),
        say("Visual similarity"),
        say("Looks like"),
    ]
    rows = [_row(pair, places) for pair in differing[:MOST_ROWS]]
    note = ""
    if len(differing) > MOST_ROWS:
        note = say("The worst {shown} of {count}; pairs.csv has all.", shown=MOST_ROWS, count=len(differing))
    yield table(columns, rows, title=say("Pairs that differ, the worst first"), note=note)


def _row(pair: PicturePair, places: Mapping[str, str]) -> list[Cell]:
    values = {measurement.metric: measurement for measurement in pair.measurements}
    broken = [translated(verdict.message) for verdict in pair.verdicts if verdict.status is Status.DRIFT]
    hints = [translated(hint.message) for hint in pair.hints]
    return [
        Cell(clean(pair.name), kind="code", link=places.get(pair.name, "")),
        word(pair.outcome),
        *(
            figure(formats.measured(values[metric], unit=True)) if metric in values else plain(labels.NONE)
            for metric in _SHOWN
        ),
        figure(_share(pair)),
        plain(labels.term(pair.appearance) if pair.appearance else say(labels.NOT_MEASURED)),
        plain(running([*hints, *broken, *map(translated, pair.blank)]) or labels.NONE),
    ]


def _share(pair: PicturePair) -> str:
    if pair.differing_pixels is None or not (pair.width and pair.height):
        return say(labels.NOT_MEASURED)
    return formats.percent(pair.differing_pixels / (pair.width * pair.height))


def _statistics(diff: FolderDiff) -> Iterator[Block]:
    by_metric = {worst.measurement.metric: worst for worst in diff.worst}
    rows = [
        [
            plain(labels.metric_name(row.metric)),
            plain(translated(row.unit) if row.unit else labels.NONE),
            figure(row.pairs),
            *map(figure, map(formats.number, (row.mean, row.median, row.percentile_5, row.percentile_95))),
            figure(formats.number(row.lowest if row.better == "higher" else row.highest)),
            code(by_metric[row.metric].name),
        ]
        for row in sorted(diff.statistics, key=lambda row: labels.metric_rank(row.metric))
    ]
    if rows:
        columns = (
            say("Metric"),
            say("Unit"),
            say("Pairs"),
            say("Mean"),
            say("Median"),
            say("5th percentile"),
            say("95th percentile"),
            say("Worst"),
            say("Worst pair"),
        )
        note = say("Equal pairs and values that are not finite are left out; percentiles are values of nearest rank.")
        yield table(columns, rows, title=say("Statistics over pairs"), note=note)


def _limits(diff: FolderDiff) -> Iterator[Block]:
    if diff.limits:
        yield Bullets(tuple(clean(translated(limit.rule)) for limit in diff.limits))
    elif diff.differing:
        yield Paragraph(say("None was given: differences are told and not judged."))


# --- pictures --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Files:
    """Two picture files that differ, as what the page's views are made of."""

    pair: PicturePair

    @property
    def title(self) -> str:
        """The name."""
        return clean(self.pair.name)

    @property
    def titles(self) -> tuple[str, str]:
        """What the two pictures are called."""
        return say("Actual"), say("Expected")

    @property
    def status(self) -> Status:
        """The outcome of the pair."""
        return self.pair.outcome

    @property
    def measurements(self) -> Sequence[Measurement]:
        """What was measured."""
        return self.pair.measurements

    def filed(self, picture: Picture, side: int) -> Picture:
        """The picture as it is: a page that is carried away would have no way to the file."""
        del side
        return picture

    def course(self) -> tuple[str, Chart | None]:
        """Nothing is known of how a file was made."""
        return "", None


def viewer(
    diff: FolderDiff, pairs: Sequence[PicturePair], folders: tuple[Path, Path] | None, budget: int = BUDGET
) -> Viewer:
    """Every pair that differs, the worst first, while rows and the page's budget last; none without the folders."""
    differing = [pair for pair in ordered(pairs) if pair.measurements and pair.differing_pixels != 0]
    if folders is None:
        return Viewer((), say("A file of results holds no pictures; compare the two folders to see them."))
    album = Album(folders[0], budget)
    cases = []
    for number, pair in enumerate(differing[:MOST_SHOWN], 1):
        view = _view(pair, f"pair-{number}-views", album, folders, diff.alpha)
        failing = EXIT_CODES[pair.outcome] not in {0, EXIT_CODES[Status.SKIPPED]}
        cases.append(
            CaseView(
                id=f"pair-{number}",
                title=clean(pair.name),
                prompt="",
                status=pair.outcome,
                failing=failing,
                strips=(),
                pictures=(),
                pairs=(view,),
            )
        )
    left_out = ""
    if len(differing) > len(cases):
        left_out = say(
            "The worst {shown} of {count} pairs that differ are shown.", shown=len(cases), count=len(differing)
        )
    return Viewer(tuple(cases), left_out, about=say("Every pair of pictures that differ, the worst first."))


def _view(pair: PicturePair, name: str, album: Album, folders: tuple[Path, Path], alpha: Alpha | None) -> PairView:
    two = Files(pair)
    paths = folders[0] / pair.name, folders[1] / (pair.expected_name or pair.name)
    try:
        actual, expected = (_read(path, alpha) for path in paths)
    except (ImageError, OSError) as error:
        problem = say("not shown: {why}", why=clean(str(error)))
        absent = [Picture(title, problem=problem) for title in two.titles]
        return PairView(id=name, title=two.title, status=two.status, actual=absent[0], expected=absent[1])
    delta = maps.differences(actual, expected)
    if (full_view := whole_view(two, name, album, (actual, expected, delta))) is not None:
        return full_view
    small = [_small(title, side, album) for title, side in zip(two.titles, (actual, expected), strict=True)]
    view = PairView(
        id=name, title=two.title, status=two.status, actual=small[0], expected=small[1], **numbers(two, delta)
    )
    return with_thumbnail(view, album, delta)


def _small(title: str, array: NDArray[np.uint8], album: Album) -> Picture:
    picture = album.thumbnail(title, maps.small(array, THUMBNAIL_SIDE))
    return picture or Picture(title, problem=say("not shown: the page's budget for pictures is used up"))


def _read(path: Path, alpha: Alpha | None) -> NDArray[np.uint8]:
    """A picture as it was compared."""
    from harness.images import read_picture_as

    return read_picture_as(path, alpha)[0]
