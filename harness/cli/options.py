"""Options and arguments that several commands share, and what they mean to a job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from harness.jobs.arm_runs import Selection
    from harness.run.sources import Permission

Scenarios = Annotated[list[Path], typer.Argument(help="Scenario files (YAML).", metavar="SCENARIO")]
Arms = Annotated[
    list[str] | None,
    typer.Option("--arm", help="Run only this arm (a way to make the images); may be given again.", metavar="ARM"),
]
Cases = Annotated[
    list[str] | None,
    typer.Option("--case", help="Run only this case (a prompt and its images); may be given again.", metavar="CASE"),
]
Seeds = Annotated[
    list[int] | None, typer.Option("--seed", help="Run only this seed; may be given again.", metavar="SEED")
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Device of candidate arms: auto, npu[:N], cuda[:N] or cpu.  [default: as the scenario says]",
        metavar="DEVICE",
    ),
]
Repeats = Annotated[
    int | None,
    typer.Option(help="How often each process makes each image.  [default: as the scenario says]", metavar="COUNT"),
]
Processes = Annotated[
    int | None,
    typer.Option(help="How many new processes make each image.  [default: as the scenario says]", metavar="COUNT"),
]
Retries = Annotated[
    int,
    typer.Option(
        min=0,
        help="How many new processes an arm may get after failures such as a crash; results are never retried.",
        metavar="COUNT",
    ),
]
RunsDir = Annotated[Path, typer.Option(help="Folder of the jobs, with their runs.", metavar="DIR")]
ScenariosDir = Annotated[Path, typer.Option(help="Folder of the scenario files.", metavar="DIR")]
BaselinesDir = Annotated[Path, typer.Option(help="Folder of the baselines.", metavar="DIR")]
AllowCommand = Annotated[
    bool, typer.Option("--allow-command", help="Allow scenarios with 'adapter: command' to run their commands.")
]
AllowedCommands = Annotated[
    Path | None,
    typer.Option("--allowed-commands", metavar="FILE", help="Allow only the commands whose digests this file lists."),
]
Language = Annotated[
    str,
    typer.Option(
        "--lang", help="Language of HTML and Markdown reports: en, zh or one of an installed package.", metavar="CODE"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
TraceSteps = Annotated[
    str,
    typer.Option(help="Steps at which the denoiser's inside is traced: words or numbers from 0.", metavar="STEPS"),
]
TraceInside = Annotated[
    str, typer.Option(help="Trace only the inside of this module, such as one block.  [default: all]", metavar="PATH")
]
MaxGib = Annotated[
    float,
    typer.Option(
        min=1e-6,
        help="Largest size of the trace, in GiB; if all modules are more, blocks come first.",
        metavar="GIB",
    ),
]
RUNS_DIR = Path("runs")
TRACE_STEPS = "first,middle,last"
MAX_GIB = 8.0
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


def words_of(option: str) -> list[str]:
    """The words of an option that separates them by commas."""
    return [word.strip() for word in option.split(",")]


def permission_of(*, every: bool, listed: Path | None) -> Permission:
    """Which commands of scenarios may run, from the options of a command."""
    from harness.run.sources import Permission

    return Permission(every=every, listed=listed)
