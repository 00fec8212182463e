"""A machine is seen as it is: planted trees and environments, and nothing private in what is kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from harness.contracts import Availability
from harness.diagnose import machine
from harness.diagnose.machine import Cann, cann_installations, import_torch, look, variables
from tests.diagnose.planted_machines import A2, plant_npu_smi

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """CANN 8 the old way, CANN 9 the new way, a CANN of a user, a driver, two cards."""
    root = tmp_path / "root"
    ascend, mine = root / "usr/local/Ascend", root / "home/ada/Ascend"
    old = "package_name=Ascend-cann-toolkit\nversion=8.3.RC1\ninnerversion=V100R001C23\n"
    write(ascend / "ascend-toolkit/8.3.RC1/aarch64-linux/ascend_toolkit_install.info", old)
    (ascend / "ascend-toolkit/latest").symlink_to("8.3.RC1")
    write(ascend / "ascend-toolkit/set_env.sh")
    write(ascend / "cann-9.1.0/x86_64-linux/ascend_toolkit_install.info", "version=9.1.0\n")
    write(ascend / "cann-9.1.0/set_env.sh")
    (ascend / "cann").symlink_to("cann-9.1.0")
    write(mine / "ascend-toolkit/8.5.0/version.cfg", "# versions\ntoolkit_running_version=[7.7.0.1:8.5.0]\n")
    write(ascend / "driver/version.info", "Version=24.1.rc3\nascendhal_version=7.35\n")
    write(ascend / "firmware/version.info", "Version=7.5.0.1\n")
    for name in ("davinci0", "davinci1", "davinci_manager"):
        write(root / "dev" / name)
    return root


def places(found: list[Cann]) -> list[tuple[str, bool]]:
    return [(each.version, each.active) for each in found]


def test_every_installation_is_found_once_and_the_newest_is_last(root: Path) -> None:
    old, new = "/usr/local/Ascend/ascend-toolkit", "/usr/local/Ascend/cann"
    assert cann_installations(root, {"HOME": "/home/ada"}) == [
        Cann(path=f"{old}/latest", version="8.3.RC1", set_env=f"{old}/set_env.sh"),
        Cann(path="~/Ascend/ascend-toolkit/8.5.0", version="8.5.0"),
        Cann(path=new, version="9.1.0", set_env=f"{new}/set_env.sh"),
    ]


@pytest.mark.parametrize("name", ["ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"])
@pytest.mark.parametrize("value", ["ascend-toolkit/latest", "ascend-toolkit/8.3.RC1", "ascend-toolkit/latest/"])
def test_the_one_that_the_environment_names_is_active(name: str, value: str, root: Path) -> None:
    found = cann_installations(root, {name: f"/usr/local/Ascend/{value}"})
    assert places(found) == [("8.3.RC1", True), ("9.1.0", False)]
    assert found[0].set_env == "/usr/local/Ascend/ascend-toolkit/set_env.sh"


def test_a_variable_that_names_nothing_activates_nothing(root: Path) -> None:
    found = cann_installations(root, {"ASCEND_HOME_PATH": "/usr/local/Ascend/cann-8.5.0"})
    assert places(found) == [("8.3.RC1", False), ("9.1.0", False)]


def test_an_installation_elsewhere_is_found_by_its_variable(root: Path) -> None:
    write(root / "opt/cann/ascend_toolkit_install.info", "version=8.5.1\n")
    assert ("8.5.1", True) in places(cann_installations(root, {"ASCEND_HOME_PATH": "/opt/cann"}))


def test_a_machine_without_ascend_has_none(tmp_path: Path) -> None:
    assert cann_installations(tmp_path, {"HOME": "/home/ada"}) == []


def test_only_allow_listed_variables_are_kept_and_without_secrets() -> None:
    kept = variables(
        {
            "HCCL_DETERMINISTIC": "true",
            "TASK_QUEUE_ENABLE": "2",
            "HF_TOKEN": "hf_abcDEF0123456789",
            "ASCEND_HOME_PATH": "/home/ada/Ascend",
            "HCCL_NOTE": "hf_abcDEF0123456789",
            "PATH": "/bin",
            "XHCCL_": "no",
        }
    )
    assert kept == {
        "ASCEND_HOME_PATH": "~/Ascend",
        "HCCL_DETERMINISTIC": "true",
        "HCCL_NOTE": "***",
        "TASK_QUEUE_ENABLE": "2",
    }


def test_a_whole_machine_is_seen_and_nothing_private_is_kept(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_IMPORT", "raise SystemExit('ImportError: /home/ada/lib.so of swordfish77')")
    environment = {
        "PATH": str(plant_npu_smi(tmp_path / "bin", A2)),
        "HOME": "/home/ada",
        "MY_TOKEN": "swordfish77",
        "ASCEND_HOME_PATH": "/usr/local/Ascend/cann",
        "LCCL_DETERMINISTIC": "0",
    }
    said = Availability(available=False, reason="cannot read /home/ada/x\nof swordfish77")
    seen = look(root, environment, {"npu": said}, "npu")
    assert (seen.driver, seen.firmware) == ("24.1.rc3", "7.5.0.1")
    assert [place.path for place in seen.device_files] == ["/dev/davinci0", "/dev/davinci1"]
    assert seen.active_cann is not None
    assert seen.active_cann.version == "9.1.0"
    assert [place.path for place in seen.ascend_folders] == [
        "/usr/local/Ascend",
        "/usr/local/Ascend/ascend-toolkit",
        "~/Ascend",
        "~/Ascend/ascend-toolkit",
    ]
    assert len(seen.npu_smi.chips) == 2
    assert seen.torch_error == "ImportError: ~/lib.so of ***"
    assert seen.backends["npu"].reason == "cannot read ~/x of ***"
    assert "torch" in seen.packages
    for private in ("ada", "swordfish77", "0000:C1", str(tmp_path)):
        assert private not in repr(seen)


def test_an_empty_machine_is_seen_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_IMPORT", "print('noise'); print(False)")
    seen = look(tmp_path, {"PATH": ""}, {}, "auto")
    assert not seen.npu_wanted
    assert (seen.driver, seen.cann, seen.device_files, seen.npu_smi.state) == ("", [], [], "missing")
    assert (seen.torch_error, seen.transfers_to_npu) == ("", False)


def test_whose_a_folder_is_and_whether_it_may_be_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_IMPORT", "print(False)")
    owner = (root / "dev").stat().st_uid

    def owners(me: int) -> set[str]:
        monkeypatch.setattr(os, "getuid", lambda: me)
        return {place.owner for place in look(root, {}, {}, "auto").ascend_folders}

    assert owners(owner) == {"you"}
    assert owners(owner + 1) == {"root" if owner == 0 else "another user"}
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.R_OK | os.W_OK)
    seen = look(root, {}, {}, "auto")
    assert {place.usable for place in seen.ascend_folders} == {True}
    assert {place.usable for place in seen.device_files} == {False}


# --- import torch ----------------------------------------------------------------------------------------------------


def planted_torch(folder: Path, text: str) -> dict[str, str]:
    write(folder / "torch.py", text)
    return {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def test_the_last_line_of_a_failing_import_is_kept(tmp_path: Path) -> None:
    found = import_torch(planted_torch(tmp_path, "print('x')\nraise RuntimeError('no back end')\n"))
    assert found == ("RuntimeError: no back end", False)


def test_an_import_that_dies_in_silence_is_an_error(tmp_path: Path) -> None:
    assert import_torch(planted_torch(tmp_path, "import os\nos._exit(7)\n")).error == "exit code 7"


def test_an_import_that_hangs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_IMPORT_SECONDS", 0.5)
    assert import_torch(planted_torch(tmp_path, "import time\ntime.sleep(60)\n")).error == "no end in 0.5 s"


def test_a_redirected_torch_is_noticed_and_another_is_not(tmp_path: Path) -> None:
    text = "import sys\nprint('Warning: a library prints')\nsys.modules['torch_npu.contrib.transfer_to_npu'] = sys\n"
    assert import_torch(planted_torch(tmp_path, text)) == ("", True)
    assert import_torch(planted_torch(tmp_path, "print('True')\n")) == ("", False)
