"""What two folders of many pictures cost: one process against one for each core, and whether memory stays flat.

A few pairs of pictures are linked again and again under new names, and ``harness diff`` compares them all, each way in
turns. Memory is that of the whole family of processes, read while it works.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from bench.comparator import circumstances
from harness.images import write_picture

OUT = Path(__file__).parents[1] / "docs" / "benchmarks-folders.md"
DISTINCT = 4
SIDE = 512
LEAST_GAIN = 1.7
"""How much faster one process for each of two cores is meant to be than one process."""
MOST_GROWTH = 1.05
"""How far the peak of the last tenth may lie above that of the first."""


@dataclass(frozen=True)
class Passed:
    """One comparison of both folders."""

    jobs: int
    seconds: float
    first_bytes: int
    """Peak while the first tenth of the pairs went by."""
    last_bytes: int
    """Peak while the last tenth went by."""


def main() -> int:
    """Measure, print, write."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--pairs", type=int, default=10_000, help="pairs in the folders")
    words.add_argument("--rounds", type=int, default=1, help="turns of each way")
    words.add_argument("--out", type=Path, help="file to write; docs/benchmarks-folders.md for 10,000 pairs")
    options = words.parse_args()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as scratch:
        folders = linked(Path(scratch), options.pairs)
        passed(folders, 1, Path(scratch), 2 * DISTINCT)  # what is compiled and cached is not measured
        found = [
            passed(folders, jobs, Path(scratch), options.pairs) for _ in range(options.rounds) for jobs in (1, cores)
        ]
    text = page(found, options.pairs)
    sys.stdout.write(text)
    if out := options.out or (OUT if options.pairs >= 10_000 else None):  # noqa: PLR2004 - what a release compares
        out.write_text(text, encoding="utf-8")
    return 0


def linked(scratch: Path, pairs: int) -> tuple[Path, Path]:
    """Two folders of so many names for a few pairs of pictures that differ."""
    expected = np.asarray(cv2.resize(skimage.data.astronaut(), (SIDE, SIDE)), dtype=np.uint8)
    folders = scratch / "actual", scratch / "expected"
    (scratch / "kept").mkdir()
    for number in range(DISTINCT):
        noise = np.random.default_rng(number).normal(0, 4, expected.shape)
        actual = np.clip(np.rint(expected + noise), 0, 255).astype(np.uint8)
        for folder, picture in zip(folders, (actual, expected), strict=True):
            write_picture(scratch / "kept" / f"{folder.name}-{number}.png", picture)
    for folder in folders:
        folder.mkdir()
        for number in range(pairs):
            (folder / f"{number:06}.png").hardlink_to(scratch / "kept" / f"{folder.name}-{number % DISTINCT}.png")
    return folders


def passed(folders: tuple[Path, Path], jobs: int, scratch: Path, pairs: int) -> Passed:
    """Compare both folders once, with so many processes."""
    out = scratch / "lines"
    words = [sys.executable, "-m", "harness", "diff", *map(str, folders), "--jobs", str(jobs), "--out", str(out)]
    begin = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        peaks = {"first": 0, "last": 0}
        while child.poll() is None:
            part = Path(f"{out}.part")
            done = part.stat().st_size if part.exists() else 0
            size = family_bytes(child.pid)
            tenth = line_bytes(part) * pairs / 10
            if done and done <= tenth:
                peaks["first"] = max(peaks["first"], size)
            elif done >= 9 * tenth:
                peaks["last"] = max(peaks["last"], size)
            time.sleep(0.1)
    seconds = time.perf_counter() - begin
    if child.returncode:
        raise RuntimeError(f"harness diff ended with {child.returncode}")
    return Passed(jobs=jobs, seconds=seconds, first_bytes=peaks["first"], last_bytes=peaks["last"])


def line_bytes(part: Path) -> int:
    """Bytes of the first line: lines are equally long but for some digits."""
    try:
        with part.open("rb") as stream:
            return len(stream.readline()) or 1
    except FileNotFoundError:
        return 1


def family_bytes(parent: int) -> int:
    """Resident memory of a process and its children."""
    family = [parent, *children(parent)]
    return sum(resident_bytes(each) for each in family)


def children(parent: int) -> list[int]:
    """Processes that a process started."""
    found: list[int] = []
    for path in Path(f"/proc/{parent}/task").glob("*/children"):
        try:
            found += [int(word) for word in path.read_text(encoding="ascii").split()]
        except OSError:
            continue  # the thread has just ended
    return found


def resident_bytes(process: int) -> int:
    """Resident memory; 0 for a process that has just ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def page(found: list[Passed], pairs: int) -> str:
    """The whole as Markdown."""
    ways = {jobs: [each for each in found if each.jobs == jobs] for jobs in sorted({each.jobs for each in found})}
    seconds = {jobs: statistics.median(each.seconds for each in passes) for jobs, passes in ways.items()}
    cores = max(ways)
    gain = seconds[1] / seconds[cores]
    about = (
        f"Written by `nox -s bench -- folders`. {pairs:,} differing pairs of {SIDE} x {SIDE} PNG (links to {DISTINCT} "
        "pairs), all metrics and hints, a JSON line for each pair. Peaks are of all processes together."
    )
    lines = [
        "# What two folders cost",
        "",
        about,
        "",
        *(f"- {name}: {value}" for name, value in circumstances(None).items() if name != "not installed, so left out"),
        "",
        "| processes | seconds | pairs a second | peak, first tenth | peak, last tenth | growth |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for jobs, passes in ways.items():
        first, last = (max(getattr(each, name) for each in passes) for name in ("first_bytes", "last_bytes"))
        lines.append(
            f"| {jobs} | {seconds[jobs]:.1f} | {pairs / seconds[jobs]:.1f} | {first / 2**20:.0f} MiB | "
            f"{last / 2**20:.0f} MiB | {last / first if first else float('nan'):.3f} |"
        )
    wanted = (
        f"{cores} processes are {gain:.2f} times as fast as one (wanted: {LEAST_GAIN} with two cores); memory may grow "
        f"by a factor of {MOST_GROWTH} at most."
    )
    lines += ["", wanted]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
