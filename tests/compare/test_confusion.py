"""The right hint is said of known damage, nothing of what is harmless, and the document holds every kind."""

from __future__ import annotations

import pytest

from tests.compare import confusion
from tests.compare.base_pictures import ROOT
from tests.compare.confusion import LEAST_RIGHT, MOST_SAID, NONE, Answer, answers, shares
from tests.compare.damage import KINDS, planted

SOME = ("texture", "shapes", "night", "portrait", "foliage", "model: valentine", "chelsea, a part")
"""Pictures of few pixels, so that the run is short; the document has them all."""


@pytest.fixture(scope="module")
def found() -> list[Answer]:
    return list(answers(planted(SOME)))


def test_the_hint_that_is_due_is_said(found: list[Answer]) -> None:
    right, _ = shares(found)
    assert right >= LEAST_RIGHT, [each for each in found if each.due != NONE and not each.right]


def test_nothing_is_said_where_no_hint_is_due(found: list[Answer]) -> None:
    _, said = shares(found)
    assert said <= MOST_SAID, [each for each in found if each.due == NONE and not each.right]


def test_every_kind_of_damage_is_told_on_most_pictures(found: list[Answer]) -> None:
    for kind in KINDS:
        of_it = [each.right for each in found if each.damage == kind.name]
        assert sum(of_it) > len(of_it) / 2, kind.name


def test_every_hint_has_a_kind_of_damage_that_is_due_to_it(found: list[Answer]) -> None:
    assert {each.said for each in found if each.right} == {kind.due or NONE for kind in KINDS} | {"other-picture"}


def test_a_wrong_hint_counts_as_wrong() -> None:
    good, other, silent = (Answer("a", "shift", said, "b", right=said == "shift") for said in ("shift", "tone", NONE))
    quiet, loud = (Answer("a", NONE, said, "b", right=said == NONE) for said in (NONE, "tone"))
    assert shares([good, other, silent, good, quiet, loud]) == (0.5, 0.5)


def test_the_document_has_every_kind_and_keeps_the_limits() -> None:
    text = (ROOT / "docs" / "hints.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    kinds = {row[0]: row[1] for row in rows if len(row) == 5 and row[0] != "damage"}
    assert {kind.name: kind.due or NONE for kind in KINDS}.items() <= kinds.items()
    totals = [row for row in rows if row[1].isdecimal()]
    assert len(totals) == 2
    for _, _, right, _, said in totals:
        assert float(right.rstrip("%")) >= 100 * LEAST_RIGHT
        assert float(said.rstrip("%")) <= 100 * MOST_SAID
    assert confusion.ABOUT in text
    assert confusion.LIMITS in text
