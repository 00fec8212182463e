"""What long work says of itself while it goes on: which task, and how much of how much is done.

Whoever works opens a task; who shows it, and how, is decided once by whoever starts the work (``observed_by``). Without
an observer a task costs nothing.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Item = TypeVar("Item")


BYTES = "bytes"
"""Unit of work that is shown in MB."""


@dataclass(eq=False)
class Task:
    """One piece of work that may take long."""

    what: str
    """What is done, such as ``comparing``."""
    total: int | None = None
    """How much there is; None where that is not known."""
    unit: str = ""
    """What is counted, such as ``images``, or ``BYTES``."""
    done: int = 0
    """How much of it is done."""
    detail: str = ""
    """What is being done at this moment."""
    _began: float = field(default_factory=time.monotonic, repr=False)
    _first: tuple[float, int] | None = field(default=None, repr=False)
    _last: tuple[float, int] | None = field(default=None, repr=False)

    def advance(self, amount: int = 1, detail: str | None = None) -> None:
        """So much more is done."""
        self.done += amount
        self._last = (time.monotonic(), self.done)
        self._first = self._first or self._last
        self.doing(self.detail if detail is None else detail)

    def doing(self, detail: str) -> None:
        """Something else is being done now."""
        self.detail = detail
        _observer.changed(self)

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    @property
    def seconds_left(self) -> float | None:
        """Seconds that what is left takes at the pace since the first piece was done; None where nothing tells."""
        if self.total is None or not self._first or not self._last or self._last[1] == self._first[1]:
            return None
        (first, before), (last, done) = self._first, self._last
        pace = (last - first) / (done - before)
        return max(0.0, pace * (self.total - done) - (time.monotonic() - last))


class Observer(Protocol):
    """Who shows tasks; called from any thread."""

    def began(self, task: Task) -> None:
        """A task begins."""

    def changed(self, task: Task) -> None:
        """A task went on."""

    def ended(self, task: Task) -> None:
        """A task is over, well or not."""


class _Nobody:
    """Shows nothing."""

    def began(self, task: Task) -> None:
        """Nobody looks on."""

    def changed(self, task: Task) -> None:
        """Nobody looks on."""

    def ended(self, task: Task) -> None:
        """Nobody looks on."""


_observer: Observer = _Nobody()


@contextmanager
def observed_by(observer: Observer) -> Iterator[None]:
    """Have tasks shown while the block runs."""
    global _observer  # noqa: PLW0603 - one process has one terminal
    before, _observer = _observer, observer
    try:
        yield
    finally:
        _observer = before


@contextmanager
def task(what: str, total: int | None = None, unit: str = "") -> Iterator[Task]:
    """A piece of work that may take long.

    >>> with task("comparing", total=2, unit="images") as work:
    ...     work.advance()
    >>> work.done, work.total
    (1, 2)
    """
    begun = Task(what, total, unit)
    _observer.began(begun)
    try:
        yield begun
    finally:
        _observer.ended(begun)


def counted(items: Iterable[Item], what: str, total: int, unit: str) -> Iterator[Item]:
    """The items, as a task that goes on by one whenever the next item is asked for.

    >>> list(counted("ab", "comparing", 2, "images"))
    ['a', 'b']
    """
    with task(what, total, unit) as work:
        for item in items:
            yield item
            work.advance()
