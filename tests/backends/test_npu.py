"""Why an NPU cannot be used, in words with a next step; nothing here needs a card or torch_npu.

What a card does is under the backend laws and in ``tests/npu``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.backends import npu
from tests.command_line import patience_seconds

pytest.importorskip("torch")

WITNESS = Path(__file__).parents[1] / "laws" / "backend_witness.py"


def probed(site: Path) -> Any:
    """What the backend says in a fresh interpreter that finds the packages of a folder first."""
    variables = {**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0", "PYTHONPATH": str(site)}
    variables.pop("ASCEND_SIM_DEVICES", None)
    words = [sys.executable, str(WITNESS), "probe", "npu"]
    done = subprocess.run(words, env=variables, capture_output=True, text=True, timeout=patience_seconds(), check=True)
    return json.loads(done.stdout.splitlines()[-1])["npu"]


def installed(site: Path, version: str, code: str) -> Path:
    """A torch_npu as an installer leaves it: a package and its metadata."""
    metadata = site / f"torch_npu-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: torch_npu\nVersion: {version}\n", encoding="utf-8")
    (site / "torch_npu").mkdir()
    (site / "torch_npu" / "__init__.py").write_text(code, encoding="utf-8")
    return site


def torch_release() -> str:
    import torch

    return torch.__version__.partition("+")[0]


def test_without_torch_npu_nothing_is_imported_and_the_reason_is_its_name(tmp_path: Path) -> None:
    found = probed(tmp_path)
    assert (found["available"], found["reason"]) == (False, "torch_npu is not installed")


def test_a_torch_npu_of_another_torch_is_named_before_it_is_imported(tmp_path: Path) -> None:
    found = probed(installed(tmp_path, "2.1.0.post17", "raise SystemExit('imported')"))
    assert not found["available"]
    assert "torch_npu 2.1.0.post17 is made for torch 2.1.0, but torch" in found["reason"]
    assert found["reason"].endswith("install torch==2.1.0")


def test_a_missing_cann_library_is_named(tmp_path: Path) -> None:
    words = "libhccl.so: cannot open shared object file: No such file or directory"
    found = probed(installed(tmp_path, f"{torch_release()}.post1", f"raise ImportError({words!r})"))
    assert not found["available"]
    assert f"torch_npu {torch_release()}.post1 needs CANN: libhccl.so cannot be opened; " in found["reason"]


def test_whatever_else_it_raises_is_told_with_its_type(tmp_path: Path) -> None:
    code = "raise RuntimeError('Two accelerators cannot be used at the same time in PyTorch: npu and gpu.')"
    found = probed(installed(tmp_path, torch_release(), code))
    assert "cannot be used (RuntimeError: Two accelerators" in found["reason"]
    assert "harness doctor" in found["reason"]


def test_a_machine_without_a_card_is_told_to_ask_the_driver(tmp_path: Path) -> None:
    code = "import torch\nclass npu:\n    is_available = staticmethod(lambda: False)\ntorch.npu = npu\n"
    found = probed(installed(tmp_path, torch_release(), code))
    assert found["reason"] == f"torch_npu {torch_release()} finds no card; check the driver with npu-smi info"
    assert not found["simulated"]


@pytest.mark.parametrize("there", [[], ["ascend-toolkit"], ["ascend-toolkit", "cann-9.1.0"]])
def test_the_script_that_makes_cann_known_is_named_where_there_is_one(
    there: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in there:
        (tmp_path / name).mkdir()
        (tmp_path / name / "set_env.sh").touch()
    monkeypatch.setattr(npu, "ASCEND_FOLDER", tmp_path)
    error = ImportError("libascendcl.so: cannot open shared object file: No such file or directory")
    reason = npu.why_not("2.9.0.post1", error)
    step = f"source {tmp_path / there[-1] / 'set_env.sh'}" if there else "install the CANN that its release notes name"
    assert f"libascendcl.so cannot be opened; {step} and try again" in reason


@pytest.mark.parametrize(
    ("text", "version"), [("Version=25.0.rc1.1\nascendhal_version=7.35\n", "25.0.rc1.1"), ("nothing of it", "")]
)
def test_driver_and_firmware_are_read_from_their_installers_files(
    text: str, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver" / "version.info").write_text(text, encoding="utf-8")
    monkeypatch.setattr(npu, "ASCEND_FOLDER", tmp_path)
    assert npu.installed_version("driver") == version
    with pytest.raises(FileNotFoundError):
        npu.installed_version("firmware")


def test_the_version_of_npu_smi_is_read_from_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "npu-smi"
    tool.write_text("#!/bin/sh\necho 'npu-smi version: 24.1.rc2'\n", encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert npu.npu_smi_version() == "24.1.rc2"


def test_no_library_of_this_machine_is_taken_for_a_stand_in() -> None:
    if "ASCEND_SIM_DEVICES" not in os.environ:
        assert not npu.is_simulated()
