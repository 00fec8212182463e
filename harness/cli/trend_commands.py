"""The command that shows one scenario over its stored jobs and releases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import RUNS_DIR, AsJson, RunsDir


def trend(
    scenario: Annotated[str, typer.Argument(help="Name or file of the scenario.", metavar="SCENARIO")],
    runs_dir: RunsDir = RUNS_DIR,
    reports_dir: Annotated[Path, typer.Option(help="Folder of the reports of releases.", metavar="DIR")] = Path(
        "reports"
    ),
    out: Annotated[
        Path | None, typer.Option(help="Folder for the HTML page.  [default: trend/SCENARIO]", metavar="DIR")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="File for a table of all values; needs pandas.", metavar="FILE")
    ] = None,
    lang: Annotated[
        list[str] | None,
        typer.Option(
            help="Language, such as en or zh; may be given again. The page in the first has no language in its name.  "
            "[default: en, zh]",
            metavar="en|zh",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a scenario's values from job to job, and what changed.

    Nothing is run, measured or judged.
    """
    from harness.jobs import trend as trend_job
    from harness.terminal.console import print_json, print_line

    made = trend_job.trend(scenario, trend_job.Sources(runs_folder=runs_dir, reports_folder=reports_dir))
    if csv is not None:
        trend_job.write_table(made, csv)
    files = trend_job.write_page(made, out or Path("trend") / made.scenario, list(dict.fromkeys(lang or ["en", "zh"])))
    if as_json:
        print_json(made.model_dump(mode="json"))
        return
    for line in trend_job.lines(made):
        print_line(line)
    for path in [*files, *([csv] if csv else [])]:
        print_line(str(path))
