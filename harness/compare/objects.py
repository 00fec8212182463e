"""Two pictures that a program holds, compared: arrays, tensors, images of Pillow, paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack, cast

import numpy as np

from harness import plugins
from harness.compare.pictures import are_identical, compare_arrays
from harness.contracts import ShownPair
from harness.errors import ImageError
from harness.picture_objects import Reading, held

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from harness.contracts import PicturesRenderer
    from harness.images import Alpha
    from harness.picture_objects import Layout
    from harness.records import Appearance, Hint, Limit, Measurement, PicturePair

_NAME_A_PLACE = ("ssim_tile_min", "worst_block_diff", "max_abs_diff")
"""Metrics that name the worst place, the one that is believed first."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Compared:
    """What comparing two pictures gave; ``print`` shows it as a table, a notebook with the pictures."""

    pair: PicturePair
    """The record, as ``harness diff --json`` writes it."""
    actual: NDArray[np.uint8]
    """``uint8[H, W, 3]``."""
    expected: NDArray[np.uint8]
    """``uint8[H, W, 3]``."""
    float_diff: float | None = None
    """Largest difference of two float pictures, in their own unit; None where a side has 8 bits."""

    @property
    def identical(self) -> bool:
        """Whether every value is equal; of two float pictures, before they become 8-bit."""
        return are_identical(self.pair.measurements) and not self.float_diff

    @property
    def metrics(self) -> Mapping[str, Measurement]:
        """Each metric by its name, with ``value``, ``unit``, ``better`` and ``where``, on the 8-bit pictures."""
        return {measurement.metric: measurement for measurement in self.pair.measurements}

    @property
    def hints(self) -> Sequence[Hint]:
        """What the difference looks like; empty where nothing fits for sure."""
        return self.pair.hints

    @property
    def appearance(self) -> Appearance | None:
        """How alike the pictures look, a band for readers that judges nothing; None below the size of a window."""
        return self.pair.appearance

    @property
    def blank(self) -> Sequence[str]:
        """Which side shows nothing, in words; empty where both show something."""
        return self.pair.blank

    @property
    def worst_place(self) -> str:
        """Where the pictures differ most, such as ``x=32..63 y=0..31``; empty where they are equal."""
        metrics = self.metrics
        return next((metrics[name].where for name in _NAME_A_PLACE if name in metrics and metrics[name].where), "")

    def __repr__(self) -> str:
        values = [f"{name} {shown_value(self.metrics[name])}" for name in ("psnr_db", "ssim", "max_abs_diff")]
        result = "identical" if self.identical else ", ".join([self._look, *values])
        return f"<Compared {self.pair.width} x {self.pair.height} pixels: {result}>"

    def __str__(self) -> str:
        names = max(map(len, self.metrics), default=0)
        rows = [
            f"  {name:<{names}}  {shown_value(metric):<22}  {metric.better} is better  {metric.where}".rstrip()
            for name, metric in self.metrics.items()
        ]
        return "\n".join([self.sentence, *self.remarks, *rows])

    def _repr_html_(self) -> str:
        return renderer().render_pair(ShownPair(title="", pair=self.pair, actual=self.actual, expected=self.expected))

    @property
    def sentence(self) -> str:
        """Whether the pictures are equal, in one sentence."""
        size = f"{self.pair.width} x {self.pair.height} pixels"
        if self.identical:
            return f"The pictures are identical ({size})."
        if are_identical(self.pair.measurements):
            return f"The pictures are equal in 8 bits ({size}); their floats differ by up to {self.float_diff:.6g}."
        return f"The pictures differ ({size}); visual similarity: {self._look}."

    @property
    def remarks(self) -> list[str]:
        """What is to be said beside the numbers: the worst place, hints, and which side shows nothing."""
        place = [f"worst place: {self.worst_place}"] if self.worst_place else []
        hints = [f"hint: {hint.message}" + (f" ({hint.where})" if hint.where else "") for hint in self.hints]
        return [*place, *hints, *(f"note: {reason}" for reason in self.blank)]

    @property
    def _look(self) -> str:
        return self.appearance.words if self.appearance else "not known, the pictures are too small"


def compare(
    actual: Any,
    expected: Any,
    *,
    data_range: tuple[float, float] | None = None,
    layout: Layout | None = None,
    alpha: Alpha | None = None,
) -> Compared:
    """All metrics of two pictures, each a NumPy array, a torch tensor on any device, an image of Pillow or a path.

    ``uint8`` is taken as it is. Floats need ``data_range``, the values of black and white, such as ``(0, 1)``: it is
    never guessed. ``[H, W, 3]`` and ``[3, H, W]`` are told apart by the axis of size 3; where both are, ``layout`` says
    ``"HWC"`` or ``"CHW"``. ``alpha`` says what becomes of real transparency: ``"white"``, ``"black"``, ``"drop"``.
    Metrics are measured on 8-bit pictures, made of floats by rounding to the nearest level.

    >>> expected = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    >>> found = compare(255 - expected, expected)
    >>> found.identical, found.hints[0].name, found.metrics["max_abs_diff"].value
    (False, 'negative', 255.0)

    Raises:
        ImageError: one is no such picture, or their sizes differ; sizes are never adapted.
        UsageError: an option is none.
    """
    return compared(actual, expected, [], data_range=data_range, layout=layout, alpha=alpha)


def compared(actual: Any, expected: Any, limits: Sequence[Limit], **reading: Unpack[Reading]) -> Compared:
    """As ``compare``, judged by limits.

    Raises:
        ImageError: as for ``compare``.
        UsageError: as for ``compare``.
    """
    picture, other = held(actual, "actual", **reading), held(expected, "expected", **reading)
    if picture.pixels.shape != other.pixels.shape:
        (height, width, _), (other_height, other_width, _) = picture.pixels.shape, other.pixels.shape
        raise ImageError(
            f"the pictures differ in size: actual is {width} x {height} pixels, expected is {other_width} x "
            f"{other_height}. Make both with the same width and height; nothing is resized."
        )
    difference = None
    if picture.floats is not None and other.floats is not None:
        difference = float(np.abs(picture.floats - other.floats).max())
    return Compared(
        pair=compare_arrays("actual", picture.pixels, other.pixels, limits, (picture.read_as, other.read_as)),
        actual=picture.pixels,
        expected=other.pixels,
        float_diff=difference,
    )


def renderer() -> PicturesRenderer:
    """What shows pairs of pictures."""
    return cast("PicturesRenderer", plugins.load("render", "html"))


def shown_value(measurement: Measurement) -> str:
    """A measurement's value with its unit."""
    if measurement.value is None:
        return f"no value: {measurement.problem}"
    return f"{measurement.value:.6g} {measurement.unit}".strip()
