"""Making a run: plan the processes, start them, gather what they stored; never judge."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import shutil
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from harness import plugins
from harness.contracts import Availability, is_outside
from harness.errors import DeviceUnavailable, RunError
from harness.files import write_text
from harness.host import available_memory_bytes, describe_host, thread_variables
from harness.language import recorded
from harness.message import joined
from harness.progress import task
from harness.records import RUN_FILE, EndedBy, Failure, NoiseMode, Run, Sample, from_json, read_record, to_json
from harness.run.child import End, Stopped, run_child
from harness.run.events import (
    Assignment,
    Availabilities,
    Event,
    Failed,
    Generating,
    Loaded,
    Sampled,
    Share,
    Started,
    Stepped,
)
from harness.run.interpreters import PLAIN, ProcessSetup
from harness.text import printable, redact
from harness.variables import SET_FOR_WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.progress import Task
    from harness.records import CaseKey, Environment, LoadedModel, Plan
    from harness.run.events import GivenNoise
    from harness.run.sources import PreparedModel

WORK_FOLDER = ".work"
_LOG_LINES = 60


@dataclass(frozen=True, kw_only=True)
class ChosenDevice:
    """A backend and an index."""

    backend: str
    index: int
    reason: str
    """What was found, in words."""
    host_digest: str
    """Digest of machine, device and packages."""

    def __str__(self) -> str:
        """Backend and index, as on the command line."""
        return f"{self.backend}:{self.index}"


def choose_device(wanted: str, work_folder: Path, setup: ProcessSetup = PLAIN) -> ChosenDevice:
    """Resolve ``auto``, ``npu`` or ``npu:1`` by asking the backends in a child process, set up as the worker will be.

    Raises:
        UnknownName: no backend is called like that.
        DeviceUnavailable: the device is not there; never replaced by another one.
    """
    name, _, index = wanted.partition(":")
    ranked = _ranked()
    if name != "auto":
        plugins.load("backends", name)
    asked = ranked if name == "auto" else [name]
    answers = _probe(asked, work_folder, setup)
    backend = next((candidate for candidate in asked if answers.available.get(candidate)), None)
    if backend is None:
        reasons = "; ".join(f"{candidate}: {answers.reasons.get(candidate, 'no answer')}" for candidate in asked)
        raise DeviceUnavailable(f"--device {wanted} cannot be used here: {reasons}. Nothing else is used in its place.")
    number = int(index or 0)
    if number >= answers.counts[backend]:
        raise DeviceUnavailable(
            f"--device {wanted} is not there: {backend} has {answers.counts[backend]} device(s), counted from 0."
        )
    reason = answers.reasons[backend]
    host_digest = describe_host().digest(f"{backend}:{number} {reason}{_setup_words(setup)}")
    return ChosenDevice(backend=backend, index=number, reason=reason, host_digest=host_digest)


def _setup_words(setup: ProcessSetup) -> str:
    """What a setup adds to the digest of a host; nothing where it is the plain one."""
    return "" if setup == PLAIN else f" {setup.digest}"


def named_device(word: str, setup: ProcessSetup = PLAIN) -> ChosenDevice:
    """The device that a word names, without asking for it: for pictures that are made outside the worker."""
    name, _, index = word.partition(":")
    plugins.load("backends", name)
    reason = "not asked: the pictures are made outside the worker"
    host_digest = describe_host().digest(f"{name}:{index or 0} {reason}{_setup_words(setup)}")
    return ChosenDevice(backend=name, index=int(index or 0), reason=reason, host_digest=host_digest)


def ask_backends(work_folder: Path) -> dict[str, Availability]:
    """What every backend says, in the order in which ``auto`` tries them.

    Each is asked in a child of its own, so a driver that takes its process down silences no other backend.
    """
    return {name: _asked(name, work_folder) for name in _ranked()}


def _ranked() -> list[str]:
    return sorted(plugins.names("backends"), key=lambda name: plugins.load("backends", name).AUTO_RANK)


def _asked(name: str, work_folder: Path) -> Availability:
    try:
        answers = _probe([name], work_folder / name)
    except RunError as error:
        return Availability(available=False, reason=str(error))
    return Availability(
        available=answers.available[name],
        reason=answers.reasons[name],
        device_count=answers.counts[name],
        facts=answers.facts[name],
        memory_bytes=answers.memory_bytes[name],
        simulated=answers.simulated[name],
    )


def _probe(backends: list[str], work_folder: Path, setup: ProcessSetup = PLAIN) -> Availabilities:
    answers: list[Event] = []
    log = work_folder / "probe.log"
    with task(f"looking for devices ({', '.join(backends)})"):
        end = run_child(
            ["--probe", *backends],
            environment=os.environ | {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"} | setup.variables(work_folder),
            log=log,
            listen=answers.append,
            time_limit_seconds=300,
            python=setup.executable,
        )
    for answer in answers:
        if isinstance(answer, Availabilities):
            return answer
    raise RunError(f"asking for devices {end.words}; it wrote:\n{tail_of(log, 20)}")


@dataclass(frozen=True, kw_only=True)
class Order:
    """One run that is to be made."""

    plan: Plan
    device: ChosenDevice
    model: PreparedModel
    input_images: Mapping[str, Path]
    folder: Path
    """Run folder; it may hold the samples of an interrupted run of the same plan."""
    run_id: str
    argument_images: Mapping[str, Path] = field(default_factory=dict)
    setup: ProcessSetup = PLAIN
    """How its worker processes are started."""
    noise: Sequence[GivenNoise] = ()
    """Noise of a baseline, for each case and seed of a plan that takes its noise from one."""
    retries: int = 0
    """How often a new process may take over after a failure of the machine; see ``is_infrastructure``."""


def make_run(order: Order, listen: Callable[[Event], None]) -> Run:
    """Make all samples of an order that are not there yet; the run is stored unfinished first, finished last."""
    order.folder.mkdir(parents=True, exist_ok=True)
    plan = order.plan
    forget_half_calls(order.folder, plan)
    wanted = len(plan.keys) * plan.repeats.in_process * plan.repeats.processes
    lacking = wanted - len(stored_samples(order.folder))
    with task(f"{plan.scenario}/{plan.arm.name}", lacking, "images") as work:
        return _made_run(order, _Notes(listen, interrupted_run(order.folder), work, plan.steps))


def _made_run(order: Order, notes: _Notes) -> Run:
    begin = time.monotonic()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    logs: list[Path] = []

    def state(word: str) -> Run:
        return _run(order, notes, started, time.monotonic() - begin, logs, finished=word == "finished")

    notes.on_change = lambda: _store(order.folder, state("unfinished"))
    _store(order.folder, state("unfinished"))
    retries = order.retries
    processes = _processes(order, notes)
    while processes:
        together = processes[: at_once(order)]
        del processes[: len(together)]
        notes.side_by_side = max(notes.side_by_side, len(together))
        logs += [_log(order, process) for process, _ in together]
        ended = _work_together(order, together, notes)
        forget_half_calls(order.folder, order.plan)
        lost = [failures for failures in ended if any(failure.stage != "generate" for failure in failures)]
        if not lost:
            continue
        if len(lost) > retries or not all(is_infrastructure(failure) for failures in lost for failure in failures):
            break
        retries -= len(lost)
        notes.set_aside([failure for failures in lost for failure in failures])
        processes = _processes(order, notes)
    shutil.rmtree(order.folder / WORK_FOLDER, ignore_errors=True)
    finished = state("finished")
    _store(order.folder, finished)
    return finished


def at_once(order: Order) -> int:
    """How many worker processes of an order may run at the same time.

    More than one only where the scenario says how many threads a process has and a CPU computes in the worker: values
    depend on the threads of a process and not on its neighbours, but on cards neighbours share memory and caches.
    """
    plan = order.plan
    if plan.arm.threads is None or order.device.backend != "cpu" or plan.noise is NoiseMode.UNVERIFIED:
        return 1
    cores = len(os.sched_getaffinity(0)) // plan.arm.threads
    weights = sum(path.stat().st_size for path in order.model.folder.rglob("*.safetensors"))
    memory = available_memory_bytes() // (_PROCESS_BYTES + _COPIES_OF_WEIGHTS * weights)
    return max(1, min(cores, memory, plan.repeats.processes))


_PROCESS_BYTES = 2 << 30
"""Memory that is set aside for a process beside its weights: libraries, activations, the arrays of one sample."""

_COPIES_OF_WEIGHTS = 3
"""Weights in a half type take twice their size in float32, and a third copy exists while they are loaded."""


def _work_together(order: Order, processes: list[tuple[int, list[Share]]], notes: _Notes) -> list[list[Failure]]:
    """Run processes side by side to their ends; gives what went wrong in each. None is left when this is left."""
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=len(processes)) as pool:
        working = [pool.submit(_work, order, process, shares, notes, stop) for process, shares in processes]
        try:
            wait(working, return_when=FIRST_EXCEPTION)
        finally:
            if any(not work.done() or work.exception() for work in working):
                stop.set()
    errors = [error for work in working if (error := work.exception())]
    for error in sorted(errors, key=lambda error: isinstance(error, Stopped)):
        raise error
    return [work.result() for work in working]


class _Notes:
    """What the workers told that samples do not hold."""

    def __init__(self, listen: Callable[[Event], None], interrupted: Run | None, work: Task, steps: int) -> None:
        self._work = work
        self._steps = steps
        self.environment: Environment | None = interrupted.environment if interrupted else None
        self.loaded: LoadedModel | None = interrupted.loaded if interrupted else None
        # A sample that failed is made again after an interruption; that it failed once stays on record.
        self.failures: list[Failure] = list(interrupted.failures) if interrupted else []
        self.retried: list[Failure] = list(interrupted.retried) if interrupted else []
        self.side_by_side = interrupted.side_by_side if interrupted else 1
        self.on_change: Callable[[], None] = lambda: None
        self._listen = listen
        self._one_at_a_time = threading.RLock()

    def hear(self, event: Event, process: int) -> None:
        with self._one_at_a_time:
            if isinstance(event, Started):
                self._hear_environment(event.environment, process)
                self.on_change()
            elif isinstance(event, Loaded):
                self.loaded = self.loaded or event.loaded
            elif isinstance(event, Failed):
                self.fail(event.failure)
                self.on_change()
            self._show(event)
            self._listen(event)

    def _show(self, event: Event) -> None:
        match event:
            case Started():
                self._work.doing("loading the model")
            case Loaded():
                self._work.doing("model loaded")
            case Generating():
                self._work.doing(f"{event.key}, repeat {event.repeat + 1}")
            case Stepped():
                self._work.doing(f"step {event.step} of {self._steps}")
            case Sampled():
                self._work.advance()
            case _:
                pass

    def fail(self, failure: Failure) -> None:
        """Keep a failure."""
        with self._one_at_a_time:
            self.failures.append(failure)

    def failures_of(self, process: int) -> list[Failure]:
        """What went wrong in one process."""
        return [failure for failure in self.failures if failure.process == process]

    def set_aside(self, failures: list[Failure]) -> None:
        """Count failures as retried: they stay on record and make no error of the run."""
        self.retried += failures
        aside = set(map(id, failures))
        self.failures = [failure for failure in self.failures if id(failure) not in aside]
        self.on_change()

    def _hear_environment(self, environment: Environment, process: int) -> None:
        self.environment = self.environment or environment
        if environment.digest != self.environment.digest:
            self.fail(
                Failure(
                    stage="environment",
                    key=None,
                    process=process,
                    repeat=None,
                    error="EnvironmentChanged",
                    message=joined(_changes(self.environment, environment)),
                )
            )


def _changes(before: Environment, now: Environment) -> list[str]:
    old, new = before.comparable, now.comparable
    unlike = [name for name in old if old[name] != new[name]]
    return [recorded("{name} was {before}, is {now}", name=name, before=old[name], now=new[name]) for name in unlike]


def is_infrastructure(failure: Failure) -> bool:
    """Whether a failure is the machine's and may go away by itself: a new process can be worth a try.

    That is a worker that was ended by a signal (the kernel's out-of-memory killer among others) or at its time limit,
    and a device that cannot be opened when a worker starts. What a pipeline raises or returns is a result, memory that
    it asks for and does not get included, and a switch that is not in force is a wrong setting: neither is retried.
    """
    if failure.ended_by is not None:
        return failure.ended_by is not EndedBy.ITSELF
    return failure.stage == "start" and failure.error in _DEVICE_ERRORS


_DEVICE_ERRORS = {"DeviceUnavailable", "RuntimeError", "AcceleratorError"}
"""What backends raise, and what torch raises in them, where a device cannot be opened."""


def _processes(order: Order, notes: _Notes) -> list[tuple[int, list[Share]]]:
    """The processes to start: index, and what each makes. Samples that are there already count."""
    stored = stored_samples(order.folder)
    adapter = plugins.load("adapters", order.plan.model.adapter)
    if is_outside(adapter) and not adapter.COMPUTES:
        return _unread(order.plan, stored)
    have = Counter(call for call, _, _ in {_call_of(sample) for sample in stored})
    repeats = order.plan.repeats
    lacking = {call: repeats.in_process * repeats.processes - have[call] for call in order.plan.calls}
    used = [sample.process for sample in stored] + [failure.process for failure in notes.retried]
    first = max(used, default=-1) + 1
    processes: list[tuple[int, list[Share]]] = []
    while any(count > 0 for count in lacking.values()):
        shares = [Share(key=key, repeats=min(repeats.in_process, count)) for key, count in lacking.items() if count > 0]
        for share in shares:
            lacking[share.key] -= share.repeats
        processes.append((first + len(processes), shares))
    return processes


def _unread(plan: Plan, stored: list[Sample]) -> list[tuple[int, list[Share]]]:
    """The pictures that were made before and are not stored yet; their indices name them, so no new one is taken."""
    have = {_call_of(sample) for sample in stored}
    lacking = {
        process: [
            Share(key=call, repeats=1, first=repeat)
            for call in plan.calls
            for repeat in range(plan.repeats.in_process)
            if (call, process, repeat) not in have
        ]
        for process in range(plan.repeats.processes)
    }
    return [(process, shares) for process, shares in lacking.items() if shares]


_Call = tuple["CaseKey", int, int]
"""Case and seed, process and repeat: what one call of a pipeline is told by."""


def _call_of(sample: Sample) -> _Call:
    return sample.key.call, sample.process, sample.repeat


def forget_half_calls(folder: Path, plan: Plan) -> None:
    """Remove the records of calls of which not every image or frame is stored: they are made again as a whole."""
    calls: dict[_Call, list[Sample]] = defaultdict(list)
    for sample in stored_samples(folder) if plan.samples_per_call > 1 else ():
        calls[_call_of(sample)].append(sample)
    for (call, _, _), samples in calls.items():
        if len(samples) < len(plan.keys_of(call)):
            for sample in samples:
                (folder / sample.place).unlink()


def interrupted_run(folder: Path) -> Run | None:
    """The unfinished run in a folder, or None."""
    try:
        text = (folder / RUN_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    run = from_json(Run, text, place=folder / RUN_FILE)
    return run if run.state == "unfinished" else None


def stored_samples(folder: Path) -> list[Sample]:
    """All samples below a run folder, sorted by case, seed, image, process and repeat."""
    files = (folder / "samples").glob("*/*/p*r*.json")
    samples = [read_record(Sample, path) for path in files]
    return sorted(samples, key=lambda sample: (sample.key.order, sample.process, sample.repeat))


def _log(order: Order, process: int) -> Path:
    return order.folder / "logs" / f"p{process}.log"


def assigned(order: Order, process: int, shares: list[Share]) -> Assignment:
    """What one worker process of an order does."""
    return Assignment(
        plan=order.plan,
        process=process,
        shares=shares,
        backend=order.device.backend,
        device_index=order.device.index,
        model_folder=str(order.model.folder),
        model_digest=order.model.identity.digest,
        input_images={case: str(path) for case, path in order.input_images.items()},
        argument_images={written: str(path) for written, path in order.argument_images.items()},
        noise=list(order.noise),
        run_folder=str(order.folder),
        python=str(order.setup.python) if order.setup.python else None,
    )


def _work(order: Order, process: int, shares: list[Share], notes: _Notes, stop: threading.Event) -> list[Failure]:
    """Run one process to its end; gives what went wrong in it."""
    assignment = assigned(order, process, shares)
    work = order.folder / WORK_FOLDER
    work.mkdir(exist_ok=True)
    assignment_path = work / f"p{process}.json"
    write_text(assignment_path, to_json(assignment))
    log = _log(order, process)
    before = len(notes.failures_of(process))
    end = run_child(
        [str(assignment_path)],
        environment=worker_environment(order, work / f"modules-p{process}"),
        log=log,
        listen=lambda event: notes.hear(event, process),
        time_limit_seconds=order.plan.time_limit_seconds,
        stop=stop,
        python=worker_python(order),
    )
    if not end.done or end.exit_code != 0:
        notes.fail(_process_failure(end, process, log, order.plan.time_limit_seconds))
    return notes.failures_of(process)[before:]


def _process_failure(end: End, process: int, log: Path, time_limit_seconds: float | None) -> Failure:
    ending = end.words
    if end.by is EndedBy.TIME_LIMIT:
        ending = recorded("{end} (time_limit_seconds: {seconds:g})", end=ending, seconds=time_limit_seconds)
    return Failure(
        stage="process",
        key=None,
        process=process,
        repeat=None,
        error=end.error,
        ended_by=end.by,
        message=recorded(
            "worker process {process} {end}; the last lines it wrote are below.", process=process, end=ending
        ),
        traceback=tail_of(log, 20),
    )


def worker_environment(order: Order, modules: Path) -> dict[str, str]:
    """Environment of a worker: switches that are read at start, no network, its own cache for pipeline code."""
    start = dict(plugins.load("backends", order.device.backend).start_environment(order.plan.switches))
    own = order.setup.variables(modules.parent)
    if _is_outside(order):
        start.pop("TORCH_DEVICE_BACKEND_AUTOLOAD", None)  # for our own import of torch; a command has its own way
        own = dict(order.setup.environment)
    return {
        **os.environ,
        **SET_FOR_WORKERS,
        "HF_MODULES_CACHE": str(modules),
        **start,
        **thread_variables(order.plan.arm.threads),
        **own,
    }


def worker_python(order: Order) -> str:
    """Interpreter of a worker; the arm's own is that of the command where images are made outside the worker."""
    return PLAIN.executable if _is_outside(order) else order.setup.executable


def _is_outside(order: Order) -> bool:
    return is_outside(plugins.load("adapters", order.plan.model.adapter))


def _run(  # noqa: PLR0913 - the parts of a record
    order: Order, notes: _Notes, started: str, seconds: float, logs: list[Path], *, finished: bool
) -> Run:
    return Run(
        id=order.run_id,
        state="finished" if finished else "unfinished",
        plan=order.plan,
        backend=order.device.backend,
        device_index=order.device.index,
        model=order.model.identity,
        code_digest=code_digest(order.plan.model.adapter),
        host_digest=order.device.host_digest,
        started_utc=started,
        seconds=round(seconds, 3),
        side_by_side=notes.side_by_side,
        environment=notes.environment,
        loaded=notes.loaded,
        samples=stored_samples(order.folder),
        failures=notes.failures,
        retried=notes.retried,
        log_tail=tail_of(logs[0], _LOG_LINES) if logs else "",
    )


def code_digest(adapter: str) -> str:
    """SHA-256 over the harness's own Python files and the adapter's module."""
    import harness

    root = Path(inspect.getfile(harness)).parent
    state = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        state.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    module = import_module(getattr(plugins.load("adapters", adapter), "__name__", "harness"))
    state.update(Path(inspect.getfile(module)).read_bytes())
    return state.hexdigest()


def _store(folder: Path, run: Run) -> None:
    write_text(folder / RUN_FILE, to_json(run))


def tail_of(log: Path, lines: int) -> str:
    """Last lines of a log as they would stand on a screen: of a progress bar only its last state."""
    try:
        text = log.read_bytes().decode("utf-8", errors="replace")
    except OSError:
        return ""
    shown = [re.split(r"\r(?!$)", line.rstrip("\r"))[-1].rstrip() for line in text.split("\n")]
    kept = [line for line in shown if line.strip()]
    return redact(printable("\n".join(kept[-lines:])))
