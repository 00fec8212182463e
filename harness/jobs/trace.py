"""Trace one picture of a reference for another machine: ``harness run --trace``."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness import scenario, store
from harness.errors import UsageError
from harness.jobs.picture_orders import arm_named, key_of, orders_of, plan_of
from harness.records.investigation import TRACE_FILE, Investigation, InvestigationTask
from harness.run.investigations import investigate, require_modules
from harness.run.sources import NO_COMMANDS, Permission
from harness.trace_files import ENDING, read_trace_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.records import CaseKey
    from harness.records.investigation import Trace


@dataclass(frozen=True, kw_only=True)
class TraceOptions:
    """What is traced, and where the file goes."""

    path: Path
    """Scenario file."""
    arm: str
    """Reference."""
    case: str | None = None
    """Case; the scenario's first where it is None."""
    seed: int | None = None
    """Seed; the scenario's first where it is None."""
    steps: list[str] = field(default_factory=lambda: ["first", "middle", "last"])
    """Steps at which the inside of the denoiser is kept."""
    most_bytes: int = 8 << 30
    """Largest size of the trace; where all modules are more, whole blocks alone are kept."""
    inside: str = ""
    """Module whose inside alone is traced; empty for all."""
    device: str | None = None
    """Device in the place of the arm's."""
    runs_folder: Path = Path("runs")
    """Where the folder is made."""
    permission: Permission = NO_COMMANDS
    """Which functions and environments of scenarios may run."""


@dataclass(frozen=True, kw_only=True)
class Traced:
    """What tracing gave."""

    path: Path
    """The trace file."""
    key: CaseKey
    """Case and seed of the picture."""
    trace: Trace
    """Its record."""


def trace(options: TraceOptions, tell_size: Callable[[int], None]) -> Traced:
    """Trace one picture; ``tell_size`` gets the size in bytes before any of it is kept.

    Raises:
        UsageError: the arm has no modules to look into.
        RunError: the picture could not be made, or the trace has no room.
    """
    loaded = scenario.load(options.path)
    arm = arm_named(loaded, options.arm)
    key = key_of(loaded, options.case, options.seed)
    plan = plan_of(loaded, arm.model_copy(update={"device": options.device or arm.device}), key)
    require_modules(plan)
    with tempfile.TemporaryDirectory(prefix="harness-trace-") as scratch:
        folder = store.new_job_folder(options.runs_folder, f"{loaded.scenario.name}-trace")
        (order,) = orders_of(loaded, [plan], Path(scratch), folder, options.permission).values()
        task = Investigation(
            task=InvestigationTask.TRACE,
            key=key,
            folder=str(folder),
            steps=options.steps,
            most_bytes=options.most_bytes,
            inside=options.inside,
        )
        investigate(order, task, tell_size=tell_size)
    path = folder / f"{loaded.scenario.name}-{arm.name}{ENDING}"
    shutil.move(folder / TRACE_FILE, path)
    return Traced(path=path, key=key, trace=read_trace_record(path))


Item = TypeVar("Item")


def only(what: str, named: Sequence[Item]) -> Item:
    """The one of a kind that is traced.

    Raises:
        UsageError: there is none, or more than one.
    """
    if len(named) != 1:
        raise UsageError(
            f"--trace: found {len(named)} {what}; allowed is one, because a trace is of one image: harness run "
            "SCENARIO --arm REFERENCE --case CASE --seed SEED --trace"
        )
    return named[0]
