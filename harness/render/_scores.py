"""What pictures are worth by what they were asked to show, and whether two arms are equivalent in that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import many, say, translated
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render._document import Bullets, Paragraph, clean, code, figure, plain, table
from harness.render._labels import term

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.records import ArmScores, Report, ScoreTotal
    from harness.render._document import Block, Cell, Table

_MOST_WRONG = 20


def scores(report: Report) -> Iterator[Block]:
    """Totals by arm, statements about two arms, and wrong pictures; nothing where no score was asked for."""
    if (shown := totals(report)) is None:
        return
    yield shown
    if (stated := statements(report)) is not None:
        yield Paragraph(equivalence())
        yield stated
    yield from wrong(report)


def totals(report: Report) -> Table | None:
    """What the pictures of each arm are worth; None where no score was asked for."""
    rows = [_row(arm_scores, total) for arm_scores in report.scores for total in arm_scores.totals]
    if not rows:
        return None
    columns = (
        say("Arm"),
        say("Score"),
        say("Task"),
        say("Mean"),
        say("95 % interval"),
        say("Pictures"),
        say("Without a value"),
        say("By rule"),
    )
    note = say(
        "Each case and seed counts once, by its first sample. The interval is Wilson's and takes pictures as "
        "independent; {none} where a value lies between 0 and 1.",
        none=labels.NONE,
    )
    return table(columns, rows, note=formats.running([note, *origins(report)]))


def origins(report: Report) -> Iterator[str]:
    """Which scores were made by another program, and the files that they were read from."""
    for arm in report.scores:
        for name, origin in arm.imported.items():
            yield say(
                "{score} of {arm} was made by another program and imported from {files}; judge: {judge}.",
                score=name,
                arm=arm.arm,
                files=formats.names(f"{file.path} (SHA-256 {file.sha256[:12]}…)" for file in origin.files),
                judge=origin.judge or say(labels.UNKNOWN),
            )


def equivalence() -> str:
    """When two arms are called equivalent."""
    return say(
        "Two arms are equivalent where the 90 % interval of their paired difference (two one-sided tests at 5 % each) "
        "lies within the margin. It is Tango's where all values are 0 and 1, and otherwise Student's with one pair "
        "added at either end of the scale. Each pair is one case and seed; pairs are taken as independent."
    )


def statements(report: Report) -> Bullets | None:
    """What the scores say about two arms, a sentence for each two; None where no two were compared."""
    messages = [parity.message for comparison in report.comparisons for parity in comparison.parities]
    return Bullets(tuple(clean(translated(message)) for message in messages)) if messages else None


def _row(arm: ArmScores, total: ScoreTotal) -> list[Cell]:
    interval = labels.NONE
    if total.low is not None and total.high is not None:
        interval = say("{first} to {last}", first=f"{100 * total.low:.1f}", last=_percent(total.high))
    return [
        code(arm.arm),
        code(total.score),
        plain(term(arm.task)),
        figure(labels.NONE if total.mean is None else _percent(total.mean)),
        figure(interval),
        figure(total.pictures),
        figure(total.without_value),
        plain(formats.names(f"{part} {_percent(share)}" for part, share in total.parts.items())),
    ]


def wrong(report: Report) -> Iterator[Table]:
    """Pictures that are not right or have no value, with the reason."""
    rows = [
        [
            code(arm.arm),
            code(score.key.case),
            figure(labels.seed(score.key)),
            code(score.score),
            code(score.words) if score.words else plain(translated(score.problem)),
        ]
        for arm in report.scores
        for score in arm.scores
        if score.value != 1
    ]
    if rows:
        more = len(rows) - _MOST_WRONG
        yield table(
            (say("Arm"), say("Case"), say("Seed"), say("Score"), say("Why it is not 1")),
            rows[:_MOST_WRONG],
            title=say("Pictures that are not right, or have no value"),
            note=_left_out(more) if more > 0 else "",
            fold=True,
        )


def _left_out(count: int) -> str:
    return many(
        "{count} more row left out; the files scores-ARM.json hold all.",
        "{count} more rows left out; the files scores-ARM.json hold all.",
        count,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
