"""Commands about this machine and the harness on it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import BASELINES_DIR, AsJson, BaselinesDir
from harness.errors import RunError


def doctor(
    device: Annotated[
        str, typer.Option(help="Device to check: auto (the best one here), npu[:N], cuda[:N] or cpu.", metavar="DEVICE")
    ] = "auto",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 on a warning that can change numbers.")] = False,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="SCENARIO", help="Scenario file whose baselines must be here, whole and comparable."),
    ] = None,
    baselines_dir: BaselinesDir = BASELINES_DIR,
    as_json: AsJson = False,
) -> None:
    """Diagnose this machine, and say how to fix what is wrong.

    Exit codes: exit 3 when the device cannot be used; with --baseline also 3 for a damaged baseline, 7 for one that is
    not comparable and 4 for a missing one.
    """
    from harness.jobs import doctor as doctor_job
    from harness.records import Status, exit_code
    from harness.terminal.console import print_json
    from harness.terminal.tables import table_of_findings

    states = doctor_job.examine_baselines(baseline, baselines_dir) if baseline else []
    machine = doctor_job.doctor(device)
    diagnosis = machine.model_copy(update={"findings": [*(state.finding for state in states), *machine.findings]})
    if as_json:
        print_json(diagnosis.model_dump(mode="json"))
    else:
        table_of_findings(diagnosis)
    code = machine.exit_code(strict=strict)
    if code != RunError.exit_code and any(state.status is not Status.IDENTICAL for state in states):
        code = exit_code([state.status for state in states])
    raise typer.Exit(code)


def selftest(as_json: AsJson = False) -> None:
    """Run the known-answer self-test of the comparator.

    Exits with 3 when an answer is wrong on this machine.
    """
    from harness.jobs import doctor as doctor_job
    from harness.terminal.console import print_json
    from harness.terminal.tables import table_of_checks

    checks = doctor_job.selftest()
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        table_of_checks(checks)
    if not all(check.ok for check in checks):
        raise typer.Exit(3)
