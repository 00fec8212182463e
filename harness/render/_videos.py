"""What whole videos say: which frames differ by digest, the course over the stored frames, and flicker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import say
from harness.records import Scope
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render._courses import Value, course
from harness.render._document import Charts, code, figure, plain, table
from harness.render._format import running
from harness.render._lookup import against, name_of, worst_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.records import Comparison, Measurement, Pair, VideoDifference
    from harness.render._courses import Course
    from harness.render._document import Block, Cell, Table

_MOST_CHARTS = 12
_CURVES = ("psnr_db", "ssim", "max_abs_diff")
"""What is shown over the frames; the worst stored frame is that with the lowest PSNR."""


def videos(comparison: Comparison) -> Iterator[Block]:
    """A row for each pair of videos, and for those with a reference the course over the stored frames."""
    whole = [pair for pair in comparison.pairs if pair.video is not None]
    if not whole:
        return
    yield _table(comparison, whole)
    if comparison.scope is Scope.REFERENCE:
        drawn = [chart for pair in whole if pair.video for chart in _courses(comparison, pair, pair.video)]
        if drawn:
            yield Charts(tuple(drawn[:_MOST_CHARTS]))


def _table(comparison: Comparison, whole: list[Pair]) -> Table:
    columns = (
        say("Case"),
        say("Seed"),
        say("Pair"),
        say("Frames"),
        say("Frames that differ"),
        say("First differing frame"),
        say("Stored frames"),
        say("Worst stored frame"),
        say("Flicker, largest"),
    )
    notes = [
        say(
            "Whether a frame differs is known of every frame, by its digest. Metrics, and limits on them, judge the "
            "stored frames alone; a limit on 'identical' judges all."
        ),
        say(
            "Flicker: root mean square, over pixels and channels, of (A[t] - A[t-1]) - (B[t] - B[t-1]) in levels of "
            "255, for neighbouring frames that are both stored; A is the actual side, B the expected one."
        ),
    ]
    return table(
        columns,
        [_row(comparison, pair, pair.video) for pair in whole if pair.video],
        title=say("{comparison}: videos", comparison=name_of(comparison)),
        note=running(notes),
    )


def _row(comparison: Comparison, pair: Pair, video: VideoDifference) -> list[Cell]:
    bad = worst_pair(frames_of(comparison, pair), "psnr_db", "image")
    worst = labels.NONE
    if bad and bad[0].key.frame and bad[1].value is not None:
        value = formats.measured(bad[1], unit=True, parts=False)
        worst = say("frame {frame}: {value}", frame=bad[0].key.frame, value=value)
    flickering = max(video.flicker, key=lambda step: step.rms, default=None)
    return [
        code(pair.key.case),
        figure(pair.key.seed),
        plain(against(pair.actual, pair.expected)),
        figure(video.frames),
        figure(len(video.differing)),
        figure(video.differing[0] if video.differing else labels.NONE),
        plain(", ".join(map(str, video.kept)) if len(video.kept) < video.frames else say("all")),
        plain(worst),
        plain(
            say("not measured: no neighbouring frames are stored; 'keep_all: true' stores them")
            if flickering is None
            else say("{value} levels, at frame {frame}", value=f"{flickering.rms:.4g}", frame=flickering.frame)
        ),
    ]


def frames_of(comparison: Comparison, pair: Pair) -> list[Pair]:
    """The pairs of the stored frames of two videos."""
    return [
        one
        for one in comparison.pairs
        if one.key.frame and one.key.call == pair.key and (one.actual, one.expected) == (pair.actual, pair.expected)
    ]


def _courses(comparison: Comparison, pair: Pair, video: VideoDifference) -> Iterator[Course]:
    frames = {one.key.frame: one for one in frames_of(comparison, pair)}
    for metric in _CURVES:
        measured = [(number, frames[number].measurement(metric, "image")) for number in video.kept if number in frames]
        title = say("{metric}, {key}", metric=labels.metric_name(metric), key=labels.key(pair.key))
        drawing = _drawn(title, [(number, found) for number, found in measured if found])
        if drawing and not pair.identical:
            yield drawing
    if video.flicker and any(step.rms for step in video.flicker):
        title = say("Flicker in levels, {key}", key=labels.key(pair.key))
        values = [Value(step.rms, None, "quiet", f"{step.frame}: {step.rms:.4g}") for step in video.flicker]
        if drawing := course(title, "", values, (), across=say("frame"), numbers=[s.frame for s in video.flicker]):
            yield drawing


def _drawn(title: str, measured: list[tuple[int, Measurement]]) -> Course | None:
    values = [
        Value(one.value, None, "quiet", f"{number}: {formats.measured(one, unit=True, parts=False)}")
        for number, one in measured
    ]
    return course(title, "", values, (), across=say("frame"), numbers=[number for number, _ in measured])
