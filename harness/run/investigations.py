"""Starting a worker that measures for ``harness explain``; whatever it wrote is read by whoever asked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from harness import plugins
from harness.contracts import is_outside
from harness.errors import RunError, UsageError
from harness.files import write_text
from harness.progress import task
from harness.records import NoiseMode, to_json
from harness.run.child import run_child
from harness.run.events import Event, Failed, Sized, Stepped
from harness.run.supervisor import WORK_FOLDER, assigned, tail_of, worker_environment, worker_python

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import Failure, Plan
    from harness.records.investigation import Investigation
    from harness.run.supervisor import Order


def require_modules(plan: Plan) -> None:
    """Refuse an arm whose pictures are made outside the worker: there is no module to look into.

    Raises:
        UsageError: says what can be done instead; also where the noise is a baseline's.
    """
    if plan.noise is NoiseMode.BASELINE:
        raise UsageError(
            f"{plan.arm.name} takes its noise from a baseline, and explain makes both sides anew. Give the arm "
            "noise: portable for it."
        )
    if is_outside(plugins.load("adapters", plan.model.adapter)):
        raise UsageError(
            f"the pictures of {plan.arm.name} are made outside the worker (adapter: {plan.model.adapter}), so there "
            "are no modules to look into. harness check says what pictures show; to know the module, load the pipeline "
            "with adapter: diffusers or deepgen, or put 'with harness.trace(pipe, to=\"reference.trace\"):' around the "
            "call of your own script where it is right, and 'with harness.trace(pipe, against=\"reference.trace\"):' "
            "where it is not."
        )


def investigate(order: Order, *investigations: Investigation, tell_size: Callable[[int], None] | None = None) -> None:
    """Run one worker process that does these to its end.

    ``tell_size`` is called with the size of a trace in bytes before any of it is kept.

    Raises:
        RunError: something failed in it, so that its results are not whole.
    """
    work = order.folder / WORK_FOLDER
    work.mkdir(parents=True, exist_ok=True)
    first = investigations[0]
    name = f"{first.task}-{Path(first.folder).name}"
    assignment = work / f"{name}.json"
    write_text(assignment, to_json(assigned(order, 0, []).model_copy(update={"investigations": list(investigations)})))
    log = order.folder / "logs" / f"{name}.log"
    failures: list[Failure] = []
    with task(f"{order.plan.arm.name}: {first.task}") as progress:

        def listen(event: Event) -> None:
            if isinstance(event, Failed):
                failures.append(event.failure)
            elif isinstance(event, Stepped):
                progress.doing(f"step {event.step} of {order.plan.steps}")
            elif isinstance(event, Sized) and tell_size is not None:
                tell_size(event.bytes)

        end = run_child(
            [str(assignment)],
            environment=worker_environment(order, work / f"modules-{name}"),
            log=log,
            listen=listen,
            time_limit_seconds=order.plan.time_limit_seconds,
            python=worker_python(order),
        )
    shutil.rmtree(work, ignore_errors=True)
    if failures:
        failure = failures[0]
        raise RunError(f"{order.plan.arm.name}, {first.task}: {failure.error}: {failure.message}")
    if not end.done or end.exit_code != 0:
        raise RunError(f"the worker of {order.plan.arm.name} {end.words}; it wrote:\n{tail_of(log, 20)}")
