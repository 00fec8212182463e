"""Compare pictures that no scenario knows: the verb diff."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness import plugins
from harness.compare.names import Asked, names_of
from harness.compare.pictures import Tally, compare_files, compare_folders
from harness.errors import UnknownName, UsageError
from harness.files import write_text
from harness.images import ALPHA
from harness.progress import counted
from harness.records import Limit, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

    from harness.images import Alpha
    from harness.records import FolderDiff, PicturePair


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Limits for pictures that no scenario knows, as words ``METRIC=NUMBER``."""

    at_least: list[str] = field(default_factory=list)
    """Smallest values allowed."""
    at_most: list[str] = field(default_factory=list)
    """Largest values allowed."""

    def limits(self) -> list[Limit]:
        """The words as limits.

        Raises:
            UsageError: words are not ``METRIC=NUMBER``, or the metric is not known.
        """
        return [_limit(words, "at_least") for words in self.at_least] + [
            _limit(words, "at_most") for words in self.at_most
        ]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Which files are compared with which, how they are read, and by how many processes."""

    ignore: list[str] = field(default_factory=list)
    """Patterns of names that are left out."""
    pair: list[str] = field(default_factory=list)
    """Rules by which names are paired beyond exact paths: ``harness.compare.names.PAIR_RULES``."""
    alpha: str | None = None
    """What is done with real transparency; None refuses it."""
    jobs: int | None = None
    """Processes for folders; None for one a core."""

    def known_alpha(self) -> Alpha | None:
        """The word for transparency as one of those that there are.

        Raises:
            UnknownName: it is none of them.
        """
        if self.alpha is None:
            return None
        for word in ALPHA:
            if word == self.alpha:
                return word
        raise UnknownName("choice for transparency (--alpha)", self.alpha, ALPHA)


def diff(
    actual: Path, expected: Path, *, bounds: Bounds, reading: Reading, out: Path | None
) -> PicturePair | FolderDiff:
    """Compare two picture files, or two folders of them by names; ``out`` gets a JSON line for each pair.

    Lines are kept in ``out`` with ``.part`` behind its name until all are there.
    """
    limits, alpha = bounds.limits(), reading.known_alpha()
    for path in (actual, expected):
        if not path.exists():
            raise UsageError(f"{path}: there is no such file or folder; check the path.")
    if actual.is_dir() != expected.is_dir():
        raise UsageError(f"of {actual} and {expected} one is a folder and one a file; give two files or two folders.")
    if not actual.is_dir():
        if reading.ignore or reading.pair:
            raise UsageError("--ignore and --pair are for two folders; two files are compared as they were named.")
        pair = compare_files(actual.name, actual, expected, limits, alpha)
        if out is not None:
            write_text(out, pair.model_dump_json() + "\n")
        return pair
    asked = Asked(ignore=tuple(reading.ignore), pair=tuple(reading.pair))
    names, tally = names_of(actual, expected, asked), Tally()
    pairs = compare_folders(names, limits, reading.jobs or len(os.sched_getaffinity(0)), alpha)
    with _growing(out) if out else nullcontext() as lines, closing(pairs):
        for pair in counted(pairs, "comparing", len(names.rows), "pairs"):
            tally.add(pair)
            if lines:
                lines.write(pair.model_dump_json() + "\n")
    return tally.summary(names, limits, alpha)


def _limit(words: str, bound: str) -> Limit:
    metric, _, number = words.partition("=")
    plugins.load("metrics", metric)
    try:
        return Limit.model_validate(
            {"metric": metric, "scope": Scope.REFERENCE, bound: float(number), "reason": "Given on the command line."}
        )
    except ValueError as error:
        flag = f"--{bound.replace('_', '-')}"
        raise UsageError(f"{flag} {words}: {number!r} is not a number; write it as {flag} {metric}=30.") from error


@contextmanager
def _growing(path: Path) -> Iterator[TextIO]:
    """A file that can be watched while it grows, and takes its name when it is whole."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8", newline="\n", buffering=1) as stream:
        yield stream
    part.replace(path)
