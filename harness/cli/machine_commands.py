"""Commands about this machine and the harness on it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import BASELINES_DIR, AsJson, BaselinesDir
from harness.errors import RunError


def doctor(
    device: Annotated[str, typer.Option(help="Device to be used: npu, cuda, cpu, or auto for what is there.")] = "auto",
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on a warning that changes numbers.")] = False,
    baseline: Annotated[
        Path | None, typer.Option(metavar="SCENARIO", help="Also whether its baselines are there and comparable.")
    ] = None,
    baselines_dir: BaselinesDir = BASELINES_DIR,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with this machine, and what to do: exit 3 when the device cannot be used.

    With --baseline also 3 for a damaged baseline, 7 for one that is not comparable and 4 for a missing one.
    """
    from harness.jobs import doctor as examining
    from harness.records import Status, exit_code
    from harness.terminal.console import say_json
    from harness.terminal.tables import table_of_findings

    states = examining.examine_baselines(baseline, baselines_dir) if baseline else []
    machine = examining.doctor(device)
    diagnosis = machine.model_copy(update={"findings": [*(each.finding for each in states), *machine.findings]})
    if as_json:
        say_json(diagnosis.model_dump(mode="json"))
    else:
        table_of_findings(diagnosis)
    code = machine.exit_code(strict=strict)
    if code != RunError.exit_code and any(each.status is not Status.IDENTICAL for each in states):
        code = exit_code([each.status for each in states])
    raise typer.Exit(code)


def selftest(as_json: AsJson = False) -> None:
    """Hold the comparator to known answers on this machine: exit 3 when one is wrong."""
    from harness.jobs import doctor as examining
    from harness.terminal.console import say_json
    from harness.terminal.tables import table_of_checks

    found = examining.selftest()
    if as_json:
        say_json([asdict(each) for each in found])
    else:
        table_of_checks(found)
    if not all(each.ok for each in found):
        raise typer.Exit(3)
