"""All there is to see of two pictures that differ: both, the difference, its worst place, its channels, its course."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from harness.language import many, marked, say
from harness.records import FloorSource, Scope, Status, worst
from harness.render import _charts as charts
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render import _lookup as lookup
from harness.render import _maps as maps
from harness.render._pictures import THUMBNAIL_SIDE, Album, Picture, link_to
from harness.sketches import relative_difference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from harness.records import Calibration, Comparison, Measurement, Pair, Run, Sample, Step
    from harness.render._charts import Chart

_MARGIN = 8
"""Pixels around the worst place that are shown with it."""
_CHANNELS = (marked("red"), marked("green"), marked("blue"))


class Sides(Protocol):
    """Two pictures that differ, whoever made them."""

    @property
    def title(self) -> str:
        """What was compared with what."""
        ...

    @property
    def titles(self) -> tuple[str, str]:
        """What the two pictures are called."""
        ...

    @property
    def status(self) -> Status:
        """The worst word of the limits; skipped where none judged the pair."""
        ...

    @property
    def measurements(self) -> Sequence[Measurement]:
        """What was measured."""
        ...

    def filed(self, picture: Picture, side: int) -> Picture:
        """The picture of the actual (0) or expected side (1) with the place of its file."""
        ...

    def course(self) -> tuple[str, Chart | None]:
        """Where the difference comes from, in words and as a curve, as far as anything is known of it."""
        ...


@dataclass(frozen=True)
class Two:
    """Two samples with different pictures that were compared with each other."""

    comparison: Comparison
    pair: Pair
    actual: tuple[Run, Sample]
    expected: tuple[Run, Sample]
    calibration: Calibration | None = None
    """What is known of the noise floor of the expected side."""

    @property
    def status(self) -> Status:
        """The worst word of the pair's limits; skipped where none judged it."""
        return worst([verdict.status for verdict in self.pair.verdicts]) if self.pair.verdicts else Status.SKIPPED

    @property
    def title(self) -> str:
        """Arm and sample on the actual and on the expected side."""
        actual, expected = self._names
        return say("{actual} against {expected}", actual=actual, expected=expected)

    @property
    def titles(self) -> tuple[str, str]:
        """What the two pictures are called."""
        actual, expected = self._names
        return say("Actual: {name}", name=actual), say("Expected: {name}", name=expected)

    @property
    def measurements(self) -> Sequence[Measurement]:
        """What was measured."""
        return self.pair.measurements

    def filed(self, picture: Picture, side: int) -> Picture:
        """The picture of one side with the place of its file."""
        run, sample = (self.actual, self.expected)[side]
        return replace(picture, link=link_to(run, sample.image), digest=sample.image.digest)

    def course(self) -> tuple[str, Chart | None]:
        """What the latents of both sides say about where the difference comes from."""
        if self.pair.key.frame:  # the latents are those of the whole video
            return "", None
        return _course(self.actual[1].per_step, self.expected[1].per_step, *_noise_floor(self))

    @property
    def _names(self) -> tuple[str, str]:
        actual, expected = lookup.arm_of(self.comparison.actual), lookup.arm_of(self.comparison.expected)
        return f"{actual} {self.pair.actual}", f"{expected} {self.pair.expected}"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A colour scale: its colours in order, and the words at its ends."""

    colours: tuple[str, ...]
    low: str
    high: str
    note: str


@dataclass(frozen=True, kw_only=True)
class PairView:
    """Two pictures that differ, as the page shows them."""

    id: str
    title: str
    status: Status
    actual: Picture
    expected: Picture
    sentence: str = ""
    """What the difference amounts to."""
    whole: bool = False
    """Whether all views are on the page; otherwise there are thumbnails or links."""
    values: tuple[tuple[str, str], ...] = ()
    """The metrics that are read first, by name, with their values."""
    difference: Picture | None = None
    heat: Scale | None = None
    place: str = ""
    """The worst place and the metric that names it."""
    box: str = ""
    """Where it lies in the whole picture, as a style sheet writes it."""
    tile: tuple[Picture, ...] = ()
    """The worst place in actual, expected and difference."""
    channels: tuple[Picture, ...] = ()
    """Signed difference of each channel."""
    signed: Scale | None = None
    histogram: Chart | None = None
    curve: Chart | None = None
    course: str = ""
    """What the latents say about where the difference comes from."""


def pair_view(two: Two, name: str, album: Album, *, whole: bool) -> PairView:
    """All views of a pair where that is wanted and the budget allows it; else thumbnails or links."""
    sides = [album.read(run, sample.image) for run, sample in (two.actual, two.expected)] if album.open else []
    match sides:
        case [np.ndarray() as actual, np.ndarray() as expected] if actual.shape == expected.shape:
            delta = maps.differences(actual, expected)
            full_view = whole_view(two, name, album, (actual, expected, delta)) if whole else None
            return full_view or _reduced(two, name, album, delta)
        case [np.ndarray(), np.ndarray()]:
            view = _stored(two, name, album, whole=whole)
            return replace(view, sentence=say("No difference is drawn: the two pictures have different sizes."))
        case _:
            return _stored(two, name, album, whole=whole)


def _stored(two: Two, name: str, album: Album, *, whole: bool = False) -> PairView:
    (mine, actual), (theirs, expected) = two.actual, two.expected
    return PairView(
        id=name,
        title=two.title,
        status=two.status,
        actual=album.place(two.titles[0], mine, actual.image, whole=whole),
        expected=album.place(two.titles[1], theirs, expected.image, whole=whole),
    )


def _reduced(two: Two, name: str, album: Album, delta: NDArray[np.int16]) -> PairView:
    """Thumbnails, and where they are used up links; what needs no picture is there all the same."""
    return with_thumbnail(replace(_stored(two, name, album), **numbers(two, delta)), album, delta)


def with_thumbnail(view: PairView, album: Album, delta: NDArray[np.int16]) -> PairView:
    """The view with a small map of the difference, while the budget for thumbnails lasts."""
    heat, top = maps.heat(delta, THUMBNAIL_SIDE)
    small = album.thumbnail(say("Difference"), heat, exact=True)
    return replace(view, difference=small, heat=_heat_scale(top)) if small else view


def whole_view(
    two: Sides, name: str, album: Album, arrays: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int16]]
) -> PairView | None:
    """All views of two pictures ``uint8[H, W, 3]`` and their difference; None where the budget does not suffice."""
    actual, expected, delta = arrays
    heat, top = maps.heat(delta)
    signed, signed_top, side = maps.signed(delta)
    named = maps.worst_place(two.measurements, actual.shape)
    box = named[1].grown(_MARGIN, actual.shape) if named else None
    three = list(zip([*two.titles, say("Difference")], (actual, expected, heat), strict=True))
    tiles = [(title, box.cut(array)) for title, array in three] if box else []
    embedded = album.embed([*three, *zip(map(say, _CHANNELS), signed, strict=True), *tiles])
    if embedded is None:
        return None
    return PairView(
        id=name,
        title=two.title,
        status=two.status,
        whole=True,
        actual=two.filed(embedded[0], 0),
        expected=two.filed(embedded[1], 1),
        difference=embedded[2],
        heat=_heat_scale(top),
        channels=tuple(embedded[3:6]),
        signed=_signed_scale(signed_top, side),
        tile=tuple(embedded[6:]),
        place=_place(*named) if named else "",
        box=_style(box, actual.shape) if box else "",
        **numbers(two, delta),
    )


def numbers(two: Sides, delta: NDArray[np.int16]) -> dict[str, Any]:
    """What is said and drawn without a picture."""
    counts = maps.counts(delta)
    largest, share = len(counts) - 1, formats.percent(counts[0] / sum(counts))
    course, curve = two.course()
    return {
        "sentence": say(
            "The largest difference is {largest} of {levels} levels; {share} of values are equal.",
            largest=largest,
            levels=maps.LEVELS,
            share=share,
        ),
        "values": tuple(_values(two.measurements)),
        "histogram": charts.histogram(counts),
        "course": course,
        "curve": curve,
    }


def _values(measurements: Sequence[Measurement]) -> Iterator[tuple[str, str]]:
    for metric in _READ_FIRST:
        for measurement in measurements:
            if (measurement.metric, measurement.subject) == (metric, "image"):
                yield labels.metric_name(metric), formats.measured(measurement, unit=True)


_READ_FIRST = ("psnr_db", "ssim", "ssim_tile_min", "max_abs_diff", "mean_abs_diff")


def _noise_floor(two: Two) -> tuple[list[float], str]:
    """For each step how far correct runs of the reference were apart at most, and what that is, in words.

    The floor in a less precise type holds for candidates that compute in it, and for no others.
    """
    calibration = two.calibration
    if two.comparison.scope is Scope.REPEAT:
        return [], ""
    if calibration is None:
        return [], say("noise floor not measured")
    lower = two.actual[0].plan.model.dtype == calibration.candidate_dtype
    floors = [step.relative_l2 for step in calibration.steps if lower or step.source is not FloorSource.PRECISION]
    steps = len(two.expected[1].per_step)
    if not floors or any(len(floor) != steps for floor in floors):
        return [], say("noise floor not measured")
    caption = say(
        "band: noise floor, as far as correct runs of {arm} were apart ({date})",
        arm=calibration.arm,
        date=calibration.date,
    )
    return [max(step) for step in zip(*floors, strict=True)], caption


def _course(
    actual: Sequence[Step], expected: Sequence[Step], floor: Sequence[float] = (), note: str = ""
) -> tuple[str, Chart | None]:
    """What the latents of every step say about where the difference comes from, in words and as a curve."""
    if not actual or len(actual) != len(expected):
        return say("Latents by step: not recorded alike on both sides."), None
    equal = [mine.digest == theirs.digest for mine, theirs in zip(actual, expected, strict=True)]
    if all(equal):
        return say("The latents are equal after every step: the difference begins in the decoder."), None
    values = [
        0.0 if same else relative_difference([mine], [theirs])
        for same, mine, theirs in zip(equal, actual, expected, strict=True)
    ]
    first = equal.index(False) + 1
    curve = charts.curve(values, floor, note)
    if curve is None:
        text = say("The latents first differ after step {first}. Their sketches do not tell by how much.", first=first)
        return text, None
    # Sums of sketches are float32, so what is below about 1e-7 cannot be told from nothing.
    text = say(
        "The latents first differ after step {first}. The curve is an estimate, within about 20 % and not below 1e-07.",
        first=first,
    )
    return text, curve


def _heat_scale(top: int) -> Scale:
    note = say("largest of the three channels; black: equal")
    high = many("{count} level", "{count} levels", top)
    return Scale(colours=tuple(maps.heat_stops(top)), low="1", high=high, note=note)


def _signed_scale(top: float, side: int) -> Scale:
    note = say("actual minus expected; each point is a pixel")
    if side > 1:
        note = say("actual minus expected; each point is the mean of {side} × {side} pixels", side=side)  # noqa: RUF001
    low, one = f"−{top:g}", 1 if top == 1 else 2  # noqa: RUF001
    high = many("+{top} level", "+{top} levels", one, top=formats.number(top))
    return Scale(colours=tuple(maps.signed_stops()), low=low, high=high, note=note)


def _place(metric: str, box: maps.Box) -> str:
    return say(
        "{place}, by {metric}; shown with {margin} pixels around it",
        place=f"x={box.left}..{box.right} y={box.top}..{box.bottom}",
        metric=labels.metric_name(metric),
        margin=_MARGIN,
    )


def _style(box: maps.Box, shape: Sequence[int]) -> str:
    height, width, *_ = shape
    sizes = {
        "left": box.left / width,
        "top": box.top / height,
        "width": (box.right + 1 - box.left) / width,
        "height": (box.bottom + 1 - box.top) / height,
    }
    return ";".join(f"{name}:{100 * share:.3f}%" for name, share in sizes.items())
