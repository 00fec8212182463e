"""Whether both sides of an explanation answer the same question; anything else is refused before a picture is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.compare.comparability import argument_differences, setting_differences
from harness.errors import UsageError
from harness.language import recorded

if TYPE_CHECKING:
    from harness.records import CaseKey, Plan
    from harness.records.investigation import Trace


def require_asked_alike(plan: Plan, other: Plan) -> None:
    """Refuse arms that are called with different arguments.

    Raises:
        UsageError: says in which.
    """
    if differing := argument_differences(plan, other):
        raise UsageError(
            f"{plan.arm.name} and {other.arm.name} are not called alike: {'; '.join(map(str, differing))}. explain "
            "needs the same question on both sides. Give both arms the same arguments."
        )


def require_same_question(plan: Plan, key: CaseKey, trace: Trace) -> None:
    """Refuse a trace of another case, seed, size, step count, type or noise.

    Raises:
        UsageError: says what differs, and the command that traces what is needed.
    """
    if differing := _differences(plan, key, trace):
        raise UsageError(
            f"the trace of {trace.arm} answers another question: {'; '.join(map(str, differing))}. Trace what is asked "
            f"here, on the machine of the reference: harness run SCENARIO --arm {trace.arm} --trace --case {key.case} "
            f"--seed {key.seed}"
        )


def _differences(plan: Plan, key: CaseKey, trace: Trace) -> list[str]:
    pairs: list[tuple[str, str, str]] = [("dtype", plan.model.dtype, trace.dtype)]
    if trace.plan is None or trace.key is None:  # a script has no case, and says what it is in its tensors alone
        pairs.append(("steps", str(plan.steps), str(trace.steps)))
        return _unequal(pairs)
    pairs += [
        ("case", key.case, trace.key.case),
        ("seed", str(key.seed), str(trace.key.seed)),
        ("noise", plan.noise.value, trace.plan.noise.value),
    ]
    return [*_unequal(pairs), *setting_differences(plan, trace.plan)]


def _unequal(pairs: list[tuple[str, str, str]]) -> list[str]:
    return [
        recorded("{name:s}: actual {actual:s}, expected {expected:s}", name=name, actual=actual, expected=expected)
        for name, actual, expected in pairs
        if actual != expected
    ]
