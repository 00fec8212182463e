"""The door: arguments in, one job, exit code out.

Exit codes, the highest in this order wins: 2 wrong use or bad scenario, 3 a run failed, 7 not comparable, 4 baseline
missing, 1 an accuracy limit failed, 6 only determinism failed, 5 nothing selected; 0 all passed; 130 interrupted.
"""

from __future__ import annotations

import atexit
import gc
import getpass
import os
import signal
import sys
import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from harness.errors import HarnessError, Interrupted, RunError, ScenarioError, UsageError, worded
from harness.terminal_progress import shown_work

if TYPE_CHECKING:
    from types import FrameType

    from harness.jobs.arm_runs import Selection
    from harness.records import Comparison, Status
    from harness.run.sources import Permission
    from harness.store.baselines import Baseline

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Accuracy and determinism validation for image-generation pipelines on accelerators.",
    epilog="--debug anywhere on the command line shows tracebacks.",
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - how typer calls it
    if wanted:
        from importlib.metadata import version

        from harness.terminal import say

        say(f"accuracy-harness {version('accuracy-harness')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Accuracy and determinism validation for image-generation pipelines on accelerators."""
    del version


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


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the project that is to be checked.")] = Path(),
    adapter: Annotated[
        str | None, typer.Option(help="deepgen, diffusers, command or images; the source decides when left out.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Folder of a pipeline or of pictures, a script, hf:REPO@REV, modelscope:REPO@REV."),
    ] = None,
) -> None:
    """Write a scenario for a source, files for GitHub, GitLab and GitCode, and a .gitignore; never overwrites."""
    from harness.jobs import init as starting
    from harness.suggestions import from_here
    from harness.terminal import say

    started = starting.init(folder, adapter, source)
    for path in started.written:
        say(str(path))
    for path in started.left:
        say(f"left as it is: {path}, which is there already", error=True)
    for words in started.notes:
        say(f"note: {words}", error=True)
    say(f"next: harness check {from_here(started.scenario)} {started.options}".rstrip(), error=True)


@app.command()
def validate(
    scenarios: Scenarios,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on a warning.")] = False,
) -> None:
    """Check scenario files: schema, names, paths, evidence of limits. Loads no model, writes nothing."""
    from harness.jobs import validate as validating
    from harness.terminal import say
    from harness.text import redact

    doubts, refused = 0, 0
    for path in scenarios:
        try:
            found, warnings = validating.validate(path)
        except ScenarioError as error:
            refused += 1
            say(f"error: {redact(str(error))}", error=True)
            continue
        say(f"{path}: ok, {len(found.cases)} cases, {len(found.seeds)} seeds, {len(found.arms)} arms")
        for words in warnings:
            doubts += 1
            say(f"{path}: warning: {words}")
    if refused:
        raise typer.Exit(ScenarioError.exit_code)
    if strict and doubts:
        raise typer.Exit(1)


@app.command(name="list")
def list_(
    what: Annotated[
        str,
        typer.Argument(help="scenarios, runs, baselines, backends, adapters, metrics, models, kernels or formats."),
    ],
    runs_dir: RunsDir = RUNS_DIR,
    scenarios_dir: ScenariosDir = SCENARIOS_DIR,
    baselines_dir: BaselinesDir = BASELINES_DIR,
    as_json: AsJson = False,
) -> None:
    """List what there is."""
    _list(what, runs_dir, scenarios_dir, baselines_dir, as_json=as_json)


@app.command()
def run(
    scenarios: Scenarios,
    arm: Arms = None,
    case: Cases = None,
    seed: Seeds = None,
    device: Device = None,
    repeats: Repeats = None,
    processes: Processes = None,
    retries: Retries = 0,
    runs_dir: RunsDir = RUNS_DIR,
    allow_command: AllowCommand = False,
    allowed_commands: AllowedCommands = None,
    baselines_dir: BaselinesDir = BASELINES_DIR,
) -> None:
    """Run scenarios and keep the samples; nothing is compared."""
    from harness.jobs import check as checking
    from harness.terminal import say
    from harness.terminal_progress import PlainTeller

    permission = _permission(every=allow_command, listed=allowed_commands)
    selection = _selection(arm, case, seed, device, repeats, processes, retries, runs_dir, baselines_dir, permission)
    made = checking.run(scenarios, selection, PlainTeller())
    for of_arm in made:
        say(str(of_arm.folder))
        for unfit in of_arm.unfit:
            say(f"error: {unfit.message}", error=True)
    if not all(of_arm.is_whole for of_arm in made):
        raise typer.Exit(3)


@app.command()
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
    from harness.terminal import say, say_json, table_of

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


@app.command()
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
    from harness.terminal import say_json, table_of_folders, table_of_pictures

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


@app.command()
def gate(
    comparisons: Annotated[list[Path], typer.Argument(help="Comparison files.", metavar="COMPARISON...")],
    scenario: Annotated[Path | None, typer.Option(help="Take limits and waivers of this scenario instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge stored comparisons again; nothing is run or measured."""
    from harness.jobs import compare as comparing

    _tell(comparing.gate(comparisons, scenario), as_json=as_json)


@app.command()
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
    from harness.terminal import say

    if [path.suffix for path in comparisons] == [".jsonl"]:
        from harness.jobs import diff as pictures

        pictures.report_of_lines(comparisons[0], pictures.Output(report=out, language=language))
        say(str(out / "index.html"))
        return
    words = [word.strip() for word in formats.split(",") if word.strip()]
    for path in reporting.report(comparisons, words, out, language):
        say(str(path))


@app.command()
def check(
    scenarios: Scenarios,
    arm: Arms = None,
    case: Cases = None,
    seed: Seeds = None,
    device: Device = None,
    repeats: Repeats = None,
    processes: Processes = None,
    retries: Retries = 0,
    runs_dir: RunsDir = RUNS_DIR,
    allow_command: AllowCommand = False,
    allowed_commands: AllowedCommands = None,
    baselines_dir: BaselinesDir = BASELINES_DIR,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Only one case with one seed, at most twice and in one process; the report says so."
        ),
    ] = False,
    last_failed: Annotated[
        bool, typer.Option("--last-failed", help="Only cases and seeds that failed in the scenario's newest job.")
    ] = False,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Run, compare, judge and report: the verb for CI."""
    from harness.jobs import check as checking
    from harness.records import exit_code, worst_code
    from harness.terminal import say_json, summarise
    from harness.terminal_progress import PlainTeller

    permission = _permission(every=allow_command, listed=allowed_commands)
    selection = _selection(arm, case, seed, device, repeats, processes, retries, runs_dir, baselines_dir, permission)
    selection = replace(selection, quick=quick, last_failed=last_failed)
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    checked, unfinished = checking.check(
        scenarios, selection, PlainTeller(), step_summary=Path(page) if page else None, language=language
    )
    if as_json:
        say_json([*(each.summary for each in checked), *(stopped.summary for stopped in unfinished)])
    else:
        summarise(checked, unfinished)
    outcomes = [comparison.outcome for each in checked for comparison in each.report.comparisons]
    raise typer.Exit(worst_code([exit_code(outcomes), *(each.error.exit_code for each in unfinished)]))


@app.command()
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
    from harness.terminal import say, say_json

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


@app.command()
def calibrate(
    scenario: Annotated[Path, typer.Argument(help="Scenario file with a key calibration.")],
    arm: Annotated[str | None, typer.Option(help="Reference arm, where there are several.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Put the limits into the scenario file.")] = False,
    out: Annotated[Path | None, typer.Option(help="File for what was found, as JSON; also in the job folder.")] = None,
    runs_dir: RunsDir = RUNS_DIR,
    as_json: AsJson = False,
) -> None:
    """Measure the noise floor of a reference, and propose limits: exit 1 when a planted fault would pass."""
    from harness import store
    from harness.jobs import calibrate as calibrating
    from harness.terminal import say, say_json, table_of_calibration
    from harness.terminal_progress import PlainTeller

    found = calibrating.calibrate(scenario, arm, write=write, runs_folder=runs_dir, teller=PlainTeller())
    if out is not None:
        store.save(found.calibration, out)
    if as_json:
        say_json(found.calibration.model_dump(mode="json"))
    else:
        table_of_calibration(found.calibration)
        say(str(found.folder))
        if found.written:
            say(f"{scenario}: the limits are written")
            for rule in found.guessed:
                say(f"{scenario}: {rule} still judges and was not measured; remove it, or give it a reason to stay")
    if found.calibration.missed:
        raise typer.Exit(1)


@app.command()
def generate(
    model_path: Annotated[
        str, typer.Option("--model_path", "--model-path", help="Folder, builtin:, hf: or modelscope: source.")
    ] = "builtin:tiny-deepgen",
    prompt: Annotated[str, typer.Option(help="What to draw, or how to edit.")] = (
        "a photo of a blue pizza and a yellow baseball glove"
    ),
    input_image: Annotated[
        Path | None, typer.Option("--input_image", "--input-image", help="Picture to edit; none draws from text.")
    ] = None,
    output_image: Annotated[
        Path, typer.Option("--output_image", "--output-image", help="Where the picture goes, as PNG.")
    ] = Path("output_deepgen.png"),
    height: Annotated[int, typer.Option(help="Height in pixels, a multiple of 32.")] = 512,
    width: Annotated[int, typer.Option(help="Width in pixels, a multiple of 32.")] = 512,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 42,
    num_inference_steps: Annotated[
        int, typer.Option("--num_inference_steps", "--num-inference-steps", help="Denoising steps.")
    ] = 50,
    guidance_scale: Annotated[
        float, typer.Option("--guidance_scale", "--guidance-scale", help="Strength of guidance.")
    ] = 4.0,
    device: Annotated[str, typer.Option(help="npu, cuda, cpu or auto.")] = "npu",
    noise: Annotated[str, typer.Option(help="portable: the same on every device; device: its own generator.")] = (
        "portable"
    ),
    dtype: Annotated[str, typer.Option(help="float32, float16 or bfloat16.")] = "bfloat16",
    trust_remote_code: Annotated[
        bool, typer.Option("--trust_remote_code", "--trust-remote-code", help="Let the model folder's Python run.")
    ] = False,
    adapter: Annotated[
        str, typer.Option(help="How the pipeline is called: deepgen, diffusers or an installed one.")
    ] = ("deepgen"),
) -> None:
    """Make one picture, with the options of the porting note's inference script."""
    from harness.jobs import generate as generating
    from harness.terminal import say
    from harness.terminal_progress import LogTeller

    wish = generating.Wish(
        model_path=model_path,
        prompt=prompt,
        input_image=input_image,
        output_image=output_image,
        height=height,
        width=width,
        seed=seed,
        steps=num_inference_steps,
        guidance_scale=guidance_scale,
        device=device,
        noise=noise,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
        adapter=adapter,
    )
    made = generating.generate(wish, LogTeller(output_image, model_path))
    for failure in made.failures:
        say(f"error: {failure.stage}: {failure.error}: {failure.message}\n{failure.traceback}", error=True)
    if not made.samples:
        raise typer.Exit(3)
    say(f"Noise digest: {made.samples[0].noise_digest}")
    say(f"Image saved at: {output_image}")


@app.command()
def doctor(
    device: Annotated[str, typer.Option(help="Device to be used: npu, cuda, cpu, or auto for what is there.")] = "auto",
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on a warning that changes numbers.")] = False,
    baseline: Annotated[
        Path | None, typer.Option(metavar="SCENARIO", help="Also whether its baselines are there and comparable.")
    ] = None,
    baselines_dir: BaselinesDir = BASELINES_DIR,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with this machine, and what to do: exit 3 when the device cannot be used.

    With --baseline also 3 for a damaged baseline, 7 for one that is not comparable and 4 for a missing one.
    """
    from harness.jobs import doctor as examining
    from harness.records import Status, exit_code
    from harness.terminal import say_json, table_of_findings

    states = examining.examine_baselines(baseline, baselines_dir) if baseline else []
    machine = examining.doctor(device)
    diagnosis = machine.model_copy(update={"findings": [*(each.finding for each in states), *machine.findings]})
    if as_json:
        say_json(diagnosis.model_dump(mode="json"))
    else:
        table_of_findings(diagnosis)
    code = machine.exit_code(strict=strict)
    if code != RunError.exit_code and any(each.status is not Status.IDENTICAL for each in states):
        code = exit_code([each.status for each in states])
    raise typer.Exit(code)


@app.command()
def selftest(as_json: AsJson = False) -> None:
    """Hold the comparator to known answers on this machine: exit 3 when one is wrong."""
    from harness.jobs import doctor as examining
    from harness.terminal import say_json, table_of_checks

    found = examining.selftest()
    if as_json:
        say_json([asdict(each) for each in found])
    else:
        table_of_checks(found)
    if not all(each.ok for each in found):
        raise typer.Exit(3)


baseline = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Manage baselines: accept a run as a reference, verify it, carry it to another machine.",
)
app.add_typer(baseline, name="baseline")

runs = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Jobs that were run: list them, delete old ones.")
app.add_typer(runs, name="runs")


@runs.command(name="list")
def list_runs(runs_dir: RunsDir = RUNS_DIR, as_json: AsJson = False) -> None:
    """List runs with the verdicts of their comparisons."""
    _list("runs", runs_dir, SCENARIOS_DIR, BASELINES_DIR, as_json=as_json)


@runs.command()
def prune(
    keep: Annotated[int, typer.Option(min=1, help="Newest finished jobs of each scenario that stay.")] = 10,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only what would go is listed.")] = False,
    runs_dir: RunsDir = RUNS_DIR,
) -> None:
    """Delete finished jobs that newer ones of their scenario have outlived; unfinished jobs stay."""
    from harness.jobs import prune as pruning
    from harness.terminal import say

    old = pruning.old_jobs(runs_dir, keep)
    for job in old:
        say(f"{job.folder}: {job.size_bytes / 1e6:.1f} MB")
    if yes:
        pruning.delete(old)
    total = f"jobs: {len(old)}, {sum(job.size_bytes for job in old) / 1e6:.1f} MB"
    say(f"deleted: {total}" if yes else f"would be deleted with --yes: {total}")


@app.command(name="open")
def open_page(
    job: Annotated[str, typer.Argument(help="A job folder, a scenario's name, or latest.")] = "latest",
    show: Annotated[bool, typer.Option("--print", help="Only print where the page is.")] = False,
    runs_dir: RunsDir = RUNS_DIR,
) -> None:
    """Open a job's page in the browser, and print where it is."""
    import webbrowser

    from harness.jobs import open as opening
    from harness.terminal import say

    page = opening.page_of(job, runs_dir)
    say(str(page))
    if not show and not webbrowser.open(page.as_uri()):
        say("No browser could be started here; open the file above.", error=True)


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
    from harness.terminal import changes_of

    changes_of(baselines.update_baseline(run, baselines_dir, reason=reason, who=who or _user(), modes=modes))


@baseline.command(name="list")
def list_baselines(
    baselines_dir: BaselinesDir = BASELINES_DIR,
    scenarios_dir: ScenariosDir = SCENARIOS_DIR,
    as_json: AsJson = False,
) -> None:
    """List baselines: what they hold, who accepted them and why."""
    _list("baselines", RUNS_DIR, scenarios_dir, baselines_dir, as_json=as_json)


@baseline.command()
def verify(
    names: Names = None,
    baselines_dir: BaselinesDir = BASELINES_DIR,
    scenarios_dir: ScenariosDir = SCENARIOS_DIR,
    as_json: AsJson = False,
) -> None:
    """Hash every file again: exit 3 when one is damaged, missing or surplus."""
    from harness.jobs import baselines
    from harness.terminal import say, say_json

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


def _list(what: str, runs_dir: Path, scenarios_dir: Path, baselines_dir: Path, *, as_json: bool) -> None:
    from harness.jobs import list as listing
    from harness.terminal import say, say_json

    rows = listing.listed(what, runs_folder=runs_dir, scenarios_folder=scenarios_dir, baselines_folder=baselines_dir)
    if as_json:
        say_json(rows)
        return
    for row in rows:
        say(f"{row['name']:<28} {row['about']}")


def _say_baselines(done: str, found: list[Baseline]) -> None:
    """What was done with each, and the digest that people hold against each other by another channel."""
    from harness.terminal import say

    for each in found:
        say(f"{done} {each.manifest.name}: manifest digest {each.manifest.digest}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # a container may have no name for its user
        raise UsageError("this session's user has no name; say with --who who accepts the baseline.") from error


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; gives the exit code and lets no traceback out unless ``--debug`` is given."""
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    # Loading makes some hundred thousand objects that all stay; to look for garbage among them takes 0.2 s.
    gc.set_threshold(100_000)
    # They all go at the end anyway, so the interpreter's last look for garbage is spared: another 0.2 s.
    atexit.register(gc.freeze)
    _stop_on_signals()
    try:
        with shown_work(" ".join(["harness", *words[:1]])):
            app([word for word in words if word != "--debug"], prog_name="harness")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    except HarnessError as error:
        return _refused(error, error.exit_code, debug=debug)
    except (OSError, MemoryError) as error:
        return _refused(worded(error), RunError.exit_code, debug=debug)
    except Exception as error:  # noqa: BLE001 - the last border: a fault of the harness must not look like a verdict
        return _refused(error, 3, debug=debug)
    return 0


def _refused(error: Exception, code: int, *, debug: bool) -> int:
    from harness.terminal import say
    from harness.text import redact

    if debug:
        say(redact("".join(traceback.format_exception(error))), error=True)
    if isinstance(error, HarnessError):
        say(f"error: {redact(str(error))}", error=True)
    else:
        say(f"internal error: {type(error).__name__}: {redact(str(error))}", error=True)
        say("This is a fault of the harness; run it again with --debug and report what it shows.", error=True)
    return code


def _stop_on_signals() -> None:
    """Turn Ctrl-C, SIGTERM and a lost connection into an error that ends the children on its way out.

    What was ignored when the process began stays ignored: nohup keeps a lost connection from ending a job, and a
    script's background job is not ended by the Ctrl-C that is meant for the foreground. SIGTERM always ends the job.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # a second Ctrl-C must not cut short the ending of the children
    raise Interrupted(f"stopped by {signal.Signals(number).name}; give the same command again to go on.")


def _selection(
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


def _permission(*, every: bool, listed: Path | None) -> Permission:
    from harness.run.sources import Permission

    return Permission(every=every, listed=listed)


def _tell(comparisons: list[Comparison], *, as_json: bool) -> NoReturn:
    from harness.terminal import say_json, table_of

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
