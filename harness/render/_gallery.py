"""The pictures of a release: the viewers of all its jobs as one, within one budget."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.language import say
from harness.render import _labels as labels
from harness.render._pictures import BUDGET
from harness.render._viewer import FIRST, CaseView, Viewer, viewer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from harness.records import CaseKey, Release
    from harness.render._pictures import Picture


def gallery(release: Release, folders: Mapping[str, Path], budget: int = BUDGET) -> Viewer:
    """Every case of every job, the worst first; each job has an equal share of the page's budget.

    Pictures lead nowhere: a release is carried without the job folders.
    """
    share = budget // max(1, len(release.jobs))
    cases: list[CaseView] = []
    notes: list[str] = []
    for number, job in enumerate(release.jobs, 1):
        made = viewer(job.report, folders[job.job], share, max(1, FIRST // len(release.jobs)))
        cases += [_of_job(case, number, job.name) for case in made.cases]
        notes += [say("{job}: not every picture is whole here.", job=job.name)] if made.left_out else []
    return Viewer(tuple(sorted(cases, key=lambda case: case.rank)), " ".join(notes))


def places(release: Release, shown: Viewer) -> dict[tuple[str, CaseKey], str]:
    """Where each case is shown, by job, case and seed."""
    ids = {case.title: case.id for case in shown.cases}
    return {
        (job.job, sample.key): ids[title]
        for job in release.jobs
        for run in job.report.runs
        for sample in run.samples
        if (title := _title(job.name, labels.key(sample.key))) in ids
    }


def _title(job: str, case: str) -> str:
    return say("{job}: {case}", job=job, case=case)


def _of_job(case: CaseView, number: int, job: str) -> CaseView:
    return replace(
        case,
        id=f"job-{number}-{case.id}",
        title=_title(job, case.title),
        pictures=_unlinked(case.pictures),
        pairs=tuple(
            replace(
                pair,
                id=f"job-{number}-{pair.id}",
                actual=replace(pair.actual, link=""),
                expected=replace(pair.expected, link=""),
            )
            for pair in case.pairs
        ),
    )


def _unlinked(pictures: Iterable[Picture]) -> tuple[Picture, ...]:
    return tuple(replace(picture, link="") for picture in pictures)
