"""What modules compute, as formulas in float64 with their parameters; hypotheses change a parameter.

A formula takes what entered a module and gives what ought to leave it, before that is rounded to the module's type.
``shared`` puts elements that share one statistic, and so its rounding, into one row: they count once in a standard
error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


class Formula(Protocol):
    """What a module computes."""

    @property
    def name(self) -> str:
        """Name of the formula, the same for all modules that compute it."""
        ...

    def exact(self, x: Array) -> Array:
        """What ought to leave the module for what entered it, of the same shape."""
        ...

    def shared(self, values: Array) -> Array:
        """Elements [rows, n] of an array shaped as the output; those of one row share one statistic."""
        ...


def difference(changed: Formula, formula: Formula, x: Array) -> Array:
    """What a change of a formula adds to its output for ``x``.

    Where both round on the way, that is left out of both: it would move few values by much instead of all by little,
    and few values cannot tell a standard error.

    >>> norm = RmsNorm(eps=0.0, dtype="bfloat16", rounds_first=True)
    >>> round(float(difference(replace(norm, eps=1e-3), norm, np.array([[1.0]]))[0, 0]), 6)
    -0.0005
    """
    if isinstance(formula, RmsNorm) and isinstance(changed, RmsNorm) and formula.rounds_first and changed.rounds_first:
        changed, formula = replace(changed, rounds_first=False), replace(formula, rounds_first=False)
    return changed.exact(x) - formula.exact(x)


_ERF = np.frompyfunc(math.erf, 1, 1)


@dataclass(frozen=True)
class Gelu:
    """``x P(X <= x)`` of a normal X, or one of its two approximations (Hendrycks and Gimpel, 2016)."""

    form: Literal["erf", "tanh", "quick"]
    """``erf`` is exact, ``tanh`` the cubic approximation, ``quick`` is ``x sigmoid(1.702 x)``."""
    name = "gelu"

    def exact(self, x: Array) -> Array:
        """GELU of every element.

        >>> [round(float(Gelu(form).exact(np.array([-2.7]))[0]), 4) for form in ("erf", "tanh", "quick")]
        [-0.0094, -0.0089, -0.027]
        """
        if self.form == "erf":
            erf: Array = np.asarray(_ERF(x / math.sqrt(2)), dtype=np.float64)
            return x * (1 + erf) / 2
        if self.form == "tanh":
            inner: Array = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
            bent: Array = np.tanh(inner)
            return x * (1 + bent) / 2
        quick: Array = x / (1 + np.exp(-1.702 * x))
        return quick

    def shared(self, values: Array) -> Array:
        """Rows along the last axis."""
        return values.reshape(-1, values.shape[-1])


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """``(x - mean) / sqrt(variance + eps)`` over the last axis, times weight plus bias (Ba et al., 2016)."""

    eps: float
    """Added to the variance."""
    weight: Array | None = None
    """float64[width]."""
    bias: Array | None = None
    """float64[width]."""
    correction: int = 0
    """Subtracted from the number of elements that the variance is divided by."""
    name = "layer_norm"

    def exact(self, x: Array) -> Array:
        """Each row along the last axis, normalised.

        >>> LayerNorm(eps=0.0).exact(np.array([[1.0, 3.0]])).tolist()
        [[-1.0, 1.0]]
        """
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred**2).sum(-1, keepdims=True) / (x.shape[-1] - self.correction)
        return _scaled(centred / np.sqrt(variance + self.eps), self.weight, self.bias)

    def shared(self, values: Array) -> Array:
        """Rows along the last axis."""
        return values.reshape(-1, values.shape[-1])


@dataclass(frozen=True, eq=False)
class RmsNorm:
    """``x / sqrt(mean(x^2) + eps)`` over the last axis, times weight (Zhang and Sennrich, 2019)."""

    eps: float
    """Added to the mean square."""
    weight: Array | None = None
    """float64[width]."""
    dtype: str = "float32"
    """Type of what leaves the module."""
    rounds_first: bool = False
    """Whether the normalised values are rounded to that type before they are multiplied by the weight."""
    name = "rms_norm"

    def exact(self, x: Array) -> Array:
        """Each row along the last axis, normalised.

        >>> RmsNorm(eps=0.0).exact(np.array([[3.0, 3.0]])).tolist()
        [[1.0, 1.0]]
        """
        normal = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps)
        return _scaled(rounded(normal, self.dtype) if self.rounds_first else normal, self.weight, None)

    def shared(self, values: Array) -> Array:
        """Rows along the last axis."""
        return values.reshape(-1, values.shape[-1])


@dataclass(frozen=True, eq=False)
class GroupNorm:
    """LayerNorm over groups of channels of ``[batch, channels, ...]`` (Wu and He, 2018)."""

    eps: float
    """Added to the variance."""
    groups: int
    """Number of groups."""
    weight: Array | None = None
    """float64[channels]."""
    bias: Array | None = None
    """float64[channels]."""
    correction: int = 0
    """Subtracted from the number of elements that the variance is divided by."""
    name = "group_norm"

    def exact(self, x: Array) -> Array:
        """Each group of each picture, normalised.

        >>> GroupNorm(eps=0.0, groups=1).exact(np.array([[[1.0], [3.0]]])).tolist()
        [[[-1.0], [1.0]]]
        """
        normal = LayerNorm(eps=self.eps, correction=self.correction).exact(x.reshape(x.shape[0], self.groups, -1))
        form = (1, -1, *[1] * (x.ndim - 2))
        weight = None if self.weight is None else self.weight.reshape(form)
        bias = None if self.bias is None else self.bias.reshape(form)
        return _scaled(normal.reshape(x.shape), weight, bias)

    def shared(self, values: Array) -> Array:
        """One row for each group of each picture."""
        return values.reshape(values.shape[0] * self.groups, -1)


def _scaled(normal: Array, weight: Array | None, bias: Array | None) -> Array:
    scaled = normal if weight is None else normal * weight
    return scaled if bias is None else scaled + bias


def rounded(values: Array, dtype: str) -> Array:
    """The nearest values that a type holds, ties to even.

    >>> rounded(np.array([1.0 + 2**-9, 937.0]), "bfloat16").tolist()
    [1.0, 936.0]
    """
    single = values.astype(np.float32)
    if dtype == "bfloat16":
        bits = single.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)
    return single.astype(dtype).astype(np.float64)


EPSILONS = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7, "float64": 2.0**-52}
"""Distance from 1 to the next value, by type."""
