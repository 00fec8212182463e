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
        Path, typer.Argument(help="Run folder that is judged; or a picture file or folder that no run made.")
    ],
    expected: Annotated[Path, typer.Argument(help="What it is compared with; the same run for its repeats.")],
    out: Annotated[Path | None, typer.Option(help="File to write; for runs beside the actual one by default.")] = None,
    ratio_to: Annotated[
        list[Path] | None, typer.Option(help="Run folder of an arm that limits with ratio_to divide by.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two stored runs, the repeats of one, or pictures that something else made, by name."""
    from harness.jobs import compare as comparing
    from harness.terminal.console import say, say_json
    from harness.terminal.tables import table_of

    if comparing.are_pictures(actual, expected):
        diff(actual, expected, out=out, as_json=as_json)
        return
    path, comparison = comparing.compare(actual, expected, out, ratio_to or [])
    if as_json:
        say_json(comparison.model_dump(mode="json"))
    else:
        table_of([(comparison.scenario, comparison)])
        say(str(path))
    _leave([comparison.outcome])


def diff(
    actual: Annotated[Path, typer.Argument(help="Picture file that is looked at, or a folder of them.")],
    expected: Annotated[Path, typer.Argument(help="Picture file or folder it is compared with.")],
    at_least: Annotated[
        list[str] | None,
        typer.Option("--at-least", metavar="METRIC=NUMBER", help="Smallest value allowed; may be given again."),
    ] = None,
    at_most: Annotated[
        list[str] | None,
        typer.Option("--at-most", metavar="METRIC=NUMBER", help="Largest value allowed; may be given again."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="PATTERN", help="Leave out names such as '*.gif'; may be given again."),
    ] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option(
            "--pair",
            metavar="exact|stem|casefold",
            help="Pair names by the path alone, or also without regard to ending or case; may be given again.",
        ),
    ] = None,
    pair_list: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Pair the two names of each line, whatever they are called.")
    ] = None,
    alpha: Annotated[
        str | None,
        typer.Option(metavar="drop|white|black", help="Leave out transparency, or put it onto a colour."),
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes for folders; by default one a core.")] = None,
    out: Annotated[Path | None, typer.Option(help="File for a JSON line for each pair.")] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for a page with pictures, worst first, and a table of all values."),
    ] = None,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Compare two picture files, or two folders of them by name; without a limit nothing is judged."""
    from harness.jobs import diff as pictures
    from harness.records import FolderDiff, Status
    from harness.terminal.console import say_json
    from harness.terminal.tables import table_of_folders, table_of_pictures

    bounds = pictures.Bounds(at_least=at_least or [], at_most=at_most or [])
    reading = pictures.Reading(ignore=ignore or [], pair=pair or [], pair_list=pair_list, alpha=alpha, jobs=jobs)
    output = pictures.Output(lines=out, report=report, language=language)
    found = pictures.diff(actual, expected, bounds=bounds, reading=reading, output=output)
    if as_json:
        say_json(found.model_dump(mode="json"))
    elif isinstance(found, FolderDiff):
        table_of_folders(found)
    else:
        table_of_pictures(found)
    if found.outcome is not Status.SKIPPED:  # nobody gave a limit, so there is nothing to answer for
        _leave([found.outcome])


def gate(
    comparisons: Annotated[list[Path], typer.Argument(help="Comparison files.", metavar="COMPARISON...")],
    scenario: Annotated[Path | None, typer.Option(help="Take limits and waivers of this scenario instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge stored comparisons again; nothing is run or measured."""
    from harness.jobs import compare as comparing

    _tell(comparing.gate(comparisons, scenario), as_json=as_json)


def report(
    comparisons: Annotated[
        list[Path],
        typer.Argument(help="Comparison files of a job, or one .jsonl file of diff --out.", metavar="COMPARISON..."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write into.")],
    formats: Annotated[str, typer.Option("--format", help="Formats, with commas between them.")] = "html,md",
    language: Language = "en",
) -> None:
    """Render stored comparisons; nothing is run or measured."""
    from harness.jobs import report as reporting
    from harness.terminal.console import say

    if [path.suffix for path in comparisons] == [".jsonl"]:
        from harness.jobs import diff as pictures

        pictures.report_of_lines(comparisons[0], pictures.Output(report=out, language=language))
        say(str(out / "index.html"))
        return
    words = [word.strip() for word in formats.split(",") if word.strip()]
    for path in reporting.report(comparisons, words, out, language):
        say(str(path))


def release(
    name: Annotated[str, typer.Argument(help="Name of the release; it becomes a folder.")],
    scenarios: Annotated[
        list[Path] | None, typer.Argument(help="Scenario files; all of the scenarios folder where none is named.")
    ] = None,
    job: Annotated[
        list[Path] | None,
        typer.Option("--job", help="Job folder; may be given again. By default each scenario's newest finished one."),
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
    scenarios_dir: ScenariosDir = SCENARIOS_DIR,
    out: Annotated[Path, typer.Option(help="Where the release's folder is made.")] = Path("reports"),
    lang: Annotated[
        list[str] | None, typer.Option(help="Language, en or zh; may be given again. The first has the plain names.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Only hash the files of the report again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the accuracy report of a release from stored records; nothing is run, measured or judged."""
    from harness.jobs import release as releasing
    from harness.records import exit_code
    from harness.terminal.console import say, say_json

    if verify:
        found = releasing.verify_release(out / name)
        if as_json:
            say_json({"release": name, "problems": found})
        else:
            for words in found or ["every file is as its manifest says"]:
                say(f"{out / name}: {words}")
        raise typer.Exit(3 if found else 0)
    asked = releasing.Asked(
        name=name,
        scenarios=scenarios or [],
        jobs=job or [],
        languages=list(dict.fromkeys(lang or ["en", "zh"])),
        runs_folder=runs_dir,
        scenarios_folder=scenarios_dir,
    )
    made = releasing.release(asked, out)
    if as_json:
        say_json(made.summary)
    else:
        for line in made.lines:
            say(line)
    raise typer.Exit(exit_code([made.release.outcome]))


def _tell(comparisons: list[Comparison], *, as_json: bool) -> NoReturn:
    from harness.terminal.console import say_json
    from harness.terminal.tables import table_of

    if as_json:
        say_json(
            [{"scenario": each.scenario, "outcome": each.outcome, "message": each.message} for each in comparisons]
        )
    else:
        table_of([(each.scenario, each) for each in comparisons])
    _leave([each.outcome for each in comparisons])


def _leave(statuses: list[Status]) -> NoReturn:
    from harness.records import exit_code

    raise typer.Exit(exit_code(statuses))
