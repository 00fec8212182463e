"""Entry of the child process: ``python -m harness.run.worker EVENTS_FD LIFELINE_FD (ASSIGNMENT | --probe NAME...)``."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness import plugins
from harness.records import from_json
from harness.run.events import Assignment, Availabilities, Done
from harness.run.worker import lifeline
from harness.run.worker.pipe import Pipe

if TYPE_CHECKING:
    from harness.contracts import Availability


def main(arguments: list[str]) -> int:
    """Answer a probe or work an assignment; everything worth knowing goes through the event pipe."""
    # All objects go at the end anyway; the last look for garbage takes a second where torch and diffusers are loaded.
    atexit.register(gc.freeze)
    events_fd, lifeline_fd, *rest = arguments
    pipe = Pipe(int(events_fd))
    os.set_inheritable(int(lifeline_fd), False)  # noqa: FBT003 - the function takes nothing else
    lifeline.hold(int(lifeline_fd))
    if rest[0] == "--probe":
        pipe.tell(probe(rest[1:]))
    else:
        from harness.run.worker.worker import Worker

        text = Path(rest[0]).read_text(encoding="utf-8")
        Worker(from_json(Assignment, text, place=rest[0]), pipe).work()
    pipe.tell(Done())
    return 0


def probe(backends: list[str]) -> Availabilities:
    """Ask backends in turn, until one is available."""
    answers: dict[str, Availability] = {}
    for name in backends:
        answers[name] = plugins.load("backends", name).probe()
        if answers[name].available:
            break
    return Availabilities(
        available={name: answer.available for name, answer in answers.items()},
        reasons={name: answer.reason for name, answer in answers.items()},
        counts={name: answer.device_count for name, answer in answers.items()},
        facts={name: dict(answer.facts) for name, answer in answers.items()},
        memory_bytes={name: list(answer.memory_bytes) for name, answer in answers.items()},
        simulated={name: answer.simulated for name, answer in answers.items()},
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
