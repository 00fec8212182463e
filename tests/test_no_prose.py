"""The product decides nothing on prose: no sentence of a record is compared with a text, or searched.

A sentence is for people and may be reworded or translated; what the product needs to know is a field of its own. Texts
that are compared with the empty one are only asked whether they are there.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
SENTENCES = {
    *("message", "reason", "where", "pattern", "problem", "notes", "notices", "differences", "title", "error"),
    *("missing_baseline", "hidden_draws", "substitutions"),
}
"""Fields of records that hold sentences; ``error`` is that of a failure."""
ALLOWED = {
    "harness/run/supervisor.py: failure.error in _DEVICE_ERRORS": "the class of what was raised, which is no sentence",
    "harness/diagnose/checks.py: _LIBRARY.search(machine.npu.reason)": "the loader has no field for the library",
}
"""Decisions that stay, by file and text, and why."""
NAMES = {"unit", "label"}
"""Fields that hold a name for people, which may be shown and not compared."""
TAKING_APART = {
    *("startswith", "endswith", "removeprefix", "removesuffix", "find", "rfind", "index", "rindex", "count"),
    *("partition", "rpartition", "split", "rsplit"),
}
MATCHING = {"match", "fullmatch", "search", "findall", "finditer"}
HANDING_ON = {"str", "one_line", "translated", "sorted", "list", "tuple", "set"}
"""Functions whose result is still the sentence."""


def decisions(source: str) -> list[int]:
    """Lines of a module that decide on prose."""
    tree = ast.parse(source)
    constants = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and _is_text(node.value, set())
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    scopes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return sorted({line for scope in [tree, *scopes] for line in _in_scope(scope, constants)})


def _in_scope(scope: ast.AST, constants: set[str]) -> Iterator[int]:
    """Lines in a function; a variable that was given a sentence is one."""
    variables: set[str] = set()
    if not isinstance(scope, ast.Module):
        for node in ast.walk(scope):
            value = node.iter if isinstance(node, ast.For | ast.comprehension) else getattr(node, "value", None)
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            if isinstance(value, ast.expr) and _is_prose(value, SENTENCES, variables):
                variables |= {target.id for target in targets if isinstance(target, ast.Name)}
    for node in ast.walk(scope):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            prose = any(_is_prose(side, SENTENCES, variables) for side in sides)
            named = any(_is_prose(side, NAMES, set()) for side in sides)
            if (prose and any(_is_text(side, constants) for side in sides)) or (
                named and any(_is_text(side, set()) for side in sides)
            ):
                yield node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            taken = node.func.attr in TAKING_APART and _is_prose(node.func.value, SENTENCES, variables)
            matched = node.func.attr in MATCHING | {"split", "sub"} and any(
                _is_prose(argument, SENTENCES, variables) for argument in node.args
            )
            if (taken and any(_is_text(argument, constants) for argument in node.args)) or matched:
                yield node.lineno
        elif isinstance(node, ast.Match) and _is_prose(node.subject, SENTENCES | NAMES, variables):
            yield node.lineno


def _is_prose(node: ast.AST, fields: set[str], variables: set[str]) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in fields
    if isinstance(node, ast.Name):
        return node.id in variables
    if isinstance(node, ast.Call):
        inner = [node.func.value] if isinstance(node.func, ast.Attribute) else []
        inner += node.args if isinstance(node.func, ast.Name) and node.func.id in HANDING_ON else []
    elif isinstance(node, ast.Subscript | ast.FormattedValue | ast.Starred):
        inner = [node.value]
    else:
        inner = [*getattr(node, "values", []), *getattr(node, "elts", [])]  # and, or, f-strings, lists
    return any(_is_prose(part, fields, variables) for part in inner)


def _is_text(node: ast.AST, constants: set[str]) -> bool:
    """Whether an expression is a text that is written out, formatted or named by a constant, or a list of some."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and node.value != ""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(_is_text(part, constants) for part in node.elts)
    if isinstance(node, ast.Dict):
        return any(key is not None and _is_text(key, constants) for key in node.keys)
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return name in {"recorded", "recordable", "format", "frozenset"}
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Name) and node.id in constants)


def test_the_product_decides_nothing_on_prose() -> None:
    files = [path for path in sorted((ROOT / "harness").rglob("*.py")) if "checkpoint" not in path.parts]
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files}
    found = [
        f"{name}: {text.splitlines()[line - 1].strip()}" for name, text in texts.items() for line in decisions(text)
    ]
    assert [line for line in found if not any(_is(allowed, line) for allowed in ALLOWED)] == []
    assert [allowed for allowed in ALLOWED if not any(_is(allowed, line) for line in found)] == [], "no longer there"


def _is(allowed: str, line: str) -> bool:
    name, _, text = allowed.partition(": ")
    return line.startswith(f"{name}: ") and text in line


@pytest.mark.parametrize(
    "planted",
    [
        'if failure.error == "OutOfMemoryError": pass',
        'if "no memory" in failure.message: pass',
        'if comparison.reason not in {"a", "b"}: pass',
        'if pair.problem != f"no {name}": pass',
        'if pair.problem == recorded("no {name}", name=name): pass',
        'PREFIX = "Measured: "\nrule = limit.reason.removeprefix(PREFIX)',
        'rule = run.notes[0].lower().partition(": ")[2]',
        'old = any(notice.startswith("the ") for notice in comparison.notices)',
        'def f(pair):\n    where = pair.where\n    return where.split(" ")',
        'import re\nif re.match("a+", str(failure.message)): pass',
        "if _PATTERN.search(run.title): pass",
        'match failure.error:\n    case "OutOfMemoryError": pass',
        'if floor.unit == "dB": pass',
        'if shown.label in ("actual", "expected"): pass',
    ],
)
def test_a_planted_decision_is_found(planted: str) -> None:
    body = "\n".join(f"    {line}" for line in planted.splitlines())
    assert decisions(f"def scope():\n{body}\n") or decisions(planted)


@pytest.mark.parametrize(
    "harmless",
    [
        "if failure.ended_by is EndedBy.SIGNAL: pass",
        "if comparison.missing_baseline: pass",
        'if pair.problem != "": pass',
        "if first.message == other.message: pass",
        'text = f"{limit.rule}: {limit.reason}"',
        'bad = np.where(values > 0, "a", "b") == "a"',
        'if arm.name == "candidate": pass',
        "if pair.error > 0.5: pass",
        'message = f"{name} failed"\nif name.startswith("a"): pass',
    ],
)
def test_what_decides_on_no_prose_is_not_reported(harmless: str) -> None:
    assert decisions(harmless) == []
