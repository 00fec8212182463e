"""The accuracy report of a release, made from stored records: the verb release."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pydantic import TypeAdapter, ValidationError

from harness import plugins, store
from harness import scenario as scenarios
from harness.compare.aggregates import aggregates
from harness.errors import RecordError, ScenarioError, UsageError
from harness.files import write_text
from harness.jobs.card import FOLDER as CARD_FOLDER
from harness.jobs.card import problems as card_problems
from harness.jobs.card import write_card
from harness.jobs.report import stored_report
from harness.language import recorded, require_known, spoken
from harness.progress import counted
from harness.records import MANIFEST_FILE, Id, MissingCell, Release, ReleasedJob, Scope, Status, worst
from harness.store import releases
from harness.store.folders import load_any_run
from harness.suggestions import from_here

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from harness.contracts import ReleaseRenderer
    from harness.records import Arm, Comparison, Report, Run, Scenario

_IN_EVERY_LANGUAGE = ("html", "markdown")
_FOR_MACHINES = ("json", "junit", "csv")


@dataclass(frozen=True, kw_only=True)
class ReleaseRequest:
    """What a release is asked for, and where its records are."""

    name: str
    """Name of the release."""
    scenarios: list[Path] = field(default_factory=list)
    """Scenario files; empty for all of the scenarios folder."""
    jobs: list[Path] = field(default_factory=list)
    """Job folders; empty for the newest finished job of each scenario in the runs folder."""
    languages: list[str] = field(default_factory=lambda: ["en"])
    """Languages, the first one that of the plain file names."""
    runs_folder: Path = Path("runs")
    """Where job folders are."""
    scenarios_folder: Path = Path("scenarios")
    """Where scenarios are looked for when none is named."""
    card: bool = False
    """Whether the card that a porter publishes is written too."""


@dataclass(frozen=True, kw_only=True)
class ScenarioFile:
    """A scenario as its file has it now; what a machine needs to run it is not asked for."""

    scenario: Scenario
    """The scenario."""
    place: str
    """Its file below the scenarios folder."""
    typed: str
    """Its file as a word of a command line, where the user stands."""
    path: Path
    """Its file."""


@dataclass(frozen=True, kw_only=True)
class Released:
    """What making the report of a release gave."""

    folder: Path
    """Folder of the report."""
    release: Release
    """Records behind the report."""
    files: list[Path]
    """All its files."""

    @property
    def lines(self) -> list[str]:
        """How it ended, for people: what is missing, every job, the word for the whole, and what to open."""
        missing = [
            f"MISSING: {', '.join(filter(None, (cell.scenario, cell.arm, cell.job)))}: {cell.reason}"
            for cell in self.release.missing
        ]
        jobs = [f"{job.report.outcome.value}: {job.name}" for job in self.release.jobs]
        return [*missing, *jobs, f"{self.release.outcome.value}: {self.release.name}", str(self.files[0])]

    @property
    def summary(self) -> dict[str, object]:
        """What a machine wants to know at once."""
        return {
            "release": self.release.name,
            "outcome": self.release.outcome,
            "folder": str(self.folder),
            "missing": [cell.model_dump(mode="json") for cell in self.release.missing],
            "jobs": [{"job": job.job, "outcome": job.report.outcome} for job in self.release.jobs],
        }


def release(request: ReleaseRequest, out: Path) -> Released:
    """Make the report of a release in ``out/NAME``; nothing is run, measured or judged.

    Raises:
        UsageError: the name cannot be a folder's, or a job answers no scenario that was asked for.
        UnknownName: a language is not known.
        ScenarioError: a scenario that was named cannot be used.
    """
    _check(request)
    files, unusable = _scenario_files(request)
    jobs = _jobs(request, files)
    chosen = [(file, _answers(file, jobs, every=bool(request.jobs))) for file in files]
    folders = {folder.name: folder for _, job_folders in chosen for folder in job_folders}
    released = [ReleasedJob(job=name, report=_stored_report(folder)) for name, folder in folders.items()]
    missing = [*unusable, *(cell for file in files for cell in _missing(file, released, jobs))]
    made = Release(
        name=request.name,
        languages=request.languages,
        command=_command(request, files),
        scenarios=[file.scenario for file in files],
        jobs=released,
        missing=missing,
        aggregates=aggregates(job.report for job in released),
        outcome=worst([*(job.report.outcome for job in released), *(cell.status for cell in missing)]),
    )
    folder = out / request.name
    cards = (
        write_card(made, folders, {file.path: file.scenario for file in files}, folder / CARD_FOLDER)
        if request.card
        else []
    )
    return Released(folder=folder, release=made, files=write_release(made, folders, folder, cards))


def write_release(made: Release, folders: Mapping[str, Path], out: Path, more: Sequence[Path] = ()) -> list[Path]:
    """Render a release in all formats and languages into ``out``, with a manifest over all files.

    ``folders`` are the job folders, by the names of the jobs; ``more`` are files that lie below ``out`` already. Files
    of an earlier report that are not written again are removed.
    """
    out.mkdir(parents=True, exist_ok=True)
    texts: dict[str, str] = {}
    wanted = [(language, name) for language in made.languages for name in _IN_EVERY_LANGUAGE]
    for language, name in counted(wanted, "writing the report of the release", len(wanted), "pages"):
        renderer = _renderer(name)
        with spoken(language):
            texts[made.file_name(renderer.FILE_NAME, language)] = renderer.render_release(made, folders=folders)
    for name in _FOR_MACHINES:
        texts[_renderer(name).FILE_NAME] = _renderer(name).render_release(made, folders=folders)
    for file_name, text in texts.items():
        write_text(out / file_name, text)
    names = [*texts, *(path.relative_to(out).as_posix() for path in more)]
    releases.forget(out, names)
    releases.seal(out, made, names)
    return [*(out / name for name in names), out / MANIFEST_FILE]


def verify_release(folder: Path) -> list[str]:
    """Hash every file of a release's report again: what is changed, missing or surplus; empty when it is whole.

    Where there is a card beside the records, its texts are made from them again and compared.
    """
    wrong = releases.problems(folder)
    records, card = folder / _renderer("json").FILE_NAME, folder / CARD_FOLDER
    if (card / MANIFEST_FILE).is_file() and records.is_file():
        release = store.load(Release, records)
        wrong += [f"{CARD_FOLDER}/{text}" for text in releases.problems(card)]
        wrong += card_problems(release, card)
    return wrong


def _renderer(name: str) -> ReleaseRenderer:
    return cast("ReleaseRenderer", plugins.load("render", name))


# --- what is asked for -----------------------------------------------------------------------------------------------


def _check(request: ReleaseRequest) -> None:
    try:
        TypeAdapter(Id).validate_python(request.name)
    except ValidationError as error:
        raise UsageError(
            f"{request.name!r} cannot be the name of a release, because it becomes a folder; use small letters, "
            "digits, dots, hyphens and underscores, such as deepgen-1.0."
        ) from error
    for language in request.languages:
        require_known(language)


def _scenario_files(request: ReleaseRequest) -> tuple[list[ScenarioFile], list[MissingCell]]:
    """Scenarios that can be used here; of a whole folder those that cannot are missing, of named ones none may be."""
    if request.scenarios:
        return [_scenario_file(path) for path in dict.fromkeys(request.scenarios)], []
    usable, unusable = [], []
    for path in store.scenario_files(request.scenarios_folder):
        try:
            usable.append(_scenario_file(path))
        except ScenarioError as error:
            reason = recorded("the scenario cannot be used here: {why}", why=str(error).partition("\n")[0])
            unusable.append(MissingCell(scenario=path.stem, arm=None, status=Status.ERROR, reason=reason))
    return usable, unusable


def _scenario_file(path: Path) -> ScenarioFile:
    return ScenarioFile(scenario=scenarios.written(path), place=scenarios.place(path), typed=from_here(path), path=path)


def _jobs(request: ReleaseRequest, files: Sequence[ScenarioFile]) -> dict[Path, store.Job]:
    """Every job that may answer, by its folder, oldest first.

    Raises:
        RecordError: a folder that was named holds no job.
        UsageError: a job that was named answers no scenario that was asked for, or two have one name.
    """
    if not request.jobs:
        folders = (path.parent for path in sorted(request.runs_folder.glob(f"*/{store.JOB_FILE}")))
        return dict(_readable(folders))
    jobs = {folder: store.load(store.Job, folder / store.JOB_FILE) for folder in sorted(request.jobs, key=_name)}
    names = [folder.name for folder in jobs]
    wanted = {file.scenario.name for file in files}
    for folder, job in jobs.items():
        if job.scenario.name not in wanted:
            raise UsageError(f"{folder} is a job of {job.scenario.name}, which was not asked for; name its scenario.")
        if names.count(folder.name) > 1:
            raise UsageError(f"two jobs are called {folder.name}, so their numbers could not be told apart.")
    return jobs


def _name(folder: Path) -> str:
    return folder.name


def _readable(folders: Iterable[Path]) -> Iterator[tuple[Path, store.Job]]:
    for folder in folders:
        try:
            yield folder, store.load(store.Job, folder / store.JOB_FILE)
        except RecordError:  # of another version; it cannot answer, and a scenario without a job is missing
            continue


def _command(request: ReleaseRequest, files: Sequence[ScenarioFile]) -> list[str]:
    places = [file.place for file in files] if request.scenarios else []
    languages = [word for language in request.languages for word in ("--lang", language)]
    return ["harness", "release", request.name, *places, *languages, *(["--card"] if request.card else [])]


# --- what is there ---------------------------------------------------------------------------------------------------


def _answers(file: ScenarioFile, jobs: Mapping[Path, store.Job], *, every: bool) -> list[Path]:
    """The newest finished job that asked exactly this and compared something, or every one."""
    answering = [
        folder for folder, job in jobs.items() if _same(file, job) and job.state == "finished" and _compared(folder)
    ]
    return answering if every else answering[-1:]


def _compared(folder: Path) -> bool:
    """Whether a job holds comparisons; those of run and calibrate hold none."""
    return any(folder.glob("comparison-*.json"))


def _same(file: ScenarioFile, job: store.Job) -> bool:
    return job.scenario.digest == file.scenario.digest


def _stored_report(folder: Path) -> Report:
    """A job's records as a report, its comparisons as they were judged; a run may be unfinished, which is shown."""
    report = stored_report(folder, sorted(folder.glob("comparison-*.json")), load_any_run)
    arms = [arm.name for arm in report.scenario.arms]
    return report.model_copy(
        update={"comparisons": sorted(report.comparisons, key=lambda comparison: _order(arms, comparison))}
    )


def _order(arms: list[str], comparison: Comparison) -> tuple[bool, int, int, str]:
    """Repeats first, then in the order of the arms."""
    sides = _rank(arms, comparison.actual.arm), _rank(arms, comparison.expected.arm)
    return (comparison.scope is not Scope.REPEAT, *sides, comparison.expected.id)


def _rank(arms: list[str], name: str) -> int:
    return arms.index(name) if name in arms else len(arms)


# --- what is not there -----------------------------------------------------------------------------------------------


def _missing(
    file: ScenarioFile, released: Sequence[ReleasedJob], jobs: Mapping[Path, store.Job]
) -> Iterator[MissingCell]:
    """Every arm of a scenario that no job has, or has not whole."""
    answering = [job for job in released if job.report.scenario.name == file.scenario.name]
    for arm in file.scenario.arms:
        if not answering:
            reason = _why_no_job(file, jobs)
            yield MissingCell(scenario=file.scenario.name, arm=arm.name, status=Status.ERROR, reason=reason)
        else:
            yield from _missing_arm(file.scenario, arm, answering)


def _why_no_job(file: ScenarioFile, jobs: Mapping[Path, store.Job]) -> str:
    """What stands against the newest job of a scenario."""
    named = [(folder, job) for folder, job in jobs.items() if job.scenario.name == file.scenario.name]
    if not named:
        return recorded("no job answers this scenario; run: harness check {place}", place=file.typed)
    folder, job = named[-1]
    if _same(file, job) and job.state == "finished":
        return recorded("job {job} compared nothing; run: harness check {place}", job=folder.name, place=file.typed)
    if _same(file, job):
        return recorded("job {job} is unfinished; give its command again and it goes on", job=folder.name)
    return recorded(
        "the scenario was edited after job {job}; run it again: harness check {place}",
        job=folder.name,
        place=file.typed,
    )


def _missing_arm(scenario: Scenario, arm: Arm, jobs: Sequence[ReleasedJob]) -> Iterator[MissingCell]:
    runs = [(job.job, run) for job in jobs for run in job.report.runs if run.plan.arm.name == arm.name]
    for job, run in runs:
        if reason := _why_not_whole(scenario, run):
            yield MissingCell(scenario=scenario.name, arm=arm.name, job=job, status=Status.ERROR, reason=reason)
    if not runs:
        sought = [
            comparison.missing_baseline
            for job in jobs
            for comparison in job.report.comparisons
            if comparison.expected.arm == arm.name and comparison.missing_baseline
        ]
        status = Status.MISSING_BASELINE if sought else Status.ERROR
        reason = sought[0] if sought else recorded("no job ran this arm")
        yield MissingCell(scenario=scenario.name, arm=arm.name, status=status, reason=reason)


def _why_not_whole(scenario: Scenario, run: Run) -> str:
    """Why a run does not stand for its arm; empty where it does."""
    if run.state == "unfinished":
        return recorded("the run is unfinished; give its command again and it goes on")
    if run.failures:
        first = run.failures[0]
        return recorded(
            "the run failed ({count}): {stage}: {error}: {message}",
            count=len(run.failures),
            stage=first.stage,
            error=first.error,
            message=first.message,
        )
    wanted = [(case.id, seed) for case in scenario.cases for seed in scenario.seeds]
    made = {(sample.key.case, sample.key.seed) for sample in run.samples}
    lacking = [key for key in wanted if key not in made]
    if lacking:
        return recorded(
            "the run has {made} of {wanted} cases and seeds", made=len(wanted) - len(lacking), wanted=len(wanted)
        )
    return ""
