"""The operators once more, in float64 numpy from their documents, and the one check that everything is judged by.

Nothing here comes from ``harness.kernels``: rows, heads and places are walked one by one, so that a slip there does not
repeat here. What a result is judged by is a bound that follows from the arithmetic, not a bound that happened to hold.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Exact = NDArray[np.float64]

TYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]


def exact(tensor: torch.Tensor) -> Exact:
    """Values of a tensor of any type, without loss."""
    return np.asarray(tensor.detach().to(torch.float64).numpy())


def tolerance(expected: Exact, stored: torch.dtype, computed: torch.dtype) -> Exact:
    """Half a step of the stored type for its one rounding, and 64 steps of the computing type at the largest value."""
    store, compute = torch.finfo(stored), torch.finfo(computed)
    finite = np.abs(expected[np.isfinite(expected)])
    largest = max(1.0, float(finite.max(initial=0.0)))
    rounding = np.maximum(np.abs(expected) * store.eps / 2, store.smallest_normal * store.eps)
    return np.asarray(rounding * (1 + 1e-3) + 64 * compute.eps * largest)


def agrees(actual: torch.Tensor, expected: Exact, *, computed: torch.dtype = torch.float32) -> bool:
    """Whether a result is the exact value up to one rounding and the error of its computing type."""
    if tuple(actual.shape) != expected.shape:
        return False
    found = exact(actual)
    wide = torch.float64 if actual.dtype == torch.float64 else computed
    unequal = np.isinf(expected) & (found != expected)
    with np.errstate(invalid="ignore"):
        far = np.isfinite(expected) & ~(np.abs(found - expected) <= tolerance(expected, actual.dtype, wide))
    return not bool((unequal | far | np.isnan(expected)).any())


def rounded_sum(one: torch.Tensor, other: torch.Tensor) -> Exact:
    """The sum of two tensors, rounded to their type by hand."""
    total = exact(one) + exact(other)
    if one.dtype == torch.bfloat16:
        bits = total.astype(np.float32).view(np.uint32)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
        return bits.astype(np.uint32).view(np.float32).astype(np.float64)
    numpys: Any = {torch.float16: np.float16, torch.float32: np.float32, torch.float64: np.float64}[one.dtype]
    return np.asarray(total.astype(numpys), dtype=np.float64)


# --- elements --------------------------------------------------------------------------------------------------------


def gelu_erf(x: Exact) -> Exact:
    return np.asarray([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x.ravel().tolist()]).reshape(x.shape)


def gelu_tanh(x: Exact) -> Exact:
    return np.asarray(x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2)


def fast_gelu(x: Exact) -> Exact:
    return np.asarray(x / (1 + np.exp(-1.702 * x)))


def silu(x: Exact) -> Exact:
    return np.asarray(x / (1 + np.exp(-x)))


def halves(x: Exact, dim: int) -> tuple[Exact, Exact]:
    length = x.shape[dim] // 2
    return np.take(x, range(length), axis=dim), np.take(x, range(length, 2 * length), axis=dim)


# --- norms -----------------------------------------------------------------------------------------------------------


def rms_norm(x: Exact, gamma: Exact, epsilon: float) -> tuple[Exact, Exact]:
    """Row by row, a row being all that gamma covers."""
    rows = x.reshape(-1, gamma.size)
    rstd = np.array([1 / math.sqrt(sum(v * v for v in row) / gamma.size + epsilon) for row in rows.tolist()])
    lead = x.shape[: x.ndim - gamma.ndim]
    return (rows * rstd[:, None] * gamma.ravel()).reshape(x.shape), rstd.reshape(*lead, *[1] * gamma.ndim)


def layer_norm(x: Exact, width: int, weight: Exact, bias: Exact, eps: float) -> Exact:
    rows = [
        (row - row.mean()) / math.sqrt(((row - row.mean()) ** 2).mean() + eps) * weight.ravel() + bias.ravel()
        for row in x.reshape(-1, width)
    ]
    return np.asarray(rows).reshape(x.shape)


def group_norm_silu(x: Exact, weight: Exact, bias: Exact, group: int, eps: float) -> tuple[Exact, Exact, Exact]:
    y, size = np.empty_like(x), x.shape[1] // group
    mean, rstd = np.empty((x.shape[0], group)), np.empty((x.shape[0], group))
    for sample in range(x.shape[0]):
        for place in range(group):
            values = x[sample, place * size : (place + 1) * size]
            mean[sample, place] = values.sum() / values.size
            rstd[sample, place] = 1 / math.sqrt(((values - mean[sample, place]) ** 2).sum() / values.size + eps)
            for channel in range(place * size, (place + 1) * size):
                normal = (x[sample, channel] - mean[sample, place]) * rstd[sample, place]
                y[sample, channel] = silu(normal * weight[channel] + bias[channel])
    return y, mean, rstd


# --- positions -------------------------------------------------------------------------------------------------------


def rotary(x: Exact, cos: Exact, sin: Exact, mode: str) -> Exact:
    """Each pair of places turned by its angle: ``(a, b)`` gives ``a cos - b sin`` and ``b cos + a sin``."""
    y, width = np.empty_like(x), x.shape[-1]
    cos, sin = np.broadcast_to(cos, x.shape), np.broadcast_to(sin, x.shape)
    for place in range(width // 2):
        a, b = (place, place + width // 2) if mode == "half" else (2 * place, 2 * place + 1)
        y[..., a] = x[..., a] * cos[..., a] - x[..., b] * sin[..., a]
        y[..., b] = x[..., b] * cos[..., b] + x[..., a] * sin[..., b]
    return y


# --- softmax and attention -------------------------------------------------------------------------------------------


def row_softmax(scores: list[float], *, shown: list[bool]) -> tuple[list[float], float, float]:
    """Weights of one row over the places that are shown, its largest score and its sum of exponentials."""
    kept = [score for score, show in zip(scores, shown, strict=True) if show]
    if not kept:
        return [0.0] * len(scores), -math.inf, 0.0
    top = max(kept)
    total = sum(math.exp(score - top) for score in kept)
    weights = [math.exp(score - top) / total if show else 0.0 for score, show in zip(scores, shown, strict=True)]
    return weights, top, total


def masked_softmax(x: Exact, hidden: NDArray[np.bool_], scale: float) -> Exact:
    hidden = np.broadcast_to(hidden, x.shape)
    rows = zip(x.reshape(-1, x.shape[-1]), hidden.reshape(-1, x.shape[-1]), strict=True)
    return np.asarray([row_softmax((scale * row).tolist(), shown=(~gone).tolist())[0] for row, gone in rows]).reshape(
        x.shape
    )


def attention(  # noqa: PLR0913, PLR0917 - the parts of an attention
    query: Exact, key: Exact, value: Exact, hidden: NDArray[np.bool_], scale: float, pse: Exact | None = None
) -> tuple[Exact, Exact, Exact]:
    """Query by query on ``[B, N, S, D]``; ``hidden`` and ``pse`` broadcast to ``[B, N, Sq, Skv]``."""
    batch, heads, queries, _ = query.shape
    keys, share = key.shape[2], heads // key.shape[1]
    hidden = np.broadcast_to(hidden, (batch, heads, queries, keys))
    added = np.broadcast_to(np.zeros(()) if pse is None else pse, (batch, heads, queries, keys))
    out = np.empty((batch, heads, queries, value.shape[-1]))
    top, total = np.empty((batch, heads, queries, 1)), np.empty((batch, heads, queries, 1))
    for b, n, i in np.ndindex(batch, heads, queries):
        scores = [scale * (added[b, n, i, j] + float(query[b, n, i] @ key[b, n // share, j])) for j in range(keys)]
        weights, top[b, n, i], total[b, n, i] = row_softmax(scores, shown=(~hidden[b, n, i]).tolist())
        out[b, n, i] = sum(w * value[b, n // share, j] for j, w in enumerate(weights))
    return out, np.repeat(top, 8, axis=-1), np.repeat(total, 8, axis=-1)
