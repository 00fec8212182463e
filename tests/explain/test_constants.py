"""Constants are estimated from what passes, with an error that says how far they may be off."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from harness.explain.causes import wrong_constants
from harness.records.investigation import Side
from harness.run.worker.filtering import Filter, least_squares
from harness.run.worker.places import Seen, Spot


def seen(path: str, side: Side, tree: Any, step: int = 0) -> Seen:
    return Seen(Spot(path, side, step, 0, 0), "pipeline.loop", ["x"], tree)


def estimated(scale: float, *, passes: tuple[int, ...] = (2,), swap: bool = False, dtype: Any = torch.float32) -> Any:
    """The guidance scale that three steps show."""
    pipeline: Any = SimpleNamespace(modules={}, components={"denoising": "unet"})
    watch, source = Filter(pipeline), torch.Generator().manual_seed(1)
    for step in range(3):
        negative, positive = (torch.randn(1, 4, 32, 32, generator=source).to(dtype) for _ in range(2))
        mixed = negative + scale * (positive - negative)
        both = [positive, negative] if swap else [negative, positive]
        calls = [torch.cat(both)] if passes == (2,) else both
        for output in calls:
            watch.look(seen("unet", Side.OUTPUT, (output,), step))
        watch.look(seen("scheduler.step", Side.INPUT, ((mixed,), {}), step))
    (constant,) = watch.constants({"guidance_scale": 4.0})
    return constant


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_guidance_scale_is_estimated_and_a_slip_is_named(dtype: Any) -> None:
    name = str(dtype).removeprefix("torch.")
    right, wrong = estimated(4.0, dtype=dtype), estimated(3.6, dtype=dtype)
    assert right.value == pytest.approx(4.0, abs=0.01)
    assert wrong.value == pytest.approx(3.6, abs=0.01)
    assert wrong.path == "pipeline.loop"
    said = [wrong_constants(SimpleNamespace(constants=[c], dtype=name)) for c in (right, wrong)]  # type: ignore[arg-type]
    assert [len(one) for one in said] == [0, 1]


@pytest.mark.parametrize("swap", [False, True])
def test_in_two_passes_the_order_of_predictions_is_the_pipelines_choice(*, swap: bool) -> None:
    assert estimated(4.0, passes=(1, 1), swap=swap).value == pytest.approx(4.0, abs=1e-4)


def test_halves_that_change_places_in_one_pass_show_in_the_estimate() -> None:
    assert estimated(4.0, swap=True).value == pytest.approx(-3.0, abs=1e-4)


def test_values_that_are_no_numbers_give_no_estimate_instead_of_an_error() -> None:
    pipeline: Any = SimpleNamespace(modules={}, components={"denoising": "unet"})
    watch = Filter(pipeline)
    watch.look(seen("unet", Side.OUTPUT, (torch.full((2, 4), torch.nan),)))
    watch.look(seen("scheduler.step", Side.INPUT, ((torch.full((1, 4), torch.nan),), {})))
    assert watch.constants({"guidance_scale": 4.0}) == []


def test_least_squares_finds_slope_and_shift_with_their_errors() -> None:
    source = np.random.default_rng(0)
    x = source.standard_normal(10_000)
    y = 2.5 * x - 0.25 + 0.1 * source.standard_normal(10_000)
    (slope, slope_error), (shift, shift_error) = least_squares(y, [x, np.ones_like(x)])
    assert abs(slope - 2.5) < 4 * slope_error < 0.01
    assert abs(shift + 0.25) < 4 * shift_error < 0.01
