"""The house stands: imports go down only, neighbours do not lean on each other, torch lives in few rooms.

Every import line counts, wherever it stands: at the top of a module, inside a function, or under ``TYPE_CHECKING``
(what is needed for a type is still knowledge of the module it comes from). ``import_module("NAME")`` with a name
written out counts as well; names that are looked up, as ``plugins`` does, are the one way up.
"""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import harness

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]

DOOR, JOBS, ACTS, PARTS, WORDS = 4, 3, 2, 1, 0
FLOORS = {
    **dict.fromkeys(["cli", "__main__", "terminal", "api", "pytest_plugin"], DOOR),
    **dict.fromkeys(["jobs"], JOBS),
    **dict.fromkeys(["run", "compare", "diagnose", "store", "calibrate", "explain"], ACTS),
    **dict.fromkeys(
        ["backends", "adapters", "metrics", "scores", "render", "models", "kernels", "benchmarks", "hypotheses"], PARTS
    ),
}
LENT = {f"harness.{name}" for name in harness.__all__} - {"harness.compare", "harness.__version__"}
"""What the package itself hands on from the command line; who imports it imports the command line."""
HEAVY = {"torch", "torch_npu", "diffusers", "transformers", "safetensors.torch"}
MAY_BE_HEAVY = (
    "harness.run.worker",
    "harness.backends",
    "harness.adapters",
    "harness.kernels",
    "harness.hypotheses",
)

DOWN_ONLY = "imports go down only"
NO_LOOKING = "a part does not look for other parts"
BY_NAME = "parts are reached by name, through plugins"
NO_ACTS = "acts never import each other"
NO_PARTS = "parts never import each other"
NO_TORCH = "it must do without torch"


class Import(NamedTuple):
    """One name that one line brings in."""

    place: str
    source: str
    target: str


def floor(module: str) -> int:
    """Floor of a module of ours; what has no room of its own is a word, and the package itself is a door."""
    words = module.split(".")
    return FLOORS.get(words[1], WORDS) if len(words) > 1 else DOOR


def room(module: str) -> str:
    """First folder or file below ``harness``: an act, or a kind of part."""
    return ".".join(module.split(".")[:2])


def part(module: str) -> str:
    """Kind and name of a part, whatever lies below it."""
    return ".".join(module.split(".")[:3])


# --- reading ---------------------------------------------------------------------------------------------------------


def modules(root: Path) -> dict[str, Path]:
    """Every module below ``root/harness``; the Python files of checkpoints are data."""
    found = {}
    for path in sorted((root / "harness").rglob("*.py")):
        words = path.relative_to(root).with_suffix("").parts
        if words[1:2] == ("models",) and "checkpoint" in words:
            continue
        found[".".join(words[:-1] if words[-1] == "__init__" else words)] = path
    return found


def imports(root: Path) -> Iterator[Import]:
    """All import lines of all modules."""
    known = modules(root)
    for name, path in known.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for target in targets(node, package, set(known)):
                yield Import(f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}", name, target)


def targets(node: ast.AST, package: str, known: set[str]) -> list[str]:
    """Modules that a piece of syntax imports; ``from X import y`` is X.y where that is a module, X otherwise."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        full = [f"{base}.{alias.name}" for alias in node.names]
        return ["harness.api" if each in LENT else each if each in known or each in HEAVY else base for each in full]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return [str(node.args[0].value)] if called in {"import_module", "__import__"} else []
    return []


# --- rules -----------------------------------------------------------------------------------------------------------


def broken_rules(root: Path) -> list[str]:
    """One line for every import that the house does not allow."""
    return [line for each in imports(root) if (line := objection(each))]


def objection(line: Import) -> str:
    """What is wrong with an import; empty when nothing is."""
    source, target = line.source, line.target
    if room(target).partition(".")[0] != "harness":
        heavy = any(target == name or target.startswith(f"{name}.") for name in HEAVY)
        if not heavy or any(source == each or source.startswith(f"{each}.") for each in MAY_BE_HEAVY):
            return ""
        return f"{line.place}: {source} (floor {floor(source)}) may not import {target}: {NO_TORCH}"
    why = reason_against(source, target)
    arrow = f"{source} (floor {floor(source)}) may not import {target} (floor {floor(target)})"
    return f"{line.place}: {arrow}: {why}" if why else ""


def reason_against(source: str, target: str) -> str:
    """Why one module of ours may not import another; empty when it may."""
    if floor(target) > floor(source):
        # Of the package itself come its place and its version; the names that it lends are looked at by themselves.
        return DOWN_ONLY if target != "harness" else ""
    if floor(source) == PARTS and target == "harness.plugins":
        return NO_LOOKING
    if floor(source) > PARTS and floor(target) == PARTS:
        return BY_NAME
    if floor(source) == ACTS and floor(target) == ACTS and room(source) != room(target):
        return NO_ACTS
    if floor(source) == PARTS and floor(target) == PARTS and part(source) != part(target):
        shared = room(source) == room(target) and (part(target) + "._").split(".")[2].startswith("_")
        return "" if shared else NO_PARTS
    return ""


# --- the house as it stands ------------------------------------------------------------------------------------------


def test_every_import_goes_down() -> None:
    assert broken_rules(ROOT) == []


def test_the_reader_sees_the_house() -> None:
    seen = {(each.source, each.target) for each in imports(ROOT)}
    assert {
        ("harness.cli.run_commands", "harness.jobs.check"),  # inside a function
        ("harness.jobs.check", "harness.store"),  # from harness import store
        ("harness.jobs.check", "harness.compare.comparator"),
        ("harness.jobs.check", "harness.jobs.arm_runs"),
        ("harness.contracts", "harness.records"),  # under TYPE_CHECKING
        ("harness.metrics.ssim", "harness.metrics._windows"),
        ("harness.adapters._pipelines", "torch"),
    } <= seen
    assert {floor(name) for name in modules(ROOT)} == {DOOR, JOBS, ACTS, PARTS, WORDS}
    assert not any("checkpoint" in name for name in modules(ROOT))
    assert list((ROOT / "harness" / "models").glob("*/checkpoint/*.py")), "there is something to leave out"


# --- planted arrows --------------------------------------------------------------------------------------------------

# File below harness, its text, and the objection behind ``file:line: ``: the arrow and the reason.
PLANTED = {
    "a word imports a part": (
        "noise.py",
        "import harness.metrics.ssim\n",
        "harness.noise (floor 0) may not import harness.metrics.ssim (floor 1)",
        DOWN_ONLY,
    ),
    "a word imports an act": (
        "noise.py",
        "from harness import store\n",
        "harness.noise (floor 0) may not import harness.store (floor 2)",
        DOWN_ONLY,
    ),
    "the package itself imports a part": (
        "__init__.py",
        "from harness.metrics import ssim\n",
        "harness (floor 4) may not import harness.metrics.ssim (floor 1)",
        BY_NAME,
    ),
    "an act imports what the package lends": (
        "run/child.py",
        "from harness import check\n",
        "harness.run.child (floor 2) may not import harness.api (floor 4)",
        DOWN_ONLY,
    ),
    "a part imports a job": (
        "metrics/ssim.py",
        "from harness.jobs.check import check\n",
        "harness.metrics.ssim (floor 1) may not import harness.jobs.check (floor 3)",
        DOWN_ONLY,
    ),
    "an act imports a job": (
        "run/child.py",
        "import harness.jobs.check as work\n",
        "harness.run.child (floor 2) may not import harness.jobs.check (floor 3)",
        DOWN_ONLY,
    ),
    "a job imports the command line": (
        "jobs/check.py",
        "from harness.terminal.console import print_line\n",
        "harness.jobs.check (floor 3) may not import harness.terminal.console (floor 4)",
        DOWN_ONLY,
    ),
    "an arrow for a type only": (
        "records/base.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from harness.store import Job\n",
        "harness.records.base (floor 0) may not import harness.store (floor 2)",
        DOWN_ONLY,
    ),
    "an arrow inside a function": (
        "records/base.py",
        "def late():\n    from harness import jobs\n",
        "harness.records.base (floor 0) may not import harness.jobs (floor 3)",
        DOWN_ONLY,
    ),
    "a relative arrow": (
        "compare/gates.py",
        "from ..jobs.check import check\n",
        "harness.compare.gates (floor 2) may not import harness.jobs.check (floor 3)",
        DOWN_ONLY,
    ),
    "a relative arrow to a sibling": (
        "metrics/ssim.py",
        "from . import psnr_db\n",
        "harness.metrics.ssim (floor 1) may not import harness.metrics.psnr_db (floor 1)",
        NO_PARTS,
    ),
    "an arrow through import_module": (
        "records/base.py",
        "from importlib import import_module\nimport_module('harness.jobs')\n",
        "harness.records.base (floor 0) may not import harness.jobs (floor 3)",
        DOWN_ONLY,
    ),
    "comparing runs": (
        "compare/gates.py",
        "from harness.run.child import start\n",
        "harness.compare.gates (floor 2) may not import harness.run.child (floor 2)",
        NO_ACTS,
    ),
    "running judges": (
        "run/child.py",
        "from harness.compare.gates import judge\n",
        "harness.run.child (floor 2) may not import harness.compare.gates (floor 2)",
        NO_ACTS,
    ),
    "running keeps": (
        "run/worker/__main__.py",
        "from harness.store import save\n",
        "harness.run.worker.__main__ (floor 2) may not import harness.store (floor 2)",
        NO_ACTS,
    ),
    "a metric imports a metric": (
        "metrics/psnr_db.py",
        "from harness.metrics.ssim import measure\n",
        "harness.metrics.psnr_db (floor 1) may not import harness.metrics.ssim (floor 1)",
        NO_PARTS,
    ),
    "what metrics share imports a metric": (
        "metrics/_windows.py",
        "from harness.metrics import ssim\n",
        "harness.metrics._windows (floor 1) may not import harness.metrics.ssim (floor 1)",
        NO_PARTS,
    ),
    "one kind of part imports another": (
        "render/html.py",
        "from harness.metrics.ssim import SPEC\n",
        "harness.render.html (floor 1) may not import harness.metrics.ssim (floor 1)",
        NO_PARTS,
    ),
    "what another kind of part shares": (
        "render/html.py",
        "from harness.metrics import _windows\n",
        "harness.render.html (floor 1) may not import harness.metrics._windows (floor 1)",
        NO_PARTS,
    ),
    "a model imports another": (
        "models/small/__init__.py",
        "from harness.models.other.layout import FILES\n",
        "harness.models.small (floor 1) may not import harness.models.other.layout (floor 1)",
        NO_PARTS,
    ),
    "a part looks for parts": (
        "adapters/deepgen.py",
        "from harness import plugins\n",
        "harness.adapters.deepgen (floor 1) may not import harness.plugins (floor 0)",
        NO_LOOKING,
    ),
    "a job imports a part": (
        "jobs/report.py",
        "from harness.render.html import render\n",
        "harness.jobs.report (floor 3) may not import harness.render.html (floor 1)",
        BY_NAME,
    ),
    "an act imports a part": (
        "compare/gates.py",
        "from harness.metrics import ssim\n",
        "harness.compare.gates (floor 2) may not import harness.metrics.ssim (floor 1)",
        BY_NAME,
    ),
    "the command line imports a part": (
        "cli/app.py",
        "import harness.backends.cpu\n",
        "harness.cli.app (floor 4) may not import harness.backends.cpu (floor 1)",
        BY_NAME,
    ),
    "torch in a word": (
        "noise.py",
        "import torch\n",
        "harness.noise (floor 0) may not import torch",
        NO_TORCH,
    ),
    "torch for a type": (
        "contracts.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from torch import Tensor\n",
        "harness.contracts (floor 0) may not import torch",
        NO_TORCH,
    ),
    "torch in the supervisor": (
        "run/child.py",
        "def late():\n    import torch.nn\n",
        "harness.run.child (floor 2) may not import torch.nn",
        NO_TORCH,
    ),
    "torch in a metric": (
        "metrics/ssim.py",
        "from torch.nn import functional\n",
        "harness.metrics.ssim (floor 1) may not import torch.nn",
        NO_TORCH,
    ),
    "diffusers in a model": (
        "models/small/__init__.py",
        "import diffusers\n",
        "harness.models.small (floor 1) may not import diffusers",
        NO_TORCH,
    ),
    "torch behind safetensors": (
        "images.py",
        "from safetensors import torch\n",
        "harness.images (floor 0) may not import safetensors.torch",
        NO_TORCH,
    ),
}

NEIGHBOURS = ["cli/__init__", "cli/app", "terminal/__init__", "terminal/console", "terminal/tables"]
NEIGHBOURS += ["store", "noise", "records/__init__", "records/base", "images", "contracts", "plugins", "__init__"]
NEIGHBOURS += ["jobs/__init__", "jobs/checking", "jobs/making", "jobs/reporting"]
NEIGHBOURS += ["run/__init__", "run/child", "run/worker/__main__", "compare/__init__", "compare/gates"]
NEIGHBOURS += ["metrics/__init__", "metrics/ssim", "metrics/psnr_db", "metrics/_windows", "render/html"]
NEIGHBOURS += ["adapters/deepgen", "backends/cpu", "models/small/__init__", "models/other/layout"]


def planted(folder: Path, file: str, text: str) -> Path:
    """A house of empty rooms with one line of text."""
    for name in NEIGHBOURS:
        path = folder / "harness" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "harness" / file).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_arrow_is_found_with_its_line(fault: str, tmp_path: Path) -> None:
    file, text, arrow, why = PLANTED[fault]
    line = text.count("\n")
    assert broken_rules(planted(tmp_path, file, text)) == [f"harness/{file}:{line}: {arrow}: {why}"]


ALLOWED = {
    "the command line asks a job": (
        "cli/app.py",
        "from harness.jobs import checking\nfrom harness.terminal.console import print_line\n",
    ),
    "the package lends what the command line has": ("__init__.py", "from harness.api import check\n"),
    "the command line uses a word": (
        "terminal/tables.py",
        "from harness.records import Status\nfrom harness.run import child\n",
    ),
    "a job calls acts": ("jobs/check.py", "from harness import store\nfrom harness.compare.gates import judge\n"),
    "jobs share their steps": (
        "jobs/check.py",
        "from harness.jobs.arm_runs import Selection\nimport harness.plugins\n",
    ),
    "an act uses its own rooms": ("run/child.py", "from harness.run.worker import __main__\nimport harness\n"),
    "a part shares with its kind": ("metrics/ssim.py", "from harness.metrics import _windows\nimport numpy\n"),
    "a part shares relatively": ("metrics/ssim.py", "from ._windows import RADIUS\nfrom ..contracts import Measured\n"),
    "a model has rooms of its own": ("models/other/layout.py", "from harness.models.other import x\n"),
    "a worker runs torch": ("run/worker/__main__.py", "import torch\nfrom transformers import AutoTokenizer\n"),
    "a backend asks torch": ("backends/cpu.py", "import torch_npu\nfrom torch.nn import Module\n"),
    "an adapter loads": ("adapters/deepgen.py", "from diffusers import DiffusionPipeline\n"),
    "names that only look alike": ("noise.py", "import torchlike\nfrom harness_of_others import jobs\n"),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_what_the_house_allows_is_not_reported(case: str, tmp_path: Path) -> None:
    file, text = ALLOWED[case]
    house = planted(tmp_path, file, text)
    assert broken_rules(house) == []
    assert len({each.place for each in imports(house)}) == text.count("\n")


def test_python_files_of_a_checkpoint_are_data(tmp_path: Path) -> None:
    file = "models/small/checkpoint/pipeline.py"
    (tmp_path / "harness" / file).parent.mkdir(parents=True)
    assert broken_rules(planted(tmp_path, file, "import torch\nfrom harness import jobs\n")) == []


def test_an_arrow_planted_in_the_real_house_is_found(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "harness", tmp_path / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "harness" / "text.py").open("a", encoding="utf-8") as file:
        file.write("\nfrom harness.compare import gates\n")
    (found,) = broken_rules(tmp_path)
    assert found.endswith("harness.text (floor 0) may not import harness.compare.gates (floor 2): imports go down only")
