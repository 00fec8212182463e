"""The answer of ``harness explain``, from what workers measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import plugins
from harness.explain.causes import causes, table_causes, without_power, wrong_constants
from harness.explain.inputs import input_checks
from harness.explain.places import LIMIT, culprits, innocents, missing
from harness.language import recordable, recorded
from harness.records.explanation import Explanation, InputKind, Proof, ProofWord, Trouble
from harness.records.investigation import Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.records import CaseKey
    from harness.records.explanation import Cause, Culprit, InputCheck, WrongConstant
    from harness.records.investigation import Forced, Gap, OperatorCheck, OperatorError, Swapped, Trace, Tried

_SHOWN = 20


def explained(scenario: str, key: CaseKey | None, trace: Trace | None, forced: Forced, *tried: Tried) -> Explanation:
    """What the measurements say; a proof and the next commands are added by whoever makes them."""
    checks = input_checks(trace, forced) if trace else []
    comparable = not any(check.different_count for check in checks if check.kind is InputKind.SCHEDULE)
    wrong = culprits(trace, forced) if trace and comparable else []
    known, constants = causes(trace, forced, tried, wrong), wrong_constants(forced)
    if trace and not comparable:
        known = table_causes(trace, forced)
    trouble = _trouble(trace, forced, checks, wrong, known, constants)
    follow = innocents(trace, forced) if trace else []
    return Explanation(
        scenario=scenario,
        arm=forced.arm,
        against=trace.arm if trace else None,
        key=key,
        dtype=forced.dtype,
        devices={forced.arm: forced.backend} | ({trace.arm: trace.backend} if trace else {}),
        simulated=[side.arm for side in (forced, trace) if side and side.simulated],
        trouble=trouble,
        message=_message(trouble, checks, wrong, known, constants),
        checks=checks,
        culprits=wrong,
        innocent=follow[:_SHOWN],
        innocent_count=len(follow),
        places=sum(errors.forced is not None for errors in forced.errors),
        missing=missing(trace, forced)[:_SHOWN] if trace and comparable else [],
        additional=forced.additional[:_SHOWN],
        not_finite=forced.not_finite,
        proof=None,
        causes=known,
        tried=len(plugins.names("hypotheses")),
        without_power=without_power(forced.fits),
        constants=forced.constants,
        wrong_constants=constants,
        gap=forced.first_gap,
        floor=trace.end_to_end if trace else None,
        trace_bytes=trace.tensors_bytes if trace else 0,
        pictures={side.arm: side.seconds / side.picture_seconds for side in (trace, forced) if side},
    )


def _trouble(  # noqa: PLR0911, PLR0913, PLR0917 - the kinds of trouble, one after the other
    trace: Trace | None,
    forced: Forced,
    checks: Sequence[InputCheck],
    wrong: Sequence[Culprit],
    known: Sequence[Cause],
    constants: Sequence[WrongConstant],
) -> Trouble:
    if _changed_by_looking(trace, forced):
        return Trouble.LOOKING
    if any(check.different_count for check in checks if check.kind is not InputKind.WHOLE_NUMBERS):
        return Trouble.INPUTS
    if wrong:
        return Trouble.PLACE
    repeats = forced.untraced_outcomes[:1] == [forced.outcome]
    if trace is not None and repeats and forced.outcome == trace.outcome:
        return Trouble.EQUAL
    if constants or any(cause.probed or cause.coefficient is not None or cause.residual is not None for cause in known):
        return Trouble.CAUSE
    if forced.outcome is None:
        return Trouble.FORCED_ALONE
    if trace is None:
        return Trouble.NOTHING
    if not repeats:
        return Trouble.NOT_REPEATABLE
    return Trouble.STATE if trace.end_to_end and _differs(forced.first_gap, trace.end_to_end) else Trouble.ROUNDING


def _changed_by_looking(trace: Trace | None, forced: Forced) -> bool:
    """Whether a watched picture has other bytes than two unwatched ones that are equal."""
    if trace is not None and not trace.changes_nothing:
        return True
    if not forced.untraced_outcomes:
        return False
    one, *others = forced.untraced_outcomes
    repeats = bool(others) and others[0] == one
    return repeats and forced.second_outcome not in {None, one}


def _differs(gap: Gap | None, floor: Gap) -> bool:
    return gap is not None and gap.finest > LIMIT * floor.finest


def _message(
    trouble: Trouble,
    checks: Sequence[InputCheck],
    wrong: Sequence[Culprit],
    known: Sequence[Cause],
    constants: Sequence[WrongConstant],
) -> str:
    if trouble is Trouble.INPUTS:
        first = next(check for check in checks if check.different_count)
        return recorded(_INPUTS[first.kind], count=first.different_count, name=first.different[0])
    if trouble is Trouble.PLACE:
        return _of_place(wrong[0])
    if trouble is Trouble.CAUSE:
        return (
            recorded("{path:s}: {cause}", path=known[0].path, cause=known[0].sentence)
            if known
            else constants[0].sentence
        )
    return recorded(_MESSAGES[trouble])


def _of_place(culprit: Culprit) -> str:
    values = {
        "path": culprit.path,
        "step": culprit.place.step,
        "ratio": culprit.ratio,
        "error": culprit.error,
        "floor": culprit.floor,
    }
    if culprit.place.side is Side.OUTPUT:
        return recorded(
            "{path:s} is the first that is wrong by itself: error {error:.3g}, floor {floor:.3g}, {ratio:.3g} times "
            "the floor at step {step:d}",
            **values,
        )
    return recorded(
        "{path:s} is the first that is wrong by itself, in {value:s} of {target:s}: error {error:.3g}, floor "
        "{floor:.3g}, {ratio:.3g} times the floor at step {step:d}",
        value=culprit.value or "-",
        target=culprit.place.path,
        **values,
    )


def with_operators(explanation: Explanation, check: OperatorCheck) -> Explanation:
    """The explanation with the operators that were looked at, and a sentence about the first that is wrong."""
    notes = [_of_operator(error) for error in (check.wrong or check.changing)[:1]]
    return explanation.model_copy(update={"operators": check, "notes": [*explanation.notes, *notes]})


def _of_operator(wrong: OperatorError) -> str:
    if wrong.floor is None:
        return recorded(
            "the first operator that gives two results for the same inputs is {name:s}, called by {path:s}: they are "
            "{error:.3g} apart",
            name=wrong.name,
            path=wrong.path,
            error=wrong.error,
        )
    return recorded(
        "the first operator that is wrong there is {name:s}: error {error:.3g}, floor {floor:.3g}, {ratio:.3g} times "
        "the floor",
        name=wrong.name,
        error=wrong.error,
        floor=wrong.floor,
        ratio=wrong.ratio,
    )


def proven(
    explanation: Explanation, patched: Swapped, injected: Swapped, untouched: Swapped | None = None
) -> Explanation:
    """The explanation with the result of both swaps.

    ``patched`` has the reference's values at every place that was named: where it is right, nothing else is wrong.
    ``injected`` has in the reference what the first of them alone gave for the reference's values: what merely
    follows gives the same as the reference then, so that a wrong name is never proven. ``untouched`` is the picture
    that ``injected`` is the change of: where another machine made the reference, it has to be the reference's to
    rounding, else the change shows nothing.
    """
    if explanation.gap is None or explanation.floor is None:
        return explanation
    gap, floor = explanation.gap, explanation.floor
    limit = LIMIT * floor.finest
    goes = patched.gap.finest <= limit
    away = untouched is not None and untouched.gap.finest > limit
    comes = injected.replaced > 0 and injected.gap.finest > limit and not away
    word = ProofWord.PROVEN if goes and comes else ProofWord.UNDECIDED
    proof = Proof(
        word=word,
        paths=swapped_paths(explanation),
        gap=gap,
        patched=patched.gap,
        injected=injected.gap,
        floor=floor,
    )
    return explanation.model_copy(update={"proof": proof})


def unproven(explanation: Explanation) -> Explanation:
    """The explanation where no swap was made: the result does not differ enough, or nobody asked."""
    if explanation.gap is None or explanation.floor is None or not explanation.culprits:
        return explanation
    small = not _differs(explanation.gap, explanation.floor)
    proof = Proof(
        word=ProofWord.TOO_SMALL if small else ProofWord.NOT_TRIED,
        paths=swapped_paths(explanation),
        gap=explanation.gap,
        floor=explanation.floor,
    )
    return explanation.model_copy(update={"proof": proof})


def swapped_paths(explanation: Explanation) -> list[str]:
    """What a swap replaces, each once."""
    return list(dict.fromkeys(culprit.place.path for culprit in explanation.culprits))


def worth_a_swap(explanation: Explanation) -> bool:
    """Whether a swap can show anything: a place is named, and the result differs by more than rounding."""
    if explanation.trouble is not Trouble.PLACE or explanation.floor is None:
        return False
    return _differs(explanation.gap, explanation.floor)


_INPUTS = {
    InputKind.WEIGHTS: recordable("{count:d} weights differ, first {name:s}; nothing behind them can be equal"),
    InputKind.SETTINGS: recordable("{count:d} settings differ, first {name:s}"),
    InputKind.NOISE: recordable("{count:d} random draws differ, first {name:s}; the pictures do not begin alike"),
    InputKind.SCHEDULE: recordable(
        "the scheduler's tables differ in {count:d} values, first {name:s}; the pictures are not comparable"
    ),
    InputKind.WHOLE_NUMBERS: recordable("{count:d} whole numbers differ, first {name:s}"),
}

_MESSAGES = {
    Trouble.EQUAL: recordable("the results are equal byte for byte"),
    Trouble.ROUNDING: recordable("no module or function is above its floor; the results differ by rounding alone"),
    Trouble.STATE: recordable(
        "the result differs, and every module and function is right when it gets the reference's values: look for "
        "state that is kept between steps or pictures, such as a cache, for aliasing, or for a race"
    ),
    Trouble.NOT_REPEATABLE: recordable(
        "the candidate's own pictures differ from each other, and every module and function is right when it gets the "
        "reference's values: look for a race, a first call that differs, or state that is kept between pictures"
    ),
    Trouble.LOOKING: recordable("a watched picture has other bytes than an unwatched one, so no module is named"),
    Trouble.NOTHING: recordable("no known cause was found in modules with a formula"),
    Trouble.FORCED_ALONE: recordable(
        "every module and function that was seen is right when it gets the reference's values; what the script made "
        "was not compared"
    ),
}
