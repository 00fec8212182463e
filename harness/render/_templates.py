"""The templates beside this file, with what a template may call; a name it does not know is an error."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from rich.cells import cell_len

from harness.language import language, many, say, tag_of
from harness.records import EXIT_CODES
from harness.render._labels import SIGNS, status_word
from harness.text import markdown_cell

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import Status
    from harness.render._courses import Tone
    from harness.render._document import Cell, Table

_SHORTEST_FENCE = 3


def fill(template: str, **values: Any) -> str:
    """Text of a template; HTML templates escape every value, Markdown templates name the filter they need."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("harness.render", "templates"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "md": markdown_cell,
        "md_cell": _markdown,
        "fence": _fence,
        "alignments": _alignments,
        "numeric": _numeric,
        "word": status_word,
        "sign": SIGNS.__getitem__,
        "tone": tone,
        "width": cell_len,
    }
    environment.filters.update(filters)
    environment.globals.update(say=say, many=many, language=lambda: tag_of(language()))
    return environment


def tone(status: Status) -> Tone:
    """Whether a status reads as good, bad or neither; a format turns it into a colour."""
    if EXIT_CODES[status] == 0:
        return "good"
    tones: dict[str, Tone] = {"not_comparable": "doubt", "missing_baseline": "doubt", "skipped": "quiet"}
    return tones.get(status.value, "bad")


def _numeric(table: Table) -> list[bool]:
    """For each column, whether all its cells are numbers."""
    return [
        bool(table.rows) and all(row[column].kind == "number" for row in table.rows)
        for column in range(len(table.columns))
    ]


def _alignments(table: Table) -> list[str]:
    return ["---:" if numeric else ":---" for numeric in _numeric(table)]


def _markdown(cell: Cell) -> str:
    if cell.status is not None:
        shout = EXIT_CODES[cell.status] != 0
        word = f"**{cell.text.upper()}**" if shout else cell.text
        return "; ".join([word, *map(markdown_cell, cell.lines)])
    # A pipe or a backtick would end a code span in some dialects; such a text is escaped as words instead.
    if cell.kind == "code" and not set(cell.text) & set("|`\n\\<"):
        return f"`{cell.text}`"
    return markdown_cell(cell.text)


def _fence(text: str) -> str:
    """A fence longer than any run of backticks in the text."""
    longest, run = 0, 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return "`" * max(_SHORTEST_FENCE, longest + 1)
