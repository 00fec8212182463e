"""In which files and keys the models of two sides differ, and why they are compared all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import say
from harness.records import OnPurpose
from harness.render import _labels as labels
from harness.render._document import Paragraph, clean, code, plain, table
from harness.render._lookup import name_of
from harness.scenario import own_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.records import Comparison, FileDifference, Report
    from harness.render._document import Block


def differences(report: Report, comparison: Comparison) -> Iterator[Block]:
    """The scenario's reason where there is one, and a row for each file; nothing where the models are the same."""
    if comparison.model is None:
        return
    if reason := comparison.differs_in.get(OnPurpose.MODEL):
        text = own_words(report.scenario, reason)
        yield Paragraph(clean(say("The models of the two sides differ on purpose: {reason}", reason=text)))
    if comparison.model.files:
        rows = [
            [code(difference.name), plain(_what(difference)), plain(", ".join(difference.keys) or labels.NONE)]
            for difference in comparison.model.files
        ]
        columns = (say("File of the model"), say("Difference"), say("Keys with other values"))
        yield table(columns, rows, title=say("{comparison}: other files", comparison=name_of(comparison)))


def _what(difference: FileDifference) -> str:
    if difference.missing is None:
        return say("other bytes")
    return say("missing on the actual side") if difference.missing == "actual" else say("missing on the expected side")
