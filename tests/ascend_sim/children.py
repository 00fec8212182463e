"""Python processes of their own on simulated cards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.command_line import patience_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(__file__).resolve().parent / "site"


def run_python(code: str, variables: Mapping[str, str | None] | None = None) -> subprocess.CompletedProcess[str]:
    """Run code in a new process with this one's environment and the given variables; None takes one away.

    ``PYTHONPATH`` begins with the folder whose ``sitecustomize`` simulates the cards.
    """
    changed = {"PYTHONPATH": os.pathsep.join((str(SITE), os.environ.get("PYTHONPATH", ""))), **(variables or {})}
    environment = {k: v for k, v in {**os.environ, **changed}.items() if v is not None}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=patience_seconds(),
        check=False,
    )
