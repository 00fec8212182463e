"""Rows of the tables about results: what was compared, what was measured, what was judged."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.language import many, marked, say, translated
from harness.records import EXIT_CODES, NoiseMode, Role, Scope, Status, worst
from harness.render import _words as words
from harness.render._document import Cell, Table, clean, code, digest, figure, plain, table, word
from harness.render._phrases import running, term
from harness.scenario import own_words

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
        Unfit,
        Verdict,
    )

_KEPT = {Status.IDENTICAL, Status.WITHIN_LIMITS}

_MOST_OPEN_ROWS = 12
"""A table of pairs with more rows than these starts folded."""

_PAIR_TITLES = {
    "image": marked("{comparison}: 8-bit picture, every measured pair, worst first"),
    "float_image": marked("{comparison}: float decoder output, every measured pair, worst first"),
    "latents": marked("{comparison}: final latents, every measured pair, worst first"),
    "conversion": marked("{comparison}: conversion to 8 bits, every measured pair, worst first"),
}
"""Titles of the tables of pairs, by what the values were measured on."""

# --- looking things up -----------------------------------------------------------------------------------------------


def of_scope(report: Report, scope: Scope) -> list[Comparison]:
    """Comparisons of one scope, in the report's order."""
    return [comparison for comparison in report.comparisons if comparison.scope is scope]


def name_of(comparison: Comparison) -> str:
    """What a comparison is called: the arm, or both arms."""
    if comparison.scope is Scope.REPEAT:
        return arm_of(comparison.actual)
    return _against(arm_of(comparison.actual), arm_of(comparison.expected))


def arm_of(side: RunRef) -> str:
    """Name of the arm, with a mark where its device is simulated."""
    return words.with_mark(side.arm, simulated=side.simulated)


def _against(actual: str, expected: str) -> str:
    return say("{actual} against {expected}", actual=actual, expected=expected)


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
        return words.with_mark(name, simulated=True)
    if side.noise is NoiseMode.UNVERIFIED:
        return name
    stands_in = run and run.backend == "cpu" and run.plan.arm.role is Role.CANDIDATE
    return say("{name} (CPU stand-in)", name=name) if stands_in else name


def by_key(comparison: Comparison) -> dict[CaseKey, Comparison]:
    """For every case and seed the comparison speaks of, sorted, the part of the comparison that is about it."""
    repetitions: dict[CaseKey, list[Repetition]] = {}
    pairs: dict[CaseKey, list[Pair]] = {}
    failures: dict[CaseKey, list[Failure]] = {}
    unfit: dict[CaseKey, list[Unfit]] = {}
    for found in comparison.unfit:
        unfit.setdefault(found.key, []).append(found)
    for repetition in comparison.repetitions:
        repetitions.setdefault(repetition.key, []).append(repetition)
    for pair in comparison.pairs:
        pairs.setdefault(pair.key, []).append(pair)
    for failure in comparison.failures:
        if failure.key is not None:
            failures.setdefault(failure.key, []).append(failure)
    keys = {*repetitions, *pairs, *failures, *unfit, *comparison.missing, *comparison.unexpected}
    return {
        key: comparison.model_copy(
            update={
                "repetitions": repetitions.get(key, []),
                "pairs": pairs.get(key, []),
                "failures": failures.get(key, []),
                "unfit": unfit.get(key, []),
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
        if measurement.metric == metric and measurement.subject == subject
    ]
    return max(found, key=lambda each: _badness(each[1]), default=None)


def _worst_pairs(pairs: Iterable[Pair]) -> dict[tuple[str, str], tuple[Pair, Measurement]]:
    """The same for every metric and subject, in one pass."""
    found: dict[tuple[str, str], tuple[Pair, Measurement]] = {}
    for pair in pairs:
        for measurement in pair.measurements:
            kind = (measurement.metric, str(measurement.subject))
            if kind not in found or _badness(measurement) > _badness(found[kind][1]):
                found[kind] = (pair, measurement)
    return found


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
    place = say("{key}, {pair}", key=words.key(pair.key), pair=_against(pair.actual, pair.expected))
    return say("{place}, {where}", place=place, where=translated(where)) if where else place


# --- summary ---------------------------------------------------------------------------------------------------------


def summary(report: Report) -> Table:
    """One row for each comparison."""
    columns = (
        say("Arm"),
        say("Scope"),
        say("Outcome"),
        say("Device"),
        say("Noise"),
        say("Switches"),
        say("Runs"),
        say("Processes"),
        say("Distinct outcomes"),
        say("Failure rate, 95 % upper bound"),
    )
    note = say(
        "Runs and processes are counted for each case and seed. The last column is the largest rate of differing runs "
        "that so many equal ones leave possible. {none} stands for: does not apply.",
        none=words.NONE,
    )
    return table(columns, [_summary_row(report, each) for each in report.comparisons], note=note)


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
        devices = _against(device_of(report, side), device_of(report, other))
        amounts = [plain(_pairs(len(comparison.pairs))), *[plain(words.NONE)] * 3]
    return [
        code(name_of(comparison)),
        plain(words.judges(comparison.scope)),
        word(comparison.outcome),
        plain(devices),
        plain(_both(term(side.noise), term(other.noise))),
        plain(_both(_switches(side), _switches(other))),
        *amounts,
    ]


def _switches(side: RunRef) -> str:
    return say("not known") if side.noise is NoiseMode.UNVERIFIED else term(side.switches)


def _both(actual: str, expected: str) -> str:
    return actual if actual == expected else _against(actual, expected)


def _pairs(count: int) -> str:
    return many("{count} pair", "{count} pairs", count)


def _bound_in_short(repetitions: Sequence[Repetition]) -> str:
    if any(len(repetition.outcomes) != 1 for repetition in repetitions):
        return say("runs differ")
    bounds = [repetition.bound_95 for repetition in repetitions if repetition.runs > 1]
    if not bounds or len(bounds) != len(repetitions):
        return say("any: no repeats")
    return say("up to {rate}", rate=words.percent(max(bounds)))


# --- the rows of the note ---------------------------------------------------------------------------------------------

_Row = tuple[str, "Callable[[Report, Comparison], str]"]


def measures(report: Report, comparisons: Sequence[Comparison], *, of_pictures: bool = False) -> Table:
    """One row for each measure, one column for each comparison; every value is the worst, with its place.

    With ``of_pictures`` the metrics are those of the 8-bit pictures alone.
    """
    identical: list[_Row] = [
        (say("Identical"), lambda report, comparison: _identical(report, comparison, lambda sample: sample.image)),
        (
            say("Float decoder output identical"),
            lambda report, comparison: _identical(report, comparison, lambda sample: sample.float_image),
        ),
        (say("Final latents identical"), lambda report, each: _identical(report, each, lambda sample: sample.latents)),
    ]
    found = _metrics(comparisons) or [(metric, "image") for metric in words.METRICS]
    found = [(metric, subject) for metric, subject in found if subject == "image" or not of_pictures]
    single = [_worst_of_all(comparison) is not None for comparison in comparisons]
    places = {id(comparison): not alone for comparison, alone in zip(comparisons, single, strict=True)}
    worst = {id(comparison): _worst_pairs(comparison.pairs) for comparison in comparisons}
    metrics: list[_Row] = [(words.metric_name(*each), _worst_value(each, worst, places)) for each in found]
    # The note's own order: MSE, largest and mean difference, identical, PSNR; then what it lacked.
    before = sum(each in {("mse", "image"), ("max_abs_diff", "image"), ("mean_abs_diff", "image")} for each in found)
    rows = [*metrics[:before], identical[0], *metrics[before:], *identical[1:]]
    if all(comparison.scope is Scope.REPEAT for comparison in comparisons):
        rows += _repeat_rows()
    else:
        rows.append((say("Same noise on both sides"), _same_noise))
    return table(
        (say("Measure"), *map(name_of, comparisons)),
        [[plain(label), *(plain(value(report, comparison)) for comparison in comparisons)] for label, value in rows],
        note=_places(comparisons),
    )


def _worst_value(
    kind: tuple[str, str],
    worst: Mapping[int, Mapping[tuple[str, str], tuple[Pair, Measurement]]],
    places: Mapping[int, bool],
) -> Callable[[Report, Comparison], str]:
    def value(_report: Report, comparison: Comparison) -> str:
        found = worst[id(comparison)].get(kind)
        if found is None:
            return say(words.NOT_MEASURED)
        pair, measurement = found
        text = words.measured(measurement, unit=True)
        if all(_value(other, *kind) == measurement.value for other in comparison.pairs):
            return text
        if not places[id(comparison)]:
            return words.with_remark(text, translated(measurement.where))
        return words.with_remark(text, _place(pair, measurement.where))

    return value


def _worst_of_all(comparison: Comparison) -> Pair | None:
    """The one pair that has the worst value of every metric that differs at all; None when there is no such pair."""
    unlike = {
        (str(pair.key), pair.actual, pair.expected): pair
        for pair, measurement in _worst_pairs(comparison.pairs).values()
        if any(
            _value(other, measurement.metric, measurement.subject) != measurement.value for other in comparison.pairs
        )
    }
    return next(iter(unlike.values())) if len(unlike) == 1 else None


def _places(comparisons: Sequence[Comparison]) -> str:
    """Where the values of the table come from, for each comparison whose pairs differ from each other."""
    notes = []
    for comparison in comparisons:
        name, total = name_of(comparison), _pairs(len(comparison.pairs))
        pair = _worst_of_all(comparison)
        if pair is not None:
            notes.append(
                say("{comparison}: the worst of {total}, {place}.", comparison=name, total=total, place=_place(pair))
            )
        elif comparison.pairs:
            notes.append(
                say("{comparison}: each value is the worst of {total}, all listed below.", comparison=name, total=total)
            )
    return running(notes)


def _value(pair: Pair, metric: str, subject: str) -> float | None:
    for measurement in pair.measurements:
        if measurement.metric == metric and measurement.subject == subject:
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
        return say(words.NOT_MEASURED)
    total = _pairs(len(known))
    if comparison.scope is Scope.REPEAT:
        total = many("{count} case and seed", "{count} cases and seeds", len(known))
    if len(known) != len(equal):
        total = say("{total}; {more} more not measured", total=total, more=len(equal) - len(known))
    if all(known):
        return say("yes, in {total}", total=total)
    return say("no, different in {count} of {total}", count=known.count(False), total=total)


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
        return say("not known: no pair was made")
    if any(None in pair for pair in digests):
        return term(NoiseMode.UNVERIFIED)
    different, total = sum(left != right for left, right in digests), _pairs(len(digests))
    if not different:
        return say("yes, by digest, in {total}", total=total)
    return say("no, different in {count} of {total}", count=different, total=total)


def _repeat_rows() -> list[_Row]:
    return [
        (say("Runs of each case and seed"), lambda _, each: words.span(found.runs for found in each.repetitions)),
        (say("Fresh processes"), lambda _, each: words.span(found.processes for found in each.repetitions)),
        (say("Distinct outcomes"), lambda _, each: _outcomes(each.repetitions)),
        (say("Failure rate, 95 % upper bound"), lambda _, each: _bound_in_words(each.repetitions)),
        (say("First differing denoising step"), lambda _, each: _first_step(each.pairs)),
        (say("Pattern"), lambda _, each: _patterns(each.repetitions)),
    ]


def _outcomes(repetitions: Sequence[Repetition]) -> str:
    several = [repetition for repetition in repetitions if len(repetition.outcomes) != 1]
    if not repetitions:
        return say(words.NOT_MEASURED)
    if not several:
        return say("1 in each of {count} cases and seeds", count=len(repetitions)) if len(repetitions) > 1 else "1"
    return words.clauses(
        say("{outcomes} in {key}", outcomes=words.outcome_counts(each), key=words.key(each.key)) for each in several
    )


def _bound_in_words(repetitions: Sequence[Repetition]) -> str:
    steady = [words.bound(repetition) for repetition in repetitions if len(repetition.outcomes) == 1]
    unlike = [_of_key(found.key, words.bound(found)) for found in repetitions if len(found.outcomes) != 1]
    return words.clauses([*unlike, *steady]) or say(words.NOT_MEASURED)


def _of_key(key: CaseKey, text: str) -> str:
    return say("{name}: {text}", name=words.key(key), text=text)


def _first_step(pairs: Sequence[Pair]) -> str:
    differing = [pair for pair in pairs if not pair.identical]
    steps = [(pair.first_differing_step, pair) for pair in differing if pair.first_differing_step is not None]
    if steps:
        step, pair = min(steps, key=lambda each: each[0])
        return say("step {step} ({place})", step=step, place=_place(pair))
    if differing:
        return say("no step differs, or none was kept; the difference comes later")
    return say("none: no runs differ") if pairs else say(words.NOT_MEASURED)


def _patterns(repetitions: Sequence[Repetition]) -> str:
    unlike = [repetition for repetition in repetitions if len(repetition.outcomes) > 1]
    if unlike:
        patterns = [translated(each.pattern) if each.pattern else say("not described") for each in unlike]
        return words.clauses(_of_key(each.key, text) for each, text in zip(unlike, patterns, strict=True))
    return words.clauses(translated(found.pattern) for found in repetitions if found.pattern) or words.NONE


# --- repeats, case by case --------------------------------------------------------------------------------------------


def repeat_cases(report: Report, comparison: Comparison) -> Table:
    """Determinism of each case and seed, worst first."""
    columns = (
        say("Case"),
        say("Seed"),
        say("Outcome"),
        say("Runs"),
        say("Processes"),
        say("Distinct outcomes"),
        say("First differing step"),
        say("Picture digest"),
        say("Noise digest"),
        say("Pattern"),
    )
    samples = samples_by_key(run_of(report, comparison.actual))
    parts = by_key(comparison)
    found = sorted(comparison.repetitions, key=_repetition_order)
    return table(
        columns,
        [_repeat_case(each, parts[each.key].pairs, samples.get(each.key, [])) for each in found],
        title=say("{comparison}: case by case, worst first", comparison=name_of(comparison)),
        note=say(
            "Run {run}. Digests are those of the first sample, {none} where none is known.",
            run=comparison.actual.id,
            none=words.NONE,
        ),
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
        plain(translated(repetition.pattern)),
    ]


def _noise(samples: Sequence[Sample]) -> Cell:
    digests = sorted({sample.noise_digest or "" for sample in samples})
    if "" in digests:
        return plain(term(NoiseMode.UNVERIFIED))
    if len(digests) > 1:
        return plain(say("{count} different", count=len(digests)))
    return digest(digests[0]) if digests else plain(words.NONE)


# --- pairs -----------------------------------------------------------------------------------------------------------


def pair_tables(comparison: Comparison) -> list[Table]:
    """Every value of every pair, worst first, one table for each subject.

    Pairs of one case and seed with equal numbers share a row.
    """
    groups = sorted(_grouped(comparison.pairs).values(), key=lambda pairs: _pair_order(pairs[0]))
    found = _metrics([comparison])
    tables = []
    for subject, title in _PAIR_TITLES.items():
        metrics = [metric for metric, of in found if of == subject]
        if metrics:
            columns = (
                say("Case"),
                say("Seed"),
                say("Pair"),
                say("Everything identical"),
                *([say("Visual similarity")] if subject == "image" else []),
                *(_heading(comparison, metric, subject) for metric in metrics),
            )
            rows = [_pair_row(pairs, metrics, subject) for pairs in groups]
            made = table(columns, rows, title=say(title, comparison=name_of(comparison)), fold=True)
            is_open = len(rows) <= _MOST_OPEN_ROWS and not all(pair.identical for pair in comparison.pairs)
            tables.append(replace(made, open=is_open))
    return tables


def hints(comparison: Comparison) -> Table | None:
    """What the differences look like, worst pair first; None where no pair has a hint."""
    groups = sorted(_grouped(comparison.pairs).values(), key=lambda pairs: _pair_order(pairs[0]))
    rows = [
        [
            code(pairs[0].key.case),
            figure(pairs[0].key.seed),
            plain(_pair_label(pairs)),
            plain(translated(hint.message).removeprefix(say("looks like "))),
            plain(translated(hint.where) if hint.where else say("the whole picture")),
        ]
        for pairs in groups
        for hint in pairs[0].hints
    ]
    if not rows:
        return None
    return table(
        (say("Case"), say("Seed"), say("Pair"), say("Looks like"), say("Where")),
        rows,
        title=say("{comparison}: what the differences look like", comparison=name_of(comparison)),
        note=say(
            "Hints from the pattern of the 8-bit pictures, actual relative to expected; no verdict rests on them."
        ),
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
    return words.with_remark(words.metric_name(metric), translated(unit))


def _pair_label(pairs: Sequence[Pair]) -> str:
    label = _against(pairs[0].actual, pairs[0].expected)
    return say("{pair}, and {count} alike", pair=label, count=len(pairs) - 1) if len(pairs) > 1 else label


def _pair_row(pairs: Sequence[Pair], metrics: Sequence[str], subject: str) -> list[Cell]:
    pair = pairs[0]
    measured = {(each.metric, str(each.subject)): each for each in pair.measurements}
    return [
        code(pair.key.case),
        figure(pair.key.seed),
        plain(_pair_label(pairs)),
        plain(words.yes_or_no(pair.identical)),
        *([_appearance_cell(pair)] if subject == "image" else []),
        *(_value_cell(pair, measured.get((metric, subject))) for metric in metrics),
    ]


def _appearance_cell(pair: Pair) -> Cell:
    return plain(translated(pair.appearance.words) if pair.appearance else say(words.NOT_MEASURED))


def _value_cell(pair: Pair, measurement: Measurement | None) -> Cell:
    if measurement is None:
        return plain(say(words.NOT_MEASURED))
    text = words.measured(measurement, unit=False)
    if pair.identical or not measurement.where:
        return figure(text)
    return figure(say("{value} at {place}", value=text, place=translated(measurement.where)))


def definitions(report: Report) -> Table:
    """What each metric means exactly, as the measurements themselves say."""
    found = {
        (each.metric, each.unit, each.better, each.spec)
        for comparison in report.comparisons
        for pair in comparison.pairs
        for each in pair.measurements
    }
    rows = [
        [
            plain(words.metric_name(metric)),
            code(metric),
            plain(translated(unit) if unit else say("none")),
            plain(say("higher") if better == "higher" else say("lower")),
            code(translated(spec)),
        ]
        for metric, unit, better, spec in sorted(found, key=lambda each: (words.metric_rank(each[0]), each))
    ]
    return table(
        (say("Measure"), say("Metric"), say("Unit"), say("More alike when"), say("Definition")),
        rows,
        note=say(
            "The 8-bit picture counts from 0 to 255, the float decoder output from -1 to 1, each in its own units."
        ),
    )


# --- limits ----------------------------------------------------------------------------------------------------------


def limits(report: Report) -> Table:
    """Every limit of the scenario with the reason for its number."""
    rows = [
        [code(rule(limit)), plain(words.judges(limit.scope)), plain(_reason(report, limit))]
        for limit in report.scenario.limits
    ]
    return table((say("Limit"), say("Judges"), say("Reason for the number")), rows)


def rule(limit: Limit) -> str:
    """A limit in words, with the arm and the device it is for."""
    return words.with_remark(translated(limit.rule), translated(limit.holds_for))


def _reason(report: Report, limit: Limit) -> str:
    if (found := limit.evidence) is None:
        return own_words(report.scenario, limit.reason)
    return say(
        "{reason} Measured on {date} on {device}: the worst of {amount} was {worst}; margin {margin}; rule: {rule}.",
        reason=own_words(report.scenario, limit.reason),
        date=found.date,
        device=found.device,
        amount=many("{count} value", "{count} values", found.samples),
        worst=words.number(found.worst),
        margin=words.number(found.margin),
        rule=translated(found.rule),
    )


def verdicts(comparison: Comparison) -> Table:
    """Each limit of a comparison: what was allowed, the worst that was measured, and the word."""
    return table(
        (say("Limit"), say("Verdict"), say("Worst measured"), say("Where"), say("Pairs passing")),
        [_verdict_row(comparison, limit) for limit in comparison.limits],
        title=say("{comparison}: limits", comparison=name_of(comparison)),
    )


def _verdict_row(comparison: Comparison, limit: Limit) -> list[Cell]:
    ratio = next((verdict for verdict in comparison.verdicts if verdict.limit == limit), None)
    if ratio is not None:
        return _ratio_row(ratio)
    found = [(pair, verdict) for pair in comparison.pairs for verdict in pair.verdicts if verdict.limit == limit]
    if not found:
        return [code(rule(limit)), plain(say("not judged")), *[plain(words.NONE)] * 2, plain(_kept_by(0, 0))]
    pair, verdict = min(found, key=lambda each: _verdict_order(each[1]))
    kept = sum(each.status in _KEPT for _, each in found)
    return [
        code(rule(limit)),
        word(worst([each.status for _, each in found])),
        figure(_measured(pair, verdict)),
        plain(_place(pair)),
        plain(_kept_by(kept, len(found))),
    ]


def _kept_by(kept: int, count: int) -> str:
    return many("{kept} of {count} pair", "{kept} of {count} pairs", count, kept=kept)


def _ratio_row(verdict: Verdict) -> list[Cell]:
    dual = verdict.dual
    if dual is None and verdict.measured is not None:
        where = plain(say("farther end of the 90 % interval of the difference"))
        kept = plain(say("{kept} of 1 score", kept=int(verdict.status in _KEPT)))
        return [code(rule(verdict.limit)), word(verdict.status), figure(words.number(verdict.measured)), where, kept]
    return [
        code(rule(verdict.limit)),
        word(verdict.status),
        figure(words.number(dual.ratio)) if dual else plain(words.undefined(verdict.message)),
        plain(say("root mean square over {pairs}", pairs=_pairs(len(dual.pairs))) if dual else words.NONE),
        plain(say("{kept} of 1 ratio", kept=int(verdict.status in _KEPT))),
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
    return words.number(verdict.measured) if verdict.measured is not None else words.undefined(verdict.message)


# --- one word for each case and seed ----------------------------------------------------------------------------------


def key_status(part: Comparison, key: CaseKey) -> Status:
    """The word for one case and seed, from the part of a comparison that is about it."""
    if part.failures or part.unfit:
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
    failures = [_failure(each) for each in part.failures]
    verdicts = [verdict for pair in part.pairs for verdict in pair.verdicts]
    broken = [translated(verdict.message) for verdict in verdicts if EXIT_CODES[verdict.status] != 0]
    missing = [say("the picture was expected and was not made")] if key in part.missing else []
    unstable = [_unlike(found) for found in part.repetitions if found.status is Status.UNSTABLE]
    unfit = [translated(found.message) for found in part.unfit]
    reasons = [*failures, *unfit, *map(translated, part.differences), *missing, *unstable, *broken]
    return clean(words.clauses(reasons) or _nothing_against(part, key_status(part, key)))


def _nothing_against(part: Comparison, status: Status) -> str:
    """What was seen where nothing is broken: of this case and seed, never of the whole comparison."""
    repeated = [found for found in part.repetitions if len(found.outcomes) == 1]
    if repeated and repeated[0].runs > 1:
        return many("{count} run gave the same bytes", "{count} runs gave the same bytes", repeated[0].runs)
    verdicts = [verdict for pair in part.pairs for verdict in pair.verdicts]
    waived = [translated(verdict.message) for verdict in verdicts if verdict.waiver]
    if waived:
        return words.clauses(waived)
    if verdicts:
        return translated(min(verdicts, key=_relative_room).message)
    if repeated:
        return say("one run only: nothing was repeated")
    if part.pairs and not all(pair.identical for pair in part.pairs):
        return say("measured, but no limit judges it")
    return say(words.SENTENCES[status])


def _relative_room(verdict: Verdict) -> float:
    """How far the measured value is inside its limit, in parts of the limit."""
    limit = verdict.limit
    bound = next(bound for bound in (limit.at_least, limit.at_most, limit.equals) if bound is not None)
    return _room(verdict) / (abs(bound) or 1.0)


def _failure(failure: Failure) -> str:
    return say(
        "{stage}: {error}: {message}",
        stage=term(failure.stage),
        error=failure.error,
        message=translated(failure.message),
    )


def _unlike(found: Repetition) -> str:
    return many(
        "{outcomes} distinct outcomes in {count} run: {pattern}",
        "{outcomes} distinct outcomes in {count} runs: {pattern}",
        found.runs,
        outcomes=words.outcome_counts(found),
        pattern=translated(found.pattern),
    )
