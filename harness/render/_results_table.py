"""Rows of the tables about results: one for each comparison, for each measure, and for each case of repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import say, translated
from harness.records import NoiseMode, Scope
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render._document import Cell, Table, code, digest, figure, plain, table, word
from harness.render._format import pair_count, running
from harness.render._labels import term
from harness.render._lookup import (
    against,
    by_key,
    device_of,
    metrics_of,
    name_of,
    place_of,
    run_of,
    samples_by_key,
    sides_of,
    worst_pairs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.records import ArrayRef, CaseKey, Comparison, Measurement, Pair, Repetition, Report, RunRef, Sample

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
        none=labels.NONE,
    )
    return table(columns, [_summary_row(report, comparison) for comparison in report.comparisons], note=note)


def _summary_row(report: Report, comparison: Comparison) -> list[Cell]:
    side, other = comparison.actual, comparison.expected
    if comparison.scope is Scope.REPEAT:
        devices, repetitions = device_of(report, side), comparison.repetitions
        amounts = [
            figure(formats.span(repetition.runs for repetition in repetitions)),
            figure(formats.span(repetition.processes for repetition in repetitions)),
            figure(formats.span(len(repetition.outcomes) for repetition in repetitions)),
            plain(_bound_in_short(repetitions)),
        ]
    else:
        devices = against(device_of(report, side), device_of(report, other))
        amounts = [plain(pair_count(len(comparison.pairs))), *[plain(labels.NONE)] * 3]
    return [
        code(name_of(comparison)),
        plain(labels.judges(comparison.scope)),
        word(comparison.outcome),
        plain(devices),
        plain(_both(term(side.noise), term(other.noise))),
        plain(_both(_switches(side), _switches(other))),
        *amounts,
    ]


def _switches(side: RunRef) -> str:
    return say("not known") if side.noise is NoiseMode.UNVERIFIED else term(side.switches)


def _both(actual: str, expected: str) -> str:
    return actual if actual == expected else against(actual, expected)


def _bound_in_short(repetitions: Sequence[Repetition]) -> str:
    if any(len(repetition.outcomes) != 1 for repetition in repetitions):
        return say("runs differ")
    bounds = [repetition.bound_95 for repetition in repetitions if repetition.runs > 1]
    if not bounds or len(bounds) != len(repetitions):
        return say("any: no repeats")
    return say("up to {rate}", rate=formats.percent(max(bounds)))


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
        (
            say("Final latents identical"),
            lambda report, comparison: _identical(report, comparison, lambda sample: sample.latents),
        ),
    ]
    kinds = metrics_of(comparisons) or [(metric, "image") for metric in labels.METRICS]
    kinds = [(metric, subject) for metric, subject in kinds if subject == "image" or not of_pictures]
    single = [_worst_of_all(comparison) is not None for comparison in comparisons]
    places = {id(comparison): not alone for comparison, alone in zip(comparisons, single, strict=True)}
    worst = {id(comparison): worst_pairs(comparison.pairs) for comparison in comparisons}
    metrics: list[_Row] = [(labels.metric_name(*kind), _worst_value(kind, worst, places)) for kind in kinds]
    # The note's own order: MSE, largest and mean difference, identical, PSNR; then what it lacked.
    before = sum(kind in {("mse", "image"), ("max_abs_diff", "image"), ("mean_abs_diff", "image")} for kind in kinds)
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
        pair_and_value = worst[id(comparison)].get(kind)
        if pair_and_value is None:
            return say(labels.NOT_MEASURED)
        pair, measurement = pair_and_value
        text = formats.measured(measurement, unit=True)
        if all(_value(other, *kind) == measurement.value for other in comparison.pairs):
            return text
        if not places[id(comparison)]:
            return formats.with_remark(text, translated(measurement.where))
        return formats.with_remark(text, place_of(pair, measurement.where))

    return value


def _worst_of_all(comparison: Comparison) -> Pair | None:
    """The one pair that has the worst value of every metric that differs at all; None when there is no such pair."""
    unlike = {
        (str(pair.key), pair.actual, pair.expected): pair
        for pair, measurement in worst_pairs(comparison.pairs).values()
        if any(
            _value(other, measurement.metric, measurement.subject) != measurement.value for other in comparison.pairs
        )
    }
    return next(iter(unlike.values())) if len(unlike) == 1 else None


def _places(comparisons: Sequence[Comparison]) -> str:
    """Where the values of the table come from, for each comparison whose pairs differ from each other."""
    notes = []
    for comparison in comparisons:
        name, total = name_of(comparison), pair_count(len(comparison.pairs))
        pair = _worst_of_all(comparison)
        if pair is not None:
            notes.append(
                say("{comparison}: the worst of {total}, {place}.", comparison=name, total=total, place=place_of(pair))
            )
        elif comparison.pairs:
            notes.append(
                say("{comparison}: each value is the worst of {total}, all listed below.", comparison=name, total=total)
            )
    return running(notes)


def _value(pair: Pair, metric: str, subject: str) -> float | None:
    measurement = pair.measurement(metric, subject)
    return measurement.value if measurement else None


def _identical(report: Report, comparison: Comparison, array: Callable[[Sample], ArrayRef | None]) -> str:
    """Whether the arrays are equal within each case and seed, over all samples the comparison is about."""
    equal = [
        len({made.digest for made in arrays if made}) == 1 if all(arrays) else None
        for arrays in _arrays(report, comparison, array)
    ]
    known = [answer for answer in equal if answer is not None]
    if not known:
        return say(labels.NOT_MEASURED)
    total = pair_count(len(known))
    if comparison.scope is Scope.REPEAT:
        total = labels.key_count([one.key for one in comparison.repetitions], len(known))
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
    different, total = sum(left != right for left, right in digests), pair_count(len(digests))
    if not different:
        return say("yes, by digest, in {total}", total=total)
    return say("no, different in {count} of {total}", count=different, total=total)


def _repeat_rows() -> list[_Row]:
    return [
        (
            say("Runs of each case and seed"),
            lambda _, comparison: formats.span(repetition.runs for repetition in comparison.repetitions),
        ),
        (
            say("Fresh processes"),
            lambda _, comparison: formats.span(repetition.processes for repetition in comparison.repetitions),
        ),
        (say("Distinct outcomes"), lambda _, comparison: _outcomes(comparison.repetitions)),
        (say("Failure rate, 95 % upper bound"), lambda _, comparison: _bound_in_words(comparison.repetitions)),
        (say("First differing denoising step"), lambda _, comparison: _first_step(comparison.pairs)),
        (say("Pattern"), lambda _, comparison: _patterns(comparison.repetitions)),
    ]


def _outcomes(repetitions: Sequence[Repetition]) -> str:
    several = [repetition for repetition in repetitions if len(repetition.outcomes) != 1]
    if not repetitions:
        return say(labels.NOT_MEASURED)
    if not several:
        if any(one.key.image or one.key.frame for one in repetitions):
            return say(
                "1 in each of {things}", things=labels.key_count([one.key for one in repetitions], len(repetitions))
            )
        return say("1 in each of {count} cases and seeds", count=len(repetitions)) if len(repetitions) > 1 else "1"
    return formats.clauses(
        say("{outcomes} in {key}", outcomes=formats.outcome_counts(repetition), key=labels.key(repetition.key))
        for repetition in several
    )


def _bound_in_words(repetitions: Sequence[Repetition]) -> str:
    steady = [formats.bound(repetition) for repetition in repetitions if len(repetition.outcomes) == 1]
    unlike = [
        _of_key(repetition.key, formats.bound(repetition))
        for repetition in repetitions
        if len(repetition.outcomes) != 1
    ]
    return formats.clauses([*unlike, *steady]) or say(labels.NOT_MEASURED)


def _of_key(key: CaseKey, text: str) -> str:
    return say("{name}: {text}", name=labels.key(key), text=text)


def _first_step(pairs: Sequence[Pair]) -> str:
    differing = [pair for pair in pairs if not pair.identical]
    steps = [(pair.first_differing_step, pair) for pair in differing if pair.first_differing_step is not None]
    if steps:
        step, pair = min(steps, key=lambda step_and_pair: step_and_pair[0])
        return say("step {step} ({place})", step=step, place=place_of(pair))
    if differing:
        return say("no step differs, or none was kept; the difference comes later")
    return say("none: no runs differ") if pairs else say(labels.NOT_MEASURED)


def _patterns(repetitions: Sequence[Repetition]) -> str:
    unlike = [repetition for repetition in repetitions if len(repetition.outcomes) > 1]
    if unlike:
        patterns = [
            translated(repetition.pattern) if repetition.pattern else say("not described") for repetition in unlike
        ]
        return formats.clauses(_of_key(repetition.key, text) for repetition, text in zip(unlike, patterns, strict=True))
    return (
        formats.clauses(translated(repetition.pattern) for repetition in repetitions if repetition.pattern)
        or labels.NONE
    )


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
    repetitions = sorted(comparison.repetitions, key=_repetition_order)
    return table(
        columns,
        [
            _repeat_case(repetition, parts[repetition.key].pairs, samples.get(repetition.key, []))
            for repetition in repetitions
        ],
        title=say("{comparison}: case by case, worst first", comparison=name_of(comparison)),
        note=say(
            "Run {run}. Digests are those of the first sample, {none} where none is known.",
            run=comparison.actual.id,
            none=labels.NONE,
        ),
    )


def _repetition_order(repetition: Repetition) -> tuple[int, int, tuple[str, int, int]]:
    return (labels.RANKS[repetition.status], -len(repetition.outcomes), repetition.key.order)


def _repeat_case(repetition: Repetition, pairs: Sequence[Pair], samples: Sequence[Sample]) -> list[Cell]:
    steps = [pair.first_differing_step for pair in pairs if pair.first_differing_step is not None]
    return [
        code(repetition.key.case),
        figure(labels.seed(repetition.key)),
        word(repetition.status),
        figure(repetition.runs),
        figure(repetition.processes),
        figure(formats.outcome_counts(repetition)),
        figure(min(steps) if steps else labels.NONE),
        digest(repetition.outcomes[0].image_digest) if repetition.outcomes else plain(labels.NONE),
        _noise(samples),
        plain(translated(repetition.pattern)),
    ]


def _noise(samples: Sequence[Sample]) -> Cell:
    digests = sorted({sample.noise_digest or "" for sample in samples})
    if "" in digests:
        return plain(term(NoiseMode.UNVERIFIED))
    if len(digests) > 1:
        return plain(say("{count} different", count=len(digests)))
    return digest(digests[0]) if digests else plain(labels.NONE)
