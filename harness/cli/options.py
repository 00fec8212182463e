"""Options and arguments that several commands share, and what they mean to a job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from harness.jobs.arm_runs import Selection
    from harness.run.sources import Permission

Scenarios = Annotated[list[Path], typer.Argument(help="Scenario files.", metavar="SCENARIO...")]
Arms = Annotated[list[str] | None, typer.Option("--arm", help="Only this arm; may be given again.")]
Cases = Annotated[list[str] | None, typer.Option("--case", help="Only this case; may be given again.")]
Seeds = Annotated[list[int] | None, typer.Option("--seed", help="Only this seed; may be given again.")]
Device = Annotated[str | None, typer.Option(help="auto, npu[:N], cuda[:N] or cpu, for candidate arms.")]
Repeats = Annotated[int | None, typer.Option(help="Times in one process, instead of the scenario's.")]
Processes = Annotated[int | None, typer.Option(help="Fresh processes, instead of the scenario's.")]
Retries = Annotated[
    int,
    typer.Option(min=0, help="New processes an arm may get after failures of the machine; results are never retried."),
]
RunsDir = Annotated[Path, typer.Option(help="Where job folders are made.")]
ScenariosDir = Annotated[Path, typer.Option(help="Folder of the scenarios.")]
BaselinesDir = Annotated[Path, typer.Option(help="Where baselines are kept.")]
AllowCommand = Annotated[
    bool, typer.Option("--allow-command", help="Let the command of a scenario (adapter: command) run.")
]
AllowedCommands = Annotated[
    Path | None,
    typer.Option("--allowed-commands", metavar="FILE", help="Let those run whose digests this file of yours lists."),
]
Language = Annotated[str, typer.Option("--lang", help="Language of the report files for people: en or zh.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
RUNS_DIR = Path("runs")
BASELINES_DIR = Path("baselines")
SCENARIOS_DIR = Path("scenarios")


def selection_of(
    arm: list[str] | None,
    case: list[str] | None,
    seed: list[int] | None,
    device: str | None,
    repeats: int | None,
    processes: int | None,
    retries: int,
    runs_dir: Path,
    baselines_dir: Path,
    permission: Permission,
) -> Selection:
    """What of a scenario is run and where, from the options of a command."""
    from harness.jobs.arm_runs import Selection

    return Selection(
        arms=arm or [],
        cases=case or [],
        seeds=seed or [],
        device=device,
        repeats=repeats,
        processes=processes,
        retries=retries,
        runs_folder=runs_dir,
        permission=permission,
        baselines_folder=baselines_dir,
    )


def permission_of(*, every: bool, listed: Path | None) -> Permission:
    """Which commands of scenarios may run, from the options of a command."""
    from harness.run.sources import Permission

    return Permission(every=every, listed=listed)
