"""One child process: started in a session of its own, listened to, and never left behind."""

from __future__ import annotations

import json
import math
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import ValidationError

from harness.language import recorded
from harness.records import EndedBy
from harness.run.events import EVENT, Done, Event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

GRACE_SECONDS = 3.0
"""Time between asking a child to end and ending it."""
EXIT_SECONDS = 60.0
"""Time a child may take to end after it has closed its event pipe; a driver may hang while it is unloaded."""


class End:
    """How a child ended."""

    def __init__(self, *, done: bool, exit_code: int, timed_out: bool) -> None:
        self.done = done
        self.exit_code = exit_code
        self.timed_out = timed_out

    @property
    def by(self) -> EndedBy:
        """What ended it."""
        if self.timed_out:
            return EndedBy.TIME_LIMIT
        return EndedBy.SIGNAL if self.exit_code < 0 else EndedBy.ITSELF

    @property
    def error(self) -> str:
        """How it ended, in short."""
        return f"killed by signal {-self.exit_code}" if self.by is EndedBy.SIGNAL else str(self.words)

    @property
    def words(self) -> str:
        """How it ended, in words."""
        if self.by is EndedBy.TIME_LIMIT:
            return recorded("ended at its time limit")
        if self.by is EndedBy.SIGNAL:
            by = {"number": -self.exit_code, "name": _signal_name(-self.exit_code)}
            if self.done:
                return recorded("killed by signal {number} ({name}) after its work was done", **by)
            return recorded("killed by signal {number} ({name}) before its work was done", **by)
        if self.done:
            return recorded("ended with exit code {code} after its work was done", code=self.exit_code)
        return recorded("ended with exit code {code} before its work was done", code=self.exit_code)


def _signal_name(number: int) -> str:
    """Name of a signal; most real-time signals have none of their own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


class Stopped(Exception):
    """Another thread asked for the end of a child; the child and its children are gone."""


def run_child(  # noqa: PLR0913 - what a child is given, and who listens
    words: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    listen: Callable[[Event], None],
    time_limit_seconds: float | None = None,
    stop: threading.Event | None = None,
    python: str = sys.executable,
) -> End:
    """Start ``python -m harness.run.worker``, pass its events on, and wait for its end.

    Whatever it prints goes to ``log``. When this function is left, by whatever way, the child and its children are
    gone; when this process is killed, the child notices by its lifeline and ends.

    Raises:
        Stopped: ``stop`` was set by another thread.
    """
    deadline = time.monotonic() + time_limit_seconds if time_limit_seconds is not None else math.inf
    events_in, events_out = os.pipe()
    lifeline_in, lifeline_out = os.pipe()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            [python, "-m", "harness.run.worker", str(events_out), str(lifeline_in), *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(events_out, lifeline_in),
            start_new_session=True,
            env=dict(environment),
        )
    os.close(events_out)
    os.close(lifeline_in)
    try:
        done, timed_out = _listen(child, events_in, listen, deadline, stop or threading.Event())
        timed_out = timed_out or not _ends(child, deadline)
        if timed_out or child.poll() is None:
            _end(child)
        return End(done=done, exit_code=child.wait(), timed_out=timed_out)
    finally:
        _end(child)
        os.close(events_in)
        os.close(lifeline_out)


def _listen(
    child: subprocess.Popen[bytes],
    pipe: int,
    listen: Callable[[Event], None],
    deadline: float,
    stop: threading.Event,
) -> tuple[bool, bool]:
    """Pass events on until the pipe closes, the child is gone or its time is up; gives (done, timed out)."""
    lines = _Lines(pipe)
    done = False
    gone_since: float | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if gone_since is None and child.poll() is not None:
                gone_since = time.monotonic()
            # Looked at after the end: all that the child wrote before it is there to be read at once.
            ready = selector.select(timeout=0.2 if gone_since is None else 0)
            for event in lines.read() if ready else []:
                done = done or isinstance(event, Done)
                listen(event)
            if lines.closed or (gone_since is not None and not ready):
                return done, False
            if gone_since is not None and time.monotonic() - gone_since > GRACE_SECONDS:
                return done, False  # what is still coming is a grandchild's, and may never end
            if time.monotonic() > deadline:
                return done, True
            if stop.is_set():
                raise Stopped


def _ends(child: subprocess.Popen[bytes], deadline: float) -> bool:
    """Wait for a child that has nothing more to say; False when the time limit is reached meanwhile."""
    begin = time.monotonic()
    with suppress(subprocess.TimeoutExpired):
        child.wait(timeout=max(0.0, min(EXIT_SECONDS, deadline - begin)))
    return child.poll() is not None or time.monotonic() < deadline


class _Lines:
    """Events from a pipe; a half line stays until its other half comes."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._rest = b""
        self.closed = False

    def read(self) -> list[Event]:
        data = os.read(self._pipe, 1 << 16)
        self.closed = not data
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [event for line in whole if (event := _event(line)) is not None]


def _event(line: bytes) -> Event | None:
    try:
        return EVENT.validate_python(json.loads(line))
    except (ValueError, RecursionError, ValidationError):
        return None  # another process holding the descriptor wrote into it; the worker itself writes whole events


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a child and everything it started."""
    for wanted, patience in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, None)):
        try:
            os.killpg(child.pid, wanted)
        except ProcessLookupError:
            break
        except PermissionError:
            break
        if child.poll() is not None and wanted is signal.SIGTERM:
            continue
        try:
            child.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            continue
    child.poll()
