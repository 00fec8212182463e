"""What a comparison costs beside other tools: one table, made in one run on one machine.

All contenders take turns, so that a machine that slows down slows them all; the first turn is not counted. Printed are
medians and, as the figure to go by, the median of each turn's ratio to the harness. Whoever is not installed is left
out, and the table says so.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import skimage.data
import skimage.io
import skimage.metrics

from harness import plugins
from harness.compare.comparator import measure
from harness.compare.hints import hints
from harness.images import read_picture, write_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

OUT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
PAUSE_SECONDS = 0.2
"""Before each turn: threads of the one before it keep waiting for work on a core of their own for a while."""
OURS = "harness, all metrics"
OURS_ALONE = "harness, all metrics, one thread"
DECODING = "harness, decoding both files alone"
PEER = "scikit-image, MSE + PSNR + SSIM"
ALLOWED = 1.0
"""Most that all metrics of the harness may take, as a share of what scikit-image takes for three."""
JUDGED = "1024 x 1024, differing, from arrays"

TRIED = """
## What was tried, and where the floor is

Measured once on the 2-core AMD EPYC (Zen 4) on which the aims were set, for a differing pair of 1024 x 1024, one
thread, in milliseconds: sum, difference and squares 0.9; weighted means along the rows 7.6 and down the columns 5.3;
the quotient 1.9; counting differences 2.4; the fullest window 1.3; copies that nobody can change 1.1 (none for pictures
that were read from files). The two passes of the filter need about 5.5e7 vector operations on 8 float64; a bare loop in
registers does 7.1e9 of them a second there, so 7.7 ms is the floor of these two on one thread, and 3.9 ms on two.

- Rows in strips of 256 pixels, so that 16 rows of four fields stay in the cache: 18.9 to 17.7 ms.
- Four rows of the map at once from the fourteen they share, instead of two from twelve: 17.7 to 15.9 ms.
- Cells summed over four rows before they are summed along them: 1.6 ms of adding up tiles became 0.4 ms.
- Threads that wait for the next pair instead of new ones for each pair.
- Explicit fused multiply-add in both passes: less than a tenth in one run; left out, as processors without it would
  become very slow.
- Plain numpy with the same bits: some forty times the processor time; all metrics of a pair take eight times as long.
  A process begins with it and loads the compiler where that pays.
- Decoding PNG is the larger part of comparing files; nothing here makes the decoder faster.
"""

ODIFF_CODES = {0, 22}
"""How it ends when pictures are equal, and when pixels differ."""

PIXELMATCH = """
import fs from "node:fs";
import readline from "node:readline";
import {PNG} from "pngjs";
import pixelmatch from "pixelmatch";
const [actual, expected] = process.argv.slice(-2);
for await (const _ of readline.createInterface({input: process.stdin})) {
  const begin = performance.now();
  const [one, other] = [actual, expected].map(path => PNG.sync.read(fs.readFileSync(path)));
  const found = pixelmatch(one.data, other.data, null, one.width, one.height, {threshold: 0.1});
  console.log(JSON.stringify([(performance.now() - begin) / 1000, `${found} pixels differ`]));
}
"""


@dataclass(frozen=True)
class Contender:
    """Somebody who compares."""

    name: str
    turn: Callable[[], tuple[float, str]]
    """Compare once; gives the seconds and what was found, in short."""


@dataclass(frozen=True)
class Row:
    """What a contender took."""

    name: str
    median: float
    ratio: float
    found: str


def main() -> int:
    """Measure, print, write, and hold the one ratio that is asserted."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rounds", type=int, default=15, help="turns of every contender")
    words.add_argument("--quick", action="store_true", help="3 turns; nothing is asserted, or written without --out")
    words.add_argument("--quickest", action="store_true", help="as --quick, with one turn of small images")
    words.add_argument("--out", type=Path, help="file to write; docs/benchmarks.md by default")
    words.add_argument("--peers", type=Path, help="folder with node_modules: pixelmatch, pngjs, odiff-bin")
    options = words.parse_args()
    # After everything else: what is installed for the harness itself comes first.
    sys.path += [str(options.peers)] if options.peers else []
    quick = options.quick or options.quickest
    sides, rounds = ((64,), 1) if options.quickest else ((512, 1024), 3 if options.quick else options.rounds)
    tables = {
        f"{side} x {side}, {pair}, {place}": table
        for side, pair in product(sides, ("differing", "identical"))
        for place, table in tables_of(side, pair, rounds, options.peers).items()
    }
    text = page(tables, options.peers, rounds)
    sys.stdout.write(text)
    if out := options.out or (None if quick else OUT):
        out.write_text(text, encoding="utf-8")
    if quick:
        return 0
    (share,) = (1 / row.ratio for row in tables[JUDGED] if row.name == PEER)
    if share > ALLOWED:
        sys.stderr.write(f"{JUDGED}: {OURS} took {share:.2f} of the time of {PEER}; allowed is {ALLOWED:.2f}.\n")
        return 1
    return 0


def tables_of(side: int, pair: str, rounds: int, peers: Path | None) -> dict[str, list[Row]]:
    """The tables for one pair of pictures: from arrays, and from PNG files."""
    expected = np.asarray(cv2.resize(skimage.data.astronaut(), (side, side)), dtype=np.uint8)
    noise = np.random.default_rng(0).normal(0, 4, expected.shape)
    actual = np.clip(np.rint(expected + noise), 0, 255).astype(np.uint8) if pair == "differing" else expected.copy()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as children:
        files = Path(scratch) / "actual.png", Path(scratch) / "expected.png"
        for path, picture in zip(files, (actual, expected), strict=True):
            write_picture(path, picture)
        return {
            "from arrays": taken(of_arrays(actual, expected), rounds),
            "from PNG files": taken(of_files(files, peers, children), rounds),
        }


def taken(contenders: Sequence[Contender], rounds: int) -> list[Row]:
    """Let everybody take turns, each round beginning with another one."""
    found = {each.name: each.turn()[1] for each in contenders}
    seconds: dict[str, list[float]] = {each.name: [] for each in contenders}
    for start in range(rounds):
        for number in range(len(contenders)):
            each = contenders[(start + number) % len(contenders)]
            time.sleep(PAUSE_SECONDS)
            seconds[each.name].append(each.turn()[0])
    return [
        Row(
            name=name,
            median=statistics.median(times),
            ratio=statistics.median(mine / ours for mine, ours in zip(times, seconds[OURS], strict=True)),
            found=found[name],
        )
        for name, times in seconds.items()
    ]


# --- contenders ------------------------------------------------------------------------------------------------------


def of_arrays(actual: Picture, expected: Picture) -> list[Contender]:
    """Who compares decoded pictures."""
    found = [
        timed(OURS, lambda: by_harness(actual, expected)),
        timed(OURS_ALONE, lambda: with_one_thread(lambda: by_harness(actual, expected))),
        timed("harness, hints", lambda: ", ".join(hint.name for hint in hints(actual, expected)) or "no hint"),
        timed(PEER, lambda: by_skimage(actual, expected)),
        timed("OpenCV, PSNR", lambda: f"{cv2.PSNR(actual, expected):.4f} dB"),
    ]
    if find_spec("torchmetrics"):
        found.append(timed("torchmetrics, MSE + PSNR + SSIM", lambda: by_torchmetrics(actual, expected)))
    return found


def of_files(files: tuple[Path, Path], peers: Path | None, children: ExitStack) -> list[Contender]:
    """Who compares files; the floor is the harness's own decoding of both."""

    def decoded() -> list[Picture]:
        return [read_picture(path) for path in files]

    def by_opencv() -> str:
        actual, expected = (np.asarray(cv2.imread(str(path))) for path in files)
        return f"{cv2.PSNR(actual, expected):.4f} dB"

    found = [
        timed(DECODING, lambda: f"{len(decoded())} pictures"),
        timed(OURS, lambda: by_harness(*decoded())),
        timed(PEER, lambda: by_skimage(*(skimage.io.imread(path) for path in files))),
        timed("OpenCV, PSNR", by_opencv),
    ]
    if find_spec("torchmetrics"):
        # It has no decoder of its own.
        found.append(timed("torchmetrics, MSE + PSNR + SSIM", lambda: by_torchmetrics(*decoded())))
    modules = peers / "node_modules" if peers else None
    if modules and shutil.which("node") and (modules / "pixelmatch").is_dir():
        found.append(Contender("pixelmatch, count of pixels", node(modules.parent, files, children)))
    # The program itself: the command beside it starts node first.
    program = next(modules.glob("@odiff/*/odiff"), None) if modules else None
    if program:
        odiff = [str(program), *map(str, files)]
        found.append(timed("odiff, count of pixels, with the start of its process", lambda: by_odiff(odiff)))
    return found


def timed(name: str, compare: Callable[[], str]) -> Contender:
    """A contender in this process, or one whose process is part of its time."""

    def turn() -> tuple[float, str]:
        begin = time.perf_counter()
        found = compare()
        return time.perf_counter() - begin, found

    return Contender(name, turn)


def by_harness(actual: Picture, expected: Picture) -> str:
    """All metrics there are, as in every report."""
    values = {
        each.metric: each.value for each in measure(actual, expected, subject="image", metrics=plugins.names("metrics"))
    }
    return f"{values['psnr_db']:.4f} dB, SSIM {values['ssim']:.6f}, and {len(values) - 2} more"


def with_one_thread(compare: Callable[[], str]) -> str:
    """The same work by the calling thread alone."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        return compare()
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def by_skimage(actual: Picture, expected: Picture) -> str:
    """Three metrics, SSIM as Wang et al. define it."""
    skimage.metrics.mean_squared_error(actual, expected)
    with np.errstate(divide="ignore"):
        psnr = skimage.metrics.peak_signal_noise_ratio(expected, actual, data_range=255)
    ssim = skimage.metrics.structural_similarity(
        actual,
        expected,
        data_range=255,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return f"{psnr:.4f} dB, SSIM {ssim:.6f}"


def by_torchmetrics(actual: Picture, expected: Picture) -> str:
    """Three metrics in float32; its SSIM pads the borders, so that its value is another one."""
    import torch
    from torchmetrics.functional import mean_squared_error
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    mine, theirs = (torch.tensor(each).permute(2, 0, 1)[None].float().contiguous() for each in (actual, expected))
    mean_squared_error(mine, theirs)
    psnr = peak_signal_noise_ratio(mine, theirs, data_range=255.0)
    ssim = structural_similarity_index_measure(mine, theirs, data_range=255.0)
    return f"{float(psnr):.4f} dB, SSIM {float(ssim):.6f}"


def node(folder: Path, files: tuple[Path, Path], children: ExitStack) -> Callable[[], tuple[float, str]]:
    """Turns of pixelmatch in one warm process, which times them itself."""
    words = ["node", "--input-type=module", "--eval", PIXELMATCH, "--", *map(str, files)]
    child = children.enter_context(
        subprocess.Popen(words, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    )
    children.callback(child.kill)

    def turn() -> tuple[float, str]:
        if child.stdin is None or child.stdout is None:
            raise RuntimeError("node has no pipes")
        child.stdin.write("\n")
        child.stdin.flush()
        seconds, found = json.loads(child.stdout.readline())
        return float(seconds), str(found)

    return turn


def by_odiff(words: list[str]) -> str:
    """One call of the program."""
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode not in ODIFF_CODES:
        raise RuntimeError(f"odiff ended with {ended.returncode}: {ended.stderr}")
    counted = [word for word in (ended.stdout + ended.stderr).split() if word.isdigit()]
    return f"{counted[0] if ended.returncode else 0} pixels differ"


# --- the page --------------------------------------------------------------------------------------------------------


def page(tables: dict[str, list[Row]], peers: Path | None, rounds: int) -> str:
    """The whole as Markdown."""
    about = (
        f"Written by `nox -s bench`. Medians of {rounds} turns that all contenders took one after another in one run; "
        "a ratio is the median of the turns' ratios to the harness, above 1 for who is slower. Contenders measure "
        "different things, as their names say: only the row of all metrics makes everything a report needs. An "
        "identical pair is known by its bytes, so nothing is measured."
    )
    lines = ["# What a comparison costs", "", about, ""]
    lines += [f"- {name}: {value}" for name, value in circumstances(peers).items()]
    lines += ["", *aims(tables)]
    for title, rows in tables.items():
        lines += ["", f"## {title}", "", "| contender | median | ratio | finds |", "| --- | ---: | ---: | --- |"]
        lines += [f"| {row.name} | {row.median * 1000:.2f} ms | {row.ratio:.2f} | {row.found} |" for row in rows]
    return "\n".join(lines) + "\n" + TRIED


def aims(tables: dict[str, list[Row]]) -> list[str]:
    """What was wanted of a pair of 1024 x 1024, and what was found; every figure is a ratio of medians of this run.

    Images of another size, which only a try has, are shown in the same way.
    """
    size = JUDGED.partition(",")[0] if JUDGED in tables else next(iter(tables)).partition(",")[0]

    def share(title: str, slower: str, faster: str) -> float:
        medians = {row.name: row.median for row in tables[f"{size}, {title}"]}
        return medians[slower] / medians[faster]

    rows = [
        ("differing, as fast as scikit-image", share("differing, from arrays", PEER, OURS), "30, at least 15"),
        ("differing, one thread", share("differing, from arrays", PEER, OURS_ALONE), "15, at least 8"),
        ("identical", share("identical, from arrays", PEER, OURS), "at least 100"),
        (
            "from PNG files, of the decoding alone",
            share("differing, from PNG files", OURS, DECODING),
            "1.25, at most 1.5",
        ),
    ]
    return [
        f"| {size} | times | wanted |",
        "| --- | ---: | --- |",
        *(f"| {what} | {times:.2f} | {wanted} |" for what, times, wanted in rows),
    ]


def circumstances(peers: Path | None) -> dict[str, str]:
    """Machine, threads and versions."""
    packages = ("numpy", "opencv-python-headless", "numba", "pillow", "scikit-image", "torch", "torchmetrics")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages if installed(name)]
    absent = [name for name in ("torchmetrics",) if not find_spec(name)]
    for name in ("pixelmatch", "odiff-bin"):
        record = peers / "node_modules" / name / "package.json" if peers else None
        if record and record.exists() and shutil.which("node"):
            versions.append(f"{name} {json.loads(record.read_text(encoding='utf-8'))['version']}")
        else:
            absent.append(name)
    threads = {"OpenCV": cv2.getNumThreads(), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set")}
    if torch := sys.modules.get("torch"):
        threads["torch"] = torch.get_num_threads()
    found: dict[str, Any] = {
        "machine": f"{processor()}, {platform.machine()}, {len(os.sched_getaffinity(0))} cores usable",
        "threads": ", ".join(f"{name} {count}" for name, count in threads.items()),
        "versions": f"Python {platform.python_version()}, {', '.join(versions)}",
    }
    return found | ({"not installed, so left out": ", ".join(absent)} if absent else {})


def installed(name: str) -> bool:
    """Whether a distribution is there."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def processor() -> str:
    """Product name of the processor, where the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "processor")


if __name__ == "__main__":
    sys.exit(main())
