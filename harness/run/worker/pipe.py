"""How a child process tells its parent what it does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.run.events import Event


class Pipe:
    """The event pipe's writing end; one JSON line per event."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the function takes nothing else
        self._stream = os.fdopen(descriptor, "w", encoding="utf-8")

    def tell(self, event: Event) -> None:
        """Write an event at once."""
        self._stream.write(event.model_dump_json() + "\n")
        self._stream.flush()
