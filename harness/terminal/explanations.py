"""What ``harness explain`` prints: the answer, the first wrong places, the causes, and the page to open."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from harness.records.explanation import ProofWord
from harness.records.investigation import Side
from harness.terminal.console import new_table, print_line, print_rich, print_sentence, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.records.explanation import Cause, Culprit, Explanation, Proof
    from harness.records.investigation import OperatorCheck

_SHOWN = 5

_PROOFS = {
    ProofWord.PROVEN: "proven by swap",
    ProofWord.UNDECIDED: "undecided: the two swaps do not agree",
    ProofWord.TOO_SMALL: "not to be proven by swap: the results differ by no more than rounding",
    ProofWord.NOT_TRIED: "no swap was made",
}


def show_explanation(explanation: Explanation) -> None:
    """The tables and sentences, the answer last."""
    _table_of_checks(explanation)
    if explanation.culprits:
        _table_of_places(explanation)
    for line in _lines(explanation):
        print_sentence(line)
    if explanation.simulated:
        print_sentence(f"SIMULATED: a stand-in library plays the device of {', '.join(explanation.simulated)}")
    status = explanation.trouble.status.value.replace("_", " ").upper()
    print_line(f"{status}: {explanation.message}.")


def _table_of_checks(explanation: Explanation) -> None:
    if not explanation.checks:
        return
    table = new_table("equal bit for bit", "compared", "different", "first")
    for check in explanation.checks:
        first = check.different[0] if check.different else ""
        name = check.kind.value.replace("_", " ")
        table.add_row(name, str(check.compared), str(check.different_count), shown(first, sys.stdout))
    print_rich(table)


def _table_of_places(explanation: Explanation) -> None:
    table = new_table("wrong", "seen in", "step", "error", "floor", "ratio")
    for culprit in explanation.culprits[:_SHOWN]:
        cells = (
            culprit.path,
            _seen(culprit),
            str(culprit.place.step),
            f"{culprit.error:.2e}",
            f"{culprit.floor:.2e}",
            f"{culprit.ratio:.3g}",
        )
        table.add_row(*(shown(cell, sys.stdout) for cell in cells))
    print_rich(table)


def _seen(culprit: Culprit) -> str:
    side = "leaves" if culprit.place.side is Side.OUTPUT else "enters"
    return f"what {side} {culprit.place.path}" + (f": {culprit.value}" if culprit.value else "")


def _lines(explanation: Explanation) -> Iterator[str]:
    if (left := len(explanation.culprits) - _SHOWN) > 0:
        yield f"{left} more wrong places are in the record"
    if explanation.innocent_count:
        yield f"innocent: {explanation.innocent_count} modules and functions differ only because of what reached them"
    if explanation.proof is not None:
        yield _proof(explanation.proof)
    if explanation.operators is not None:
        yield _operators(explanation.operators)
    for cause in explanation.causes[:_SHOWN]:
        yield f"cause: {cause.path}: {cause.sentence} ({_evidence(cause)})"
    for wrong in explanation.wrong_constants:
        yield f"cause: {wrong.sentence}"
    if explanation.culprits and not explanation.causes and not explanation.wrong_constants:
        yield f"cause: not among {explanation.tried} known ones"
    if explanation.without_power:
        yield f"no power on these inputs: {', '.join(explanation.without_power)}"
    if explanation.not_finite is not None:
        yield f"not a number, first seen in what leaves {explanation.not_finite.path}"


def _evidence(cause: Cause) -> str:
    if cause.coefficient is not None:
        where = ", on inputs made to show it" if cause.probed else ""
        return f"coefficient {cause.coefficient:.3f} +- {cause.standard_error:.3f}{where}"
    if cause.probed:
        return "on inputs made to show it"
    if cause.residual is None:
        return "from how the pictures repeat"
    left = f"left over {cause.residual:.2e}, without it {cause.without:.2e}"
    return (
        left if cause.estimate is None else f"{left}; estimate {cause.estimate:.6g} +- {cause.standard_error or 0:.2g}"
    )


def _operators(check: OperatorCheck) -> str:
    where = f" of {check.path}" if check.path else ""
    left = f"; not looked at: {', '.join(check.unchecked)}" if check.unchecked else ""
    if check.wrong:
        wrong = check.wrong[0]
        return (
            f"operator: {wrong.name}, called by {wrong.path}: error {wrong.error:.2e}, floor {wrong.floor:.2e}, "
            f"{wrong.ratio:.3g} times the floor{left}"
        )
    if check.changing:
        wrong = check.changing[0]
        return f"operator: {wrong.name}, called by {wrong.path}, gives two results for the same inputs{left}"
    said = "is far from the CPU in float64" if check.against_cpu else "gives two results for the same inputs"
    return f"operator: none of {check.checked} calls{where} {said}{left}"


def _proof(proof: Proof) -> str:
    if proof.patched is None or proof.injected is None:
        return _PROOFS[proof.word]
    return (
        f"{_PROOFS[proof.word]}: relative L2 {proof.gap.finest:.2e}, with the reference's values "
        f"{proof.patched.finest:.2e}; the reference with what the candidate gave at the first place "
        f"{proof.injected.finest:.2e}; floor {proof.floor.finest:.2e}"
    )
