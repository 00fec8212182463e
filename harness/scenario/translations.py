"""Texts of a report in its language, by the translations that a scenario has for its own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import language, translated

if TYPE_CHECKING:
    from harness.records import Scenario


def own_words(scenario: Scenario, text: str) -> str:
    """A text of a report in the spoken language, by the scenario's own translations where it holds its words.

    That is its summary, a reason, or a sentence of a record with the reason of a waiver or of a difference on purpose
    in it; what the scenario does not translate is ``translated``, and stays as it is where no catalogue knows it.
    """
    return translated(text, scenario.translations.get(language(), {}))
