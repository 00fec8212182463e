"""Everything in ``examples/`` runs as it stands there, and uses only what is public."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import harness
from tests.command_line import ROOT, environment, patience_seconds

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
REASON = "The first pictures; all were looked at."


def cells(path: Path) -> list[dict[str, Any]]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    found: list[dict[str, Any]] = notebook["cells"]
    return found


def code_of(path: Path) -> str:
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    return "\n".join("".join(cell["source"]) for cell in cells(path) if cell["cell_type"] == "code")


def python(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=False,
    )


def public_names_used(code: str) -> set[str]:
    """Attributes of ``harness`` that a text uses, and modules of it that it imports."""
    used = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "harness":
            used.add(node.attr)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "harness":
            used |= {f"{node.module}.{alias.name}".removeprefix("harness.") for alias in node.names}
        if isinstance(node, ast.Import):
            used |= {alias.name.removeprefix("harness.") for alias in node.names if alias.name.startswith("harness.")}
    return used


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.*")), ids=lambda path: path.name)
def test_an_example_uses_only_what_is_public(path: Path) -> None:
    used = public_names_used(code_of(path))
    assert used
    assert used <= set(harness.__all__)


def test_a_private_name_would_be_noticed() -> None:
    assert public_names_used("import harness.jobs.tables\nfrom harness.compare import gates\nharness.store.load") == {
        "jobs.tables",
        "compare.gates",
        "store",
    }


def test_the_examples_of_the_readme_are_public_too() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    used = set(re.findall(r"\bharness\.([a-zA-Z_]+)\(", text))
    assert {"compare", "assert_close", "check", "load_results"} <= used <= set(harness.__all__)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_cell_by_cell_and_shows_pictures(path: Path) -> None:
    names: dict[str, Any] = {}
    shown = []
    for cell in cells(path):
        assert cell["cell_type"] in {"code", "markdown"}
        if cell["cell_type"] != "code":
            continue
        assert (cell["outputs"], cell["execution_count"]) == ([], None), "a notebook is kept without outputs"
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, path.name, "exec"), names)  # noqa: S102 - this is what running a notebook is
        if isinstance(last, ast.Expr):
            shown.append(eval(compile(ast.Expression(last.value), path.name, "eval"), names))  # noqa: S307
    assert any("data:image/" in each._repr_html_() for each in shown if hasattr(each, "_repr_html_"))


def test_the_pytest_file_fails_is_accepted_and_passes(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "test_my_pipeline.py", tmp_path)
    words = ["-m", "pytest", "-p", "harness.pytest_plugin", "-p", "no:cacheprovider", "-q"]
    assert "2 failed, 1 passed" in python(tmp_path, *words).stdout
    accepted = python(tmp_path, *words, "--harness-accept", "--harness-reason", REASON)
    assert accepted.returncode == 0, accepted.stdout
    assert python(tmp_path, *words).returncode == 0
    text = (tmp_path / "test_my_pipeline.py").read_text(encoding="utf-8")
    (tmp_path / "test_my_pipeline.py").write_text(text.replace("seed: int = 42", "seed: int = 43"), encoding="utf-8")
    assert "2 failed, 1 passed" in python(tmp_path, *words).stdout


@pytest.mark.slow
def test_the_script_checks_a_scenario_and_prints_a_table(write_scenario: Any, tmp_path: Path) -> None:
    done = python(tmp_path, EXAMPLES / "check_and_table.py", write_scenario())
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("identical: small: accuracy and determinism\n")
    assert "candidate" in done.stdout
    assert (tmp_path / done.stdout.split()[-1]).is_file()
