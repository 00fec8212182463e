"""Commands about what there is: lists, jobs to delete, and the page of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import BASELINES_DIR, RUNS_DIR, SCENARIOS_DIR, AsJson, BaselinesDir, RunsDir, ScenariosDir


def list_(
    what: Annotated[
        str,
        typer.Argument(
            help="scenarios, runs, baselines, backends, adapters, metrics, scores, benchmarks, models, kernels, "
            "hypotheses or formats.",
            metavar="KIND",
        ),
    ],
    runs_dir: RunsDir = RUNS_DIR,
    scenarios_dir: ScenariosDir = SCENARIOS_DIR,
    baselines_dir: BaselinesDir = BASELINES_DIR,
    as_json: AsJson = False,
) -> None:
    """List scenarios, runs, baselines, metrics or other parts."""
    show_list(what, runs_dir, scenarios_dir, baselines_dir, as_json=as_json)


runs = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List runs, or delete old jobs.")


@runs.command(name="list")
def list_runs(runs_dir: RunsDir = RUNS_DIR, as_json: AsJson = False) -> None:
    """List stored runs with the verdicts of their comparisons."""
    show_list("runs", runs_dir, SCENARIOS_DIR, BASELINES_DIR, as_json=as_json)


@runs.command()
def prune(
    keep: Annotated[
        int, typer.Option(min=1, help="Finished jobs to keep of each scenario, the newest.", metavar="COUNT")
    ] = 10,
    yes: Annotated[bool, typer.Option("--yes", help="Delete the jobs.  [default: only list them]")] = False,
    runs_dir: RunsDir = RUNS_DIR,
) -> None:
    """Delete all but the newest finished jobs of each scenario.

    Unfinished jobs are never deleted.
    """
    from harness.jobs import prune as prune_job
    from harness.terminal.console import print_line

    old = prune_job.old_jobs(runs_dir, keep)
    for job in old:
        print_line(f"{job.folder}: {job.size_bytes / 1e6:.1f} MB")
    if yes:
        prune_job.delete(old)
    total = f"jobs: {len(old)}, {sum(job.size_bytes for job in old) / 1e6:.1f} MB"
    print_line(f"deleted: {total}" if yes else f"would be deleted with --yes: {total}")


def open_page(
    job: Annotated[str, typer.Argument(help="Job folder, name of a scenario, or latest.", metavar="JOB")] = "latest",
    show: Annotated[bool, typer.Option("--print", help="Only print the path of the page.")] = False,
    runs_dir: RunsDir = RUNS_DIR,
) -> None:
    """Open the HTML report of a job in the browser."""
    import webbrowser

    from harness.jobs import open as open_job
    from harness.terminal.console import print_line

    page = open_job.page_of(job, runs_dir)
    print_line(str(page))
    if not show and not webbrowser.open(page.as_uri()):
        print_line("No browser could be started here; open the file named above.", error=True)


def show_list(what: str, runs_dir: Path, scenarios_dir: Path, baselines_dir: Path, *, as_json: bool) -> None:
    """Print what there is of a kind, a line each or as JSON."""
    from harness.jobs import list as list_job
    from harness.terminal.console import print_json, print_line

    rows = list_job.listed(what, runs_folder=runs_dir, scenarios_folder=scenarios_dir, baselines_folder=baselines_dir)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print_line(f"{row['name']:<28} {row['about']}")
