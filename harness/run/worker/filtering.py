"""Causes below the noise of a type: a module's output against its formula on the inputs that it really had.

With r = what left the module - formula, d = hypothesis - formula, and weights of one over the size of rounding squared,
the coefficient c = <r, d> / <d, d> is 1 where the cause is present and 0 where it is not, because rounding is nearly
independent of d. What the same formula gives in the same type by torch's own operators on the CPU is subtracted as a
control. Standard errors are over rows that share one statistic.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import plugins
from harness.formulas import GroupNorm, difference
from harness.records.investigation import Coefficient, Constant, Fit, Side
from harness.run.worker.specifications import Specification, specifications
from harness.run.worker.values import tensors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harness.contracts import FormulaHypothesis, Pipeline
    from harness.formulas import Formula
    from harness.run.worker.places import Seen

    Array = NDArray[np.float64]

_MOST_VALUES = 1 << 18
"""Values of one call that are looked at, where a formula works on each row alone."""
_LEAST_WEIGHT = 1e-2
"""Share of the mean magnitude below which values count as of that magnitude, so that zeros do not weigh everything."""


class Sums:
    """Running sums for one hypothesis about one module."""

    def __init__(self) -> None:
        self.rd = self.dd = self.cd = self.rr = self.yy = self.plain_dd = 0.0
        self._aa = self._ab = self._bb = 0.0

    def add(self, parts: Residuals, d: Array, formula: Formula) -> None:
        """Add the elements of one call."""
        a = formula.shared(parts.weights * (parts.residual - parts.control) * d).sum(-1)
        b = formula.shared(parts.weights * d * d).sum(-1)
        self.rd += float((parts.weights * parts.residual * d).sum())
        self.cd += float((parts.weights * parts.control * d).sum())
        self.dd += float(b.sum())
        self.rr += float((parts.weights * parts.residual**2).sum())
        self.yy += parts.size
        self.plain_dd += float((d * d).sum())
        self._aa, self._ab, self._bb = self._aa + float(a @ a), self._ab + float(a @ b), self._bb + float(b @ b)

    def coefficient(self, hypothesis: str) -> Coefficient | None:
        """The coefficient with its standard error; None where the hypothesis changes no value."""
        if not self.dd or not self.yy:
            return None
        c = (self.rd - self.cd) / self.dd
        spread = self._aa - 2 * c * self._ab + c * c * self._bb
        gain = 2 * self.rd - self.dd
        return Coefficient(
            hypothesis=hypothesis,
            value=c,
            standard_error=math.sqrt(max(spread, 0.0)) / self.dd,
            effective_rows=self.dd**2 / self._bb,
            explained=gain / self.rr if self.rr else 0.0,
            size=math.sqrt(self.plain_dd / self.yy),
        )


class Residuals:
    """What one call of a module gave, against its formula and against the same formula in its type."""

    def __init__(self, specification: Specification, x: Any, y: Any) -> None:
        x, y = _some_rows(specification.formula, x, y)
        values, given = _array(x), _array(y)
        self.inputs = values
        self.expected = specification.formula.exact(values)
        self.residual = given - self.expected
        self.control = _array(specification.typed(x.to("cpu"))) - self.expected
        magnitude = np.abs(given)
        self.weights = 1.0 / np.maximum(magnitude, max(float(magnitude.mean()) * _LEAST_WEIGHT, 1e-300)) ** 2
        self.size = float((given * given).sum())


def _some_rows(formula: Formula, x: Any, y: Any) -> tuple[Any, Any]:
    """Rows at equal distances, where a formula works on each row alone and there are more than enough."""
    every = x.numel() // _MOST_VALUES
    if isinstance(formula, GroupNorm) or every < 2:  # noqa: PLR2004 - from two on there is one to leave out
        return x, y
    return x.reshape(-1, x.shape[-1])[::every], y.reshape(-1, y.shape[-1])[::every]


class Filter:
    """A visitor that holds modules against their formulas, and notes what constants can be estimated from."""

    def __init__(self, pipeline: Pipeline) -> None:
        known: dict[str, Any] = {name: plugins.load("hypotheses", name) for name in plugins.names("hypotheses")}
        self._hypotheses: dict[str, FormulaHypothesis] = {
            n: part for n, part in known.items() if hasattr(part, "changed")
        }
        self._specified = list(specifications(pipeline))
        self._sources: dict[tuple[str, Side], list[Specification]] = {}
        self._targets: dict[tuple[str, Side], list[Specification]] = {}
        for specification in self._specified:
            self._sources.setdefault(specification.source, []).append(specification)
            self._targets.setdefault(specification.target, []).append(specification)
        self._inputs: dict[str, Any] = {}
        self._sums: dict[str, dict[str, Sums]] = {}
        self._rows: dict[str, int] = {}
        self._constants = _Constants(pipeline)

    def __call__(self, seen: Seen, given: Any = None, *, equal: bool = False) -> None:
        """Look at what enters or leaves a module with a formula.

        ``given`` is what takes the place of the values, so what the next module really gets; with ``equal`` they are
        the reference's bit for bit, so that no cause can be there.
        """
        place = (seen.spot.path, seen.spot.side)
        for specification in self._targets.get(place, ()):
            x, y = self._inputs.pop(specification.path, None), next(iter(tensors(seen.tree)), None)
            if not equal and x is not None and y is not None and x.shape == y.shape:
                self.add(specification, x, y)
        for specification in self._sources.get(place, ()):
            tree = seen.tree if given is None else given
            self._inputs[specification.path] = next(iter(tensors(tree)), None)

    def look(self, seen: Seen) -> None:
        """Look at what constants can be estimated from."""
        self._constants.look(seen)

    def add(self, specification: Specification, x: Any, y: Any) -> None:
        """Hold what a module gave for an input against its formula."""
        formula = specification.formula
        parts = Residuals(specification, x, y)
        if not np.isfinite(parts.residual).all():
            return
        for path in (specification.path, _family(specification)):
            self._rows[path] = self._rows.get(path, 0) + formula.shared(parts.expected).shape[0]
        for name, hypothesis in self._hypotheses.items():
            if (changed := hypothesis.changed(formula)) is None:
                continue
            d = difference(changed, formula, parts.inputs)
            for path in (specification.path, _family(specification)):
                self._sums.setdefault(path, {}).setdefault(name, Sums()).add(parts, d, formula)

    def fits(self) -> list[Fit]:
        """What was found for each module, and for all modules of a component with one formula."""
        formulas = {specification.path: specification.formula.name for specification in self._specified}
        families = {_family(specification): specification.formula.name for specification in self._specified}
        formulas |= families
        return [
            Fit(
                path=path,
                formula=formulas[path],
                family=path in families,
                rows=self._rows[path],
                coefficients=[c for name, one in sums.items() if (c := one.coefficient(name)) is not None],
            )
            for path, sums in self._sums.items()
        ]

    def constants(self, asked: dict[str, float]) -> list[Constant]:
        """Constants that the pipeline used, beside what was asked for."""
        return self._constants.estimates(asked)


def _family(specification: Specification) -> str:
    """All modules of a component with one formula."""
    return f"{specification.path.partition('.')[0]}.* ({specification.formula.name})"


def _array(tensor: Any) -> Array:
    return np.asarray(tensor.detach().to("cpu").double().numpy(), dtype=np.float64)


class _Constants:
    """Guidance from what leaves the denoiser and enters the scheduler, scale and shift from what enters the decoder."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._denoiser = pipeline.components.get("denoising", "")
        self._config = getattr(pipeline.modules.get("vae"), "config", None)
        self._predictions: list[Array] = []
        self._guided: list[tuple[Array, Array]] = []
        self._latents: Any = None
        self._decoded: tuple[Array, Array] | None = None
        self._unit = 0.0
        self._passes = 0
        self._callers: dict[str, str] = {}

    def look(self, seen: Seen) -> None:
        """Keep what a constant can be estimated from."""
        place = (seen.spot.path, seen.spot.side)
        values = tensors(seen.tree) if place in self._wanted else []
        if not values:
            return
        if place == (self._denoiser, Side.OUTPUT):
            self._predictions.append(_array(values[0]))
        elif place == ("scheduler.step", Side.INPUT):
            self._callers["guidance_scale"] = seen.caller
            self._mix(_array(values[0]))
        elif place == ("scheduler.step", Side.OUTPUT):
            self._latents = values[0]
        elif self._latents is not None and self._latents.shape == values[0].shape:
            self._callers |= dict.fromkeys(("scaling_factor", "shift_factor"), seen.caller)
            self._decoded = _array(self._latents), _array(values[0])
            self._unit = _unit(values[0])

    @property
    def _wanted(self) -> set[tuple[str, Side]]:
        step = "scheduler.step"
        return {(self._denoiser, Side.OUTPUT), (step, Side.INPUT), (step, Side.OUTPUT), ("vae.decode", Side.INPUT)}

    def _mix(self, mixed: Array) -> None:
        whole = np.concatenate(self._predictions) if self._predictions else np.zeros((0,))
        self._passes = max(self._passes, len(self._predictions))
        self._predictions.clear()
        if (
            whole.shape == (2 * mixed.shape[0], *mixed.shape[1:])
            and np.isfinite(whole).all()
            and np.isfinite(mixed).all()
        ):
            first, second = whole[: mixed.shape[0]], whole[mixed.shape[0] :]
            self._guided.append(((mixed - first).ravel(), (second - first).ravel()))

    def estimates(self, asked: dict[str, float]) -> list[Constant]:
        """Every constant that could be estimated."""
        found = []
        if self._guided and "guidance_scale" in asked:
            y, x = (np.concatenate(column) for column in zip(*self._guided, strict=True))
            ((value, error),) = least_squares(y, [x])
            # In a pass for each prediction their order is the pipeline's choice, and the other one gives 1 - scale.
            value = max(value, 1 - value) if self._passes > 1 else value
            found.append(self._constant("guidance_scale", asked["guidance_scale"], value, error))
        if self._decoded is not None and self._config is not None and all(np.isfinite(a).all() for a in self._decoded):
            latents, entered = self._decoded
            (slope, slope_error), (shift, shift_error) = least_squares(entered, [latents, np.ones_like(latents)])
            scale = float(getattr(self._config, "scaling_factor", None) or 1.0)
            found.append(self._constant("scaling_factor", scale, 1 / slope, slope_error / slope**2))
            pull = self._unit * float(np.sqrt((entered**2).mean()))
            asked_shift = float(getattr(self._config, "shift_factor", None) or 0.0)
            found.append(self._constant("shift_factor", asked_shift, shift, max(shift_error, pull / 8)))
        return found

    def _constant(self, name: str, asked: float, value: float, error: float) -> Constant:
        path = self._callers.get(name) or "pipeline"
        return Constant(name=name, path=path, asked=asked, value=value, standard_error=error)


def _unit(tensor: Any) -> float:
    import torch

    return float(torch.finfo(tensor.dtype).eps)


def least_squares(y: Array, columns: Sequence[Array]) -> list[tuple[float, float]]:
    """Coefficients of the columns that come nearest to y, with standard errors that allow errors of unequal size.

    >>> x = np.array([1.0, 2.0, 3.0])
    >>> [(round(value, 6), round(error, 6)) for value, error in least_squares(2 * x, [x])]
    [(2.0, 0.0)]
    """
    matrix = np.stack([column.ravel() for column in columns], axis=1)
    inverse = np.linalg.pinv(matrix.T @ matrix)
    values = inverse @ (matrix.T @ y.ravel())
    left = y.ravel() - matrix @ values
    spread = inverse @ (matrix.T @ (matrix * (left**2)[:, None])) @ inverse
    return [(float(value), math.sqrt(max(float(s), 0.0))) for value, s in zip(values, spread.diagonal(), strict=True)]
