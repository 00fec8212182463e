"""Commands about stored runs, comparisons and pictures; nothing is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from harness.cli.options import RUNS_DIR, SCENARIOS_DIR, AsJson, Language, RunsDir, ScenariosDir

if TYPE_CHECKING:
    from harness.records import Comparison, Status


def compare(
    actual: Annotated[
        Path, typer.Argument(help="Run folder to judge; or any image file or folder of images.", metavar="ACTUAL")
    ],
    expected: Annotated[
        Path,
        typer.Argument(
            help="Run folder, image file or folder to compare with; the same run folder compares its repeats.",
            metavar="EXPECTED",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="JSON file to write.  [default: beside the run that is judged]", metavar="FILE")
    ] = None,
    ratio_to: Annotated[
        list[Path] | None,
        typer.Option(
            help="Run folder of another reference arm, for limits with the key ratio_to; may be given again.",
            metavar="RUN",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two stored runs, or the repeats of one run.

    Image files and folders of images are compared as by 'harness diff'.
    """
    from harness.jobs import compare as compare_job
    from harness.terminal.console import print_json, print_line
    from harness.terminal.tables import table_of

    if compare_job.are_pictures(actual, expected):
        diff(actual, expected, out=out, as_json=as_json)
        return
    path, comparison = compare_job.compare(actual, expected, out, ratio_to or [])
    if as_json:
        print_json(comparison.model_dump(mode="json"))
    else:
        table_of([(comparison.scenario, comparison)])
        print_line(str(path))
    _leave([comparison.outcome])


def diff(
    actual: Annotated[
        Path, typer.Argument(help="Image file, folder of images or file of tensors to check.", metavar="ACTUAL")
    ],
    expected: Annotated[
        Path,
        typer.Argument(help="Image file, folder of images or file of tensors to compare with.", metavar="EXPECTED"),
    ],
    at_least: Annotated[
        list[str] | None,
        typer.Option(
            "--at-least",
            metavar="METRIC=NUMBER",
            help="Smallest value allowed, such as psnr_db=40; may be given again. 'harness list metrics' names all.",
        ),
    ] = None,
    at_most: Annotated[
        list[str] | None,
        typer.Option(
            "--at-most", metavar="METRIC=NUMBER", help="Largest value allowed, such as mse=4; may be given again."
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore", metavar="PATTERN", help="Skip files by a name pattern such as '*.gif'; may be given again."
        ),
    ] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option(
            "--pair",
            metavar="exact|stem|casefold",
            help="How to pair file names: equal (exact), with any ending (stem), in any case (casefold); may be given "
            "again.  [default: exact]",
        ),
    ] = None,
    pair_list: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="File whose lines name two images each to compare: ACTUAL,EXPECTED."),
    ] = None,
    alpha: Annotated[
        str | None,
        typer.Option(
            metavar="drop|white|black",
            help="Ignore transparency (drop), or blend it with white or black.  [default: refuse it]",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Parallel processes.  [default: one for each core]", metavar="COUNT")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the results, one JSON line for each pair.", metavar="FILE")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for an HTML page with the images, worst first, and a table of all values."
        ),
    ] = None,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Compare image files, folders of images, or files of tensors.

    Files of tensors are .npy, .npz, .safetensors and .pt, which torch reads with weights_only=True.

    Without --at-least or --at-most the differences are shown, and nothing passes or fails.
    """
    from harness.jobs import diff as diff_job
    from harness.jobs.diff_tensors import are_tensors, diff_tensors
    from harness.records import FolderDiff, Status, TensorDiff
    from harness.terminal.console import print_json
    from harness.terminal.tables import table_of_folders, table_of_pictures, table_of_tensors

    bounds = diff_job.Bounds(at_least=at_least or [], at_most=at_most or [])
    reading = diff_job.Reading(ignore=ignore or [], pair=pair or [], pair_list=pair_list, alpha=alpha, jobs=jobs)
    output = diff_job.Output(lines=out, report=report, language=language)
    run = diff_tensors if are_tensors(actual, expected) else diff_job.diff
    difference = run(actual, expected, bounds=bounds, reading=reading, output=output)
    if as_json:
        print_json(difference.model_dump(mode="json"))
    elif isinstance(difference, TensorDiff):
        table_of_tensors(difference)
    elif isinstance(difference, FolderDiff):
        table_of_folders(difference)
    else:
        table_of_pictures(difference)
    if difference.outcome is not Status.SKIPPED:  # nobody gave a limit, so there is nothing to answer for
        _leave([difference.outcome])


def gate(
    comparisons: Annotated[
        list[Path], typer.Argument(help="Comparison files, comparison-*.json of a job folder.", metavar="COMPARISON")
    ],
    scenario: Annotated[
        Path | None,
        typer.Option(
            help="Scenario file with the limits and waivers to use.  [default: those of the comparison]", metavar="FILE"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check stored comparisons against their limits again.

    Nothing is run or measured.
    """
    from harness.jobs import compare as compare_job

    _tell(compare_job.gate(comparisons, scenario), as_json=as_json)


def report(
    comparisons: Annotated[
        list[Path],
        typer.Argument(
            help="Comparison files of one job, or one .jsonl file that 'harness diff --out' wrote.",
            metavar="COMPARISON",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the report to.", metavar="DIR")],
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            help="Formats, separated by commas: html, md, json, junit, csv, summary.",
            metavar="FORMATS",
        ),
    ] = "html,md",
    language: Language = "en",
) -> None:
    """Write reports of stored comparisons, such as HTML or JUnit.

    Nothing is run or measured.
    """
    from harness.jobs import report as report_job
    from harness.terminal.console import print_line

    if [path.suffix for path in comparisons] == [".jsonl"]:
        from harness.jobs import diff as diff_job

        diff_job.report_of_lines(comparisons[0], diff_job.Output(report=out, language=language))
        print_line(str(out / "index.html"))
        return
    names = [word.strip() for word in formats.split(",") if word.strip()]
    for path in report_job.report(comparisons, names, out, language):
        print_line(str(path))


def release(
    name: Annotated[str, typer.Argument(help="Name of the release, and of the folder of its report.", metavar="NAME")],
    scenarios: Annotated[
        list[Path] | None,
        typer.Argument(help="Scenario files.  [default: all in --scenarios-dir]", metavar="SCENARIO"),
    ] = None,
    job: Annotated[
        list[Path] | None,
        typer.Option(
            "--job",
            help="Job folder, may be given again.  [default: the newest finished job of each scenario]",
            metavar="DIR",
        ),
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
    scenarios_dir: ScenariosDir = SCENARIOS_DIR,
    out: Annotated[Path, typer.Option(help="Folder in which the folder NAME is made.", metavar="DIR")] = Path(
        "reports"
    ),
    lang: Annotated[
        list[str] | None,
        typer.Option(
            help="Language, such as en or zh; may be given again. Files in the first have no language in their names.  "
            "[default: en, zh]",
            metavar="en|zh",
        ),
    ] = None,
    card: Annotated[
        bool, typer.Option("--card", help="Write the card to publish too: README.md, scripts, results and images.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only check by their hashes that the report's files are unchanged.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the accuracy report of a release from stored jobs.

    Nothing is run, measured or judged.
    """
    from harness.jobs import release as release_job
    from harness.records import exit_code
    from harness.terminal.console import print_json, print_line

    if verify:
        problems = release_job.verify_release(out / name)
        if as_json:
            print_json({"release": name, "problems": problems})
        else:
            for text in problems or ["every file is as its manifest says"]:
                print_line(f"{out / name}: {text}")
        raise typer.Exit(3 if problems else 0)
    request = release_job.ReleaseRequest(
        name=name,
        scenarios=scenarios or [],
        jobs=job or [],
        languages=list(dict.fromkeys(lang or ["en", "zh"])),
        runs_folder=runs_dir,
        scenarios_folder=scenarios_dir,
        card=card,
    )
    made = release_job.release(request, out)
    if as_json:
        print_json(made.summary)
    else:
        for line in made.lines:
            print_line(line)
    raise typer.Exit(exit_code([made.release.outcome]))


def _tell(comparisons: list[Comparison], *, as_json: bool) -> NoReturn:
    from harness.terminal.console import print_json
    from harness.terminal.tables import table_of

    if as_json:
        print_json([{"scenario": row.scenario, "outcome": row.outcome, "message": row.message} for row in comparisons])
    else:
        table_of([(comparison.scenario, comparison) for comparison in comparisons])
    _leave([comparison.outcome for comparison in comparisons])


def _leave(statuses: list[Status]) -> NoReturn:
    from harness.records import exit_code

    raise typer.Exit(exit_code(statuses))
