"""One scenario over its stored jobs and releases: the verb trend."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from harness import plugins, store
from harness import scenario as scenarios
from harness.compare.models import model_difference, plain
from harness.compare.trend import points, started
from harness.errors import NothingSelected, RecordError, UnknownName, UsageError
from harness.files import write_text
from harness.jobs.report import stored_report
from harness.language import recorded, require_known, spoken
from harness.message import of_error
from harness.progress import counted
from harness.records import (
    MANIFEST_FILE,
    LeftOut,
    NoiseMode,
    Release,
    Report,
    Trend,
    parse_json,
)
from harness.results import of_key
from harness.store import releases
from harness.store.folders import load_any_run
from harness.suggestions import install

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from harness.contracts import TrendRenderer

_RELEASE_FILE = "report.json"
_FEWEST = 2
"""Jobs that make a trend."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where jobs and releases are."""

    runs_folder: Path = Path("runs")
    """Folder of the jobs."""
    reports_folder: Path = Path("reports")
    """Folder of the reports of releases; it need not be there."""


@dataclass(kw_only=True)
class _Collected:
    """What was found of one scenario."""

    reports: dict[str, Report] = field(default_factory=dict)
    """Records of each job, by the name of its folder."""
    releases: dict[str, list[str]] = field(default_factory=dict)
    """Releases that rest on a job, by its name."""
    left_out: list[LeftOut] = field(default_factory=list)
    """What is not part of the trend, and why."""
    others: set[str] = field(default_factory=set)
    """Names of other scenarios that have jobs."""

    def leave_out(self, name: str, reason: str) -> None:
        self.left_out.append(LeftOut(name=name, reason=reason))


def trend(wanted: str, sources: Sources) -> Trend:
    """The jobs of a scenario, given by its name or its file, with those that only a release has kept.

    Raises:
        UnknownName: other scenarios have jobs, and none is called like that.
        NothingSelected: fewer than two jobs can be compared with each other.
        ScenarioError: the file is no scenario.
    """
    name = scenarios.written(Path(wanted)).name if Path(wanted).is_file() else wanted
    collected = _Collected()
    _read_jobs(name, sources.runs_folder, collected)
    _read_releases(name, sources.reports_folder, collected)
    _leave_other_models_out(collected)
    if not collected.reports and not collected.left_out and collected.others:
        raise UnknownName("scenario with jobs", name, collected.others)
    if len(collected.reports) < _FEWEST:
        raise NothingSelected(_too_few(name, collected, sources))
    return Trend(scenario=name, points=points(collected.reports, collected.releases), left_out=collected.left_out)


def _too_few(name: str, collected: _Collected, sources: Sources) -> str:
    places = f"{sources.runs_folder} and {sources.reports_folder}"
    there = (
        f"one usable job of {name} ({next(iter(collected.reports))})"
        if collected.reports
        else f"no usable job of {name}"
    )
    left_out = "".join(f"\n  left out: {entry.name}: {entry.reason}" for entry in collected.left_out)
    return f"{places} hold {there}; a trend needs two. harness check makes one more.{left_out}"


# --- jobs ------------------------------------------------------------------------------------------------------------


def _read_jobs(name: str, folder: Path, collected: _Collected) -> None:
    files = sorted(folder.glob(f"*/{store.JOB_FILE}"))
    for path in counted(files, "reading jobs", len(files), "jobs"):
        job = path.parent.name
        try:
            record = store.load(store.Job, path)
        except RecordError as error:
            if job.partition("_")[2] == name:  # of no other scenario, by the folder's name
                collected.leave_out(job, of_error(error))
            continue
        if record.scenario.name != name:
            collected.others.add(record.scenario.name)
            continue
        _read_job(path.parent, record, collected)


def _read_job(folder: Path, record: store.Job, collected: _Collected) -> None:
    comparisons = sorted(folder.glob("comparison-*.json"))
    if record.state != "finished":
        collected.leave_out(folder.name, recorded("the job is unfinished; give its command again and it goes on"))
    elif not comparisons:
        collected.leave_out(folder.name, recorded("the job compared nothing"))
    else:
        try:
            report = stored_report(folder, comparisons, load_any_run)
        except RecordError as error:
            collected.leave_out(folder.name, of_error(error))
        else:
            collected.reports[folder.name] = report


# --- releases --------------------------------------------------------------------------------------------------------


def _read_releases(name: str, folder: Path, collected: _Collected) -> None:
    files = sorted(folder.glob(f"*/{_RELEASE_FILE}"))
    for path in counted(files, "reading releases", len(files), "releases"):
        if not (path.parent / MANIFEST_FILE).is_file():
            continue  # a report of another kind
        try:
            _read_release(name, path, collected)
        except RecordError as error:
            collected.leave_out(path.parent.name, of_error(error))


def _read_release(name: str, path: Path, collected: _Collected) -> None:
    """Take what a release has of a scenario.

    Raises:
        RecordError: the release or its manifest cannot be read.
    """
    problems = releases.problems(path.parent)
    if problems:
        if _speaks_of(name, path):
            collected.leave_out(
                path.parent.name, recorded("the release is not as it was made: {what}", what=problems[0])
            )
        return
    release = store.load(Release, path)
    for job in release.jobs:
        if job.report.scenario.name != name or any(left.name == job.job for left in collected.left_out):
            continue
        if collected.reports.setdefault(job.job, job.report).runs != job.report.runs:
            del collected.reports[job.job]
            reason = recorded("its runs are not those that the release {release:s} was made from", release=release.name)
            collected.leave_out(job.job, reason)
        else:
            collected.releases.setdefault(job.job, []).append(release.name)


def _speaks_of(name: str, path: Path) -> bool:
    """Whether a release that was changed says anything of a scenario, as far as it can be read."""
    try:
        data = parse_json(path.read_text(encoding="utf-8"), place=path)
        return any(job["report"]["scenario"]["name"] == name for job in data["jobs"])
    except (OSError, ValueError, LookupError, TypeError, RecordError):
        return True  # it cannot be told, so it is not passed over in silence


# --- models ----------------------------------------------------------------------------------------------------------


def _leave_other_models_out(collected: _Collected) -> None:
    """Only jobs with the models of the newest one are its trend; numbers of another model say nothing about it."""
    newest = max(collected.reports, key=lambda job: (started(collected.reports[job]), job), default=None)
    for job in sorted(set(collected.reports) - {newest}):
        reason = next(_other_models(collected.reports[job], collected.reports[newest or job]), "")
        if reason:
            del collected.reports[job]
            collected.leave_out(
                job, recorded("not the model of {job:s}, the newest job: {what!s}", job=newest, what=reason)
            )


def _other_models(report: Report, newest: Report) -> Iterator[str]:
    """In what the model of an arm differs; a folder of pictures is another one each time, and is none."""
    arms = {run.plan.arm.name: run for run in newest.runs}
    for run in report.runs:
        other = arms.get(run.plan.arm.name)
        if other is None or NoiseMode.UNVERIFIED in {run.plan.noise, other.plan.noise}:
            continue
        if difference := model_difference(run.model, other.model):
            yield plain(difference)


# --- files -----------------------------------------------------------------------------------------------------------


def write_page(made: Trend, out: Path, languages: list[str]) -> list[Path]:
    """Write the page of a trend, in the first language as ``index.html`` and in each other one beside it.

    Raises:
        UnknownName: a language is not known; nothing was written.
    """
    for language in languages:
        require_known(language)
    renderer = cast("TrendRenderer", plugins.load("render", "html"))
    out.mkdir(parents=True, exist_ok=True)
    names = {language: _page_name(renderer.FILE_NAME, language, languages) for language in languages}
    for language, name in names.items():
        with spoken(language):
            write_text(out / name, renderer.render_trend(made, names))
    return [out / name for name in names.values()]


def _page_name(plain_name: str, language: str, languages: list[str]) -> str:
    stem, _, ending = plain_name.rpartition(".")
    return plain_name if language == languages[0] else f"{stem}.{language}.{ending}"


def lines(made: Trend) -> list[str]:
    """How it ended, for people: what is left out, and every job."""
    left_out = [f"left out: {entry.name}: {entry.reason}" for entry in made.left_out]
    jobs = [
        f"{point.outcome.value}: {point.job}{f', {len(point.changes)} changes before it' if point.changes else ''}"
        for point in made.points
    ]
    return [*left_out, *jobs]


def write_table(made: Trend, path: Path) -> None:
    """Write the table as CSV.

    Raises:
        UsageError: pandas is not installed, or the file's folder is not there.
    """
    table = table_of(made)
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.absolute().parent}; make it, or give another file.")
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def table_of(made: Trend) -> pd.DataFrame:
    """A row for each job and value; ``value``, ``mean`` and bounds are floats, NaN where there is none.

    Raises:
        UsageError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise UsageError(
            f"a table needs pandas, which is not installed here; {install('tables')} installs it. The page needs none."
        ) from error
    columns = [*_JOB_COLUMNS, *_VALUE_COLUMNS, "case", "seed", "image", "frame"]
    table = pd.DataFrame(list(_rows(made)), columns=columns)
    numbers = dict.fromkeys(("value", "mean", "at_least", "at_most", "equals"), "float64")
    return table.astype({**numbers, "pairs": "Int64", "seed": "Int64", "image": "Int64", "frame": "Int64"})


_JOB_COLUMNS = ("scenario", "job", "started_utc", "outcome", "releases", "simulated")
_VALUE_COLUMNS = (
    *("arm", "against", "scope", "kind", "metric", "subject", "ratio_to", "value", "mean", "unit", "better", "pairs"),
    *("at_least", "at_most", "equals", "status"),
)


def _rows(made: Trend) -> Iterator[dict[str, object]]:
    for point in made.points:
        of_job: dict[str, object] = {
            "scenario": made.scenario,
            "job": point.job,
            "started_utc": point.started_utc,
            "outcome": point.outcome.value,
            "releases": " ".join(point.releases),
            "simulated": bool(point.simulated_arms),
        }
        for value in point.values:  # noqa: PD011 - a record, no table
            fields = {name: getattr(value, name) for name in _VALUE_COLUMNS}
            fields |= {"scope": value.scope.value, "status": value.status.value if value.status else ""}
            if value.key:
                fields |= of_key(value.key)
            yield of_job | fields
        for repeats in point.repeats:
            sides: dict[str, object] = {
                "arm": repeats.arm,
                "against": repeats.arm,
                "scope": "repeat",
                "kind": "repeats",
                "better": "lower",
                "pairs": repeats.cases,
                "status": repeats.status.value,
            }
            yield of_job | sides | {"metric": "distinct_outcomes", "value": repeats.most_outcomes}
            yield of_job | sides | {"metric": "failure_rate_bound_95", "value": repeats.bound_95}
