"""Find the page of a job to look at: the verb open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import plugins, store
from harness.errors import NothingSelected, UnknownName

if TYPE_CHECKING:
    from pathlib import Path

LATEST = "latest"


def page_of(wanted: str, runs_folder: Path) -> Path:
    """The page of the newest job that has one, of a job's folder, or of the newest job of a scenario; absolute.

    Raises:
        NothingSelected: no job below the runs folder has a page.
        UnknownName: there is no job or scenario of that name with a page.
    """
    name = plugins.load("render", "html").FILE_NAME
    pages = {
        folder.name: page
        for folder in sorted(runs_folder.glob("*_*"), reverse=True)
        if (page := folder / store.REPORT_FOLDER / name).is_file()
    }
    if not pages:
        raise NothingSelected(f"no job in {runs_folder.absolute()} has a page; harness check makes one.")
    if wanted == LATEST:
        return next(iter(pages.values())).absolute()
    job = wanted.rstrip("/").rpartition("/")[2]
    matching = [page for folder, page in pages.items() if job in {folder, folder.partition("_")[2]}]
    if not matching:
        scenarios = {folder.partition("_")[2] for folder in pages}
        raise UnknownName("job or scenario with a page", job, [LATEST, *scenarios, *pages])
    return matching[0].absolute()
