"""What a report says, free of any format: a heading, marks, and sections of paragraphs, tables, lists and quotes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from harness.render._labels import NONE, SIGNS, status_word
from harness.text import printable, redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.answers import Answered
    from harness.records import Status
    from harness.render._courses import Course

_SHORT_DIGEST = 12
_KEPT = 16_384
"""Texts that are cleaned once: a report says most of them thousands of times."""


@dataclass(frozen=True)
class Cell:
    """One cell of a table; it is never empty."""

    text: str
    kind: Literal["text", "number", "code", "quote", "status"] = "text"
    status: Status | None = None
    full: str = ""
    """The whole value where ``text`` is shortened."""
    lines: tuple[str, ...] = ()
    """What stands below the text, each on a line of its own."""
    link: str = ""
    """Where the text leads, such as ``#case-1``; empty where it leads nowhere."""

    def __post_init__(self) -> None:
        if not self.text.strip():
            object.__setattr__(self, "text", NONE)


@dataclass(frozen=True)
class Table:
    """Columns with headings; every row has as many cells."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    note: str = ""
    """One sentence under the table."""
    fold: bool = False
    """Whether a format that can fold may show only the title at first."""
    open: bool = True
    """Whether a folded table is better shown open."""
    kind: Literal["table"] = "table"

    def __post_init__(self) -> None:
        wrong = [row for row in self.rows if len(row) != len(self.columns)]
        if wrong:
            raise ValueError(f"a row has {len(wrong[0])} cells where the table has {len(self.columns)} columns")


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str
    status: Status | None = None
    """Outcome to show in front of the text."""
    kind: Literal["paragraph"] = "paragraph"


@dataclass(frozen=True)
class Heading:
    """Title of a part of a section."""

    text: str
    status: Status | None = None
    kind: Literal["heading"] = "heading"


@dataclass(frozen=True)
class Bullets:
    """A plain list."""

    items: tuple[str, ...]
    kind: Literal["bullets"] = "bullets"


@dataclass(frozen=True)
class Listing:
    """Lines to be shown exactly as they are."""

    text: str
    title: str
    fold: bool = True
    kind: Literal["listing"] = "listing"


@dataclass(frozen=True)
class Link:
    """Words that lead somewhere."""

    words: str
    target: str


@dataclass(frozen=True)
class Links:
    """A list of links."""

    links: tuple[Link, ...]
    kind: Literal["links"] = "links"


@dataclass(frozen=True)
class Charts:
    """Drawings beside each other, in a format that can draw."""

    charts: tuple[Course, ...]
    kind: Literal["charts"] = "charts"


Block = Table | Paragraph | Heading | Bullets | Listing | Links | Charts


@dataclass(frozen=True)
class Section:
    """A titled part of the report."""

    id: str
    title: str
    blocks: tuple[Block, ...]
    fold: bool = False
    """Whether a format that can fold shows only the title at first."""


@dataclass(frozen=True)
class Mark:
    """A warning that no one can overlook."""

    title: str
    text: str
    kind: Literal["simulated", "cpu", "unfinished", "unverified"]


@dataclass(frozen=True, kw_only=True)
class AnswerLine:
    """One of the questions that a report is opened for, with its answer."""

    question: str
    answered: Answered | None
    """How it is answered, for signs and colours; None where it is no question of yes or no."""
    word: str
    """The same in a word."""
    text: str
    """The figures behind it."""
    link: Link | None = None
    """Where more of it is said; None where nowhere."""


@dataclass(frozen=True)
class Figure:
    """One number worth seeing first, with its words."""

    value: str
    words: str


@dataclass(frozen=True)
class Document:
    """Everything a report says."""

    title: str
    summary: str
    status: Status
    sentence: str
    reasons: tuple[str, ...]
    """Sentences of the comparisons that decided."""
    marks: tuple[Mark, ...]
    sections: tuple[Section, ...]
    figures: tuple[Figure, ...] = ()
    answers: tuple[AnswerLine, ...] = ()
    """The answers to the questions that a report is opened for."""
    languages: tuple[Link, ...] = ()
    """The same in other languages."""
    pictures_before: tuple[str, ...] = ("determinism",)
    """Sections of which the first is preceded by the pictures, in a format that has any."""


@lru_cache(maxsize=_KEPT)
def clean(text: str) -> str:
    """Text from outside without control characters and secrets; the environment is not looked at."""
    return redact(printable(text), environment={})


def plain(text: object) -> Cell:
    """A cell of words."""
    return Cell(clean(str(text)))


def figure(text: object) -> Cell:
    """A cell whose text is a number, set so that digits stand under digits."""
    return Cell(clean(str(text)), kind="number")


def code(text: str) -> Cell:
    """A cell with a name or value that a machine reads."""
    return Cell(clean(text), kind="code")


def quote(text: str) -> Cell:
    """A cell with text that a user wrote as content, shown word for word."""
    return Cell(printable(text), kind="quote")


def digest(value: str) -> Cell:
    """A cell with the beginning of a digest."""
    return Cell(value[:_SHORT_DIGEST], kind="code", full=value)


def word(status: Status) -> Cell:
    """A cell with the word of an outcome."""
    return Cell(status_word(status), kind="status", status=status)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, title: str = "", note: str = "", fold: bool = False
) -> Table:
    """A table from any sequences of cells."""
    return Table(tuple(map(clean, columns)), tuple(map(tuple, rows)), title=clean(title), note=clean(note), fold=fold)


def sign(status: Status) -> str:
    """The sign that stands beside the word of an outcome."""
    return SIGNS[status]
