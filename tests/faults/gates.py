"""Gates that other projects use, on the pictures of the exam: whether each would call a candidate wrong.

Limits are those that the projects had in their repositories in autumn 2026, as the evidence of this project cites them;
the score of a CLIP model is left out, because it needs weights. Rules of three sides need a float32 picture beside the
reference's, so in float32 they say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a picture shows."""

    image: NDArray[np.uint8]
    """uint8[H, W, 3]."""
    floats: Array
    """float64[H, W, 3] before the conversion to 8 bits."""
    steps: Sequence[Array]
    """Latents after each step."""


metrics: Any = import_module("skimage.metrics")  # its functions are not annotated
_WINDOW = 7
_BINS = 64


def sglang(actual: Shown, expected: Shown, _: Shown | None) -> bool:
    """SSIM >= 0.95, PSNR >= 28 dB and mean difference <= 8 levels (sgl-project/sglang#29767)."""
    mean = float(np.abs(actual.image.astype(float) - expected.image).mean())
    return _ssim(actual, expected) < 0.95 or _psnr(actual, expected) < 28 or mean > 8


def vllm_omni(actual: Shown, expected: Shown, _: Shown | None) -> bool:
    """SSIM >= 0.97 and PSNR >= 30 dB (vllm-project/vllm-omni, Qwen-Image, 20 steps)."""
    return _ssim(actual, expected) < 0.97 or _psnr(actual, expected) < 30


def allclose(actual: Shown, expected: Shown, _: Shown | None) -> bool:
    """No float value is off by more than 1e-3."""
    return not np.allclose(actual.floats, expected.floats, rtol=0, atol=1e-3)


def cosine(actual: Shown, expected: Shown, _: Shown | None) -> bool:
    """The cosine of the 8-bit pictures is at least 0.99."""
    return _cosine(actual.image.astype(float), expected.image.astype(float)) < 0.99


def same(actual: Shown, expected: Shown, exact: Shown | None) -> bool | None:
    """PyTorch's same(): close to 1e-4, or an RMSE from float32 of at most three times the reference's + 1e-5."""
    if np.allclose(actual.floats, expected.floats, rtol=1e-4, atol=1e-4):
        return False
    if exact is None:
        return None
    own, other = _rmse(actual.floats, exact.floats), _rmse(expected.floats, exact.floats)
    return not own <= 3 * other + 1e-5


def dual_benchmark(actual: Shown, expected: Shown, exact: Shown | None) -> bool | None:
    """Ascend's dual benchmark, level L1: maximum, mean and RMSE of relative errors within 5, 1.5, 1.5 times."""
    if exact is None:
        return None
    mine, theirs = _relative(actual.floats, exact.floats), _relative(expected.floats, exact.floats)
    if not np.isfinite(mine).all():
        return True
    ratios = (
        mine.max() / max(theirs.max(), 1e-12),
        mine.mean() / max(theirs.mean(), 1e-12),
        _rmse(actual.floats, exact.floats) / max(_rmse(expected.floats, exact.floats), 1e-12),
    )
    return any(ratio > limit for ratio, limit in zip(ratios, (5, 1.5, 1.5), strict=True))


def error_shares(actual: Shown, expected: Shown, exact: Shown | None) -> bool:
    """msprobe, one device: passes with an error below 1e-3; else cosine > 0.99 and 99 % within 1 % (half types)."""
    if float(np.abs(actual.floats - expected.floats).max()) < 1e-3:
        return False
    within, least = (1e-2, 0.99) if exact is not None else (1e-3, 0.999)
    share = float((_relative(actual.floats, expected.floats) <= within).mean())
    return _cosine(actual.floats, expected.floats) <= 0.99 or share < least


def error_ratio(actual: Shown, expected: Shown, exact: Shown | None) -> bool | None:
    """vllm-omni-neuron: worst ratio of maximal errors below 3 and overlap of errors above 0.9, here of latents."""
    if exact is None:
        return None
    for mine, theirs, right in zip(actual.steps, expected.steps, exact.steps, strict=False):
        one, two = np.abs(mine - right).ravel(), np.abs(theirs - right).ravel()
        if not np.isfinite(one).all() or one.max() >= 3 * max(float(two.max()), 1e-12):
            return True
        if _overlap(one, two) <= 0.9:
            return True
    return False


GATES: dict[str, Callable[[Shown, Shown, Shown | None], bool | None]] = {
    "SGLang": sglang,
    "vLLM-Omni": vllm_omni,
    "allclose 1e-3": allclose,
    "cosine 0.99": cosine,
    "PyTorch same()": same,
    "Ascend dual benchmark": dual_benchmark,
    "msprobe error shares": error_shares,
    "ratio 3, overlap 0.9": error_ratio,
}


def flagged(actual: Shown, expected: Shown, exact: Shown | None) -> dict[str, bool | None]:
    """What each gate says; None where it needs a third side."""
    with np.errstate(all="ignore"):
        said = {name: gate(actual, expected, exact) for name, gate in GATES.items()}
    return {name: None if word is None else bool(word) for name, word in said.items()}


def _ssim(actual: Shown, expected: Shown) -> float:
    measured = metrics.structural_similarity(
        actual.image, expected.image, win_size=_WINDOW, channel_axis=2, data_range=255
    )
    return float(measured)


def _psnr(actual: Shown, expected: Shown) -> float:
    if np.array_equal(actual.image, expected.image):
        return np.inf
    return float(metrics.peak_signal_noise_ratio(expected.image, actual.image, data_range=255))


def _cosine(one: Any, two: Any) -> float:
    a, b = one.ravel(), two.ravel()
    return float(a @ b / np.sqrt((a @ a) * (b @ b))) if a.any() and b.any() else 0.0


def _rmse(one: Array, two: Array) -> float:
    return float(np.sqrt(((one - two) ** 2).mean()))


def _relative(one: Array, two: Array) -> Array:
    return np.asarray(np.abs(one - two) / np.maximum(np.abs(two), 2.0**-8), dtype=np.float64)


def _overlap(one: Array, two: Array) -> float:
    """Bhattacharyya coefficient of two samples of errors."""
    largest = float(max(one.max(), two.max()))
    if not largest:
        return 1.0
    first, second = (np.histogram(errors, _BINS, (0, largest))[0] / errors.size for errors in (one, two))
    return float(np.sqrt(first * second).sum())
