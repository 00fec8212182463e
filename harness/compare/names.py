"""Which files of two folders are pictures, and which of them belong together by name.

Names are paired by their exact paths first; then what is left over by the same path in another Unicode form, as file
systems and archives make it of é; then, where that was asked for, without regard to the ending or to case. A name
that could belong to several is paired with none.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.errors import UnknownName, UsageError
from harness.file_kinds import IMAGE_ENDINGS, is_picture
from harness.records import NameMatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

PAIR_RULES = ("exact", "stem", "casefold")
"""How names can be paired: as they are, without regard to the ending, without regard to case."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked for about names."""

    ignore: tuple[str, ...] = ()
    """Patterns with ``*``, ``?`` and ``[...]``; what fits one by its relative path or its name is left out."""
    pair: tuple[str, ...] = ()
    """Of ``PAIR_RULES``; several hold one after another and together."""
    listed: tuple[tuple[str, str], ...] = ()
    """Names of the actual and the expected side that belong together whatever the rules say, with ``/``."""

    def __post_init__(self) -> None:
        for rule in self.pair:
            if rule not in PAIR_RULES:
                raise UnknownName("rule for pairs (--pair)", rule, PAIR_RULES)

    def ignores(self, path: str) -> bool:
        """Whether a relative path is to be left out."""
        composed = _composed(path)
        return any(
            fnmatchcase(text, _composed(pattern))
            for pattern in self.ignore
            for text in (composed, composed.rpartition("/")[2])
        )


@dataclass
class Held:
    """What a folder holds, by relative paths."""

    pictures: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    """What is no picture; hidden folders, which are not looked into, with ``/`` at the end."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """The names of two folders, sorted by bytes."""

    actual: Path
    """Folder that is looked at."""
    expected: Path
    """Folder it is compared with."""
    asked: Asked
    """What was asked for."""
    rows: list[tuple[str | None, str | None]]
    """Paths on the actual and on the expected side; None where there is no counterpart."""
    paired: list[NameMatch]
    """Pairs whose names differ."""
    nearly: list[NameMatch]
    """What has no counterpart and nearly matches something that has none either."""
    ignored: list[str]
    """Left out by name, on either side."""
    others: list[str]
    """No pictures, on either side."""

    @classmethod
    def alone(cls, actual: Path, expected: Path) -> Names:
        """Names of two single files, or of what has no folders: nothing is paired or left out."""
        return cls(
            actual=actual, expected=expected, asked=Asked(), rows=[], paired=[], nearly=[], ignored=[], others=[]
        )


def names_of(actual: Path, expected: Path, asked: Asked) -> Names:
    """Look through two folders and pair what they hold.

    Raises:
        UsageError: a link below a folder leads back above itself, or a listed name is none of a picture there.
        OSError: a folder cannot be read.
    """
    actual_names, expected_names = held(actual, asked), held(expected, asked)
    listed = _listed(actual_names.pictures, expected_names.pictures, asked)
    pairs, alone = _paired(
        actual_names.pictures - {name for name, _ in listed},
        expected_names.pictures - {other for _, other in listed},
        _rules(asked.pair),
    )
    by_rule = [_match(*pair) for pair in _sorted(pairs) if pair[0] != pair[1]]
    by_list = [NameMatch(actual=text_of(name), expected=text_of(other), differs=["list"]) for name, other in listed]
    pairs += listed
    rows = [*pairs, *((path, None) for path in alone[0]), *((None, path) for path in alone[1])]
    return Names(
        actual=actual,
        expected=expected,
        asked=asked,
        rows=sorted(rows, key=lambda row: os.fsencode(row[0] or row[1] or "")),
        paired=[*by_rule, *by_list],
        nearly=[_match(*pair) for pair in _sorted(_near(*alone))],
        ignored=_texts(actual_names.ignored | expected_names.ignored),
        others=_texts(actual_names.others | expected_names.others),
    )


def held(folder: Path, asked: Asked) -> Held:
    """What is below a folder; links are followed.

    Raises:
        UsageError: a link leads back to a folder above it, so that there would be no end.
        OSError: a folder cannot be read.
    """
    content = Held()
    for base, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        hidden = [name for name in folders if name.startswith(".")]
        content.others.update(f"{os.path.relpath(Path(base, name), folder)}/" for name in hidden)
        folders[:] = [name for name in folders if not name.startswith(".")]
        above = Path(base).resolve()
        for name in folders:
            if Path(base, name).is_symlink() and above.is_relative_to(Path(base, name).resolve()):
                raise UsageError(f"{Path(base, name)} is a link to a folder above it; remove it to compare {folder}.")
        for name in files:
            path = os.path.relpath(Path(base, name), folder)
            if asked.ignores(path.replace(os.sep, "/")):
                content.ignored.add(path)
            elif is_picture(Path(base, name)):
                content.pictures.add(path)
            else:
                content.others.add(path)
    return content


def text_of(path: str) -> str:
    """A path as text that every file can hold; bytes that are not UTF-8 become escapes."""
    return os.fsencode(path.replace(os.sep, "/")).decode("utf-8", "backslashreplace")


# --- pairs -----------------------------------------------------------------------------------------------------------


def _listed(actual: set[str], expected: set[str], asked: Asked) -> list[tuple[str, str]]:
    """The listed pairs, by the names that the folders have.

    Raises:
        UsageError: a name is listed twice on one side, or no picture is called so; the nearest one is told.
    """
    pairs = []
    for own, other in asked.listed:
        for side, name, names in (("actual", own, actual), ("expected", other, expected)):
            if name not in names:
                raise UsageError(f"the list of pairs: {UnknownName(f'picture of the {side} folder', name, names)}")
        pairs.append((own, other))
    for index, side in enumerate(("actual", "expected")):
        counted = Counter(pair[index] for pair in pairs)
        if twice := [name for name, count in counted.items() if count > 1]:
            raise UsageError(f"the list of pairs names {twice[0]!r} of the {side} folder twice; name it once.")
    return pairs


def _rules(pair: Sequence[str]) -> list[Callable[[str], str]]:
    """What two names must share, the strictest first."""
    asked = [rule for name, rule in (("stem", _stem), ("casefold", _folded)) if name in pair]
    return [str, _composed, *asked, *([_loose] if len(asked) > 1 else [])]


def _paired(
    actual_paths: Iterable[str], expected_paths: Iterable[str], rules: Iterable[Callable[[str], str]]
) -> tuple[list[tuple[str, str]], tuple[set[str], set[str]]]:
    """Pairs by each rule among what the rules before left over, and what is left over in the end."""
    alone = set(actual_paths), set(expected_paths)
    pairs = []
    for rule in rules:
        for actual, expected in _shared(*alone, rule):
            if len(actual) == len(expected) == 1:
                pairs.append((actual[0], expected[0]))
                alone[0].remove(actual[0])
                alone[1].remove(expected[0])
    return pairs, alone


def _near(actual_paths: Iterable[str], expected_paths: Iterable[str]) -> list[tuple[str, str]]:
    """Names that differ in ending, case and Unicode form at most, each with each."""
    groups = _shared(actual_paths, expected_paths, _loose)
    return [(path, other) for actual, expected in groups for path in actual for other in expected]


def _shared(
    actual: Iterable[str], expected: Iterable[str], rule: Callable[[str], str]
) -> list[tuple[list[str], list[str]]]:
    """Names of both sides by what a rule makes of them, where both sides have some."""
    groups: defaultdict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for side, paths in enumerate((actual, expected)):
        for path in paths:
            groups[rule(path)][side].append(path)
    return [group for group in groups.values() if all(group)]


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _stem(path: str) -> str:
    """The path without its ending; what follows the last dot of ``cfg7.5`` is none."""
    composed = _composed(path)
    stem, dot, ending = composed.rpartition(".")
    return stem if dot and f".{ending.lower()}" in IMAGE_ENDINGS else composed


def _folded(path: str) -> str:
    return _composed(_composed(path).casefold())


def _loose(path: str) -> str:
    return _folded(_stem(path))


def _match(actual: str, expected: str) -> NameMatch:
    differs: list[Literal["ending", "case", "Unicode form"]] = []
    stems = _stem(actual), _stem(expected)
    endings = [_composed(path)[len(stem) :] for path, stem in zip((actual, expected), stems, strict=True)]
    if endings[0].lower() != endings[1].lower():
        differs.append("ending")
    if stems[0] != stems[1] or (endings[0] != endings[1] and not differs):
        differs.append("case")
    if any(_composed(path) != path for path in (actual, expected)):
        differs.append("Unicode form")
    return NameMatch(actual=text_of(actual), expected=text_of(expected), differs=differs)


def _sorted(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(pairs, key=lambda pair: tuple(map(os.fsencode, pair)))


def _texts(paths: Iterable[str]) -> list[str]:
    return [text_of(path) for path in sorted(paths, key=os.fsencode)]


def _raise(error: OSError) -> None:
    raise error
