"""A document made short enough for a format that has to stay small: the worst rows and the beginnings of texts.

Nothing is left out without a sentence that counts it and says where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.language import many, say
from harness.records import EXIT_CODES
from harness.render._document import Block, Bullets, Cell, Charts, Document, Links, Listing, Paragraph, Section, Table
from harness.render._format import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@dataclass(frozen=True)
class Room:
    """How much of a document is shown."""

    complaints: int
    """Rows of a table that say of something that it failed; they come before all others."""
    rows: int
    """Rows of a table when fewer complain; items of a list; listings of a section."""
    characters: int
    """Characters of a text; of a listing twice as many, its last."""
    columns: int
    """Columns of a table."""
    blocks: int
    """Blocks of a section that are no listing."""


_ROWS = (100, 70, 50, 35, 25, 18, 12, 8, 6)
_COMPLAINTS = (400, 280, 200, 140, 100, 70, 50, 35, 25, 18, 12, 6)
_ROOMS = [
    [
        Room(complaints, rows, characters, columns, blocks)
        # Rows without a complaint give way first.
        for complaints, rows in (
            *((_COMPLAINTS[0], rows) for rows in _ROWS),
            *((complaints, _ROWS[-1]) for complaints in _COMPLAINTS[1:]),
        )
    ]
    for characters, columns, blocks in ((600, 24, 200), (300, 12, 60), (100, 8, 20), (60, 6, 4))
]
"""What is tried: for each length of texts the most rows first. Texts are cut shorter where the
fewest rows do not fit."""


def shortened(document: Document, *, fits: Callable[[Document], bool]) -> Document:
    """The document where it fits, else as much of it as fits; at the very least its head and its first section."""
    if fits(document):
        return document
    version = document
    for rooms in _ROOMS:
        version = _within(document, rooms[-1])
        if fits(version):
            return next(filter(fits, (_within(document, room) for room in rooms)))
    left_out: list[str] = []
    sections = version.sections
    while len(sections) > 1 and not fits(version):
        left_out.insert(0, sections[-1].title)
        sections = sections[:-1]
        sentence = say("Sections left out for want of room: {titles}.", titles=", ".join(left_out))
        version = replace(version, sections=_begun_with(sentence, sections))
    return version


def _within(document: Document, room: Room) -> Document:
    notice = say(
        "This page is shortened: long tables show their first rows, the worst where rows are judged, and long texts "
        "end in an ellipsis. The whole is in index.html and report.json, every measurement in metrics.csv."
    )
    sections = tuple(_section(section, room) for section in document.sections)
    return replace(
        document,
        title=_cut(document.title, room),
        summary=_cut(document.summary, room),
        reasons=tuple(_items(document.reasons, room)),
        marks=tuple(replace(mark, text=_cut(mark.text, _ROOMS[0][0])) for mark in document.marks),
        sections=_begun_with(notice, sections),
    )


def _begun_with(sentence: str, sections: tuple[Section, ...]) -> tuple[Section, ...]:
    """Sections, the first of which begins with a paragraph."""
    return (
        tuple(replace(section, blocks=(Paragraph(sentence), *section.blocks)) for section in sections[:1])
        + sections[1:]
    )


def _section(section: Section, room: Room) -> Section:
    listings = [block for block in section.blocks if isinstance(block, Listing)]
    others = [block for block in section.blocks if not isinstance(block, Listing)]
    kept = {id(block) for block in (*listings[: room.rows], *others[: room.blocks])}
    blocks = [_block(block, room, section) for block in section.blocks if id(block) in kept]
    if more := len(section.blocks) - len(kept):
        sentence = many(
            "{count} more part of this section is in index.html.",
            "{count} more parts of this section are in index.html.",
            more,
        )
        blocks.append(Paragraph(sentence))
    return replace(section, blocks=tuple(blocks))


def _block(block: Block, room: Room, section: Section) -> Block:
    if isinstance(block, Table):
        return _table(block, room, complains=section.id == "failures")
    if isinstance(block, Bullets):
        return Bullets(tuple(_items(block.items, room)))
    if isinstance(block, Listing):
        # What went wrong stands at the end of a log.
        most = 2 * room.characters
        return replace(block, text=block.text if len(block.text) <= most else f"…{block.text[-most:]}")
    if isinstance(block, Links | Charts):
        return block
    return replace(block, text=_cut(block.text, room))


def _items(items: tuple[str, ...], room: Room) -> Iterator[str]:
    yield from (_cut(item, room) for item in items[: room.rows])
    if more := len(items[room.rows :]):
        yield say("{count} more: index.html and report.json have all.", count=more)


def _table(table: Table, room: Room, *, complains: bool) -> Table:
    kept = _rows(table, room, complains=complains)
    notes = [_cut(table.note, room)]
    if more := len(table.rows) - len(kept):
        notes.append(
            many(
                "{count} more row: index.html and report.json have all.",
                "{count} more rows: index.html and report.json have all.",
                more,
            )
        )
    if more := len(table.columns[room.columns :]):
        notes.append(
            many(
                "{count} more column: index.html has all.",
                "{count} more columns: index.html has all.",
                more,
            )
        )
    rows = tuple(tuple(_cell(cell, room) for cell in row[: room.columns]) for row in kept)
    columns = tuple(_cut(column, room) for column in table.columns[: room.columns])
    return replace(table, columns=columns, rows=rows, note=running(notes), title=_cut(table.title, room))


def _rows(table: Table, room: Room, *, complains: bool) -> list[tuple[Cell, ...]]:
    """Rows that complain and then others, as many as there is room for, in the order of the table."""
    bad = [index for index, row in enumerate(table.rows) if complains or _complains(row)]
    kept = bad[: room.complaints]
    good = [index for index in range(len(table.rows)) if index not in set(bad)]
    kept += good[: max(0, room.rows - len(kept))]
    return [table.rows[index] for index in sorted(kept)]


def _complains(row: Iterable[Cell]) -> bool:
    return any(cell.status is not None and EXIT_CODES[cell.status] != 0 for cell in row)


def _cell(cell: Cell, room: Room) -> Cell:
    return replace(cell, text=_cut(cell.text, room), lines=tuple(_cut(line, room) for line in cell.lines[: room.rows]))


def _cut(text: str, room: Room) -> str:
    return text if len(text) <= room.characters else text[: room.characters - 1] + "…"
