"""In what two runs were made in other ways: loading, options, command, environment and interpreter, in words."""

from __future__ import annotations

import json
from itertools import takewhile
from typing import TYPE_CHECKING

from harness.language import recorded
from harness.message import joined
from harness.records import Load, NoiseMode, OnPurpose
from harness.text import one_line

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from harness.records import ModelIdentity, Plan, Run

_WHERE_FILES_ARE = {"variant", "revision", "subfolder", "single_file"}
"""Keys of ``load`` that choose the files of a model, which are compared themselves."""
_LONGEST = 160


def differing(plan: Plan, model: ModelIdentity, expected: Run) -> dict[OnPurpose, list[str]]:
    """What differs in the way two runs are made, by what a scenario calls it; nothing where all is the same.

    What an edited scenario says otherwise since a baseline was made is told as an edit: of command, source, attention
    and interpreter only what arms of one scenario say differently counts here.
    """
    other = expected.plan
    sides: dict[OnPurpose, tuple[Mapping[str, object], Mapping[str, object]]] = {
        OnPurpose.OPTIONS: (plan.model.options, other.model.options),
        OnPurpose.ENVIRONMENT: (plan.arm.environment, other.arm.environment),
        OnPurpose.LOAD: (_load(plan, model), _load(other, expected.model)),
    }
    if plan.scenario_digest == other.scenario_digest:
        loads = sides[OnPurpose.LOAD]
        attention = (plan.model.attention, other.model.attention)
        actual, wanted = ({**load, "attention": name} for load, name in zip(loads, attention, strict=True))
        sides[OnPurpose.LOAD] = actual, wanted
        sides[OnPurpose.COMMAND] = _command(plan), _command(other)
        sides[OnPurpose.PYTHON] = {"python": plan.arm.python}, {"python": other.arm.python}
        if NoiseMode.UNVERIFIED in {plan.noise, other.noise}:
            sides[OnPurpose.MODEL] = _source(plan), _source(other)
    return {what: lines for what, (actual, wanted) in sides.items() if (lines := _unlike(actual, wanted))}


def barring(ways: Mapping[OnPurpose, list[str]], meant: Container[OnPurpose]) -> list[str]:
    """Why the two are not compared, and what would allow it."""
    return [
        recorded(
            "{what:s} differs, and nothing says that this is meant (differs_in of the scenario, with {what:s} and a "
            "reason): {how!s}",
            what=what.value,
            how=joined(lines),
        )
        for what, lines in ways.items()
        if what not in meant
    ]


def on_purpose(ways: Mapping[OnPurpose, list[str]], meant: Mapping[OnPurpose, str]) -> list[str]:
    """In what the two differ, and why they are compared all the same."""
    return [
        recorded(
            "{what:s} differs on purpose ({reason!s}): {how!s}", what=what.value, reason=meant[what], how=joined(lines)
        )
        for what, lines in ways.items()
        if what in meant
    ]


def _load(plan: Plan, model: ModelIdentity) -> dict[str, object]:
    """How the pipeline is loaded, with the content of the files in the place of their names."""
    load = plan.model.load or Load()
    keys = load.model_dump(mode="json", exclude=_WHERE_FILES_ARE, exclude_none=True)
    return keys | {f"file {name}": digest[:16] for name, digest in model.load_files.items()}


def _command(plan: Plan) -> dict[str, object]:
    """The command as the arm's name makes it."""
    command = plan.model.command
    if command is None:
        return {}
    words = [word.replace("{arm}", plan.arm.name) for word in command.words]
    return {"words": words, "output": command.output, "environment": command.environment}


def _source(plan: Plan) -> dict[str, object]:
    return {"adapter": plan.model.adapter, "source": plan.model.source, "pictures": plan.model.pictures}


def _unlike(actual: Mapping[str, object], expected: Mapping[str, object]) -> list[str]:
    names = [name for name in {**actual, **expected} if actual.get(name) != expected.get(name)]
    sides = [(name, *_where_they_differ(actual.get(name), expected.get(name))) for name in names]
    return [
        recorded(
            "{name:s}: actual {actual:s}, expected {expected:s}",
            name=name,
            actual=_written(own),
            expected=_written(other),
        )
        for name, own, other in sides
    ]


def _where_they_differ(actual: object, expected: object) -> tuple[object, object]:
    """Of two lists what lies between their common beginning and their common end; other values as they are."""
    if not isinstance(actual, list) or not isinstance(expected, list):
        return actual, expected
    begin = _common(actual, expected)
    end = _common(actual[begin:][::-1], expected[begin:][::-1])
    return actual[begin : len(actual) - end], expected[begin : len(expected) - end]


def _common(actual: list[object], expected: list[object]) -> int:
    """How many values two lists begin with that are the same."""
    pairs = zip(actual, expected, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _written(value: object) -> str:
    """A value as JSON, short; a word where nothing is said."""
    return "default" if value is None else one_line(json.dumps(value, ensure_ascii=False), _LONGEST)
