"""The tree of a scenario file against the records: each finding of the validation as a sentence with its place."""

from __future__ import annotations

import copy
import re
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.records import Scenario
from harness.records.model import FUNCTION, VARIANT
from harness.records.scenario import ENVIRONMENT_NAME
from harness.yaml_tree import Node, Problem, is_number, json_of, nearest, quoted, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

    from harness.records import Record

_PATTERNS = {
    "^[a-z0-9][a-z0-9._-]{0,63}$": (
        "1 to 64 characters out of a-z, 0-9, '.', '_' and '-', a letter or digit first, because it becomes a folder"
    ),
    FUNCTION: "FILE.py:FUNCTION, a Python file and the name of a function in it",
    VARIANT: "letters, digits, '_' and '-', a letter or digit first, such as fp16",
    ENVIRONMENT_NAME: "letters, digits and '_', no digit first, as names of environment variables",
    "^[0-9a-f]{64}$": "a SHA-256 as 64 hexadecimal digits in lower case",
}


def validated(root: Node) -> tuple[Scenario | None, list[Problem]]:
    """The scenario of a tree, none where the records refuse it, and what they refuse."""
    scenario, problems = None, []
    try:
        scenario = Scenario.model_validate_json(json_of(root), strict=True)
    except ValidationError as error:
        problems = [
            _worded(root, fault["loc"], fault["type"], fault["input"])
            for fault in error.errors()
            if fault["type"] != "value_error"  # what _bound_problems, _dual_problems and _npu_ops_problems word better
        ]
    version = root.child("schema_version")
    if version and type(version.value) in {bool, float} and version.value == 1:  # equal to 1 for Python
        problems.append(_worded(root, ("schema_version",), "literal_error", version.value))
    return scenario, problems


def _worded(root: Node, location: tuple[str | int, ...], kind: str, observed: Any) -> Problem:
    """One finding of the validation in the words of this file."""
    where = label_of(location)
    *parents, last = location
    node = _find(root, location)
    if last == "[key]":  # a name that stands for nothing in a mapping whose names are fixed
        key = _find(root, tuple(parents))
        known = _names(tuple(parents[:-1]))
        return Problem(
            (key.key_place or key.place) if key else root.place,
            _unknown_key(str(parents[-1]), known, tuple(parents[:-1])),
        )
    if kind == "extra_forbidden":
        place = node.key_place or node.place if node else root.place
        return Problem(place, _unknown_key(str(last), _keys(tuple(parents)), tuple(parents)))
    definition = definition_of(location)
    if kind == "missing":
        parent = _find(root, tuple(parents)) or root
        what = "a limit without a reason is refused" if _is_reason(location) else "the key is missing"
        return Problem(parent.place, f"{where}: {what}; allowed is {allowed_by(definition)}. Add a line '{last}: ...'.")
    place = node.place if node else root.place
    if _is_reason(location):
        return Problem(
            place,
            f"{where}: found {shown(observed)}; a limit without a reason is refused. "
            f"Say where the number comes from, in {allowed_by(definition)}.",
        )
    return Problem(
        place,
        f"{where}: found {shown(observed)}; allowed is {allowed_by(definition)}.{_advice(observed, definition)}",
    )


def _is_reason(location: tuple[str | int, ...]) -> bool:
    return location[:1] == ("limits",) and location[-1] == "reason"


def _unknown_key(key: str, known: list[str], parents: tuple[str | int, ...]) -> str:
    inside = f" in {label_of(parents)}" if parents else ""
    near = nearest(key, known)
    step = f"Did you mean {near!r}?" if near else "Remove it."
    return f"the key {quoted(key)}{inside} is unknown; allowed are {', '.join(known)}. {step}"


def _find(root: Node, location: tuple[str | int, ...]) -> Node | None:
    node: Node | None = root
    for step in location:
        node = node.child(step) if node else None
    return node


def label_of(location: tuple[str | int, ...]) -> str:
    """Where in words: ``cases[0].prompt``."""
    label = "".join(f"[{step}]" if isinstance(step, int) else f".{shown_key(step)}" for step in location)
    return label.removeprefix(".") or "the file"


def shown_key(key: str) -> str:
    """A key as the place of a problem names it: quoted where it is no plain word."""
    return key if re.fullmatch("[A-Za-z0-9_]+", key) else quoted(key)


@cache
def _scenario_schema() -> dict[str, Any]:
    return Scenario.model_json_schema()


OPTIONS = ("model", "options")
"""Where a scenario has the options of the adapter."""
_schema: ContextVar[dict[str, Any] | None] = ContextVar("schema", default=None)


def _schema_in_force() -> dict[str, Any]:
    return _schema.get() or _scenario_schema()


def option_faults(
    root: Node,
    kind: type[Record],
    options: Node,
    places: Mapping[str, tuple[str | int, ...]],
    default: tuple[str | int, ...] = OPTIONS,
) -> list[Problem]:
    """What an adapter's own record refuses of options.

    ``places`` is where some of them stand, by their names; the others stand at ``default``.
    """
    own = kind.model_json_schema()
    schema = copy.deepcopy(_scenario_schema())
    schema["$defs"] |= own.pop("$defs", {})
    for owner in ("ModelRef", "Arm"):
        schema["$defs"][owner]["properties"]["options"] = own
    before = _schema.set(schema)
    try:
        kind.model_validate_json(json_of(options), strict=True)
    except ValidationError as error:
        return [_fault(root, _stand(fault["loc"], places, default) + fault["loc"], fault) for fault in error.errors()]
    finally:
        _schema.reset(before)
    return []


def _stand(
    location: tuple[str | int, ...], places: Mapping[str, tuple[str | int, ...]], default: tuple[str | int, ...]
) -> tuple[str | int, ...]:
    """Where the options stand to which a finding belongs."""
    return places.get(str(location[0]), default) if location else default


def _fault(root: Node, location: tuple[str | int, ...], fault: ErrorDetails) -> Problem:
    if fault["type"] not in {"value_error", "assertion_error"}:
        return _worded(root, location, fault["type"], fault["input"])
    node = _find(root, location)
    return Problem(node.place if node else root.place, f"{label_of(location)}: {fault['ctx']['error']}")


def _resolved(definition: dict[str, Any]) -> dict[str, Any]:
    """A definition with its reference followed and ``null`` left out of its alternatives."""
    for choice in definition.get("anyOf", []):
        if choice.get("type") != "null":
            return _resolved(choice)
    reference = definition.get("$ref", "")
    if reference:
        return dict(_schema_in_force()["$defs"][reference.rpartition("/")[2]])
    return definition


def definition_of(location: tuple[str | int, ...]) -> dict[str, Any]:
    """What the JSON Schema says about a place; empty where it says nothing."""
    definition = _schema_in_force()
    for step in location:
        if isinstance(step, int):
            inner = definition.get("items", {})
        else:
            inner = definition.get("properties", {}).get(step) or definition.get("additionalProperties") or {}
        definition = _resolved(inner)
    return definition


def _names(location: tuple[str | int, ...]) -> list[str]:
    """The names that a mapping may have as keys, where they are fixed."""
    names = _resolved(definition_of(location).get("propertyNames", {}))
    return [str(name) for name in names.get("enum", [names["const"]] if "const" in names else [])]


def _keys(location: tuple[str | int, ...]) -> list[str]:
    return list(definition_of(location).get("properties", {}))


def allowed_by(definition: dict[str, Any]) -> str:
    """What a definition allows, in words."""
    if "enum" in definition:
        return "one of " + ", ".join(map(str, definition["enum"]))
    if "const" in definition:
        return f"{definition['const']}, the only format this version of the harness reads"
    kind = definition.get("type")
    if kind in {"integer", "number"}:
        return _allowed_number(definition)
    if kind == "array":
        shortest = definition.get("minItems", 0)
        amount = "one entry" if shortest == 1 else f"{shortest} entries"
        return f"a list with at least {amount}" if shortest else "a list"
    if kind == "object":
        keys = list(definition.get("properties", {}))
        return f"a mapping with the keys {', '.join(keys)}" if keys else "a mapping"
    return {"boolean": "true or false", "string": _allowed_text(definition)}.get(str(kind), "another value")


def _allowed_number(definition: dict[str, Any]) -> str:
    text = "a whole number" if definition["type"] == "integer" else "a number"
    lowest, highest = definition.get("minimum"), definition.get("maximum")
    if lowest is not None and highest is not None:
        text += f" from {lowest} to {highest}"
    if "exclusiveMinimum" in definition:
        text += f" above {definition['exclusiveMinimum']:g}"
    if "exclusiveMaximum" in definition:
        text += f" and below {definition['exclusiveMaximum']:g}"
    return text


def _allowed_text(definition: dict[str, Any]) -> str:
    if "pattern" in definition:
        return _PATTERNS.get(definition["pattern"], f"a text that matches {definition['pattern']}")
    if definition.get("format") == "date":
        return "a day written as YYYY-MM-DD"
    shortest = definition.get("minLength", 0)
    return f"a text of at least {shortest} characters" if shortest > 1 else "a text" + " that is not empty" * shortest


def _advice(observed: Any, definition: dict[str, Any]) -> str:
    """The next step, where there is one beyond writing what is allowed."""
    kind = definition.get("type")
    if isinstance(observed, str):
        return _advice_on_text(observed, definition)
    if isinstance(observed, float) and kind == "integer":
        return " Write it without point and exponent."
    if kind == "string" and isinstance(observed, bool | int | float) and "enum" not in definition:
        return " Put it in quotes to make it a text."
    return " Change the value."


def _advice_on_text(observed: str, definition: dict[str, Any]) -> str:
    kind = definition.get("type")
    near = nearest(observed, map(str, definition.get("enum", [])))
    if near:
        return f" Did you mean {near!r}?"
    if kind in {"integer", "number"}:
        return " Write it without quotes." if is_number(observed) else " Write a number."
    if kind == "boolean":
        return " YAML 1.2 knows no yes, no, on and off: write true or false, without quotes."
    return " Change the value."
