"""The jobs of the harness, each a list of calls to read aloud."""

from __future__ import annotations

import os
import tempfile
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from harness import plugins, scenario, store
from harness.calibrate.floors import floors, step_floors
from harness.calibrate.rule import DISTURBANCES, NEAR_FACTOR, Measured, lower_dtypes, proposed, too_near
from harness.compare.comparability import baseline_notes, input_differences, plan_differences
from harness.compare.comparator import (
    StoredRun,
    compare_repeats,
    compare_runs,
    compare_samples,
    missing_baseline,
    sample_steps,
)
from harness.compare.gates import judge
from harness.compare.parity import with_parities
from harness.compare.pictures import Tally, compare_files, compare_folders
from harness.compare.planted import detections
from harness.compare.scores import score_run
from harness.compare.selftest import Check, checks
from harness.diagnose.checks import diagnose
from harness.diagnose.machine import look
from harness.errors import (
    BaselineDamaged,
    BaselineMissing,
    NothingSelected,
    RunError,
    ScenarioError,
    UnknownName,
    UsageError,
)
from harness.files import write_atomically, write_text
from harness.host import commit, describe_host
from harness.images import read_picture, write_picture
from harness.records import (
    EXIT_CODES,
    MANIFEST_FILE,
    RUN_FILE,
    ArmScores,
    Calibration,
    Comparison,
    Finding,
    FloorSource,
    Limit,
    Manifest,
    NoiseMode,
    Perturbation,
    PerturbationKind,
    Repeats,
    Report,
    Role,
    Run,
    Scenario,
    Scope,
    Severity,
    Status,
    Task,
    worst,
)
from harness.run.events import GivenNoise
from harness.run.sources import NO_COMMANDS, Permission, PreparedModel, prepare
from harness.run.supervisor import (
    ChosenDevice,
    Order,
    ask_backends,
    choose_device,
    code_digest,
    make_run,
    named_device,
)
from harness.store import acceptance, baselines, packs
from harness.yaml_edit import replace_entries, require_block_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import date
    from typing import TextIO

    from harness.records import Arm, CaseKey, Diagnosis, FolderDiff, PicturePair, Plan
    from harness.run.events import Event
    from harness.scenario import LoadedScenario
    from harness.store.baselines import Baseline

FORMATS = ("md", "html", "json", "junit", "csv", "summary")
"""Formats on the command line; each is the short or full name of a renderer."""
_RENDERERS = {"md": "markdown"}
CALIBRATION_FILE = "calibration.json"
"""Name of what a calibration found, in its job folder."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which part of a scenario is run, and where."""

    arms: list[str] = field(default_factory=list)
    """Names of arms; empty for all."""
    cases: list[str] = field(default_factory=list)
    """Ids of cases; empty for all."""
    seeds: list[int] = field(default_factory=list)
    """Seeds; empty for all of the scenario's."""
    device: str | None = None
    """Replaces the device of candidate arms."""
    repeats: int | None = None
    """Replaces the repeats in one process."""
    processes: int | None = None
    """Replaces the number of processes."""
    retries: int = 0
    """How often, for each arm, a new process may take over after a failure of the machine."""
    runs_folder: Path = Path("runs")
    """Where job folders are made."""
    permission: Permission = NO_COMMANDS
    """Which commands of scenarios may run."""
    baselines_folder: Path = Path("baselines")
    """Where baselines are read."""


class Teller:
    """What a job says while it works; the door overrides what it wants to show."""

    def planned(self, plan: Plan, device: ChosenDevice) -> None:
        """An arm is about to run."""

    def noticed(self, words: str) -> None:
        """Something ought to be known before the work begins."""

    def resumed(self, folder: Path) -> None:
        """An interrupted job is gone on with."""

    def heard(self, event: Event) -> None:
        """A worker said something."""

    def ran(self, run: Run) -> None:
        """An arm has run."""


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
    def summary(self) -> dict[str, object]:
        """What a machine wants to know at once."""
        return {
            "scenario": self.report.scenario.name,
            "outcome": self.report.outcome,
            "folder": str(self.folder),
            "comparisons": [
                {
                    "arm": each.actual.arm,
                    "against": each.expected.arm,
                    "scope": each.scope,
                    "outcome": each.outcome,
                    "message": each.message,
                    "notices": each.notices,
                    "parities": [parity.message for parity in each.parities],
                }
                for each in self.report.comparisons
            ],
            "retried": [
                {"arm": run.plan.arm.name, "message": failure.message}
                for run in self.report.runs
                for failure in run.retried
            ],
        }


def check(
    paths: list[Path], selection: Selection, teller: Teller, *, step_summary: Path | None = None
) -> list[Checked]:
    """Run scenarios, compare, judge and report: the job for CI and for every day.

    ``step_summary`` is the page of a CI step; each scenario's summary is added to it.
    """
    questions = [scenario.load(path) for path in paths]
    checked = []
    for question in questions:
        command = _command("check", question, selection)
        with _made_runs(question, selection, command, teller) as (folder, runs, references):
            scores = _scores(question, _made(folder, runs) + references.stored(folder), folder)
            compared = [with_parities(each, scores) for each in _comparisons(folder, runs, references)]
            comparisons = [judge(each, today=_today()) for each in compared]
            for comparison in comparisons:
                store.save(comparison, folder / _file_name(comparison))
            taken = [each.run for each in references.stored(folder)]
            report = _report(question.scenario, command, [*runs, *taken], comparisons, list(scores.values()))
            files = write_report(report, folder, folder / store.REPORT_FOLDER, list(FORMATS))
            if step_summary is not None:
                _add_to_step_summary(step_summary, folder, report)
        checked.append(Checked(folder=folder, report=report, files=files))
    return checked


def run(paths: list[Path], selection: Selection, teller: Teller) -> list[Path]:
    """Run scenarios and keep the samples and their scores; gives the run folders. Nothing is compared."""
    questions = [scenario.load(path) for path in paths]
    folders = []
    for question in questions:
        with _made_runs(question, selection, _command("run", question, selection), teller) as (folder, runs, _):
            _scores(question, _made(folder, runs), folder)
            folders += [folder / each.plan.arm.name for each in runs]
    return folders


def are_pictures(actual: Path, expected: Path) -> bool:
    """Whether both are picture files, or folders that no run made.

    Raises:
        UsageError: one is a run and the other is not: what a picture began with is known on one side only.
    """
    foreign = [not (path / RUN_FILE).is_file() and not _holds_runs(path) for path in (actual, expected)]
    if foreign[0] != foreign[1]:
        run, pictures = (expected, actual) if foreign[0] else (actual, expected)
        raise UsageError(
            f"{run} is a run and {pictures} is not. Compare two runs, or two folders of pictures; pictures that "
            "something else made become a run with the adapter 'images'."
        )
    return foreign[0]


def _holds_runs(path: Path) -> bool:
    return any(path.glob(f"*/{RUN_FILE}"))


def compare(actual: Path, expected: Path, out: Path | None, ratio_to: Sequence[Path] = ()) -> tuple[Path, Comparison]:
    """Compare two run folders, or one with itself for its repeats; gives the file and the judged comparison.

    A baseline's folder is hashed before it is believed. ``ratio_to`` are run folders of arms that limits with
    ``ratio_to`` divide by.
    """
    base = out.parent if out else actual.parent
    mine = _stored(actual)
    if actual.resolve() == expected.resolve():
        comparison = compare_repeats(mine, limits=mine.run.plan.limits, base=base.resolve())
    else:
        others = [_stored(each) for each in ratio_to]
        limits, theirs = mine.run.plan.limits, _stored(expected)
        compared = compare_runs(mine, theirs, limits=limits, base=base.resolve(), others=others)
        comparison = with_parities(compared, _kept_scores([mine, theirs]))
    judged = judge(comparison, today=_today())
    # What lies elsewhere may have an arm of the same name as one of this job, whose comparison is kept.
    elsewhere = "" if expected.resolve().parent == actual.resolve().parent else expected.resolve().parent.name
    return store.save(judged, out or base / _file_name(judged, elsewhere)), judged


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Limits for pictures that no scenario knows, as words ``METRIC=NUMBER``."""

    at_least: list[str] = field(default_factory=list)
    """Smallest values allowed."""
    at_most: list[str] = field(default_factory=list)
    """Largest values allowed."""

    def limits(self) -> list[Limit]:
        """The words as limits.

        Raises:
            UsageError: words are not ``METRIC=NUMBER``, or the metric is not known.
        """
        return [_limit(words, "at_least") for words in self.at_least] + [
            _limit(words, "at_most") for words in self.at_most
        ]


def diff(  # noqa: PLR0913 - what the verb can be told
    actual: Path,
    expected: Path,
    *,
    bounds: Bounds,
    jobs: int | None,
    out: Path | None,
    tell: Callable[[int, int], None],
) -> PicturePair | FolderDiff:
    """Compare two picture files, or two folders of them by names; ``out`` gets a JSON line for each pair.

    ``tell`` is called with the number of names done and of all. Lines are kept in ``out`` with ``.part`` behind its
    name until all are there.
    """
    limits = bounds.limits()
    for path in (actual, expected):
        if not path.exists():
            raise UsageError(f"{path}: there is no such file or folder; check the path.")
    if actual.is_dir() != expected.is_dir():
        raise UsageError(f"of {actual} and {expected} one is a folder and one a file; give two files or two folders.")
    if not actual.is_dir():
        pair = compare_files(actual.name, actual, expected, limits)
        if out is not None:
            write_text(out, pair.model_dump_json() + "\n")
        return pair
    tally = Tally()
    count, pairs = compare_folders(actual, expected, limits, jobs or len(os.sched_getaffinity(0)))
    with _growing(out) if out else nullcontext() as lines, closing(pairs):
        for number, pair in enumerate(pairs, 1):
            tally.add(pair)
            if lines:
                lines.write(pair.model_dump_json() + "\n")
            tell(number, count)
    return tally.summary(actual, expected, limits)


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """What calibrating one scenario gave."""

    folder: Path
    """Job folder."""
    calibration: Calibration
    """Floors, proposed limits, and what they say about planted faults."""
    written: bool
    """Whether the limits were put into the scenario."""


def calibrate(path: Path, arm_name: str | None, *, write: bool, runs_folder: Path, teller: Teller) -> Calibrated:
    """Measure a reference's own noise floor, propose limits, and plant faults that they must not let pass.

    With ``write`` the limits take the place of those with evidence in the scenario, unless a planted fault passes.

    Raises:
        UsageError: the scenario has no reference that could be calibrated, or its limits could not be written.
        RunError: a run failed, or there is no floor.
    """
    question = scenario.load(path)
    arm = _calibrated_arm(question.scenario, arm_name)
    if write:
        require_block_list(_text(path), "limits")
    selection = Selection(arms=[arm.name], runs_folder=runs_folder)
    plans = _calibration_plans(scenario.for_calibration(question), arm)
    command = _command("calibrate", question, selection)
    with _made_runs(question, selection, command, teller, list(plans.values())) as (folder, runs, _):
        stored = {
            source: StoredRun(run=_whole(run), folder=folder / run.plan.arm.name)
            for source, run in zip(plans, runs, strict=True)
        }
        calibration = _calibration(question, arm, stored)
        store.save(calibration, folder / CALIBRATION_FILE)
    if write and not calibration.missed:
        _write_limits(question, calibration)
    return Calibrated(folder=folder, calibration=calibration, written=write and not calibration.missed)


def doubtful_limits(asked: Scenario) -> list[str]:
    """What should be measured before it is relied on: limits against a reference without evidence, or too near to it.

    A promise of identical bytes needs none.
    """
    doubts = []
    for index, limit in enumerate(asked.limits):
        if limit.scope is not Scope.REFERENCE or limit.metric == "identical" or limit.ratio_to is not None:
            continue
        if limit.metric in asked.scores:  # how near two scores must be is a choice, nothing to be measured
            continue
        metric = plugins.load("metrics", limit.metric)
        if limit.evidence is None:
            doubts.append(
                f"limits[{index}] ({limit.rule}) has no evidence; harness calibrate measures what it should be"
            )
        elif too_near(limit, metric.UNIT, metric.BETTER):
            doubts.append(
                f"limits[{index}] ({limit.rule}) allows less than {NEAR_FACTOR} times the worst error of its evidence "
                f"({limit.evidence.worst:g}), so correct results may break it; harness calibrate measures it again"
            )
    return doubts


def gate(paths: list[Path], scenario_path: Path | None) -> list[Comparison]:
    """Judge stored comparisons again, with the limits and waivers they carry or a scenario's; measures nothing."""
    asked = scenario.load(scenario_path).scenario if scenario_path else None
    limits, waivers = (asked.limits, asked.waivers) if asked else (None, None)
    return [judge(store.load_comparison(path), limits, waivers, today=_today()) for path in paths]


def report(paths: list[Path], formats: list[str], out: Path) -> list[Path]:
    """Render stored comparisons of one job, with the runs they name."""
    folders = {path.resolve().parent for path in paths}
    if len(folders) != 1:
        raise UsageError("a report is made from comparisons of one job folder; give those of one folder at a time.")
    folder = folders.pop()
    comparisons = [store.load_comparison(path) for path in paths]
    job = store.load(store.Job, folder / store.JOB_FILE)
    wanted = {ref.path for each in comparisons for ref in (each.actual, each.expected) if ref.path}
    paths_of_runs = _in_order(wanted, job.scenario)
    stored = [StoredRun(run=store.load_run(folder / path), folder=folder / path) for path in paths_of_runs]
    scores = list(_kept_scores(stored).values())
    made = _report(job.scenario, job.command, [each.run for each in stored], comparisons, scores)
    return write_report(made, folder, out, formats)


def write_report(made: Report, folder: Path, out: Path, formats: list[str]) -> list[Path]:
    """Render a report in several formats into ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for name in formats:
        renderer = plugins.load("render", _RENDERERS.get(name, name))
        files.append(out / renderer.FILE_NAME)
        write_text(files[-1], renderer.render(made, folder=folder))
    return files


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


def exit_code(statuses: list[Status]) -> int:
    """Exit code of the worst status; nothing judged at all is an error."""
    return EXIT_CODES[worst(statuses)]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """One picture somebody wants, in the words of the command line."""

    model_path: str
    prompt: str
    input_image: Path | None
    output_image: Path
    height: int
    width: int
    seed: int
    steps: int
    guidance_scale: float
    device: str
    noise: str
    dtype: str
    trust_remote_code: bool

    def loaded(self) -> LoadedScenario:
        """The wish as a scenario of one case.

        Raises:
            UsageError: a value is out of its range.
        """
        task = Task.IMAGE_EDITING if self.input_image else Task.TEXT_TO_IMAGE
        trusted = self.trust_remote_code or self.model_path.startswith("builtin:")
        values = {
            "name": "generate",
            "summary": "One picture from the command line.",
            "task": task,
            "model": {"source": self.model_path, "dtype": self.dtype, "trust_remote_code": trusted},
            "cases": [{"id": "picture", "prompt": self.prompt}],
            "seeds": [self.seed],
            "width": self.width,
            "height": self.height,
            "steps": self.steps,
            "guidance_scale": self.guidance_scale,
            "arms": [{"name": "picture", "device": self.device, "noise": self.noise, "switches": "as_shipped"}],
            "repeats": {"in_process": 1, "processes": 1},
        }
        return scenario.of_options(values, self.input_image)


def accept_baseline(run_folder: Path, baselines_folder: Path, *, reason: str, who: str, modes: bool) -> Baseline:
    """Make a run the baseline of its scenario and arm, as of now and from the commit of the working folder."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return acceptance.accept(
        run_folder, baselines_folder, reason=reason, who=who, commit=commit(), accepted_utc=now, modes=modes
    )


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What hashing a baseline again showed."""

    name: str
    """Scenario and arm."""
    digest: str
    """Digest of its manifest; empty where the manifest cannot be read."""
    problems: list[str]
    """What is damaged, missing or surplus; empty when it is whole."""
    notes: list[str]
    """What is worth knowing and breaks nothing."""


def verify_baselines(
    baselines_folder: Path, wanted: list[str], scenarios_folder: Path = Path("scenarios")
) -> list[Verified]:
    """Hash baselines again, all where none is named, and name what a killed process left.

    Raises:
        BaselineMissing: there is none, or not the one that was named.
    """
    chosen = wanted or baselines.names(baselines_folder)
    leftovers = baselines.unfinished(baselines_folder)
    if not chosen and not leftovers:
        raise BaselineMissing(f"there are no baselines in {baselines_folder}; harness baseline accept makes one.")
    verified = [_verified(baselines_folder, name, scenarios_folder) for name in chosen]
    if not wanted:
        words = "an accept or unpack was cut off here; the next one of this baseline cleans it up"
        verified += [Verified(name=str(path), digest="", problems=[words], notes=[]) for path in leftovers]
    return verified


def pack_baseline(baselines_folder: Path, name: str, out: Path) -> Baseline:
    """Write a baseline as one portable file."""
    return packs.pack(baselines_folder, name, out)


def unpack_baseline(path: Path, baselines_folder: Path, *, replace: bool) -> Baseline:
    """Put a packed baseline in its place after hashing all of it."""
    return packs.unpack(path, baselines_folder, replace=replace)


def push_baselines(baselines_folder: Path, wanted: list[str], target: str) -> list[Baseline]:
    """Put packs of baselines, all where none is named, into a folder that a URL names."""
    return packs.push(baselines_folder, wanted, target)


def pull_baselines(source: str, wanted: list[str], baselines_folder: Path, *, replace: bool) -> list[Baseline]:
    """Unpack baselines, all where none is named, from a folder that a URL names."""
    return packs.pull(source, wanted, baselines_folder, replace=replace)


def listed(what: str, *, runs_folder: Path, scenarios_folder: Path, baselines_folder: Path) -> list[dict[str, str]]:
    """Rows of ``name`` and ``about`` for a listing.

    Raises:
        UnknownName: nothing of that name can be listed.
        NothingSelected: there is nothing of it.
    """
    lists: dict[str, Callable[[], list[dict[str, str]]]] = {
        "scenarios": lambda: [_scenario_row(path) for path in store.scenario_files(scenarios_folder)],
        "runs": lambda: [_run_row(folder) for folder in store.run_folders(runs_folder)],
        "baselines": lambda: [
            _baseline_row(baselines_folder, name, scenarios_folder) for name in baselines.names(baselines_folder)
        ],
        "backends": lambda: _part_rows("backends"),
        "adapters": lambda: _part_rows("adapters"),
        "metrics": lambda: [_metric_row(name) for name in plugins.names("metrics")],
        "scores": lambda: _part_rows("scores"),
        "models": lambda: _part_rows("models"),
        "kernels": lambda: _part_rows("kernels"),
        "formats": lambda: _part_rows("render"),
    }
    if what not in lists:
        raise UnknownName("list", what, lists)
    rows = lists[what]()
    if not rows:
        folder = {"runs": runs_folder, "baselines": baselines_folder}.get(what, scenarios_folder)
        raise NothingSelected(f"there are no {what} in {folder}.")
    return rows


def _scenario_row(path: Path) -> dict[str, str]:
    try:
        return {"name": path.stem, "about": scenario.load(path).scenario.summary}
    except ScenarioError as error:  # one that cannot be used here, for want of a variable perhaps, is still listed
        return {"name": path.stem, "about": f"not usable here: {error}".partition("\n")[0]}


def _run_row(folder: Path) -> dict[str, str]:
    made = store.load(Run, folder / RUN_FILE)
    failed = f", {len(made.failures)} failed" if made.failures else ""
    return {"name": str(folder), "about": f"{made.state}, {len(made.samples)} samples{failed}"}


def _baseline_row(baselines_folder: Path, name: str, scenarios_folder: Path) -> dict[str, str]:
    try:
        manifest = baselines.read(baselines_folder, name).manifest
    except BaselineDamaged as error:  # one that cannot be used is still listed
        return {"name": name, "about": str(error)}
    notes = _orphan_notes(name, scenarios_folder)
    modes = max(each.modes for each in manifest.accepted)
    several = f", up to {modes} outcomes each" if modes > 1 else ""
    return {
        "name": name,
        "about": f"{len(manifest.accepted)} cases and seeds{several}, accepted {manifest.accepted_utc} by "
        f"{manifest.who}: {'; '.join([manifest.why, f'digest {manifest.digest[:16]}', *notes])}",
    }


def _verified(baselines_folder: Path, name: str, scenarios_folder: Path) -> Verified:
    notes = _orphan_notes(name, scenarios_folder)
    try:
        manifest = baselines.read(baselines_folder, name).manifest
        return Verified(name=name, digest=manifest.digest, problems=[], notes=notes)
    except BaselineDamaged:
        folder = baselines.readable(baselines_folder, name)
        return Verified(name=name, digest="", problems=baselines.problems(folder, name), notes=notes)


def _orphan_notes(name: str, scenarios_folder: Path) -> list[str]:
    """A word for a baseline that no scenario asks for; a scenario that cannot be used here might."""
    wanted, _, arm = name.partition("/")
    path = scenarios_folder / f"{wanted}.yaml"
    if not scenarios_folder.is_dir():
        return []
    try:
        arms = scenario.load(path).scenario.arms if path.exists() else []
    except ScenarioError:
        return []
    if any(each.name == arm and each.baseline for each in arms):
        return []
    return [f"unused: no scenario in {scenarios_folder} has an arm {arm} with baseline: true for it"]


def _part_rows(kind: str) -> list[dict[str, str]]:
    return [{"name": name, "about": plugins.summary(kind, name)} for name in plugins.names(kind)]


def _metric_row(name: str) -> dict[str, str]:
    metric = plugins.load("metrics", name)
    unit = f" in {metric.UNIT}" if metric.UNIT else ""
    return {"name": name, "about": f"{metric.BETTER} is better{unit}; {metric.SPEC}"}


def generate(wish: Wish, teller: Teller) -> Run:
    """Make one picture in a worker, as every run does, and keep only the picture."""
    question = wish.loaded()
    plan = scenario.plan(question, question.scenario.arms[0])
    with tempfile.TemporaryDirectory(prefix="harness-generate-") as scratch:
        folder = Path(scratch)
        device = choose_device(wish.device, folder)
        model = prepare(question.model_source, plan.model, folder / "model")
        teller.planned(plan, device)
        order = Order(
            plan=plan,
            device=device,
            model=model,
            input_images=question.input_images,
            folder=folder / "run",
            run_id="generate",
        )
        made = make_run(order, teller.heard)
        if made.samples:
            wish.output_image.parent.mkdir(parents=True, exist_ok=True)
            write_picture(wish.output_image, read_picture(order.folder / made.samples[0].image.path))
    return made


_STARTER = {
    "scenarios/example.yaml": "example.yaml",
    ".github/workflows/accuracy.yml": "github.yml",
    ".gitlab-ci.yml": "gitlab.yml",
}
"""Where the files of a new project go, and what they are called among the files of the package."""


def init(folder: Path) -> list[Path]:
    """Write an example scenario and two CI files that check every scenario; gives their paths.

    Raises:
        UsageError: one of the files is there already; nothing was written.
    """
    files = {folder / place: resources.files("harness") / "starter" / name for place, name in _STARTER.items()}
    if there := [str(path) for path in files if path.exists()]:
        raise UsageError(
            f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} there already and nothing is ever overwritten; "
            "nothing was written. Move it away, or give another folder."
        )
    for path, starter in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, starter.read_text(encoding="utf-8"))
    return list(files)


def doctor(wanted: str) -> Diagnosis:
    """Look at this machine and say what is wrong with it for a device; runs no model and changes nothing.

    Raises:
        UnknownName: no device is called like that.
    """
    if wanted not in {"auto", *plugins.names("backends")}:
        raise UnknownName("device", wanted, ["auto", *plugins.names("backends")])
    with tempfile.TemporaryDirectory(prefix="harness-doctor-") as scratch:
        backends = ask_backends(Path(scratch))
    return diagnose(look(Path("/"), os.environ, backends, wanted))


@dataclass(frozen=True, kw_only=True)
class BaselineState:
    """Whether a scenario could be held against one of its baselines."""

    status: Status
    """Identical where nothing stands against it, else missing_baseline, not_comparable, or error for damage."""
    finding: Finding
    """The same in words."""


def examine_baselines(path: Path, baselines_folder: Path) -> list[BaselineState]:
    """Say of each baseline of a scenario whether it is there, whole and comparable; hashes the model and runs nothing.

    The scheduler's table is known only when a picture is made.

    Raises:
        NothingSelected: the scenario reads none.
        UsageError: two of its baselines differ in their noise.
    """
    question = scenario.load(path)
    live, kept = _chosen_arms(question, Selection(), "check")
    if not kept:
        raise NothingSelected(f"{path} has no arm with 'baseline: true', so it reads no baseline.")
    plans = _plans(question, Selection(), live)
    with tempfile.TemporaryDirectory(prefix="harness-doctor-") as scratch:
        model = prepare(question.model_source, question.scenario.model, Path(scratch) / "model").identity.digest
    states = [_baseline_state(question, arm, plans, model, baselines_folder) for arm in kept]
    if all(each.status is not Status.ERROR for each in states):
        _references(baselines_folder, question, kept, plans)
    return states


def _baseline_state(
    question: LoadedScenario, arm: Arm, plans: list[Plan], model_digest: str, baselines_folder: Path
) -> BaselineState:
    name = f"baseline {question.scenario.name}/{arm.name}"
    blocked = partial(Finding, name=name, severity=Severity.BLOCKED)
    try:
        references = _references(baselines_folder, question, [arm], plans)
    except BaselineDamaged as error:
        return BaselineState(status=Status.ERROR, finding=blocked(observed=str(error)))
    if references.missing:
        return BaselineState(status=Status.MISSING_BASELINE, finding=blocked(observed=references.missing[arm.name]))
    kept = references.found[arm.name]
    found = [
        f"{plan.arm.name}: {words}"
        for plan in plans
        for words in plan_differences(references.with_noise(plan, model_digest), model_digest, kept.run)
    ]
    if found:
        step = "Change the scenario back, or make the baseline again and accept it."
        return BaselineState(status=Status.NOT_COMPARABLE, finding=blocked(observed="; ".join(found), next_step=step))
    notes = baseline_notes(plans[0], kept.manifest, describe_host().packages)
    finding = Finding(
        name=name,
        severity=Severity.WARNING if notes else Severity.OK,
        changes_numbers=bool(notes),
        observed="; ".join([f"whole and comparable, manifest digest {kept.manifest.digest}", *notes]),
    )
    return BaselineState(status=Status.IDENTICAL, finding=finding)


def selftest() -> list[Check]:
    """Hold the comparator to known answers on this machine; runs no model and keeps nothing."""
    return checks()


# --- steps of the jobs -----------------------------------------------------------------------------------------------


def _calibrated_arm(asked: Scenario, name: str | None) -> Arm:
    references = {arm.name: arm for arm in asked.arms if arm.role is Role.REFERENCE}
    if not references:
        raise UsageError(
            f"{asked.name} has no reference arm, and calibrate measures how far a reference is from itself; add an arm "
            "with role: reference."
        )
    if name is None and len(references) > 1:
        raise UsageError(
            f"{asked.name} has {len(references)} reference arms; name one: --arm {' or '.join(references)}."
        )
    if name is not None and name not in references:
        raise UnknownName(f"reference arm of {asked.name}", name, references)
    arm = references[name or next(iter(references))]
    if (arm.noise or asked.noise) is NoiseMode.DEVICE:
        raise UsageError(f"{arm.name} draws its noise on its device, where nothing is disturbed; set noise: portable.")
    return arm


def _calibration_plans(question: LoadedScenario, arm: Arm) -> dict[FloorSource, Plan]:
    """The runs that show how far a reference may be from itself: each in one process, so that weights load once.

    Modules are disturbed in float32 only: in a half type the noise's last bit already draws every later rounding anew.
    """
    dtype = arm.dtype or question.scenario.model.dtype
    lower = lower_dtypes(dtype, _candidate_dtypes(question.scenario))
    twice = arm.model_copy(update={"repeats": Repeats(in_process=2, processes=1)})
    plans = {
        FloorSource.REPEAT: scenario.plan(question, twice),
        FloorSource.LATENT_ULP: _disturbed(question, arm, PerturbationKind.LATENT_ULP),
    }
    if dtype == "float32":
        plans[FloorSource.MODULE_ULP] = _disturbed(question, arm, PerturbationKind.MODULE_ULP)
    if lower:
        coarse = _named(arm, lower[0]).model_copy(update={"dtype": lower[0]})
        plans[FloorSource.PRECISION] = _disturbed(question, coarse, PerturbationKind.LATENT_ULP)
    return plans


def _disturbed(question: LoadedScenario, arm: Arm, kind: PerturbationKind) -> Plan:
    repeats = Repeats(in_process=DISTURBANCES, processes=1)
    named = _named(arm, kind.value.replace("_", "-")).model_copy(update={"repeats": repeats})
    return scenario.plan(question, named).model_copy(update={"perturbation": Perturbation(kind=kind)})


def _named(arm: Arm, suffix: str) -> Arm:
    """The arm under a longer name, which is still no longer than a name may be."""
    return arm.model_copy(update={"name": f"{arm.name[: 63 - len(suffix)]}-{suffix}"})


def _candidate_dtypes(asked: Scenario) -> list[str]:
    return [arm.dtype or asked.model.dtype for arm in asked.arms if arm.role is Role.CANDIDATE]


def _whole(run: Run) -> Run:
    """A run in which nothing failed.

    Raises:
        RunError: something did.
    """
    if run.failures:
        first = run.failures[0]
        raise RunError(f"{run.id}: {first.stage}: {first.message} Limits are taken from whole runs only.")
    return run


def _calibration(question: LoadedScenario, arm: Arm, stored: Mapping[FloorSource, StoredRun]) -> Calibration:
    """Floors from all runs, limits from the floors, and planted faults held against the limits."""
    plain = stored[FloorSource.REPEAT]
    healthy = stored.get(FloorSource.PRECISION) or stored[FloorSource.LATENT_ULP]
    environment = plain.run.environment
    lower = stored.get(FloorSource.PRECISION)
    measured = Measured(
        date=datetime.now(UTC).date(),
        device=f"{plain.run.backend}:{environment.device_name if environment else 'unknown'}",
        seeds=plain.run.plan.seeds,
        cases=[case.id for case in plain.run.plan.cases],
        reference_dtype=plain.run.plan.model.dtype,
        candidate_dtype=(lower or plain).run.plan.model.dtype,
        arm=arm.name if [each.role for each in question.scenario.arms].count(Role.REFERENCE) > 1 else None,
    )
    found = floors({source: compare_samples(each, plain) for source, each in stored.items()})
    limits = proposed(found, measured)
    return Calibration(
        scenario=question.scenario.name,
        scenario_digest=question.digest,
        arm=arm.name,
        device=measured.device,
        simulated=environment.simulated if environment else False,
        reference_dtype=measured.reference_dtype,
        candidate_dtype=measured.candidate_dtype,
        date=measured.date,
        seeds=measured.seeds,
        cases=measured.cases,
        floors=found,
        steps=step_floors({source: sample_steps(each, plain) for source, each in stored.items()}),
        limits=limits,
        detections=detections(limits, healthy, plain),
    )


def _write_limits(question: LoadedScenario, calibration: Calibration) -> None:
    """Put proposed limits into a scenario file in the place of those with evidence for the same arm."""
    arm = calibration.limits[0].arm
    owned = [
        index
        for index, limit in enumerate(question.scenario.limits)
        if limit.evidence is not None and limit.scope is Scope.REFERENCE and limit.arm in {None, arm}
    ]
    added = [limit.model_dump(mode="json", exclude_none=True) for limit in calibration.limits]
    edited = replace_entries(_text(question.path), "limits", drop=owned, add=added)
    write_atomically(question.path, edited.encode("utf-8"))
    scenario.load(question.path)


def _text(path: Path) -> str:
    """The text of a file with its own line ends."""
    return path.read_bytes().decode("utf-8")


def _limit(words: str, bound: str) -> Limit:
    metric, _, number = words.partition("=")
    plugins.load("metrics", metric)
    try:
        return Limit.model_validate(
            {"metric": metric, "scope": Scope.REFERENCE, bound: float(number), "reason": "Given on the command line."}
        )
    except ValueError as error:
        flag = f"--{bound.replace('_', '-')}"
        raise UsageError(f"{flag} {words}: {number!r} is not a number; write it as {flag} {metric}=30.") from error


@contextmanager
def _growing(path: Path) -> Iterator[TextIO]:
    """A file that can be watched while it grows, and takes its name when it is whole."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8", newline="\n", buffering=1) as stream:
        yield stream
    part.replace(path)


def _stored(folder: Path) -> StoredRun:
    """A run folder, a baseline's folder or a job's copy of one."""
    place = folder.resolve()
    if (place / MANIFEST_FILE).exists():
        kept = baselines.read(place.parents[1], f"{place.parent.name}/{place.name}")
        return StoredRun(run=kept.run, folder=kept.folder, manifest=kept.manifest)
    copied = place / baselines.TAKEN_FILE
    manifest = store.load(Manifest, copied) if copied.exists() else None
    return StoredRun(run=store.load_run(folder), folder=place, manifest=manifest)


@contextmanager
def _made_runs(
    question: LoadedScenario,
    selection: Selection,
    command: list[str],
    teller: Teller,
    plans: list[Plan] | None = None,
) -> Iterator[tuple[Path, list[Run], References]]:
    """Make all runs of a scenario in a job folder; what is wrong with the question shows before the folder is made.

    ``plans`` replaces the plans of the selected arms.

    The folder stays locked while the caller works on it, and the job is finished when the caller is.
    """
    arms, kept = _chosen_arms(question, selection, command[1]) if plans is None else ([], [])
    plans = plans or _plans(question, selection, arms)
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        devices = _devices(plans, Path(scratch))
        model = prepare(question.model_source, question.scenario.model, Path(scratch) / "model", selection.permission)
        references = _references(selection.baselines_folder, question, kept, plans)
        plans = [references.with_noise(plan, model.identity.digest) for plan in plans]
        for words in references.missing.values():
            teller.noticed(words)
        folder = _job_folder(question, selection, plans, references, devices, model, teller)
        with store.locked(folder):
            job = store.Job(state="unfinished", scenario=question.scenario, command=command)
            store.save(job, folder / store.JOB_FILE)
            references.take(folder)
            yield (
                folder,
                [
                    _made_run(
                        Order(
                            plan=plan,
                            device=devices[plan.arm.name],
                            model=model,
                            input_images=question.input_images,
                            folder=(folder / plan.arm.name).absolute(),
                            run_id=f"{folder.name}/{plan.arm.name}",
                            noise=references.given_noise(plan, folder),
                            retries=selection.retries,
                        ),
                        teller,
                    )
                    for plan in plans
                ],
                references,
            )
            store.save(job.model_copy(update={"state": "finished"}), folder / store.JOB_FILE)


def _chosen_arms(question: LoadedScenario, selection: Selection, verb: str) -> tuple[list[Arm], list[Arm]]:
    """Arms that are run, and arms that are read from the baseline store.

    ``check`` never runs a baseline's arm: to name one chooses it among several. ``run`` makes the one that is named.
    """
    arms = question.scenario.arms
    for name in selection.arms:
        if name not in {arm.name for arm in arms}:
            raise UnknownName(f"arm of {question.scenario.name}", name, [arm.name for arm in arms])
    named = [arm for arm in arms if arm.name in selection.arms]
    live = [arm for arm in arms if not arm.baseline]
    if verb == "run":
        made = named or live
        return made, [arm for arm in arms if arm.baseline and arm not in made]
    return (
        [arm for arm in named if not arm.baseline] or live,
        [arm for arm in named if arm.baseline] or [arm for arm in arms if arm.baseline],
    )


@dataclass(frozen=True, kw_only=True)
class References:
    """What the baseline store holds for a scenario."""

    found: dict[str, Baseline] = field(default_factory=dict)
    """Whole baselines that hold every selected case and seed, by arm."""
    missing: dict[str, str] = field(default_factory=dict)
    """Why there is none, and what makes it, by arm."""
    keys: list[CaseKey] = field(default_factory=list)
    """Selected cases and seeds."""
    arms: dict[str, Arm] = field(default_factory=dict)
    """Arms as the scenario writes them, by name."""

    def with_noise(self, plan: Plan, model_digest: str) -> Plan:
        """The plan with the noise of a baseline, where it would have portable noise and the two can be compared."""
        if plan.noise is not NoiseMode.PORTABLE:
            return plan
        for baseline in self.found.values():
            if _has_noise(baseline) and not input_differences(plan, model_digest, baseline.run):
                return plan.model_copy(update={"noise_from": baseline.manifest.digest})
        return plan

    def given_noise(self, plan: Plan, folder: Path) -> list[GivenNoise]:
        """Noise for a plan that takes it from a baseline, as files of the job's copy."""
        for arm, baseline in self.found.items():
            if baseline.manifest.digest == plan.noise_from:
                firsts = [baseline.run.samples_of(key)[0] for key in self.keys]
                return [
                    GivenNoise(
                        key=each.key, path=str((folder / arm / (each.noise_path or "")).absolute()), draws=each.draws
                    )
                    for each in firsts
                ]
        return []

    def take(self, folder: Path) -> None:
        """Copy the baselines into a job's folder."""
        for arm, baseline in self.found.items():
            baselines.take(baseline, self.keys, folder / arm)

    def stored(self, folder: Path) -> list[StoredRun]:
        """The job's copies."""
        return [
            StoredRun(run=baselines.selected(each.run, self.keys), folder=folder / arm, manifest=each.manifest)
            for arm, each in self.found.items()
        ]


def _references(baselines_folder: Path, question: LoadedScenario, arms: list[Arm], plans: list[Plan]) -> References:
    """What the store holds for these arms.

    Raises:
        BaselineDamaged: a baseline is not what was accepted.
        UsageError: two baselines differ in their noise, so one run cannot be held against both.
    """
    found, missing = {}, {}
    for arm in arms:
        name = f"{question.scenario.name}/{arm.name}"
        steps = (
            f"on the machine it belongs to: harness run {question.path.name} --arm {arm.name}; then harness baseline "
            f"accept runs/JOB/{arm.name} --reason TEXT; and harness baseline pack and unpack carry it here"
        )
        try:
            baseline = baselines.read(baselines_folder, name)
        except BaselineMissing:
            missing[arm.name] = f"there is no baseline {name} in {baselines_folder}. Make it {steps}"
            continue
        lacking = [str(key) for key in plans[0].keys if not baseline.run.samples_of(key)]
        if lacking:
            missing[arm.name] = f"the baseline {name} does not hold {', '.join(lacking)}. Make it again {steps}"
        else:
            found[arm.name] = baseline
    _refuse_two_noises(found, plans[0].keys)
    return References(found=found, missing=missing, keys=plans[0].keys, arms={arm.name: arm for arm in arms})


def _refuse_two_noises(found: dict[str, Baseline], keys: list[CaseKey]) -> None:
    noises = {
        arm: [baseline.run.samples_of(key)[0].noise_digest for key in keys]
        for arm, baseline in found.items()
        if _has_noise(baseline)
    }
    (first, *others) = noises or [""]
    for other in others:
        if noises[other] != noises[first]:
            raise UsageError(
                f"the baselines of {first} and {other} had different noise, so no run can be held against both; name "
                f"one of them: --arm {first}."
            )


def _has_noise(baseline: Baseline) -> bool:
    return all(sample.noise_digest is not None for sample in baseline.run.samples)


def _plans(question: LoadedScenario, selection: Selection, arms: list[Arm]) -> list[Plan]:
    """A plan for every arm that is run."""
    return [
        scenario.plan(
            question,
            arm,
            cases=selection.cases or None,
            seeds=selection.seeds or None,
            repeats=selection.repeats,
            processes=selection.processes,
            device=selection.device,
        )
        for arm in arms
    ]


def _devices(plans: list[Plan], scratch: Path) -> dict[str, ChosenDevice]:
    """The device of every arm; each name is asked for once, and not at all where no worker opens it."""
    outside = any(plan.noise is NoiseMode.UNVERIFIED for plan in plans)
    found = {
        wanted: named_device(wanted) if outside else choose_device(wanted, scratch)
        for wanted in sorted({plan.arm.device for plan in plans})
    }
    return {plan.arm.name: found[plan.arm.device] for plan in plans}


def _job_folder(  # noqa: PLR0913, PLR0917 - all that a fingerprint is made of
    question: LoadedScenario,
    selection: Selection,
    plans: list[Plan],
    references: References,
    devices: Mapping[str, ChosenDevice],
    model: PreparedModel,
    teller: Teller,
) -> Path:
    """The folder of an interrupted job with the same fingerprints, or a new one."""
    wanted = {
        plan.arm.name: store.Fingerprint(
            plan=plan.digest,
            code=code_digest(plan.model.adapter),
            host=devices[plan.arm.name].host_digest,
            model=model.identity.digest,
        )
        for plan in plans
    }
    wanted |= {each.run.plan.arm.name: store.fingerprint(each.run) for each in references.stored(Path())}
    if (old := store.resumable_job_folder(selection.runs_folder, wanted)) is not None:
        teller.resumed(old)
        return old
    return store.new_job_folder(selection.runs_folder, question.scenario.name)


def _made_run(order: Order, teller: Teller) -> Run:
    """Make a run, or take the finished one that an interrupted job left."""
    if (order.folder / RUN_FILE).exists():
        stored = store.load(Run, order.folder / RUN_FILE)
        if stored.state == "finished":
            return stored
    teller.planned(order.plan, order.device)
    made = make_run(order, teller.heard)
    teller.ran(made)
    return made


def _comparisons(folder: Path, runs: list[Run], kept: References) -> list[Comparison]:
    """Every arm with itself, then every candidate with every reference, run here or kept in the store."""
    stored = _made(folder, runs)
    repeats = [compare_repeats(each, limits=each.run.plan.limits, base=folder) for each in stored]
    candidates = [each for each in stored if each.run.plan.arm.role is Role.CANDIDATE]
    references = [each for each in stored if each.run.plan.arm.role is Role.REFERENCE] + kept.stored(folder)
    compared = [
        compare_runs(
            candidate,
            reference,
            limits=candidate.run.plan.limits,
            base=folder,
            others=_others(candidate.run.plan.limits, reference, references),
        )
        for candidate in candidates
        for reference in references
    ]
    missing = [
        missing_baseline(candidate, kept.arms[arm], why, limits=candidate.run.plan.limits, base=folder)
        for candidate in candidates
        for arm, why in kept.missing.items()
    ]
    return [*repeats, *compared, *missing]


def _made(folder: Path, runs: list[Run]) -> list[StoredRun]:
    """The runs of a job with their folders."""
    return [StoredRun(run=each, folder=folder / each.plan.arm.name) for each in runs]


def _scores(question: LoadedScenario, stored: list[StoredRun], folder: Path) -> dict[str, ArmScores]:
    """Score every arm and keep that in the job's folder; by run, and empty where the scenario asks for no score."""
    if not question.scenario.scores:
        return {}
    scores = [score_run(each, question.scenario, question.input_images) for each in stored]
    for each in scores:
        store.save(each, folder / store.scores_file(each.arm))
    return {each.run: each for each in scores}


def _kept_scores(stored: list[StoredRun]) -> dict[str, ArmScores]:
    """Scores that were kept beside the folders of runs, by run."""
    paths = [each.folder.parent / store.scores_file(each.run.plan.arm.name) for each in stored]
    found = [store.load(ArmScores, path) for path in paths if path.is_file()]
    return {each.run: each for each in found}


def _others(limits: list[Limit], reference: StoredRun, references: list[StoredRun]) -> list[StoredRun]:
    """Arms that a limit against a reference divides by."""
    name = reference.run.plan.arm.name
    wanted = {limit.ratio_to for limit in limits if limit.arm == name}
    return [each for each in references if each.run.plan.arm.name in wanted]


def _today() -> date:
    """The day that decides which waivers hold; it changes at midnight UTC, everywhere at once."""
    return datetime.now(UTC).date()


def _file_name(comparison: Comparison, elsewhere: str = "") -> str:
    """Name of a comparison's file; ``elsewhere`` is the folder of an expected run that is not of the same job."""
    arms = comparison.actual.arm
    if comparison.scope is Scope.REFERENCE:
        arms += f"-against-{'.'.join(filter(None, (elsewhere, comparison.expected.arm)))}"
    return f"comparison-{comparison.scope}-{arms}.json"


def _in_order(run_paths: set[str], asked: Scenario) -> list[str]:
    """Run folders in the order of the scenario's arms; those of other jobs last."""
    arms = [arm.name for arm in asked.arms]
    return sorted(run_paths, key=lambda path: (arms.index(path) if path in arms else len(arms), path))


def _report(
    asked: Scenario, command: list[str], runs: list[Run], comparisons: list[Comparison], scores: list[ArmScores]
) -> Report:
    return Report(
        title=f"{asked.name}: accuracy and determinism",
        scenario=asked,
        command=command,
        runs=runs,
        comparisons=comparisons,
        outcome=worst([each.outcome for each in comparisons]),
        scores=scores,
    )


def _command(verb: str, question: LoadedScenario, selection: Selection) -> list[str]:
    """The command that asks the same question, with a path that holds wherever the scenarios folder is."""
    words = ["harness", verb, f"scenarios/{question.scenario.name}.yaml"]
    for flag, values in (("--arm", selection.arms), ("--case", selection.cases), ("--seed", selection.seeds)):
        words += [word for value in values for word in (flag, str(value))]
    for flag, value in (
        ("--device", selection.device),
        ("--repeats", selection.repeats),
        ("--processes", selection.processes),
        ("--retries", selection.retries or None),
    ):
        words += [] if value is None else [flag, str(value)]
    words += ["--allow-command"] if selection.permission.every else []
    words += ["--allowed-commands", selection.permission.listed.name] if selection.permission.listed else []
    return words
