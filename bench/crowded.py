"""What neighbours on the machine cost: threads that wait for each other, many commands at once, the first command.

Threads: the embedded model in bfloat16 with two OpenMP threads, as the libraries wait by default and as the CPU
backend lets them wait, which each process chooses when it starts, in turns; idle, beside two processes that do nothing
but compute, and beside two others that run the same model and wait in the same way. Commands: many ``harness diff``
started at once, their wall time over their processor time divided by the cores. First command: the scenarios of
``nox -s determinism``, as this machine is, and with its instruction sets for bfloat16 turned off.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from harness import scenario
from harness.backends.cpu import waiting
from harness.host import processor_name
from harness.images import write_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "benchmarks-crowded.md"
QUICK = [f"scenarios/tiny-quick-{task}.yaml" for task in ("t2i", "edit")]
WITHOUT_BFLOAT16 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
DEFAULT, OURS = "by default", "as the harness sets it"
WAYS = (DEFAULT, OURS)
SETS_HOW_TO_WAIT = {"GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY"}
PARTS = ("threads", "commands", "first")
IDLE, COMPUTING, SAME = "idle", "two processes that only compute", "two others with this model"
IDLE_AT_MOST, BUSY_AT_LEAST, CROWD_AT_MOST, FIRST_AT_MOST_SECONDS = 1.05, 5.0, 1.5, 120


def main() -> int:
    """Measure, print, write."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rounds", type=int, default=5, help="turns of each way of waiting")
    words.add_argument("--calls", type=int, default=5, help="images in one turn")
    words.add_argument("--commands", type=int, default=200, help="commands at once")
    words.add_argument("--quick", action="store_true", help="one turn, few commands, nothing is written")
    words.add_argument("--only", choices=PARTS, help="only this part; nothing is written")
    words.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    words.add_argument("--neighbour", choices=WAYS, help=argparse.SUPPRESS)
    options = words.parse_args()
    if options.neighbour:
        choose_to_wait(options.neighbour)
        keep_making_images()
    if options.child:
        choose_to_wait(options.child)
        sys.stdout.write(json.dumps(seconds_per_image(options.calls)) + "\n")
        return 0
    rounds, calls, commands = (1, 1, 4) if options.quick else (options.rounds, options.calls, options.commands)
    parts: dict[str, Callable[[], list[str]]] = {
        "threads": partial(threads, rounds, calls),
        "commands": partial(crowd, commands),
        "first": first_command,
    }
    chosen = [options.only] if options.only else PARTS
    text = "\n".join([*header(), *(line for name in chosen for line in parts[name]())]) + "\n"
    sys.stdout.write(text)
    if not (options.quick or options.only):
        OUT.write_text(text, encoding="utf-8")
    return 0


def header() -> list[str]:
    """What the machine is."""
    cores = len(os.sched_getaffinity(0))
    return [
        "# What neighbours cost",
        "",
        f"Written by `nox -s bench -- crowded` on {processor_name()}, {platform.machine()}, {cores} cores usable.",
        "",
    ]


def threads(rounds: int, calls: int) -> list[str]:
    """Two threads that wait in either way, idle and beside neighbours, in turns."""
    measured: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for neighbours in (IDLE, COMPUTING, SAME):
            for way in WAYS:
                with busy(neighbours, way):
                    measured.setdefault((neighbours, way), []).append(child_seconds(way, calls))
    lines = [
        f"## Threads: seconds for an image with two threads, medians of {rounds} turns of {calls} images",
        "",
        f"| neighbours | {' | '.join(f'waiting {way}' for way in WAYS)} | ratio | wanted |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for neighbours, wanted in (
        (IDLE, f"the second over the first at most {IDLE_AT_MOST}"),
        (COMPUTING, f"the first over the second at least {BUSY_AT_LEAST:g}"),
        (SAME, f"the first over the second at least {BUSY_AT_LEAST:g}"),
    ):
        default, ours = (statistics.median(measured[neighbours, way]) for way in WAYS)
        ratio = ours / default if neighbours == IDLE else default / ours
        lines.append(f"| {neighbours} | {default:.3f} | {ours:.3f} | {ratio:.2f} | {wanted} |")
    return [*lines, ""]


@contextmanager
def busy(neighbours: str, way: str) -> Iterator[None]:
    """Two neighbours of a kind, at work before anything is measured; none for ``IDLE``."""
    words = {COMPUTING: ["-c", "print(flush=True)\nwhile True: pass"], SAME: [str(Path(__file__)), "--neighbour", way]}
    running = [
        subprocess.Popen(
            [sys.executable, *words[neighbours]],
            env=environment(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2 * (neighbours != IDLE))
    ]
    try:
        for neighbour in running:
            if neighbour.stdout is not None:
                neighbour.stdout.readline()
        yield
    finally:
        for neighbour in running:
            neighbour.kill()
            neighbour.communicate()


def environment() -> dict[str, str]:
    """Variables of a process with two threads, which says nothing of how they wait."""
    cleared = {name: value for name, value in os.environ.items() if name not in SETS_HOW_TO_WAIT}
    return {**cleared, "OMP_NUM_THREADS": "2", "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}


def choose_to_wait(way: str) -> None:
    """Set how threads wait, before torch is imported and reads it: our way depends on what the cores do now."""
    if way == OURS:
        os.environ.update(waiting())


def child_seconds(way: str, calls: int) -> float:
    """Seconds for an image in a fresh process."""
    words = [sys.executable, str(Path(__file__)), "--child", way, "--calls", str(calls)]
    done = subprocess.run(words, env=environment(), cwd=ROOT, check=True, capture_output=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def seconds_per_image(calls: int) -> float:
    """Median seconds of a call of the pipeline in this process, after one that is not counted."""
    times = []
    with image_maker() as make_image:
        for _ in range(calls + 1):
            begin = time.perf_counter()
            make_image()
            times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def keep_making_images() -> NoReturn:
    """Be a neighbour: say so when the first image is made, and go on until killed."""
    with image_maker() as make_image:
        make_image()
        sys.stdout.write("at work\n")
        sys.stdout.flush()
        while True:
            make_image()


@contextmanager
def image_maker() -> Iterator[Callable[[], object]]:
    """The embedded model, loaded: a call makes one image."""
    from harness import plugins
    from harness.records import SwitchMode
    from harness.run.sources import prepare

    question = scenario.load(ROOT / "scenarios" / "tiny-t2i.yaml")
    plan = scenario.plan(question, question.scenario.arms[1], cases=["red-star"], seeds=[42], device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HF_MODULES_CACHE"] = f"{scratch}/modules"
        model = prepare(question.model_source, plan.model, Path(scratch) / "model")
        device = plugins.load("backends", "cpu").open(0, SwitchMode.AS_SHIPPED)
        pipe = vars(plugins.load("adapters", "deepgen").load(model.folder, plan.model, device))["_pipe"]
        yield partial(pipe, prompt="a photo of a red star", height=128, width=128, num_inference_steps=20, seed=42)


def crowd(count: int) -> list[str]:
    """Many commands at once, none of which may hinder the others beyond its share of the cores."""
    with tempfile.TemporaryDirectory() as scratch:
        random = np.random.default_rng(0)
        image = random.integers(0, 256, (512, 512, 3), dtype=np.uint8)
        paths = [Path(scratch) / "actual.png", Path(scratch) / "expected.png"]
        write_picture(paths[0], image)
        write_picture(paths[1], image ^ random.integers(0, 4, image.shape, dtype=np.uint8))
        words = [sys.executable, "-m", "harness", "diff", *map(str, paths)]
        subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # what is compiled once is not measured
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        running = [subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(count)]
        codes = {process.wait() for process in running}
        wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    ratio = wall / (processor / len(os.sched_getaffinity(0)))
    return [
        f"## Commands: {count} `harness diff` of two 512 x 512 images at once",
        "",
        "| seconds | processor seconds | exit codes | seconds over their share of the cores | wanted |",
        "| ---: | ---: | --- | ---: | --- |",
        f"| {wall:.0f} | {processor:.0f} | {sorted(codes)} | {ratio:.2f} | at most {CROWD_AT_MOST:g} |",
        "",
    ]


def first_command() -> list[str]:
    """What ``nox -s determinism`` runs, on this machine and without its instructions for bfloat16."""
    lines = [
        "## The first command, after installation",
        "",
        "| machine | seconds | exit code | wanted |",
        "| --- | ---: | ---: | --- |",
    ]
    for name, variables in (("as it is", {}), ("as if without bfloat16 instructions", WITHOUT_BFLOAT16)):
        with tempfile.TemporaryDirectory() as scratch:
            words = [sys.executable, "-m", "harness", "check", *QUICK, "--runs-dir", scratch]
            begin = time.monotonic()
            done = subprocess.run(words, cwd=ROOT, env=os.environ | variables, check=False, capture_output=True)
            seconds = time.monotonic() - begin
        lines.append(f"| {name} | {seconds:.0f} | {done.returncode} | at most {FIRST_AT_MOST_SECONDS} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
