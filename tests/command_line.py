"""The command line run for real, in a process of its own, with the planted parts on its path.

A limit in a test is there to end what hangs, never to time it: it is a multiple of what a start takes on this machine,
far above all that a busy one can cost.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tests.starter import Starter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
PLANTED = ROOT / "tests" / "planted"
LEAST_PATIENCE_SECONDS = 300
STARTS = 600
"""So many starts of the harness fit into the time after which a command counts as hung."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def complaints(err: str) -> list[str]:
    """Lines of standard error but those of progress, which any command gives on a machine that is busy enough."""
    return [line for line in err.splitlines() if not re.match(r"harness \w+: .*working for \d", line)]


class RunHarness(Protocol):
    """Runs ``harness`` with words and extra environment variables."""

    def __call__(self, *words: str | Path, **variables: str) -> Ended: ...


def environment(**variables: str) -> dict[str, str]:
    """Environment for a command under test: offline, with the planted parts before what is on the path already."""
    path = os.pathsep.join(filter(None, [str(PLANTED), str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": path, **variables}


@cache
def start_seconds() -> float:
    """Seconds that this machine takes to start the harness, measured once in each test process."""
    begin = time.monotonic()
    words = [sys.executable, "-m", "harness", "list", "metrics"]
    subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, check=True)
    return time.monotonic() - begin


def patience_seconds() -> float:
    """Seconds after which a command under test counts as hung."""
    return max(LEAST_PATIENCE_SECONDS, STARTS * start_seconds())


def growing_limits(starts: int) -> Iterator[int]:
    """Time limits in whole seconds for a test of a hang, which waits for them to end.

    The first is a few starts; on a machine that is too busy to come to the hang within it, the next is twice as long.
    """
    seconds = math.ceil(starts * start_seconds())
    while seconds < patience_seconds():
        yield seconds
        seconds *= 2


def run_command(folder: Path, *words: str | Path, **variables: str) -> Ended:
    """Run ``harness`` in a process of its own, with ``folder`` as its working folder."""
    given, with_variables = list(map(str, words)), environment(**variables)
    starter = starter_of(os.getpid())
    if starter.may_start(with_variables):
        code, out, err = starter.run(given, folder, with_variables, patience_seconds())
    else:
        done = subprocess.run(
            [sys.executable, "-m", "harness", *given],
            cwd=folder,
            env=with_variables,
            capture_output=True,
            timeout=patience_seconds(),
            check=False,
        )
        code, out, err = done.returncode, done.stdout, done.stderr
    return Ended(code=code, out=_text(out), err=_text(err))


@cache
def starter_of(process: int) -> Starter:
    """What starts the commands of a test process; its id is given because a forked one needs a starter of its own."""
    del process
    return Starter(environment())


def _text(written: bytes) -> str:
    return written.decode("utf-8", errors="replace").replace("\r\n", "\n")


class WriteScenario(Protocol):
    """Writes a scenario file; keywords replace its fields."""

    def __call__(self, **changes: Any) -> Path: ...


def scenario_in(folder: Path, **changes: Any) -> Path:
    """A scenario on the embedded model that is as small and quick as it can be; keywords replace its fields."""
    model = {
        "source": "builtin:tiny-deepgen-random",
        "trust_remote_code": True,
        "dtype": "float32",
        **changes.pop("model", {}),
    }
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
        # To look for another device, and to switch torch to determinism, each costs every start a second.
        "arms": [{"name": "candidate", "device": "cpu"}],
        "switches": "as_shipped",
        "repeats": {"in_process": 2, "processes": 1},
        "limits": [
            {"metric": "identical", "scope": "repeat", "equals": 1, "reason": "The test says so, and nothing else."}
        ],
        **changes,
    }
    path = folder / f"{scenario['name']}.yaml"
    path.write_text(json.dumps(scenario), encoding="utf-8")
    return path


class MadeOnce(Protocol):
    """Fills a folder by its name, once for all test processes, and says where it is."""

    def __call__(self, name: str, fill: Callable[[Path], object]) -> Path: ...


def job_folder(runs: Path) -> Path:
    """The only job folder below a runs folder."""
    (folder,) = sorted(path for path in runs.iterdir() if path.is_dir())
    return folder


def read_json(path: Path) -> Any:
    """A record's file as parsed JSON, with each message as its English text."""
    return with_texts(json.loads(path.read_text(encoding="utf-8")))


def with_texts(data: Any) -> Any:
    """Parsed JSON with each message as its English text."""
    if isinstance(data, list):
        return [with_texts(item) for item in data]
    if not isinstance(data, dict):
        return data
    is_message = {"text", "template"} <= data.keys()
    return data["text"] if is_message else {name: with_texts(value) for name, value in data.items()}
