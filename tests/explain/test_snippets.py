"""Lines of Python that an explanation gives: they run as pasted, and are there only where they can be of use."""

from __future__ import annotations

import contextlib
import io
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from harness.explain.snippets import PICTURE, snippets
from harness.records.explanation import Culprit
from harness.records.investigation import OperatorCheck, OperatorError, Place, Side


def explanation(path: str, device: str = "cpu", operator: str = "") -> Any:
    place = Place(path=path, side=Side.OUTPUT)
    culprit = Culprit(path=path, place=place, value="", error=1.0, floor=1e-7, free_error=None)
    wrong = OperatorError(name=operator, path=path, number=0, shapes=[], dtype="float32", error=1.0, floor=1e-7)
    check = OperatorCheck(
        path=path,
        against_cpu=True,
        checked=1,
        wrong=[wrong],
        wrong_count=1,
        changing=[],
        changing_count=0,
        unchecked=[],
    )
    return SimpleNamespace(
        arm="port", culprits=[culprit], devices={"port": device}, operators=check if operator else None
    )


def test_the_operators_of_the_module_are_printed_by_the_lines_as_they_are() -> None:
    (lines,) = snippets(explanation("transformer.1"))
    pipe = SimpleNamespace(transformer=nn.Sequential(nn.LayerNorm(4), nn.GELU()))
    said = io.StringIO()
    with contextlib.redirect_stdout(said), torch.no_grad():
        exec(lines.replace(PICTURE, "pipe.transformer(torch.ones(2, 4))"), {"pipe": pipe, "torch": torch})  # noqa: S102
    assert "aten::gelu" in said.getvalue()
    assert "native_layer_norm" not in said.getvalue()


def test_on_an_npu_the_operator_is_what_msprobe_looks_for() -> None:
    _, lines = snippets(explanation("transformer.blocks.2.act", "npu", "aten::gelu"))
    assert '"list": ["gelu"]' in lines
    assert "debugger.start(model=pipe.transformer)" in lines
    compile(lines, "snippet", "exec")


@pytest.mark.parametrize("path", ["scheduler.step", "pipeline", "transformer"])
def test_functions_between_modules_have_no_operators_to_print(path: str) -> None:
    assert snippets(explanation(path)) == []
