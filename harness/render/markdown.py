"""The report as Markdown: plain tables, no HTML, readable as it is.

It stays below 60,000 bytes, which people can read and forges show whole; a longer one is shortened and says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import language, name_of
from harness.render import _folders, _release
from harness.render._card import card, pictures
from harness.render._report import document
from harness.render._size_limit import shortened
from harness.render._templates import fill
from harness.render._viewer import Viewer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness.records import FolderDiff, PicturePair, Release, Report
    from harness.render._document import Document

FILE_NAME = "report.md"
FOLDERS_FILE_NAME = FILE_NAME
MOST_BYTES = 60_000
"""Size in UTF-8 below which every page is."""


def render(report: Report, *, folder: Path) -> str:
    """Text of the report; pictures are left out, so ``folder`` is not read."""
    del folder
    return _page(shortened(document(report), fits=_fits))


def render_release(release: Release, *, folders: Mapping[str, Path]) -> str:
    """Text of the report of a release, without the values of every pair; ``folders`` are not read."""
    del folders
    content = _release.document(release, FILE_NAME, places={}, details=False)
    return _page(shortened(content, fits=_fits))


CARD_FILE_NAME = "README.md"


CARD_BYTES = 8000
"""What the text of a card may weigh: it is read on the first page of a model."""


def render_card(release: Release) -> str:
    """Text of the card of a release in the spoken language; values of readings give way where it gets too long."""
    others = [
        (name_of(code), release.file_name(CARD_FILE_NAME, code)) for code in release.languages if code != language()
    ]
    text = ""
    for ladders in (2, 1, 0):
        content = card(release, others, ladders=ladders)
        text = fill("card.md.j2", card=content, name=release.name).rstrip() + "\n"
        if len(text.encode()) <= CARD_BYTES:
            break
    return text


def card_pictures(release: Release) -> dict[str, tuple[str, str]]:
    """Images that the card shows: run and file inside its folder, by their names below the card's folder."""
    return {picture.file: (picture.run, picture.path) for picture in pictures(release)}


def render_folders(diff: FolderDiff, pairs: Sequence[PicturePair], *, folders: tuple[Path, Path] | None) -> str:
    """Text of the page of two folders of picture files; ``folders`` are not read."""
    del folders
    return _page(shortened(_folders.document(diff, pairs, Viewer((), "")), fits=_fits))


def _page(content: Document) -> str:
    return fill("report.md.j2", document=content).rstrip() + "\n"


def _fits(content: Document) -> bool:
    return len(_page(content).encode()) < MOST_BYTES
