"""What the command line shows while work goes on: lines in a log, bars on a terminal, the log of one image."""

from __future__ import annotations

import math
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.jobs.progress import ProgressReporter
from harness.progress import BYTES, Task, observed_by
from harness.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.progress import Progress, TaskID

    from harness.records import Plan, Run
    from harness.run.events import Event
    from harness.run.supervisor import ChosenDevice

# Every command imports this module, and most of them are quick: what takes long to import is imported where it is used.

LONGEST_SILENCE_SECONDS = 15.0
"""A log gets a line after so long at the latest; a line every 20 seconds is promised, and a busy machine is late."""


_NOISE = {
    "portable": "the harness's portable generator",
    "torch_cpu": "torch's CPU generator",
}
"""Whose numbers a picture begins with, where they are not the device's own."""


class PlainReporter(ProgressReporter):
    """Lines about arms: one when an arm begins and one when it ends."""

    def on_run_start(self, plan: Plan, device: ChosenDevice) -> None:
        """Say what is about to run, and on what."""
        from harness.terminal.console import print_line

        repeats, count = plan.repeats, len(plan.keys)
        print_line(
            f"{plan.scenario}/{plan.arm.name}: {count} picture{'s' * (count > 1)}, {repeats.in_process} x in each of "
            f"{repeats.processes} process{'es' * (repeats.processes > 1)}, on {device} ({device.reason})",
            error=True,
        )

    def on_note(self, message: str) -> None:
        """Say it before the work begins."""
        from harness.terminal.console import print_line

        print_line(f"note: {message}", error=True)

    def on_resume(self, folder: Path) -> None:
        """Say which interrupted job is resumed."""
        from harness.terminal.console import print_line

        print_line(f"resuming the interrupted job in {folder}", error=True)

    def on_scenario_end(self, message: str) -> None:
        """Say how one of several scenarios ended."""
        from harness.terminal.console import print_line
        from harness.text import one_line

        print_line(one_line(message, 1000), error=True)

    def on_run_end(self, run: Run) -> None:
        """Say what came of an arm."""
        from harness.terminal.console import print_line

        failed = f", {len(run.failures)} failed" if run.failures else ""
        name = f"{run.plan.scenario}/{run.plan.arm.name}"
        print_line(f"{name}: {len(run.samples)} samples{failed}, {run.seconds:.1f} s", error=True)
        for failure in run.retried:
            print_line(f"{name}: retried after: {one_line(failure.message)}", error=True)


class Lines:
    """Tasks as lines, for logs: one whenever nothing was said for a while, however long a task takes."""

    def __init__(self, command: str, longest_silence_seconds: float | None = None) -> None:
        self._longest_silence_seconds = longest_silence_seconds or LONGEST_SILENCE_SECONDS
        self._tasks = [Task(command)]
        self._spoken = time.monotonic()
        self._over = threading.Event()
        self._speaker = threading.Thread(target=self._speak, daemon=True)

    def began(self, task: Task) -> None:
        """Remember a task; the innermost is the one that is told."""
        self._tasks.append(task)

    def changed(self, task: Task) -> None:
        """The next line will tell."""

    def ended(self, task: Task) -> None:
        """Forget a task."""
        self._tasks.remove(task)

    def start(self) -> None:
        """Begin to watch the time."""
        self._speaker.start()

    def stop(self) -> None:
        """Say nothing more."""
        self._over.set()
        self._speaker.join()

    def _speak(self) -> None:
        while not self._over.wait(self._longest_silence_seconds / 4):
            if time.monotonic() - self._spoken >= self._longest_silence_seconds * 3 / 4:
                from harness.terminal.console import print_line

                self._spoken = time.monotonic()
                print_line(line_of(self._tasks[-1]), error=True)


def line_of(task: Task) -> str:
    """A task in one line.

    >>> line_of(Task("tiny-t2i/portable", total=60, unit="images", done=12, detail="step 3 of 20"))
    'tiny-t2i/portable: 12 of 60 images, step 3 of 20'
    """
    parts = [_amount(task) or f"working for {duration(task.seconds)}", one_line(task.detail, 60)]
    if task.seconds_left is not None:
        parts.append(f"about {duration(task.seconds_left)} left")
    return f"{task.what}: {', '.join(filter(None, parts))}"


def _amount(task: Task) -> str:
    """How much of how much; empty where it is not known how much there is."""
    if task.total is None:
        return ""
    if task.unit == BYTES:
        return f"{task.done / 1e6:,.0f} of {task.total / 1e6:,.0f} MB"
    return f"{task.done} of {task.total} {task.unit}"


def duration(seconds: float) -> str:
    """A duration for people, rounded up.

    >>> duration(4.2), duration(95), duration(4000)
    ('5 s', '2 min', '1 h 7 min')
    """
    if seconds < 90:  # noqa: PLR2004 - a minute and a half is the last that is read in seconds
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"  # noqa: PLR2004


class Bars:
    """Tasks as bars, for a terminal: each with how much is done, how much there is and how long it may take."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._ids: dict[Task, TaskID] = {}

    def start(self) -> None:
        """Nothing is shown before the first task begins."""

    def stop(self) -> None:
        """Take all bars away."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def began(self, task: Task) -> None:
        """Add a bar."""
        if self._bars is None:
            self._bars = _made_bars()
            self._bars.start()
        self._ids[task] = self._bars.add_task(_words(task), total=task.total, count=_count(task))

    def changed(self, task: Task) -> None:
        """Move a bar."""
        if self._bars is not None and task in self._ids:
            bar = self._ids[task]
            self._bars.update(bar, completed=task.done, total=task.total, description=_words(task), count=_count(task))

    def ended(self, task: Task) -> None:
        """Take a bar away, and all of them before anything else is printed where no task is left."""
        if self._bars is not None and task in self._ids:
            self._bars.remove_task(self._ids.pop(task))
            if not self._ids:
                self.stop()


def _made_bars() -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn

    from harness.terminal.console import console

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[count]}", markup=False),
    )
    return Progress(*columns, console=console(sys.stderr), transient=True)


def _words(task: Task) -> str:
    from harness.terminal.console import shown

    text = f"{task.what}: {task.detail}" if task.detail else task.what
    return shown(one_line(text, 44), sys.stderr)


def _count(task: Task) -> str:
    left = "" if task.seconds_left is None else f", {duration(task.seconds_left)} left"
    return f"{_amount(task)}{left}"


@contextmanager
def shown_work(command: str) -> Iterator[None]:
    """Show work while it goes on: bars where somebody looks on, lines where nobody does; nothing stays at the end."""
    shower: Bars | Lines = Bars() if sys.stderr.isatty() else Lines(command)
    shower.start()
    try:
        with observed_by(shower):
            yield
    finally:
        shower.stop()


class LogReporter(ProgressReporter):
    """The log of one picture: what the inference script of the porting note prints, and whose noise it is."""

    def __init__(self, output: Path, source: str) -> None:
        self._output = output
        self._source = source
        self._steps = 0

    def on_run_start(self, plan: Plan, device: ChosenDevice) -> None:
        """Say where and what."""
        from harness.terminal.console import print_line

        self._steps = plan.steps
        whose = _NOISE.get(plan.noise, "the device's own generator")
        print_line(f"Target device: {device}")
        print_line(f"Found: {device.reason}")
        print_line(f"Loading pipeline from: {self._source}")
        print_line(f"Noise: {whose}, seed {plan.seeds[0]}")

    def on_event(self, event: Event) -> None:
        """Say what the worker does."""
        from harness.run.events import Generating, Loaded, Sampled, Stepped
        from harness.terminal.console import print_line

        match event:
            case Loaded():
                print_line("All components loaded.")
                for name, use in event.loaded.memory.items():
                    if name != "device":
                        print_line(f"  {name}: {use.device} ({use.allocated_bytes / 1e6:,.1f} MB)")
                print_line(f"Pipeline loaded in {event.loaded.seconds:.2f}s.")
            case Generating():
                print_line(f"Starting inference ({self._steps} steps)...")
            case Stepped():
                if sys.stderr.isatty():
                    sys.stderr.write(f"\r{event.step}/{self._steps}" + ("\n" if event.step == self._steps else ""))
            case Sampled():
                print_line(f"Inference completed in {event.seconds:.2f}s")
            case _:
                pass
