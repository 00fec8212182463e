"""What a page and the terminal say of operators, and of a device that a stand-in library plays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.explain.verdict import with_operators
from harness.language import spoken
from harness.records import CaseKey
from harness.records.explanation import Culprit, Explanation, Trouble
from harness.records.investigation import OperatorCheck, OperatorError, Place, Side
from harness.render import html
from harness.terminal.explanations import show_explanation

if TYPE_CHECKING:
    import pytest

PLACE = Place(path="transformer.norm", side=Side.OUTPUT)
EXPLANATION = Explanation(
    scenario="port",
    arm="npu",
    against="cpu",
    key=CaseKey(case="circle", seed=42),
    dtype="float32",
    devices={"npu": "npu", "cpu": "cpu"},
    trouble=Trouble.PLACE,
    message="transformer.norm is the first that is wrong by itself",
    checks=[],
    culprits=[Culprit(path="transformer.norm", place=PLACE, value="", error=1e-2, floor=1e-7, free_error=None)],
    innocent=[],
    innocent_count=0,
    places=9,
    missing=[],
    additional=[],
    not_finite=None,
    proof=None,
    causes=[],
    tried=65,
    without_power={},
    constants=[],
    wrong_constants=[],
    gap=None,
    floor=None,
    trace_bytes=0,
    pictures={},
)
WRONG = OperatorError(
    name="npu::npu_rms_norm",
    path="transformer.norm",
    number=0,
    shapes=[[2, 16], [16]],
    dtype="float32",
    error=2e-3,
    floor=1e-7,
)
CHANGING = WRONG.model_copy(update={"name": "aten::addmm", "floor": None, "error": 1e-8})
NOTHING = OperatorCheck(
    path="transformer.norm",
    against_cpu=True,
    checked=3,
    wrong=[],
    wrong_count=0,
    changing=[],
    changing_count=0,
    unchecked=[],
)


def page(explanation: Explanation, language: str = "en") -> str:
    with spoken(language):
        return html.render_explanation(explanation)


def test_a_wrong_operator_is_on_the_first_screen_and_in_a_table_in_both_languages() -> None:
    said = with_operators(EXPLANATION, NOTHING.model_copy(update={"wrong": [WRONG], "wrong_count": 1}))
    english, chinese = page(said), page(said, "zh")
    assert "the first operator that is wrong there is npu::npu_rms_norm" in english
    assert "float32 2x16 16" in english
    assert "该处第一个出错的算子是 npu::npu_rms_norm" in chinese


def test_operators_that_are_right_turn_the_eye_to_what_calls_them(capsys: pytest.CaptureFixture[str]) -> None:
    said = with_operators(EXPLANATION, NOTHING)
    assert "3 calls were looked at and all are right" in page(said)
    show_explanation(said)
    assert "operator: none of 3 calls of transformer.norm is far from the CPU in float64" in capsys.readouterr().out


def test_an_operator_with_two_results_and_one_that_was_not_looked_at_are_said() -> None:
    everywhere = {"path": "", "against_cpu": False, "changing": [CHANGING], "changing_count": 21}
    text = page(with_operators(EXPLANATION, NOTHING.model_copy(update={**everywhere, "unchecked": ["npu::x"]})))
    assert "gives two results for the same inputs is aten::addmm" in text
    assert "20 more were found." in text
    assert "not looked at: npu::x." in text


def test_a_cpu_is_not_held_against_itself_and_the_page_says_so() -> None:
    text = page(EXPLANATION.model_copy(update={"devices": {"npu": "cpu", "cpu": "cpu"}}))
    assert "Operators were not looked at: npu ran on a CPU" in text
    assert "Operators were not looked at" not in page(EXPLANATION)


def test_a_simulated_device_is_said_on_the_page_and_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    said = EXPLANATION.model_copy(update={"simulated": ["npu"]})
    assert "SIMULATED DEVICE" in page(said)
    assert "模拟设备" in page(said, "zh")
    assert "SIMULATED DEVICE" not in page(EXPLANATION)
    show_explanation(said)
    assert "SIMULATED: a stand-in library plays the device of npu" in capsys.readouterr().out
