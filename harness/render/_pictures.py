"""Pictures for the page: embedded whole while the budget lasts, then as thumbnails with a link, then as links alone.

A picture is only embedded when the file below the job folder holds exactly what its record names.
"""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING
from urllib.parse import quote as quote_url

from harness.errors import ImageError
from harness.language import many, say
from harness.render import _maps as maps
from harness.render import _provenance as provenance

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from harness.records import ArrayRef, Run, Sample

BUDGET = 8_000_000
"""Most bytes of the page that whole pictures and maps may take."""

THUMBNAIL_BUDGET = 600_000
"""Most bytes of the page that thumbnails may take."""

THUMBNAIL_SIDE = 96
"""Pixels along the longer side of a thumbnail."""

_MOST_LABELS = 8
_WEBP_SIDE = 16_383
"""Most pixels along a side of a WebP picture."""
_LOSSLESS = {"lossless": True, "quality": 50, "method": 2}
"""Smaller than PNG, and quick; for a picture without loss ``quality`` is the effort."""
_LOSSY = {"quality": 75, "method": 4}


@dataclass(frozen=True)
class Picture:
    """One picture of the page, or the reason why it is not there."""

    title: str
    lines: tuple[str, ...] = ()
    """Who made it, in words."""
    source: str = ""
    """Data URI; empty when nothing is embedded."""
    link: str = ""
    """Address beside the report; empty when there is no file."""
    problem: str = ""
    """Why nothing is embedded."""
    width: int = 0
    height: int = 0
    thumbnail: bool = False
    """Whether what is embedded is smaller than the picture."""
    digest: str = ""
    """Which stored picture it is; empty for maps and cuttings."""


@dataclass(frozen=True)
class Made:
    """One distinct picture and everyone who made it."""

    run: Run
    sample: Sample
    makers: dict[str, tuple[list[Sample], int]]
    """Samples that made it and number of all samples, by arm."""


@dataclass
class Album:
    """What is embedded, and what is left of the budgets."""

    folder: Path
    left: int = BUDGET
    left_for_thumbnails: int = THUMBNAIL_BUDGET
    _arrays: dict[str, NDArray[np.uint8] | str] = field(default_factory=dict)
    """Pictures of the current case, or why they cannot be shown, by digest."""

    def turn(self) -> None:
        """Forget the pictures that were read: another case begins."""
        self._arrays.clear()

    def read(self, run: Run, image: ArrayRef) -> NDArray[np.uint8] | str:
        """A stored picture, or the reason why it cannot be shown."""
        if image.digest not in self._arrays:
            self._arrays[image.digest] = _read(self.folder, run, image)
        return self._arrays[image.digest]

    @property
    def open(self) -> bool:
        """Whether anything more can be embedded."""
        return self.left > 0 or self.left_for_thumbnails > 0

    def embed(self, titled: Sequence[tuple[str, NDArray[np.uint8]]]) -> list[Picture] | None:
        """All these pictures whole; None, and nothing whole for anyone after it, when the budget does not suffice."""
        if not self.left:
            return None
        pictures = [_picture(title, array, **_LOSSLESS) for title, array in titled]
        size = sum(len(picture.source) for picture in pictures)
        if size > self.left:
            self.left = 0
            return None
        self.left -= size
        return pictures

    def thumbnail(self, title: str, small: NDArray[np.uint8], *, exact: bool = False) -> Picture | None:
        """A small picture to be recognized by, or with ``exact`` to be read; None when their budget is used up."""
        if not self.left_for_thumbnails:
            return None
        picture = _picture(title, small, **_LOSSLESS if exact else _LOSSY)
        self.left_for_thumbnails = max(self.left_for_thumbnails - len(picture.source), 0)
        return replace(picture, thumbnail=True)

    def place(self, title: str, run: Run, image: ArrayRef, *, whole: bool) -> Picture:
        """A stored picture as it is shown: whole where that is wanted and the budget allows it."""
        if problem := _no_file(self.folder, run, image):
            return Picture(title, problem=problem)
        link = link_to(run, image)
        # Reading and checking takes far longer than writing a link, and there may be thousands.
        array = self.read(run, image) if (whole and self.left) or self.left_for_thumbnails else None
        if isinstance(array, str):
            return Picture(title, problem=array)
        if array is not None and whole and (pictures := self.embed([(title, array)])):
            return replace(pictures[0], link=link, digest=image.digest)
        if array is not None and (small := self.thumbnail(title, maps.small(array, THUMBNAIL_SIDE))):
            return replace(small, link=link, digest=image.digest)
        problem = say("linked: the page's budget for pictures is used up")
        return Picture(title, link=link, problem=problem, digest=image.digest)


def distinct(samples: Iterable[tuple[Run, list[Sample]]]) -> dict[str, Made]:
    """Each distinct picture of a case and seed by its digest, with everyone who made it."""
    by_digest: dict[str, Made] = {}
    for run, made_by_run in samples:
        for sample in made_by_run:
            made = by_digest.setdefault(sample.image.digest, Made(run, sample, {}))
            made.makers.setdefault(provenance.name_of(run), ([], len(made_by_run)))[0].append(sample)
    return by_digest


def stored(made: Made, album: Album, *, whole: bool) -> Picture:
    """A distinct picture with the names of those who made it."""
    runs = [_runs(samples, total) for samples, total in made.makers.values()]
    if len(runs) > 1:
        runs = [say("{arm}: {runs}", arm=arm, runs=amount) for arm, amount in zip(made.makers, runs, strict=True)]
    return replace(album.place(listed(made.makers), made.run, made.sample.image, whole=whole), lines=tuple(runs))


def listed(things: Iterable[str]) -> str:
    """Several things in words, such as ``a and b``."""
    return reduce(lambda some, one: say("{some} and {one}", some=some, one=one), things)


def link_to(run: Run, image: ArrayRef) -> str:
    """Address of a picture's file for a page one folder below the job folder."""
    return f"../{quote_url(f'{run.plan.arm.name}/{image.path}')}"


def _runs(samples: list[Sample], total: int) -> str:
    """Which of all runs of an arm these are."""
    labels = [sample.label for sample in samples]
    shown = ", ".join(labels[:_MOST_LABELS]) + (" …" if len(labels) > _MOST_LABELS else "")
    outcomes = len({sample.outcome for sample in samples})
    made = len(samples)
    runs = many("{made} of {count} run ({shown})", "{made} of {count} runs ({shown})", total, made=made, shown=shown)
    unlike = say("{runs}; {outcomes} outcomes: float output or latents differ", runs=runs, outcomes=outcomes)
    return unlike if outcomes > 1 else runs


def _read(folder: Path, run: Run, image: ArrayRef) -> NDArray[np.uint8] | str:
    from harness.images import array_digest, read_picture

    if problem := _no_file(folder, run, image):
        return problem
    try:
        array = read_picture(folder / run.plan.arm.name / image.path)
    except ImageError:
        return say("not shown: the file cannot be read as a picture")
    if array_digest(array) != image.digest:
        return say("not shown: the file does not hold the picture that the record names")
    return array


def _no_file(folder: Path, run: Run, image: ArrayRef) -> str:
    path = folder / run.plan.arm.name / image.path
    if not path.resolve().is_relative_to(folder.resolve()):
        return say("not shown: the record names a file outside the job folder")
    return "" if path.is_file() else say("not shown: the file is no longer in the job folder")


def _picture(title: str, array: NDArray[np.uint8], **options: int) -> Picture:
    """The picture as WebP, which was smaller than PNG for every kind looked at; as PNG where WebP has no room."""
    import numpy as np
    from PIL import Image

    height, width, _ = array.shape
    encoded = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(array))
    if max(height, width) > _WEBP_SIDE:
        kind = "png"
        image.save(encoded, format="PNG")
    else:
        kind = "webp"
        image.save(encoded, format="WEBP", **options)
    source = f"data:image/{kind};base64,{b64encode(encoded.getvalue()).decode('ascii')}"
    return Picture(title, source=source, width=width, height=height)
