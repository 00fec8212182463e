"""Commands under test that run in the background, and the worker processes that belong to them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.command_line import environment, patience_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

DISPOSITIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that a process inherits as ignored, or not, from whoever started the tests."""


def at_a_prompt(ignored: Collection[signal.Signals] = ()) -> Callable[[], None]:
    """For ``preexec_fn``: the signals are as for a command at a prompt, but for those that are to be ignored."""

    def set_dispositions() -> None:
        for number in DISPOSITIONS:
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

    return set_dispositions


@contextmanager
def started(
    folder: Path, *words: str | Path, ignored: Collection[signal.Signals] = ()
) -> Iterator[subprocess.Popen[str]]:
    """``harness`` running in the background, ended for sure when the test is over; it begins with signals ignored."""
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", *map(str, words)],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        preexec_fn=at_a_prompt(ignored),  # noqa: PLW1509 - tests start processes from their main thread
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(condition: Any, what: str) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + patience_seconds()
    while not condition():
        assert time.monotonic() < end, f"waited {patience_seconds():.0f} s for {what}"
        time.sleep(0.05)


def workers(folder: Path) -> list[int]:
    """Worker processes that belong to runs below a folder, looked up among all processes."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                state = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
            except OSError:
                continue
            if "harness.run.worker" in words and any(str(folder) in word for word in words) and state != "Z":
                found.append(int(entry.name))
    return found
