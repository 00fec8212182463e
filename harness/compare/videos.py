"""Whole videos: which frames differ, by the digests of all of them, and how the sides flicker against each other."""

from __future__ import annotations

from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING

import numpy as np

from harness import plugins
from harness.images import read_kept
from harness.language import recorded
from harness.records import Flicker, Measurement, VideoDifference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.records import Run, Sample

FLICKER_SPEC = "flicker:rms-over-pixels-and-channels:difference-of-frame-to-frame-changes:levels-of-255:kept-neighbours"
"""``rms((A[t] - A[t-1]) - (B[t] - B[t-1]))`` of 8-bit frames A of the actual and B of the expected side, in levels."""


_Side = tuple["Run", "Path", "Sample"]
"""A run, its folder, and a video of it."""


def video_difference(actual: _Side, expected: _Side) -> VideoDifference:
    """Where two videos of one call differ; frames are read one after the other."""
    (run, folder, sample), (other_run, other_folder, other) = actual, expected
    frames, others = kept_frames(run, sample), kept_frames(other_run, other)
    digests = list(zip_longest(_digests(frames), _digests(others)))
    kept = [number for number in frames if number in others]
    return VideoDifference(
        frames=len(digests),
        kept=kept,
        differing=[number for number, (one, two) in enumerate(digests, 1) if one != two],
        flicker=list(_flicker(folder, other_folder, [(number, frames[number], others[number]) for number in kept])),
        spec=FLICKER_SPEC,
    )


def kept_frames(run: Run, video: Sample) -> dict[int, Sample]:
    """The stored frames of a video, by their numbers."""
    return {
        sample.key.frame: sample
        for sample in run.samples
        if sample.key.frame and (sample.key.call, sample.label) == (video.key.call, video.label)
    }


def identical_videos(difference: VideoDifference) -> Measurement:
    """The metric ``identical`` of whole videos: over all frames by their digests, stored or not."""
    differing = difference.differing
    metric = plugins.load("metrics", "identical")
    where = recorded("frame {frame:d} is the first that differs", frame=differing[0]) if differing else ""
    return Measurement(
        metric="identical",
        subject="image",
        value=0.0 if differing else 1.0,
        unit=metric.UNIT,
        better=metric.BETTER,
        spec=f"{metric.SPEC}:all-frames-by-digest",
        where=where,
    )


def _digests(kept: dict[int, Sample]) -> list[str]:
    """Digests of all frames, which stand with the first one that is stored."""
    return next((sample.video.frames for sample in kept.values() if sample.video), [])


def _flicker(folder: Path, other_folder: Path, kept: Sequence[tuple[int, Sample, Sample]]) -> Iterator[Flicker]:
    """For each two neighbouring frames that both sides stored; no more than two frames of a side are in memory."""
    last: tuple[int, NDArray[np.float32]] | None = None
    numbers = [number for number, _, _ in kept]
    neighbours = {number for two in pairwise(numbers) if two[1] == two[0] + 1 for number in two}
    for number, sample, other in kept:
        if number not in neighbours:
            continue
        actual, expected = read_kept(folder, sample.image), read_kept(other_folder, other.image)
        # The change of A less that of B is the change of A - B.
        difference = actual.astype(np.float32) - expected.astype(np.float32)
        if last and last[0] == number - 1:
            change = (difference - last[1]).astype(np.float64)
            yield Flicker(frame=number, rms=float(np.sqrt(np.mean(np.square(change)))))
        last = number, difference
