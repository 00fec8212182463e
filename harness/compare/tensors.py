"""Two files of tensors compared name by name, a block of values at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.compare.gates import allowed, holds
from harness.language import recordable, recorded
from harness.records import Limit, Status, TensorDiff, TensorMeasurement, TensorPair, TensorSide, Verdict, worst
from harness.tensor_files import numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from harness.tensor_files import Tensor

FLOOR = 2.0**-14
"""Least expected size that the error of a single value is divided by: that of float32 in Ascend's dual benchmark."""
TOLERATED = 0.01
"""Relative error of a value up to which it is not counted: one per cent."""

SPECS = {
    "max_abs_diff": "max_abs_diff:all-values:float64",
    "mean_abs_diff": "mean_abs_diff:sum|actual-expected|/count:float64-blocks-of-2^20",
    "relative_l2": "relative_l2:norm(actual-expected)/norm(expected):float64-blocks-of-2^20",
    "max_relative_error": "max_relative_error:max(|actual-expected|/max(|expected|,floor)):floor-2^-14",
    "mean_relative_error": "mean_relative_error:mean(|actual-expected|/max(|expected|,floor)):floor-2^-14",
    "share_over_1_percent": "share_over_1_percent:count(|actual-expected|/max(|expected|,floor)>0.01)/count:"
    "floor-2^-14",
    "cosine_distance": "cosine_distance:(|a-e|^2-(|a|-|e|)^2)/(2|a||e|):float64-blocks-of-2^20",
}
"""The metrics of tensors, all better where lower, and their exact definitions."""

_SIDES = ("actual", "expected")
_CONSTANT = {
    "actual": recordable("every value of the actual tensor is the same"),
    "expected": recordable("every value of the expected tensor is the same"),
}
_NOT_FINITE = {
    "actual": recordable("the actual tensor holds values that are NaN or infinite"),
    "expected": recordable("the expected tensor holds values that are NaN or infinite"),
}


@dataclass
class Sums:
    """What is summed up over blocks; several tensors can be added up to a whole."""

    count: int = 0
    differing: int = 0
    over: int = 0
    largest: float = 0.0
    largest_error: float = 0.0
    sizes: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    squares: list[float] = field(default_factory=list)
    actual_squares: list[float] = field(default_factory=list)
    expected_squares: list[float] = field(default_factory=list)

    def take(self, actual: NDArray[np.float64], expected: NDArray[np.float64], sizes: NDArray[np.float64]) -> None:
        """Add a block of finite values, and how far apart they are."""
        errors = sizes / np.maximum(np.abs(expected), FLOOR)
        self.count += sizes.size
        self.differing += int(np.count_nonzero(sizes))
        self.over += int(np.count_nonzero(errors > TOLERATED))
        self.largest = max(self.largest, float(sizes.max()))
        self.largest_error = max(self.largest_error, float(errors.max()))
        self.sizes.append(float(sizes.sum()))
        self.errors.append(float(errors.sum()))
        self.squares.append(float((sizes * sizes).sum()))
        self.actual_squares.append(float((actual * actual).sum()))
        self.expected_squares.append(float((expected * expected).sum()))

    def add(self, other: Sums) -> None:
        """Add another tensor's."""
        self.count, self.differing, self.over = (
            self.count + other.count,
            self.differing + other.differing,
            self.over + other.over,
        )
        self.largest = max(self.largest, other.largest)
        self.largest_error = max(self.largest_error, other.largest_error)
        for name in ("sizes", "errors", "squares", "actual_squares", "expected_squares"):
            getattr(self, name).extend(getattr(other, name))

    def measurements(self) -> list[TensorMeasurement]:
        """All metrics; none where there were no values."""
        if not self.count:
            return []
        values: dict[str, float | None] = {
            "max_abs_diff": self.largest,
            "mean_abs_diff": math.fsum(self.sizes) / self.count,
            "relative_l2": self._relative(),
            "max_relative_error": self.largest_error,
            "mean_relative_error": math.fsum(self.errors) / self.count,
            "share_over_1_percent": self.over / self.count,
            "cosine_distance": self._cosine_distance(),
        }
        return [_measurement(name, value) for name, value in values.items()]

    def _relative(self) -> float | None:
        whole = math.fsum(self.expected_squares)
        if not self.differing:
            return 0.0
        return math.sqrt(math.fsum(self.squares) / whole) if whole else None

    def _cosine_distance(self) -> float | None:
        if not self.differing:
            return 0.0
        actual, expected = (math.sqrt(math.fsum(part)) for part in (self.actual_squares, self.expected_squares))
        if not (actual and expected):
            return None
        apart = math.fsum(self.squares) - (actual - expected) ** 2
        return max(apart, 0.0) / (2 * actual * expected)


def _measurement(name: str, value: float | None) -> TensorMeasurement:
    if value is None:
        return TensorMeasurement(
            metric=name, value=None, spec=SPECS[name], problem=recorded("every value of one side is zero")
        )
    if not math.isfinite(value):
        return TensorMeasurement(
            metric=name, value=None, spec=SPECS[name], problem=recorded("the values are beyond the range of float64")
        )
    return TensorMeasurement(metric=name, value=value, spec=SPECS[name])


def compare_tensors(
    names: tuple[str, str], actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], limits: Sequence[Limit]
) -> TensorDiff:
    """Compare the tensors of two files, called ``names``, by their names; a limit judges each of them."""
    whole, pairs = Sums(), []
    for name in sorted({*actual, *expected}):
        pair, sums = _compared(name, actual.get(name), expected.get(name), limits)
        whole.add(sums)
        pairs.append(pair)
    outcome = _outcome(pairs, judged=bool(limits))
    return TensorDiff(
        actual=names[0],
        expected=names[1],
        limits=list(limits),
        pairs=pairs,
        whole=whole.measurements(),
        outcome=outcome,
        message=_message(pairs),
    )


def _compared(
    name: str, actual: Tensor | None, expected: Tensor | None, limits: Sequence[Limit]
) -> tuple[TensorPair, Sums]:
    sides = [None if tensor is None else _side(tensor) for tensor in (actual, expected)]
    pair = TensorPair(name=name, actual=sides[0], expected=sides[1], outcome=Status.ERROR)
    if actual is None or expected is None:
        side = recorded("the actual file") if actual is None else recorded("the expected file")
        return pair.model_copy(update={"problem": recorded("{side} has no such tensor", side=side)}), Sums()
    if actual.shape != expected.shape:
        why = recorded(
            "the shapes differ: actual {actual}, expected {expected}",
            actual=str(list(actual.shape)),
            expected=str(list(expected.shape)),
        )
        return pair.model_copy(update={"problem": why}), Sums()
    seen = _Seen(identical=actual.type == expected.type)
    for left, right in zip(actual.blocks(), expected.blocks(), strict=True):
        seen.take(left, right, actual, expected)
    return _judged(pair, seen, actual, expected, limits), seen.sums


def _side(tensor: Tensor) -> TensorSide:
    return TensorSide(type=tensor.type, shape=list(tensor.shape))


@dataclass
class _Seen:
    """What was seen of two tensors of one shape, block by block."""

    sums: Sums = field(default_factory=Sums)
    identical: bool = True
    same_places: bool = True
    nan: list[int] = field(default_factory=lambda: [0, 0])
    infinite: list[int] = field(default_factory=lambda: [0, 0])
    lowest: list[float] = field(default_factory=lambda: [math.inf, math.inf])
    highest: list[float] = field(default_factory=lambda: [-math.inf, -math.inf])

    def take(self, left: NDArray[Any], right: NDArray[Any], actual: Tensor, expected: Tensor) -> None:
        """Look at a block of both."""
        self.identical = self.identical and left.tobytes() == right.tobytes()
        if not (actual.has_numbers and expected.has_numbers):
            return
        wide = numbers(left, actual.type), numbers(right, expected.type)
        for side, values in enumerate(wide):
            self.nan[side] += int(np.isnan(values).sum())
            self.infinite[side] += int(np.isinf(values).sum())
            self.lowest[side] = min(self.lowest[side], float(values.min()))
            self.highest[side] = max(self.highest[side], float(values.max()))
        finite = np.isfinite(wide[0]), np.isfinite(wide[1])
        if not (finite[0].all() and finite[1].all()):
            broken = ~finite[0] | ~finite[1]
            self.same_places &= bool(np.array_equal(wide[0][broken], wide[1][broken], equal_nan=True))
            return
        with np.errstate(over="ignore", invalid="ignore"):
            self.sums.take(*wide, _apart(left, right, wide))

    @property
    def finite(self) -> bool:
        """Whether neither side has a value that is NaN or infinite."""
        return not any(self.nan) and not any(self.infinite)


def _apart(left: NDArray[Any], right: NDArray[Any], wide: tuple[Any, Any]) -> NDArray[np.float64]:
    """How far values are apart; for whole numbers of 64 bits before they are rounded."""
    if left.dtype == right.dtype and left.dtype.kind in "iu" and left.dtype.itemsize == 8:  # noqa: PLR2004 - bytes
        apart = np.maximum(left, right).view(np.uint64) - np.minimum(left, right).view(np.uint64)
        exact: NDArray[np.float64] = apart.astype(np.float64)
        return exact
    difference: NDArray[np.float64] = np.abs(wide[0] - wide[1])
    return difference


def _judged(pair: TensorPair, seen: _Seen, actual: Tensor, expected: Tensor, limits: Sequence[Limit]) -> TensorPair:
    several = math.prod(actual.shape) > 1
    sides = {
        name: _side(tensor).model_copy(
            update={
                "nan": seen.nan[number],
                "infinite": seen.infinite[number],
                "constant": several and seen.lowest[number] == seen.highest[number],
            }
        )
        for number, (name, tensor) in enumerate(zip(_SIDES, (actual, expected), strict=True))
    }
    blank = [recorded(_CONSTANT[name]) for name, side in sides.items() if side.constant]
    blank += [recorded(_NOT_FINITE[name]) for name, side in sides.items() if side.nan or side.infinite]
    if 0 in actual.shape:
        blank.append(recorded("both tensors are empty"))
    found = pair.model_copy(update={**sides, "identical": seen.identical, "blank": blank})
    if not seen.finite:
        seen.sums = Sums()
    if why := _unmeasured(seen, actual, expected):
        return found.model_copy(update={"problem": why})
    measurements = seen.sums.measurements()
    verdicts = [_verdict(limit, measurements, identical=seen.identical) for limit in limits] if measurements else []
    return found.model_copy(
        update={
            "differing": seen.sums.differing if measurements else None,
            "measurements": measurements,
            "verdicts": verdicts,
            "outcome": _status(found, verdicts, judged=bool(limits)),
        }
    )


def _unmeasured(seen: _Seen, actual: Tensor, expected: Tensor) -> str:
    """Why two tensors cannot be compared; empty where they can."""
    for tensor in (actual, expected):
        if not tensor.has_numbers and not seen.identical:
            return recorded("values of type {type} have no metric", type=tensor.type)
    if not seen.same_places:
        return recorded("NaN or infinite values stand at different places")
    return ""


def _status(pair: TensorPair, verdicts: Sequence[Verdict], *, judged: bool) -> Status:
    """Equal tensors that show nothing are skipped; a side that alone shows nothing, and NaN, break any limit."""
    sides = [side for side in (pair.actual, pair.expected) if side is not None]
    alone = len({side.constant for side in sides}) > 1
    if judged and (alone or any(side.nan or side.infinite for side in sides)):
        return Status.ERROR
    if pair.blank and (pair.identical or not verdicts):
        return Status.SKIPPED
    return worst([verdict.status for verdict in verdicts] or [Status.IDENTICAL if pair.identical else Status.SKIPPED])


def _verdict(limit: Limit, measurements: Sequence[TensorMeasurement], *, identical: bool) -> Verdict:
    found = next(measurement for measurement in measurements if measurement.metric == limit.metric)
    rule = allowed(limit)
    if found.value is None:
        message = recorded(
            "{metric:s} has no value: {why}; allowed: {limit}.", metric=limit.metric, why=found.problem, limit=rule
        )
        return Verdict(limit=limit, measured=None, status=Status.ERROR, message=message)
    kept = Status.IDENTICAL if identical else Status.WITHIN_LIMITS
    return Verdict(
        limit=limit,
        measured=found.value,
        status=kept if holds(limit, found.value) else Status.DRIFT,
        message=recorded("{value}; allowed: {limit}.", value=f"{found.value:.6g}", limit=rule),
    )


def _outcome(pairs: Sequence[TensorPair], *, judged: bool) -> Status:
    """The worst word; equal tensors that show nothing are no evidence, so with them alone nothing passes."""
    telling = [pair.outcome for pair in pairs if not (pair.blank and pair.identical and pair.outcome is Status.SKIPPED)]
    if not telling:
        return Status.ERROR if judged or not pairs else Status.SKIPPED
    outcome = worst(telling)
    return Status.SKIPPED if outcome is Status.IDENTICAL and Status.SKIPPED in telling else outcome


def _message(pairs: Sequence[TensorPair]) -> str:
    equal = sum(pair.identical for pair in pairs)
    sentences = [f"{equal} of {len(pairs)} tensors are equal byte for byte"]
    counts = {
        "differ in type": sum(
            pair.actual is not None and pair.expected is not None and pair.actual.type != pair.expected.type
            for pair in pairs
        ),
        "not compared": sum(bool(pair.problem) for pair in pairs),
        "with a side that shows nothing": sum(bool(pair.blank) for pair in pairs),
        "with a broken limit": sum(pair.outcome is Status.DRIFT for pair in pairs),
    }
    return "; ".join([*sentences, *(f"{count} {what}" for what, count in counts.items() if count)])
