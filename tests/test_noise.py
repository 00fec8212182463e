"""The noise is the same bytes on every machine, it is normal, and every part of its definition bears on its digest."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.special  # type: ignore[import-untyped]
import scipy.stats  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from numpy._core import _multiarray_umath as dispatched  # type: ignore[attr-defined]

from harness import noise
from harness.noise import GRID, inverse_normal, noise_digest, portable_noise
from tests.command_line import patience_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]

# Changing one of these makes every stored baseline worthless: seed, stream, shape and digest.
PINNED = {
    (42, 0, (1, 16, 64, 64)): "60cbe76954b110c32b9ec20dc040e1a56213ad95beed534e12b561fe807d8a4f",
    (7, 3, (2, 16, 8, 8)): "e2bb4e0eafdba7b2713c370c06c5b12d19b538a3400e69ef6b4dfa948289cfd7",
    (0, 0, (1, 3, 31, 17)): "3281492c64d129ce8ac0b6ec6c574c2590ec8921224e73a5165d94fbde950aaf",
    (2**63 - 1, 1, (5,)): "1ebd51951ccd9bfc63c87bbf2eb57ce7a32a133533c46450d8505d1edc41d9a3",
}
LATENTS = (42, 0, (1, 16, 64, 64))


@pytest.fixture
def forget_drawn() -> Iterator[None]:
    """Noise is drawn anew before and after a test that plants a fault in how it is drawn."""
    noise._drawn.cache_clear()
    yield
    noise._drawn.cache_clear()


def digest_of(key: tuple[int, int, tuple[int, ...]]) -> str:
    return noise_digest(portable_noise(*key))


# --- the same bytes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", PINNED)
def test_the_noise_has_its_pinned_digest(key: tuple[int, int, tuple[int, ...]]) -> None:
    assert digest_of(key) == PINNED[key]


def changed(name: str) -> Any:
    """A part of the definition, changed a little."""
    centre, near, far = ([list(half) for half in part] for part in (noise._CENTRE, noise._NEAR, noise._FAR))
    centre[0][-1] *= 1 + 1e-9
    near[1][3] *= 1 + 1e-7
    far[0][0] *= 1.5
    return {
        "_CENTRE": centre,
        "_NEAR": near,
        "_FAR": far,
        "_LN2": noise._LN2 * (1 + 1e-8),
        "GRID": GRID / 2,
        "_CENTRAL": 0.3,
        "_logarithm": lambda x: noise_logarithm(x) * (1 + 1e-8),
        "inverse_normal": lambda p: inverse_normal(1 - p),
    }[name]


noise_logarithm = noise._logarithm
SEEN = ["_CENTRE", "_NEAR", "_LN2", "GRID", "_logarithm", "inverse_normal"]
"""``_FAR`` and ``_CENTRAL`` are left out: the far tail needs 10^11 draws, and both formulas agree where they meet."""


@pytest.mark.parametrize("name", SEEN)
@pytest.mark.usefixtures("forget_drawn")
def test_a_changed_definition_changes_the_digest(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert digest_of(LATENTS) == PINNED[LATENTS]
    monkeypatch.setattr(noise, name, changed(name))
    noise._drawn.cache_clear()
    assert digest_of(LATENTS) != PINNED[LATENTS]


def test_the_far_tail_is_seen_by_the_reference_if_not_by_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert largest_error(FAR_TAIL) < 1e-14
    monkeypatch.setattr(noise, "_FAR", changed("_FAR"))
    assert largest_error(FAR_TAIL) > 1e-9


def test_one_changed_value_changes_the_digest() -> None:
    values = portable_noise(42, 0, [64]).copy()
    values[63] = np.nextafter(values[63], np.float32(9))
    assert noise_digest(values) != noise_digest(portable_noise(42, 0, [64]))


def test_the_digest_covers_the_shape_but_not_the_layout() -> None:
    values = portable_noise(42, 0, [4, 6])
    assert noise_digest(values) != noise_digest(values.reshape(6, 4))
    assert noise_digest(values) == noise_digest(np.asfortranarray(values))
    assert noise_digest(values) == noise_digest(values.astype(">f4"))


PROGRAM = """
import json
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from harness.noise import noise_digest, portable_noise
in_force = [name for name in __cpu_dispatch__ if __cpu_features__[name]]
print(json.dumps([noise_digest(portable_noise(42, 0, [1, 16, 64, 64])), in_force]))
"""
OFFERED = [name for name in dispatched.__cpu_dispatch__ if dispatched.__cpu_features__[name]]
CUTS = range(len(OFFERED) + 1)


def answer_of_fresh_interpreter(program: str, **variables: str) -> list[Any]:
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=patience_seconds(),
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found: list[Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("kept", CUTS)
def test_the_instruction_sets_that_numpy_uses_change_nothing(kept: int) -> None:
    variables = {"NPY_DISABLE_CPU_FEATURES": " ".join(OFFERED[kept:])} if OFFERED[kept:] else {}
    digest, in_force = answer_of_fresh_interpreter(PROGRAM, **variables)
    assert in_force == OFFERED[:kept], "the variable is obeyed, or this test shows nothing"
    assert digest == PINNED[LATENTS]


WITH_TORCH = """
import json, torch
from harness.noise import noise_digest, portable_noise
torch.manual_seed(42)
digest = noise_digest(portable_noise(42, 0, [1, 16, 64, 64]))
print(json.dumps([digest, torch.backends.cpu.get_cpu_capability().lower()]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_torch_and_its_instruction_set_change_nothing(capability: str) -> None:
    digest, in_force = answer_of_fresh_interpreter(WITH_TORCH, ATEN_CPU_CAPABILITY=capability)
    if in_force != capability:
        pytest.skip(f"this machine has no {capability}; torch chose {in_force}")
    assert digest == PINNED[LATENTS]


# --- the definition, written a second time ---------------------------------------------------------------------------

MASK = 2**64 - 1


def philox(counter: int, key: tuple[int, int]) -> list[int]:
    """One block of Philox-4x64-10, from the paper, in integers of any size."""
    x = [counter >> (64 * word) & MASK for word in range(4)]
    low, high = key
    for _ in range(10):
        one, other = x[0] * 0xD2E7470EE14C6C93, x[2] * 0xCA5A826395121157
        x = [other >> 64 ^ x[1] ^ low, other & MASK, one >> 64 ^ x[3] ^ high, one & MASK]
        low, high = (low + 0x9E3779B97F4A7C15) & MASK, (high + 0xBB67AE8584CAA73B) & MASK
    return x


def noise_by_definition(seed: int, stream: int, count: int) -> list[float]:
    """Noise in plain Python; its inverse normal uses the machine's logarithm, which the grid forgives."""
    bits = [word for block in range(count // 4) for word in philox(block + 1, (seed, stream))]
    uniform = [((word >> 11) + 0.5) / 2**53 for word in bits]
    return [round(NormalDist().inv_cdf(each) * 2**20) / 2**20 for each in uniform]


def test_philox_gives_the_published_answers() -> None:
    assert philox(0, (0, 0)) == [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox(2**256 - 1, (MASK, MASK)) == [
        0x87B092C3013FE90B,
        0x438C3C67BE8D0224,
        0x9CC7D7C69CD777B6,
        0xA09CAEBF594F0BA0,
    ]


@pytest.mark.parametrize(("seed", "stream"), [(42, 0), (42, 5), (0, 0), (2**63 - 1, 9)])
def test_a_second_writing_of_the_definition_gives_the_same_numbers(seed: int, stream: int) -> None:
    assert portable_noise(seed, stream, [4000]).tolist() == noise_by_definition(seed, stream, 4000)


# --- the inverse normal distribution ---------------------------------------------------------------------------------

CENTRE = np.concatenate([np.arange(1, 100_000) / 100_000, 0.5 + np.linspace(-1e-4, 1e-4, 2001)])
TAILS = np.concatenate([2.0 ** -np.arange(2, 55), 1 - 2.0 ** -np.arange(2, 53), np.exp(-np.linspace(2, 37, 20_001))])
FAR_TAIL = np.exp(-np.linspace(25.01, 37.4, 5001))
SEAMS = np.concatenate([centre + np.linspace(-1e-12, 1e-12, 201) for centre in (0.075, 0.925, math.exp(-25))])


def largest_error(probability: NDArray[np.float64]) -> float:
    """Largest relative difference from SciPy's inverse normal distribution."""
    expected = scipy.special.ndtri(probability)
    error = np.abs(inverse_normal(probability) - expected) / np.maximum(np.abs(expected), np.finfo(np.float64).tiny)
    return float(error.max())


@pytest.mark.parametrize("name", ["CENTRE", "TAILS", "FAR_TAIL", "SEAMS"])
def test_the_inverse_normal_agrees_with_scipy(name: str) -> None:
    assert largest_error(globals()[name]) < 1e-14


@given(st.floats(2.0**-54, 1 - 2.0**-53, exclude_min=False))
def test_the_inverse_normal_agrees_with_scipy_anywhere(probability: float) -> None:
    assert largest_error(np.array([probability])) < 1e-14


@pytest.mark.parametrize("part", ["_CENTRE", "_NEAR", "_FAR"])
@pytest.mark.parametrize("half", [0, 1])
def test_scipy_sees_a_changed_coefficient(part: str, half: int, monkeypatch: pytest.MonkeyPatch) -> None:
    coefficients = [list(each) for each in getattr(noise, part)]
    coefficients[half][-2] *= 1 + 1e-10
    monkeypatch.setattr(noise, part, coefficients)
    assert max(largest_error(each) for each in (CENTRE, TAILS, FAR_TAIL)) > 1e-14


def test_equal_distances_from_the_middle_give_opposite_numbers() -> None:
    below = np.arange(1, 2**12) / 2**13
    assert (inverse_normal(below) == -inverse_normal(1 - below)).all()


def test_every_probability_that_can_be_drawn_gives_a_finite_number() -> None:
    extremes = inverse_normal(np.array([0.5 * 2.0**-53, (2.0**53 - 0.5) * 2.0**-53]))
    assert np.isfinite(extremes[0])
    assert -8.3 < extremes[0] < -8.2


# --- what it looks like ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 42, 2**63 - 1])
def test_values_lie_on_the_grid_and_float32_holds_them_exactly(seed: int) -> None:
    values = portable_noise(seed, 0, [200_000]).astype(np.float64)
    assert (values / GRID == np.rint(values / GRID)).all()
    assert np.abs(values).max() < 8.3
    exact = np.rint(inverse_normal(np.linspace(0.0001, 0.9999, 50_001)) / GRID) * GRID
    assert (exact.astype(np.float32).astype(np.float64) == exact).all()


def test_a_finer_grid_would_not_fit_into_float32() -> None:
    finer = np.rint(inverse_normal(np.linspace(0.0001, 0.9999, 50_001)) / 2.0**-26) * 2.0**-26
    assert (finer.astype(np.float32).astype(np.float64) != finer).any()


@pytest.mark.parametrize(("seed", "stream"), [(42, 0), (7, 1)])
def test_values_are_standard_normal(seed: int, stream: int) -> None:
    count = 400_000
    values = portable_noise(seed, stream, [count]).astype(np.float64)
    # Five standard errors of each moment of a normal sample.
    assert abs(values.mean()) < 5 / math.sqrt(count)
    assert abs(values.var() - 1) < 5 * math.sqrt(2 / count)
    assert abs((values**3).mean()) < 5 * math.sqrt(15 / count)
    assert abs((values**4).mean() - 3) < 5 * math.sqrt(96 / count)
    assert scipy.stats.kstest(values, "norm").pvalue > 1e-4


def test_the_test_of_normality_sees_noise_that_is_a_little_too_wide() -> None:
    values = portable_noise(42, 0, [400_000]).astype(np.float64)
    assert scipy.stats.kstest(values * 1.02, "norm").pvalue < 1e-4


@pytest.mark.parametrize("other", [(43, 0), (42, 1), (0, 42)])
def test_other_seeds_and_streams_are_other_unrelated_noise(other: tuple[int, int]) -> None:
    mine, theirs = portable_noise(42, 0, [100_000]), portable_noise(*other, [100_000])
    assert (mine == theirs).mean() < 1e-4
    assert abs(np.corrcoef(mine, theirs)[0, 1]) < 5 / math.sqrt(100_000)


def test_a_longer_draw_begins_like_a_shorter_one_whatever_its_shape() -> None:
    assert portable_noise(42, 0, [100])[:30].tolist() == portable_noise(42, 0, [5, 6]).ravel().tolist()


def test_noise_is_float32_of_the_wanted_shape() -> None:
    values = portable_noise(42, 0, [2, 3, 5])
    assert values.dtype == np.float32
    assert values.shape == (2, 3, 5)


def test_noise_cannot_be_overwritten_by_who_got_it() -> None:
    values = portable_noise(42, 0, [8])
    before = values.tolist()
    with pytest.raises(ValueError, match="read-only"):
        values += 1
    with pytest.raises(ValueError, match="read-only"):
        values.ravel()[0] = 5
    assert portable_noise(42, 0, [8]).tolist() == before


@pytest.mark.parametrize(("seed", "stream"), [(-1, 0), (0, -1), (2**64, 0)])
def test_seeds_out_of_range_are_refused(seed: int, stream: int) -> None:
    with pytest.raises(OverflowError):
        portable_noise(seed, stream, [4])
