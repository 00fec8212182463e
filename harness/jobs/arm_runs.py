"""Make the runs of a scenario in a job folder: what every verb that runs arms has in common."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness import scenario, store
from harness.compare.comparator import StoredRun
from harness.compare.gates import failing
from harness.errors import NothingSelected, RecordError, UnknownName
from harness.files import remove_leftovers
from harness.jobs.arm_setups import devices_of, models_of, setups_of
from harness.jobs.references import References, read_references
from harness.records import EXIT_CODES, RUN_FILE, CaseKey, Role, Run, Status
from harness.run.sources import NO_COMMANDS, Permission, PreparedModel
from harness.run.supervisor import ChosenDevice, Order, code_digest, make_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.jobs.progress import ProgressReporter
    from harness.records import Arm, Plan
    from harness.run.interpreters import ProcessSetup
    from harness.scenario import LoadedScenario


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
    quick: bool = False
    """Whether one case with one seed is enough, twice where the scenario repeats it: in one process, if it may."""
    last_failed: bool = False
    """Whether only cases and seeds are run that did not pass in the scenario's newest finished job."""

    def narrowed(self, loaded: LoadedScenario) -> Selection:
        """The same with the cases, seeds and repeats that ``quick`` and ``last_failed`` stand for.

        What was named beside them holds.

        Raises:
            NothingSelected: no job of the scenario is finished, or nothing failed in the newest.
        """
        cases, seeds = self.cases, self.seeds
        if self.last_failed:
            failed = failed_keys(self.runs_folder, loaded.scenario.name)
            cases = cases or list(dict.fromkeys(key.case for key in failed))
            seeds = seeds or list(dict.fromkeys(key.seed for key in failed))
        if not self.quick:
            return replace(self, cases=cases, seeds=seeds)
        written = loaded.scenario.repeats
        in_process = min(written.in_process, 2)
        return replace(
            self,
            cases=(cases or [loaded.scenario.cases[0].id])[:1],
            seeds=(seeds or list(loaded.scenario.seeds))[:1],
            repeats=self.repeats or in_process,
            # What the scenario repeats in fresh processes alone may have no other way to be repeated.
            processes=self.processes or (1 if in_process > 1 else min(written.processes, 2)),
        )


def failed_keys(runs_folder: Path, name: str) -> list[CaseKey]:
    """Cases and seeds that did not pass in the newest finished job of a scenario, in the order of its comparisons.

    Raises:
        NothingSelected: no job is finished, or everything passed.
    """
    for folder in sorted(runs_folder.glob("*_*"), reverse=True):
        try:
            job = store.load(store.Job, folder / store.JOB_FILE)
        except RecordError:
            continue
        if job.scenario.name == name and job.state == "finished":
            break
    else:
        raise NothingSelected(f"no job of {name} in {runs_folder.absolute()} is finished, so none has failed.")
    comparisons = [store.load_comparison(path) for path in sorted(folder.glob("comparison-*.json"))]
    failed = [comparison for comparison in comparisons if EXIT_CODES[comparison.outcome] != 0]
    failed = [comparison for comparison in failed if comparison.outcome is not Status.SKIPPED]
    if not all(map(failing, failed)):  # a whole comparison failed, and no single case did
        return [CaseKey(case=case.id, seed=seed) for case in job.scenario.cases for seed in job.scenario.seeds]
    keys = dict.fromkeys(key for comparison in failed for key in failing(comparison))
    if not keys:
        raise NothingSelected(f"nothing failed in {folder.absolute()}; leave --last-failed out to run everything.")
    return list(keys)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A scenario with everything looked up that can be known before anything runs."""

    loaded: LoadedScenario
    """The scenario."""
    command: list[str]
    """The command that asks the same question."""
    plans: list[Plan]
    """A plan for each arm that is run, with the noise of a baseline where there is one."""
    devices: Mapping[str, ChosenDevice]
    """The device of each arm."""
    setups: Mapping[str, ProcessSetup]
    """Interpreter and variables of each arm."""
    models: Mapping[str, PreparedModel]
    """The copied and hashed model of each arm."""
    references: References
    """What the baseline store holds."""


@contextmanager
def prepared(
    loaded_scenarios: Sequence[LoadedScenario],
    selection: Selection,
    verb: str,
    reporter: ProgressReporter,
    plans: list[Plan] | None = None,
) -> Iterator[list[Prepared]]:
    """Look up devices, models, permissions and baselines of all scenarios before the first of them runs.

    ``plans`` replaces the plans of the selected arms, for one scenario. Copies of models are gone when this is left.
    """
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        chosen_devices: dict[tuple[str, str], ChosenDevice] = {}
        yield [
            _prepared(loaded, selection, verb, reporter, plans, chosen_devices, Path(scratch) / str(number))
            for number, loaded in enumerate(loaded_scenarios)
        ]


def _prepared(  # noqa: PLR0913, PLR0917 - what a scenario is looked up with
    loaded: LoadedScenario,
    selection: Selection,
    verb: str,
    reporter: ProgressReporter,
    plans: list[Plan] | None,
    chosen_devices: dict[tuple[str, str], ChosenDevice],
    scratch: Path,
) -> Prepared:
    for note in loaded.notes:
        reporter.on_note(note)
    selection = selection.narrowed(loaded)
    arms, kept = chosen_arms(loaded, selection, verb) if plans is None else ([], [])
    plans = plans or plans_of(loaded, selection, arms)
    scratch.mkdir()
    setups = setups_of(loaded, plans, scratch, selection.permission)
    devices = devices_of(plans, setups, scratch, chosen_devices)
    models = models_of(loaded, plans, scratch, selection.permission)
    references = read_references(selection.baselines_folder, loaded, kept, plans)
    for message in references.missing.values():
        reporter.on_note(message)
    return Prepared(
        loaded=loaded,
        command=command_of(verb, loaded, selection),
        plans=[references.with_noise(plan, models[plan.arm.name].identity) for plan in plans],
        devices=devices,
        setups=setups,
        models=models,
        references=references,
    )


@dataclass(frozen=True, kw_only=True)
class JobRuns:
    """The runs of a job: those that were made, and the copies of baselines beside them."""

    folder: Path
    """Job folder."""
    made: list[StoredRun]
    """Runs of this job, in the order of the scenario's arms."""
    baselines: list[StoredRun]
    """The job's copies of baselines."""

    @property
    def stored(self) -> list[StoredRun]:
        """All of them."""
        return [*self.made, *self.baselines]

    @property
    def runs(self) -> list[Run]:
        """Their records."""
        return [stored.run for stored in self.stored]

    @property
    def candidates(self) -> list[StoredRun]:
        """What is validated."""
        return [stored for stored in self.made if stored.run.plan.arm.role is Role.CANDIDATE]

    @property
    def references(self) -> list[StoredRun]:
        """What it is compared with."""
        made = [stored for stored in self.made if stored.run.plan.arm.role is Role.REFERENCE]
        return [*made, *self.baselines]


@contextmanager
def made_runs(job: Prepared, selection: Selection, reporter: ProgressReporter) -> Iterator[JobRuns]:
    """Make all runs of a scenario in a job folder.

    The folder stays locked while the caller works on it, and the job is finished when the caller is.
    """
    folder = _job_folder(job, selection, reporter)
    with store.locked(folder):
        record = store.Job(state="unfinished", scenario=job.loaded.scenario, command=job.command)
        store.save(record, folder / store.JOB_FILE)
        with _tidied(folder):
            job.references.take(folder)
            made = [_made_run(_order(job, plan, folder, selection), reporter) for plan in job.plans]
            yield JobRuns(
                folder=folder,
                made=[StoredRun(run=run, folder=folder / run.plan.arm.name) for run in made],
                baselines=job.references.stored(folder),
            )
        store.save(record.model_copy(update={"state": "finished"}), folder / store.JOB_FILE)


def _order(job: Prepared, plan: Plan, folder: Path, selection: Selection) -> Order:
    return Order(
        plan=plan,
        device=job.devices[plan.arm.name],
        model=job.models[plan.arm.name],
        setup=job.setups[plan.arm.name],
        input_images=job.loaded.input_images,
        argument_images=job.loaded.argument_images,
        folder=(folder / plan.arm.name).absolute(),
        run_id=f"{folder.name}/{plan.arm.name}",
        noise=job.references.given_noise(plan, folder),
        retries=selection.retries,
    )


@contextmanager
def _tidied(folder: Path) -> Iterator[None]:
    """Leave no half-written file: a worker that is ended, by the user or for want of room, may leave one."""
    try:
        yield
    finally:
        for place, _, _ in os.walk(folder):
            remove_leftovers(Path(place))


def chosen_arms(loaded: LoadedScenario, selection: Selection, verb: str) -> tuple[list[Arm], list[Arm]]:
    """Arms that are run, and arms that are read from the baseline store.

    ``check`` never runs a baseline's arm: to name one chooses it among several. ``run`` makes the one that is named.

    Raises:
        UnknownName: the scenario has no arm of a name that was given.
    """
    arms = loaded.scenario.arms
    for name in selection.arms:
        if name not in {arm.name for arm in arms}:
            raise UnknownName(f"arm of {loaded.scenario.name}", name, [arm.name for arm in arms])
    named = [arm for arm in arms if arm.name in selection.arms]
    live = [arm for arm in arms if not arm.baseline]
    if verb == "run":
        made = named or live
        return made, [arm for arm in arms if arm.baseline and arm not in made]
    return (
        [arm for arm in named if not arm.baseline] or live,
        [arm for arm in named if arm.baseline] or [arm for arm in arms if arm.baseline],
    )


def plans_of(loaded: LoadedScenario, selection: Selection, arms: list[Arm]) -> list[Plan]:
    """A plan for every arm that is run."""
    return [
        scenario.plan(
            loaded,
            arm,
            cases=selection.cases or None,
            seeds=selection.seeds or None,
            repeats=selection.repeats,
            processes=selection.processes,
            device=selection.device,
        )
        for arm in arms
    ]


def _job_folder(job: Prepared, selection: Selection, reporter: ProgressReporter) -> Path:
    """The folder of an interrupted job with the same fingerprints, or a new one."""
    wanted = {
        plan.arm.name: store.Fingerprint(
            plan=plan.digest,
            code=code_digest(plan.model.adapter),
            host=job.devices[plan.arm.name].host_digest,
            model=job.models[plan.arm.name].identity.key,
        )
        for plan in job.plans
    }
    wanted |= {stored.run.plan.arm.name: store.fingerprint(stored.run) for stored in job.references.stored(Path())}
    if (old := store.resumable_job_folder(selection.runs_folder, wanted)) is not None:
        reporter.on_resume(old)
        return old
    return store.new_job_folder(selection.runs_folder, job.loaded.scenario.name)


def _made_run(order: Order, reporter: ProgressReporter) -> Run:
    """Make a run, or take the finished one that an interrupted job left."""
    if (order.folder / RUN_FILE).exists():
        stored = store.load(Run, order.folder / RUN_FILE)
        if stored.state == "finished":
            return store.load_run(order.folder)  # which compares it with the samples beside it
    reporter.on_run_start(order.plan, order.device)
    made = make_run(order, reporter.on_event)
    reporter.on_run_end(made)
    return made


def command_of(verb: str, loaded: LoadedScenario, selection: Selection) -> list[str]:
    """The command that asks the same question, with a path that holds wherever the scenarios folder is."""
    words = ["harness", verb, scenario.place(loaded.path)]
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
