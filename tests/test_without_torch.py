"""A laptop without torch can ask, compare, judge and report: looked at from fresh interpreters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.command_line import patience_seconds
from tests.compare.stored_runs import job_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "torch_npu", "diffusers", "transformers")

DOOR = "from harness.cli import main; code = main({words!r}); assert code == 0, code"
IMPORTS = {
    "the jobs": "import importlib, pkgutil, harness.jobs\n"
    "names = [each.name for each in pkgutil.iter_modules(harness.jobs.__path__)]\n"
    "assert len([importlib.import_module(f'harness.jobs.{name}') for name in names]) > 10",
    "the door for programs": "import harness; assert [getattr(harness, name) for name in harness.__all__]",
    "the acts": "import harness.compare.comparator, harness.compare.gates, harness.run.supervisor, harness.store",
    "every part": "from harness import contracts, plugins\n"
    "loaded = [plugins.load(kind, name) for kind in contracts.KINDS for name in plugins.names(kind)]\n"
    "assert len(loaded) > 15",
    "harness --help": DOOR.format(words=["--help"]),
    "harness list metrics": DOOR.format(words=["list", "metrics"]),
    "harness validate": DOOR.format(words=["validate", "scenarios/tiny-t2i.yaml"]),
}


def child(words: Sequence[str], *paths: Path) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in the project's folder, with more folders first on its path."""
    search = os.pathsep.join([*map(str, paths), str(ROOT)])
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": search, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=patience_seconds(),
        check=False,
    )


def heavy_after(code: str, *paths: Path) -> list[str]:
    """Heavy packages that are loaded after a piece of code, in a fresh interpreter."""
    ended = child(
        ["-c", f"{code}\nimport json, sys\nprint(json.dumps([n for n in {HEAVY} if n in sys.modules]))"], *paths
    )
    assert ended.returncode == 0, ended.stderr
    found: list[str] = json.loads(ended.stdout.splitlines()[-1])
    return found


def forbid(folder: Path, *names: str) -> Path:
    """A folder whose packages cannot be imported."""
    folder.mkdir()
    for name in names:
        text = f"raise ImportError('planted: {name} is not here')\n"
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def without_torch(tmp_path: Path) -> Path:
    return forbid(tmp_path / "forbidden", *HEAVY)


@pytest.mark.parametrize("what", IMPORTS)
def test_it_loads_nothing_heavy(what: str) -> None:
    assert heavy_after(IMPORTS[what]) == []


def test_a_metric_that_imports_torch_is_noticed(tmp_path: Path) -> None:
    """The twin: the same look at the same command, with a part that breaks the rule and a torch of one line."""
    (tmp_path / "torch.py").write_text("", encoding="utf-8")
    (tmp_path / "planted_metric.py").write_text(
        "import torch\nBETTER, UNIT, SPEC, SUBJECTS, IDENTICAL = 'lower', '', 'planted', (), 0.0\n", encoding="utf-8"
    )
    info = tmp_path / "planted-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[harness.metrics]\nplanted = planted_metric\n", encoding="utf-8")
    assert heavy_after(IMPORTS["harness list metrics"], tmp_path) == ["torch"]


@pytest.mark.parametrize("name", HEAVY)
def test_what_is_forbidden_really_cannot_be_imported(name: str, without_torch: Path) -> None:
    ended = child(["-c", f"import {name}"], without_torch)
    assert ended.returncode == 1
    assert f"planted: {name} is not here" in ended.stderr


COMMANDS = {
    "validate": (["validate", "scenarios/tiny-t2i.yaml"], "scenarios/tiny-t2i.yaml: ok"),
    "list metrics": (["list", "metrics"], "psnr_db"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_it_works_where_torch_cannot_be_imported(command: str, without_torch: Path) -> None:
    words, expected = COMMANDS[command]
    ended = child(["-m", "harness", *words], without_torch)
    assert ended.returncode == 0, ended.stderr
    assert expected in ended.stdout


def test_stored_runs_are_compared_judged_and_reported_where_torch_cannot_be_imported(
    tmp_path: Path, without_torch: Path
) -> None:
    job = job_folder(tmp_path / "job", ("steady", "AAA AAA"), ("drifting", "AAB AAB"))
    for arm, code in (("steady", 0), ("drifting", 6)):
        ended = child(["-m", "harness", "compare", str(job / arm), str(job / arm)], without_torch)
        assert ended.returncode == code, ended.stderr
    files = [str(job / f"comparison-repeat-{arm}.json") for arm in ("steady", "drifting")]
    assert child(["-m", "harness", "gate", *files], without_torch).returncode == 6
    ended = child(
        ["-m", "harness", "report", *files, "--out", str(job / "out"), "--format", "md,html,json,junit,csv"],
        without_torch,
    )
    assert ended.returncode == 0, ended.stderr
    written = {path.name for path in (job / "out").iterdir()}
    assert written == {"report.md", "index.html", "report.json", "junit.xml", "metrics.csv"}
    assert "# UNSTABLE: stored" in (job / "out" / "report.md").read_text(encoding="utf-8")
