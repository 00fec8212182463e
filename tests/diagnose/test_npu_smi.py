"""The tables of npu-smi are read on every kind of card, and a tool that does not answer is told from one that does."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from harness.diagnose import npu_smi
from tests.diagnose.planted_machines import A2, A3, DENIED, WITHOUT_HBM, plant_npu_smi

if TYPE_CHECKING:
    from pathlib import Path


def rows(text: str) -> list[tuple[object, ...]]:
    return [tuple(asdict(chip).values()) for chip in npu_smi.read(text).chips]


def test_a_card_of_one_chip_is_a_device() -> None:
    assert rows(A2) == [
        (0, 0, "910B4", "OK", 0, 2847, 32768, 0),
        (5, 0, "910B4", "Alarm", 87, 31711, 32768, 2),
    ]
    assert npu_smi.read(A2).version == "24.1.rc3"


def test_a_card_of_two_chips_is_two_devices() -> None:
    assert rows(A3) == [
        (0, 0, "Ascend910", "OK", 0, 3131, 65536, 0),
        (0, 1, "Ascend910", "OK", 0, 53000, 65536, 1),
    ]


def test_a_chip_without_hbm_has_its_only_memory() -> None:
    assert rows(WITHOUT_HBM) == [(2, 0, "310P3", "OK", 0, 1529, 44280, 0)]


@pytest.mark.parametrize("text", ["", "|", "| 0 |\n| 0 |", DENIED, A2.splitlines()[0], "\x00\xff", "| 0 | 1 | 2 | 3 |"])
def test_what_is_no_table_gives_no_card(text: str) -> None:
    assert rows(text) == []
    assert npu_smi.read(text).state == "failed"


def test_nothing_that_tells_one_card_from_another_is_kept() -> None:
    for secret in ("0000:C1", "1333928", "python3"):
        assert secret in A2
        assert secret not in repr(npu_smi.read(A2))


def test_the_tool_is_run_and_read(tmp_path: Path) -> None:
    found = npu_smi.ask(tmp_path, {"PATH": str(plant_npu_smi(tmp_path / "bin", A2))})
    assert (found.state, len(found.chips)) == ("answered", 2)


def test_the_tool_is_found_where_the_driver_puts_it(tmp_path: Path) -> None:
    plant_npu_smi(tmp_path / "usr/local/sbin", A3)
    assert npu_smi.ask(tmp_path, {"PATH": "/nowhere"}).state == "answered"


def test_no_tool_is_missing(tmp_path: Path) -> None:
    assert npu_smi.ask(tmp_path, {"PATH": str(tmp_path)}) == npu_smi.NpuSmi(state="missing")


@pytest.mark.parametrize(
    ("output", "exit_code", "complaint"),
    [
        (DENIED, 255, "dcmi module initialize failed. ret is -8005"),
        (DENIED, 0, "dcmi module initialize failed. ret is -8005"),
        ("", 3, "exit code 3 and no table of cards"),
        ("Permission denied\n", 1, "Permission denied"),
        (A2, 1, "exit code 1 and no table of cards"),
    ],
)
def test_a_tool_that_is_refused_has_failed(output: str, exit_code: int, complaint: str, tmp_path: Path) -> None:
    found = npu_smi.ask(tmp_path, {"PATH": str(plant_npu_smi(tmp_path / "bin", output, exit_code))})
    assert (found.state, found.complaint) == ("failed", complaint)


def test_a_tool_that_hangs_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = plant_npu_smi(tmp_path / "bin", A2)
    (folder / "npu-smi").write_text("#!/bin/sh\nexec /bin/sleep 60\n", encoding="utf-8")
    monkeypatch.setattr(npu_smi, "TIME_LIMIT_SECONDS", 0.2)
    assert npu_smi.ask(tmp_path, {"PATH": str(folder)}).complaint == "no answer in 0.2 s"


def test_a_tool_that_cannot_be_started_has_failed(tmp_path: Path) -> None:
    folder = plant_npu_smi(tmp_path / "bin", A2)
    (folder / "npu-smi").write_text("#!/no/such/interpreter\n", encoding="utf-8")
    found = npu_smi.ask(tmp_path, {"PATH": str(folder)})
    assert (found.state, found.complaint) == ("failed", "No such file or directory")
