"""What the door shows: progress while work goes on, a summary at the end, errors in words."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.compare.pictures import are_identical
from harness.jobs.telling import Teller
from harness.records import EXIT_CODES, Appearance, Scope, Severity, Status, unused_waivers
from harness.run.events import Generating, Loaded, Sampled, Started, Stepped
from harness.text import ascii_only, one_line, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import TextIO

    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table

    from harness.compare.selftest import Check
    from harness.jobs.checking import Checked
    from harness.records import Calibration, Comparison, Diagnosis, FolderDiff, Measurement, PicturePair, Plan, Run
    from harness.run.events import Event
    from harness.run.supervisor import ChosenDevice

WIDTH = 80
"""Columns the summary fits in."""

_COLOURS = {
    Status.IDENTICAL: "green",
    Status.WITHIN_LIMITS: "green",
    Status.WAIVED: "yellow",
    Status.SKIPPED: "yellow",
}

_SEVERITY_COLOURS = {
    Severity.BLOCKED: "bold red",
    Severity.WARNING: "yellow",
    Severity.HARMLESS: "cyan",
    Severity.OK: "green",
}


def say(text: str = "", *, error: bool = False) -> None:
    """Print text that may come from anywhere: no escape codes, and ASCII where the terminal lacks a sign."""
    stream = sys.stderr if error else sys.stdout
    _write(shown(text, stream) + "\n", stream)


def _write(text: str, stream: TextIO) -> None:
    """Write at once; when whoever read the stream has left, as ``head`` does, go on in silence to the exit code."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def shown(text: str, stream: TextIO) -> str:
    """Text as the stream can show it."""
    clean = printable(text)
    try:
        clean.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return ascii_only(clean)
    return clean


def say_json(data: Any) -> None:
    """Print data as JSON that any terminal can show."""
    _write(json.dumps(data, indent=2, ensure_ascii=True, allow_nan=False) + "\n", sys.stdout)


class PlainTeller(Teller):
    """Progress as lines, for logs: one when an arm begins and one when it ends."""

    def planned(self, plan: Plan, device: ChosenDevice) -> None:
        """Say what is about to run, and on what."""
        repeats, count = plan.repeats, len(plan.keys)
        say(
            f"{plan.scenario}/{plan.arm.name}: {count} picture{'s' * (count > 1)}, {repeats.in_process} x in each of "
            f"{repeats.processes} process{'es' * (repeats.processes > 1)}, on {device} ({device.reason})",
            error=True,
        )

    def noticed(self, words: str) -> None:
        """Say it before the work begins."""
        say(f"note: {words}", error=True)

    def resumed(self, folder: Path) -> None:
        """Say which interrupted job is gone on with."""
        say(f"going on with the interrupted job in {folder}", error=True)

    def ran(self, run: Run) -> None:
        """Say what came of an arm."""
        failed = f", {len(run.failures)} failed" if run.failures else ""
        name = f"{run.plan.scenario}/{run.plan.arm.name}"
        say(f"{name}: {len(run.samples)} samples{failed}, {run.seconds:.1f} s", error=True)
        for failure in run.retried:
            say(f"{name}: retried after: {one_line(failure.message)}", error=True)


class LiveTeller(PlainTeller):
    """Progress as a bar, for a terminal."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._steps = 1

    def planned(self, plan: Plan, device: ChosenDevice) -> None:
        """Begin a bar."""
        super().planned(plan, device)
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._steps = plan.steps
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=_console(sys.stderr),
            transient=True,
        )
        total = len(plan.keys) * plan.repeats.in_process * plan.repeats.processes
        self._task = self._progress.add_task("starting", total=total)
        self._progress.start()

    def heard(self, event: Event) -> None:
        """Move the bar."""
        match event:
            case Started():
                self._describe("loading the model")
            case Loaded():
                self._describe("model loaded")
            case Generating():
                self._describe(f"{event.key}, repeat {event.repeat + 1}")
            case Stepped():
                self._describe(f"step {event.step} of {self._steps}")
            case Sampled():
                self._describe(f"{event.key} done", advance=1)
            case _:
                pass

    def _describe(self, text: str, advance: int = 0) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=one_line(text, 36), advance=advance)

    def ran(self, run: Run) -> None:
        """Take the bar away."""
        self.close()
        super().ran(run)

    def close(self) -> None:
        """Take the bar away, whatever happened."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


class LogTeller(Teller):
    """The log of one picture: what the inference script of the porting note prints, and whose noise it is."""

    def __init__(self, output: Path, source: str) -> None:
        self._output = output
        self._source = source
        self._steps = 0

    def planned(self, plan: Plan, device: ChosenDevice) -> None:
        """Say where and what."""
        self._steps = plan.steps
        whose = "the harness's portable generator" if plan.noise == "portable" else "the device's own generator"
        say(f"Target device: {device}")
        say(f"Found: {device.reason}")
        say(f"Loading pipeline from: {self._source}")
        say(f"Noise: {whose}, seed {plan.seeds[0]}")

    def heard(self, event: Event) -> None:
        """Say what the worker does."""
        match event:
            case Loaded():
                say("All components loaded.")
                for name, use in event.loaded.memory.items():
                    if name != "device":
                        say(f"  {name}: {use.device} ({use.allocated_bytes / 1e6:,.1f} MB)")
                say(f"Pipeline loaded in {event.loaded.seconds:.2f}s.")
            case Generating():
                say(f"Starting inference ({self._steps} steps)...")
            case Stepped():
                if sys.stderr.isatty():
                    sys.stderr.write(f"\r{event.step}/{self._steps}" + ("\n" if event.step == self._steps else ""))
            case Sampled():
                say(f"Inference completed in {event.seconds:.2f}s")
            case _:
                pass


@contextmanager
def progress() -> Iterator[Teller]:
    """A bar where somebody looks on, lines where nobody does; the bar is taken away whatever happens."""
    if not sys.stderr.isatty():
        yield PlainTeller()
        return
    live = LiveTeller()
    try:
        yield live
    finally:
        live.close()


def summarise(checked: Sequence[Checked]) -> None:
    """A table of all comparisons, failures first, then the reports to open."""
    rows = [(each.report.scenario.name, comparison) for each in checked for comparison in each.report.comparisons]
    table_of(rows)
    for each in checked:
        for scores in each.report.scores:
            for total in scores.totals:
                say(f"{each.report.scenario.name}/{scores.arm}: {total.score} {total.words}")
        for path in each.files:
            if path.name in {"report.md", "index.html"}:
                say(f"{each.report.scenario.name}: {path}")


def table_of(rows: Sequence[tuple[str, Comparison]]) -> None:
    """A table of comparisons, failures first, and a sentence for each that needs one."""
    from rich.text import Text

    order = list(EXIT_CODES)
    ranked = sorted(rows, key=lambda row: order.index(row[1].outcome))
    table = _table("scenario", "arm", "against", "runs", "outcomes", "verdict")
    for name, comparison in ranked:
        runs = [each.runs for each in comparison.repetitions]
        outcomes = [len(each.outcomes) for each in comparison.repetitions]
        repeat = comparison.scope is Scope.REPEAT
        cells = [
            name,
            comparison.actual.arm,
            "itself" if repeat else comparison.expected.arm,
            _span(runs) if repeat else str(len(comparison.pairs)),
            _span(outcomes) if repeat else "-",
        ]
        verdict = Text(comparison.outcome.value, style=_COLOURS.get(comparison.outcome, "bold red"))
        table.add_row(*(Text(shown(cell, sys.stdout)) for cell in cells), verdict)
    _print(table)
    for name, comparison in ranked:
        say(f"{name}/{comparison.actual.arm}: {one_line(comparison.message, 400)}")
        ratios = [each.message for each in comparison.verdicts if each.message not in comparison.message]
        judged = {each.limit.metric for each in comparison.verdicts}
        stated = [each.message for each in comparison.parities if each.score not in judged]
        for note in [*ratios, *stated, *(f"note: {notice}" for notice in comparison.notices)]:
            say(f"{name}/{comparison.actual.arm}: {one_line(note, 400)}")
        if comparison.actual.simulated or comparison.expected.simulated:
            say(f"{name}/{comparison.actual.arm}: SIMULATED DEVICE, no evidence about real hardware")
    for name in dict.fromkeys(name for name, _ in rows):
        for waiver in unused_waivers(comparison for of, comparison in rows if of == name):
            say(f"{name}: note: the waiver of {waiver.rule} by {waiver.owner} is unused; remove it")


def table_of_findings(diagnosis: Diagnosis) -> None:
    """A table of findings, worst first, with what is expected and the next step under each, and the whole in a line."""
    from rich.text import Text

    table = _table("state", "about", "found")
    for each in diagnosis.findings:
        lines = [each.observed]
        if each.expected:
            lines.append(f"expected: {each.expected}")
        if each.next_step:
            lines.append(f"next: {each.next_step}")
        if each.changes_numbers:
            lines.append("This can change numbers.")
        state = Text(each.severity.value, style=_SEVERITY_COLOURS[each.severity])
        table.add_row(state, Text(each.name), Text(shown("\n".join(lines), sys.stdout)), end_section=True)
    _print(table)
    say(diagnosis.summary)


_SHOWN = 20
"""Names of each kind that are shown; --json has all."""
_UNJUDGED = " Nothing is judged without --at-least or --at-most."
_UNVERIFIED = "noise: unverified; a picture file does not tell which noise it began with."


def table_of_pictures(pair: PicturePair) -> None:
    """All metrics of two picture files, and in words what the difference looks like."""
    _table_of_measurements([(each, each.where) for each in pair.measurements], "place")
    for hint in pair.hints:
        say(f"hint: {hint.message}" + (f" ({hint.where})" if hint.where else ""))
    for verdict in pair.verdicts:
        say(f"{verdict.status}: {verdict.limit.metric}: {one_line(verdict.message, 400)}")
    words = "are equal byte for byte" if are_identical(pair.measurements) else "differ"
    say(f"The pictures {words}.{_UNJUDGED * (pair.outcome is Status.SKIPPED)}")
    if pair.appearance and pair.appearance is not Appearance.IDENTICAL:
        say(f"to the eye: {pair.appearance.words}; a band for reading, which judges nothing")
    say(_UNVERIFIED)


def table_of_folders(found: FolderDiff) -> None:
    """The worst pair of two folders by each metric, and by name what is not as it should be."""
    if found.worst:
        rows = [(each.measurement, f"{each.name} {each.measurement.where}".strip()) for each in found.worst]
        _table_of_measurements(rows, "worst pair and place")
    for metric, count in found.without_value.items():
        say(f"{metric}: no value for {count} pairs; the lines that --out keeps say why")
    problems = [f"{name}: {why}" for name, why in found.problems.items()]
    for what, lines in (
        ("breaks a limit", found.broken),
        ("not measured", problems),
        ("missing", found.missing),
        ("unexpected", found.unexpected),
    ):
        for line in lines[:_SHOWN]:
            say(f"{what}: {one_line(line, 400)}")
        if len(lines) > _SHOWN:
            say(f"{what}: {len(lines) - _SHOWN} more; --json names all")
    say(f"{found.outcome}: {found.message}.{_UNJUDGED * (found.outcome is Status.SKIPPED)}")
    say(_UNVERIFIED)


def _table_of_measurements(rows: Sequence[tuple[Measurement, str]], place: str) -> None:
    from rich.text import Text

    table = _table("metric", "value", "better", place)
    for each, where in rows:
        value = "no value" if each.value is None else f"{each.value:.6g} {each.unit}".strip()
        cells = (each.metric, value, each.better, where or one_line(each.problem))
        table.add_row(*(Text(shown(cell, sys.stdout)) for cell in cells))
    _print(table)


@contextmanager
def counting() -> Iterator[Callable[[int, int], None]]:
    """Tells how many of how many pairs are done: a bar where somebody looks on, else a line for each thousand."""
    if not sys.stderr.isatty():
        yield _count_aloud
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("pairs"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_console(sys.stderr), transient=True) as bar:
        task = bar.add_task("pairs", visible=False)  # until it is known that there are many
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


def _count_aloud(done: int, total: int) -> None:
    if done % 1000 == 0:
        say(f"{done} of {total} pairs", error=True)


def table_of_checks(checks: Sequence[Check]) -> None:
    """A table of known answers and what was found, and in a line how many hold and which do not."""
    from rich.text import Text

    table = _table("state", "check", "expected", "found")
    for each in checks:
        state = Text("ok", style="green") if each.ok else Text("WRONG", style="bold red")
        cells = (each.name, each.expected, one_line(each.found, 120))
        table.add_row(state, *(Text(shown(cell, sys.stdout)) for cell in cells))
    _print(table)
    wrong = [each.name for each in checks if not each.ok]
    names = f"; wrong: {'; '.join(wrong)}" if wrong else ""
    say(f"{len(checks) - len(wrong)} of {len(checks)} answers are right{names}")


def table_of_calibration(found: Calibration) -> None:
    """What correct results were apart, the limits that follow, and what those say about planted faults."""
    from rich.text import Text

    table = _table("source", "metric", "of", "rms", "worst")
    wanted = {(limit.metric, limit.subject) for limit in found.limits}
    for floor in found.floors:
        if (floor.metric, floor.subject) in wanted:
            numbers = [f"{value:.4g}{' dB' * (floor.unit == 'dB')}" for value in (floor.rms, floor.worst)]
            cells = (floor.source.value, floor.metric, floor.subject, *numbers)
            table.add_row(*(Text(shown(cell, sys.stdout)) for cell in cells))
    _print(table)
    for limit in found.limits:
        say(f"{limit.rule}: {limit.reason.removeprefix('Measured by harness calibrate: ')}")
    for each in found.detections:
        if each.missed:
            words = f"PASSES on {len(each.missed)} of {each.planted} pictures, first {each.missed[0]}"
        else:
            words = f"seen on all {each.planted} pictures, by {'; '.join(each.caught_by)}"
        say(f"planted {each.fault}: {words}")
    if found.missed:
        say(
            f"The proposal is refused: {', '.join(found.missed)} would pass. Hold the candidate against a more precise "
            "reference, or run the candidate in a more precise type."
        )
    if found.simulated:
        say("SIMULATED DEVICE, no evidence about real hardware")


def _table(*headings: str) -> Table:
    from rich import box
    from rich.table import Table

    utf = "utf" in (sys.stdout.encoding or "").lower()
    table = Table(box=box.SIMPLE_HEAD if utf else box.ASCII2, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold", justify="right" if heading in {"runs", "outcomes"} else "left")
    return table


def _print(table: Table) -> None:
    page = _console(sys.stdout)
    with page.capture() as captured:
        page.print(table)
    _write(captured.get(), sys.stdout)


def _span(numbers: list[int]) -> str:
    """One number when all are equal, else the smallest and the largest."""
    if not numbers:
        return "0"
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}-{high}"


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    width = None if stream.isatty() else WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)
