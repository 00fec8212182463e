"""Two stored runs, or one run against itself, become a comparison: structure first, then digests, then numbers."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import plugins, readings
from harness.compare import comparability
from harness.compare.appearance import appearance
from harness.compare.fitness import noise_for_images, unfit_images
from harness.compare.hints import explained
from harness.compare.hints.pictures import Pictures
from harness.compare.repetition import repetition
from harness.compare.traces import step_differences, trace_differences
from harness.compare.videos import identical_videos, video_difference
from harness.contracts import DATA_RANGE
from harness.errors import ImageError, RunError, UndefinedMetric
from harness.images import read_kept
from harness.message import of_error
from harness.progress import counted
from harness.records import (
    Acceptance,
    CaseKey,
    Comparison,
    Measurement,
    NoiseMode,
    OtherNoise,
    Pair,
    RunRef,
    Scope,
    SwitchMode,
    calls_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.contracts import Metric, Subject
    from harness.records import Arm, Limit, Manifest, Run, Sample


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """A run and the folder its files are in."""

    run: Run
    folder: Path
    manifest: Manifest | None = None
    """Where the run is an accepted baseline, what was accepted."""


def compare_repeats(stored: StoredRun, *, limits: list[Limit], base: Path) -> Comparison:
    """Compare all samples of each case and seed with the first of them.

    Metrics are measured between distinct outcomes only: equal digests need no arithmetic. Paths in the comparison are
    relative to ``base``.
    """
    run = stored.run
    keys = [key for key in run.plan.keys if run.samples_of(key)]
    what = f"comparing the repeats of {run.plan.arm.name}"
    pairs = [pair for key in counted(keys, what, len(keys), "cases and seeds") for pair in _repeat_pairs(stored, key)]
    videos = {call: of_call for call in calls_of(keys) if (of_call := run.videos_of(call))}
    pairs += [pair for of_call in videos.values() for pair in repeated_videos(stored, of_call)]
    return Comparison(
        scope=Scope.REPEAT,
        scenario=run.plan.scenario,
        actual=_ref(stored, base),
        expected=_ref(stored, base),
        limits=[limit for limit in limits if limit.scope is Scope.REPEAT],
        repetitions=[
            *(repetition(call, of_call) for call, of_call in videos.items()),
            *(repetition(key, run.samples_of(key)) for key in keys),
        ],
        pairs=pairs,
        missing=[key for key in run.plan.keys if key not in keys],
        differences=comparability.differences_within(run),
        notes=comparability.unverified_within(run),
        failures=run.failures,
        unfit=unfit_images(run, stored.folder),
        waivers=[waiver for waiver in run.plan.waivers if waiver.scope is Scope.REPEAT],
    )


def compare_runs(
    actual: StoredRun, expected: StoredRun, *, limits: list[Limit], base: Path, others: Sequence[StoredRun] = ()
) -> Comparison:
    """Compare a candidate with a reference, case by case and seed by seed, each by its first sample.

    Of a baseline with several accepted outcomes the one that is nearest to the candidate's picture is taken.
    ``others`` are runs of arms that a limit with ``ratio_to`` divides by; they are compared with the same reference.
    """
    wanted, present = (
        {key: samples for key in stored.run.plan.keys if (samples := stored.run.samples_of(key))}
        for stored in (expected, actual)
    )
    shared = [key for key in wanted if key in present]
    missing = [key for key in expected.run.plan.keys if key not in present]
    differences = comparability.differences(actual.run, expected.run, shared)
    notes = comparability.on_purpose(actual.run.plan, actual.run.model, expected.run)
    notes += comparability.other_schedules(actual.run, expected.run, shared)
    notes += comparability.torch_cpu(actual.run, expected.run)
    notes += comparability.unverified(actual.run, expected.run)
    if expected.manifest is not None:
        now = actual.run.environment
        notes += comparability.baseline_notes(actual.run.plan, expected.manifest, now.packages if now else {}, now)
    compared = [] if differences else shared
    what = f"comparing {actual.run.plan.arm.name} with {expected.run.plan.arm.name}"
    pairs = [
        _nearest(key, actual, present[key][0], expected) for key in counted(compared, what, len(compared), "pairs")
    ]
    pairs += [pair for call in calls_of(compared) for pair in compared_videos(call, actual, expected)]
    return Comparison(
        scope=Scope.REFERENCE,
        scenario=actual.run.plan.scenario,
        actual=_ref(actual, base),
        expected=_ref(expected, base),
        limits=[limit for limit in limits if limit.scope is Scope.REFERENCE],
        pairs=pairs,
        other_noise=other_noise(expected, [key for key in wanted if key in compared]),
        missing=missing,
        unexpected=[key for key in actual.run.plan.keys if key not in wanted and key not in missing],
        differences=differences,
        model=comparability.model_difference(actual.run.plan, actual.run.model, expected.run),
        differing=comparability.differing(actual.run.plan, actual.run.model, expected.run),
        differs_in=actual.run.plan.differs_in,
        notes=notes,
        failures=[*actual.run.failures, *expected.run.failures],
        unfit=[
            *(unfit for side in (actual, expected) for unfit in unfit_images(side.run, side.folder)),
            *noise_for_images(actual.run, pairs),
        ],
        yardsticks=[
            compare_runs(other, expected, limits=[], base=base).model_copy(update={"other_noise": []})
            for other in others
        ],
        waivers=[waiver for waiver in actual.run.plan.waivers if waiver.scope is Scope.REFERENCE],
    )


def compare_samples(actual: StoredRun, expected: StoredRun) -> list[Pair]:
    """Compare every sample of a run with the first one of each case and seed of another; for calibration only.

    Disturbed runs are welcome. A sample is not compared with itself, so a run with itself gives its repeats.

    Raises:
        RunError: inputs or noise differ, so that the pairs would say nothing about rounding.
    """
    differences = comparability.plan_differences(actual.run.plan, actual.run.model, expected.run)
    for sample, first in _against_first(actual, expected):
        differences += comparability.noise_differences(sample.key, sample, first)
    if differences:
        raise RunError(f"{actual.run.id} cannot be compared with {expected.run.id}: {'; '.join(differences[:3])}.")
    samples = _against_first(actual, expected)
    what = f"comparing {actual.run.plan.arm.name} with {expected.run.plan.arm.name}"
    return [
        _pair(actual_sample.key, actual, actual_sample, expected, expected_sample)
        for actual_sample, expected_sample in counted(samples, what, len(samples), "pairs")
    ]


def sample_steps(actual: StoredRun, expected: StoredRun) -> list[list[float]]:
    """Relative difference after each denoising step, for the pairs of ``compare_samples``."""
    return [step_differences(*pair) for pair in _against_first(actual, expected)]


def _against_first(actual: StoredRun, expected: StoredRun) -> list[tuple[Sample, Sample]]:
    """Every sample of a run, and the first of its case and seed in the other, unless it is the very same."""
    return [
        (sample, first)
        for key in expected.run.plan.keys
        for first in expected.run.samples_of(key)[:1]
        for sample in actual.run.samples_of(key)
        if (actual.folder, sample.label) != (expected.folder, first.label)
    ]


def measure(actual: NDArray[Any], expected: NDArray[Any], *, subject: Subject, metrics: list[str]) -> list[Measurement]:
    """All metrics that are defined on a subject, for two arrays of equal shape and dtype.

    Raises:
        ImageError: shape or dtype differ; sizes are never adapted.
    """
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        raise ImageError(
            f"the pictures differ in form: actual is {actual.dtype}{list(actual.shape)}, expected is "
            f"{expected.dtype}{list(expected.shape)}; only equal sizes and types are compared."
        )
    chosen = {name: metric for name in metrics if subject in (metric := _metric(name)).SUBJECTS}
    actual_array, expected_array = _fixed(actual), _fixed(expected)
    if actual_array.base == expected_array.base:
        return [_equal(name, metric, subject) for name, metric in chosen.items()]
    return [_measured(name, metric, subject, actual_array, expected_array) for name, metric in chosen.items()]


def _fixed(array: NDArray[Any]) -> NDArray[Any]:
    """The array on ``bytes``, which nobody can change in place, so that metrics may remember what they share."""
    base: object = array.base
    if isinstance(base, bytes) and len(base) == array.nbytes and array.flags.c_contiguous:
        return array
    return np.ndarray(array.shape, array.dtype, array.tobytes())


@cache
def _metric(name: str) -> Metric:
    """Looking a part up reads folders; for a small picture that would take longer than to measure it."""
    return plugins.load("metrics", name)


def _equal(name: str, metric: Metric, subject: Subject) -> Measurement:
    return Measurement(
        metric=name, subject=subject, value=metric.IDENTICAL, unit=metric.UNIT, better=metric.BETTER, spec=metric.SPEC
    )


def _measured(name: str, metric: Metric, subject: Subject, actual: NDArray[Any], expected: NDArray[Any]) -> Measurement:
    blank = _equal(name, metric, subject)
    try:
        result = metric.measure(actual, expected, data_range=DATA_RANGE.get(subject, math.nan))
    except UndefinedMetric as error:
        return blank.model_copy(update={"value": None, "problem": of_error(error)})
    return blank.model_copy(update={"value": result.value, "parts": dict(result.parts), "where": result.where})


def _repeat_pairs(stored: StoredRun, key: CaseKey) -> list[Pair]:
    """The first sample against the first of each other outcome; against its next repeat when all are equal."""
    samples = stored.run.samples_of(key)
    firsts: dict[str, Sample] = {}
    for sample in samples:
        firsts.setdefault(sample.outcome, sample)
    first, *others = firsts.values()
    if not others:
        others = samples[1:2]
    return [_pair(key, stored, other, stored, first) for other in others]


def _nearest(key: CaseKey, actual: StoredRun, sample: Sample, expected: StoredRun) -> Pair:
    """The pair with the first sample, or of a baseline with the accepted outcome that is nearest to the picture."""
    outcomes = expected.run.samples_of(key)
    if expected.manifest is None or len(outcomes) == 1:
        return _pair(key, actual, sample, expected, outcomes[0])
    order = [outcome.outcome for outcome in outcomes]
    if sample.outcome in order:
        chosen = order.index(sample.outcome)
    else:
        picture = read_kept(actual.folder, sample.image)
        pictures = [read_kept(expected.folder, outcome.image) for outcome in outcomes]
        distances = [measure(picture, other, subject="image", metrics=["mse"])[0].value for other in pictures]
        chosen = min(range(len(outcomes)), key=lambda number: distances[number] or 0.0)
    pair = _pair(key, actual, sample, expected, outcomes[chosen])
    number, count = chosen + 1, len(outcomes)
    accepted = {"accepted": f"{number} of {count}", "accepted_outcome": number, "accepted_outcomes": count}
    return pair.model_copy(update=accepted)


def missing_baseline(actual: StoredRun, expected: Arm, why: str, *, limits: list[Limit], base: Path) -> Comparison:
    """What stands in the place of a comparison with a baseline that is not there."""
    plan = actual.run.plan
    nothing = RunRef(
        id=f"{plan.scenario}/{expected.name}",
        path="",
        arm=expected.name,
        device=expected.device,
        device_name="not made here",
        simulated=False,
        dtype=expected.dtype or plan.model.dtype,
        noise=expected.noise or NoiseMode.PORTABLE,
        switches=expected.switches or SwitchMode.DETERMINISTIC,
    )
    return Comparison(
        scope=Scope.REFERENCE,
        scenario=plan.scenario,
        actual=_ref(actual, base),
        expected=nothing,
        limits=[limit for limit in limits if limit.scope is Scope.REFERENCE],
        pairs=[],
        missing=plan.keys,
        missing_baseline=why,
        failures=actual.run.failures,
    )


def other_noise(stored: StoredRun, keys: Sequence[CaseKey]) -> list[OtherNoise]:
    """What images of one case differ by that began with other noise: each seed against the next of its case.

    Of calls that make several images each is compared with the one of its number.

    Only the metrics that readings of "within 1 %" are made of are measured.
    """
    neighbours = pairwise(sorted(keys, key=_case_image_and_seed))
    pairs = [(key, other) for key, other in neighbours if key.model_copy(update={"seed": other.seed}) == other]
    what = f"comparing other noise of {stored.run.plan.arm.name}"
    return [
        OtherNoise(key=key, other_seed=other.seed, measurements=_between(stored, key, other))
        for key, other in counted(pairs, what, len(pairs), "pairs")
    ]


def _case_image_and_seed(key: CaseKey) -> tuple[str, int, int]:
    return key.case, key.image or key.frame or 0, key.seed


def _between(stored: StoredRun, key: CaseKey, other: CaseKey) -> list[Measurement]:
    samples = [stored.run.samples_of(one)[0] for one in (key, other)]
    return _measurements((stored, samples[0]), (stored, samples[1]), list(readings.METRICS))[1]


_Side = tuple[StoredRun, "Sample"]


def _measurements(
    actual: _Side, expected: _Side, metrics: list[str]
) -> tuple[tuple[NDArray[Any], NDArray[Any]], list[Measurement]]:
    """The 8-bit pictures of two samples, and the metrics of everything that both sides have."""
    (run, sample), (other_run, other) = actual, expected
    pictures = read_kept(run.folder, sample.image), read_kept(other_run.folder, other.image)
    measurements = measure(*pictures, subject="image", metrics=metrics)
    if sample.float_image and other.float_image:
        floats = read_kept(run.folder, sample.float_image), read_kept(other_run.folder, other.float_image)
        measurements += measure(*floats, subject="float_image", metrics=metrics)
        conversions = [conversion(*arrays) for arrays in zip(pictures, floats, strict=True)]
        measurements += measure(*conversions, subject="conversion", metrics=metrics)
    if sample.latents and other.latents:
        latents = read_kept(run.folder, sample.latents), read_kept(other_run.folder, other.latents)
        measurements += measure(*latents, subject="latents", metrics=metrics)
    return pictures, measurements


def _pair(key: CaseKey, actual: StoredRun, sample: Sample, expected: StoredRun, other: Sample) -> Pair:
    pictures, measurements = _measurements((actual, sample), (expected, other), plugins.names("metrics"))
    looked_at = Pictures(*pictures)
    equal = sample.image.digest == other.image.digest
    return Pair(
        key=key,
        actual=sample.label,
        expected=other.label,
        identical=sample.outcome == other.outcome,
        first_differing_step=first_differing_step(sample, other),
        traces=trace_differences(sample, other),
        hints=[] if equal else explained(looked_at),
        appearance=appearance(measurements, None if equal else looked_at.structure),
        measurements=measurements,
    )


def compared_videos(call: CaseKey, actual: StoredRun, expected: StoredRun) -> list[Pair]:
    """The first video of a call with the first one of the other side, or with an accepted one that is equal to it."""
    videos, others = actual.run.videos_of(call), expected.run.videos_of(call)
    if not videos or not others:
        return []
    equal = [other for other in others if other.outcome == videos[0].outcome]
    return [_video_pair(actual, videos[0], expected, (equal or others)[0])]


def repeated_videos(stored: StoredRun, videos: Sequence[Sample]) -> list[Pair]:
    """The first video against the first of each other outcome; against its next repeat when all are equal."""
    firsts: dict[str, Sample] = {}
    for video in videos:
        firsts.setdefault(video.outcome, video)
    first, *others = firsts.values()
    return [_video_pair(stored, other, stored, first) for other in others or videos[1:2]]


def _video_pair(actual: StoredRun, sample: Sample, expected: StoredRun, other: Sample) -> Pair:
    """All frames by their digests, and the latents of the whole videos by metrics."""
    difference = video_difference((actual.run, actual.folder, sample), (expected.run, expected.folder, other))
    measurements = [identical_videos(difference)]
    if sample.latents and other.latents:
        latents = read_kept(actual.folder, sample.latents), read_kept(expected.folder, other.latents)
        measurements += measure(*latents, subject="latents", metrics=plugins.names("metrics"))
    return Pair(
        key=sample.key,
        actual=sample.label,
        expected=other.label,
        identical=sample.outcome == other.outcome,
        first_differing_step=first_differing_step(sample, other),
        measurements=measurements,
        video=difference,
    )


def conversion(picture: NDArray[Any], float_image: NDArray[Any]) -> NDArray[np.float32]:
    """What the step from the float output to 8 bits added, float32[H, W, 3] in levels.

    Rounding adds -0.5 to 0.5, zero on the mean; cutting off decimals adds -1 to 0. How far the picture itself is from
    another one plays no part, so a biased conversion shows in half precision as well.

    >>> conversion(np.array([[[128, 127, 255]]], np.uint8), np.array([[[0.0, 0.0, 2.0]]], np.float32)).tolist()
    [[[0.5, -0.5, 0.0]]]
    """
    levels = np.clip((float_image.astype(np.float64) + 1) * 127.5, 0, 255)
    return (picture - levels).astype(np.float32)


def first_differing_step(actual: Sample, expected: Sample) -> int | None:
    """First denoising step, from 1, whose latents differ; None when all that were kept are equal."""
    steps = zip(actual.per_step, expected.per_step, strict=False)
    return next((number for number, (step, other) in enumerate(steps, 1) if step.digest != other.digest), None)


def _acceptance(manifest: Manifest) -> Acceptance:
    return Acceptance(who=manifest.who, why=manifest.why, accepted_utc=manifest.accepted_utc)


def _ref(stored: StoredRun, base: Path) -> RunRef:
    run = stored.run
    environment = run.environment
    return RunRef(
        id=run.id,
        path=os.path.relpath(stored.folder, base),
        arm=run.plan.arm.name,
        device=environment.device if environment else f"{run.backend}:{run.device_index}",
        device_name=environment.device_name if environment else "unknown",
        simulated=environment.simulated if environment else False,
        dtype=run.plan.model.dtype,
        noise=run.plan.noise,
        switches=run.plan.switches,
        npu_ops=environment.npu_ops if environment else None,
        backend=run.backend,
        baseline=stored.manifest.digest if stored.manifest else None,
        acceptance=_acceptance(stored.manifest) if stored.manifest else None,
    )
