"""What a benchmark is to the harness: ``harness/benchmarks/NAME.py``, which lays files out and reads results.

Nothing of a benchmark is run here: its own program judges the pictures, on a machine that has it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question of a benchmark."""

    name: str
    """What the benchmark calls it; a part of file names."""
    prompt: str
    """What it asks for."""
    case: str = ""
    """Case of the scenario that asks it, where the list of items names one; else the prompt tells."""
    group: str = ""
    """Folder of the benchmark that it belongs to, where there are any."""
    data: str = ""
    """What the benchmark wants beside the pictures, word for word."""


@dataclass(frozen=True, kw_only=True)
class LaidFile:
    """A file as the benchmark wants it."""

    path: str
    """Where it lies, with ``/``, below the folder that the benchmark is given."""
    content: bytes
    """What it holds."""
    places: Sequence[str] = ()
    """What results call the pictures in it, in the order of the pictures that it was made from."""


@dataclass(frozen=True, kw_only=True)
class ItemResult:
    """What a benchmark says about one picture."""

    place: str
    """Which picture, as ``LaidFile.places`` has it."""
    value: float
    """From 0 (wrong) to 1 (right)."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Numbers from 0 to 1 behind the value, and the value under the name of the task that it counts for."""
    words: str = ""
    """Why the value is not 1."""


class Benchmark(Protocol):
    """A benchmark that judges pictures by what they were asked to show."""

    SPEC: str
    """Identifier of what is read from its results; it changes whenever a value could."""
    ITEMS: str
    """What its list of items is, for people."""
    MOST_PICTURES: int | None
    """Most pictures of one item; None where there may be any number."""

    def items(self, path: Path) -> list[Item]:
        """All items of the benchmark's own list.

        Raises:
            RecordError: ``path`` is no such list.
        """
        ...

    def lay_out(self, item: Item, pictures: Sequence[Path], method: str) -> Iterator[LaidFile]:
        """The files of one item; ``pictures`` are PNG files by seed, ``method`` is what made them.

        Raises:
            UsageError: the benchmark cannot read such pictures.
        """
        ...

    def results(self, path: Path) -> Iterator[ItemResult]:
        """What the benchmark's own program wrote, a result for each picture.

        Raises:
            RecordError: ``path`` is no such file, or a value lies beyond the benchmark's scale.
        """
        ...
