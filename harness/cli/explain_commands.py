"""The command that says where and why a candidate is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import (
    MAX_GIB,
    RUNS_DIR,
    TRACE_STEPS,
    AllowCommand,
    AllowedCommands,
    AsJson,
    Language,
    MaxGib,
    RunsDir,
    TraceInside,
    TraceSteps,
    permission_of,
    words_of,
)


def explain(
    scenario: Annotated[
        Path,
        typer.Argument(
            help="Scenario file, folder of a job, or trace file of harness.trace.", metavar="SCENARIO|JOB|FILE.trace"
        ),
    ],
    arm: Annotated[
        str | None, typer.Option(help="Arm that may be wrong; that of a job is known.", metavar="ARM")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Arm that is right, or the trace file that harness run --trace wrote on another machine.  "
            "[default: none, formulas of modules alone]",
            metavar="ARM|FILE.trace",
        ),
    ] = None,
    case: Annotated[str | None, typer.Option(help="Case.  [default: the first]", metavar="CASE")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed.  [default: the first]", metavar="SEED")] = None,
    trace_steps: TraceSteps = TRACE_STEPS,
    trace_inside: TraceInside = "",
    max_gib: MaxGib = MAX_GIB,
    no_proof: Annotated[
        bool, typer.Option("--no-proof", help="Make no pictures with swapped values; nothing is proven then.")
    ] = False,
    keep_trace: Annotated[bool, typer.Option("--keep-trace", help="Keep the reference's values.")] = False,
    runs_dir: RunsDir = RUNS_DIR,
    allow_command: AllowCommand = False,
    allowed_commands: AllowedCommands = None,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Say which module of an arm is wrong, and why.

    Of a job, such as runs/JOB, the case is taken that broke a limit most, with the arms that it was compared for.
    Each module gets what the reference's got, so only what is wrong by itself stands out. Exits with 1 when something
    is wrong.
    """
    from harness.jobs import explain as explain_job
    from harness.records import exit_code
    from harness.terminal.console import print_json, print_line
    from harness.terminal.explanations import show_explanation

    question = explain_job.Question(
        path=scenario,
        arm=arm or "",
        against=against,
        case=case,
        seed=seed,
        steps=words_of(trace_steps),
        inside=trace_inside,
        most_bytes=int(max_gib * 2**30),
        proof=not no_proof,
        keep_trace=keep_trace,
        language=language,
        runs_folder=runs_dir,
        permission=permission_of(every=allow_command, listed=allowed_commands),
    )
    explained = explain_job.explain(explain_job.completed(question))
    if as_json:
        print_json(explained.explanation.model_dump(mode="json"))
    else:
        show_explanation(explained.explanation)
        print_line(str(explained.page))
    raise typer.Exit(exit_code([explained.explanation.trouble.status]))
