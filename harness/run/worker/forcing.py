"""Forcing: what enters and leaves each module is compared with the reference's, and then replaced by it.

So an error does not travel, and only a module or function that is wrong by itself is far from the reference. Passes of
the denoiser for single predictions are matched with a pass for all of them, and the other way round, by what enters.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.observations import WRONG_FROM
from harness.records.investigation import Side
from harness.run.worker.places import spot_of
from harness.run.worker.values import LEAST_FLOOR, LEAST_FLOORS, Coins, distance, moved, replaced, tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.records.investigation import TracedPlace
    from harness.run.worker.places import Seen, Spot
    from harness.run.worker.tracing import Kept


class Part(NamedTuple):
    """Which predictions of which calls of the reference's denoiser belong to one call of the candidate's."""

    forwards: tuple[int, ...]
    """Calls of the reference; several are put one behind the other."""
    number: int
    """Which of ``parts`` parts of that call is meant."""
    parts: int


_WHOLE = Part((0,), 0, 1)
_MOST_KEPT = 6
"""Calls of a place whose wrong values are kept."""
_MOST_BYTES = 1 << 29
"""Size of all wrong values that are kept."""


class Alignment:
    """Finds for a place of the candidate the reference's values, whichever way the predictions were batched."""

    def __init__(self, reference: Kept, denoiser: str) -> None:
        self._reference = reference
        self._denoiser = denoiser
        self._parts: dict[tuple[int, int], Part] = {}

    def begin(self, spot: Spot, actual: Sequence[Any]) -> None:
        """Look at what enters the denoiser, to know which predictions its call makes."""
        if spot.path == self._denoiser and spot.side is Side.INPUT:
            self._parts[spot.step, spot.forward] = self._matched(spot, actual)

    def spot(self, spot: Spot) -> Spot:
        """The reference's place for one of the candidate."""
        part = self._part(spot)
        return spot if part is None else spot._replace(forward=part.forwards[0])

    def values(self, spot: Spot, actual: Sequence[Any]) -> list[Any] | None:
        """The reference's values for a place of the candidate; None where it has none."""
        part = self._part(spot)
        if part is None:
            return self._reference.get(spot)
        several = [self._reference.get(spot._replace(forward=forward)) for forward in part.forwards]
        known = [values for values in several if values is not None]
        if len(known) < len(several) or any(len(values) != len(actual) for values in known):
            return None
        return [_taken(part, one, [values[k] for values in known]) for k, one in enumerate(actual)]

    def _part(self, spot: Spot) -> Part | None:
        within = spot.path == self._denoiser or spot.path.startswith(f"{self._denoiser}.")
        return self._parts.get((spot.step, spot.forward)) if within else None

    def _matched(self, spot: Spot, actual: Sequence[Any]) -> Part:
        calls = sorted(s.forward for s in self._reference if s[:3] == spot[:3] and s.call == spot.call)
        batches = [_batch(self._reference[spot._replace(forward=forward)]) for forward in calls]
        mine = _batch(actual)
        if spot.forward in calls and batches[calls.index(spot.forward)] == mine:
            return Part((spot.forward,), 0, 1)
        if len(calls) == 1 and mine and batches[0] % mine == 0:
            used = {part.number for (step, _), part in self._parts.items() if step == spot.step}
            parts = [Part((calls[0],), index, batches[0] // mine) for index in range(batches[0] // mine)]
            return min(
                (p for p in parts if p.number not in used), key=lambda p: self._far(p, spot, actual), default=_WHOLE
            )
        if sum(batches) == mine and len(calls) > 1:
            orders = (tuple(calls), tuple(reversed(calls)))
            return min((Part(order, 0, 1) for order in orders), key=lambda part: self._far(part, spot, actual))
        return _WHOLE

    def _far(self, part: Part, spot: Spot, actual: Sequence[Any]) -> float:
        several = [self._reference[spot._replace(forward=forward)] for forward in part.forwards]
        gaps = [distance(one, _taken(part, one, [v[k] for v in several])) for k, one in enumerate(actual)]
        return sum(min(gap, 1e3) for gap in gaps)


def _batch(values: Sequence[Any]) -> int:
    """Length of the first tensor that has one."""
    return next((int(value.shape[0]) for value in values if value.ndim), 0)


def _taken(part: Part, actual: Any, expected: Sequence[Any]) -> Any:
    """The part of a reference's tensor that a tensor of the candidate stands for."""
    import torch

    if actual.ndim and len(expected) > 1 and sum(value.shape[0] for value in expected) == actual.shape[0]:
        return torch.cat([value.to("cpu") for value in expected])
    whole = expected[0]
    if part.parts > 1 and actual.ndim and whole.ndim and whole.shape[0] == part.parts * actual.shape[0]:
        return whole.chunk(part.parts)[part.number]
    return whole


class Forcing:
    """A visitor that measures each place against the reference, and replaces its values where it is to force them."""

    def __init__(  # noqa: PLR0913 - what it works with
        self,
        reference: Kept,
        denoiser: str,
        *,
        force: bool = True,
        seed: int | None = None,
        floors: Mapping[Spot, Sequence[float]] | None = None,
        partial: bool = False,
    ) -> None:
        self.errors: dict[Spot, list[float]] = {}
        """Relative L2 of each tensor, by the reference's place; the largest where several parts were met."""
        self.additional: list[Spot] = []
        """Places that the reference does not have."""
        self.last_is_equal = False
        """Whether the place that was seen last has the reference's values bit for bit."""
        self.wrong: Kept = {}
        """The candidate's values at the reference's places that are above the limit, a few of each kind."""
        self._floors = floors or {}
        self._counts: Counter[tuple[str, Side]] = Counter()
        self._bytes = 0
        self._reference = reference
        self._paths = {spot.path for spot in reference} if partial else None
        self._alignment = Alignment(reference, denoiser)
        self._force = force
        self._coins = None if seed is None else Coins(seed)

    def __call__(self, seen: Seen) -> Any:
        """Compare the tensors of a place; gives the reference's in their place, or None."""
        self.last_is_equal = False
        if self._paths is not None and seen.spot.path not in self._paths:
            return None
        actual = tensors(seen.tree)
        self._alignment.begin(seen.spot, actual)
        expected = self._alignment.values(seen.spot, actual)
        if expected is None or len(expected) != len(actual):
            self.additional.append(seen.spot)
            return None
        errors = [distance(one, two) for one, two in zip(actual, expected, strict=True)]
        self.last_is_equal = not any(errors)
        spot = self._alignment.spot(seen.spot)
        known = self.errors.get(spot, errors)
        self.errors[spot] = [max(pair) for pair in zip(errors, known, strict=True)]
        if any(error > WRONG_FROM * floor for error, floor in zip(errors, self._floors.get(spot, ()), strict=False)):
            self._keep(spot, actual)
        fits = all(one.shape == two.shape for one, two in zip(actual, expected, strict=True))
        if not self._force or not actual or not fits:
            return None
        return replaced(seen.tree, [self._given(value) for value in expected])

    def _keep(self, spot: Spot, actual: Sequence[Any]) -> None:
        kind = spot.path, spot.side
        size = sum(value.numel() * value.element_size() for value in actual)
        if self._counts[kind] < _MOST_KEPT and self._bytes + size <= _MOST_BYTES:
            self._counts[kind] += 1
            self._bytes += size
            self.wrong[spot] = [value.to("cpu", copy=True).contiguous() for value in actual]

    def _given(self, value: Any) -> Any:
        return value.clone() if self._coins is None else moved(value, self._coins)


def floors_of(run: Forcing, traced: TracedPlace) -> list[float]:
    """How far correct work may be from each tensor of a place, as a run with moved values measured it.

    At least the floor of its type, and no more than that where the run did not come by: a module whose result is cached
    works in the first picture of a process alone.
    """
    least = least_floors(traced)
    return [max(pair) for pair in zip(run.errors.get(spot_of(traced.place), least), least, strict=True)]


def least_floors(traced: TracedPlace) -> list[float]:
    """The floor of the type of each tensor of a place."""
    return [LEAST_FLOORS.get(value.dtype, LEAST_FLOOR) for value in traced.values]


class Moving:
    """A visitor that moves what leaves modules and functions by one unit in the last place."""

    def __init__(self, seed: int) -> None:
        self._coins = Coins(seed)

    def __call__(self, seen: Seen) -> Any:
        """Give neighbours of the tensors that leave a place."""
        values = tensors(seen.tree) if seen.spot.side is Side.OUTPUT else []
        return replaced(seen.tree, [moved(value.to("cpu"), self._coins) for value in values]) if values else None


class Swapping:
    """A visitor that puts kept values in the place of a picture's own."""

    def __init__(self, values: Kept, denoiser: str, wanted: Callable[[Spot], bool]) -> None:
        self.replaced = 0
        """Number of calls whose values were replaced."""
        self._alignment = Alignment(values, denoiser)
        self._wanted = wanted

    def __call__(self, seen: Seen) -> Any:
        """Give the kept values of a place; None where there are none."""
        actual = tensors(seen.tree)
        self._alignment.begin(seen.spot, actual)
        if not self._wanted(seen.spot):
            return None
        kept = self._alignment.values(seen.spot, actual)
        if kept is None or not actual or [one.shape for one in actual] != [two.shape for two in kept]:
            return None
        self.replaced += 1
        return replaced(seen.tree, [value.clone() for value in kept])
