"""What rendering a report of many cases costs: seconds, peak memory, and sizes of the files.

A job of as many cases is stored first, which is not measured. Then ``harness report`` renders it in a process of its
own: two arms, two processes each; a third of the cases equal, a third near, a third beyond the limit.
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

from bench.comparator import circumstances

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "benchmarks-report.md"
MOST_SECONDS = 20
"""Longest that a thousand cases may take with two cores."""


@dataclass(frozen=True)
class Rendered:
    """One rendering."""

    seconds: float
    peak_bytes: int
    sizes: dict[str, int]
    """Bytes of each file, by name."""


def main() -> int:
    """Measure, print, write."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--cases", type=int, default=1000, help="cases of the job")
    words.add_argument("--rounds", type=int, default=3, help="how often it is rendered")
    words.add_argument("--formats", default="html,md", help="what is rendered")
    words.add_argument("--out", type=Path, help="file to write; docs/benchmarks-report.md for 1,000 cases")
    options = words.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        comparisons = stored(Path(scratch) / "job", options.cases)
        found = [rendered(comparisons, Path(scratch) / "out", options.formats) for _ in range(options.rounds)]
    text = page(found, options.cases)
    sys.stdout.write(text)
    if out := options.out or (OUT if options.cases == 1000 else None):  # noqa: PLR2004 - what a release compares
        out.write_text(text, encoding="utf-8")
    return 0


def stored(folder: Path, cases: int) -> list[Path]:
    """The job whose report is rendered."""
    sys.path.insert(0, str(ROOT))
    from tests.render import many_cases

    return many_cases.stored(folder, cases)


def rendered(comparisons: list[Path], out: Path, formats: str) -> Rendered:
    """Render once, in a process of its own."""
    words = [sys.executable, "-m", "harness", "report", *map(str, comparisons), "--format", formats, "--out", str(out)]
    begin = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begin
    if child.returncode:
        raise RuntimeError(f"harness report ended with {child.returncode}")
    sizes = {path.name: path.stat().st_size for path in sorted(out.iterdir())}
    return Rendered(seconds=seconds, peak_bytes=usage.ru_maxrss * 1024, sizes=sizes)


def page(found: list[Rendered], cases: int) -> str:
    """The whole as Markdown."""
    seconds = statistics.median(each.seconds for each in found)
    about = (
        f"Written by `nox -s bench -- report`. {cases:,} cases of 96 x 96, two arms, two processes each; a third of "
        "the cases equal, a third near, a third beyond the limit. `harness report` renders them in a process of its "
        f"own, the loading of stored records included; rounds: {len(found)}."
    )
    lines = [
        "# What a report of many cases costs",
        "",
        about,
        "",
        *(f"- {name}: {value}" for name, value in circumstances(None).items() if name != "not installed, so left out"),
        "",
        "| measure | value |",
        "| :--- | ---: |",
        f"| median seconds | {seconds:.1f} |",
        f"| all rounds, seconds | {', '.join(f'{each.seconds:.1f}' for each in found)} |",
        f"| peak memory | {max(each.peak_bytes for each in found) / 2**20:.0f} MiB |",
        *(f"| {name} | {size / 1e6:.2f} MB |" for name, size in found[-1].sizes.items()),
        "",
        f"Wanted: no more than {MOST_SECONDS} s for 1,000 cases with two cores.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
