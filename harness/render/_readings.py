"""What "within 1 %" means for a comparison: every reading with its divisor, and what other noise gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import say, translated
from harness.readings import ladder
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render._document import Table, figure, plain, table

if TYPE_CHECKING:
    from harness.readings import Read
    from harness.records import Comparison
    from harness.render._document import Cell


def clause(comparison: Comparison) -> str:
    """How many readings the comparison passes, and how many of these other noise passes too; empty without any."""
    all_readings = ladder(comparison)
    return translated(all_readings.sentence) if all_readings else ""


def sentence(comparison: Comparison) -> str:
    """The same as a sentence of its own."""
    return formats.sentence(clause(comparison))


def readings(comparison: Comparison) -> Table | None:
    """Every reading in per cent: worst pair, mean, and the nearest that another seed's noise comes to it."""
    all_readings = ladder(comparison)
    if all_readings is None:
        return None
    columns = (
        say("Measured on"),
        say("Reading"),
        say("Worst"),
        say("Where"),
        say("Mean"),
        say("Below 1 %"),
        say("Other noise"),
        say("Passed by other noise"),
    )
    note = say(
        "a is the actual value, e the expected one; ranges are 255 for 8-bit images and 2 for float output. Other "
        "noise: two seeds of one case on the expected side, the smallest value of any case. A reading that it passes "
        "cannot tell a right port from other images."
    )
    return table(columns, map(_row, all_readings.readings), title=say("Readings of 'within 1 %'"), note=note)


def _row(read: Read) -> list[Cell]:
    cases = len(read.other_noise)
    return [
        plain(labels.subject(read.reading.subject)),
        plain(say(read.reading.formula)),
        figure(formats.per_cent(read.worst)),
        plain(labels.key(read.worst_key)),
        figure(formats.per_cent(read.mean)),
        plain(labels.yes_or_no(read.passed)),
        figure(formats.per_cent(min(read.other_noise)) if cases else say(labels.NOT_MEASURED)),
        figure(say("{part} of {whole}", part=read.passed_by_other_noise, whole=cases) if cases else labels.NONE),
    ]
