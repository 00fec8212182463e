"""The case viewer: for every case and seed its distinct pictures, and for every pair that differs all views of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.language import many, marked, say, translated
from harness.records import EXIT_CODES, Scope, Status, worst
from harness.render import _labels as labels
from harness.render import _lookup as lookup
from harness.render import _pictures as pictures
from harness.render._cases import key_status
from harness.render._pair_views import PairView, Two, pair_view
from harness.render._pictures import Album, Picture
from harness.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from harness.records import CaseKey, Comparison, Pair, Report

FIRST = 60
"""A case that passes has whole pictures only among so many first ones; all that fail do, while the budget lasts."""

VIEWS = (
    ("1", "all", marked("Side by side")),
    ("2", "actual", marked("Actual")),
    ("3", "expected", marked("Expected")),
    ("4", "difference", marked("Difference")),
    ("5", "slider", marked("Slider")),
    ("6", "channels", marked("Channels")),
    ("b", "blink", marked("Blink")),
    ("z", "tile", marked("Worst place")),
)
"""What a pair can show: key, name for the script, and name for people."""

_NOT_FAILING = {0, EXIT_CODES[Status.SKIPPED]}


@dataclass(frozen=True)
class Strip:
    """Which outcome each sample of one arm has: labels of samples and numbers of outcomes, from 1."""

    arm: str
    outcomes: int
    cells: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class CaseView:
    """Everything there is to see of one case and seed."""

    id: str
    title: str
    prompt: str
    status: Status
    failing: bool
    strips: tuple[Strip, ...]
    pictures: tuple[Picture, ...]
    """Each distinct picture once."""
    pairs: tuple[PairView, ...]
    rank: tuple[int, bool, float] = (0, False, math.inf)
    """What cases are sorted by, the worst first."""
    video: str = ""
    """The video that it is a frame of; empty where it is none."""
    frame: int = 0
    """Number of the frame."""


@dataclass(frozen=True)
class Viewer:
    """All cases, the worst first, and what the page could not hold."""

    cases: tuple[CaseView, ...]
    left_out: str
    floors: tuple[str, ...] = ()
    """Why charts have no band of noise."""
    about: str = ""
    """What is shown, in a sentence; empty for the cases of a scenario."""
    views: tuple[tuple[str, str, str], ...] = VIEWS

    @property
    def frames(self) -> bool:
        """Whether there are frames of videos to step through."""
        return any(case.frame for case in self.cases)

    @property
    def shown(self) -> int:
        """Cases that are open at first, the worst one, or two where any fails; all others are folded."""
        return 2 if any(case.failing for case in self.cases) else 1


def viewer(report: Report, folder: Path, budget: int = pictures.BUDGET, first: int = FIRST) -> Viewer:
    """All cases and seeds of a report, the worst first, so that the budget goes where it is needed."""
    prompts = {case.id: printable(case.prompt) for run in report.runs for case in run.plan.cases}
    samples = [(run, lookup.samples_by_key(run)) for run in report.runs]
    keys = dict.fromkeys(key for _, by_key in samples for key in by_key)
    album, twos, parts = Album(folder, budget), _twos(report), _parts(report)
    cases: list[CaseView] = []
    for number, (rank, status, key) in enumerate(_ordered(report, keys, parts), 1):
        album.turn()
        failing = EXIT_CODES[status] not in _NOT_FAILING
        whole = failing or number <= first
        pairs = tuple(
            pair_view(two, f"case-{number}-pair-{index}", album, whole=whole)
            for index, two in enumerate(twos.get(key, []), 1)
        )
        made = pictures.distinct([(run, by_key.get(key, [])) for run, by_key in samples]).values()
        # A pair shows its two pictures; the row above it only says who made which.
        alone = whole and not pairs
        order = {
            sample.label: (sample.process, sample.repeat) for _, by_key in samples for sample in by_key.get(key, [])
        }
        cases.append(
            CaseView(
                f"case-{number}",
                labels.key(key),
                prompts.get(key.case, ""),
                status,
                failing,
                tuple(_strips((part for _, part in parts.get(key, [])), order)),
                tuple(pictures.stored(picture, album, whole=alone) for picture in made),
                pairs,
                rank,
                str(key.call) if key.frame else "",
                key.frame or 0,
            )
        )
    return Viewer(tuple(cases), _left_out(cases, budget, first), tuple(_unknown_floors(report, cases)))


def _unknown_floors(report: Report, cases: Iterable[CaseView]) -> Iterator[str]:
    """Why the noise floor of a reference is not known; nothing where no curve could show it."""
    if any(pair.curve and pair.curve.note for case in cases for pair in case.pairs):
        for arm, why in report.uncalibrated.items():
            yield say("The noise floor of {arm} is not measured: {why}.", arm=arm, why=translated(why))


def _left_out(cases: Iterable[CaseView], budget: int, first: int) -> str:
    """What the page does not show whole, in a sentence; empty when it shows everything."""
    shown = [picture for case in cases for picture in _pictures_of(case) if picture.digest]
    whole = {picture.digest for picture in shown if picture.source and not picture.thumbnail}
    small = {picture.digest for picture in shown if picture.source} - whole
    linked = {picture.digest for picture in shown} - whole - small
    parts = [
        many("{count} picture as thumbnails", "{count} pictures as thumbnails", len(small)) if small else "",
        many("{count} picture as links alone", "{count} pictures as links alone", len(linked)) if linked else "",
    ]
    if not any(parts):
        return ""
    return say(
        "Whole pictures take at most {megabytes} MB of this page, the worst cases first; a case that passes has "
        "them only among the first {first}. Beside them the page has {others}; each leads to its file in "
        "the job folder.",
        megabytes=f"{budget / 1e6:g}",
        first=first,
        others=pictures.listed(filter(None, parts)),
    )


def _pictures_of(case: CaseView) -> Iterator[Picture]:
    yield from case.pictures
    for pair in case.pairs:
        yield from (pair.actual, pair.expected)


# --- order -----------------------------------------------------------------------------------------------------------

_Parts = dict["CaseKey", list[tuple["Comparison", "Comparison"]]]
"""For each case and seed the comparisons that speak of it, whole and the part about it."""


def _parts(report: Report) -> _Parts:
    parts: _Parts = {}
    for comparison in report.comparisons:
        for key, part in lookup.by_key(comparison).items():
            parts.setdefault(key, []).append((comparison, part))
    return parts


_Rank = tuple[int, bool, float]


def _ordered(report: Report, keys: Iterable[CaseKey], parts: _Parts) -> list[tuple[_Rank, Status, CaseKey]]:
    """Each case and seed with its worst word; the worst word first, then the lowest PSNR.

    Among those that pass, what a score says the model can draw comes before what it cannot: a reader who sees the first
    images looks for what the port did, not for what the model never learned.
    """
    # Sides that cannot be compared have no pairs, and so no keys of their own; what they say holds for every key.
    everywhere = [comparison for comparison in report.comparisons if comparison.differences]
    right = {score.key for arm in report.scores for score in arm.scores if score.value == 1}
    ranked = []
    for key in keys:
        own = parts.get(key, [])
        about = [part for _, part in own]
        about += [comparison for comparison in everywhere if all(comparison is not whole for whole, _ in own)]
        status = worst([key_status(part, key) for part in about]) if about else Status.SKIPPED
        psnr = min((_psnr(pair) for part in about for pair in part.pairs), default=math.inf)
        undrawn = EXIT_CODES[status] in _NOT_FAILING and key not in right
        ranked.append(((labels.RANKS[status], undrawn, psnr), status, key))
    return sorted(ranked, key=lambda row: (row[0], row[2].order))


def _psnr(pair: Pair) -> float:
    psnr = pair.measurement("psnr_db", "image")
    return math.inf if psnr is None or psnr.value is None else psnr.value


def _twos(report: Report) -> dict[CaseKey, list[Two]]:
    """For each case and seed, what was compared and has two pictures; each two pictures once, the worst first."""
    by_key: dict[CaseKey, dict[frozenset[str], Two]] = {}
    floors = {calibration.arm: calibration for calibration in report.calibrations}
    for comparison in report.comparisons:
        runs = lookup.run_of(report, comparison.actual), lookup.run_of(report, comparison.expected)
        for pair, left, right in lookup.sides_of(report, comparison):
            both = frozenset((left.image.digest, right.image.digest))
            if len(both) > 1 and runs[0] and runs[1]:
                # An arm of another job has a path through that job's folder, and may have been run otherwise.
                floor = floors.get(comparison.expected.path) if comparison.scope is Scope.REFERENCE else None
                two = Two(comparison, pair, (runs[0], left), (runs[1], right), floor)
                by_key.setdefault(pair.key, {}).setdefault(both, two)
    return {
        key: sorted(twos.values(), key=lambda two: (labels.RANKS[two.status], _psnr(two.pair)))
        for key, twos in by_key.items()
    }


def _strips(parts: Iterable[Comparison], order: Mapping[str, tuple[int, int]]) -> Iterator[Strip]:
    """Where repeats have several outcomes: which sample has which, in the order of processes and repeats."""
    for part in parts:
        for repetition in part.repetitions:
            if len(repetition.outcomes) > 1:
                number = {
                    label: index for index, outcome in enumerate(repetition.outcomes, 1) for label in outcome.samples
                }
                cells = sorted(number.items(), key=lambda cell: order.get(cell[0], (0, 0)))
                yield Strip(lookup.arm_of(part.actual), len(repetition.outcomes), tuple(cells))
