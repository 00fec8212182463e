"""Every benchmark still runs, in its shortest form, and prints what it measured; nobody judges that here."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.command_line import ROOT, environment, patience_seconds

if TYPE_CHECKING:
    from pathlib import Path

SHORTEST = {
    "overhead": (["--rounds", "1", "--calls", "1"], r'"ratio, median of pairs": [\d.]+'),
    "comparator": (["--quickest"], r"\| harness, all metrics \| [\d.]+"),
    "folders": (["--pairs", "4"], r"\| 1 \| [\d.]+ \|"),
    "report": (["--cases", "3", "--rounds", "1"], r"\| median seconds \| [\d.]+ \|"),
    "model": (["--rounds", "1", "--threads", "1"], r'"machine": "'),
    "crowded": (["--quick", "--only", "commands"], r"\| \d+ \| \d+ \| \[0\] \|"),
    "explain": (["--rounds", "1", "--heads", "1", "--blocks", "1", "--side", "32"], r"\| 64 \| [\d.]+ \| [\d.]+ \|"),
    "trace_size": (["--sides", "128"], r"\| all \| [\d.]+ \([\d.]+\) \|"),
}
"""For each benchmark, words that make it shortest, and a figure that stands in what it prints."""


def run(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"bench.{name}", *words],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=False,
    )


def written() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (ROOT / "docs").glob("benchmarks*.md")}


def test_every_benchmark_has_its_shortest_form() -> None:
    assert set(SHORTEST) == {path.stem for path in (ROOT / "bench").glob("*.py")}


@pytest.mark.parametrize("name", SHORTEST)
def test_a_benchmark_runs_and_prints_its_figures(name: str) -> None:
    words, figure = SHORTEST[name]
    before = written()
    done = run(name, *words)
    assert done.returncode == 0, done.stderr
    assert re.search(figure, done.stdout), done.stdout
    assert {path: path.read_bytes() for path in (ROOT / "docs").glob("benchmarks*.md")} == before, (
        "a try writes nothing"
    )


def test_a_benchmark_that_cannot_run_says_so() -> None:
    assert run("folders", "--pairs", "none").returncode == 2
    assert run("crowded", "--only", "nothing").returncode == 2
