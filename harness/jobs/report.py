"""Render comparisons: the verb report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import plugins, store
from harness.compare.comparator import StoredRun
from harness.errors import UsageError
from harness.files import remove_leftovers, write_text
from harness.jobs.compare import kept_scores
from harness.jobs.noise_floors import NoiseFloors, kept_floors
from harness.language import recorded, require_known, spoken
from harness.progress import counted
from harness.records import ArmScores, Comparison, Report, Run, Scenario, Scope, read_record, worst
from harness.records.explanation import EXPLANATION_FILE, Explanation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.contracts import Renderer

FORMATS = ("md", "html", "json", "junit", "csv", "summary")
"""Formats on the command line; each is the short or full name of a renderer."""

_RENDERERS = {"md": "markdown"}
_FOR_MACHINES = frozenset({"json", "junit", "csv"})
"""Formats that are the same whatever language is spoken."""


def report(paths: list[Path], formats: list[str], out: Path, language: str = "en") -> list[Path]:
    """Render stored comparisons of one job, with the runs they name.

    Raises:
        UsageError: the comparisons are not of one job, or the language or a format is unknown; nothing was written.
    """
    require_known(language)
    folders = {path.resolve().parent for path in paths}
    if len(folders) != 1:
        raise UsageError("a report is made from comparisons of one job folder; give those of one folder at a time.")
    folder = folders.pop()
    return write_report(stored_report(folder, paths), folder, out, formats, language)


def stored_report(folder: Path, paths: list[Path], load_run: Callable[[Path], Run] = store.load_run) -> Report:
    """Stored comparisons of one job as a report, as they were judged, with the runs they name.

    Raises:
        RecordError: the folder holds no job, or a run cannot be loaded.
    """
    comparisons = [store.load_comparison(path) for path in paths]
    job = store.load(store.Job, folder / store.JOB_FILE)
    named = {ref.path for comparison in comparisons for ref in (comparison.actual, comparison.expected) if ref.path}
    stored = [StoredRun(run=load_run(folder / path), folder=folder / path) for path in _in_order(named, job.scenario)]
    runs, scores = [stored_run.run for stored_run in stored], list(kept_scores(stored).values())
    made = report_of(job.scenario, job.command, runs, comparisons, scores, kept_floors(runs, folder))
    return made.model_copy(update={"explanation": kept_explanation(folder)})


def kept_explanation(folder: Path) -> Explanation | None:
    """What a job's folder holds of ``harness explain``."""
    path = folder / store.EXPLANATION_FOLDER / EXPLANATION_FILE
    return read_record(Explanation, path) if path.is_file() else None


def write_again(folder: Path, language: str) -> list[Path]:
    """Render the report of a job's folder again, in the formats that it has."""
    out = folder / store.REPORT_FOLDER
    formats = [name for name in plugins.names("render") if _is_written(name, out)]
    paths = sorted(
        folder.glob("comparison-*.json"), key=lambda path: store.load_comparison(path).scope is Scope.REFERENCE
    )
    return write_report(stored_report(folder, paths), folder, out, formats, language)


def _is_written(name: str, out: Path) -> bool:
    renderer = plugins.load("render", name)
    return hasattr(renderer, "render") and (out / renderer.FILE_NAME).is_file()


def write_report(made: Report, folder: Path, out: Path, formats: list[str], language: str = "en") -> list[Path]:
    """Render a report in several formats into ``out``; those for people speak ``language``.

    Raises:
        UnknownName: the language or a format is unknown; nothing was written.
    """
    require_known(language)
    renderers = require_formats(formats)
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    files = []
    for name, renderer in counted(renderers.items(), "writing the report", len(renderers), "formats"):
        with spoken("en" if name in _FOR_MACHINES else language):
            text = renderer.render(made, folder=folder)
        files.append(out / renderer.FILE_NAME)
        write_text(files[-1], text)
    return files


def require_formats(formats: list[str]) -> dict[str, Renderer]:
    """The renderer of each format, once.

    Raises:
        UnknownName: a format is unknown.
    """
    names = dict.fromkeys(_RENDERERS.get(name, name) for name in formats)
    return {name: plugins.load("render", name) for name in names}


def report_of(  # noqa: PLR0913, PLR0917 - all that a report is made of
    scenario: Scenario,
    command: list[str],
    runs: list[Run],
    comparisons: list[Comparison],
    scores: list[ArmScores],
    floors: NoiseFloors,
) -> Report:
    """The records of one job as a report; its outcome is that of its worst comparison."""
    return Report(
        title=recorded("{scenario}: accuracy and determinism", scenario=scenario.name),
        scenario=scenario,
        command=command,
        runs=runs,
        comparisons=comparisons,
        outcome=worst([comparison.outcome for comparison in comparisons]),
        scores=scores,
        calibrations=floors.known,
        uncalibrated=floors.unknown,
    )


def _in_order(run_paths: set[str], scenario: Scenario) -> list[str]:
    """Run folders in the order of the scenario's arms; those of other jobs last."""
    arms = [arm.name for arm in scenario.arms]
    return sorted(run_paths, key=lambda path: (arms.index(path) if path in arms else len(arms), path))
