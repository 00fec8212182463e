"""What pictures are worth by what they were asked to show, and whether two arms are equivalent in that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import many, say, translated
from harness.render import _words as words
from harness.render._document import Bullets, Paragraph, clean, code, figure, plain, table
from harness.render._phrases import term

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.records import ArmScores, Report, ScoreTotal
    from harness.render._document import Block, Cell

_MOST_WRONG = 20


def scores(report: Report) -> Iterator[Block]:
    """Totals by arm, statements about two arms, and wrong pictures; nothing where no score was asked for."""
    totals = [(each, total) for each in report.scores for total in each.totals]
    if not totals:
        return
    yield table(
        (
            say("Arm"),
            say("Score"),
            say("Task"),
            say("Mean"),
            say("95 % interval"),
            say("Pictures"),
            say("Without a value"),
            say("By rule"),
        ),
        [_row(*each) for each in totals],
        note=say(
            "Each case and seed counts once, by its first sample. The interval is Wilson's and takes pictures as "
            "independent; {none} where a value lies between 0 and 1.",
            none=words.NONE,
        ),
    )
    stated = [each for comparison in report.comparisons for each in comparison.parities]
    if stated:
        yield Paragraph(
            say(
                "Two arms are equivalent where the 90 % interval of their paired difference (Tango's; two one-sided "
                "tests at 5 % each) lies within the margin. Each pair is one case and seed; pairs are taken as "
                "independent."
            )
        )
        yield Bullets(tuple(clean(translated(each.message)) for each in stated))
    yield from _wrong(report)


def _row(arm: ArmScores, total: ScoreTotal) -> list[Cell]:
    interval = words.NONE
    if total.low is not None and total.high is not None:
        interval = say("{first} to {last}", first=f"{100 * total.low:.1f}", last=_percent(total.high))
    return [
        code(arm.arm),
        code(total.score),
        plain(term(arm.task)),
        figure(words.NONE if total.mean is None else _percent(total.mean)),
        figure(interval),
        figure(total.pictures),
        figure(total.without_value),
        plain(words.names(f"{part} {_percent(share)}" for part, share in total.parts.items())),
    ]


def _wrong(report: Report) -> Iterator[Block]:
    """Pictures that are not right or have no value, with the reason."""
    found = [
        [
            code(arm.arm),
            code(each.key.case),
            figure(each.key.seed),
            code(each.score),
            plain(translated(each.words or each.problem)),
        ]
        for arm in report.scores
        for each in arm.scores
        if each.value != 1
    ]
    if found:
        more = len(found) - _MOST_WRONG
        yield table(
            (say("Arm"), say("Case"), say("Seed"), say("Score"), say("Why it is not 1")),
            found[:_MOST_WRONG],
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
