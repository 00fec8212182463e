"""The group ``harness baseline``: accept a run as a reference, verify it, copy it to another machine."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.listing_commands import show_list
from harness.cli.options import BASELINES_DIR, RUNS_DIR, SCENARIOS_DIR, AsJson, BaselinesDir, ScenariosDir
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.store.baselines import Baseline

baseline = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Manage baselines: accepted runs to compare later runs with.",
)

RunFolder = Annotated[Path, typer.Argument(help="Folder of the run, such as runs/JOB/ARM.", metavar="RUN")]
Who = Annotated[
    str | None, typer.Option(help="Name of the person who accepts.  [default: your user name]", metavar="NAME")
]
Modes = Annotated[
    bool, typer.Option("--modes", help="Accept a run with several different results, and all of these as correct.")
]
Names = Annotated[list[str] | None, typer.Argument(help="Names of baselines.  [default: all]", metavar="SCENARIO/ARM")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace a different baseline that has the same name.")]


@baseline.command()
def accept(
    run: RunFolder,
    reason: Annotated[str, typer.Option(help="Why the images of this run are correct.", metavar="TEXT")],
    who: Who = None,
    modes: Modes = False,
    baselines_dir: BaselinesDir = BASELINES_DIR,
) -> None:
    """Accept a run as the baseline of its scenario and arm."""
    from harness.jobs import baselines as baseline_job

    made = baseline_job.accept_baseline(run, baselines_dir, reason=reason, who=who or _user(), modes=modes)
    _print_baselines("accepted", [made])


@baseline.command()
def update(
    run: RunFolder,
    reason: Annotated[str, typer.Option(help="Which intended change makes the new images correct.", metavar="TEXT")],
    who: Who = None,
    modes: Modes = False,
    baselines_dir: BaselinesDir = BASELINES_DIR,
) -> None:
    """Replace a baseline after an intended change.

    Shows how the new images differ from the old ones, and who accepted both, when and why.
    """
    from harness.jobs import baselines as baseline_job
    from harness.terminal.tables import changes_of

    changes_of(baseline_job.update_baseline(run, baselines_dir, reason=reason, who=who or _user(), modes=modes))


@baseline.command(name="list")
def list_baselines(
    baselines_dir: BaselinesDir = BASELINES_DIR,
    scenarios_dir: ScenariosDir = SCENARIOS_DIR,
    as_json: AsJson = False,
) -> None:
    """List baselines: contents, who accepted them, when and why."""
    show_list("baselines", RUNS_DIR, scenarios_dir, baselines_dir, as_json=as_json)


@baseline.command()
def verify(
    names: Names = None,
    baselines_dir: BaselinesDir = BASELINES_DIR,
    scenarios_dir: ScenariosDir = SCENARIOS_DIR,
    as_json: AsJson = False,
) -> None:
    """Verify baselines by hashing every file again.

    Exits with 3 when a file is damaged, missing or unexpected.
    """
    from harness.jobs import baselines as baseline_job
    from harness.terminal.console import print_json, print_line

    checks = baseline_job.verify_baselines(baselines_dir, names or [], scenarios_dir)
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        for check in checks:
            for problem in check.problems:
                print_line(f"{check.name}: {problem}")
            if not check.problems:
                print_line(f"{check.name}: whole, manifest digest {check.digest}")
            for note in check.notes:
                print_line(f"{check.name}: {note}")
    if any(check.problems for check in checks):
        raise typer.Exit(3)


@baseline.command()
def pack(
    name: Annotated[str, typer.Argument(help="Name of the baseline.", metavar="SCENARIO/ARM")],
    out: Annotated[Path, typer.Option(help="File to write, a zip.", metavar="FILE")],
    baselines_dir: BaselinesDir = BASELINES_DIR,
) -> None:
    """Write a baseline as one file, to copy to another machine."""
    from harness.jobs import baselines as baseline_job

    _print_baselines("packed", [baseline_job.pack_baseline(baselines_dir, name, out)])


@baseline.command()
def unpack(
    file: Annotated[Path, typer.Argument(help="File that 'harness baseline pack' wrote.", metavar="FILE")],
    baselines_dir: BaselinesDir = BASELINES_DIR,
    replace: Replace = False,
) -> None:
    """Verify a packed baseline and add it to the baselines here."""
    from harness.jobs import baselines as baseline_job

    _print_baselines("unpacked", [baseline_job.unpack_baseline(file, baselines_dir, replace=replace)])


@baseline.command()
def push(
    target: Annotated[str, typer.Argument(help="Folder, or URL such as s3://bucket/baselines.", metavar="TARGET")],
    names: Names = None,
    baselines_dir: BaselinesDir = BASELINES_DIR,
) -> None:
    """Copy packed baselines to where other machines can pull them."""
    from harness.jobs import baselines as baseline_job

    _print_baselines("pushed", baseline_job.push_baselines(baselines_dir, names or [], target))


@baseline.command()
def pull(
    source: Annotated[str, typer.Argument(help="Folder, or URL such as s3://bucket/baselines.", metavar="SOURCE")],
    names: Names = None,
    baselines_dir: BaselinesDir = BASELINES_DIR,
    replace: Replace = False,
) -> None:
    """Download baselines that another machine pushed, and unpack."""
    from harness.jobs import baselines as baseline_job

    _print_baselines("pulled", baseline_job.pull_baselines(source, names or [], baselines_dir, replace=replace))


def _print_baselines(done: str, baselines: list[Baseline]) -> None:
    """What was done with each, and the digest that people compare by another channel."""
    from harness.terminal.console import print_line

    for entry in baselines:
        print_line(f"{done} {entry.manifest.name}: manifest digest {entry.manifest.digest}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # a container may have no name for its user
        raise UsageError("this session's user has no name; say with --who who accepts the baseline.") from error
