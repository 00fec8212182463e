"""The group ``harness baseline``: accept a run as a reference, verify it, carry it to another machine."""

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
    help="Manage baselines: accept a run as a reference, verify it, carry it to another machine.",
)

Names = Annotated[list[str] | None, typer.Argument(help="Baselines; all where none is named.", metavar="SCENARIO/ARM")]
Replace = Annotated[bool, typer.Option("--replace", help="Take it in the place of another of that name.")]


@baseline.command()
def accept(
    run: Annotated[Path, typer.Argument(help="Run folder, runs/JOB/ARM.")],
    reason: Annotated[str, typer.Option(help="Why these pictures are right, or right again.")],
    who: Annotated[str | None, typer.Option(help="Who accepts; the user of this session by default.")] = None,
    modes: Annotated[bool, typer.Option("--modes", help="Accept every outcome of an unstable run.")] = False,
    baselines_dir: BaselinesDir = BASELINES_DIR,
) -> None:
    """Make a run the baseline of its scenario and arm."""
    from harness.jobs import baselines

    made = baselines.accept_baseline(run, baselines_dir, reason=reason, who=who or _user(), modes=modes)
    _say_baselines("accepted", [made])


@baseline.command()
def update(
    run: Annotated[Path, typer.Argument(help="Run folder, runs/JOB/ARM.")],
    reason: Annotated[str, typer.Option(help="Which intended change makes these pictures right.")],
    who: Annotated[str | None, typer.Option(help="Who accepts; the user of this session by default.")] = None,
    modes: Annotated[bool, typer.Option("--modes", help="Accept every outcome of an unstable run.")] = False,
    baselines_dir: BaselinesDir = BASELINES_DIR,
) -> None:
    """Replace a baseline after an intended change, and show what changes: old against new, who, when and why."""
    from harness.jobs import baselines
    from harness.terminal.tables import changes_of

    changes_of(baselines.update_baseline(run, baselines_dir, reason=reason, who=who or _user(), modes=modes))


@baseline.command(name="list")
def list_baselines(
    baselines_dir: BaselinesDir = BASELINES_DIR,
    scenarios_dir: ScenariosDir = SCENARIOS_DIR,
    as_json: AsJson = False,
) -> None:
    """List baselines: what they hold, who accepted them and why."""
    show_list("baselines", RUNS_DIR, scenarios_dir, baselines_dir, as_json=as_json)


@baseline.command()
def verify(
    names: Names = None,
    baselines_dir: BaselinesDir = BASELINES_DIR,
    scenarios_dir: ScenariosDir = SCENARIOS_DIR,
    as_json: AsJson = False,
) -> None:
    """Hash every file again: exit 3 when one is damaged, missing or surplus."""
    from harness.jobs import baselines
    from harness.terminal.console import say, say_json

    found = baselines.verify_baselines(baselines_dir, names or [], scenarios_dir)
    if as_json:
        say_json([asdict(each) for each in found])
    else:
        for each in found:
            for problem in each.problems:
                say(f"{each.name}: {problem}")
            if not each.problems:
                say(f"{each.name}: whole, manifest digest {each.digest}")
            for note in each.notes:
                say(f"{each.name}: {note}")
    if any(each.problems for each in found):
        raise typer.Exit(3)


@baseline.command()
def pack(
    name: Annotated[str, typer.Argument(help="Baseline.", metavar="SCENARIO/ARM")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    baselines_dir: BaselinesDir = BASELINES_DIR,
) -> None:
    """Write a baseline as one file that can be carried to another machine."""
    from harness.jobs import baselines

    _say_baselines("packed", [baselines.pack_baseline(baselines_dir, name, out)])


@baseline.command()
def unpack(
    file: Annotated[Path, typer.Argument(help="File that harness baseline pack wrote.")],
    baselines_dir: BaselinesDir = BASELINES_DIR,
    replace: Replace = False,
) -> None:
    """Put a packed baseline in its place, after hashing all of it."""
    from harness.jobs import baselines

    _say_baselines("unpacked", [baselines.unpack_baseline(file, baselines_dir, replace=replace)])


@baseline.command()
def push(
    target: Annotated[str, typer.Argument(help="Folder, or a URL such as s3://bucket/baselines.")],
    names: Names = None,
    baselines_dir: BaselinesDir = BASELINES_DIR,
) -> None:
    """Put packs of baselines where other machines can pull them."""
    from harness.jobs import baselines

    _say_baselines("pushed", baselines.push_baselines(baselines_dir, names or [], target))


@baseline.command()
def pull(
    source: Annotated[str, typer.Argument(help="Folder, or a URL such as s3://bucket/baselines.")],
    names: Names = None,
    baselines_dir: BaselinesDir = BASELINES_DIR,
    replace: Replace = False,
) -> None:
    """Get baselines that another machine pushed, and unpack them."""
    from harness.jobs import baselines

    _say_baselines("pulled", baselines.pull_baselines(source, names or [], baselines_dir, replace=replace))


def _say_baselines(done: str, found: list[Baseline]) -> None:
    """What was done with each, and the digest that people hold against each other by another channel."""
    from harness.terminal.console import say

    for each in found:
        say(f"{done} {each.manifest.name}: manifest digest {each.manifest.digest}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # a container may have no name for its user
        raise UsageError("this session's user has no name; say with --who who accepts the baseline.") from error
