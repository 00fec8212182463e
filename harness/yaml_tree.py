"""From a YAML file to a tree that knows the place of every key and value.

The events of the YAML parser are counted before anything is built from them, so a file can neither nest nor repeat
itself into a tree that does not fit into memory. Values follow the core schema of YAML 1.2. Which keys and values a
scenario may have is not known here; only the words of the messages say that the file is a scenario.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MAX_BYTES = 1_000_000
"""Largest scenario file that is read."""
MAX_NODES = 30_000
"""Most values a scenario may hold, those that aliases repeat included."""
MAX_DEPTH = 16
"""Deepest nesting; the format itself needs 4."""
MAX_NUMBER_CHARACTERS = 64
"""Longest number; the longest that any field takes has 19 digits."""
MAX_PROBLEMS = 50
"""Most problems that one error lists."""


class Place(NamedTuple):
    """Line and column in the file, both counted from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """One thing that is wrong, and where."""

    place: Place
    message: str


@dataclass(frozen=True, kw_only=True)
class Node:
    """One value of the file, and where it stands."""

    value: str | float | bool | list[Node] | dict[str, Node] | None
    place: Place
    key_place: Place | None = None
    """Place of the key, for a value of a mapping."""
    size: int = 1
    """Values in it, itself included."""
    height: int = 1
    """Levels of nesting in it, its own included."""

    @property
    def entries(self) -> list[Node]:
        """Values of a list; nothing for any other value."""
        return self.value if isinstance(self.value, list) else []

    def child(self, key: str | int) -> Node | None:
        """Value of a key or index, None where there is none."""
        if isinstance(self.value, dict):
            return self.value.get(str(key))
        if isinstance(self.value, list) and isinstance(key, int) and key < len(self.value):
            return self.value[key]
        return None

    def text(self, key: str) -> str | None:
        """Value of a key when it is a text."""
        node = self.child(key)
        return node.value if node is not None and isinstance(node.value, str) else None

    def place_of(self, key: str) -> Place:
        """Place of the value of a key; the node's own when the key is not there."""
        node = self.child(key)
        return node.place if node else self.place


def read_tree(path: Path) -> tuple[Node, list[Problem]]:
    """Tree of the only document of a file, and problems that do not hinder reading on.

    The root is a mapping. A key that stands twice keeps its first value; both the second and every tag are problems.

    Raises:
        ScenarioError: the file cannot be read, is not UTF-8, is larger than ``MAX_BYTES``, or its text is no YAML, not
            one mapping, or larger or deeper than allowed; one line per problem, sorted by place.
    """
    builder = _TreeBuilder(_text_of(path))
    try:
        return builder.document(), builder.problems
    except _UnreadableError as error:
        raise refusal(path, [*builder.problems, error.problem]) from error


def json_of(node: Node) -> str:
    """The tree as JSON: strict validation takes a word for an enumeration only when it comes as JSON."""
    return json.dumps(_plain(node))


def _plain(node: Node) -> Any:
    """The tree as plain lists, dictionaries and scalars."""
    if isinstance(node.value, dict):
        return {key: _plain(inner) for key, inner in node.value.items()}
    if isinstance(node.value, list):
        return [_plain(inner) for inner in node.value]
    return node.value


# --- problems in words -----------------------------------------------------------------------------------------------


def refusal(path: Path, problems: Iterable[Problem]) -> ScenarioError:
    """The error that lists problems by place, each once, the first ``MAX_PROBLEMS`` of them."""
    ordered = sorted(set(problems))
    lines = [f"{path}:{at.line}:{at.column}: {message}" for at, message in ordered[:MAX_PROBLEMS]]
    if len(ordered) > MAX_PROBLEMS:
        lines.append(f"{path}: and {len(ordered) - MAX_PROBLEMS} more problems; fix these first.")
    return ScenarioError("\n".join(lines))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most alike, None where none is much alike."""
    return next(iter(get_close_matches(name, list(known), n=1)), None)


def quoted(text: str, longest: int = 80) -> str:
    """Text in quotes, shortened, with everything a terminal could obey escaped."""
    return repr(text if len(text) <= longest else text[: longest - 3] + "...")


def shown(value: Any) -> str:
    """A value as the message shows it, always on one line."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"{str(value).lower()}, which is neither a number nor a text"
    if isinstance(value, str):
        return f"{quoted(value)} (a text)" if value else "an empty text"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    return "a mapping" if isinstance(value, dict) else f"the number {value}"


def is_number(text: str) -> bool:
    """Whether a text would be a finite number if it stood without quotes."""
    return bool(_INTEGER.fullmatch(text) or _FLOAT.fullmatch(text))


# --- the file --------------------------------------------------------------------------------------------------------


def _text_of(path: Path) -> str:
    try:
        if not path.exists():
            raise ScenarioError(f"{path}: there is no such file.{_neighbour(path)} Check the path.")
        if not path.is_file():
            raise ScenarioError(f"{path}: not a regular file; a scenario is a text file such as scenarios/NAME.yaml.")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ScenarioError(f"{path}: cannot be read: {reason}. Check the path and its permissions.") from error
    if len(data) > MAX_BYTES:
        raise ScenarioError(
            f"{path}: larger than {MAX_BYTES} bytes, the most a scenario file may have. Is it the right file? "
            "Otherwise split it into several scenarios."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ScenarioError(
            f"{path}:{line}:1: not UTF-8 text: byte 0x{data[error.start]:02x} at offset {error.start}. "
            "Save the file as UTF-8."
        ) from error


def _neighbour(path: Path) -> str:
    near = nearest(path.name, (file.name for file in path.parent.glob("*.yaml"))) if path.parent.is_dir() else None
    return f" Did you mean {str(path.with_name(near))!r}?" if near else ""


# --- the tree --------------------------------------------------------------------------------------------------------


class _UnreadableError(Exception):
    """The text cannot be read any further; what follows the place is unknown."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(place, message)


_ROOT = "a mapping with the keys name, summary, task, model, cases and seeds"
_SEE_EXAMPLE = "See scenarios/tiny-t2i.yaml for one that works."


class _TreeBuilder:
    """Builds a tree from parser events, so that size and depth are known before anything is built."""

    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self._events = _events(text)
        self._anchors: dict[str, Node] = {}
        self._nodes = 0

    def document(self) -> Node:
        """The root of the only document, which is a mapping."""
        next(self._events)  # the start of the stream
        start = next(self._events)
        if start.name == "StreamEnd":
            raise _UnreadableError(Place(1, 1), f"the file is empty; allowed is {_ROOT}. {_SEE_EXAMPLE}")
        if start.version not in {None, (1, 2)}:
            major, minor = start.version
            raise _UnreadableError(
                start.place, f"the file says YAML {major}.{minor}; allowed is YAML 1.2. Remove the line %YAML."
            )
        root = self._node(next(self._events), depth=1)
        if not isinstance(root.value, dict):
            observed = "the file is empty" if root.value is None else f"found {shown(root.value)}"
            raise _UnreadableError(root.place, f"{observed}; allowed is {_ROOT}. {_SEE_EXAMPLE}")
        next(self._events)  # the end of the document
        after = next(self._events)
        if after.name != "StreamEnd":
            raise _UnreadableError(
                after.place, "a second document starts here; allowed is one scenario a file. Move it to its own file."
            )
        return root

    def _node(self, event: _Event, *, depth: int) -> Node:
        if event.name == "Alias":
            return self._aliased(event, depth=depth)
        self._spend(1, event.place)
        _refuse_depth(depth, event.place)
        if event.tag is not None:
            self.problems.append(
                Problem(event.place, f"the tag {quoted(event.tag)}; tags are not allowed. Write the plain value.")
            )
        build = {"Scalar": self._scalar, "SequenceStart": self._sequence, "MappingStart": self._mapping}[event.name]
        node = build(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _aliased(self, event: _Event, *, depth: int) -> Node:
        anchor = str(event.anchor)
        if anchor not in self._anchors:
            near = nearest(anchor, self._anchors)
            hint = f" Did you mean *{near}?" if near else ""
            raise _UnreadableError(
                event.place,
                f"the alias *{anchor}, and no finished value above is called &{anchor}.{hint} Write the value itself.",
            )
        node = self._anchors[anchor]
        self._spend(node.size, event.place)
        _refuse_depth(depth + node.height - 1, event.place)
        return replace(node, place=event.place)

    def _scalar(self, event: _Event, _depth: int) -> Node:
        value: str | float | bool | None = event.value
        if event.plain:
            value = _core_value(event.value, event.place)
        return Node(value=value, place=event.place)

    def _sequence(self, event: _Event, depth: int) -> Node:
        entries = []
        while (inner := next(self._events)).name != "SequenceEnd":
            entries.append(self._node(inner, depth=depth + 1))
        return _branch(entries, event.place)

    def _mapping(self, event: _Event, depth: int) -> Node:
        entries: dict[str, Node] = {}
        while (key := next(self._events)).name != "MappingEnd":
            if key.name != "Scalar":
                raise _UnreadableError(
                    key.place, "a key that is not a word; allowed are plain keys. Write the key as a word."
                )
            value = next(self._events)
            node = replace(self._node(value, depth=depth + 1), key_place=key.place)
            if value.plain and not value.value and value.name == "Scalar":
                # The parser places a value that is left out where the next key begins.
                node = replace(node, place=key.place)
            if key.value in entries:
                first = entries[key.value].key_place
                self.problems.append(
                    Problem(
                        key.place,
                        f"the key {quoted(key.value)} stands here again, first in line {first.line if first else 0}; "
                        "allowed is once. Remove one of the two.",
                    )
                )
                continue
            entries[key.value] = node
        return _branch(entries, event.place)

    def _spend(self, nodes: int, place: Place) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise _UnreadableError(
                place,
                f"more than {MAX_NODES} values up to here, those that aliases repeat included; allowed are {MAX_NODES}."
                " Write fewer cases in one file, and no aliases of aliases.",
            )


def _refuse_depth(depth: int, place: Place) -> None:
    if depth > MAX_DEPTH:
        raise _UnreadableError(
            place, f"nested deeper than {MAX_DEPTH} levels; a scenario needs 4. Remove brackets or indentation."
        )


def _branch(value: list[Node] | dict[str, Node], place: Place) -> Node:
    """Node of a list or mapping, which is as large as what is in it."""
    inner = list(value.values()) if isinstance(value, dict) else value
    size = 1 + sum(node.size for node in inner)
    height = 1 + max((node.height for node in inner), default=0)
    return Node(value=value, place=place, size=size, height=height)


# --- events of the parser --------------------------------------------------------------------------------------------


class _Event(NamedTuple):
    """One event of the YAML parser, without the parser's types."""

    name: str
    place: Place
    value: str
    anchor: str | None
    tag: str | None
    plain: bool
    version: tuple[int, int] | None


def _events(text: str) -> Iterator[_Event]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    last = Place(1, 1)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            last = Place(event.start_mark.line + 1, event.start_mark.column + 1)
            yield _Event(
                name=type(event).__name__.removesuffix("Event"),
                place=last,
                value=_whole_characters(getattr(event, "value", None) or ""),
                anchor=getattr(event, "anchor", None),
                tag=getattr(event, "tag", None),
                plain=not getattr(event, "style", None),
                version=getattr(event, "version", None),
            )
    except (YAMLError, ValueError, OverflowError, LookupError) as error:
        # Beside its own errors the parser lets those of chr() and int() through for escapes that are no character.
        raise _unreadable(error, text, last) from error


def _whole_characters(text: str) -> str:
    """Join the two escapes that JSON writes for a character beyond 16 bits; half of such a pair is a ValueError."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16")


def _unreadable(error: Exception, text: str, last: Place) -> _UnreadableError:
    """What the parser says, at the place it names; errors that name none get the last place that was read."""
    position = getattr(error, "position", None)
    if isinstance(position, int):
        place = Place(text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position))
        return _UnreadableError(place, "found a control character; allowed is plain text. Remove it.")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return _UnreadableError(
            last, "found an escape that is no character, here or right after; allowed are whole characters. Remove it."
        )
    context = getattr(error, "context", None)
    problem = f"{getattr(error, 'problem', None) or error}{f' ({context})' if context else ''}"
    return _UnreadableError(
        Place(mark.line + 1, mark.column + 1),
        f"not valid YAML: {problem}. Look at indentation, quotes and colons here and on the line above.",
    )


# --- plain scalars ---------------------------------------------------------------------------------------------------

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{sign + word: math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}


def _core_value(text: str, place: Place) -> str | float | bool | None:
    """Value of a plain scalar by the core schema of YAML 1.2: ``010`` is ten, ``1e3`` a number, ``no`` a text."""
    if text in _WORDS:
        return _WORDS[text]
    kind = int if _INTEGER.fullmatch(text) else float if _FLOAT.fullmatch(text) else str
    if kind is not str and len(text) > MAX_NUMBER_CHARACTERS:
        raise _UnreadableError(
            place,
            f"a number of {len(text)} characters; allowed are {MAX_NUMBER_CHARACTERS}. Put a text in quotes.",
        )
    if kind is int:
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    return float(text) if kind is float else text
