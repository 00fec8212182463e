"""The accuracy report of a release, made from stored records: the verb release."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pydantic import TypeAdapter, ValidationError

from harness import plugins, scenario, store
from harness.compare.aggregates import aggregates
from harness.errors import RecordError, ScenarioError, UsageError
from harness.files import write_text
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
class Asked:
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


@dataclass(frozen=True, kw_only=True)
class Question:
    """A scenario as its file has it now; what a machine needs to run it is not asked for."""

    scenario: Scenario
    """The scenario."""
    place: str
    """Its file below the scenarios folder."""
    typed: str
    """Its file as a word of a command line, where the user stands."""


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
            f"MISSING: {', '.join(filter(None, (each.scenario, each.arm, each.job)))}: {each.reason}"
            for each in self.release.missing
        ]
        jobs = [f"{each.report.outcome.value}: {each.name}" for each in self.release.jobs]
        return [*missing, *jobs, f"{self.release.outcome.value}: {self.release.name}", str(self.files[0])]

    @property
    def summary(self) -> dict[str, object]:
        """What a machine wants to know at once."""
        return {
            "release": self.release.name,
            "outcome": self.release.outcome,
            "folder": str(self.folder),
            "missing": [each.model_dump(mode="json") for each in self.release.missing],
            "jobs": [{"job": each.job, "outcome": each.report.outcome} for each in self.release.jobs],
        }


def release(asked: Asked, out: Path) -> Released:
    """Make the report of a release in ``out/NAME``; nothing is run, measured or judged.

    Raises:
        UsageError: the name cannot be a folder's, or a job answers no scenario that was asked for.
        UnknownName: a language is not known.
        ScenarioError: a scenario that was named cannot be used.
    """
    _check(asked)
    questions, unusable = _questions(asked)
    jobs = _jobs(asked, questions)
    chosen = [(question, _answers(question, jobs, every=bool(asked.jobs))) for question in questions]
    folders = {folder.name: folder for _, found in chosen for folder in found}
    released = [ReleasedJob(job=name, report=_stored_report(folder)) for name, folder in folders.items()]
    missing = [*unusable, *(cell for question in questions for cell in _missing(question, released, jobs))]
    made = Release(
        name=asked.name,
        languages=asked.languages,
        command=_command(asked, questions),
        scenarios=[question.scenario for question in questions],
        jobs=released,
        missing=missing,
        aggregates=aggregates(each.report for each in released),
        outcome=worst([*(each.report.outcome for each in released), *(each.status for each in missing)]),
    )
    folder = out / asked.name
    return Released(folder=folder, release=made, files=write_release(made, folders, folder))


def write_release(made: Release, folders: Mapping[str, Path], out: Path) -> list[Path]:
    """Render a release in all formats and languages into ``out``, with a manifest over all files.

    ``folders`` are the job folders, by the names of the jobs. Files of an earlier report that are not written again
    are removed.
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
    releases.forget(out, list(texts))
    releases.seal(out, made, list(texts))
    return [*(out / file_name for file_name in texts), out / MANIFEST_FILE]


def verify_release(folder: Path) -> list[str]:
    """Hash every file of a release's report again: what is changed, missing or surplus; empty when it is whole."""
    return releases.problems(folder)


def _renderer(name: str) -> ReleaseRenderer:
    return cast("ReleaseRenderer", plugins.load("render", name))


# --- what is asked for -----------------------------------------------------------------------------------------------


def _check(asked: Asked) -> None:
    try:
        TypeAdapter(Id).validate_python(asked.name)
    except ValidationError as error:
        raise UsageError(
            f"{asked.name!r} cannot be the name of a release, because it becomes a folder; use small letters, digits, "
            "dots, hyphens and underscores, such as deepgen-1.0."
        ) from error
    for language in asked.languages:
        require_known(language)


def _questions(asked: Asked) -> tuple[list[Question], list[MissingCell]]:
    """Scenarios that can be used here; of a whole folder those that cannot are missing, of named ones none may be."""
    if asked.scenarios:
        return [_question(path) for path in dict.fromkeys(asked.scenarios)], []
    found, unusable = [], []
    for path in store.scenario_files(asked.scenarios_folder):
        try:
            found.append(_question(path))
        except ScenarioError as error:
            reason = recorded("the scenario cannot be used here: {why}", why=str(error).partition("\n")[0])
            unusable.append(MissingCell(scenario=path.stem, arm=None, status=Status.ERROR, reason=reason))
    return found, unusable


def _question(path: Path) -> Question:
    return Question(scenario=scenario.written(path), place=scenario.place(path), typed=from_here(path))


def _jobs(asked: Asked, questions: Sequence[Question]) -> dict[Path, store.Job]:
    """Every job that may answer, by its folder, oldest first.

    Raises:
        RecordError: a folder that was named holds no job.
        UsageError: a job that was named answers no scenario that was asked for, or two have one name.
    """
    if not asked.jobs:
        found = (path.parent for path in sorted(asked.runs_folder.glob(f"*/{store.JOB_FILE}")))
        return dict(_readable(found))
    jobs = {folder: store.load(store.Job, folder / store.JOB_FILE) for folder in sorted(asked.jobs, key=_name)}
    names = [folder.name for folder in jobs]
    wanted = {question.scenario.name for question in questions}
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


def _command(asked: Asked, questions: Sequence[Question]) -> list[str]:
    places = [question.place for question in questions] if asked.scenarios else []
    languages = [word for each in asked.languages for word in ("--lang", each)]
    return ["harness", "release", asked.name, *places, *languages]


# --- what is there ---------------------------------------------------------------------------------------------------


def _answers(question: Question, jobs: Mapping[Path, store.Job], *, every: bool) -> list[Path]:
    """The newest finished job that asked exactly this and compared something, or every one."""
    found = [
        folder for folder, job in jobs.items() if _same(question, job) and job.state == "finished" and _compared(folder)
    ]
    return found if every else found[-1:]


def _compared(folder: Path) -> bool:
    """Whether a job holds comparisons; those of run and calibrate hold none."""
    return any(folder.glob("comparison-*.json"))


def _same(question: Question, job: store.Job) -> bool:
    return job.scenario.digest == question.scenario.digest


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
    question: Question, released: Sequence[ReleasedJob], jobs: Mapping[Path, store.Job]
) -> Iterator[MissingCell]:
    """Every arm of a scenario that no job has, or has not whole."""
    mine = [each for each in released if each.report.scenario.name == question.scenario.name]
    for arm in question.scenario.arms:
        if not mine:
            reason = _why_no_job(question, jobs)
            yield MissingCell(scenario=question.scenario.name, arm=arm.name, status=Status.ERROR, reason=reason)
        else:
            yield from _missing_arm(question.scenario, arm, mine)


def _why_no_job(question: Question, jobs: Mapping[Path, store.Job]) -> str:
    """What stands against the newest job of a scenario."""
    found = [(folder, job) for folder, job in jobs.items() if job.scenario.name == question.scenario.name]
    if not found:
        return recorded("no job answers this scenario; run: harness check {place}", place=question.typed)
    folder, job = found[-1]
    if _same(question, job) and job.state == "finished":
        return recorded("job {job} compared nothing; run: harness check {place}", job=folder.name, place=question.typed)
    if _same(question, job):
        return recorded("job {job} is unfinished; give its command again and it goes on", job=folder.name)
    return recorded(
        "the scenario was edited after job {job}; run it again: harness check {place}",
        job=folder.name,
        place=question.typed,
    )


def _missing_arm(asked: Scenario, arm: Arm, jobs: Sequence[ReleasedJob]) -> Iterator[MissingCell]:
    runs = [(each.job, run) for each in jobs for run in each.report.runs if run.plan.arm.name == arm.name]
    for job, run in runs:
        if reason := _why_not_whole(asked, run):
            yield MissingCell(scenario=asked.name, arm=arm.name, job=job, status=Status.ERROR, reason=reason)
    if not runs:
        sought = [
            each.missing_baseline
            for job in jobs
            for each in job.report.comparisons
            if each.expected.arm == arm.name and each.missing_baseline
        ]
        status = Status.MISSING_BASELINE if sought else Status.ERROR
        reason = sought[0] if sought else recorded("no job ran this arm")
        yield MissingCell(scenario=asked.name, arm=arm.name, status=status, reason=reason)


def _why_not_whole(asked: Scenario, run: Run) -> str:
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
    wanted = [(case.id, seed) for case in asked.cases for seed in asked.seeds]
    made = {(sample.key.case, sample.key.seed) for sample in run.samples}
    lacking = [key for key in wanted if key not in made]
    if lacking:
        return recorded(
            "the run has {made} of {wanted} cases and seeds", made=len(wanted) - len(lacking), wanted=len(wanted)
        )
    return ""
