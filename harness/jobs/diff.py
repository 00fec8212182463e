"""Compare pictures that no scenario knows: the verb diff."""

from __future__ import annotations

import csv
import os
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from harness import plugins
from harness.compare.names import Asked, Names, names_of
from harness.compare.pictures import Tally, compare_files, compare_folders
from harness.errors import UnknownName, UsageError
from harness.files import remove_leftovers, write_text
from harness.images import ALPHA
from harness.language import require_known, spoken
from harness.progress import counted
from harness.records import Limit, PicturePair, Scope, from_json

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path
    from typing import TextIO

    from harness.contracts import FolderRenderer
    from harness.images import Alpha
    from harness.records import FolderDiff


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
        return [_limit(text, "at_least") for text in self.at_least] + [_limit(text, "at_most") for text in self.at_most]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Which files are compared with which, how they are read, and by how many processes."""

    ignore: list[str] = field(default_factory=list)
    """Patterns of names that are left out."""
    pair: list[str] = field(default_factory=list)
    """Rules by which names are paired beyond exact paths: ``harness.compare.names.PAIR_RULES``."""
    pair_list: Path | None = None
    """CSV file with the names of an actual and an expected picture in each line, which belong together."""
    alpha: str | None = None
    """What is done with real transparency; None refuses it."""
    jobs: int | None = None
    """Processes for folders; None for one a core."""

    def listed(self) -> tuple[tuple[str, str], ...]:
        """The names in the list of pairs.

        Raises:
            UsageError: the file cannot be read, or a line has not two names.
        """
        if self.pair_list is None:
            return ()
        try:
            text = self.pair_list.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--pair-list {self.pair_list} cannot be read: {error}. Give a CSV file.") from error
        pairs = []
        for number, row in enumerate(csv.reader(text.splitlines()), 1):
            names = [name.strip() for name in row]
            if names in ([], [""], ["actual", "expected"]):
                continue
            if len(names) != 2 or not all(names):  # noqa: PLR2004 - one for each side
                raise UsageError(
                    f"--pair-list {self.pair_list}, line {number}: found {','.join(row)!r}; allowed are two names, "
                    "that of the actual picture and that of the expected one: cup.png,golden/cup_v2.png"
                )
            pairs.append((names[0], names[1]))
        return tuple(pairs)

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


@dataclass(frozen=True, kw_only=True)
class Output:
    """What is written of a comparison of picture files, beside what the terminal shows."""

    lines: Path | None = None
    """File for a JSON line for each pair."""
    report: Path | None = None
    """Folder for a report: a page, a text, a table of values and test cases."""
    language: str = "en"
    """Language of the page and the text."""


def diff(actual: Path, expected: Path, *, bounds: Bounds, reading: Reading, output: Output) -> PicturePair | FolderDiff:
    """Compare two picture files, or two folders of them by names.

    Lines are kept in their file with ``.part`` behind its name until all are there.

    Raises:
        UsageError: a path is not there, or one is a file and one a folder.
        UnknownName: a limit, a rule for pairs, the treatment of transparency or the language is unknown.
        ImageError: one of two files cannot be read, or their sizes differ.
    """
    require_known(output.language)
    limits, alpha = bounds.limits(), reading.known_alpha()
    for path in (actual, expected):
        if not path.exists():
            raise UsageError(f"{path}: there is no such file or folder; check the path.")
    if actual.is_dir() != expected.is_dir():
        raise UsageError(f"of {actual} and {expected} one is a folder and one a file; give two files or two folders.")
    if actual.is_dir():
        pairing = Asked(ignore=tuple(reading.ignore), pair=tuple(reading.pair), listed=reading.listed())
        names = names_of(actual, expected, pairing)
        pairs = compare_folders(names, limits, reading.jobs or len(os.sched_getaffinity(0)), alpha)
        return _of_folders(names, pairs, limits, alpha, output)
    if reading.ignore or reading.pair or reading.pair_list:
        raise UsageError(
            "--ignore, --pair and --pair-list are for two folders; two files are compared as they were named."
        )
    return _of_files(actual, expected, limits, alpha, output)


def _of_files(
    actual: Path, expected: Path, limits: Sequence[Limit], alpha: Alpha | None, output: Output
) -> PicturePair:
    pair = compare_files(actual.name, actual, expected, limits, alpha)
    if output.lines is not None:
        write_text(output.lines, pair.model_dump_json() + "\n")
    if output.report is not None:
        tally = Tally()
        tally.add(pair)
        named = pair.model_copy(update={"expected_name": expected.name})
        summary = tally.summary(Names.alone(actual, expected), limits, alpha)
        write_report(summary, [named], (actual.parent, expected.parent), output)
    return pair


def _of_folders(
    names: Names,
    pairs: Generator[PicturePair, None, None],
    limits: Sequence[Limit],
    alpha: Alpha | None,
    output: Output,
) -> FolderDiff:
    tally, kept = Tally(), []
    with _growing(output.lines) if output.lines else nullcontext() as lines, closing(pairs):
        for pair in counted(pairs, "comparing", len(names.rows), "pairs"):
            tally.add(pair)
            if lines:
                lines.write(pair.model_dump_json() + "\n")
            if output.report:
                kept.append(pair)
    summary = tally.summary(names, limits, alpha)
    if output.report is not None:
        write_report(summary, kept, (names.actual, names.expected), output)
    return summary


def report_of_lines(path: Path, output: Output) -> FolderDiff:
    """The report of a file of JSON lines that ``diff`` wrote; it shows no pictures, which the file does not hold.

    Raises:
        RecordError: a line is no record of a pair; the message names it.
        UnknownName: the language is unknown.
    """
    require_known(output.language)
    pairs, tally = [], Tally()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        pair = from_json(PicturePair, line, place=f"{path}, line {number}")
        tally.add(pair)
        pairs.append(pair)
    limits = list({verdict.limit.rule: verdict.limit for pair in pairs for verdict in pair.verdicts}.values())
    summary = tally.summary(Names.alone(path, path), limits)
    write_report(summary, pairs, None, output)
    return summary


def write_report(
    summary: FolderDiff, pairs: Sequence[PicturePair], folders: tuple[Path, Path] | None, output: Output
) -> list[Path]:
    """Write the report of two folders of picture files: a page, a text, test cases and a table of all values."""
    if output.report is None:
        return []
    output.report.mkdir(parents=True, exist_ok=True)
    remove_leftovers(output.report)
    files = []
    for name, language in (("html", output.language), ("markdown", output.language), ("junit", "en"), ("csv", "en")):
        renderer = cast("FolderRenderer", plugins.load("render", name))
        with spoken(language):
            text = renderer.render_folders(summary, pairs, folders=folders)
        files.append(output.report / renderer.FOLDERS_FILE_NAME)
        write_text(files[-1], text)
    return files


def _limit(text: str, bound: str) -> Limit:
    metric, _, number = text.partition("=")
    plugins.load("metrics", metric)
    try:
        return Limit.model_validate(
            {"metric": metric, "scope": Scope.REFERENCE, bound: float(number), "reason": "Given on the command line."}
        )
    except ValueError as error:
        flag = f"--{bound.replace('_', '-')}"
        raise UsageError(f"{flag} {text}: {number!r} is not a number; write it as {flag} {metric}=30.") from error


@contextmanager
def _growing(path: Path) -> Iterator[TextIO]:
    """A file that can be watched while it grows, and takes its name when it is whole."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8", newline="\n", buffering=1) as stream:
        yield stream
    part.replace(path)
