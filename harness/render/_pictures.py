"""Pictures for the page: each distinct one once, embedded while the budget lasts, linked beyond it.

A picture is only embedded when the file below the job folder holds exactly what its record names.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote as quote_url

from harness.errors import ImageError
from harness.records import Status, worst
from harness.render import _tables as tables
from harness.render import _words as words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from harness.records import ArrayRef, CaseKey, Report, Run, Sample

BUDGET = 8_000_000
"""Most bytes of the page that pictures may take; what comes after it is linked."""

_BRIGHTEST = 255
_MOST_LABELS = 8


@dataclass(frozen=True)
class Picture:
    """One picture of the page, or the reason why it is not there."""

    title: str
    lines: tuple[str, ...]
    """Who made it, in words."""
    source: str = ""
    """Data URI; empty when the picture is not embedded."""
    link: str = ""
    """Address beside the report; empty when there is no file."""
    problem: str = ""
    """Why nothing is embedded."""
    width: int = 0
    height: int = 0
    difference: bool = False


@dataclass(frozen=True)
class Group:
    """All distinct pictures of one case and seed."""

    title: str
    prompt: str
    status: Status
    pictures: tuple[Picture, ...]


@dataclass
class _Page:
    """What has been used up so far while the page is put together."""

    folder: Path
    left: int = BUDGET
    arrays: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    """Pictures of the current group that are on the page, by digest."""


@dataclass(frozen=True)
class _Made:
    """One distinct picture and everyone who made it."""

    run: Run
    sample: Sample
    makers: dict[str, list[Sample]]
    """Samples that made it, by arm."""


def groups(report: Report, folder: Path) -> list[Group]:
    """Pictures of every case and seed, the worst first, so that the budget goes where it is needed."""
    prompts = {case.id: case.prompt for run in report.runs for case in run.plan.cases}
    page = _Page(folder)
    return [
        Group(str(key), prompts.get(key.case, ""), status, tuple(_pictures(report, key, page)))
        for status, key in sorted(_keys(report), key=lambda each: (words.RANKS[each[0]], each[1].case, each[1].seed))
    ]


def _keys(report: Report) -> list[tuple[Status, CaseKey]]:
    keys = dict.fromkeys(sample.key for run in report.runs for sample in run.samples)
    return [(_status(report, key), key) for key in keys]


def _status(report: Report, key: CaseKey) -> Status:
    found = [tables.key_status(each, key) for each in report.comparisons if key in tables.keys_of(each)]
    return worst(found) if found else Status.SKIPPED


def _pictures(report: Report, key: CaseKey, page: _Page) -> Iterator[Picture]:
    page.arrays.clear()
    distinct = _distinct(report, key)
    for made in distinct.values():
        yield _stored(report, made, page)
    for left, right, title in _differences(report, key):
        if left in page.arrays and right in page.arrays:
            yield _difference(page.arrays[left], page.arrays[right], title, page)


def _distinct(report: Report, key: CaseKey) -> dict[str, _Made]:
    found: dict[str, _Made] = {}
    for run in report.runs:
        for sample in run.samples_of(key):
            made = found.setdefault(sample.image.digest, _Made(run, sample, {}))
            made.makers.setdefault(run.plan.arm.name, []).append(sample)
    return found


def _stored(report: Report, made: _Made, page: _Page) -> Picture:
    image = made.sample.image
    title = " and ".join(made.makers)
    lines = [_maker(report, made.sample.key, arm, samples) for arm, samples in made.makers.items()]
    if len(lines) == 1:
        lines = [lines[0].removeprefix(f"{title}: ")]
    height, width = (*image.shape, 0, 0)[:2]
    link = f"../{quote_url(f'{made.run.plan.arm.name}/{image.path}')}"
    source, problem = _embedded(made.run, image, page)
    if source or not problem:
        return Picture(title, tuple(lines), source, link, "", width, height)
    shown = link if problem.startswith("linked") else ""
    return Picture(title, tuple(lines), "", shown, problem, width, height)


def _maker(report: Report, key: CaseKey, arm: str, samples: list[Sample]) -> str:
    run = next(run for run in report.runs if run.plan.arm.name == arm)
    labels = [sample.label for sample in samples]
    shown = ", ".join(labels[:_MOST_LABELS]) + (" …" if len(labels) > _MOST_LABELS else "")
    outcomes = len({sample.outcome for sample in samples})
    unlike = f"; {outcomes} outcomes: float output or latents differ" if outcomes > 1 else ""
    return f"{arm}: {len(samples)} of {words.count(len(run.samples_of(key)), 'run')} ({shown}){unlike}"


def _embedded(run: Run, image: ArrayRef, page: _Page) -> tuple[str, str]:
    """Data URI of a stored picture, or an empty one and the reason."""
    from harness.images import array_digest, read_picture

    path = page.folder / run.plan.arm.name / image.path
    if not path.resolve().is_relative_to(page.folder.resolve()):
        return "", "not shown: the record names a file outside the job folder"
    if not path.is_file():
        return "", "not shown: the file is no longer in the job folder"
    if _in_base64(path.stat().st_size) > page.left:
        return "", "linked: the page's budget for pictures is used up"
    try:
        array = read_picture(path)
    except ImageError:
        return "", "not shown: the file cannot be read as a picture"
    if array_digest(array) != image.digest:
        return "", "not shown: the file does not hold the picture that the record names"
    page.arrays[image.digest] = array
    return _data_uri(path.read_bytes(), page), ""


def _differences(report: Report, key: CaseKey) -> Iterator[tuple[str, str, str]]:
    """Digests of the pictures to hold against each other, with a title; each two pictures once."""
    seen: set[frozenset[str]] = set()
    for comparison in report.comparisons:
        actual, expected = (tables.run_of(report, side) for side in (comparison.actual, comparison.expected))
        for pair in comparison.pairs:
            left = tables.sample_of(actual, key, pair.actual)
            right = tables.sample_of(expected, key, pair.expected)
            if pair.key != key or not left or not right:
                continue
            digests = frozenset((left.image.digest, right.image.digest))
            if len(digests) > 1 and digests not in seen:
                seen.add(digests)
                title = f"{comparison.actual.arm} {left.label} against {comparison.expected.arm} {right.label}"
                yield left.image.digest, right.image.digest, title


def _difference(actual: NDArray[np.uint8], expected: NDArray[np.uint8], title: str, page: _Page) -> Picture:
    """The largest absolute difference of the three channels, amplified so that the largest of all is white."""
    import io

    import numpy as np
    from PIL import Image

    if actual.shape != expected.shape:
        return Picture(f"Difference: {title}", (), problem="not drawn: the two pictures have different sizes")
    difference = np.abs(actual.astype(np.int16) - expected.astype(np.int16)).max(axis=2)
    largest = int(difference.max())
    factor = _BRIGHTEST // max(largest, 1)
    encoded = io.BytesIO()
    Image.fromarray((difference * factor).astype(np.uint8)).save(encoded, format="PNG", compress_level=9)
    lines = (f"absolute difference, amplified {factor} times; the largest is {largest} of {_BRIGHTEST}",)
    height, width = difference.shape
    if _in_base64(len(encoded.getvalue())) > page.left:
        return Picture(f"Difference: {title}", lines, problem="not drawn: the page's budget for pictures is used up")
    source = _data_uri(encoded.getvalue(), page)
    return Picture(f"Difference: {title}", lines, source, width=width, height=height, difference=True)


def _data_uri(png: bytes, page: _Page) -> str:
    page.left -= _in_base64(len(png))
    return "data:image/png;base64," + b64encode(png).decode("ascii")


def _in_base64(count: int) -> int:
    return (count + 2) // 3 * 4
