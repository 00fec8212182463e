"""Runs a command, and ends it with all it started when the worker is gone; started as a script, never imported.

``python _guard.py LIFELINE_FD WORD...``: the file descriptor is the read end of a pipe that only the worker holds open,
so it closes however the worker ends, and this process leads a process group of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

CANNOT_START = 127


def main(lifeline_fd: int, words: list[str]) -> int:
    """Exit code of the command, 128 and the signal's number where one ended it."""
    threading.Thread(target=_wait, args=(lifeline_fd,), daemon=True).start()
    try:
        code = subprocess.call(words)
    except OSError as error:
        sys.stderr.write(f"{words[0]} cannot be started: {error}\n")
        return CANNOT_START
    return code if code >= 0 else 128 - code


def _wait(lifeline_fd: int) -> None:
    while os.read(lifeline_fd, 1):
        continue
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
