"""A worker ends when the process that started it is gone, even after ``kill -9``."""

from __future__ import annotations

import os
import signal
import sys
import threading


def hold(stream_fd: int) -> None:
    """Watch the read end of a pipe whose write end only the parent holds; end this process group when it closes."""
    threading.Thread(target=_wait, args=(stream_fd,), name="lifeline", daemon=True).start()


def _wait(stream_fd: int) -> None:
    while os.read(stream_fd, 1):
        continue
    sys.stderr.write("the parent process is gone; this worker ends\n")
    os.killpg(os.getpgrp(), signal.SIGKILL)
