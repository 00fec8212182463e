"""Which images of a stored run are not fit to be compared: they show nothing, or one answers several questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.compare.comparability import comparable_arguments
from harness.compare.hints.failed import ONLY_NOISE
from harness.fitness import shows_nothing
from harness.images import read_kept
from harness.language import recorded
from harness.records import Unfit, Unfitness, json_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from harness.records import Case, CaseKey, Pair, Plan, Run, Sample


def unfit_images(run: Run, folder: Path) -> list[Unfit]:
    """Every image of a run that shows nothing, or that is the image of another question too; waived ones are left out.

    Raises:
        RecordError: an image cannot be read any more.
    """
    cases = {case.id: case for case in run.plan.cases}
    unfits = [*_flat(run, folder), *_shared(run)]
    return [unfit for unfit in unfits if unfit.kind not in (cases[unfit.key.case].expect or {})]


def noise_for_images(run: Run, pairs: Sequence[Pair]) -> list[Unfit]:
    """Every image that is nothing but noise where the reference's is not; those that a case expects are left out."""
    cases = {case.id: case for case in run.plan.cases}
    return [
        Unfit(
            key=pair.key,
            arm=run.plan.arm.name,
            sample=pair.actual,
            kind=Unfitness.NOISE,
            message=recorded(
                "the image of {key} ({sample:s}) is nothing but noise, and the reference's is not",
                key=pair.key,
                sample=pair.actual,
            ),
        )
        for pair in pairs
        if Unfitness.NOISE not in (cases[pair.key.case].expect or {})
        and any(hint.name == ONLY_NOISE for hint in pair.hints)
    ]


def _flat(run: Run, folder: Path) -> Iterator[Unfit]:
    for sample in _distinct(run.samples):
        if why := shows_nothing(read_kept(folder, sample.image)):
            message = recorded(
                "the image of {key} ({sample:s}) shows nothing: {why}", key=sample.key, sample=sample.label, why=why
            )
            yield _unfit(run, sample, Unfitness.FLAT, message)


def _shared(run: Run) -> Iterator[Unfit]:
    """Equal images of cases and seeds that asked for different ones, and of one call, whose images never are equal."""
    makers: dict[str, list[Sample]] = {}
    for sample in _distinct(run.samples):
        makers.setdefault(sample.image.digest, []).append(sample)
    for samples in makers.values():
        first, *others = samples
        for other in others:
            if _question(run.plan, other.key) != _question(run.plan, first.key):
                message = (
                    recorded(
                        "{key} and {other} are the same image, byte for byte, though each image of a call begins with "
                        "noise of its own",
                        key=first.key,
                        other=other.key,
                    )
                    if first.key.call == other.key.call
                    else recorded(
                        "{key} and {other} gave the same image, byte for byte, though they ask for different ones",
                        key=first.key,
                        other=other.key,
                    )
                )
                yield _unfit(run, other, Unfitness.SAME_IMAGE, message)


def _question(plan: Plan, key: CaseKey) -> tuple[object, ...]:
    """What decides about an image beside the model."""
    case: Case = next(case for case in plan.cases if case.id == key.case)
    arguments = json_digest(comparable_arguments(plan, case))
    inputs = plan.input_digests.get(case.id), arguments, plan.size_of(case)
    return case.prompt, case.negative_prompt, *inputs, key.seed, key.image


def _distinct(samples: Sequence[Sample]) -> list[Sample]:
    """The first sample with each image of each case and seed."""
    firsts: dict[tuple[CaseKey, str], Sample] = {}
    for sample in samples:
        firsts.setdefault((sample.key, sample.image.digest), sample)
    return list(firsts.values())


def _unfit(run: Run, sample: Sample, kind: Unfitness, message: str) -> Unfit:
    return Unfit(key=sample.key, arm=run.plan.arm.name, sample=sample.label, kind=kind, message=message)
