"""What a reader of each format sees, as far as tests ask for it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from harness import plugins

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Report

VOID = {"meta", "img", "br", "link", "input", "hr"}


def rendered(name: str, report: Report, folder: Path) -> str:
    return plugins.load("render", name).render(report, folder=folder)


class Page(HTMLParser):
    """What a browser would see: elements, text, cells; complains about tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self._open):
            self.words.append(data)
        if "td" in self._open or "th" in self._open:
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def outside_fences(text: str) -> list[str]:
    """Lines of a Markdown text that are not inside a fenced block."""
    lines, fence = [], ""
    for line in text.splitlines():
        opening = re.match(r"^(`{3,})", line)
        if fence:
            fence = "" if line.strip() == fence else fence
        elif opening:
            fence = opening[1]
        else:
            lines.append(line)
    assert not fence
    return lines


def markdown_tables(text: str) -> list[list[list[str]]]:
    """Cells of every table of a Markdown text, split at the pipes that are not escaped."""
    tables: list[list[list[str]]] = []
    before = ""
    for line in outside_fences(text):
        if line.startswith("|"):
            if not before.startswith("|"):
                tables.append([])
            cells = re.split(r"(?<!\\)(?:\\\\)*\|", line)
            tables[-1].append([cell.strip() for cell in cells[1:-1]])
        before = line
    return tables


def readable(name: str, text: str) -> str:
    """Text of a report as a person sees it."""
    return Page(text).text if name == "html" else text


def rows(name: str, text: str) -> list[list[str]]:
    """Cells of every row of every table, without the signs of code spans."""
    found = Page(text).rows if name == "html" else [row for table in markdown_tables(text) for row in table]
    return [[cell.strip("`") for cell in row] for row in found]
