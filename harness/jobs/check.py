"""Run scenarios, and compare, judge and report them: the verbs check and run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness import plugins, scenario, store
from harness.compare.comparator import StoredRun, compare_repeats, compare_runs, missing_baseline
from harness.compare.fitness import unfit_images
from harness.compare.gates import judge
from harness.compare.parity import with_parities
from harness.compare.scores import require_scores, score_run
from harness.errors import HarnessError, Interrupted, worded
from harness.jobs.arm_runs import JobRuns, Prepared, Selection, made_runs, prepared
from harness.jobs.compare import comparison_file, today
from harness.jobs.concluding import conclusion
from harness.jobs.noise_floors import keep_floors, measured_floors
from harness.jobs.report import FORMATS, kept_explanation, report_of, require_formats, write_report
from harness.language import require_known
from harness.records import ArmScores, Comparison, Limit, Report, Run, Status, exit_code

if TYPE_CHECKING:
    from pathlib import Path

    from harness.jobs.progress import ProgressReporter
    from harness.jobs.references import References
    from harness.records import Unfit
    from harness.scenario import LoadedScenario


@dataclass(frozen=True, kw_only=True)
class Output:
    """What is written of a check, and how."""

    formats: list[str] = field(default_factory=list)
    """Formats of reports beside those that every check writes."""
    step_summary: Path | None = None
    """Page of a CI step, to which the summary of each scenario is added."""
    language: str = "en"
    """Language of the report files for people."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What checking one scenario gave."""

    folder: Path
    """Job folder."""
    report: Report
    """Records behind the report."""
    files: list[Path]
    """Report files."""

    @property
    def outcome(self) -> Status:
        """The word of the worst comparison."""
        return self.report.outcome

    @property
    def exit_code(self) -> int:
        """What ``harness check`` would exit with: 0 where all passed."""
        return exit_code([comparison.outcome for comparison in self.report.comparisons])

    @property
    def pages(self) -> list[Path]:
        """Pages for people to open."""
        return [path for path in self.files if path.name == plugins.load("render", "html").FILE_NAME]

    @property
    def summary(self) -> dict[str, object]:
        """What a machine wants to know at once."""
        return {
            "scenario": self.report.scenario.name,
            "outcome": self.report.outcome,
            "folder": str(self.folder),
            "comparisons": [
                {
                    "arm": comparison.actual.arm,
                    "against": comparison.expected.arm,
                    "scope": comparison.scope,
                    "outcome": comparison.outcome,
                    "message": comparison.message,
                    "notices": comparison.notices,
                    "parities": [parity.message for parity in comparison.parities],
                }
                for comparison in self.report.comparisons
            ],
            "retried": [
                {"arm": run.plan.arm.name, "message": failure.message}
                for run in self.report.runs
                for failure in run.retried
            ],
        }


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """A scenario whose check could not be carried to its end."""

    scenario: str
    """Its name."""
    error: HarnessError
    """Why."""

    @property
    def summary(self) -> dict[str, object]:
        """What a machine wants to know at once."""
        return {"scenario": self.scenario, "outcome": Status.ERROR, "error": str(self.error)}


def check(
    paths: list[Path],
    selection: Selection,
    reporter: ProgressReporter,
    output: Output | None = None,
) -> tuple[list[Checked], list[Unfinished]]:
    """Run scenarios, compare, judge and report: the job for CI and for every day.

    What is wrong with any of them shows before the first runs; what goes wrong later hides no verdict of another.
    """
    output = output or Output()
    require_formats(output.formats)
    require_known(output.language)
    loaded_scenarios = [scenario.load(path) for path in paths]
    require_scores(loaded.scenario for loaded in loaded_scenarios)
    checked: list[Checked] = []
    unfinished: list[Unfinished] = []
    with prepared(loaded_scenarios, selection, "check", reporter) as jobs:
        for job in jobs:
            name = job.loaded.scenario.name
            try:
                result = _checked(job, selection, reporter, output)
            except Interrupted:
                raise
            except (HarnessError, OSError) as error:
                unfinished.append(Unfinished(scenario=name, error=worded(error)))
                reporter.on_scenario_end(f"{name}: ERROR: {unfinished[-1].error}")
                continue
            checked.append(result)
            if len(jobs) > 1:
                reporter.on_scenario_end(f"{name}: {conclusion([result.report], result.pages)}")
    if unfinished and not checked:
        raise unfinished[0].error
    return checked, unfinished


def _checked(job: Prepared, selection: Selection, reporter: ProgressReporter, output: Output) -> Checked:
    """One scenario from its runs to its report."""
    with made_runs(job, selection, reporter) as made:
        folder = made.folder
        scores = _scores(job.loaded, made.stored, folder)
        compared = [with_parities(comparison, scores) for comparison in _comparisons(made, job.references)]
        comparisons = [judge(comparison, today=today()) for comparison in compared]
        for comparison in comparisons:
            store.save(comparison, folder / comparison_file(comparison))
        floors = measured_floors(made.runs, selection.runs_folder)
        keep_floors(floors, folder)
        report = report_of(job.loaded.scenario, job.command, made.runs, comparisons, list(scores.values()), floors)
        report = report.model_copy(update={"explanation": kept_explanation(folder)})
        formats = list(dict.fromkeys([*FORMATS, *job.loaded.scenario.formats, *output.formats]))
        files = write_report(report, folder, folder / store.REPORT_FOLDER, formats, output.language)
        if output.step_summary is not None:
            _add_to_step_summary(output.step_summary, folder, report)
    return Checked(folder=folder, report=report, files=files)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What running one arm gave."""

    folder: Path
    """Run folder."""
    run: Run
    """Its record."""
    unfit: list[Unfit]
    """Images that are not fit to be compared."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing failed and every image is fit to be compared."""
        return not self.run.failures and not self.unfit


def run(paths: list[Path], selection: Selection, reporter: ProgressReporter) -> list[Made]:
    """Run scenarios and keep the samples and their scores; nothing is compared."""
    loaded_scenarios = [scenario.load(path) for path in paths]
    require_scores(loaded.scenario for loaded in loaded_scenarios)
    made = []
    with prepared(loaded_scenarios, selection, "run", reporter) as jobs:
        for job in jobs:
            with made_runs(job, selection, reporter) as runs:
                _scores(job.loaded, runs.made, runs.folder)
                made += [
                    Made(folder=stored.folder, run=stored.run, unfit=unfit_images(stored.run, stored.folder))
                    for stored in runs.made
                ]
    return made


def _comparisons(made: JobRuns, kept: References) -> list[Comparison]:
    """Every arm with itself, then every candidate with every reference, run here or kept in the store."""
    base = made.folder
    repeats = [compare_repeats(stored, limits=stored.run.plan.limits, base=base) for stored in made.made]
    compared = [
        compare_runs(
            candidate,
            reference,
            limits=candidate.run.plan.limits,
            base=base,
            others=_others(candidate.run.plan.limits, reference, made.references),
        )
        for candidate in made.candidates
        for reference in made.references
        if candidate.run.plan.arm.is_compared_with(reference.run.plan.arm.name)
    ]
    missing = [
        missing_baseline(candidate, kept.arms[arm], why, limits=candidate.run.plan.limits, base=base)
        for candidate in made.candidates
        for arm, why in kept.missing.items()
        if candidate.run.plan.arm.is_compared_with(arm)
    ]
    return [*repeats, *compared, *missing]


def _others(limits: list[Limit], reference: StoredRun, references: list[StoredRun]) -> list[StoredRun]:
    """Arms that a limit against a reference divides by."""
    name = reference.run.plan.arm.name
    wanted = {limit.ratio_to for limit in limits if limit.arm == name}
    return [other for other in references if other.run.plan.arm.name in wanted]


def _scores(loaded: LoadedScenario, stored: list[StoredRun], folder: Path) -> dict[str, ArmScores]:
    """Score every arm and keep that in the job's folder; by run, and empty where the scenario asks for no score."""
    if not loaded.scenario.scores:
        return {}
    scores = [score_run(stored_run, loaded.scenario, loaded.input_images) for stored_run in stored]
    for arm_scores in scores:
        store.save(arm_scores, folder / store.scores_file(arm_scores.arm))
    return {arm_scores.run: arm_scores for arm_scores in scores}


_STEP_SUMMARY_BYTES = 1 << 20
"""Size above which a CI system shows nothing of a step's summary."""

_LINES_BYTES = 48_000
"""What whole summaries leave free in it for the lines of scenarios whose summary has no room."""


def _add_to_step_summary(page: Path, folder: Path, report: Report) -> None:
    """Add the summary of a report to the page of a CI step; where it has no room, in one line how it ended."""
    name = plugins.load("render", "summary").FILE_NAME
    whole = (folder / store.REPORT_FOLDER / name).read_text(encoding="utf-8")
    line = f"**{report.outcome.value.upper()}: {report.scenario.name}**, see the report in {folder.name}\n"
    room_bytes = _STEP_SUMMARY_BYTES - (page.stat().st_size if page.exists() else 0)
    text = whole if len(whole.encode()) < room_bytes - _LINES_BYTES else line
    if len(text.encode()) < room_bytes:
        with page.open("a", encoding="utf-8") as stream:
            stream.write(f"{text}\n")
