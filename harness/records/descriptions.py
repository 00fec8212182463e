"""The sentences under the fields of records, read from their source where a schema needs them; that takes long."""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel


def descriptions(kind: type[BaseModel]) -> dict[str, str]:
    """The sentence under each field of a record, by the field's name; fields without one are left out.

    >>> from harness.records import Switch
    >>> descriptions(Switch)["name"]
    'Environment variable or API.'
    """
    sentences: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        sentences |= _sentences(owner.__module__).get(owner.__qualname__, {})
    return {name: text for name, text in sentences.items() if name in kind.model_fields}


@cache
def _sentences(module: str) -> dict[str, dict[str, str]]:
    """The sentences in a module, by the qualified name of the class and the name of the field."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError):  # a module that was made at run time, or is shipped without its source
        return {}
    sentences: dict[str, dict[str, str]] = {}
    waiting: list[tuple[str, ast.stmt]] = [("", statement) for statement in tree.body]
    for around, statement in waiting:
        if isinstance(statement, ast.ClassDef):
            sentences[around + statement.name] = _under_fields(statement)
        if isinstance(statement, (ast.ClassDef, ast.FunctionDef)):
            inside = "." if isinstance(statement, ast.ClassDef) else ".<locals>."
            waiting += [(f"{around}{statement.name}{inside}", inner) for inner in statement.body]
    return sentences


def _under_fields(definition: ast.ClassDef) -> dict[str, str]:
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
