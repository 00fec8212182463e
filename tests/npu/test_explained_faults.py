"""Faults of a card's operators are explained by module, operator and cause; a card that is right is left alone."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.command_line import ROOT
from tests.npu.exam import FAULTS, HARMLESS, read_answer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_line import MadeOnce
    from tests.npu.exam import Answer

QUICK = ["wrong_eps@npu_rms_norm", "mask_ignored", "changing_order@addmm"]
QUICK_HARMLESS = ["documented"]


def answers(folder: Path, *words: str) -> None:
    """Let a process of its own explain faults: it forks, and a test's process has threads."""
    command = [sys.executable, "-m", "tests.npu.exam", *words, "--out", str(folder / "answers.jsonl")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def read(folder: Path) -> dict[tuple[str, str], Answer]:
    """Answers by fault and type."""
    lines = (folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    return {(answer.name, answer.dtype): answer for answer in map(read_answer, lines)}


@pytest.fixture
def quick(made_once: MadeOnce) -> dict[tuple[str, str], Answer]:
    """A few faults and a harmless change in float32."""
    words = [*QUICK, *QUICK_HARMLESS, "--dtype", "float32"]
    return read(made_once("card-faults", lambda folder: answers(folder, *words)))


@pytest.fixture
def everything(made_once: MadeOnce) -> dict[tuple[str, str], Answer]:
    """All faults and harmless changes in both types."""
    return read(made_once("all-card-faults", answers))


def require_explained(answer: Answer) -> None:
    """Fail unless the operator with the fault is named, and its cause where one is known."""
    assert not answer.error
    assert answer.struck
    assert answer.operator in answer.expected.operators, answer
    assert answer.cause_is_right or not (answer.expected.causes or answer.causes), answer.causes
    assert answer.unchecked == ()


def require_silence(answer: Answer) -> None:
    """Fail where anything is named, among all operators of a picture too."""
    assert not answer.error
    assert (answer.found, answer.path, answer.operator, answer.causes, answer.unchecked) == (False, "", "", (), ())
    assert answer.checked > 1000


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_operator_and_cause_of_a_fault_are_named(quick: dict[tuple[str, str], Answer], name: str) -> None:
    require_explained(quick[name, "float32"])


@pytest.mark.slow
def test_operators_that_a_module_does_not_call_itself_are_not_looked_at(quick: dict[tuple[str, str], Answer]) -> None:
    answer = quick["wrong_eps@npu_rms_norm", "float32"]
    assert (answer.checked, answer.path) == (1, "transformer.transformer_blocks.0.attn.norm_q")


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK_HARMLESS)
def test_a_card_that_rounds_otherwise_is_left_alone(quick: dict[tuple[str, str], Answer], name: str) -> None:
    require_silence(quick[name, "float32"])


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_explained_in_float32(everything: dict[tuple[str, str], Answer], name: str) -> None:
    require_explained(everything[name, "float32"])


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", HARMLESS)
def test_every_harmless_change_is_left_alone(everything: dict[tuple[str, str], Answer], name: str, dtype: str) -> None:
    require_silence(everything[name, dtype])


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("name", FAULTS)
def test_no_other_operator_is_named_where_bfloat16_hides_a_fault(
    everything: dict[tuple[str, str], Answer], name: str
) -> None:
    assert everything[name, "bfloat16"].operator in {"", *FAULTS[name].operators}
