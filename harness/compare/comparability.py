"""Whether two runs began with the same: what differs is said in words, and no accuracy number is made of it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Literal

from harness.compare import models, ways
from harness.language import recordable, recorded
from harness.message import joined
from harness.records import NoiseMode, OnPurpose, calls_of
from harness.records.arguments import with_images
from harness.text import one_line

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from harness.records import (
        Case,
        CaseKey,
        Environment,
        Manifest,
        ModelDifference,
        ModelIdentity,
        Plan,
        Run,
        Sample,
        Schedule,
    )

_Field = Literal["width", "height", "steps", "guidance_scale", "pictures_per_case"]
_MUST_AGREE: tuple[_Field, ...] = ("width", "height", "steps", "guidance_scale", "pictures_per_case")

SCHEDULE_TOLERANCE = 1e-5
"""Largest difference in a scheduler's table, over the table's largest value: mathematical libraries of two machines
differ by about 1e-7 of it, another shift or another number of steps by far more than 1e-3."""


def differences(actual: Run, expected: Run, shared: list[CaseKey]) -> list[str]:
    """Everything that keeps two runs from being compared, in words; ``shared`` are the cases and seeds of both."""
    actual_side = recordable("the actual side was disturbed on purpose ({kind:s}); only harness calibrate reads it")
    expected_side = recordable("the expected side was disturbed on purpose ({kind:s}); only harness calibrate reads it")
    reasons = [*_perturbed(actual_side, actual), *_perturbed(expected_side, expected)]
    reasons += plan_differences(actual.plan, actual.model, expected, actual.plan.differs_in)
    meant = _differ_on_purpose(actual, expected)
    for call, key in calls_of(shared).items():
        actual_sample, expected_sample = actual.samples_of(key)[0], expected.samples_of(key)[0]
        reasons += noise_differences(call, actual_sample, expected_sample)
        # The scheduler and its code are files of the model; that the steps are as many is looked at above.
        reasons += [] if meant else _schedule_differences(call, actual_sample.schedule, expected_sample.schedule)
    return reasons


def _differ_on_purpose(actual: Run, expected: Run) -> bool:
    """Whether two runs differ on purpose, and so may have other schedules."""
    return bool(on_purpose(actual.plan, actual.model, expected))


def plan_differences(plan: Plan, model: ModelIdentity, expected: Run, meant: Container[OnPurpose] = ()) -> list[str]:
    """What keeps a plan from being compared with a run, in words; known before anything is run.

    ``meant`` is in what the two may differ.
    """
    reasons = setting_differences(plan, expected.plan, meant)
    if OnPurpose.MODEL not in meant and (unlike := model_difference(plan, model, expected)):
        reasons.append(models.barring(unlike))
    reasons += ways.barring(ways.differing(plan, model, expected), meant)
    return reasons + _device_noise(plan, expected.plan)


def input_differences(plan: Plan, model: ModelIdentity, expected: Run, meant: Container[OnPurpose] = ()) -> list[str]:
    """What differs, and is not ``meant`` to, in what goes into the pictures beside the noise, in words."""
    reasons = setting_differences(plan, expected.plan, meant)
    if OnPurpose.MODEL not in meant and (unlike := model_difference(plan, model, expected)):
        reasons.append(models.plain(unlike))
    return reasons + ways.barring(ways.differing(plan, model, expected), meant)


def model_difference(plan: Plan, model: ModelIdentity, expected: Run) -> ModelDifference | None:
    """In what a model differs from that of a run; None where pictures of either side were made outside the worker."""
    if NoiseMode.UNVERIFIED in {plan.noise, expected.plan.noise}:
        return None
    return models.model_difference(model, expected.model)


def setting_differences(plan: Plan, expected: Plan, meant: Container[OnPurpose] = ()) -> list[str]:
    """What differs, and is not ``meant`` to, in what the cases that both plans have are asked, in words."""
    reasons = [
        recorded(
            "{name:s}: actual {actual}, expected {expected}",
            name=name,
            actual=getattr(plan, name),
            expected=getattr(expected, name),
        )
        for name in _MUST_AGREE
        if getattr(plan, name) != getattr(expected, name)
    ]
    cases = {case.id: case for case in expected.cases}
    for case in (own for own in plan.cases if own.id in cases):
        if case.prompt != cases[case.id].prompt:
            reasons.append(recorded("the prompt of case {case:s} differs", case=case.id))
        if case.negative_prompt != cases[case.id].negative_prompt:
            reasons.append(recorded("the negative prompt of case {case:s} differs", case=case.id))
        sizes = plan.size_of(case), expected.size_of(cases[case.id])
        if sizes[0] != sizes[1] and (plan.width, plan.height) == (expected.width, expected.height):
            actual, other = (f"{width} x {height}" for width, height in sizes)
            reasons.append(
                recorded(
                    "the size of case {case:s} differs: actual {actual:s}, expected {expected:s}",
                    case=case.id,
                    actual=actual,
                    expected=other,
                )
            )
        counts = plan.pictures_of(case), expected.pictures_of(cases[case.id])
        if counts[0] != counts[1] and plan.pictures_per_case == expected.pictures_per_case:
            reasons.append(
                recorded(
                    "the number of images of case {case:s} differs: actual {actual:d}, expected {expected:d}",
                    case=case.id,
                    actual=counts[0],
                    expected=counts[1],
                )
            )
        if plan.input_digests.get(case.id) != expected.input_digests.get(case.id):
            reasons.append(recorded("the input picture of case {case:s} differs", case=case.id))
    return reasons if OnPurpose.ARGUMENTS in meant else reasons + argument_differences(plan, expected)


_MOST_ARGUMENTS = 10
"""Differing arguments that are named; one value for many cases is named once."""


def argument_differences(plan: Plan, expected: Plan) -> list[str]:
    """Arguments of the call with other values, for each the values of both sides, in words."""
    cases = {case.id: case for case in expected.cases}
    unlike: dict[tuple[str, str, str], list[str]] = {}
    for case in (own for own in plan.cases if own.id in cases):
        actual, other = comparable_arguments(plan, case), comparable_arguments(expected, cases[case.id])
        for name in sorted({*actual, *other}):
            if actual.get(name) != other.get(name):
                values = _written(actual, name), _written(other, name)
                unlike.setdefault((name, *values), []).append(case.id)
    differing = [
        recorded(
            "the argument {name:s}: actual {actual:s}, expected {expected:s} (case {cases:s})",
            name=name,
            actual=actual,
            expected=other,
            cases=", ".join(names),
        )
        for (name, actual, other), names in unlike.items()
    ]
    return differing[:_MOST_ARGUMENTS]


def comparable_arguments(plan: Plan, case: Case) -> dict[str, object]:
    """Arguments of the call for a case, with the digest of its pixels in the place of each image."""
    return {
        name: with_images(value, lambda written: {"image": plan.argument_digests.get(written, written)})
        for name, value in plan.arguments_of(case).items()
    }


def _written(arguments: Mapping[str, object], name: str) -> str:
    """A value as JSON, short; a word where the pipeline's own default stands."""
    return one_line(json.dumps(arguments[name], ensure_ascii=False), 80) if name in arguments else "default"


def differences_within(run: Run) -> list[str]:
    """Why the repeats of a run are none: it was disturbed, or their noise differs."""
    of_run = recordable("the run was disturbed on purpose ({kind:s}); only harness calibrate reads it")
    reasons = _perturbed(of_run, run)
    for call, key in calls_of(run.plan.keys).items():
        samples = run.samples_of(key)
        for sample in samples[1:]:
            if sample.noise_digest != samples[0].noise_digest:
                reasons.append(
                    recorded(
                        "{key}: {sample:s} had other noise than {first:s} ({noise:s} instead of {other:s})",
                        key=call,
                        sample=sample.label,
                        first=samples[0].label,
                        noise=_short(sample),
                        other=_short(samples[0]),
                    )
                )
                break
    return reasons


def _perturbed(sentence: str, run: Run) -> list[str]:
    return [] if run.plan.perturbation is None else [recorded(sentence, kind=run.plan.perturbation.kind)]


def _device_noise(actual: Plan, expected: Plan) -> list[str]:
    """A device's own noise is comparable only where the other side was given it from a baseline."""
    if NoiseMode.BASELINE in {actual.noise, expected.noise}:
        return []
    sides = (
        (
            recorded(
                "the actual side drew its noise on its own device; set noise: portable so that both sides get the same"
            ),
            actual,
        ),
        (
            recorded(
                "the expected side drew its noise on its own device; set noise: portable so that both sides get the "
                "same"
            ),
            expected,
        ),
    )
    return [side for side, plan in sides if plan.noise is NoiseMode.DEVICE]


def noise_differences(key: CaseKey, actual: Sample, expected: Sample) -> list[str]:
    """What differs in the noise of two samples, or is not known of it, in words."""
    reasons = []
    known = actual.noise_digest is not None and expected.noise_digest is not None
    if known and actual.noise_digest != expected.noise_digest:
        reasons.append(
            recorded(
                "{key}: the noise differs (actual {actual:s}, expected {expected:s})",
                key=key,
                actual=_short(actual),
                expected=_short(expected),
            )
        )
    if draws := joined(actual.hidden_draws):
        reasons.append(
            recorded("{key}: the actual side drew noise that is not known ({draws!s})", key=key, draws=draws)
        )
    if draws := joined(expected.hidden_draws):
        reasons.append(
            recorded("{key}: the expected side drew noise that is not known ({draws!s})", key=key, draws=draws)
        )
    return reasons


def _schedule_differences(key: CaseKey, actual: Schedule | None, expected: Schedule | None) -> list[str]:
    if actual is None or expected is None:
        return []  # an adapter that tells of no table, or a record from before it was kept
    tables = ((actual.timesteps, expected.timesteps), (actual.sigmas, expected.sigmas))
    if all(_agree(row, expected_row) for row, expected_row in tables):
        return []
    values = {"key": key, "actual": actual, "expected": expected}
    if not _agree(*tables[0]):
        return [
            recorded(
                "{key}: the scheduler's table differs in its timesteps (actual {actual}, expected {expected})", **values
            )
        ]
    return [
        recorded(
            "{key}: the scheduler's table differs in its noise levels (actual {actual}, expected {expected})", **values
        )
    ]


def _agree(actual: list[float], expected: list[float]) -> bool:
    if len(actual) != len(expected):
        return False
    scale = max(map(abs, expected), default=0.0)
    return all(
        math.isclose(value, other, rel_tol=0, abs_tol=SCHEDULE_TOLERANCE * scale)
        for value, other in zip(actual, expected, strict=True)
    )


def _short(sample: Sample) -> str:
    return (sample.noise_digest or "unverified")[:16]


# --- what a reader ought to know -------------------------------------------------------------------------------------


def on_purpose(plan: Plan, model: ModelIdentity, expected: Run) -> list[str]:
    """In what the two sides differ as the plan says that they do, with its reason, for a reader of every number."""
    sentences = []
    reason = plan.differs_in.get(OnPurpose.MODEL)
    if reason and (unlike := model_difference(plan, model, expected)):
        sentences.append(models.on_purpose(unlike, reason))
    reason = plan.differs_in.get(OnPurpose.ARGUMENTS)
    if reason and (differing := argument_differences(plan, expected.plan)):
        what = joined(differing)
        sentences.append(recorded("arguments differ on purpose ({reason!s}): {what!s}", reason=reason, what=what))
    return sentences + ways.on_purpose(ways.differing(plan, model, expected), plan.differs_in)


def differing(plan: Plan, model: ModelIdentity, expected: Run) -> list[OnPurpose]:
    """In what two runs differ, of all that a scenario may declare."""
    kinds = set(ways.differing(plan, model, expected))
    kinds |= {OnPurpose.MODEL} if model_difference(plan, model, expected) else set()
    kinds |= {OnPurpose.ARGUMENTS} if argument_differences(plan, expected.plan) else set()
    return [kind for kind in OnPurpose if kind in kinds]


def other_schedules(actual: Run, expected: Run, shared: list[CaseKey]) -> list[str]:
    """In what the scheduler's tables of sides that differ on purpose differ: the first case and seed, and how many."""
    if not _differ_on_purpose(actual, expected):
        return []
    first, *others = [
        difference
        for call, key in calls_of(shared).items()
        for difference in _schedule_differences(
            call, actual.samples_of(key)[0].schedule, expected.samples_of(key)[0].schedule
        )
    ] or [""]
    if others:
        return [recorded("{first!s} (and {count:d} more)", first=first, count=len(others))]
    return [first] if first else []


def torch_cpu(actual: Run, expected: Run) -> list[str]:
    """Whose noise is a stream that other builds of torch do not repeat, for a reader of a difference in noise."""
    if NoiseMode.TORCH_CPU not in {actual.plan.noise, expected.plan.noise}:
        return []
    return [
        recorded(
            "noise: torch_cpu depends on torch's version and instruction set; two sides are compared only where the "
            "digests of their noise agree"
        )
    ]


def unverified(actual: Run, expected: Run) -> list[str]:
    """What cannot be known of pictures that were made outside the worker, for a reader of every number."""
    sides = {"actual": actual, "expected": expected}
    outside = [word for word, run in sides.items() if run.plan.noise is NoiseMode.UNVERIFIED]
    if not outside:
        return []
    if len(outside) == len(sides):
        which = recorded("both sides")
    else:
        which = recorded("the actual side") if outside == ["actual"] else recorded("the expected side")
    return [
        recorded(
            "noise unverified: the pictures of {which} were made outside the worker, so a difference may come from "
            "other noise or another model",
            which=which,
        )
    ]


def unverified_within(run: Run) -> list[str]:
    """The same for the repeats of one run."""
    if run.plan.noise is not NoiseMode.UNVERIFIED:
        return []
    return [
        recorded(
            "noise unverified: the pictures were made outside the worker, so repeats that differ may have other noise"
        )
    ]


def baseline_notes(
    plan: Plan, manifest: Manifest, packages: Mapping[str, str], now: Environment | None = None
) -> list[str]:
    """In what a baseline differs from what it is compared with, in words; ``now`` is None before anything is run."""
    reasons = []
    if plan.scenario_digest != manifest.scenario_digest:
        reasons.append(
            recorded(
                "the scenario was edited since the baseline {name:s} was accepted; what a comparison rests on is the "
                "same",
                name=manifest.name,
            )
        )
    then = manifest.environment
    changed = _changed(then.packages, packages)
    if now is not None and now.backend == then.backend:
        changed += _changed({"device": then.device_name, **then.facts}, {"device": now.device_name, **now.facts})
    if changed:
        reasons.append(
            recorded(
                "the baseline {name:s} was made in another environment: {changes!s}",
                name=manifest.name,
                changes=joined(changed),
            )
        )
    return reasons


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    both = (name for name in then if name in now and then[name] != now[name])
    return [recorded("{name:s} {then}, now {now}", name=name, then=then[name], now=now[name]) for name in both]
