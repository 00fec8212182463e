"""Operators that are wrong, or give two results, are named; those of torch on the CPU never are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it

from harness.explain.verdict import with_operators
from harness.run.worker.operator_check import Everywhere, Operators
from tests.explain.test_operator_page import EXPLANATION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.records.investigation import OperatorCheck


class Planted:
    """An operator of its own that adds something to what it is given, as long as it is told to."""

    def __init__(self) -> None:
        self.added: list[float] = []
        library: Any = torch.library.Library
        self.library = library("planted", "FRAGMENT")
        self.library.define("twice(Tensor x) -> Tensor")
        self.library.impl("twice", self.kernel, "CPU")

    def kernel(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x + (self.added.pop(0) if self.added else 0.0)


@pytest.fixture
def planted() -> Iterator[Planted]:
    made = Planted()
    yield made
    made.library._destroy()


def looked(work: Callable[[], Any], *, values: bool = True) -> OperatorCheck:
    operators = Operators(Everywhere(), values=values)
    with torch.no_grad(), operators.mode():
        work()
    return operators.record("")


X = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))


def test_an_operator_that_is_off_is_named_with_its_error_and_shapes(planted: Planted) -> None:
    planted.added = [0.01, 0.01]  # the two calls of the candidate; what it is held against is right
    check = looked(lambda: torch.relu(torch.ops.planted.twice(X)))
    (wrong,) = check.wrong
    assert (wrong.name, wrong.shapes, wrong.dtype, wrong.number) == ("planted::twice", [[4, 8]], "float32", 0)
    assert wrong.floor is not None
    assert wrong.error == pytest.approx(0.01 * 32**0.5 / float((2 * X).norm()), rel=1e-3)
    assert (check.checked, check.changing) == (2, [])


def test_an_operator_with_two_results_is_named_whether_or_not_values_are_compared(planted: Planted) -> None:
    for values in (True, False):
        planted.added = [0.0, 1e-6]
        (changing,) = looked(lambda: torch.ops.planted.twice(X), values=values).changing
        assert (changing.name, changing.floor) == ("planted::twice", None)
        assert changing.error > 0


def test_what_the_cpu_cannot_compute_is_listed_and_not_judged(planted: Planted) -> None:
    def fails_in_float64(x: torch.Tensor) -> torch.Tensor:
        if x.dtype == torch.float64:
            raise NotImplementedError
        return x + 1

    planted.library.define("other(Tensor x) -> Tensor")
    planted.library.impl("other", fails_in_float64, "CPU")
    check = looked(lambda: torch.ops.planted.other(X))
    assert (check.unchecked, check.wrong, check.checked) == (["planted::other"], [], 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_torchs_own_operators_are_never_named(dtype: torch.dtype) -> None:
    def work() -> None:
        x, w = X.to(dtype), torch.randn(8, 8, generator=torch.Generator().manual_seed(2)).to(dtype)
        y = F.layer_norm(F.linear(x, w), (8,)).softmax(-1)
        y[0].mul_(2).add_(y[1])
        y = F.scaled_dot_product_attention(y[None], y[None], y[None])
        y = F.gelu(y.transpose(1, 2).contiguous()) - y.mean() + torch.arange(4, dtype=dtype)
        torch.cat([y, y.round()]).masked_fill(y > 0, -torch.inf).logsumexp(-1)
        F.conv2d(y[None], y[None].flip(-1)).to(torch.uint8)
        F.dropout(torch.empty(3).zero_(), 0.5)

    check = looked(work)
    assert check.checked > 20
    assert (check.wrong, check.changing, check.unchecked) == ([], [], [])


def test_the_first_wrong_operator_is_said_beside_the_answer_and_nothing_where_none_is_wrong(planted: Planted) -> None:
    planted.added = [0.01, 0.01]
    said = with_operators(EXPLANATION, looked(lambda: torch.ops.planted.twice(X)))
    assert [str(note).partition(":")[0] for note in said.notes] == ["the first operator that is wrong there is planted"]
    assert with_operators(EXPLANATION, looked(lambda: torch.ops.planted.twice(X))).notes == []
