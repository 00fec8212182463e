"""How a worker hides torch_npu or answers its operators, with stand-ins for torch_npu that only hold what is needed.

Runs where torch_npu is not installed; ``tests/npu`` shows the same with the real one. Each look is a fresh interpreter.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.command_line import patience_seconds

ROOT = Path(__file__).resolve().parents[2]

OTHER_VERSIONS = """
import torch

keep = torch.library.Library("npu", "FRAGMENT")
keep.define("npu_rms_norm(Tensor input, Tensor gamma, float epsilon=1e-06) -> (Tensor, Tensor)")
keep.define('npu_rotary_mul(Tensor input, Tensor r1, Tensor r2, str rotary_mode="half") -> Tensor')
keep.define('npu_swiglu(Tensor input, int dim=0, int[]? steps=None, Tensor? factor=None, str form="a") -> Tensor')
keep.define("npu_geglu(Tensor input, int dim=-1, int approximate=1, bool activate_left=False) -> (Tensor, Tensor)")
keep.define("npu_mish(Tensor input) -> Tensor")
own = torch.library.Library("npu", "IMPL")
own.impl("npu_geglu", lambda input, *_: (input, input), "CPU")
"""
"""A torch_npu whose rotary_mul is older than the kernel, whose swiglu is newer, and whose geglu has a CPU kernel."""

LOOK = """
import json, sys
from harness.run.worker import npu_operators

def told(function):
    try:
        return function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"

"""

BOUND = """
import torch
calls = npu_operators.answer_by_reference()
npu = torch.ops.npu
x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
print(json.dumps({
    "covered": calls.covered,
    "own": npu.npu_geglu(x)[0].tolist(),
    "rotary": npu.npu_rotary_mul(x, 0 * x, torch.ones(2, 2)).tolist(),
    "default of the schema": npu.npu_swiglu(x).shape,
    "as the default": npu.npu_swiglu(x, -1, None, None, "a").shape,
    "empty": npu.npu_swiglu(x, -1, []).shape,
    "another word": told(lambda: npu.npu_swiglu(x, form="b")),
    "a list": told(lambda: npu.npu_swiglu(x, steps=[1])),
    "a tensor": told(lambda: npu.npu_swiglu(x, factor=x)),
    "mish": told(lambda: npu.npu_mish(x)),
    "counts": calls.counts,
}))
"""


def stand_in(folder: Path, code: str, version: str = torch.__version__) -> Path:
    """A folder with a package torch_npu of that code, and the record that an installer leaves."""
    (folder / "torch_npu").mkdir()
    (folder / "torch_npu" / "__init__.py").write_text(code, encoding="utf-8")
    record = folder / f"torch_npu-{version}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch_npu\nVersion: {version}\n", encoding="utf-8")
    return folder


def look(code: str, *folders: Path) -> Any:
    """What a fresh interpreter printed as JSON, with more folders on its path."""
    path = os.pathsep.join([*map(str, folders), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    words = [sys.executable, "-W", "error", "-c", LOOK + code]
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=patience_seconds(), check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def bound(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return look(BOUND, stand_in(tmp_path_factory.mktemp("versions"), OTHER_VERSIONS))


def test_only_operators_that_are_known_and_lack_a_kernel_are_answered(bound: Any) -> None:
    assert bound["covered"] == ["npu_rms_norm", "npu_rotary_mul", "npu_swiglu"]
    assert bound["own"] == [[1, 2], [3, 4]]
    assert bound["mish"].startswith("NotCovered: npu::npu_mish was called with CPU tensors")
    assert "Covered are npu_rms_norm, npu_rotary_mul, npu_swiglu." in bound["mish"]


def test_what_an_older_schema_lacks_keeps_the_kernels_default(bound: Any) -> None:
    assert bound["rotary"] == [[-2, 1], [-4, 3]]


def test_the_defaults_are_those_of_the_schema_that_is_there(bound: Any) -> None:
    assert bound["default of the schema"] == [1, 2]


def test_what_the_kernel_does_not_know_may_only_be_left_out(bound: Any) -> None:
    assert bound["as the default"] == bound["empty"] == [2, 1]
    assert bound["another word"].startswith("NotCovered: npu_swiglu: argument form is 'b'; ")
    assert bound["a list"].startswith("NotCovered: npu_swiglu: argument steps is [1]; ")
    assert bound["a tensor"].startswith("NotCovered: npu_swiglu: argument factor is a tensor [2, 2]; ")
    assert bound["counts"] == {"npu_rotary_mul": 1, "npu_swiglu": 3}


MISSING = "libhccl.so: cannot open shared object file: No such file or directory"
UNAVAILABLE = {
    "CANN missing": (f"raise ImportError({MISSING!r})", torch.__version__, "the CANN library libhccl.so.*set_env.sh"),
    "CANN missing, found by torch": (
        f"try:\n    raise ImportError({MISSING!r})\nexcept ImportError as it:\n    raise RuntimeError from it",
        torch.__version__,
        "the CANN library libhccl.so.*set_env.sh",
    ),
    "broken": ("raise RuntimeError('two accelerators')", torch.__version__, "RuntimeError: two accelerators"),
    "another torch": ("", "1.11.0.post4", "torch_npu 1.11.0.post4 was built for torch 1.11.0, and torch"),
    "another patch release": (
        "",
        torch.__version__.partition(".")[0] + ".13.99",
        "was built for torch .*99, and torch",
    ),
}


@pytest.mark.parametrize("case", UNAVAILABLE)
def test_why_torch_npu_cannot_be_imported_is_said_with_a_next_step(case: str, tmp_path: Path) -> None:
    code, version, words = UNAVAILABLE[case]
    seen = look("print(json.dumps(told(npu_operators.answer_by_reference)))", stand_in(tmp_path, code, version))
    assert seen.startswith("DeviceUnavailable: torch_npu ")
    assert re.search(words, seen)
    assert "et npu_ops: hidden" in seen


def test_without_torch_npu_there_is_nothing_to_answer() -> None:
    seen = look("print(json.dumps(told(npu_operators.answer_by_reference)))")
    assert seen.startswith("DeviceUnavailable: torch_npu is not installed here")


HIDING = """
npu_operators.hide_torch_npu()
import importlib.util, torch
from diffusers.utils import is_torch_npu_available
print(json.dumps([str(importlib.util.find_spec("torch_npu")), is_torch_npu_available()]))
"""
TOO_LATE = """
from diffusers.utils import is_torch_npu_available
print(json.dumps([is_torch_npu_available(), told(npu_operators.hide_torch_npu)]))
"""
IMPORTED = """
import torch_npu
print(json.dumps(told(npu_operators.hide_torch_npu)))
"""


def test_a_package_that_diffusers_would_find_can_be_hidden_from_it(tmp_path: Path) -> None:
    folder = stand_in(tmp_path, "")
    found, refused = look(TOO_LATE, folder)
    assert found is True
    assert refused.startswith("RunError: torch_npu cannot be hidden: diffusers is imported")
    assert look(HIDING, folder) == ["None", False]


def test_what_is_imported_cannot_be_hidden(tmp_path: Path) -> None:
    seen = look(IMPORTED, stand_in(tmp_path, ""))
    assert seen.startswith("RunError: torch_npu cannot be hidden: it is imported in this process already")
