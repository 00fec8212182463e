"""``harness doctor`` as a user meets it: on this machine, with planted packages, variables and tools, without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.run.supervisor import ask_backends
from tests.command_line import ROOT, Ended, complaints, patience_seconds
from tests.diagnose.planted_machines import A2, plant_npu_smi

if TYPE_CHECKING:
    from tests.command_line import RunHarness

HAS_CARD = any(Path("/dev").glob("davinci[0-9]*")) or find_spec("torch_npu") is not None
HAS_GPU = Path("/dev/nvidiactl").exists()
on_a_plain_machine = pytest.mark.skipif(HAS_CARD or HAS_GPU, reason="there is more than a CPU here")


def findings(ended: Ended) -> dict[str, dict[str, Any]]:
    """Findings of ``--json`` by name; output that is not strict JSON fails."""

    def refuse(word: str) -> None:
        pytest.fail(f"{word} is not strict JSON")

    rows = json.loads(ended.out, parse_constant=refuse)["findings"]
    return {row["name"]: row for row in rows}


@pytest.fixture
def torch_npu_without_cann(tmp_path: Path) -> str:
    """Search path with an installed torch_npu that cannot be imported, as the wheel on a host without CANN."""
    return planted_torch_npu(tmp_path, 'raise ImportError("libhccl.so: cannot open shared object file: No such file")')


def planted_torch_npu(tmp_path: Path, code: str) -> str:
    """Search path with a torch_npu of this torch's release, made of one line."""
    made_for = version("torch").partition("+")[0]
    metadata = tmp_path / "site" / f"torch_npu-{made_for}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch_npu\nVersion: {made_for}\n", "utf-8")
    (metadata / "entry_points.txt").write_text("[torch.backends]\ntorch_npu = torch_npu:_autoload\n", "utf-8")
    (metadata.parent / "torch_npu.py").write_text(f"{code}\n", "utf-8")
    return f"{metadata.parent}:{ROOT}"


@on_a_plain_machine
def test_a_plain_machine_is_fine_for_the_cpu(run_harness: RunHarness) -> None:
    ended = run_harness("doctor", PYTHONPATH=str(ROOT))  # without the planted backends, which can be used anywhere
    assert (ended.code, complaints(ended.err)) == (0, [])
    assert "Only the CPU can be used here; 0 warnings." in ended.out
    assert "\x1b" not in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80


@on_a_plain_machine
def test_a_wanted_device_that_is_missing_blocks(run_harness: RunHarness) -> None:
    ended = run_harness("doctor", "--device", "npu")
    assert ended.code == 3
    table = ended.out.split("blocked", 1)[1]
    assert "torch_npu is not installed" in " ".join(table.split())
    assert "next: " in table


def test_json_is_strict_and_a_warning_that_changes_numbers_fails_strict(run_harness: RunHarness) -> None:
    words = ["doctor", "--device", "cpu", "--json"]
    ended = run_harness(*words, "--strict", TORCH_TRANSFER_TO_NPU="1")
    assert ended.code == 1, ended.err
    found = findings(ended)["switch"]
    assert found["changes_numbers"] is True
    assert found["observed"].startswith("TORCH_TRANSFER_TO_NPU=1")
    assert run_harness(*words, TORCH_TRANSFER_TO_NPU="1").code == 0


def test_it_has_help(run_harness: RunHarness) -> None:
    ended = run_harness("doctor", "--help")
    assert ended.code == 0
    assert "exit 3 when the device cannot be used" in " ".join(ended.out.split())


def test_an_unknown_device_is_wrong_use(run_harness: RunHarness) -> None:
    ended = run_harness("doctor", "--device", "npv")
    assert ended.code == 2
    assert "no device is called 'npv'. Did you mean 'npu'?" in ended.err


@pytest.mark.skipif(HAS_CARD, reason="there is a real torch_npu or card here")
def test_torch_npu_without_cann_blocks_and_each_cause_has_its_line(
    tmp_path: Path, torch_npu_without_cann: str, run_harness: RunHarness
) -> None:
    tools = plant_npu_smi(tmp_path / "bin", A2)
    variables = {
        "PYTHONPATH": torch_npu_without_cann,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "HOME": "/home/ada",
        "HF_TOKEN": "swordfish77",
        "ASCEND_HOME_PATH": "/home/ada/swordfish77",
    }
    ended = run_harness("doctor", "--json", **variables)
    assert ended.code == 3, ended.err
    found = findings(ended)
    blocked = [name for name, row in found.items() if row["severity"] == "blocked"]
    assert blocked == list(found)[: len(blocked)], "the worst comes first"
    assert {"npu", "library", "CANN", "driver"} <= set(blocked)
    assert "libhccl.so" in found["library"]["observed"]
    assert "card 5 chip 0 (910B4) is in health Alarm" in found["health"]["observed"]
    assert "card 5 chip 0: 2 processes, AI cores 87 %" in found["busy"]["observed"]
    assert found["autoload"]["severity"] == "warning"
    assert "TORCH_DEVICE_BACKEND_AUTOLOAD=0" in found["autoload"]["next_step"]
    for private in ("swordfish77", "/home/ada", str(tmp_path), "0000:C1", "1333928"):
        assert private not in ended.out


def test_a_backend_that_takes_its_process_down_silences_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", planted_torch_npu(tmp_path, "import os; os.write(2, b'driver lost'); os._exit(7)"))
    answers = ask_backends(tmp_path / "work")
    assert list(answers) == ["npu", "cuda", "cpu"]
    assert not answers["npu"].available
    assert "ended with exit code 7" in answers["npu"].reason
    assert "driver lost" in answers["npu"].reason
    assert answers["cpu"].available


def base_install(folder: Path) -> Path:
    """An interpreter with all packages but the model side's."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for entry in Path(site_packages()).iterdir():
        if not entry.name.startswith(("torch", "diffusers", "transformers", "accelerate", "__", "_virtualenv")):
            (packages / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


def site_packages() -> str:
    """Folder that the packages of this interpreter lie in."""
    spec = find_spec("numpy")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parents[1])


def test_the_base_install_says_what_is_missing(tmp_path: Path) -> None:
    python = base_install(tmp_path / "venv")
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        [python, "-m", "harness", "doctor", "--device", "cpu"],
        env={**variables, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=False,
    )
    assert ended.returncode == 3, ended.stderr
    text = " ".join(ended.stdout.split())
    assert "torch is not installed: nothing can be run" in text
    assert "No device can be used here; blocked: torch, diffusers, transformers; 1 warning." in text
