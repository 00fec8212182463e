"""A disturbed run differs from a plain one by exactly what its record says, and nothing takes it for a plain run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.backends import cpu
from harness.errors import RunError
from harness.noise import portable_noise
from harness.records import NoiseMode, Perturbation, PerturbationKind, SwitchMode
from harness.run.worker.draws import watched_draws
from harness.run.worker.perturbation import Directions, neighbours, perturbed

torch = pytest.importorskip("torch")

LATENT = Perturbation(kind=PerturbationKind.LATENT_ULP)
MODULE = Perturbation(kind=PerturbationKind.MODULE_ULP)
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def ulps(one: Any, other: Any) -> Any:
    """Number of representable values from one tensor to the other, for values of equal sign."""
    integers = BITS[one.element_size()]
    return (one.view(integers).long() - other.view(integers).long()).abs()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_value_moves_by_exactly_one_unit_in_the_last_place(dtype: Any) -> None:
    values = torch.from_numpy(portable_noise(42, 0, [1000]).copy()).to(dtype)
    moved = Directions(LATENT, 42, 0, 0).moved(values)
    assert moved.dtype == dtype
    assert (ulps(moved, values) == 1).all()
    share = float((moved.abs() > values.abs()).float().mean())
    assert 0.4 < share < 0.6, "directions are random"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("away", [True, False])
def test_the_edges_of_a_type_stay_finite(dtype: Any, *, away: bool) -> None:
    largest = torch.finfo(dtype).max
    values = torch.tensor([0.0, -0.0, largest, -largest], dtype=dtype)
    moved = neighbours(values, torch.full([4], away))
    assert moved.isfinite().all()
    assert (moved != values).all()
    broken = torch.tensor([float("inf"), float("-inf"), float("nan")], dtype=dtype)
    assert torch.equal(neighbours(broken, torch.full([3], away)).nan_to_num(7), broken.nan_to_num(7))


def test_directions_are_the_same_everywhere_and_different_for_every_sample_and_tensor() -> None:
    first = Directions(LATENT, 42, 0, 0)
    assert "".join(map(str, first.next(16).astype(int))) == "0010010101010010"
    streams = [first.next(4096)]
    streams += [Directions(LATENT, *sample).next(4096) for sample in ((42, 0, 0), (42, 0, 1), (42, 1, 0), (7, 0, 0))]
    other = Perturbation(kind=PerturbationKind.LATENT_ULP, seed=1)
    streams.append(Directions(other, 42, 0, 0).next(4096))
    for index, one in enumerate(streams):
        for two in streams[:index]:
            assert 0.4 < float(np.mean(one == two)) < 0.6


def test_a_disturbed_latent_is_one_ulp_from_the_noise_that_is_logged() -> None:
    pipeline: Any = SimpleNamespace(modules={}, components={})
    device = cpu.open(0, SwitchMode.AS_SHIPPED)
    with (
        watched_draws(NoiseMode.PORTABLE, 42, device) as draws,
        perturbed(Directions(LATENT, 42, 0, 0), pipeline, draws),
    ):
        given = torch.randn(2, 3, dtype=torch.bfloat16)
    plain = torch.from_numpy(portable_noise(42, 0, [2, 3]).copy()).to(torch.bfloat16)
    assert (ulps(given, plain) == 1).all()
    assert np.array_equal(draws.values["noise.0"], portable_noise(42, 0, [2, 3]))


def test_the_output_of_every_module_moves_and_the_module_is_left_as_it_was() -> None:
    inner, outer = torch.nn.Identity(), torch.nn.Identity()
    denoiser = torch.nn.Sequential(inner, outer)
    pipeline: Any = SimpleNamespace(modules={"unet": denoiser}, components={"denoising": "unet"})
    values = torch.ones(64)
    directions = Directions(MODULE, 42, 0, 0)
    with perturbed(directions, pipeline, pipeline):
        moved = denoiser(values)
    assert directions.calls == 3, "two modules and the one that holds them"
    assert ulps(moved, values).max() <= 3
    assert not torch.equal(moved, values)
    assert torch.equal(denoiser(values), values)


@pytest.mark.parametrize(
    ("perturbation", "components", "message"),
    [
        (LATENT, {}, "latent_ulp moved nothing"),
        (MODULE, {"denoising": "unet"}, "module_ulp moved nothing"),
        (MODULE, {}, "does not name the module that denoises"),
    ],
)
def test_a_perturbation_that_does_not_reach_the_pipeline_is_refused(
    perturbation: Perturbation, components: dict[str, str], message: str
) -> None:
    pipeline: Any = SimpleNamespace(modules={"unet": torch.nn.Identity()}, components=components)
    draws: Any = SimpleNamespace()
    with pytest.raises(RunError, match=message), perturbed(Directions(perturbation, 42, 0, 0), pipeline, draws):
        pass


def test_without_a_perturbation_nothing_is_touched() -> None:
    pipeline: Any = SimpleNamespace()
    with perturbed(Directions(None, 42, 0, 0), pipeline, pipeline):
        pass
    assert not vars(pipeline)
