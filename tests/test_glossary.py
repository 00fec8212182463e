"""The glossary has the words that verdicts and arms use, and its Chinese terms are those of the reports."""

from __future__ import annotations

from pathlib import Path

import polib
import pytest

from harness.language import spoken
from harness.records import Role, Status
from harness.render._labels import status_word, term
from translations.extract import catalogues

PAGE = Path(__file__).parents[1] / "docs" / "glossary.md"
NOT_USED = "—"


def terms() -> dict[str, str]:
    """The Chinese term of each English one."""
    return {english.strip(): chinese.strip() for english, chinese, _ in rows()}


def rows() -> list[list[str]]:
    """The cells of the table below its heading."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [line.strip("|").split("|") for line in lines[2:]]


def chinese_sentences() -> str:
    """All that the Chinese catalogue says."""
    entries = polib.pofile(str(catalogues()["zh"]))  # type: ignore[no-untyped-call]
    return "\n".join(text for entry in entries for text in (entry.msgstr, *entry.msgstr_plural.values()))


@pytest.mark.parametrize("status", Status)
def test_every_status_is_explained(status: Status) -> None:
    english = status_word(status)
    with spoken("zh"):
        assert terms()[english] == status_word(status)


@pytest.mark.parametrize("role", Role)
def test_every_role_is_explained(role: Role) -> None:
    with spoken("zh"):
        assert terms()[role.value] == term(role.value)


def test_chinese_terms_are_those_of_the_reports() -> None:
    said = chinese_sentences()
    assert [chinese for chinese in terms().values() if chinese != NOT_USED and chinese not in said] == []


def test_terms_stand_in_alphabetical_order_and_only_once() -> None:
    names = [english.strip() for english, *_ in rows()]
    assert names == sorted(set(names), key=str.casefold)
