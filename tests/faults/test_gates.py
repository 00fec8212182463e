"""Each gate of another project flags a picture that is wrong, and no picture that is equal or differs by rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.faults.gates import GATES, Shown, flagged

if TYPE_CHECKING:
    from numpy.typing import NDArray


def shown(floats: NDArray[np.float64]) -> Shown:
    levels = np.clip(np.round(floats * 255), 0, 255).astype(np.uint8)
    return Shown(image=levels, floats=floats, steps=[floats * 2, floats])


EXACT = np.random.default_rng(0).uniform(0.3, 0.7, (32, 32, 3))
ROUNDED = EXACT + np.random.default_rng(1).normal(0, 1e-4, EXACT.shape)
ROUNDED_OTHERWISE = EXACT + np.random.default_rng(2).normal(0, 1e-4, EXACT.shape)
UPSIDE_DOWN = EXACT[::-1].copy()


@pytest.mark.parametrize("name", GATES)
def test_a_gate_flags_what_is_wrong_and_nothing_else(name: str) -> None:
    expected, exact = shown(ROUNDED), shown(EXACT)
    assert flagged(shown(UPSIDE_DOWN), expected, exact)[name] is True
    assert flagged(expected, expected, exact)[name] is False
    assert flagged(shown(ROUNDED_OTHERWISE), expected, exact)[name] is False


def test_rules_of_three_sides_say_nothing_without_the_third() -> None:
    said = flagged(shown(UPSIDE_DOWN), shown(ROUNDED), None)
    assert [name for name, word in said.items() if word is None] == [
        "PyTorch same()",
        "Ascend dual benchmark",
        "ratio 3, overlap 0.9",
    ]
