"""Compare pictures that no scenario knows: the verb diff."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness import plugins
from harness.compare.pictures import Tally, compare_files, compare_folders
from harness.errors import UsageError
from harness.files import write_text
from harness.progress import counted
from harness.records import Limit, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

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


def diff(
    actual: Path,
    expected: Path,
    *,
    bounds: Bounds,
    jobs: int | None,
    out: Path | None,
) -> PicturePair | FolderDiff:
    """Compare two picture files, or two folders of them by names; ``out`` gets a JSON line for each pair.

    Lines are kept in ``out`` with ``.part`` behind its name until all are there.
    """
    limits = bounds.limits()
    for path in (actual, expected):
        if not path.exists():
            raise UsageError(f"{path}: there is no such file or folder; check the path.")
    if actual.is_dir() != expected.is_dir():
        raise UsageError(f"of {actual} and {expected} one is a folder and one a file; give two files or two folders.")
    if not actual.is_dir():
        pair = compare_files(actual.name, actual, expected, limits)
        if out is not None:
            write_text(out, pair.model_dump_json() + "\n")
        return pair
    tally = Tally()
    count, pairs = compare_folders(actual, expected, limits, jobs or len(os.sched_getaffinity(0)))
    with _growing(out) if out else nullcontext() as lines, closing(pairs):
        for pair in counted(pairs, "comparing", count, "pairs"):
            tally.add(pair)
            if lines:
                lines.write(pair.model_dump_json() + "\n")
    return tally.summary(actual, expected, limits)


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
