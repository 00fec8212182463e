"""What all tests share: the command line run for real, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

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
    """Environment for a command under test: offline, with the planted parts on the path."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": f"{PLANTED}:{ROOT}", **variables}


@pytest.fixture
def run_harness(tmp_path: Path) -> RunHarness:
    """The command line in a fresh process, with ``tmp_path`` as its working folder."""

    def run(*words: str | Path, **variables: str) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", "harness", *map(str, words)],
            cwd=tmp_path,
            env=environment(**variables),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr)

    return run


class WriteScenario(Protocol):
    """Writes a scenario file."""

    def __call__(self, **changes: Any) -> Path: ...


@pytest.fixture
def write_scenario(tmp_path: Path) -> WriteScenario:
    """A scenario on the embedded model that is as small as it can be; keywords replace its fields."""

    def write(**changes: Any) -> Path:
        model = {"source": "builtin:tiny-deepgen", "trust_remote_code": True, **changes.pop("model", {})}
        scenario = {
            "name": "small",
            "summary": "As small as it can be.",
            "task": "text_to_image",
            "model": model,
            "cases": [{"id": "circle", "prompt": "a blue circle"}],
            "seeds": [42],
            "width": 64,
            "height": 64,
            "steps": 2,
            "repeats": {"in_process": 2, "processes": 1},
            "limits": [
                {"metric": "identical", "scope": "repeat", "equals": 1, "reason": "The test says so, and nothing else."}
            ],
            **changes,
        }
        path = tmp_path / f"{scenario['name']}.yaml"
        path.write_text(json.dumps(scenario), encoding="utf-8")
        return path

    return write


def job_folder(runs: Path) -> Path:
    """The only job folder below a runs folder."""
    (folder,) = sorted(path for path in runs.iterdir() if path.is_dir())
    return folder


@pytest.fixture
def only_job(tmp_path: Path) -> Any:
    """Finds the only job folder of the working folder."""
    return lambda: job_folder(tmp_path / "runs")
