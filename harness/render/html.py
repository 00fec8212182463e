"""The report as one page that opens offline: nothing fetched, pictures embedded, all of it to be read without a script.

The one script turns the static views of a pair into a viewer; the page's policy names its digest and allows no other.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import TYPE_CHECKING

from harness.render import _explanation, _folders, _loose_pairs, _release, _trend
from harness.render._gallery import gallery, places
from harness.render._report import document
from harness.render._templates import fill
from harness.render._viewer import Viewer, viewer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness.contracts import ShownPair
    from harness.records import FolderDiff, PicturePair, Release, Report, Trend
    from harness.records.explanation import Explanation
    from harness.render._document import Document

FILE_NAME = "index.html"
FOLDERS_FILE_NAME = FILE_NAME


def render(report: Report, *, folder: Path) -> str:
    """The page; pictures are read below ``folder``, and links assume that the page lies one folder below it."""
    return _page(document(report), viewer(report, folder))


def render_release(release: Release, *, folders: Mapping[str, Path]) -> str:
    """The page of a release; pictures are read in ``folders``, by the names of the jobs."""
    shown = gallery(release, folders)
    content = _release.document(release, FILE_NAME, places=places(release, shown), details=True)
    return _page(content, shown)


def render_folders(diff: FolderDiff, pairs: Sequence[PicturePair], *, folders: tuple[Path, Path] | None) -> str:
    """The page of two folders of picture files, which are read in ``folders``; without pictures where that is None."""
    shown = _folders.viewer(diff, pairs, folders)
    return _page(_folders.document(diff, pairs, shown), shown)


def render_trend(trend: Trend, names: Mapping[str, str]) -> str:
    """The page of one scenario over several jobs; ``names`` are the names of its files by language."""
    return _page(_trend.document(trend, names), Viewer((), ""))


def render_explanation(explanation: Explanation) -> str:
    """The page of an explanation, which has no pictures."""
    return _page(_explanation.document(explanation), Viewer((), ""))


def render_pair(shown: ShownPair) -> str:
    """Two pictures, their difference and all metrics as a piece of a page, whose styles stand in its elements."""
    (view,) = _loose_pairs.views([shown])
    return fill("loose_pair.html.j2", pair=view)


def render_pairs(title: str, sentence: str, shown: Sequence[ShownPair]) -> str:
    """A page of pairs of pictures that no job folder holds."""
    views = _loose_pairs.views(shown)
    return fill("loose_pairs.html.j2", title=title, sentence=sentence, count=_loose_pairs.count(shown), views=views)


def _page(shown: Document, pictures: Viewer) -> str:
    # The policy's digest is over every character between the script's tags.
    script = fill("viewer.js") + (fill("frames.js") if pictures.frames else "")
    digest = hashlib.sha256(script.encode()).digest()
    return fill(
        "index.html.j2",
        document=shown,
        viewer=pictures,
        script_digest=b64encode(digest).decode("ascii"),
    )
