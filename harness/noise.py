"""The noise contract: normal numbers that are the same bytes on every machine.

A seed is not a noise: CPU, CUDA and NPU generators give different numbers for one seed, and torch's CPU stream even
differs between instruction sets. Here a stream is

    Philox-4x64 (Salmon et al., 2011) raw bits, keyed by seed and stream index
    -> the middle of one of 2^53 equal cells of (0, 1)
    -> inverse normal distribution in float64 (Wichura, Algorithm AS 241, 1988)
    -> rounded to a grid of 2^-20 -> float32, which holds every grid point exactly.

Only additions, multiplications, divisions, square roots and roundings of IEEE 754 are used, each as a separate NumPy
operation: no ``libm``, no fused multiply-add. The logarithm of the tails is therefore computed here as well.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

GRID = 2.0**-20
"""Distance between neighbouring noise values; far below the rounding of any type that models run in."""

_LN2 = 0.693147180559945309417232121458
_CENTRAL = 0.425
"""Largest distance of the probability from one half that the central approximation covers."""
_FAR_TAIL = 5.0
"""Square root of the tail's logarithm from which on the far approximation is used."""

# Numerator and denominator coefficients of AS 241 (PPND16), highest power first, for the centre, for the near tail
# (r <= 5) and for the far tail.
_CENTRE = (
    (
        2509.0809287301226727,
        33430.575583588128105,
        67265.770927008700853,
        45921.953931549871457,
        13731.693765509461125,
        1971.5909503065514427,
        133.14166789178437745,
        3.387132872796366608,
    ),
    (
        5226.495278852854561,
        28729.085735721942674,
        39307.89580009271061,
        21213.794301586595867,
        5394.1960214247511077,
        687.1870074920579083,
        42.313330701600911252,
        1.0,
    ),
)
_NEAR = (
    (
        7.7454501427834140764e-4,
        0.0227238449892691845833,
        0.24178072517745061177,
        1.27045825245236838258,
        3.64784832476320460504,
        5.7694972214606914055,
        4.6303378461565452959,
        1.42343711074968357734,
    ),
    (
        1.05075007164441684324e-9,
        5.475938084995344946e-4,
        0.0151986665636164571966,
        0.14810397642748007459,
        0.68976733498510000455,
        1.6763848301838038494,
        2.05319162663775882187,
        1.0,
    ),
)
_FAR = (
    (
        2.01033439929228813265e-7,
        2.71155556874348757815e-5,
        0.0012426609473880784386,
        0.026532189526576123093,
        0.29656057182850489123,
        1.7848265399172913358,
        5.4637849111641143699,
        6.6579046435011037772,
    ),
    (
        2.04426310338993978564e-15,
        1.4215117583164458887e-7,
        1.8463183175100546818e-5,
        7.868691311456132591e-4,
        0.0148753612908506148525,
        0.13692988092273580531,
        0.59983220655588793769,
        1.0,
    ),
)


def portable_noise(seed: int, stream: int, shape: Sequence[int]) -> NDArray[np.float32]:
    """Standard normal noise, float32[shape], the same bytes everywhere; read-only.

    Args:
        seed: 0 to 2^63 - 1, the seed of the sample.
        stream: 0 or more; the number of the draw of the sample that had it first.
        shape: sizes, in row-major order.

    >>> portable_noise(42, 0, [3]).tolist()
    [0.9161205291748047, -0.8806800842285156, 1.115401268005371]
    """
    return _drawn(seed, stream, tuple(shape))


def noise_digest(values: NDArray[np.float32]) -> str:
    """SHA-256 over the shape and the little-endian bytes of float32 noise."""
    header = f"noise {list(values.shape)}\n".encode()
    return hashlib.sha256(header + np.ascontiguousarray(values, dtype="<f4").tobytes()).hexdigest()


@lru_cache(maxsize=16)
def _drawn(seed: int, stream: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    count = math.prod(shape)
    bits = np.random.Philox(key=np.array([seed, stream], dtype=np.uint64)).random_raw(count)
    uniform = (np.asarray(bits >> np.uint64(11), dtype=np.float64) + 0.5) * 2.0**-53
    normal = np.rint(inverse_normal(uniform) / GRID) * GRID
    values = normal.astype(np.float32).reshape(shape)
    values.flags.writeable = False
    return values


def inverse_normal(probability: Floats) -> Floats:
    """Value below which a standard normal number falls with each probability, float64, relative error about 1e-16.

    ``probability`` must lie strictly between 0 and 1. Algorithm AS 241, M. J. Wichura, Applied Statistics 37 (1988).

    >>> inverse_normal(np.array([0.5, 0.975])).round(6).tolist()
    [0.0, 1.959964]
    """
    q = probability - 0.5
    r = 0.180625 - q * q
    value = np.asarray(q * _ratio(_CENTRE, r))
    tail = np.abs(q) > _CENTRAL
    edge = np.minimum(probability[tail], 1.0 - probability[tail])
    root = np.sqrt(-_logarithm(edge))
    size = np.where(root <= _FAR_TAIL, _ratio(_NEAR, root - 1.6), _ratio(_FAR, root - _FAR_TAIL))
    value[tail] = np.where(q[tail] < 0, -size, size)
    return value


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Floats) -> Floats:
    numerator, denominator = (_polynomial(part, x) for part in coefficients)
    return numerator / denominator


def _polynomial(coefficients: tuple[float, ...], x: Floats) -> Floats:
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x
        value = value + coefficient
    return value


def _logarithm(x: Floats) -> Floats:
    """Natural logarithm of numbers in (0, 1) by ``ln(m 2^e) = e ln 2 + 2 artanh((m - 1) / (m + 1))``."""
    mantissa, exponent = np.frexp(x)
    low = mantissa < math.sqrt(0.5)
    mantissa = np.where(low, mantissa * 2.0, mantissa)
    exponent = np.where(low, exponent - 1, exponent)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    square = s * s
    # |s| <= 0.1716, so the term after s^23 is below 1e-19 of the first.
    series = _polynomial(tuple(1.0 / power for power in range(23, 0, -2)), square)
    return exponent * _LN2 + 2.0 * s * series
