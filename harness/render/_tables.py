"""Rows of the tables about results: what was compared, what was measured, what was judged."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.records import EXIT_CODES, NoiseMode, Role, Scope, Status, worst
from harness.render import _words as words
from harness.render._document import Cell, Table, clean, code, digest, figure, plain, table, word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from harness.records import (
        ArrayRef,
        CaseKey,
        Comparison,
        Failure,
        Limit,
        Measurement,
        Pair,
        Repetition,
        Report,
        Run,
        RunRef,
        Sample,
        Verdict,
    )

_KEPT = {Status.IDENTICAL, Status.WITHIN_LIMITS}

_MOST_OPEN_ROWS = 12
"""A table of pairs with more rows than these starts folded."""

# --- looking things up -----------------------------------------------------------------------------------------------


def of_scope(report: Report, scope: Scope) -> list[Comparison]:
    """Comparisons of one scope, in the report's order."""
    return [comparison for comparison in report.comparisons if comparison.scope is scope]


def name_of(comparison: Comparison) -> str:
    """What a comparison is called: the arm, or both arms."""
    if comparison.scope is Scope.REPEAT:
        return arm_of(comparison.actual)
    return f"{arm_of(comparison.actual)} against {arm_of(comparison.expected)}"


def arm_of(side: RunRef) -> str:
    """Name of the arm, with a mark where its device is simulated."""
    return words.marked(side.arm, simulated=side.simulated)


def run_of(report: Report, reference: RunRef) -> Run | None:
    """The run a side of a comparison points to, where the report holds it."""
    return next((run for run in report.runs if run.id == reference.id), None)


def samples_by_key(run: Run | None) -> dict[CaseKey, list[Sample]]:
    """Samples of a run by case and seed, each in the order of processes and repeats."""
    found: dict[CaseKey, list[Sample]] = {}
    for sample in run.samples if run else []:
        found.setdefault(sample.key, []).append(sample)
    return found


def sides_of(report: Report, comparison: Comparison) -> Iterator[tuple[Pair, Sample, Sample]]:
    """Every pair whose two samples the report holds, with the samples."""
    actual, expected = (
        {
            (key, sample.label): sample
            for key, samples in samples_by_key(run_of(report, side)).items()
            for sample in samples
        }
        for side in (comparison.actual, comparison.expected)
    )
    for pair in comparison.pairs:
        left, right = actual.get((pair.key, pair.actual)), expected.get((pair.key, pair.expected))
        if left and right:
            yield pair, left, right


def device_of(report: Report, side: RunRef) -> str:
    """Device in words, with what no reader may miss about it."""
    name = side.device if side.device_name in {"", side.device} else f"{side.device}, {side.device_name}"
    run = run_of(report, side)
    if side.simulated or (run and run.environment and run.environment.simulated):
        return words.marked(name, simulated=True)
    if side.noise is NoiseMode.UNVERIFIED:
        return name
    stands_in = run and run.backend == "cpu" and run.plan.arm.role is Role.CANDIDATE
    return f"{name} (CPU stand-in)" if stands_in else name


def by_key(comparison: Comparison) -> dict[CaseKey, Comparison]:
    """For every case and seed the comparison speaks of, sorted, the part of the comparison that is about it."""
    repetitions: dict[CaseKey, list[Repetition]] = {}
    pairs: dict[CaseKey, list[Pair]] = {}
    failures: dict[CaseKey, list[Failure]] = {}
    for repetition in comparison.repetitions:
        repetitions.setdefault(repetition.key, []).append(repetition)
    for pair in comparison.pairs:
        pairs.setdefault(pair.key, []).append(pair)
    for failure in comparison.failures:
        if failure.key is not None:
            failures.setdefault(failure.key, []).append(failure)
    keys = {*repetitions, *pairs, *failures, *comparison.missing, *comparison.unexpected}
    return {
        key: comparison.model_copy(
            update={
                "repetitions": repetitions.get(key, []),
                "pairs": pairs.get(key, []),
                "failures": failures.get(key, []),
            }
        )
        for key in sorted(keys, key=lambda key: (key.case, key.seed))
    }


def worst_pair(pairs: Iterable[Pair], metric: str, subject: str) -> tuple[Pair, Measurement] | None:
    """The pair with the worst value of a metric; one that has no value is worse than any that has."""
    found = [
        (pair, measurement)
        for pair in pairs
        for measurement in pair.measurements
        if (measurement.metric, measurement.subject) == (metric, subject)
    ]
    return max(found, key=lambda each: _badness(each[1]), default=None)


def _badness(measurement: Measurement) -> float:
    if measurement.value is None or math.isnan(measurement.value):
        return math.inf
    # What is better lower is a distance, and a signed one is as bad as it is far from zero.
    return -measurement.value if measurement.better == "higher" else abs(measurement.value)


def _metrics(comparisons: Iterable[Comparison]) -> list[tuple[str, str]]:
    found = {
        (measurement.metric, str(measurement.subject))
        for comparison in comparisons
        for pair in comparison.pairs
        for measurement in pair.measurements
        if measurement.metric != "identical"
    }
    return sorted(found, key=lambda each: (each[1] != "image", each[1], words.metric_rank(each[0])))


def _place(pair: Pair, where: str = "") -> str:
    return f"{pair.key}, {pair.actual} against {pair.expected}" + (f", {where}" if where else "")


# --- summary ---------------------------------------------------------------------------------------------------------


def summary(report: Report) -> Table:
    """One row for each comparison."""
    columns = (
        "Arm",
        "Scope",
        "Outcome",
        "Device",
        "Noise",
        "Switches",
        "Runs",
        "Processes",
        "Distinct outcomes",
        "Rate not excluded (95 %)",
    )
    note = (
        "Runs and processes are counted for each case and seed. The last column is the largest rate of differing runs "
        "that so many equal ones leave possible. "
    )
    return table(
        columns,
        [_summary_row(report, each) for each in report.comparisons],
        note=note + f"{words.NONE} stands for: does not apply.",
    )


def _summary_row(report: Report, comparison: Comparison) -> list[Cell]:
    side, other = comparison.actual, comparison.expected
    if comparison.scope is Scope.REPEAT:
        devices, found = device_of(report, side), comparison.repetitions
        amounts = [
            figure(words.span(repetition.runs for repetition in found)),
            figure(words.span(repetition.processes for repetition in found)),
            figure(words.span(len(repetition.outcomes) for repetition in found)),
            plain(_bound_in_short(found)),
        ]
    else:
        devices = f"{device_of(report, side)} against {device_of(report, other)}"
        amounts = [plain(words.count(len(comparison.pairs), "pair")), *[plain(words.NONE)] * 3]
    return [
        code(name_of(comparison)),
        plain("repeats" if comparison.scope is Scope.REPEAT else "reference"),
        word(comparison.outcome),
        plain(devices),
        plain(_both(side.noise.value, other.noise.value)),
        plain(_both(side.switches.value, other.switches.value).replace("_", " ")),
        *amounts,
    ]


def _both(actual: str, expected: str) -> str:
    return actual if actual == expected else f"{actual} against {expected}"


def _bound_in_short(repetitions: Sequence[Repetition]) -> str:
    if any(len(repetition.outcomes) != 1 for repetition in repetitions):
        return "runs differ"
    bounds = [repetition.bound_95 for repetition in repetitions if repetition.runs > 1]
    return f"up to {words.percent(max(bounds))}" if bounds and len(bounds) == len(repetitions) else "any: no repeats"


# --- the rows of the note ---------------------------------------------------------------------------------------------

_Row = tuple[str, "Callable[[Report, Comparison], str]"]


def measures(report: Report, comparisons: Sequence[Comparison]) -> Table:
    """One row for each measure, one column for each comparison; every value is the worst, with its place."""
    identical: list[_Row] = [
        ("Identical", lambda report, comparison: _identical(report, comparison, lambda sample: sample.image)),
        (
            "Float decoder output identical",
            lambda report, comparison: _identical(report, comparison, lambda sample: sample.float_image),
        ),
        ("Final latents identical", lambda report, each: _identical(report, each, lambda sample: sample.latents)),
    ]
    found = _metrics(comparisons) or [(metric, "image") for metric in words.METRICS]
    single = [_worst_of_all(comparison) is not None for comparison in comparisons]
    places = {id(comparison): not alone for comparison, alone in zip(comparisons, single, strict=True)}
    metrics: list[_Row] = [(words.metric_name(*each), _worst_value(*each, places=places)) for each in found]
    # The note's own order: MSE, largest and mean difference, identical, PSNR; then what it lacked.
    before = sum(each in {("mse", "image"), ("max_abs_diff", "image"), ("mean_abs_diff", "image")} for each in found)
    rows = [*metrics[:before], identical[0], *metrics[before:], *identical[1:]]
    if all(comparison.scope is Scope.REPEAT for comparison in comparisons):
        rows += _repeat_rows()
    else:
        rows.append(("Same noise on both sides", _same_noise))
    return table(
        ("Measure", *map(name_of, comparisons)),
        [[plain(label), *(plain(value(report, comparison)) for comparison in comparisons)] for label, value in rows],
        note=_places(comparisons),
    )


def _worst_value(metric: str, subject: str, *, places: Mapping[int, bool]) -> Callable[[Report, Comparison], str]:
    def value(_report: Report, comparison: Comparison) -> str:
        found = worst_pair(comparison.pairs, metric, subject)
        if found is None:
            return words.NOT_MEASURED
        pair, measurement = found
        text = words.measured(measurement, unit=True)
        if all(_value(other, metric, subject) == measurement.value for other in comparison.pairs):
            return text
        if not places[id(comparison)]:
            return f"{text} ({measurement.where})" if measurement.where else text
        return f"{text} ({_place(pair, measurement.where)})"

    return value


def _worst_of_all(comparison: Comparison) -> Pair | None:
    """The one pair that has the worst value of every metric that differs at all; None when there is no such pair."""
    found = [worst_pair(comparison.pairs, *each) for each in _metrics([comparison])]
    unlike = {
        (str(pair.key), pair.actual, pair.expected): pair
        for pair, measurement in filter(None, found)
        if any(
            _value(other, measurement.metric, measurement.subject) != measurement.value for other in comparison.pairs
        )
    }
    return next(iter(unlike.values())) if len(unlike) == 1 else None


def _places(comparisons: Sequence[Comparison]) -> str:
    """Where the values of the table come from, for each comparison whose pairs differ from each other."""
    notes = []
    for comparison in comparisons:
        pair = _worst_of_all(comparison)
        if pair is not None:
            total = words.count(len(comparison.pairs), "pair")
            notes.append(f"{name_of(comparison)}: the worst of {total}, {_place(pair)}.")
        elif comparison.pairs:
            total = words.count(len(comparison.pairs), "pair")
            notes.append(f"{name_of(comparison)}: each value is the worst of {total}, all listed below.")
    return " ".join(notes)


def _value(pair: Pair, metric: str, subject: str) -> float | None:
    for measurement in pair.measurements:
        if (measurement.metric, measurement.subject) == (metric, subject):
            return measurement.value
    return None


def _identical(report: Report, comparison: Comparison, array: Callable[[Sample], ArrayRef | None]) -> str:
    """Whether the arrays are equal within each case and seed, over all samples the comparison is about."""
    equal = [
        len({made.digest for made in arrays if made}) == 1 if all(arrays) else None
        for arrays in _arrays(report, comparison, array)
    ]
    known = [each for each in equal if each is not None]
    if not known:
        return words.NOT_MEASURED
    noun = ("case and seed", "cases and seeds") if comparison.scope is Scope.REPEAT else ("pair", "pairs")
    total = words.count(len(known), *noun)
    if len(known) != len(equal):
        total += f"; {len(equal) - len(known)} more {words.NOT_MEASURED}"
    return f"yes, in {total}" if all(known) else f"no, different in {known.count(False)} of {total}"


def _arrays(
    report: Report, comparison: Comparison, array: Callable[[Sample], ArrayRef | None]
) -> list[list[ArrayRef | None]]:
    if comparison.scope is Scope.REPEAT:
        groups = samples_by_key(run_of(report, comparison.actual)).values()
        return [[array(sample) for sample in group] for group in groups if len(group) > 1]
    return [[array(left), array(right)] for _, left, right in sides_of(report, comparison)]


def _same_noise(report: Report, comparison: Comparison) -> str:
    digests = [(left.noise_digest, right.noise_digest) for _, left, right in sides_of(report, comparison)]
    if not digests:
        return "not known: no pair was made"
    if any(None in pair for pair in digests):
        return "unverified"
    same = sum(left == right for left, right in digests)
    total = words.count(len(digests), "pair")
    return (
        f"yes, by digest, in {total}" if same == len(digests) else f"no, different in {len(digests) - same} of {total}"
    )


def _repeat_rows() -> list[_Row]:
    return [
        ("Runs of each case and seed", lambda _, each: words.span(found.runs for found in each.repetitions)),
        ("Fresh processes", lambda _, each: words.span(found.processes for found in each.repetitions)),
        ("Distinct outcomes", lambda _, each: _outcomes(each.repetitions)),
        ("What that excludes", lambda _, each: _bound_in_words(each.repetitions)),
        ("First differing denoising step", lambda _, each: _first_step(each.pairs)),
        ("Pattern", lambda _, each: _patterns(each.repetitions)),
    ]


def _outcomes(repetitions: Sequence[Repetition]) -> str:
    several = [repetition for repetition in repetitions if len(repetition.outcomes) != 1]
    if not repetitions:
        return words.NOT_MEASURED
    if not several:
        return f"1 in each of {len(repetitions)} cases and seeds" if len(repetitions) > 1 else "1"
    return "; ".join(f"{words.outcome_counts(repetition)} in {repetition.key}" for repetition in several)


def _bound_in_words(repetitions: Sequence[Repetition]) -> str:
    steady = [words.bound(repetition) for repetition in repetitions if len(repetition.outcomes) == 1]
    unlike = [f"{found.key}: {words.bound(found)}" for found in repetitions if len(found.outcomes) != 1]
    return "; ".join(dict.fromkeys([*unlike, *steady])) or words.NOT_MEASURED


def _first_step(pairs: Sequence[Pair]) -> str:
    differing = [pair for pair in pairs if not pair.identical]
    steps = [(pair.first_differing_step, pair) for pair in differing if pair.first_differing_step is not None]
    if steps:
        step, pair = min(steps, key=lambda each: each[0])
        return f"step {step} ({_place(pair)})"
    if differing:
        return "no step differs, or none was kept; the difference comes later"
    return "none: no runs differ" if pairs else words.NOT_MEASURED


def _patterns(repetitions: Sequence[Repetition]) -> str:
    unlike = [repetition for repetition in repetitions if len(repetition.outcomes) > 1]
    if unlike:
        return "; ".join(f"{repetition.key}: {repetition.pattern or 'not described'}" for repetition in unlike)
    return "; ".join(dict.fromkeys(found.pattern for found in repetitions if found.pattern)) or words.NONE


# --- repeats, case by case --------------------------------------------------------------------------------------------


def repeat_cases(report: Report, comparison: Comparison) -> Table:
    """Determinism of each case and seed, worst first."""
    columns = (
        "Case",
        "Seed",
        "Outcome",
        "Runs",
        "Processes",
        "Distinct outcomes",
        "First differing step",
        "Picture digest",
        "Noise digest",
        "Pattern",
    )
    samples = samples_by_key(run_of(report, comparison.actual))
    parts = by_key(comparison)
    found = sorted(comparison.repetitions, key=_repetition_order)
    return table(
        columns,
        [_repeat_case(each, parts[each.key].pairs, samples.get(each.key, [])) for each in found],
        title=f"{name_of(comparison)}: case by case, worst first",
        note=f"Run {comparison.actual.id}. Digests are those of the first sample, {words.NONE} where none is known.",
    )


def _repetition_order(repetition: Repetition) -> tuple[int, int, str, int]:
    return (words.RANKS[repetition.status], -len(repetition.outcomes), repetition.key.case, repetition.key.seed)


def _repeat_case(repetition: Repetition, pairs: Sequence[Pair], samples: Sequence[Sample]) -> list[Cell]:
    steps = [pair.first_differing_step for pair in pairs if pair.first_differing_step is not None]
    return [
        code(repetition.key.case),
        figure(repetition.key.seed),
        word(repetition.status),
        figure(repetition.runs),
        figure(repetition.processes),
        figure(words.outcome_counts(repetition)),
        figure(min(steps) if steps else words.NONE),
        digest(repetition.outcomes[0].image_digest) if repetition.outcomes else plain(words.NONE),
        _noise(samples),
        plain(repetition.pattern),
    ]


def _noise(samples: Sequence[Sample]) -> Cell:
    digests = sorted({sample.noise_digest or "" for sample in samples})
    if "" in digests:
        return plain("unverified")
    if len(digests) > 1:
        return plain(f"{len(digests)} different")
    return digest(digests[0]) if digests else plain(words.NONE)


# --- pairs -----------------------------------------------------------------------------------------------------------


def pair_tables(comparison: Comparison) -> list[Table]:
    """Every value of every pair, worst first, one table for each subject.

    Pairs of one case and seed with equal numbers share a row.
    """
    groups = sorted(_grouped(comparison.pairs).values(), key=lambda pairs: _pair_order(pairs[0]))
    found = _metrics([comparison])
    tables = []
    subjects = {
        "image": "8-bit picture",
        "float_image": "float decoder output",
        "latents": "final latents",
        "conversion": "conversion to 8 bits",
    }
    for subject, about in subjects.items():
        metrics = [metric for metric, of in found if of == subject]
        if metrics:
            columns = (
                "Case",
                "Seed",
                "Pair",
                "Everything identical",
                *(["To the eye"] if subject == "image" else []),
                *(_heading(comparison, metric, subject) for metric in metrics),
            )
            rows = [_pair_row(pairs, metrics, subject) for pairs in groups]
            title = f"{name_of(comparison)}: {about}, every measured pair, worst first"
            is_open = len(rows) <= _MOST_OPEN_ROWS and not all(pair.identical for pair in comparison.pairs)
            tables.append(replace(table(columns, rows, title=title, fold=True), open=is_open))
    return tables


def hints(comparison: Comparison) -> Table | None:
    """What the differences look like, worst pair first; None where no pair has a hint."""
    groups = sorted(_grouped(comparison.pairs).values(), key=lambda pairs: _pair_order(pairs[0]))
    rows = [
        [
            code(pairs[0].key.case),
            figure(pairs[0].key.seed),
            plain(_pair_label(pairs)),
            plain(hint.message.removeprefix("looks like ")),
            plain(hint.where or "the whole picture"),
        ]
        for pairs in groups
        for hint in pairs[0].hints
    ]
    if not rows:
        return None
    return table(
        ("Case", "Seed", "Pair", "Looks like", "Where"),
        rows,
        title=f"{name_of(comparison)}: what the differences look like",
        note="Hints from the pattern of the 8-bit pictures, actual relative to expected; no verdict rests on them.",
    )


def _grouped(pairs: Sequence[Pair]) -> dict[tuple[object, ...], list[Pair]]:
    groups: dict[tuple[object, ...], list[Pair]] = {}
    for pair in pairs:
        numbers = tuple((each.metric, each.subject, repr(each.value), each.problem) for each in pair.measurements)
        groups.setdefault((pair.key.case, pair.key.seed, pair.identical, numbers), []).append(pair)
    return groups


def _pair_order(pair: Pair) -> tuple[int, bool, float, str, int, str]:
    rank = min((words.RANKS[verdict.status] for verdict in pair.verdicts), default=len(words.RANKS))
    found = worst_pair([pair], "mse", "image")
    badness = _badness(found[1]) if found else 0.0
    return (rank, pair.identical, -badness, pair.key.case, pair.key.seed, pair.actual)


def _heading(comparison: Comparison, metric: str, subject: str) -> str:
    found = worst_pair(comparison.pairs, metric, subject)
    unit = found[1].unit if found else ""
    return words.metric_name(metric) + (f" ({unit})" if unit else "")


def _pair_label(pairs: Sequence[Pair]) -> str:
    label = f"{pairs[0].actual} against {pairs[0].expected}"
    return label + (f", and {len(pairs) - 1} alike" if len(pairs) > 1 else "")


def _pair_row(pairs: Sequence[Pair], metrics: Sequence[str], subject: str) -> list[Cell]:
    pair = pairs[0]
    return [
        code(pair.key.case),
        figure(pair.key.seed),
        plain(_pair_label(pairs)),
        plain("yes" if pair.identical else "no"),
        *([_appearance_cell(pair)] if subject == "image" else []),
        *(_value_cell(pair, metric, subject) for metric in metrics),
    ]


def _appearance_cell(pair: Pair) -> Cell:
    return plain(pair.appearance.words if pair.appearance else words.NOT_MEASURED)


def _value_cell(pair: Pair, metric: str, subject: str) -> Cell:
    found = worst_pair([pair], metric, subject)
    if found is None:
        return plain(words.NOT_MEASURED)
    text = words.measured(found[1], unit=False)
    return figure(f"{text} at {found[1].where}" if found[1].where and not pair.identical else text)


def definitions(report: Report) -> Table:
    """What each metric means exactly, as the measurements themselves say."""
    found = {
        (each.metric, each.unit, each.better, each.spec)
        for comparison in report.comparisons
        for pair in comparison.pairs
        for each in pair.measurements
    }
    rows = [
        [plain(words.metric_name(metric)), code(metric), plain(unit or "none"), plain(better), code(spec)]
        for metric, unit, better, spec in sorted(found, key=lambda each: (words.metric_rank(each[0]), each))
    ]
    note = "The 8-bit picture counts from 0 to 255, the float decoder output from -1 to 1, each in its own units."
    return table(("Measure", "Metric", "Unit", "More alike when", "Definition"), rows, note=note)


# --- limits ----------------------------------------------------------------------------------------------------------


def limits(report: Report) -> Table:
    """Every limit of the scenario with the reason for its number."""
    rows = [
        [code(rule(limit)), plain("repeats" if limit.scope is Scope.REPEAT else "reference"), plain(_reason(limit))]
        for limit in report.scenario.limits
    ]
    return table(("Limit", "Judges", "Reason for the number"), rows)


def rule(limit: Limit) -> str:
    """A limit in words, with the arm and the device it is for."""
    return f"{limit.rule} ({limit.holds_for})" if limit.holds_for else limit.rule


def _reason(limit: Limit) -> str:
    if (found := limit.evidence) is None:
        return limit.reason
    amount = words.count(found.samples, "value")
    return (
        f"{limit.reason} Measured on {found.date} on {found.device}: the worst of {amount} was "
        f"{words.number(found.worst)}; margin {words.number(found.margin)}; rule: {found.rule}."
    )


def verdicts(comparison: Comparison) -> Table:
    """Each limit of a comparison: what was allowed, the worst that was measured, and the word."""
    return table(
        ("Limit", "Verdict", "Worst measured", "Where", "Kept by"),
        [_verdict_row(comparison, limit) for limit in comparison.limits],
        title=f"{name_of(comparison)}: limits",
    )


def _verdict_row(comparison: Comparison, limit: Limit) -> list[Cell]:
    ratio = next((verdict for verdict in comparison.verdicts if verdict.limit == limit), None)
    if ratio is not None:
        return _ratio_row(ratio)
    found = [(pair, verdict) for pair in comparison.pairs for verdict in pair.verdicts if verdict.limit == limit]
    if not found:
        return [code(rule(limit)), plain("not judged"), *[plain(words.NONE)] * 2, plain("0 of 0 pairs")]
    pair, verdict = min(found, key=lambda each: _verdict_order(each[1]))
    kept = sum(each.status in _KEPT for _, each in found)
    return [
        code(rule(limit)),
        word(worst([each.status for _, each in found])),
        figure(_measured(pair, verdict)),
        plain(_place(pair)),
        plain(f"{kept} of {words.count(len(found), 'pair')}"),
    ]


def _ratio_row(verdict: Verdict) -> list[Cell]:
    dual = verdict.dual
    if dual is None and verdict.measured is not None:
        where = plain("farther end of the 90 % interval of the difference")
        kept = plain(f"{int(verdict.status in _KEPT)} of 1 score")
        return [code(rule(verdict.limit)), word(verdict.status), figure(words.number(verdict.measured)), where, kept]
    return [
        code(rule(verdict.limit)),
        word(verdict.status),
        figure(words.number(dual.ratio)) if dual else plain(f"undefined: {verdict.message}"),
        plain(f"root mean square over {words.count(len(dual.pairs), 'pair')}" if dual else words.NONE),
        plain(f"{int(verdict.status in _KEPT)} of 1 ratio"),
    ]


def _verdict_order(verdict: Verdict) -> tuple[int, float]:
    return (words.RANKS[verdict.status], _room(verdict))


def _room(verdict: Verdict) -> float:
    """How far the measured value is inside its limit; the smaller, the worse."""
    limit, value = verdict.limit, verdict.measured
    if value is None or math.isnan(value):
        return -math.inf
    if limit.at_least is not None:
        return value - limit.at_least
    if limit.at_most is not None:
        return limit.at_most - value
    return 0.0 if value == limit.equals else -math.inf


def _measured(pair: Pair, verdict: Verdict) -> str:
    found = worst_pair([pair], verdict.limit.metric, verdict.limit.subject)
    if found is not None and found[1].value == verdict.measured:
        return words.measured(found[1], unit=True)
    return words.number(verdict.measured) if verdict.measured is not None else f"undefined: {verdict.message}"


# --- one word for each case and seed ----------------------------------------------------------------------------------


def key_status(part: Comparison, key: CaseKey) -> Status:
    """The word for one case and seed, from the part of a comparison that is about it."""
    if part.failures:
        return Status.ERROR
    if part.differences:
        return Status.NOT_COMPARABLE
    if key in part.missing:
        return Status.MISSING_BASELINE if part.outcome is Status.MISSING_BASELINE else Status.ERROR
    # Repeats that differ where limits allow it, or a waiver, are no complaint when the whole is none.
    excused = part.outcome if EXIT_CODES[part.outcome] == 0 else Status.UNSTABLE
    found = [excused if each.status is Status.UNSTABLE else each.status for each in part.repetitions]
    for pair in part.pairs:
        found += [verdict.status for verdict in pair.verdicts]
        found += [] if pair.verdicts else [Status.IDENTICAL if pair.identical else Status.SKIPPED]
    return worst(found) if found else Status.SKIPPED


def key_reason(part: Comparison, key: CaseKey) -> str:
    """Why one case and seed has its word, on one line, from the part of a comparison that is about it."""
    failures = [f"{each.stage}: {each.error}: {each.message}" for each in part.failures]
    broken = [
        f"{verdict.message} ({_place(pair)})"
        for pair in part.pairs
        for verdict in pair.verdicts
        if EXIT_CODES[verdict.status] != 0
    ]
    missing = ["the picture was expected and was not made"] if key in part.missing else []
    unstable = [
        f"{words.outcome_counts(found)} distinct outcomes in {words.count(found.runs, 'run')}: {found.pattern}"
        for found in part.repetitions
        if found.status is Status.UNSTABLE
    ]
    reasons = [*failures, *part.differences, *missing, *unstable, *broken]
    return clean("; ".join(dict.fromkeys(reasons)) or part.message or words.SENTENCES[part.outcome])
