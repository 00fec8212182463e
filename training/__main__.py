"""``python -m training``: trains, goes on, ends, writes a checkpoint folder and scores it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from harness.files import write_text
from training.trainer import ask_to_finish, take_back_tail, train

STATE = Path(__file__).parent / "state"
SCENARIOS = Path(__file__).parents[1] / "scenarios"
WAIT_SECONDS = 30.0
PROMPTS, SEEDS = 26, 3
"""Held-out prompts of each kind that a checkpoint is scored on, and pictures of each."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
State = Annotated[Path, typer.Option(help="Folder of everything that training keeps.")]
Threads = Annotated[int, typer.Option(help="Threads of each process.")]
Device = Annotated[str, typer.Option(help="A device of torch: cpu, cuda, npu.")]


@app.command(name="all")
def train_all(state: State = STATE, threads: Threads = 1, device: Device = "cpu") -> None:
    """Train autoencoder and language model side by side, then the transformer until it is told to finish."""
    from training.stages import SIDE_BY_SIDE, STAGES

    register_process(state)
    words = ["--state", str(state), "--device", device]
    side_by_side = [_start(name, words, threads) for name in SIDE_BY_SIDE]
    codes = [child.wait() for child in side_by_side]
    if any(codes):
        raise typer.Exit(1)
    raise typer.Exit(_start(STAGES[-1], words, threads).wait())


@app.command()
def stage(name: str, state: State = STATE, threads: Threads = 1, device: Device = "cpu") -> None:
    """Train one stage, or go on with it; wait where another process trains it."""
    register_process(state)
    os.nice(19)
    import torch

    from training.stages import make_stage

    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    while True:
        try:
            train(make_stage(name, state, device), state / name)
            return
        except BlockingIOError:
            time.sleep(WAIT_SECONDS)


@app.command()
def finish(name: str, state: State = STATE) -> None:
    """Let a stage begin its tail of falling rates; what it was before is kept."""
    ask_to_finish(state / name)


@app.command()
def go_on(name: str, state: State = STATE) -> None:
    """Take back the tail of a stage, so that it can be trained further at full rate."""
    take_back_tail(state / name)


@app.command()
def export(folder: Path, state: State = STATE) -> None:
    """Write a checkpoint folder from the averaged weights as they are now."""
    from training.export import write_checkpoint
    from training.stages import trained_pipeline

    write_checkpoint(trained_pipeline(state), folder)


@app.command()
def embed(folder: Path) -> None:
    """Make a checkpoint folder the product's builtin:tiny-deepgen, and pin its digest."""
    from training.embed import embed

    sys.stdout.write(f"{embed(folder)}\n")


@app.command()
def card(folder: Path, out: Path, state: State = STATE) -> None:
    """Score a checkpoint folder as the command score does, and write its model card."""
    import torch

    from training.embed import card
    from training.score import score_checkpoint
    from training.stages import STAGES
    from training.trainer import steps_taken

    torch.set_num_threads(1)
    steps = {name: steps_taken(state / name) for name in STAGES}
    write_text(out, card(folder, steps, score_checkpoint(folder, prompts=PROMPTS, seeds=SEEDS)))


@app.command()
def sheet(folder: Path, out: Path, columns: Annotated[int, typer.Option(help="Prompts of each kind.")] = 6) -> None:
    """Draw held-out prompts of every kind with a checkpoint folder into one PNG, and print the prompts."""
    import torch

    from harness.images import write_picture
    from training.sheet import sheet

    torch.set_num_threads(1)
    page, words = sheet(folder, columns)
    write_picture(out, page)
    sys.stdout.write("\n".join(words) + "\n")


@app.command()
def parity(out: Path = SCENARIOS / "tiny-parity.yaml") -> None:
    """Write the scenario of many prompts that compares the scores of two arms."""
    from training.parity import scenario

    write_text(out, scenario())


@app.command()
def score(
    folder: Path,
    prompts: Annotated[int, typer.Option(help="Held-out prompts of each kind.")] = PROMPTS,
    seeds: Annotated[int, typer.Option(help="Pictures of each prompt.")] = SEEDS,
    threads: Threads = 1,
) -> None:
    """Draw held-out prompts with a checkpoint folder, read the pictures, and print the table."""
    import torch

    from training.score import score_checkpoint, table

    torch.set_num_threads(threads)
    sys.stdout.write(table(score_checkpoint(folder, prompts=prompts, seeds=seeds)))


def register_process(state: Path) -> None:
    """Add this process to the list of those that train, one id a line, and take the ended ones off."""
    state.mkdir(parents=True, exist_ok=True)
    path = state / "pids"
    with (state / "pids.lock").open("w") as lock:  # two stages start at the same moment
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = path.read_text(encoding="utf-8").split() if path.exists() else []
        alive = [pid for pid in known if Path(f"/proc/{pid}").exists() and pid != str(os.getpid())]
        write_text(path, "\n".join([*alive, str(os.getpid())]) + "\n")


def _start(name: str, words: list[str], threads: int) -> subprocess.Popen[bytes]:
    # Threads that spin while they wait take the time of whoever else works on the machine.
    quiet = {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(threads), "KMP_BLOCKTIME": "0"}
    command = [sys.executable, "-m", "training", "stage", name, *words, "--threads", str(threads)]
    return subprocess.Popen(command, env={**os.environ, **quiet})


if __name__ == "__main__":
    app()
