"""The Python interpreter and the environment variables of an arm's worker processes."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.records import json_digest
from harness.text import one_line, redact

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_SECONDS = 300
_WORKER = "harness.run.worker.__main__, harness.run.worker.worker"


@dataclass(frozen=True, kw_only=True)
class ProcessSetup:
    """How worker processes are started."""

    python: Path | None = None
    """Another interpreter; this one where there is none."""
    written: str = ""
    """The interpreter as the scenario has it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that the scenario sets for them."""

    @property
    def executable(self) -> str:
        """The interpreter."""
        return str(self.python or sys.executable)

    @property
    def digest(self) -> str:
        """SHA-256 over the interpreter as it is written and the variables."""
        return json_digest({"python": self.written, "environment": dict(self.environment)})

    @property
    def words(self) -> str:
        """Both as a shell would take them."""
        variables = [f"{name}={value}" for name, value in sorted(self.environment.items())]
        return " ".join([*variables, self.written or "python"])

    def variables(self, folder: Path) -> dict[str, str]:
        """Variables of the processes; another interpreter finds the harness, and nothing else of here, in a folder."""
        if self.python is None:
            return dict(self.environment)
        return {**self.environment, "PYTHONPATH": str(_harness_alone(folder))}


PLAIN = ProcessSetup()
"""This interpreter, with no variables of a scenario."""


def _harness_alone(folder: Path) -> Path:
    """A folder with a link to the harness's package, so that the worker's code is the one that runs here."""
    import harness

    alone = folder / "harness-alone"
    alone.mkdir(parents=True, exist_ok=True)
    link = alone / "harness"
    if not link.is_symlink():
        link.symlink_to(Path(inspect.getfile(harness)).parent.resolve())
    return alone


def require_worker(setup: ProcessSetup, folder: Path) -> None:
    """Start another interpreter once, to know that the worker runs in it.

    Raises:
        UsageError: it does not, with the last line that it wrote.
    """
    if setup.python is None:
        return
    environment = {**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0", **setup.variables(folder)}
    words = [setup.executable, "-c", f"import {_WORKER}"]
    try:
        tried = subprocess.run(
            words, env=environment, capture_output=True, text=True, check=False, timeout=_LONGEST_SECONDS
        )
        lines = (tried.stderr or "it wrote nothing").strip().splitlines()
        problem = "" if tried.returncode == 0 else lines[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    if problem:
        raise UsageError(
            f"the Python interpreter {setup.written} cannot run the harness's worker: "
            f"{one_line(redact(problem), 300)}. It needs Python 3.11 or newer and what accuracy-harness[run] needs: "
            f"{setup.written} -m pip install 'accuracy-harness[run]'"
        )
