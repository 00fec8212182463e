"""Limits that were measured on a CPU alone hold for a healthy card, and faults of operators break one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.command_line import run_command

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
name: card
summary: Is a card near the CPU, by limits that were measured on the CPU?
task: text_to_image
model: {source: 'builtin:tiny-deepgen-random', dtype: float32, trust_remote_code: true}
cases:
  - {id: even, prompt: a blue circle, negative_prompt: a pink circle}
seeds: [42]
calibration: {seeds: [1, 2]}
width: 64
height: 64
steps: 2
arms:
  - {name: npu, device: npu}
  - {name: cpu, role: reference, device: cpu, npu_ops: reference}
repeats: {in_process: 1, processes: 1}
"""


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scenario whose limits ``harness calibrate`` wrote; no card took part in it."""
    folder = tmp_path_factory.mktemp("calibrated")
    path = folder / "card.yaml"
    path.write_text(f"{TEXT}limits:\n{HOPE}", encoding="utf-8")
    ended = run_command(folder, "calibrate", path, "--write")
    assert ended.code == 0, ended.out + ended.err
    return path


HOPE = """\
  - metric: psnr_db
    scope: reference
    at_least: 1
    reason: A reference wants a limit, and this one judges nothing.
"""


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("", 0),
        ("wrong_eps", 1),
        ("gelu_form", 1),
        ("mask_ignored", 1),
        ("mask_inverted", 1),
        ("fp16_accumulation", 1),
        ("changing_order", 0),  # rounding alone, which accuracy has to bear; determinism is what it breaks
    ],
)
def test_a_healthy_card_passes_and_a_fault_of_an_operator_does_not(
    fault: str, code: int, calibrated: Path, tmp_path: Path
) -> None:
    path = tmp_path / calibrated.name
    path.write_text(calibrated.read_text(encoding="utf-8"), encoding="utf-8")
    ended = run_command(tmp_path, "check", path, ASCEND_SIM_VALUES="documented", ASCEND_SIM_FAULTS=fault)
    assert ended.code == code, ended.out + ended.err
