"""Starts commands of the harness for tests, each in a process of its own that is forked after the imports.

Run as a program, this module is the starter: it imports the harness once, then forks for every request. The child gets
the words, the working folder and the environment of the command, and ends as ``python -m harness`` ends. Importing
takes most of the time of a quick command. What depends on a variable that is read while modules are imported needs a
start from nothing: ``run_command`` makes one where a variable differs that this module does not know as harmless.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
HARMLESS = frozenset(
    {
        "BROWSER",
        "COLUMNS",
        "GITHUB_STEP_SUMMARY",
        "HARNESS_CACHE_DIR",
        "HARNESS_TEST_UNSET_MODEL",
        "NO_COLOR",
        "PIPELINE",
        "PYTEST_CURRENT_TEST",
        "TORCH_TRANSFER_TO_NPU",
    }
)
"""Variables that nothing reads while modules are imported, so that a forked command may have other values of them."""
IMPORTED = (
    "harness.cli",
    "harness.adapters.images",
    "harness.compare.hints",
    "harness.jobs.calibrate",
    "harness.jobs.check",
    "harness.jobs.diff",
    "harness.jobs.generate",
    "harness.jobs.init",
    "harness.jobs.release",
    "harness.jobs.trend",
    "harness.metrics._kernels",
    "harness.render.html",
    "harness.terminal.tables",
    "numba.np.arraymath",
)
"""What the starter imports; never torch, which a command leaves to its workers."""

ANSWER_BYTES = 12
"""Length of a number that the starter tells."""


class Starter:
    """The starter's process, and what it was started with."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = decisive(environment)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.starter"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # an answer that lies in a buffer would not be seen by select
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._answers = self._process.stdin, self._process.stdout
        atexit.register(self.end)

    def end(self) -> None:
        """End the starter's process."""
        self._process.kill()
        self._process.communicate()

    def may_start(self, environment: dict[str, str]) -> bool:
        """Whether a command with these variables finds modules as they would be if it imported them itself."""
        return decisive(environment) == self._environment

    def run(
        self, words: list[str], folder: Path, environment: dict[str, str], seconds: float
    ) -> tuple[int, bytes, bytes]:
        """Exit code, standard output and standard error of a command; the code is negative for a signal.

        Raises:
            TimeoutExpired: it took longer; it was killed.
        """
        with tempfile.TemporaryDirectory() as place:
            out, err = Path(place, "out"), Path(place, "err")
            order = {
                "words": words,
                "folder": str(folder),
                "environment": environment,
                "out": str(out),
                "err": str(err),
            }
            self._ask(order)
            child = self._answer()
            if not select.select([self._answers], [], [], seconds)[0]:
                os.kill(child, signal.SIGKILL)
                self._answer()
                raise subprocess.TimeoutExpired(words, seconds)
            code = self._answer()
            return code, out.read_bytes(), err.read_bytes()

    def _ask(self, order: object) -> None:
        self._orders.write(json.dumps(order).encode() + b"\n")

    def _answer(self) -> int:
        return int(self._answers.read(ANSWER_BYTES))


def decisive(environment: dict[str, str]) -> dict[str, str]:
    """The variables that a process has to be started with."""
    return {name: value for name, value in environment.items() if name not in HARMLESS}


def serve() -> None:
    """Import, then fork for each line of standard input and tell two numbers: the child's id, and its exit code."""
    for name in IMPORTED:
        __import__(name)
    assert "torch" not in sys.modules
    answers = os.dup(1)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            become(order)
        tell(answers, child)
        _, status = os.waitpid(child, 0)
        tell(answers, os.waitstatus_to_exitcode(status))


def tell(answers: int, number: int) -> None:
    """Write a number in the length that is read."""
    os.write(answers, f"{number}".ljust(ANSWER_BYTES).encode())


def become(order: dict[str, object]) -> None:
    """Be the command of an order, and end as it ends."""
    from harness import __main__

    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(str(order[name]), os.O_WRONLY | os.O_CREAT), number)
    os.chdir(str(order["folder"]))
    os.environ.clear()
    os.environ.update(order["environment"])  # type: ignore[call-overload]
    sys.argv = [str(__main__.__file__), *order["words"]]  # type: ignore[misc]
    sys.exit(__main__.main())


if __name__ == "__main__":
    serve()
