"""Faults planted into healthy pictures: limits under which one of them passes are not worth writing down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.compare.comparator import StoredRun, conversion, measure
from harness.compare.gates import keeps
from harness.images import read_kept
from harness.records import CaseKey, Detection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from harness.contracts import Subject
    from harness.records import Limit, Sample

    Arrays = dict[Subject, NDArray[Any]]
    Spoilt = Iterator[tuple[str, Arrays]]

BLOCK = 16
"""Side of the corrupt tile in pixels."""


def detections(limits: Sequence[Limit], healthy: StoredRun, reference: StoredRun) -> list[Detection]:
    """Plant every fault into every case and seed of a healthy run, and let the limits judge the result.

    A fault counts as seen on a picture when at least one limit breaks there.
    """
    return [
        _detection(fault, plant, limits, healthy, reference)
        for fault, plant in (
            ("other_noise", _other_noise),
            ("corrupt_tile", _corrupt_tile),
            ("truncation", _truncation),
        )
    ]


def _detection(
    fault: str,
    plant: Callable[[CaseKey, StoredRun], Spoilt],
    limits: Sequence[Limit],
    healthy: StoredRun,
    reference: StoredRun,
) -> Detection:
    count, caught, missed = 0, set[str](), []
    for key in reference.run.plan.keys:
        expected = _arrays(reference, key)
        for place, actual in plant(key, healthy):
            broken = _broken(limits, actual, expected)
            caught.update(broken)
            count += 1
            if not broken:
                missed.append(f"{key}{place}")
    order = [limit.rule for limit in limits]
    about = " ".join((plant.__doc__ or "").split())
    return Detection(fault=fault, about=about, planted=count, caught_by=sorted(caught, key=order.index), missed=missed)


def _broken(limits: Sequence[Limit], actual: Arrays, expected: Arrays) -> list[str]:
    broken = []
    for limit in limits:
        if limit.subject in actual and limit.subject in expected:
            (measurement,) = measure(
                actual[limit.subject], expected[limit.subject], subject=limit.subject, metrics=[limit.metric]
            )
            broken += [] if keeps(measurement, limit) else [limit.rule]
    return broken


def _arrays(stored: StoredRun, key: CaseKey) -> Arrays:
    """What limits can judge of the first sample of a case and seed."""
    sample: Sample = stored.run.samples_of(key)[0]
    arrays: Arrays = {"image": read_kept(stored.folder, sample.image)}
    if sample.float_image:
        arrays["float_image"] = read_kept(stored.folder, sample.float_image)
        arrays["conversion"] = conversion(arrays["image"], arrays["float_image"])
    if sample.latents:
        arrays["latents"] = read_kept(stored.folder, sample.latents)
    return arrays


def _with_picture(healthy: Arrays, picture: NDArray[np.uint8]) -> Arrays:
    changed = healthy | {"image": picture}
    if "float_image" in healthy:
        changed["conversion"] = conversion(picture, healthy["float_image"])
    return changed


# --- the faults: a place in words, and all that a limit can judge, for each spoilt picture ---------------------------


def _other_noise(key: CaseKey, healthy: StoredRun) -> Spoilt:
    """The picture of the same prompt from other noise."""
    seeds = healthy.run.plan.seeds
    other = seeds[(seeds.index(key.seed) + 1) % len(seeds)]
    yield f" from the noise of seed {other}", _arrays(healthy, key.model_copy(update={"seed": other}))


def _corrupt_tile(key: CaseKey, healthy: StoredRun) -> Spoilt:
    """A block of 16 x 16 random pixels in the 8-bit picture, in its corners, at its edges and in its middle."""
    arrays = _arrays(healthy, key)
    picture = arrays["image"]
    noise = _random_bytes(key.seed, BLOCK * BLOCK * 3).reshape(BLOCK, BLOCK, 3)
    tops, lefts = ((0, (side - BLOCK) // 2, side - BLOCK) for side in picture.shape[:2])
    for top in tops:
        for left in lefts:
            spoilt = picture.copy()
            spoilt[top : top + BLOCK, left : left + BLOCK] = noise
            yield f" at x={left} y={top}", _with_picture(arrays, spoilt)


def _truncation(key: CaseKey, healthy: StoredRun) -> Spoilt:
    """Decimals cut off in the conversion to 8 bits, where rounding is expected."""
    arrays = _arrays(healthy, key)
    if "float_image" in arrays:
        levels = np.clip((arrays["float_image"].astype(np.float64) + 1) * 127.5, 0, 255)
        cut = np.floor(levels).astype(np.uint8)
    else:  # without decimals to cut, every other value at random is lowered by the level that cutting would take
        picture = arrays["image"]
        lowered = _random_bytes(key.seed, picture.size).reshape(picture.shape) & 1
        cut = picture - np.minimum(picture, lowered)
    yield "", _with_picture(arrays, cut)


def _random_bytes(seed: int, count: int) -> NDArray[np.uint8]:
    """Bytes of a Philox stream, the same on every machine."""
    numbers = np.random.Philox(key=seed).random_raw(count // 8 + 1)
    return numbers.astype("<u8").view(np.uint8)[:count]
