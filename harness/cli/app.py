"""The command line as a whole: its commands in the order of the help, errors as exit codes, and signals."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from harness.cli import (
    baseline_commands,
    compare_commands,
    explain_commands,
    listing_commands,
    machine_commands,
    run_commands,
    score_commands,
    trend_commands,
)
from harness.errors import HarnessError, Interrupted, RunError, worded
from harness.terminal.progress import shown_work

if TYPE_CHECKING:
    from types import FrameType

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Validate the accuracy and determinism of image-generation pipelines on accelerators.",
    epilog="Add --debug anywhere on the command line to see tracebacks.",
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - how typer calls it
    if wanted:
        from importlib.metadata import version

        from harness.terminal.console import print_line

        print_line(f"accuracy-harness {version('accuracy-harness')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Validate the accuracy and determinism of image-generation pipelines on accelerators."""
    del version


# The order of these lines is that of the help.
app.command()(run_commands.init)
app.command()(run_commands.validate)
app.command(name="list")(listing_commands.list_)
app.command()(run_commands.run)
app.command()(compare_commands.compare)
app.command()(compare_commands.diff)
app.command()(compare_commands.gate)
app.command()(compare_commands.report)
app.command()(run_commands.check)
app.command()(explain_commands.explain)
app.command()(compare_commands.release)
app.command()(trend_commands.trend)
app.command()(run_commands.calibrate)
app.command()(run_commands.generate)
app.command()(machine_commands.doctor)
app.command()(machine_commands.selftest)
app.command(name="open")(listing_commands.open_page)
app.add_typer(baseline_commands.baseline, name="baseline")
app.add_typer(listing_commands.runs, name="runs")
app.add_typer(score_commands.scores, name="scores")


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
    from harness.terminal.console import print_line
    from harness.text import redact

    if debug:
        print_line(redact("".join(traceback.format_exception(error))), error=True)
    if isinstance(error, HarnessError):
        print_line(f"error: {redact(str(error))}", error=True)
    else:
        print_line(f"internal error: {type(error).__name__}: {redact(str(error))}", error=True)
        print_line("This is a fault of the harness; run it again with --debug and report what it shows.", error=True)
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
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)  # a second Ctrl-C must not cut short the ending of the children
    raise Interrupted(f"stopped by {signal.Signals(number).name}; give the same command again to go on.")
