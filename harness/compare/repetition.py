"""What N samples that ought to be the same say about determinism."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import recorded
from harness.records import Outcome, Repetition, Status

if TYPE_CHECKING:
    from harness.records import CaseKey, Sample

_TWO_MODES = 2


def bound_95(runs: int) -> float:
    """Largest rate of differing runs that ``runs`` identical ones do not exclude at 95 %: ``1 - 0.05 ** (1 / runs)``.

    >>> round(bound_95(3), 3), round(bound_95(59), 3)
    (0.632, 0.05)
    """
    return float(1 - 0.05 ** (1 / runs))


def repetition(key: CaseKey, samples: list[Sample]) -> Repetition:
    """Count the distinct outcomes among samples sorted by process and repeat; at least one sample."""
    outcomes: dict[str, list[Sample]] = {}
    for sample in samples:
        outcomes.setdefault(sample.outcome, []).append(sample)
    return Repetition(
        key=key,
        runs=len(samples),
        processes=len({sample.process for sample in samples}),
        outcomes=[
            Outcome(
                digest=digest,
                image_digest=members[0].image.digest,
                samples=[member.label for member in members],
            )
            for digest, members in outcomes.items()
        ],
        bound_95=bound_95(len(samples)),
        status=_status(samples, outcomes),
        pattern=_pattern(samples, outcomes),
    )


def _status(samples: list[Sample], outcomes: dict[str, list[Sample]]) -> Status:
    if len(outcomes) > 1:
        return Status.UNSTABLE
    return Status.IDENTICAL if len(samples) > 1 else Status.SKIPPED


def _pattern(samples: list[Sample], outcomes: dict[str, list[Sample]]) -> str:
    """How the outcomes lie among processes and repeats; the cause is often the axis that separates them."""
    if len(outcomes) == 1:
        if len(samples) > 1:
            return recorded("all runs gave the same bytes")
        return recorded("one run only: nothing was repeated")
    pattern = _arrangement(samples, list(outcomes))
    if len({members[0].image.digest for members in outcomes.values()}) > 1:
        return pattern
    return recorded("{pattern} although the 8-bit pictures are the same", pattern=pattern)


def _arrangement(samples: list[Sample], outcomes: list[str]) -> str:
    """The arrangement of several outcomes."""
    count = len(outcomes)
    if count == len(samples):
        return recorded("every one of {runs:d} runs gave another outcome", runs=len(samples))
    if _same_in_each_process(samples):
        return recorded("{count:d} outcomes, each process repeats its own: what differs is the process", count=count)
    if _one_turn(samples):
        turn = next(sample for sample in samples if sample.outcome != samples[0].outcome)
        return recorded(
            "{count:d} outcomes: the result changes within a process, first at {sample:s}, and does not go back",
            count=count,
            sample=turn.label,
        )
    if count == _TWO_MODES:
        first = sum(sample.outcome == outcomes[0] for sample in samples)
        return recorded(
            "2 outcomes, {first:d} and {second:d} times, in no order: two modes",
            first=first,
            second=len(samples) - first,
        )
    return recorded("{count:d} outcomes in {runs:d} runs, in no order", count=count, runs=len(samples))


def _by_process(samples: list[Sample]) -> list[list[Sample]]:
    processes: dict[int, list[Sample]] = {}
    for sample in samples:
        processes.setdefault(sample.process, []).append(sample)
    return list(processes.values())


def _same_in_each_process(samples: list[Sample]) -> bool:
    """No process changes its result, and at least one had the chance to."""
    processes = _by_process(samples)
    repeated = any(len(members) > 1 for members in processes)
    return repeated and all(len({sample.outcome for sample in members}) == 1 for members in processes)


def _one_turn(samples: list[Sample]) -> bool:
    """Every process begins with the first outcome and never returns to it after leaving it."""
    first = samples[0].outcome
    for members in _by_process(samples):
        left = [sample.outcome != first for sample in members]
        if left[0] or left != sorted(left):
            return False
    return True
