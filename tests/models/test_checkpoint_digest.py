"""The embedded checkpoint has its pinned bytes whatever instruction sets NumPy and torch compute with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from numpy._core import _multiarray_umath as dispatched  # type: ignore[attr-defined]

from tests.command_line import patience_seconds

if TYPE_CHECKING:
    from pathlib import Path

OFFERED = [name for name in dispatched.__cpu_dispatch__ if dispatched.__cpu_features__[name]]
"""Instruction sets of this machine that NumPy chooses from at its start, each containing those before it."""

BUILD = """
import json, sys
from pathlib import Path
from numpy._core import _multiarray_umath as dispatched
{before}
from harness.models import tiny_deepgen_random as model
model.build(Path(sys.argv[1]))
print(json.dumps({{
    "digest": model.checkpoint_digest(Path(sys.argv[1])),
    "pinned": model.DIGEST,
    "numpy": [name for name in dispatched.__cpu_dispatch__ if dispatched.__cpu_features__[name]],
    "torch": sys.modules["torch"].backends.cpu.get_cpu_capability().lower() if "torch" in sys.modules else None,
}}))
"""


def built(folder: Path, before: str = "", **variables: str) -> dict[str, Any]:
    """What a fresh interpreter builds, after running ``before``, and what it computed with."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD.format(before=before), str(folder)],
        env={**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0", **variables},
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("kept", range(len(OFFERED) + 1))
def test_the_instruction_sets_that_numpy_uses_change_no_byte(kept: int, tmp_path: Path) -> None:
    variables = {"NPY_DISABLE_CPU_FEATURES": " ".join(OFFERED[kept:])} if OFFERED[kept:] else {}
    answer = built(tmp_path, **variables)
    assert answer["numpy"] == OFFERED[:kept], "the variable is obeyed, or this test shows nothing"
    assert answer["digest"] == answer["pinned"]


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_torch_and_its_instruction_set_change_no_byte(capability: str, tmp_path: Path) -> None:
    answer = built(tmp_path, "import torch", ATEN_CPU_CAPABILITY=capability)
    if answer["torch"] != capability:
        pytest.skip(f"this machine has no {capability}; torch chose {answer['torch']}")
    assert answer["digest"] == answer["pinned"]


def test_the_build_needs_no_torch(tmp_path: Path) -> None:
    assert built(tmp_path)["torch"] is None


def test_a_constant_that_is_off_by_the_last_bit_of_float32_is_seen(tmp_path: Path) -> None:
    planted = "from harness.models.tiny_deepgen_random import draws; draws._STD_OF_FOUR_PIECES *= 1 + 2**-23"
    answer = built(tmp_path, planted)
    assert answer["digest"] != answer["pinned"]
