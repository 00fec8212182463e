"""The product knows nothing of how its weights were trained, and does not ship it."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def imported(source: str) -> set[str]:
    """Top-level packages that a module imports, wherever the line stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module.partition(".")[0])
    return found


def test_the_product_never_imports_training() -> None:
    modules = list((ROOT / "harness").rglob("*.py"))
    assert modules
    assert [path for path in modules if "training" in imported(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("line", ["import training.world", "def f():\n    from training import model"])
def test_such_an_import_would_be_seen(line: str) -> None:
    assert "training" in imported(line)


def test_the_package_is_the_product_alone() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert built["packages"]["find"]["include"] == ["harness*"]
