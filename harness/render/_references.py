"""What a CPU reference is, what a difference to it means, and at which intermediate tensors two arms part."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.language import many, marked, say
from harness.records import PADDED_ROWS, REAL_ROWS, NoiseMode, NpuOps
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render._document import code, figure, plain, quote, table
from harness.render._format import running
from harness.render._labels import term
from harness.render._lookup import name_of, run_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.records import Comparison, Pair, Report, Run, TraceDifference
    from harness.render._document import Table

_FUSED = {NpuOps.NATIVE, NpuOps.REFERENCE}
"""Answers that make libraries call the fused operators; with any other they take their plain formulas."""

_REFERENCES = {
    NpuOps.REFERENCE: marked(
        "{arm} is a CPU reference: the harness's CPU kernels answered the fused operators of torch_npu, so libraries "
        "took the branches that they choose because torch_npu is installed, as on the card."
    ),
    NpuOps.HIDDEN: marked("{arm} is a CPU reference: torch_npu was hidden, so libraries took their plain formulas."),
    NpuOps.ABSENT: marked(
        "{arm} is a CPU reference: torch_npu is not installed there, so libraries took their plain formulas."
    ),
}

_FUSED_ALONE = marked(
    "{arm} took the branches with fused operators, so a difference also contains what the branches differ in, such as "
    "tanh against erf GELU or where RMSNorm rounds."
)
_PLAIN_ALONE = marked(
    "{arm} took the plain formulas, so a difference also contains what the branches differ in, such as tanh against "
    "erf GELU or where RMSNorm rounds."
)
_CARD_ALONE = marked(
    "{arm} took the same branches, so a difference comes from the card's own arithmetic (kernel error), not from "
    "another branch."
)
_ARITHMETIC_ALONE = marked(
    "{arm} took the same branches, so a difference comes from arithmetic, not from another branch."
)
"""What a difference means, by the branches that both sides took."""

_TOGETHER = marked(
    "Read together: {kernels} shows the card's own arithmetic; what {branches} shows beyond that points to the "
    "branches of the libraries."
)
_TOGETHER_WITH_TYPES = marked(
    "Read together: {kernels} shows the card's own arithmetic; what {branches} shows beyond that points to the "
    "branches of the libraries and the types ({one} against {other})."
)

_MOST_TRACES = 10
_MUCH_CLOSER = 100

# --- what a reference is ---------------------------------------------------------------------------------------------


def reading(report: Report, comparison: Comparison) -> str:
    """What the CPU on the expected side computed and what a difference to it means; empty where records do not say."""
    actual, expected = comparison.actual, comparison.expected
    if NoiseMode.UNVERIFIED in {actual.noise, expected.noise}:
        return ""
    if not comparison.pairs or expected.npu_ops not in _REFERENCES or expected.device.partition(":")[0] != "cpu":
        return ""
    mine, theirs = run_of(report, actual), run_of(report, expected)
    sentences = [
        say(_REFERENCES[expected.npu_ops], arm=expected.arm),
        _calls(theirs) if expected.npu_ops is NpuOps.REFERENCE and theirs else "",
        _meaning(comparison),
        _types(comparison),
        _versions(mine, theirs) if mine and theirs else "",
    ]
    if actual.simulated:
        sentences.append(say("{arm} ran on a SIMULATED device: none of this is about a real card.", arm=actual.arm))
    return running(sentences)


def accepted(comparisons: Sequence[Comparison]) -> Iterator[Table]:
    """Who made a reference a baseline, when and why; nothing where no reference is one."""
    acceptances = dict.fromkeys((comparison.expected.arm, comparison.expected.acceptance) for comparison in comparisons)
    rows = [
        [plain(arm), plain(acceptance.who), plain(acceptance.accepted_utc), quote(acceptance.why)]
        for arm, acceptance in acceptances
        if acceptance
    ]
    if rows:
        columns = (say("Baseline"), say("Accepted by"), say("Accepted at (UTC)"), say("Why"))
        yield table(columns, rows, title=say("Baselines and who accepted them"))


def _calls(run: Run) -> str:
    """Which kernels answered, and how often for one picture."""
    operators = sorted({operator for sample in run.samples for operator in sample.npu_calls})
    if not operators:
        return say("No fused operator was called in any of its pictures.") if run.samples else ""
    calls = [
        f"{operator} {formats.span(sample.npu_calls.get(operator, 0) for sample in run.samples)}"
        for operator in operators
    ]
    return say("Calls answered for each picture: {calls}.", calls=", ".join(calls))


def _meaning(comparison: Comparison) -> str:
    actual, expected = comparison.actual, comparison.expected
    if actual.npu_ops is None:
        return say(
            "Which branches {arm} took was not recorded, so a difference may also come from branches.", arm=actual.arm
        )
    if (actual.npu_ops in _FUSED) != (expected.npu_ops in _FUSED):
        return say(_FUSED_ALONE if actual.npu_ops in _FUSED else _PLAIN_ALONE, arm=actual.arm)
    return say(_CARD_ALONE if actual.npu_ops is NpuOps.NATIVE else _ARITHMETIC_ALONE, arm=actual.arm)


def _types(comparison: Comparison) -> str:
    mine, theirs = comparison.actual.dtype, comparison.expected.dtype
    if mine == theirs:
        return say("Weights and activations are {dtype} on both sides.", dtype=mine)
    return say(
        "Weights and activations are {mine} in {actual} and {theirs} in {expected}, so rounding to these types is part "
        "of the difference.",
        mine=mine,
        actual=comparison.actual.arm,
        theirs=theirs,
        expected=comparison.expected.arm,
    )


def _versions(mine: Run, theirs: Run) -> str:
    """Which packages differ: "the same branches" holds for the same libraries only."""
    ours, others = ((run.environment.packages if run.environment else {}) for run in (mine, theirs))
    unlike = sorted(name for name in ours.keys() & others.keys() if ours[name] != others[name])
    if not unlike:
        return ""
    return say(
        "The sides have different versions of {packages}, which may add to the difference.", packages=", ".join(unlike)
    )


def read_together(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """How to read a card's differences to both kinds of CPU reference: only together they tell card and branches apart.

    References of the same type are set beside each other where there are any.
    """
    measured = [
        comparison for comparison in comparisons if comparison.pairs and comparison.actual.npu_ops is NpuOps.NATIVE
    ]
    for kernels in (comparison for comparison in measured if comparison.expected.npu_ops is NpuOps.REFERENCE):
        others = [
            comparison
            for comparison in measured
            if comparison.actual.arm == kernels.actual.arm
            and comparison.expected.npu_ops in {NpuOps.HIDDEN, NpuOps.ABSENT}
        ]
        same = [comparison for comparison in others if comparison.expected.dtype == kernels.expected.dtype]
        for branches in same or others:
            yield say(
                _TOGETHER if same else _TOGETHER_WITH_TYPES,
                kernels=name_of(kernels),
                branches=name_of(branches),
                one=branches.expected.dtype,
                other=kernels.expected.dtype,
            )


# --- intermediate tensors --------------------------------------------------------------------------------------------


def traces(comparison: Comparison) -> Table | None:
    """Intermediate tensors, worst first; None where nothing was traced.

    Pairs of one case and seed with equal numbers share a row.
    """
    groups: dict[tuple[object, ...], list[tuple[Pair, TraceDifference]]] = {}
    for pair in comparison.pairs:
        for trace in pair.traces:
            group = (pair.key, trace.name, trace.identical, repr(trace.relative_difference))
            groups.setdefault(group, []).append((pair, trace))
    if not groups:
        return None
    ordered = sorted(groups.values(), key=lambda alike: _trace_order(*alike[0]))
    rows = [
        [
            code(pair.key.case),
            figure(labels.seed(pair.key)),
            plain(_traced(trace.name)),
            figure(_relative(trace)),
            plain(say("yes") if trace.identical else say("no")),
            plain(_sides(pair, len(alike) - 1)),
        ]
        for alike in ordered[:_MOST_TRACES]
        for pair, trace in alike[:1]
    ]
    notes = [
        say(
            "Relative difference: norm of the difference over the norm of the reference, estimated within about 20 %; "
            "undefined where shapes or the number of calls differ or the reference is zero."
        )
    ]
    if more := len(ordered[_MOST_TRACES:]):
        notes.append(
            many(
                "{count} more row, none of them worse, left out.",
                "{count} more rows, none of them worse, left out.",
                more,
            )
        )
    shown = table(
        (say("Case"), say("Seed"), say("Tensor"), say("Relative difference"), say("Identical"), say("Pair")),
        rows,
        title=say("{name}: intermediate tensors, worst first", name=name_of(comparison)),
        note=running(notes),
        fold=True,
    )
    return replace(shown, open=not all(trace.identical for pair in comparison.pairs for trace in pair.traces))


def _sides(pair: Pair, alike: int) -> str:
    """The two samples of a pair, and how many other pairs are like it."""
    sides = {"actual": pair.actual, "expected": pair.expected}
    if not alike:
        return say("{actual} against {expected}", **sides)
    return say("{actual} against {expected}, and {alike} alike", alike=alike, **sides)


def _traced(name: str) -> str:
    """Name of an intermediate tensor, as reports say it."""
    if name.endswith(REAL_ROWS):
        return say("{tensor}, real rows", tensor=term(name.removesuffix(REAL_ROWS)))
    if name.endswith(PADDED_ROWS):
        return say("{tensor}, padded rows", tensor=term(name.removesuffix(PADDED_ROWS)))
    return term(name)


def _trace_order(pair: Pair, trace: TraceDifference) -> tuple[bool, float, tuple[str, int, int], str, str]:
    # Another shape is worse than any distance.
    badness = math.inf if trace.relative_difference is None else trace.relative_difference
    return (trace.identical, -badness, pair.key.order, trace.name, pair.actual)


def _relative(trace: TraceDifference) -> str:
    if trace.identical:
        return "0"
    return say("undefined") if trace.relative_difference is None else formats.scientific(trace.relative_difference)


def padding(comparison: Comparison) -> str:
    """A warning where padded rows differ and real ones agree; empty where no pair is like that."""
    hazards: dict[str, int] = {}
    for pair in comparison.pairs:
        distances = {trace.name: _distance(trace) for trace in pair.traces}
        for name in (name.removesuffix(REAL_ROWS) for name in distances if name.endswith(REAL_ROWS)):
            real, padded = distances[name + REAL_ROWS], distances.get(name + PADDED_ROWS)
            if real is not None and padded and real * _MUCH_CLOSER <= padded:
                hazards[name] = hazards.get(name, 0) + 1
    return running(
        say(
            "Padding: in {count} of {pairs} the padded rows of {tensor} differ, and the real rows agree at least "
            "{times} times more closely. DeepGen's connector reads padded rows without a mask, so its pictures can "
            "differ although the text was encoded alike.",
            count=count,
            pairs=many("{count} pair", "{count} pairs", len(comparison.pairs)),
            tensor=term(name),
            times=_MUCH_CLOSER,
        )
        for name, count in hazards.items()
    )


def _distance(trace: TraceDifference) -> float | None:
    return 0.0 if trace.identical else trace.relative_difference
