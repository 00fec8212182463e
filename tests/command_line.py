"""The command line run for real, in a process of its own, with the planted parts on its path."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parents[1]
PLANTED = ROOT / "tests" / "planted"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


class RunHarness(Protocol):
    """Runs ``harness`` with words and extra environment variables."""

    def __call__(self, *words: str | Path, **variables: str) -> Ended: ...


def environment(**variables: str) -> dict[str, str]:
    """Environment for a command under test: offline, with the planted parts before what is on the path already."""
    path = os.pathsep.join(filter(None, [str(PLANTED), str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": path, **variables}


def run_command(folder: Path, *words: str | Path, **variables: str) -> Ended:
    """Run ``harness`` in a fresh process, with ``folder`` as its working folder."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", *map(str, words)],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=300,
        check=False,
    )
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


class WriteScenario(Protocol):
    """Writes a scenario file; keywords replace its fields."""

    def __call__(self, **changes: Any) -> Path: ...


def job_folder(runs: Path) -> Path:
    """The only job folder below a runs folder."""
    (folder,) = sorted(path for path in runs.iterdir() if path.is_dir())
    return folder
