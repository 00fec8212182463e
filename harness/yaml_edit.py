"""Replacing entries of one list of a YAML file while every other byte stays as it is."""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_BOM = "\ufeff"
_DASH = re.compile(r"(\s*)-(\s|$)")
_WIDTH = 112


def replace_entries(text: str, key: str, *, drop: Collection[int], add: Sequence[Mapping[str, Any]]) -> str:
    r"""The text without the entries ``drop`` of the list at ``key``, and with ``add`` behind the last one.

    Comments that stand between entries stay; those inside a dropped entry go with it. A list that is not there is
    added at the end of the text.

    >>> print(replace_entries("a: 1  # one\nb:\n  # two\n  - x: 2\n", "b", drop=[0], add=[{"x": 3}]), end="")
    a: 1  # one
    b:
      # two
      - {x: 3}

    Raises:
        UsageError: the list is written in brackets, or something else refers to what would be dropped.
    """
    before, newline = _loaded(text), "\r\n" if "\r\n" in text else "\n"
    edited = _edited(text, key, drop, add).replace("\r\n", "\n").replace("\n", newline)
    old = before.get(key) or []
    wanted = before | {key: [*(entry for index, entry in enumerate(old) if index not in drop), *map(dict, add)]}
    if not _says(edited, wanted):
        raise UsageError(f"{key} is written in a way that cannot be edited safely; write it as a plain block list.")
    return edited


def require_block_list(text: str, key: str) -> None:
    """Refuse a list that ``replace_entries`` could not edit.

    Raises:
        UsageError: the list is written in brackets.
    """
    _, node = _nodes(text, key)
    if getattr(node, "flow_style", False) and node.value:
        raise UsageError(
            f"{key} is written in brackets, where entries cannot be replaced while all else stays; allowed is a block "
            f"list, each entry on lines of its own that begin with '- '. Rewrite {key}."
        )


def _edited(text: str, key: str, drop: Collection[int], add: Sequence[Mapping[str, Any]]) -> str:
    require_block_list(text, key)
    name, node = _nodes(text, key)
    lines = text.splitlines(keepends=True)
    if node is None or not node.value:
        kept = [line for number, line in enumerate(lines) if name is None or number != name.start_mark.line]
        ending = "" if not kept or kept[-1].endswith("\n") else "\n"
        return "".join(kept) + f"{ending}{key}:\n" + _written(add, indent=2)
    spans = [(_dash(lines, entry), _last_line(lines, entry)) for entry in node.value]
    dropped = {line for index in drop for line in range(spans[index][0], spans[index][1] + 1)}
    match = _DASH.match(lines[spans[0][0]])
    end = spans[-1][1] + 1
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += "\n"
    kept = [line for number, line in enumerate(lines[:end]) if number not in dropped]
    return "".join([*kept, _written(add, indent=len(match.group(1)) if match else 0), *lines[end:]])


def _nodes(text: str, key: str) -> tuple[Any, Any]:
    """A key of the file's mapping and its value, with their places; None and None where the key is not there."""
    root = _yaml().compose(text.removeprefix(_BOM))
    return next(((name, value) for name, value in root.value if name.value == key), (None, None))


def _dash(lines: Sequence[str], entry: Any) -> int:
    """Line of the dash before an entry."""
    line: int = entry.start_mark.line
    while not _DASH.match(lines[line]):
        line -= 1
    return line


def _last_line(lines: Sequence[str], node: Any) -> int:
    """Last line with content of a value; what follows a block text up to the next value is not its own."""
    if isinstance(node.value, str) or getattr(node, "flow_style", False) or not node.value:
        line: int = node.end_mark.line
        while (
            node.end_mark.column == 0
            and line > node.start_mark.line
            and (line == node.end_mark.line or not lines[line].strip())
        ):
            line -= 1
        return line
    last = node.value[-1]
    return _last_line(lines, last[1] if isinstance(last, tuple) else last)


def _written(entries: Sequence[Mapping[str, Any]], *, indent: int) -> str:
    yaml = _yaml()
    yaml.default_flow_style = None
    yaml.width = _WIDTH - indent
    yaml.representer.sort_base_mapping_type_on_output = False
    yaml.representer.ignore_aliases = lambda _: True
    stream = StringIO()
    yaml.dump([dict(entry) for entry in entries], stream)
    return "".join(f"{' ' * indent}{line}" for line in stream.getvalue().splitlines(keepends=True))


def _says(text: str, wanted: Any) -> bool:
    from ruamel.yaml.error import YAMLError

    try:
        return bool(_loaded(text) == wanted)
    except YAMLError:
        return False


def _loaded(text: str) -> Any:
    return _yaml().load(text.removeprefix(_BOM))


def _yaml() -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True)
