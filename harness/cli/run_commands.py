"""Commands about a scenario, from writing one to its runs and limits."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import (
    BASELINES_DIR,
    MAX_GIB,
    RUNS_DIR,
    TRACE_STEPS,
    AllowCommand,
    AllowedCommands,
    Arms,
    AsJson,
    BaselinesDir,
    Cases,
    Device,
    Language,
    MaxGib,
    Processes,
    Repeats,
    Retries,
    RunsDir,
    Scenarios,
    Seeds,
    TraceInside,
    TraceSteps,
    permission_of,
    selection_of,
    words_of,
)
from harness.errors import ScenarioError

if TYPE_CHECKING:
    from harness.run.sources import Permission


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the project to write to.", metavar="FOLDER")] = Path(),
    adapter: Annotated[
        str | None,
        typer.Option(
            help="How images are made: deepgen, diffusers, command (a script) or images (made before).  "
            "[default: by what the source is]",
            metavar="ADAPTER",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="What to validate: folder of a pipeline or of images, inference script, hf:REPO@REV or "
            "modelscope:REPO@REV.  [default: the pipeline in FOLDER, else an example]",
            metavar="SOURCE",
        ),
    ] = None,
) -> None:
    """Write a first scenario and CI files for a project.

    The CI files are for GitHub, GitLab and GitCode; a .gitignore is written too. No file is overwritten.
    """
    from harness.jobs import init as init_job
    from harness.suggestions import from_here
    from harness.terminal.console import print_line

    started = init_job.init(folder, adapter, source)
    for path in started.written:
        print_line(str(path))
    for path in started.left:
        print_line(f"left as it is: {path}, which is there already", error=True)
    for note in started.notes:
        print_line(f"note: {note}", error=True)
    print_line(f"next: harness check {from_here(started.scenario)} {started.options}".rstrip(), error=True)


def validate(
    scenarios: Scenarios,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 on a warning.")] = False,
) -> None:
    """Check scenario files for mistakes.

    Checks schema, names, paths and the evidence for limits; loads no model and writes nothing.
    """
    from harness.jobs import validate as validate_job
    from harness.terminal.console import print_line
    from harness.text import redact

    doubts, refused = 0, 0
    for path in scenarios:
        try:
            scenario, warnings = validate_job.validate(path)
        except ScenarioError as error:
            refused += 1
            print_line(f"error: {redact(str(error))}", error=True)
            continue
        print_line(f"{path}: ok, {len(scenario.cases)} cases, {len(scenario.seeds)} seeds, {len(scenario.arms)} arms")
        for warning in warnings:
            doubts += 1
            print_line(f"{path}: warning: {warning}")
    if refused:
        raise typer.Exit(ScenarioError.exit_code)
    if strict and doubts:
        raise typer.Exit(1)


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
    trace: Annotated[
        bool,
        typer.Option(
            "--trace",
            help="Trace one image of one arm to a file instead: harness explain --against FILE.trace reads it on "
            "another machine.",
        ),
    ] = False,
    trace_steps: TraceSteps = TRACE_STEPS,
    trace_inside: TraceInside = "",
    max_gib: MaxGib = MAX_GIB,
) -> None:
    """Make the images of scenarios and store them.

    Nothing is compared.
    """
    from harness.jobs import check as check_job
    from harness.terminal.console import print_line
    from harness.terminal.progress import PlainReporter

    permission = permission_of(every=allow_command, listed=allowed_commands)
    if trace:
        _trace(
            scenarios,
            arm or [],
            case or [],
            seed or [],
            device,
            (trace_steps, trace_inside),
            max_gib,
            runs_dir,
            permission,
        )
        return
    selection = selection_of(arm, case, seed, device, repeats, processes, retries, runs_dir, baselines_dir, permission)
    made = check_job.run(scenarios, selection, PlainReporter())
    for of_arm in made:
        print_line(str(of_arm.folder))
        for unfit in of_arm.unfit:
            print_line(f"error: {unfit.message}", error=True)
    if not all(of_arm.is_whole for of_arm in made):
        raise typer.Exit(3)


def _trace(
    scenarios: list[Path],
    arms: list[str],
    cases: list[str],
    seeds: list[int],
    device: str | None,
    chosen: tuple[str, str],
    max_gib: float,
    runs_dir: Path,
    permission: Permission,
) -> None:
    """Trace one image and print the file."""
    from harness.jobs import trace as trace_job
    from harness.terminal.console import print_line

    def tell(size: int) -> None:
        print_line(f"the trace takes {size / 2**20:.1f} MiB", error=True)

    options = trace_job.TraceOptions(
        path=trace_job.only("scenarios", scenarios),
        arm=trace_job.only("arms", arms),
        case=trace_job.only("cases", cases) if cases else None,
        seed=trace_job.only("seeds", seeds) if seeds else None,
        steps=words_of(chosen[0]),
        inside=chosen[1],
        most_bytes=int(max_gib * 2**30),
        device=device,
        runs_folder=runs_dir,
        permission=permission,
    )
    traced = trace_job.trace(options, tell)
    print_line(str(traced.path))
    if traced.trace.blocks:
        print_line(
            "all modules are more than --max-gib, so whole blocks were kept: --trace-inside PATH keeps one", error=True
        )
    key, scenario = traced.key, options.path
    print_line(
        f"next, where the port runs: harness explain {scenario} --arm ARM --against {traced.path.name} --case "
        f"{key.case} --seed {key.seed}",
        error=True,
    )


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
            "--quick", help="Run only one case with one seed, at most twice and in one process; the report says so."
        ),
    ] = False,
    last_failed: Annotated[
        bool, typer.Option("--last-failed", help="Run only cases and seeds that failed in the newest job.")
    ] = False,
    report_format: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="Also write this report format; harness list formats names all, those of other packages too.",
            metavar="NAME",
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Where a limit against a reference is broken, find out which module is wrong, and why."
        ),
    ] = False,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Run scenarios, compare, judge and report: the command for CI."""
    from harness.jobs import check as check_job
    from harness.records import Status, exit_code, worst_code
    from harness.terminal.console import print_json
    from harness.terminal.progress import PlainReporter
    from harness.terminal.tables import summarise

    permission = permission_of(every=allow_command, listed=allowed_commands)
    selection = selection_of(arm, case, seed, device, repeats, processes, retries, runs_dir, baselines_dir, permission)
    selection = replace(selection, quick=quick, last_failed=last_failed)
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    output = check_job.Output(formats=report_format or [], step_summary=Path(page) if page else None, language=language)
    checked, unfinished = check_job.check(scenarios, selection, PlainReporter(), output)
    if explain:
        drifted = [job.folder for job in checked if job.report.outcome is Status.DRIFT]
        _explain(drifted, language, permission, show=not as_json)
    if as_json:
        print_json([*(job.summary for job in checked), *(stopped.summary for stopped in unfinished)])
    else:
        summarise(checked, unfinished)
    outcomes = [comparison.outcome for job in checked for comparison in job.report.comparisons]
    raise typer.Exit(worst_code([exit_code(outcomes), *(stopped.error.exit_code for stopped in unfinished)]))


def _explain(jobs: list[Path], language: str, permission: Permission, *, show: bool) -> None:
    """Explain jobs that drifted; what cannot be explained is said, and changes no verdict.

    The answers go to the reports; with ``show`` they are printed as well.
    """
    from harness.errors import HarnessError
    from harness.jobs import explain as explain_job
    from harness.terminal.console import print_line
    from harness.terminal.explanations import show_explanation

    for job in jobs:
        answer = explain_job.explain_drift(job, language, permission)
        if isinstance(answer, HarnessError):
            print_line(f"note: {job} was not explained: {answer}", error=True)
        elif show:
            show_explanation(answer.explanation)


def calibrate(
    scenario: Annotated[Path, typer.Argument(help="Scenario file that has the key 'calibration'.", metavar="SCENARIO")],
    arm: Annotated[
        str | None, typer.Option(help="Reference arm; needed where there are several.", metavar="ARM")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the limits to the scenario file.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="JSON file for the result, which the job folder has too.", metavar="FILE")
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
    as_json: AsJson = False,
) -> None:
    """Measure the noise floor of a reference and propose limits.

    Exits with 1 when a planted fault would pass the limits.
    """
    from harness import store
    from harness.jobs import calibrate as calibrate_job
    from harness.terminal.console import print_json, print_line
    from harness.terminal.progress import PlainReporter
    from harness.terminal.tables import table_of_calibration

    calibrated = calibrate_job.calibrate(scenario, arm, write=write, runs_folder=runs_dir, reporter=PlainReporter())
    if out is not None:
        store.save(calibrated.calibration, out)
    if as_json:
        print_json(calibrated.calibration.model_dump(mode="json"))
    else:
        table_of_calibration(calibrated.calibration)
        print_line(str(calibrated.folder))
        if calibrated.written:
            print_line(f"{scenario}: the limits are written")
            for rule in calibrated.guessed:
                print_line(
                    f"{scenario}: {rule} still judges and was not measured; remove it, or give it a reason to stay"
                )
    if calibrated.calibration.missed:
        raise typer.Exit(1)


def generate(
    model_path: Annotated[
        str,
        typer.Option(
            "--model_path",
            "--model-path",
            help="Model: a folder, builtin:NAME, hf:REPO@REV or modelscope:REPO@REV.",
            metavar="MODEL",
        ),
    ] = "builtin:tiny-deepgen",
    prompt: Annotated[str, typer.Option(help="What to draw, or how to edit the input image.", metavar="TEXT")] = (
        "a photo of a blue pizza and a yellow baseball glove"
    ),
    input_image: Annotated[
        Path | None,
        typer.Option(
            "--input_image", "--input-image", help="Image to edit.  [default: none, text to image]", metavar="FILE"
        ),
    ] = None,
    output_image: Annotated[
        Path, typer.Option("--output_image", "--output-image", help="PNG file to write.", metavar="FILE")
    ] = Path("output_deepgen.png"),
    height: Annotated[
        int, typer.Option(help="Height in pixels, for deepgen a multiple of 32.", metavar="PIXELS")
    ] = 512,
    width: Annotated[int, typer.Option(help="Width in pixels, for deepgen a multiple of 32.", metavar="PIXELS")] = 512,
    seed: Annotated[int, typer.Option(help="Seed of the initial noise.", metavar="SEED")] = 42,
    num_inference_steps: Annotated[
        int,
        typer.Option(
            "--num_inference_steps", "--num-inference-steps", help="Number of denoising steps.", metavar="COUNT"
        ),
    ] = 50,
    guidance_scale: Annotated[
        float,
        typer.Option(
            "--guidance_scale", "--guidance-scale", help="Scale of classifier-free guidance.", metavar="NUMBER"
        ),
    ] = 4.0,
    device: Annotated[
        str, typer.Option(help="npu[:N], cuda[:N], cpu or auto (the best one here).", metavar="DEVICE")
    ] = "npu",
    noise: Annotated[
        str,
        typer.Option(
            help="portable (the same on every device), torch_cpu (as torch.Generator('cpu') draws it, on every device) "
            "or device (from the device's own generator).",
            metavar="portable|torch_cpu|device",
        ),
    ] = "portable",
    dtype: Annotated[
        str, typer.Option(help="Type of the weights: float32, float16 or bfloat16.", metavar="DTYPE")
    ] = "bfloat16",
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust_remote_code", "--trust-remote-code", help="Allow Python code of the model folder to run."
        ),
    ] = False,
    adapter: Annotated[
        str,
        typer.Option(
            help="How the pipeline is called: deepgen, diffusers or an adapter of an installed package.",
            metavar="ADAPTER",
        ),
    ] = "deepgen",
    arguments: Annotated[
        str,
        typer.Option(
            help='Further arguments of the call as JSON, such as {"strength": 0.6}.  [default: none]', metavar="JSON"
        ),
    ] = "",
) -> None:
    """Make one image, with the options of an inference script."""
    from harness.jobs import generate as generate_job
    from harness.terminal.console import print_line
    from harness.terminal.progress import LogReporter

    options = generate_job.GenerateOptions(
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
        arguments=arguments,
    )
    made = generate_job.generate(options, LogReporter(output_image, model_path))
    for failure in made.failures:
        print_line(f"error: {failure.stage}: {failure.error}: {failure.message}\n{failure.traceback}", error=True)
    if not made.samples:
        raise typer.Exit(3)
    print_line(f"Noise digest: {made.samples[0].noise_digest}")
    print_line(f"Image saved at: {output_image}")
