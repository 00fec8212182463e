"""Machines to be judged, and what ``npu-smi info`` prints on some: documented forms, made-up values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.contracts import Availability
from harness.diagnose.machine import Cann, Machine, Place
from harness.diagnose.npu_smi import Chip, NpuSmi

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RULE = "+===========================+===============+====================================================+\n"
HEAD = (
    "| npu-smi 24.1.rc3                 Version: 24.1.rc3                                             |\n"
    "| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|\n"
    "| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |\n"
)
PROCESSES = "| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |\n"

A2 = (
    HEAD + RULE + "| 0     910B4               | OK            | 91.0        36                0    / 0             |\n"
    "| 0                         | 0000:C1:00.0  | 0           0    / 0          2847 / 32768         |\n"
    + RULE
    + "| 5     910B4               | Alarm         | 93.2        49                0    / 0             |\n"
    "| 0                         | 0000:02:00.0  | 87          0    / 0          31711/ 32768         |\n"
    + RULE
    + PROCESSES
    + RULE
    + "| No running processes found in NPU 0                                                            |\n"
    + RULE
    + "| 5       0                 | 1333928       | python3                  | 28000                   |\n"
    "| 5       0                 | 1333930       |                          | 134                     |\n" + RULE
)
A3 = (
    HEAD.replace("Chip   ", "Chip  Phy-ID")
    + RULE
    + "| 0     Ascend910           | OK            | 166.5       38                0    / 0             |\n"
    "| 0     0                   | 0000:9D:00.0  | 0           0    / 0          3131 / 65536         |\n"
    "+------------------------------------------------------------------------------------------------+\n"
    "| 0     Ascend910           | OK            | -           37                0    / 0             |\n"
    "| 1     1                   | 0000:9F:00.0  | 0           0    / 0          53000/ 65536         |\n"
    + RULE
    + PROCESSES
    + RULE
    + "| 0       1                 | 3328327       |                          | 50119                   |\n"
    + RULE
)
WITHOUT_HBM = (
    "| NPU     Name                  | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |\n"
    "| Chip    Device                | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |\n"
    "| 2       310P3                 | OK              | NA           45                0     / 0             |\n"
    "| 0       0                     | 0000:01:00.0    | NA           1529 / 44280                            |\n"
)
DENIED = "DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3)\ndcmi module initialize failed. ret is -8005\n"


def plant_npu_smi(folder: Path, output: str, exit_code: int = 0) -> Path:
    """A program called npu-smi in a folder for PATH; it must be asked for ``info``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "output.txt").write_text(output, encoding="utf-8")
    tool = folder / "npu-smi"
    tool.write_text(
        f'#!/bin/sh\n[ "$1" = info ] || exit 9\n/bin/cat {folder / "output.txt"}\nexit {exit_code}\n', encoding="utf-8"
    )
    tool.chmod(0o755)
    return folder


CPU = Availability(available=True, reason="A Processor", device_count=1)
NO_GPU = Availability(available=False, reason="torch was built without CUDA")
TWO_CARDS = Availability(available=True, reason="Ascend910B4", device_count=2, memory_bytes=(2**35, 2**35))
NO_CANN = Availability(available=False, reason="torch_npu 2.9.0 needs CANN: libhccl.so cannot be opened")
LIBRARIES = {"diffusers": "0.38.0", "transformers": "4.57.6", "accelerate": "1.13.0"}
CHIP = Chip(card=0, chip=0, name="910B4", health="OK", load_percent=0, used_mb=2847, total_mb=32768)


def plain_machine(**changes: Any) -> Machine:
    """A machine with nothing but a processor, and all packages."""
    backends = {"npu": Availability(available=False, reason="torch_npu is not installed"), "cuda": NO_GPU, "cpu": CPU}
    sound = Machine(backends=backends, packages={"torch": "2.9.0+cpu", **LIBRARIES})
    return _changed(sound, changes)


def npu_machine(**changes: Any) -> Machine:
    """A host with two cards on which nothing is wrong."""
    ascend = "/usr/local/Ascend"
    sound = Machine(
        backends={"npu": TWO_CARDS, "cuda": NO_GPU, "cpu": CPU},
        packages={"torch": "2.9.0+cpu", "torch_npu": "2.9.0", **LIBRARIES},
        environment={"ASCEND_HOME_PATH": f"{ascend}/cann-8.5.0"},
        cann=[
            Cann(path=f"{ascend}/cann-8.5.0", version="8.5.0", set_env=f"{ascend}/cann-8.5.0/set_env.sh", active=True)
        ],
        ascend_folders=[Place(path=ascend, owner="root", usable=True)],
        device_files=[Place(path=f"/dev/davinci{index}", owner="root", usable=True) for index in (0, 1)],
        driver="24.1.rc3",
        firmware="7.5.0.1",
        npu_smi=NpuSmi(state="answered", version="24.1.rc3", chips=(CHIP, replace(CHIP, card=1))),
    )
    return _changed(sound, changes)


def _changed(machine: Machine, changes: Mapping[str, Any]) -> Machine:
    """The machine with other fields; packages, variables and backends are added to what is there, None takes away."""
    merged: dict[str, Any] = {
        name: {key: each for key, each in {**getattr(machine, name), **value}.items() if each is not None}
        if isinstance(value, dict)
        else value
        for name, value in changes.items()
    }
    return replace(machine, **merged)
