"""Commands about scores that benchmarks give to pictures; the benchmarks themselves run elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import AsJson

scores = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Export images to benchmarks, or import their scores.",
)

RunFolder = Annotated[Path, typer.Option("--run", help="Run folder, runs/JOB/ARM.", metavar="RUN")]


@scores.command()
def export(
    run: Annotated[Path, typer.Argument(help="Run folder, runs/JOB/ARM.", metavar="RUN")],
    benchmark: Annotated[
        str, typer.Option(help="geneval, dpg_bench, gedit_bench or one of an installed package.", metavar="NAME")
    ],
    items: Annotated[
        Path,
        typer.Option(
            help="The benchmark's own list of prompts: for geneval its evaluation_metadata.jsonl, for dpg_bench its "
            "folder prompts, for gedit_bench a CSV or JSONL file with key, task_type, instruction_language and "
            "instruction.",
            metavar="PATH",
        ),
    ],
    out: Annotated[Path, typer.Option(help="New folder for the images.", metavar="DIR")],
    seed: Annotated[
        list[int] | None, typer.Option("--seed", help="Export only this seed; may be given again.", metavar="SEED")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Lay out the images of a run as a benchmark wants them.

    Each case needs the prompt of one item of the benchmark, word for word.
    """
    from harness.jobs import scores_export
    from harness.terminal.console import print_json, print_line

    exported = scores_export.export(run, benchmark, items, out, seed or [])
    if as_json:
        print_json(exported.export.model_dump(mode="json"))
    else:
        for line in exported.lines:
            print_line(line)


@scores.command(name="import")
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(help="Results of the benchmark, or CSV or JSONL files with a row per image.", metavar="FILE"),
    ],
    run: RunFolder,
    export_folder: Annotated[
        Path | None,
        typer.Option("--export", help="Folder of 'harness scores export' that the results are about.", metavar="DIR"),
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(
            help="Name for the score, where FILE has the columns case, seed and a value instead.", metavar="NAME"
        ),
    ] = None,
    column: Annotated[str, typer.Option(help="Column with the values.", metavar="NAME")] = "score",
    lowest: Annotated[float, typer.Option(help="Worst value of the scale.", metavar="NUMBER")] = 0.0,
    highest: Annotated[float, typer.Option(help="Best value of the scale.", metavar="NUMBER")] = 1.0,
    judge: Annotated[
        str,
        typer.Option(
            help="Model or program that judged the images, such as gpt-4.1; only scores of one judge are compared.",
            metavar="TEXT",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Import scores of images, and compare arms by them.

    Give --export for results of an exported benchmark, or --score for any table.
    """
    from harness.errors import UsageError
    from harness.jobs import scores_import
    from harness.terminal.console import print_json, print_line

    if (export_folder is None) == (score is None):
        raise UsageError("give --export DIR for results of a benchmark, or --score NAME for a table; one of the two.")
    if export_folder is not None:
        imported = scores_import.import_results(files, run, export_folder, judge)
    else:
        table = scores_import.Table(score=score or "", column=column, lowest=lowest, highest=highest)
        imported = scores_import.import_table(files, run, table, judge)
    if as_json:
        print_json(imported.summary)
    else:
        for line in imported.lines:
            print_line(line)
