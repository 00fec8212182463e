"""Text, tables and JSON on a terminal or in a log, as the stream can show them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

from harness.text import ascii_only, printable

if TYPE_CHECKING:
    from typing import TextIO

    from rich.console import Console, RenderableType
    from rich.table import Table

WIDTH = 80
"""Columns of text that no terminal shows."""
_LEAST = 20
"""Columns that are taken for granted."""


def print_line(text: str = "", *, error: bool = False) -> None:
    """Print text that may come from anywhere: no escape codes, and ASCII where the terminal lacks a sign."""
    stream = sys.stderr if error else sys.stdout
    _write(shown(text, stream) + "\n", stream)


def _write(text: str, stream: TextIO) -> None:
    """Write at once; when whoever read the stream has left, as ``head`` does, go on in silence to the exit code."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def shown(text: str, stream: TextIO) -> str:
    """Text as the stream can show it: a sign that its encoding lacks is written in ASCII, the others stay."""
    encoding = stream.encoding or "ascii"
    return "".join(sign if _has(encoding, sign) else ascii_only(sign) for sign in printable(text))


def _has(encoding: str, sign: str) -> bool:
    try:
        sign.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def print_json(data: Any) -> None:
    """Print data as JSON that any terminal can show."""
    _write(json.dumps(data, indent=2, ensure_ascii=True, allow_nan=False) + "\n", sys.stdout)


def new_table(*headings: str) -> Table:
    """A table with rules where somebody looks on, in ASCII where the encoding has no others, and without in a log."""
    from rich import box
    from rich.table import Table

    utf = "utf" in (sys.stdout.encoding or "").lower()
    rules = (box.SIMPLE_HEAD if utf else box.ASCII2) if sys.stdout.isatty() else None
    table = Table(box=rules, pad_edge=False, padding=(0, 1) if rules else (0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def print_sentence(text: str) -> None:
    """A sentence, broken between words where a terminal shows it, in one line in a log."""
    if not sys.stdout.isatty():
        print_line(text)
        return
    from rich.text import Text

    print_rich(Text(shown(text, sys.stdout)))


def print_rich(what: RenderableType) -> None:
    """Print what rich has to lay out, without spaces at the ends of lines."""
    page = console(sys.stdout)
    with page.capture() as captured:
        page.print(what)
    _write("\n".join(line.rstrip(" ") for line in captured.get().split("\n")), sys.stdout)


def columns() -> int:
    """Columns of the terminal, or as many as ``COLUMNS`` says."""
    return max(shutil.get_terminal_size((WIDTH, 24)).columns, _LEAST)


def console(stream: TextIO) -> Console:
    """A console of rich that changes no text: no markup, no emoji, no colours where NO_COLOR is set."""
    from rich.console import Console

    return Console(
        file=stream,
        width=columns() if stream is sys.stdout else None,
        color_system=None if os.environ.get("NO_COLOR") else "auto",  # rich alone would keep bold
        highlight=False,
        markup=False,
        emoji=False,
    )
