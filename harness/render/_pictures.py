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
from harness.render import _circumstances as circumstances
from harness.render import _tables as tables
from harness.render import _words as words
from harness.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
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
    left: int
    arrays: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    """Pictures of the current group that are on the page, by digest."""


@dataclass(frozen=True)
class _Made:
    """One distinct picture and everyone who made it."""

    run: Run
    sample: Sample
    makers: dict[str, tuple[list[Sample], int]]
    """Samples that made it and number of all samples, by arm."""


_Difference = tuple[str, str, str]
"""Digests of two pictures to hold against each other, and a title."""


def groups(report: Report, folder: Path, budget: int = BUDGET) -> list[Group]:
    """Pictures of every case and seed, the worst first, so that the budget goes where it is needed."""
    prompts = {case.id: printable(case.prompt) for run in report.runs for case in run.plan.cases}
    page = _Page(folder, budget)
    samples = [(run, tables.samples_by_key(run)) for run in report.runs]
    differences = _differences(report)
    found = []
    for status, key in _statuses(report, dict.fromkeys(key for _, by_key in samples for key in by_key)):
        made = _distinct([(run, by_key.get(key, [])) for run, by_key in samples])
        pictures = _pictures(made, differences.get(key, []), page)
        found.append(Group(str(key), prompts.get(key.case, ""), status, tuple(pictures)))
    return found


def _statuses(report: Report, keys: Iterable[CaseKey]) -> list[tuple[Status, CaseKey]]:
    """Each case and seed with its worst word, the worst first."""
    parts = [(comparison, tables.by_key(comparison)) for comparison in report.comparisons]
    found = []
    for key in keys:
        # Sides that cannot be compared have no pairs, and so no keys of their own; what they say holds for every key.
        about = [each.get(key, whole) for whole, each in parts if key in each or whole.differences]
        found.append((worst([tables.key_status(part, key) for part in about]) if about else Status.SKIPPED, key))
    return sorted(found, key=lambda each: (words.RANKS[each[0]], each[1].case, each[1].seed))


def _pictures(made: dict[str, _Made], differences: Iterable[_Difference], page: _Page) -> Iterator[Picture]:
    page.arrays.clear()
    for each in made.values():
        yield _stored(each, page)
    for left, right, title in differences:
        if left in page.arrays and right in page.arrays:
            yield _difference(page.arrays[left], page.arrays[right], title, page)


def _distinct(samples: Iterable[tuple[Run, list[Sample]]]) -> dict[str, _Made]:
    found: dict[str, _Made] = {}
    for run, made_by_run in samples:
        for sample in made_by_run:
            made = found.setdefault(sample.image.digest, _Made(run, sample, {}))
            made.makers.setdefault(circumstances.name_of(run), ([], len(made_by_run)))[0].append(sample)
    return found


def _stored(made: _Made, page: _Page) -> Picture:
    image = made.sample.image
    title = " and ".join(made.makers)
    lines = [_maker(arm, samples, total) for arm, (samples, total) in made.makers.items()]
    if len(lines) == 1:
        lines = [lines[0].removeprefix(f"{title}: ")]
    height, width = (*image.shape, 0, 0)[:2]
    link = f"../{quote_url(f'{made.run.plan.arm.name}/{image.path}')}"
    source, problem = _embedded(made.run, image, page)
    if source or not problem:
        return Picture(title, tuple(lines), source, link, "", width, height)
    shown = link if problem.startswith("linked") else ""
    return Picture(title, tuple(lines), "", shown, problem, width, height)


def _maker(arm: str, samples: list[Sample], total: int) -> str:
    labels = [sample.label for sample in samples]
    shown = ", ".join(labels[:_MOST_LABELS]) + (" …" if len(labels) > _MOST_LABELS else "")
    outcomes = len({sample.outcome for sample in samples})
    unlike = f"; {outcomes} outcomes: float output or latents differ" if outcomes > 1 else ""
    return f"{arm}: {len(samples)} of {words.count(total, 'run')} ({shown}){unlike}"


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


def _differences(report: Report) -> dict[CaseKey, list[_Difference]]:
    """For each case and seed, the pictures that were compared and are not the same; each two pictures once."""
    found: dict[CaseKey, dict[frozenset[str], _Difference]] = {}
    for comparison in report.comparisons:
        arms = tables.arm_of(comparison.actual), tables.arm_of(comparison.expected)
        for pair, left, right in tables.sides_of(report, comparison):
            both = frozenset((left.image.digest, right.image.digest))
            if len(both) > 1:
                title = f"{arms[0]} {left.label} against {arms[1]} {right.label}"
                found.setdefault(pair.key, {}).setdefault(both, (left.image.digest, right.image.digest, title))
    return {key: list(each.values()) for key, each in found.items()}


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
