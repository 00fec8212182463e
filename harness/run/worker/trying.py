"""Known causes, tried at a place where a candidate is wrong although it got the reference's values.

Each hypothesis says what the candidate would have there: made from the reference's values, from the formula of the
module, or by the reference's own module with other operators on the inputs that it really had. The one whose prediction
is the candidate's values to rounding is the cause.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness import plugins
from harness.formulas import difference, rounded
from harness.observations import Observed, Prediction
from harness.records.investigation import Side, Trial
from harness.run.worker.operators import Episodes, operators_of, predicted_by
from harness.run.worker.places import spot_of
from harness.run.worker.specifications import specifications
from harness.run.worker.values import distance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from harness.contracts import Pipeline
    from harness.records.investigation import Place, Trace, TracedPlace
    from harness.run.worker.places import Spot
    from harness.run.worker.tracing import Kept

    Array = NDArray[np.float64]

_FLOATS = {"bfloat16", "float16", "float32"}
_MOST_OTHERS = 8
_NUMBER = re.compile(r"\d+")


class Wrong(NamedTuple):
    """A tensor of the candidate that is wrong."""

    spot: Spot
    number: int
    """Which of the place's tensors."""
    actual: Any
    expected: Any
    floor: float


class Tally:
    """Distances that one form of a hypothesis left, over all calls that were looked at."""

    def __init__(self) -> None:
        self.residuals: list[float] = []
        self.estimates: list[tuple[float, float]] = []

    def add(self, residual: float, prediction: Prediction | None = None) -> None:
        """Note what is left at one call."""
        self.residuals.append(residual)
        if prediction is not None and prediction.estimate is not None:
            self.estimates.append((prediction.estimate, prediction.standard_error or 0.0))


@dataclass(frozen=True)
class Reference:
    """What is known of the reference."""

    trace: Trace
    values: Kept
    pipeline: Pipeline


class Trying:
    """Tries every hypothesis at the places of one culprit."""

    def __init__(self, reference: Reference, kept: Kept, place: Place, path: str) -> None:
        self._reference = reference
        self._path = path
        self._traced = {spot_of(traced.place): traced for traced in reference.trace.places}
        self.wrong = list(self._wrong(kept, place))
        self._tallies: dict[tuple[str, int], Tally] = defaultdict(Tally)

    def _wrong(self, kept: Kept, place: Place) -> Iterator[Wrong]:
        """The worst tensor of each call that was kept of the place."""
        for spot, values in kept.items():
            traced, expected = self._traced.get(spot), self._reference.values.get(spot)
            if (spot.path, spot.side) != (place.path, place.side) or traced is None or expected is None:
                continue
            if [one.shape for one in values] != [two.shape for two in expected]:
                continue
            ratios = [distance(a, e) / f for a, e, f in zip(values, expected, traced.floors, strict=True)]
            worst = ratios.index(max(ratios))
            yield Wrong(spot, worst, values[worst], expected[worst], traced.floors[worst])

    def trials(self, make: Callable[[Any], Any], seed: int) -> list[Trial]:
        """All trials; ``make`` makes a picture with a visitor at its places."""
        if not self.wrong:
            return []
        for name in plugins.names("hypotheses"):
            hypothesis: Any = plugins.load("hypotheses", name)
            if hasattr(hypothesis, "predicted"):
                self._try_values(name, hypothesis.predicted, seed)
            elif hasattr(hypothesis, "changed"):
                self._try_formula(name, hypothesis.changed)
        self._try_operators(make)
        return [trial for name, tally in self._best().items() if (trial := self._trial(name, tally)) is not None]

    def _try_values(self, name: str, predicted: Callable[[Observed], Iterator[Prediction]], seed: int) -> None:
        for wrong in self.wrong:
            with np.errstate(all="ignore"):
                for form, prediction in enumerate(predicted(self._observed(wrong, seed))):
                    self._tallies[name, form].add(_left(wrong, prediction.values), prediction)

    def _observed(self, wrong: Wrong, seed: int) -> Observed:
        spot, traced = wrong.spot, self._traced[wrong.spot]
        return Observed(
            actual=_array(wrong.actual),
            expected=_array(wrong.expected),
            dtype=traced.values[wrong.number].dtype,
            floor=wrong.floor,
            seed=seed,
            inputs=self._inputs(spot),
            others=dict(self._others(wrong)),
            earlier=dict(self._earlier(wrong)),
            steps=dict(self._steps(wrong)),
            sigmas=self._sigmas(spot.step),
        )

    def _inputs(self, spot: Spot) -> dict[str, Array]:
        source = spot._replace(side=Side.INPUT)
        if spot.side is Side.INPUT or source not in self._traced:
            return {}
        named = zip(self._traced[source].values, self._reference.values[source], strict=True)
        return {value.name: _array(tensor) for value, tensor in named}

    def _others(self, wrong: Wrong) -> Iterator[tuple[str, Array]]:
        caller, count = self._traced[wrong.spot].caller, 0
        for spot, traced in self._traced.items():
            alike = spot.side is wrong.spot.side and spot.step == wrong.spot.step and traced.caller == caller
            if not alike or spot.path == wrong.spot.path or count >= _MOST_OTHERS:
                continue
            values = self._reference.values[spot]
            if values and values[0].shape == wrong.expected.shape:
                count += 1
                yield spot.path, _array(values[0])

    def _earlier(self, wrong: Wrong) -> Iterator[tuple[str, Array]]:
        kind, count = _NUMBER.sub("#", wrong.spot.path), 0
        for spot in self._traced:  # in order of execution
            if spot == wrong.spot or count >= _MOST_OTHERS:
                return
            alike = spot.side is wrong.spot.side and spot.step == wrong.spot.step and spot.path != wrong.spot.path
            values = self._reference.values[spot] if alike and _NUMBER.sub("#", spot.path) == kind else []
            if len(values) > wrong.number and values[wrong.number].shape == wrong.expected.shape:
                count += 1
                yield spot.path, _array(values[wrong.number])

    def _steps(self, wrong: Wrong) -> Iterator[tuple[int, Array]]:
        for distance_in_steps in (-1, 1):
            spot = wrong.spot._replace(step=wrong.spot.step + distance_in_steps)
            values = self._reference.values.get(spot, [])
            if len(values) > wrong.number and values[wrong.number].shape == wrong.expected.shape:
                yield distance_in_steps, _array(values[wrong.number])

    def _sigmas(self, step: int) -> tuple[float, ...]:
        schedule = self._reference.trace.exact.schedule
        return tuple(schedule.sigmas[step:]) if schedule else ()

    def _try_formula(self, name: str, changed: Callable[[Any], Any]) -> None:
        for wrong in self.wrong:
            place = (wrong.spot.path, wrong.spot.side)
            for specification in specifications(self._reference.pipeline):
                if specification.target != place:
                    continue
                path, side = specification.source
                source = self._reference.values.get(wrong.spot._replace(path=path, side=side))
                other = changed(specification.formula)
                if other is None or not source or source[0].shape != wrong.expected.shape:
                    continue
                x, expected = _array(source[0]), _array(wrong.expected)
                predicted = expected + difference(other, specification.formula, x)
                self._tallies[name, 0].add(_left(wrong, predicted))

    def _try_operators(self, make: Callable[[Any], Any]) -> None:
        names = [name for name in plugins.names("hypotheses") if hasattr(plugins.load("hypotheses", name), "replaced")]
        steps = {wrong.spot.step for wrong in self.wrong}
        pipeline = self._reference.pipeline
        episodes = Episodes(pipeline, self._path, steps)
        if episodes.module is None or self._path == pipeline.components.get("denoising"):
            return
        make(episodes)
        for wrong in self.wrong:
            if (episode := episodes.around(wrong.spot)) is None:
                continue
            called = operators_of(episode)
            for name in names:
                hypothesis: Any = plugins.load("hypotheses", name)
                for form, operators in enumerate(hypothesis.replaced()):
                    if not called.intersection(operators) and not any("*" in pattern for pattern in operators):
                        continue
                    made = predicted_by(episode, operators, wrong.spot)
                    if made is not None and len(made) > wrong.number:
                        self._tallies[name, form].add(distance(wrong.actual, made[wrong.number]))

    def _best(self) -> dict[str, Tally]:
        """The form of each hypothesis that leaves least, of those that speak of every call."""
        best: dict[str, Tally] = {}
        for (name, _), tally in self._tallies.items():
            whole = len(tally.residuals) == len(self.wrong)
            if whole and (name not in best or _norm(tally.residuals) < _norm(best[name].residuals)):
                best[name] = tally
        return best

    def _trial(self, name: str, tally: Tally) -> Trial | None:
        estimate, error = tally.estimates[0] if tally.estimates else (None, None)
        return Trial(
            hypothesis=name,
            residual=_norm(tally.residuals),
            without=_norm([distance(wrong.actual, wrong.expected) for wrong in self.wrong]),
            floor=_norm([wrong.floor for wrong in self.wrong]),
            estimate=estimate,
            standard_error=error,
        )


def _left(wrong: Wrong, predicted: Array) -> float:
    """Distance of the candidate's values from predicted ones, which are rounded to their type."""
    import torch

    if predicted.shape != tuple(wrong.expected.shape):
        return math.inf
    dtype = str(wrong.expected.dtype).removeprefix("torch.")
    values = rounded(predicted, dtype) if dtype in _FLOATS else predicted
    if wrong.expected.is_floating_point():
        return distance(wrong.actual.double(), torch.from_numpy(np.ascontiguousarray(values)))
    return float(not np.array_equal(_array(wrong.actual), values))


def _norm(values: Sequence[float]) -> float:
    """Root mean square."""
    return math.sqrt(sum(value**2 for value in values) / len(values))


def _array(tensor: Any) -> Array:
    import torch

    tensor = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return np.asarray(tensor.detach().to("cpu").double().numpy(), dtype=np.float64)


def kept_values(places: Sequence[TracedPlace]) -> dict[Spot, int]:
    """How many tensors belong to each place of a file."""
    return {spot_of(traced.place): len(traced.values) for traced in places}
