"""From a YAML file to a checked question, and from a question to the plan of one arm.

A file is read in three passes: it becomes a tree that knows the place of every key and value (``yaml_tree``), the tree
is compared with the records, and what records cannot say (names of parts, pictures, variables) is checked last. All
problems are gathered and raised together, each with its place.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness import plugins
from harness.contracts import is_outside
from harness.errors import ImageError, ModelError, NothingSelected, ScenarioError, UnknownName, UsageError
from harness.language import language, languages, translated
from harness.records import (
    AnyRecord,
    Arm,
    Case,
    Limit,
    ModelRef,
    NoiseMode,
    NpuOps,
    Plan,
    Repeats,
    Role,
    Scenario,
    Scope,
    Task,
    Waiver,
)
from harness.yaml_tree import Node, Place, Problem, is_number, json_of, nearest, quoted, read_tree, refusal, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from harness.contracts import OutsideAdapter


@dataclass(frozen=True, kw_only=True)
class LoadedScenario:
    """A scenario that passed every check, and what its variables and paths mean on this machine."""

    scenario: Scenario
    """As written: variables unexpanded, paths relative."""
    path: Path
    """The file, absolute."""
    digest: str
    """SHA-256 of the scenario as written, without translations; the same on every machine."""
    model_source: str
    """``model.source`` with variables expanded; a folder by its absolute path."""
    input_images: dict[str, Path]
    """Absolute path of the input picture, by case; empty for tasks that edit nothing."""
    notes: tuple[str, ...] = ()
    """What ought to be known before the scenario is run."""


def load(path: Path) -> LoadedScenario:
    """Read and check a scenario file; loads no model and imports no torch.

    Raises:
        ScenarioError: the file breaks its contract; one line per problem, sorted by place, each with file, line,
            column, what was found, what is allowed and the next step.
    """
    root, problems = _read(path)
    source, notes, source_problems = _model_source(root, path)
    pictures, picture_problems = _input_images(root, path)
    problems += source_problems + picture_problems
    if problems:
        raise refusal(path, problems)
    scenario = _scenario_of(root)
    return LoadedScenario(
        scenario=scenario,
        path=path.absolute(),
        digest=scenario.digest,
        model_source=source,
        input_images=pictures,
        notes=tuple(notes),
    )


def checked(path: Path) -> tuple[Scenario, list[str]]:
    """A scenario that passed every check, and sentences on what this machine makes of its variables and paths.

    A variable stands for what only the machine that runs the scenario knows, so where it is not set the place it
    stands in is not checked, and that is said.

    Raises:
        ScenarioError: the file breaks its contract, as for ``load``.
    """
    root, problems = _read(path)
    _, notes, source_problems = _model_source(root, path)
    on_this_machine = [*source_problems, *_input_images(root, path)[1]]
    unset = [problem for problem in on_this_machine if isinstance(problem, _UnsetProblem)]
    problems += [problem for problem in on_this_machine if not isinstance(problem, _UnsetProblem)]
    if problems:
        raise refusal(path, problems)
    not_checked = [f"{problem.message}. What it stands for was not checked" for problem in unset]
    return _scenario_of(root), [*notes, *not_checked]


def written(path: Path) -> Scenario:
    """A scenario as its file has it, checked but for variables and pictures, which only a machine that runs it needs.

    Raises:
        ScenarioError: the file breaks its contract, as for ``load``.
    """
    root, problems = _read(path)
    if problems:
        raise refusal(path, problems)
    return _scenario_of(root)


def _scenario_of(root: Node) -> Scenario:
    return Scenario.model_validate_json(json_of(root), strict=True)


def names_a_folder(source: str) -> bool:
    """Whether a model's source is a folder, and neither an embedded model nor a repository of a hub.

    >>> names_a_folder("../models/sdxl"), names_a_folder("builtin:tiny-deepgen"), names_a_folder("hf:org/name@main")
    (True, False, False)
    """
    return source.partition(":")[0] not in _SCHEMES


def located(source: str, folder: Path) -> tuple[str, str]:
    """A model's source with a folder by its absolute path, and what ought to be known of how it was found, or no text.

    A folder is relative to ``folder``, that of the scenario file; where only the current folder has it, it is that one.
    """
    if not names_a_folder(source) or "\0" in source:
        return source, ""
    # Unlike those of Path, these functions raise for no name, however long, and for no link.
    written = os.path.expanduser(source)  # noqa: PTH111
    beside, here = (os.path.realpath(base / written) for base in (folder, Path.cwd()))
    if beside == here or not os.path.isdir(here):  # noqa: PTH112
        return beside, ""
    if os.path.isdir(beside):  # noqa: PTH112
        return beside, (
            f"model.source: {quoted(source)} is {beside}, relative to the scenario file; {here}, relative to the "
            "current folder, is another and is not used"
        )
    right = os.path.relpath(here, os.path.realpath(folder))
    return here, (
        f"model.source: {quoted(source)} is {here}, relative to the current folder, because there is no {beside}, "
        f"relative to the scenario file. Write {right!r}, which holds wherever the command is given"
    )


def place(path: Path) -> str:
    """A scenario file below the nearest folder that is called scenarios, so that it holds on every machine.

    >>> place(Path("/home/ada/scenarios/release/text.yaml")), place(Path("text.yaml").absolute())
    ('scenarios/release/text.yaml', 'scenarios/text.yaml')
    """
    folders = path.absolute().parts[:-1]
    if "scenarios" not in folders:
        return f"scenarios/{path.name}"
    return "/".join(path.absolute().parts[len(folders) - 1 - folders[::-1].index("scenarios") :])


def _read(path: Path) -> tuple[Node, list[Problem]]:
    """The file, and everything in it that no machine could use."""
    root, problems = read_tree(path)
    problems += _record_problems(root)
    problems += [*_name_problems(root, path), *_blank_problems(root), *_repetition_problems(root)]
    problems += [*_arm_problems(root), *_adapter_problems(root), *_limit_problems(root), *_waiver_problems(root)]
    problems += [*_calibration_problems(root), *_score_problems(root), *_translation_problems(root)]
    return root, problems


def plan(  # noqa: PLR0913 - one word per option of the command line
    loaded: LoadedScenario,
    arm: Arm,
    *,
    cases: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    repeats: int | None = None,
    processes: int | None = None,
    device: str | None = None,
) -> Plan:
    """Fill in every override of an arm and select its work; selections keep the order of the scenario.

    ``cases`` and ``seeds`` select among those of the scenario; None takes all. ``repeats`` (in one process) and
    ``processes`` replace the scenario's numbers; an arm with repeats of its own keeps them. ``device`` replaces the
    device of a candidate; a reference keeps its own.

    Raises:
        UnknownName: the scenario has no such case, or there is no such backend.
        NothingSelected: a seed is not one of the scenario's, or the selection is empty.
        UsageError: ``repeats`` or ``processes`` is out of range, or ``device`` is not a device.
        ImageError: an input picture changed since the scenario was loaded and cannot be read any more.
    """
    scenario = loaded.scenario
    selected = _select_cases(scenario, cases)
    wanted = arm.repeats or _overridden_repeats(scenario.repeats, repeats, processes)
    _refuse_reading_again(scenario.model, wanted)
    return Plan(
        scenario=scenario.name,
        scenario_digest=loaded.digest,
        arm=_filled_arm(scenario, arm, device),
        task=scenario.task,
        model=scenario.model.model_copy(update={"dtype": arm.dtype or scenario.model.dtype}),
        cases=selected,
        input_digests=_input_digests(loaded, selected),
        seeds=_select_seeds(scenario, seeds),
        width=scenario.width,
        height=scenario.height,
        steps=scenario.steps,
        guidance_scale=scenario.guidance_scale,
        repeats=wanted,
        time_limit_seconds=scenario.time_limit_seconds,
        limits=scenario.limits,
        waivers=scenario.waivers,
        differs_in=scenario.differs_in or {},
    )


def for_calibration(loaded: LoadedScenario) -> LoadedScenario:
    """The same question, asked of the cases and seeds that limits are measured on.

    Raises:
        ScenarioError: the scenario does not say which those are.
    """
    scenario = loaded.scenario
    if scenario.calibration is None:
        free = [seed for seed in range(1001, 1001 + 2 * len(scenario.seeds) + 2) if seed not in scenario.seeds]
        seeds = ", ".join(map(str, free[: max(2, len(scenario.seeds))]))
        raise ScenarioError(
            f"{loaded.path}: calibration: the key is missing; limits are measured on other seeds than they judge. Add "
            f"for example:\n\ncalibration:\n  seeds: [{seeds}]\n"
        )
    wanted = scenario.calibration
    cases = [case for case in scenario.cases if not wanted.cases or case.id in wanted.cases]
    asked = scenario.model_copy(update={"cases": cases, "seeds": wanted.seeds})
    return replace(loaded, scenario=asked)


def of_options(values: dict[str, Any], input_image: Path | None) -> LoadedScenario:
    """A question of one case from the options of a command line, checked like a file.

    Raises:
        UsageError: an option is out of its range, or the picture cannot be read.
    """
    try:
        scenario = Scenario.model_validate(values)
    except ValidationError as error:
        found = error.errors()[0]
        allowed = _allowed(_definition(found["loc"]))
        raise UsageError(f"--{_label(found['loc'])}: found {shown(found['input'])}; allowed is {allowed}.") from error
    if input_image is not None:
        _check_picture(input_image, str(input_image))
    return LoadedScenario(
        scenario=scenario,
        path=Path.cwd(),
        digest=scenario.digest,
        model_source=scenario.model.source,
        input_images={scenario.cases[0].id: input_image.absolute()} if input_image else {},
    )


def own_words(scenario: Scenario, text: str) -> str:
    """A text of a report in the spoken language, by the scenario's own translations where it holds its words.

    That is its summary, a reason, or a sentence of a record with the reason of a waiver or of a difference on purpose
    in it; what the scenario does not translate is ``translated``, and stays as it is where no catalogue knows it.
    """
    return translated(text, scenario.translations.get(language(), {}))


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a scenario file, for editors; ``load`` checks more than a schema can say.

    >>> schema()["title"]
    'Scenario of the accuracy harness'
    """
    described = Scenario.model_json_schema()
    described["properties"]["seeds"]["uniqueItems"] = True
    described["properties"]["translations"]["propertyNames"] = {"enum": languages()}
    described["$defs"]["Limit"]["oneOf"] = [
        {"required": [bound], "properties": {bound: {"type": "number"}}} for bound in _BOUNDS
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **described,
        "title": "Scenario of the accuracy harness",
    }


_SCHEMES = ("builtin", "hf", "modelscope")
"""What stands before the colon of a source that is no folder."""


def write_schema(path: Path) -> None:
    """Write the JSON Schema as indented UTF-8 text with a newline at the end."""
    path.write_text(_schema_text(), encoding="utf-8", newline="\n")


# --- the tree against the records ------------------------------------------------------------------------------------

_PATTERNS = {
    "^[a-z0-9][a-z0-9._-]{0,63}$": (
        "1 to 64 characters out of a-z, 0-9, '.', '_' and '-', a letter or digit first, because it becomes a folder"
    ),
    "^[0-9a-f]{64}$": "a SHA-256 as 64 hexadecimal digits in lower case",
}


def _record_problems(root: Node) -> list[Problem]:
    problems = []
    try:
        Scenario.model_validate_json(json_of(root), strict=True)
    except ValidationError as error:
        problems = [
            _worded(root, found["loc"], found["type"], found["input"])
            for found in error.errors()
            if found["type"] != "value_error"  # what _bound_problems, _dual_problems and _npu_ops_problems word better
        ]
    version = root.child("schema_version")
    if version and type(version.value) in {bool, float} and version.value == 1:  # equal to 1 for Python
        problems.append(_worded(root, ("schema_version",), "literal_error", version.value))
    return problems


def _worded(root: Node, location: tuple[str | int, ...], kind: str, observed: Any) -> Problem:
    """One finding of the validation in the words of this file."""
    where = _label(location)
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
    definition = _definition(location)
    if kind == "missing":
        parent = _find(root, tuple(parents)) or root
        what = "a limit without a reason is refused" if _is_reason(location) else "the key is missing"
        return Problem(parent.place, f"{where}: {what}; allowed is {_allowed(definition)}. Add a line '{last}: ...'.")
    place = node.place if node else root.place
    if _is_reason(location):
        return Problem(
            place,
            f"{where}: found {shown(observed)}; a limit without a reason is refused. "
            f"Say where the number comes from, in {_allowed(definition)}.",
        )
    return Problem(
        place,
        f"{where}: found {shown(observed)}; allowed is {_allowed(definition)}.{_advice(observed, definition)}",
    )


def _is_reason(location: tuple[str | int, ...]) -> bool:
    return location[:1] == ("limits",) and location[-1] == "reason"


def _unknown_key(key: str, known: list[str], parents: tuple[str | int, ...]) -> str:
    inside = f" in {_label(parents)}" if parents else ""
    near = nearest(key, known)
    step = f"Did you mean {near!r}?" if near else "Remove it."
    return f"the key {quoted(key)}{inside} is unknown; allowed are {', '.join(known)}. {step}"


def _find(root: Node, location: tuple[str | int, ...]) -> Node | None:
    node: Node | None = root
    for step in location:
        node = node.child(step) if node else None
    return node


def _label(location: tuple[str | int, ...]) -> str:
    """Where in words: ``cases[0].prompt``."""
    words = "".join(f"[{step}]" if isinstance(step, int) else f".{_key(step)}" for step in location)
    return words.removeprefix(".") or "the file"


def _key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z0-9_]+", key) else quoted(key)


@cache
def _scenario_schema() -> dict[str, Any]:
    return Scenario.model_json_schema()


def _resolved(definition: dict[str, Any]) -> dict[str, Any]:
    """A definition with its reference followed and ``null`` left out of its alternatives."""
    for choice in definition.get("anyOf", []):
        if choice.get("type") != "null":
            return _resolved(choice)
    reference = definition.get("$ref", "")
    if reference:
        return dict(_scenario_schema()["$defs"][reference.rpartition("/")[2]])
    return definition


def _definition(location: tuple[str | int, ...]) -> dict[str, Any]:
    """What the JSON Schema says about a place; empty where it says nothing."""
    definition = _scenario_schema()
    for step in location:
        if isinstance(step, int):
            inner = definition.get("items", {})
        else:
            inner = definition.get("properties", {}).get(step) or definition.get("additionalProperties") or {}
        definition = _resolved(inner)
    return definition


def _names(location: tuple[str | int, ...]) -> list[str]:
    """The names that a mapping may have as keys, where they are fixed."""
    names = _resolved(_definition(location).get("propertyNames", {}))
    return [str(name) for name in names.get("enum", [names["const"]] if "const" in names else [])]


def _keys(location: tuple[str | int, ...]) -> list[str]:
    return list(_definition(location).get("properties", {}))


def _allowed(definition: dict[str, Any]) -> str:
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
        words = "one entry" if shortest == 1 else f"{shortest} entries"
        return f"a list with at least {words}" if shortest else "a list"
    if kind == "object":
        keys = list(definition.get("properties", {}))
        return f"a mapping with the keys {', '.join(keys)}" if keys else "a mapping"
    return {"boolean": "true or false", "string": _allowed_text(definition)}.get(str(kind), "another value")


def _allowed_number(definition: dict[str, Any]) -> str:
    words = "a whole number" if definition["type"] == "integer" else "a number"
    lowest, highest = definition.get("minimum"), definition.get("maximum")
    if lowest is not None and highest is not None:
        words += f" from {lowest} to {highest}"
    if "exclusiveMinimum" in definition:
        words += f" above {definition['exclusiveMinimum']:g}"
    if "exclusiveMaximum" in definition:
        words += f" and below {definition['exclusiveMaximum']:g}"
    if "multipleOf" in definition:
        words += f" that is a multiple of {definition['multipleOf']}"
    return words


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
    if "multipleOf" in definition and isinstance(observed, int) and observed > definition["minimum"]:
        step = definition["multipleOf"]
        below = observed // step * step
        if below < definition["maximum"]:
            return f" The nearest are {below} and {below + step}."
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


# --- what records cannot say -----------------------------------------------------------------------------------------

_BOUNDS = ("at_least", "at_most", "equals")


def _nodes(root: Node, key: str) -> list[Node]:
    node = root.child(key)
    return node.entries if node else []


def _valid(root: Node, key: str, kind: type[AnyRecord]) -> Iterator[tuple[str, Node, AnyRecord]]:
    """Label, node and record of those entries that are such a record; the validation has reported the others."""
    for index, node in enumerate(_nodes(root, key)):
        with suppress(ValidationError):
            yield f"{key}[{index}]", node, kind.model_validate_json(json_of(node), strict=True)


def _name_problems(root: Node, path: Path) -> Iterator[Problem]:
    name = root.text("name")
    if name is not None and name != path.stem:
        allowed = f"allowed is {quoted(path.stem)}, the name of the file. Rename one of the two."
        yield Problem(root.place_of("name"), f"name: found {quoted(name)}; {allowed}")
    model = root.child("model")
    adapter = model.text("adapter") if model else None
    if model and adapter is not None and adapter not in plugins.names("adapters"):
        unknown = UnknownName("adapter", adapter, plugins.names("adapters"))
        yield Problem(model.place_of("adapter"), f"model.adapter: {unknown}")


def _blank_problems(root: Node) -> Iterator[Problem]:
    """Texts that are not empty and still say nothing."""
    texts = [("summary", root, "summary")]
    texts += [(f"cases[{index}].prompt", node, "prompt") for index, node in enumerate(_nodes(root, "cases"))]
    texts += [(f"limits[{index}].reason", node, "reason") for index, node in enumerate(_nodes(root, "limits"))]
    for index, node in enumerate(_nodes(root, "waivers")):
        texts += [(f"waivers[{index}].{key}", node, key) for key in ("reason", "owner")]
    meant = root.child("differs_in")
    texts += [(f"differs_in.{key}", meant, key) for key, _ in _items(meant) if meant is not None]
    for label, node, key in texts:
        if (node.text(key) or "x").isspace():
            refused = (
                "a limit without a reason is refused"
                if label.startswith("limits")
                else "allowed is a text that says something"
            )
            yield Problem(node.place_of(key), f"{label}: found only spaces; {refused}. Write what it has to say.")


def _repetition_problems(root: Node) -> Iterator[Problem]:
    ids = [inner for node in _nodes(root, "cases") if (inner := node.child("id"))]
    names = [inner for node in _nodes(root, "arms") if (inner := node.child("name"))]
    for what, nodes in (("cases: the id", ids), ("arms: the name", names), ("seeds: the seed", _nodes(root, "seeds"))):
        for first, again in _repeated(nodes):
            value = quoted(again.value) if isinstance(again.value, str) else again.value
            yield Problem(
                again.place,
                f"{what} {value} stands here again, first in line {first.place.line}; allowed is once. "
                "Change or remove one of the two.",
            )


def _repeated(nodes: Iterable[Node]) -> Iterator[tuple[Node, Node]]:
    """First and later node of every text or whole number that comes more than once."""
    seen: dict[str | int, Node] = {}
    for node in nodes:
        if isinstance(node.value, str | int) and not isinstance(node.value, bool):
            first = seen.setdefault(node.value, node)
            if first is not node:
                yield first, node


def _arm_problems(root: Node) -> Iterator[Problem]:
    yield from _npu_ops_problems(root)
    yield from _baseline_problems(root)
    arms = list(_valid(root, "arms", Arm))
    yield from _against_problems(arms)
    for label, node, arm in arms:
        try:
            _check_device(arm.device)
        except UsageError as error:
            yield Problem(node.place_of("device"), f"{label}.device: {error}")
    references = [(label, node) for label, node, arm in arms if arm.role is Role.REFERENCE]
    if not references:
        return
    if len(references) == len(_nodes(root, "arms")):
        yield Problem(
            root.place_of("arms"),
            "arms: found references only; allowed is at least one candidate, which is what is validated. "
            "Add an arm, or remove one 'role: reference'.",
        )
    if not any(node.text("scope") == Scope.REFERENCE for node in _nodes(root, "limits")):
        label, node = references[0]
        yield Problem(
            node.place_of("role"),
            f"{label}: found a reference, and no limit with scope: reference that would judge by it; allowed is a "
            "reference with at least one such limit. Add the limit, with its reason, or remove the arm.",
        )


def _baseline_problems(root: Node) -> Iterator[Problem]:
    """What is validated is run; only what it is compared with may be read from the store."""
    for index, node in enumerate(_nodes(root, "arms")):
        wanted = node.child("baseline")
        if wanted is not None and wanted.value is True and node.text("role") != Role.REFERENCE:
            yield Problem(
                node.place_of("baseline"),
                f"arms[{index}].baseline: found in a candidate; allowed is an arm with role: reference, because a "
                "candidate is run. Write 'role: reference', or remove baseline.",
            )


def _against_problems(arms: Sequence[tuple[str, Node, Arm]]) -> Iterator[Problem]:
    """A candidate names references of the scenario, and a reference names none."""
    references = [arm.name for _, _, arm in arms if arm.role is Role.REFERENCE]
    for label, node, arm in arms:
        if arm.against is None:
            continue
        if arm.role is Role.REFERENCE:
            yield Problem(
                node.place_of("against"),
                f"{label}.against: found in a reference; allowed is a candidate, which is what references are for. "
                "Remove the key.",
            )
        for name in arm.against:
            if name not in references:
                error = UnknownName("reference arm", name, references)
                yield Problem(node.place_of("against"), f"{label}.against: {error}")


def _npu_ops_problems(root: Node) -> Iterator[Problem]:
    """Fused operators are answered for CPU arms only; on a card the card answers."""
    for index, node in enumerate(_nodes(root, "arms")):
        device = node.text("device") or "auto"
        if node.text("npu_ops") and not _is_cpu(device):
            yield Problem(
                node.place_of("npu_ops"),
                f"arms[{index}].npu_ops: found in an arm with device: {device}; allowed is an arm with device: cpu, "
                "where no card answers. Change the device, or remove npu_ops.",
            )


_OF_ONE_ADAPTER = {"pictures": "images", "command": "command"}
"""Keys of a model that only one adapter knows."""


def _adapter_problems(root: Node) -> Iterator[Problem]:
    """What does not fit where the pictures come from."""
    model = root.child("model")
    name = (model.text("adapter") if model else None) or ModelRef.model_fields["adapter"].default
    if model is None or name not in plugins.names("adapters"):
        return
    for key, owner in _OF_ONE_ADAPTER.items():
        if model.child(key) and name != owner:
            step = f"Write 'adapter: {owner}', or remove the key."
            yield Problem(
                model.place_of(key), f"model.{key}: found with the adapter {name}; allowed with {owner} only. {step}"
            )
    arms = [(f"arms[{index}].", node) for index, node in enumerate(_nodes(root, "arms"))]
    adapter = plugins.load("adapters", name)
    for label, node in [("", root), *arms]:
        yield from _noise_problems(label, node, name, outside=is_outside(adapter))
    if is_outside(adapter):
        yield from _template_problems(model, adapter)
        for label, node in arms:
            yield from _outside_arm_problems(label, node, name, computes=adapter.COMPUTES)


def _template_problems(model: Node, adapter: OutsideAdapter) -> Iterator[Problem]:
    """Names in braces that stand for nothing, or that are missing, before a run finds them."""
    with suppress(ValidationError):  # which is reported already
        described = ModelRef.model_validate_json(json_of(model), strict=True)
        key = next((key for key, owner in _OF_ONE_ADAPTER.items() if owner == described.adapter), "adapter")
        try:
            adapter.check_template(described)
        except (UnknownName, ModelError) as error:
            yield Problem(model.place_of(key), f"model.{key}: {error}")


def _noise_problems(label: str, node: Node, adapter: str, *, outside: bool) -> Iterator[Problem]:
    """A noise is unverified where the pictures are made outside the worker, and nowhere else."""
    noise = node.text("noise")
    if noise == NoiseMode.BASELINE:
        yield Problem(
            node.place_of("noise"),
            f"{label}noise: found 'baseline'; allowed is portable or device. The noise of a baseline is taken where a "
            "reference arm has 'baseline: true'. Remove the key.",
        )
        return
    if noise not in set(NoiseMode) or (noise == NoiseMode.UNVERIFIED) == outside:
        return
    where = "outside the worker" if outside else "in the worker"
    allowed = "unverified" if outside else "portable or device"
    yield Problem(
        node.place_of("noise"),
        f"{label}noise: found {quoted(noise)}; allowed with the adapter {adapter}, whose pictures are made {where}, is "
        f"{allowed}. Remove the key.",
    )


def _outside_arm_problems(label: str, arm: Node, adapter: str, *, computes: bool) -> Iterator[Problem]:
    if arm.text("npu_ops"):
        yield Problem(
            arm.place_of("npu_ops"),
            f"{label}npu_ops: found with the adapter {adapter}, whose pictures are made outside the worker, where "
            "nothing can be answered; allowed is an arm without it. Remove the key.",
        )
    if not computes or arm.text("device"):  # none at all may still come from the command line
        try:
            _refuse_other_device(adapter, arm.text("device") or "auto", computes=computes)
        except UsageError as error:
            yield Problem(arm.place_of("device"), f"{label}device: {error}")


def _is_cpu(device: str) -> bool:
    return device.partition(":")[0] == "cpu"


def _check_device(device: str) -> None:
    """Refuse what is not ``auto``, a backend, or a backend with an index.

    Raises:
        UnknownName: there is no such backend.
        UsageError: what follows the colon is no index.
    """
    backend, colon, index = device.partition(":")
    known = plugins.names("backends")
    if device != "auto" and backend not in known:
        raise UnknownName("backend", backend, ["auto", *known])
    if colon and not re.fullmatch("[0-9]{1,4}", index):
        raise UsageError(
            f"found {quoted(device)}; allowed after the colon is an index from 0 to 9999. Write {backend}:0, "
            f"or {backend} alone for the first."
        )


def _limit_problems(root: Node) -> Iterator[Problem]:
    for index, node in enumerate(_nodes(root, "limits")):
        if isinstance(node.value, dict):
            yield from _bound_problems(f"limits[{index}]", node)
            yield from _dual_problems(f"limits[{index}]", node)
    limits = list(_valid(root, "limits", Limit))
    for label, node, limit in limits:
        yield from _limit_place_problems(root, label, node, limit)
        if limit.ratio_to is not None and not any(_caps(other, limit) for _, _, other in limits):
            of = "" if limit.subject == "image" else f"subject: {limit.subject}, "
            yield Problem(
                node.place_of("ratio_to"),
                f"{label}.ratio_to: found a limit on a ratio alone, which two arms that are both wrong keep; allowed "
                f"is one with an absolute limit beside it. Add a limit with metric: {limit.metric}, {of}scope: "
                f"reference, arm: {limit.arm} and at_most, with its reason.",
            )
        if limit.metric in plugins.names("scores"):
            yield from _score_limit_problems(root, label, node, limit)
            continue
        try:
            metric = plugins.load("metrics", limit.metric)
        except UnknownName as error:
            yield Problem(node.place_of("metric"), f"{label}.metric: {error}")
            continue
        subjects = metric.SUBJECTS
        if limit.ratio_to is not None and not hasattr(metric, "rounding_floor"):
            known = [
                name for name in plugins.names("metrics") if hasattr(plugins.load("metrics", name), "rounding_floor")
            ]
            yield Problem(
                node.place_of("metric"),
                f"{label}.metric: found {quoted(limit.metric)}, of which no ratio has a meaning; allowed with ratio_to "
                f"is an error that is 0 for equal pictures: {', '.join(known)}. Choose one, or remove ratio_to.",
            )
        if limit.subject not in subjects:
            yield Problem(
                node.place_of("subject"),
                f"{label}.subject: found {limit.subject!r}, on which the metric {limit.metric!r} is not defined; "
                f"allowed is {' or '.join(subjects)}. Change the subject, or choose another metric.",
            )


def _score_problems(root: Node) -> Iterator[Problem]:
    """Scores that nothing can give, or that are asked for twice."""
    nodes = _nodes(root, "scores")
    for index, node in enumerate(nodes):
        if isinstance(node.value, str) and node.value not in plugins.names("scores"):
            yield Problem(node.place, f"scores[{index}]: {UnknownName('score', node.value, plugins.names('scores'))}")
    for first, again in _repeated(nodes):
        yield Problem(
            again.place,
            f"scores: {quoted(str(again.value))} stands here again, first in line {first.place.line}; allowed is once. "
            "Remove one of the two.",
        )


def _score_limit_problems(root: Node, label: str, node: Node, limit: Limit) -> Iterator[Problem]:
    """A limit on a score judges how far two arms may be apart, over all cases and seeds together."""
    if limit.metric not in [each.value for each in _nodes(root, "scores")]:
        yield Problem(
            node.place_of("metric"),
            f"{label}.metric: found the score {quoted(limit.metric)}, for which the scenario does not ask; allowed is "
            f"one of its scores. Add 'scores: [{limit.metric}]'.",
        )
    if limit.scope is not Scope.REFERENCE or limit.ratio_to is not None or limit.subject != "image":
        yield Problem(
            node.place,
            f"{label}: found a limit on a score with scope: {limit.scope}, subject: {limit.subject} and ratio_to: "
            f"{limit.ratio_to}; allowed is scope: reference without the other two, because it judges the difference of "
            "two arms. Change the keys.",
        )
    if limit.at_most is None or not 0 < limit.at_most < 1:
        yield Problem(
            node.place,
            f"{label}: found {limit.rule}; allowed is at_most with a number above 0 and below 1, the largest "
            "difference of two arms that counts as equivalent. Write 'at_most: 0.01' for one percentage point.",
        )


def _dual_problems(label: str, limit: Node) -> Iterator[Problem]:
    """What else a limit must say when it judges a ratio."""
    if not limit.text("ratio_to"):
        return
    place, found = limit.place_of("ratio_to"), f"{label}.ratio_to: found {quoted(limit.text('ratio_to') or '')}"
    if limit.text("scope") == Scope.REPEAT:
        yield Problem(place, f"{found} with scope: repeat; allowed is scope: reference. Change one of the two.")
    elif not limit.text("arm"):
        step = "Add a line 'arm: ...' with a reference arm."
        yield Problem(place, f"{found} and no arm; allowed is an arm that both are compared with. {step}")
    elif limit.text("arm") == limit.text("ratio_to"):
        step = "Name the reference that both are compared with in arm."
        yield Problem(place, f"{found}, which is also the arm; allowed are two reference arms. {step}")
    elif any((node := limit.child(bound)) and node.value is not None for bound in ("at_least", "equals")):
        yield Problem(place, f"{found} without at_most; allowed is a ratio that is at most a number. Write at_most.")


def _caps(absolute: Limit, ratio: Limit) -> bool:
    """Whether a limit bounds the value itself wherever another one judges its ratio."""
    return (
        absolute.ratio_to is None
        and (absolute.metric, absolute.subject, absolute.scope) == (ratio.metric, ratio.subject, ratio.scope)
        and absolute.arm in {None, ratio.arm}
        and (ratio.device or "").lower().startswith((absolute.device or "").lower())
        and absolute.at_least is None
    )


def _limit_place_problems(root: Node, label: str, node: Node, limit: Limit) -> Iterator[Problem]:
    """Arms and devices of a limit that do not exist."""
    arms = _arm_roles(root)
    references = [name for name, role in arms.items() if role == Role.REFERENCE]
    kind, allowed = ("arm", list(arms)) if limit.scope is Scope.REPEAT else ("reference arm", references)
    for key, name, known in (("arm", limit.arm, allowed), ("ratio_to", limit.ratio_to, references)):
        if name is not None and name not in known:
            yield Problem(node.place_of(key), f"{label}.{key}: {UnknownName(kind, name, known)}")
    backend, colon, product = (limit.device or "").partition(":")
    if limit.device is not None and backend.lower() not in plugins.names("backends"):
        unknown = UnknownName("backend", backend, plugins.names("backends"))
        yield Problem(node.place_of("device"), f"{label}.device: {unknown}")
    elif colon and (not product.strip() or product.isdecimal()):
        yield Problem(
            node.place_of("device"),
            f"{label}.device: found {quoted(limit.device or '')}; allowed after the colon is the beginning of a "
            f"product's name, as harness doctor shows it. Write {backend}:NAME, or {backend} alone for every product.",
        )


def _arm_roles(root: Node) -> dict[str, str]:
    """Role of every arm by name, as far as they can be read; a file without arms has one."""
    if root.child("arms") is None:
        return {"candidate": Role.CANDIDATE}
    return {name: node.text("role") or Role.CANDIDATE for node in _nodes(root, "arms") if (name := node.text("name"))}


def _waiver_problems(root: Node) -> Iterator[Problem]:
    """Waivers that name nothing there is: whoever wrote them meant something else."""
    limits = [(node.text("metric"), node.text("scope")) for node in _nodes(root, "limits")]
    cases = [name for node in _nodes(root, "cases") if (name := node.text("id"))]
    for label, node, waiver in _valid(root, "waivers", Waiver):
        metrics = sorted({metric for metric, scope in limits if metric and scope == waiver.scope})
        if not metrics:
            yield Problem(
                node.place_of("scope"),
                f"{label}.scope: found {waiver.scope}, for which there is no limit; allowed is the scope of a limit. "
                "Change the scope, or remove the waiver.",
            )
        for key, what, name, known in (
            ("metric", f"metric with a limit of scope {waiver.scope}", waiver.metric, metrics),
            ("arm", "arm", waiver.arm, list(_arm_roles(root))),
            ("case", "case", waiver.case, cases),
        ):
            if name is not None and known and name not in known:
                yield Problem(node.place_of(key), f"{label}.{key}: {UnknownName(what, name, known)}")


def _calibration_problems(root: Node) -> Iterator[Problem]:
    """Limits that were measured on what they judge would prove nothing."""
    calibration = root.child("calibration")
    if calibration is None:
        return
    seeds = [node.value for node in _nodes(root, "seeds")]
    for index, node in enumerate(_nodes(calibration, "seeds")):
        if node.value in seeds:
            yield Problem(
                node.place,
                f"calibration.seeds[{index}]: found {shown(node.value)}, which is among the seeds that the limits "
                "judge; allowed are other seeds. Change it here, or take it out of seeds.",
            )
    for first, again in _repeated(_nodes(calibration, "seeds")):
        yield Problem(
            again.place,
            f"calibration.seeds: the seed {again.value} stands here again, first in line {first.place.line}; allowed "
            "is once. Change or remove one of the two.",
        )
    known = [case for node in _nodes(root, "cases") if (case := node.text("id")) is not None]
    for index, node in enumerate(_nodes(calibration, "cases")):
        if isinstance(node.value, str) and node.value not in known:
            yield Problem(node.place, f"calibration.cases[{index}]: {UnknownName('case', node.value, known)}")


def _translation_problems(root: Node) -> Iterator[Problem]:
    """Translations into no language of reports, or of what the scenario does not say."""
    reasons = [node.text("reason") for key in ("limits", "waivers") for node in _nodes(root, key)]
    reasons += [node.value for _, node in _items(root.child("differs_in")) if isinstance(node.value, str)]
    prose = [text for text in (root.text("summary"), *reasons) if text]
    translations = root.child("translations")
    for code, by_text in _items(translations):
        if code not in languages():
            unknown = UnknownName("language", code, languages())
            yield Problem(by_text.key_place or by_text.place, f"translations.{_key(code)}: {unknown}")
        for text, node in _items(by_text):
            place, label = node.key_place or node.place, f"translations.{_key(code)}"
            if text not in prose:
                near = nearest(text, prose)
                step = f"Did you mean {quoted(near)}?" if near else "Write the text as it stands there, or remove it."
                yield Problem(
                    place,
                    f"{label}: found {quoted(text)}, which the scenario does not say; allowed are its summary and the "
                    f"reasons of its limits, waivers and differs_in. {step}",
                )
            if isinstance(node.value, str) and node.value.isspace():
                yield Problem(node.place, f"{label}: found only spaces; allowed is a text that says something.")


def _items(node: Node | None) -> list[tuple[str, Node]]:
    """Keys and values of a mapping; nothing for any other value."""
    return list(node.value.items()) if node and isinstance(node.value, dict) else []


def _bound_problems(label: str, limit: Node) -> Iterator[Problem]:
    given = {key: node for key in _BOUNDS if (node := limit.child(key)) and node.value is not None}
    allowed = "allowed is exactly one of at_least, at_most, equals"
    if not given:
        yield Problem(limit.place, f"{label}: found no bound; {allowed}. Add the one you mean.")
    if len(given) > 1:
        found = " and ".join(given)
        yield Problem(limit.place, f"{label}: found {found}; {allowed}. Write one limit for each.")
    for key, node in given.items():
        unbreakable = {"at_least": -math.inf, "at_most": math.inf}.get(key)
        if isinstance(node.value, float) and (math.isnan(node.value) or node.value == unbreakable):
            step = "Write the number that must be kept."
            yield Problem(
                node.place, f"{label}.{key}: found {node.value}; allowed is a number that a value can break. {step}"
            )
        # The records read these words back from JSON; here they are a slip.
        if isinstance(node.value, str) and node.value in {"inf", "-inf", "nan"}:
            found = f"found {quoted(node.value)} (a text)"
            yield Problem(node.place, f"{label}.{key}: {found}; allowed is a number. Write .inf or -.inf.")


# --- variables and pictures ------------------------------------------------------------------------------------------

_VARIABLE = re.compile(r"\$\{([^}]*)\}?")


class _UnsetVariable(UsageError):
    """A variable is written as it ought to be, and has no value on this machine."""


class _UnsetProblem(Problem):
    """A place whose variable has no value on this machine."""


def _problem(place: Place, label: str, error: UsageError) -> Problem:
    kind = _UnsetProblem if isinstance(error, _UnsetVariable) else Problem
    return kind(place, f"{label}: {error}")


def _expand(text: str) -> str:
    """Replace every ``${NAME}`` by the value of that environment variable.

    Raises:
        _UnsetVariable: a variable is not set.
        UsageError: a variable is not written as one.
    """

    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        if not match.group().endswith("}") or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
            raise UsageError(
                f"found {quoted(match.group())}; allowed is ${{NAME}} with letters, digits and '_' in the name. "
                "Mend the name, or the brackets."
            )
        if not os.environ.get(name):
            state = "empty" if name in os.environ else "not set"
            raise _UnsetVariable(
                f"the environment variable {name} is {state}; allowed is the value that stands for ${{{name}}}. "
                f"Set it before the command: export {name}=VALUE"
            )
        return os.environ[name]

    return _VARIABLE.sub(value_of, text)


def _model_source(root: Node, path: Path) -> tuple[str, list[str], list[Problem]]:
    """The source with variables expanded and its folder found, what ought to be known of that, and what is wrong."""
    model = root.child("model")
    written = model.text("source") if model else None
    if model is None or written is None:
        return "", [], []
    place = model.place_of("source")
    if not written.strip():
        problem = "model.source: found an empty text; allowed is a model. Write builtin:tiny-deepgen."
        return "", [], [Problem(place, problem)]
    try:
        source, note = located(_expand(written), path.absolute().parent)
    except UsageError as error:
        return "", [], [_problem(place, "model.source", error)]
    return source, [note] if note else [], []


def _input_images(root: Node, path: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Absolute picture paths by case, and what is wrong with them."""
    pictures: dict[str, Path] = {}
    problems: list[Problem] = []
    task = root.text("task")
    if task not in set(Task):
        return pictures, problems
    for label, node, case in _valid(root, "cases", Case):
        try:
            picture = _input_image(case, Task(task), path.absolute().parent)
        except UsageError as error:
            problems.append(_problem(node.place_of("input_image"), f"{label}.input_image", error))
        else:
            pictures |= {case.id: picture} if picture else {}
    return pictures, problems


def _input_image(case: Case, task: Task, folder: Path) -> Path | None:
    """The picture of a case, read once to know that it can be read; None where the task edits nothing.

    Raises:
        UsageError: it is missing, not wanted, or not a picture.
    """
    if not task.edits:
        if case.input_image is not None:
            found = f"found {quoted(case.input_image)}"
            raise UsageError(f"{found}; the task {task} allows none. Remove it, or choose a task that edits.")
        return None
    if not case.input_image:
        raise UsageError(
            f"the key is missing or empty; the task {task} needs a picture for each case. "
            "Add a line 'input_image: FILE', relative to the scenario file."
        )
    picture = folder / _expand(case.input_image)
    try:
        there = picture.is_file()
    except (OSError, ValueError):
        there = False
    if not there:
        raise UsageError(
            f"there is no file {quoted(case.input_image)}, which is {str(picture)!r}; allowed is a "
            "picture, relative to the folder of the scenario file. Check the path and its variables."
        )
    _check_picture(picture.resolve(), case.input_image)
    return picture.resolve()


def _check_picture(picture: Path, written: str) -> None:
    from harness import images

    try:
        images.read_input_picture(picture)
    except ImageError as error:
        raise UsageError(f"{quoted(written)} cannot be used: {error}") from error


# --- the plan --------------------------------------------------------------------------------------------------------


def _filled_arm(scenario: Scenario, arm: Arm, device: str | None) -> Arm:
    if device is not None:
        _check_device(device)
    chosen = device if device is not None and arm.role is Role.CANDIDATE else arm.device
    adapter = plugins.load("adapters", scenario.model.adapter)
    outside = is_outside(adapter)
    if is_outside(adapter):
        _refuse_other_device(scenario.model.adapter, chosen, computes=adapter.COMPUTES)
        chosen = chosen if adapter.COMPUTES else "cpu"
    return arm.model_copy(
        update={
            "device": chosen,
            "npu_ops": (arm.npu_ops or NpuOps.HIDDEN) if _is_cpu(chosen) and not outside else None,
            "dtype": arm.dtype or scenario.model.dtype,
            "noise": NoiseMode.UNVERIFIED if outside else arm.noise or scenario.noise,
            "switches": arm.switches or scenario.switches,
            "threads": arm.threads or scenario.threads,
        }
    )


def _refuse_other_device(adapter: str, device: str, *, computes: bool) -> None:
    """Where the worker opens no device, the arm names the one that is told to a command, or none.

    Raises:
        UsageError: nothing is computed and a device is named, or something is and none is named.
    """
    if computes and device == "auto":
        raise UsageError(
            f"found 'auto'; allowed with the adapter {adapter} is {', '.join(plugins.names('backends'))}, with or "
            "without an index: the device is told to the command and asked by nobody. Write 'device: ...' in the arm."
        )
    if not computes and device not in {"auto", "cpu"}:
        raise UsageError(
            f"found {quoted(device)}; allowed is cpu, because with the adapter {adapter} nothing is computed. Leave "
            "the device out, and say in the summary where the pictures were made."
        )


def _refuse_reading_again(model: ModelRef, repeats: Repeats) -> None:
    """A file that is read again is no repeat: it would pass for determinism.

    Raises:
        UsageError: there are more repeats or processes than the template of the pictures tells apart.
    """
    adapter = plugins.load("adapters", model.adapter)
    if not is_outside(adapter) or adapter.COMPUTES:
        return
    for key, name, count in (
        ("in_process", "{repeat}", repeats.in_process),
        ("processes", "{process}", repeats.processes),
    ):
        if count > 1 and name not in (model.pictures or ""):
            raise UsageError(
                f"repeats.{key}: found {count}; allowed is 1, because model.pictures has no {name}: one file read "
                f"{count} times is no repeat. Write 'repeats: {{in_process: 1, processes: 1}}', or name {name} in the "
                "template."
            )


def _select_cases(scenario: Scenario, wanted: Sequence[str] | None) -> list[Case]:
    if wanted is None:
        return scenario.cases
    known = [case.id for case in scenario.cases]
    for name in wanted:
        if name not in known:
            raise UnknownName(f"case of {scenario.name}", name, known)
    if not wanted:
        raise NothingSelected(f"no case of {scenario.name} is selected. There are: {', '.join(known)}.")
    return [case for case in scenario.cases if case.id in wanted]


def _select_seeds(scenario: Scenario, wanted: Sequence[int] | None) -> list[int]:
    if wanted is None:
        return scenario.seeds
    strange = [seed for seed in wanted if seed not in scenario.seeds]
    if strange or not wanted:
        what = (
            f"the seed {strange[0]} is not in {scenario.name}" if strange else f"no seed of {scenario.name} is selected"
        )
        raise NothingSelected(f"{what}. There are: {', '.join(map(str, scenario.seeds))}.")
    return [seed for seed in scenario.seeds if seed in wanted]


def _overridden_repeats(written: Repeats, repeats: int | None, processes: int | None) -> Repeats:
    wanted = {"in_process": repeats, "processes": processes}
    given = {field: value for field, value in wanted.items() if value is not None}
    try:
        return Repeats.model_validate({**written.model_dump(), **given}, strict=True)
    except ValidationError as error:
        found = error.errors()[0]
        location = ("repeats", *found["loc"])
        raise UsageError(
            f"{_label(location)}: found {shown(found['input'])}; allowed is {_allowed(_definition(location))}."
        ) from error


def _input_digests(loaded: LoadedScenario, cases: list[Case]) -> dict[str, str]:
    if not loaded.input_images:
        return {}
    import numpy as np

    from harness import images

    pictures = {case.id: loaded.input_images[case.id] for case in cases}
    return {case: images.array_digest(np.asarray(images.read_input_picture(path))) for case, path in pictures.items()}


# --- the schema file -------------------------------------------------------------------------------------------------


def _schema_text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the JSON Schema to a file, or with ``--check`` say by exit code 1 that the file differs."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.scenario", description="Write the JSON Schema of scenarios."
    )
    parser.add_argument("path", type=Path, help="file to write, such as docs/scenario.schema.json")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file differs")
    chosen = parser.parse_args(arguments)
    if not chosen.check:
        write_schema(chosen.path)
        return 0
    current = chosen.path.read_text(encoding="utf-8") if chosen.path.is_file() else None
    if current != _schema_text():
        sys.stderr.write(f"{chosen.path} differs from the records; write it with: {parser.prog} {chosen.path}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
