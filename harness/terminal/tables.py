"""What a command shows at the end of its work: summaries, tables, and the sentences below them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from harness.compare.pictures import are_identical
from harness.jobs.concluding import conclusion, worst_pair
from harness.readings import ladder
from harness.records import EXIT_CODES, Appearance, ReadAs, Scope, Severity, Status, unused_waivers
from harness.terminal.console import columns, new_table, print_line, print_rich, print_sentence, shown
from harness.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.text import Text

    from harness.compare.selftest import Check
    from harness.jobs.baselines import Updated
    from harness.jobs.check import Checked, Unfinished
    from harness.records import (
        Calibration,
        Comparison,
        Diagnosis,
        FolderDiff,
        Measurement,
        NameMatch,
        PicturePair,
        TensorDiff,
    )

_NARROW = 60
"""Columns below which the cells of a row stand below each other."""
_WIDEST_NAME = 28
"""Characters up to which the name of an arm is not broken."""
_LONGEST_CELL = 120
"""Characters of a reason that a table shows; a longer one follows in full below it."""

_COLOURS = {
    Status.IDENTICAL: "green",
    Status.WITHIN_LIMITS: "green",
    Status.WAIVED: "yellow",
    Status.SKIPPED: "yellow",
}

_SEVERITY_COLOURS = {
    Severity.BLOCKED: "bold red",
    Severity.WARNING: "yellow",
    Severity.HARMLESS: "cyan",
    Severity.OK: "green",
}


def summarise(checked: Sequence[Checked], unfinished: Sequence[Unfinished] = ()) -> None:
    """A table of all comparisons, failures first, then the whole in one sentence with the pages to open."""
    table_of([(job.report.scenario.name, comparison) for job in checked for comparison in job.report.comparisons])
    for job in checked:
        for scores in job.report.scores:
            for total in scores.totals:
                print_sentence(f"{job.report.scenario.name}/{scores.arm}: {total.score} {total.words}")
    pages = [path for job in checked for path in job.pages]
    text = conclusion([job.report for job in checked], pages)  # in one piece, so that paths can be copied
    for stopped in unfinished:
        print_sentence(f"{stopped.scenario}: {stopped.error}")
    if unfinished:
        names = ", ".join(stopped.scenario for stopped in unfinished)
        text = f"ERROR: {len(unfinished)} of {len(checked) + len(unfinished)} scenarios could not end ({names}). {text}"
    print_line(text)


def table_of(rows: Sequence[tuple[str, Comparison]]) -> None:
    """A row for each comparison, failures first, and a sentence for each that needs one."""
    order = list(EXIT_CODES)
    ranked = sorted(rows, key=lambda row: order.index(row[1].outcome))
    several = len({name for name, _ in rows}) > 1
    cells = [[_arms(name if several else "", judged), *_decisive(judged)] for name, judged in ranked]
    _print_rows([judged.outcome for _, judged in ranked], cells)
    for name, comparison in ranked:
        for sentence in _sentences(comparison):
            print_sentence(f"{_arms(name, comparison)}: {one_line(sentence, 400)}")
    for name in dict.fromkeys(name for name, _ in rows):
        for waiver in unused_waivers(comparison for of, comparison in rows if of == name):
            print_sentence(f"{name}: note: the waiver of {waiver.rule} by {waiver.owner} is unused; remove it")


def _print_rows(outcomes: Sequence[Status], rows: Sequence[Sequence[str]]) -> None:
    """Outcome, arms, what decided and where: beside each other, or below each other where there is no room."""
    from rich.padding import Padding
    from rich.text import Text

    if columns() < _NARROW:
        for outcome, row in zip(outcomes, rows, strict=True):
            print_rich(_word(outcome))
            print_rich(Padding(Text(shown("\n".join(filter(None, row)), sys.stdout)), (0, 0, 0, 2)))
        return
    table = new_table("verdict", "arms", "found", "where")
    table.columns[0].no_wrap = True
    table.columns[1].min_width = min(_WIDEST_NAME, max(len(word) for row in rows for word in row[0].split()))
    for outcome, row in zip(outcomes, rows, strict=True):
        table.add_row(_word(outcome), *(Text(shown(cell, sys.stdout)) for cell in row))
    print_rich(table)


def _word(outcome: Status) -> Text:
    """The outcome in words, in capitals where it is no pass: not every terminal has colours."""
    from rich.text import Text

    label = outcome.value.replace("_", " ")
    return Text(label.upper() if EXIT_CODES[outcome] else label, style=_COLOURS.get(outcome, "bold red"))


def _arms(name: str, comparison: Comparison) -> str:
    """Which arm was compared with which, after the scenario where ``name`` says it."""
    against = "itself" if comparison.scope is Scope.REPEAT else comparison.expected.arm
    return f"{name and name + '/'}{comparison.actual.arm} against {against}"


def _decisive(comparison: Comparison) -> tuple[str, str]:
    """What decided the outcome, in few words, and where."""
    outcome, repetitions = comparison.outcome, comparison.repetitions
    if outcome is Status.IDENTICAL and repetitions:
        runs = _span([repetition.runs for repetition in repetitions])
        bound = max(repetition.bound_95 for repetition in repetitions)
        return f"{runs} equal runs; failure rate, 95 % upper bound: {bound * 100:.0f} %", ""
    unstable = [repetition for repetition in repetitions if repetition.status is Status.UNSTABLE]
    if outcome is Status.UNSTABLE and unstable:
        first, cases = unstable[0], f"{len(unstable)} of {len(repetitions)} cases"
        return f"{len(first.outcomes)} outcomes in {first.runs} runs; {cases}: {first.pattern}", str(first.key)
    if comparison.scope is Scope.REFERENCE and outcome in {Status.DRIFT, Status.WAIVED, Status.WITHIN_LIMITS}:
        return _worst_value(comparison)
    failed = comparison.failures[0].key if comparison.failures else None
    return one_line(comparison.message, _LONGEST_CELL), str(failed or "")


def _worst_value(comparison: Comparison) -> tuple[str, str]:
    """The worst value by the first limit that gave the outcome, what is allowed, and where."""
    of_pairs = [(verdict, pair) for pair in comparison.pairs for verdict in pair.verdicts]
    total, outcome = len(comparison.verdicts) + len(of_pairs), comparison.outcome
    whole = [verdict for verdict in comparison.verdicts if verdict.status is outcome]
    worst = worst_pair(comparison, outcome)
    deciding = len(whole) + sum(verdict.status is outcome for verdict, _ in of_pairs)
    count = "" if outcome is Status.WITHIN_LIMITS else f"; {deciding} of {total} verdicts"
    if whole and (dual := whole[0].dual):
        return f"{dual.ratio:.6g}; allowed: {whole[0].limit.rule}{count}", str(dual.pairs[0].key)
    if whole or not worst:
        return one_line(whole[0].message if whole else comparison.message, _LONGEST_CELL), ""
    limit, pair, measured = worst
    unit = f" {measured.unit}" if measured.unit else ""
    where = f"{pair.key}, {measured.where}" if measured.where else str(pair.key)
    return f"{measured.value:.6g}{unit}; allowed: {limit.rule}{unit}{count}", where


def _sentences(comparison: Comparison) -> list[str]:
    """What a row of the table has no room for."""
    decisive, _ = _decisive(comparison)
    passed = comparison.outcome in {Status.IDENTICAL, Status.WITHIN_LIMITS}
    row_text = decisive if passed else f"{decisive} {comparison.message}"
    judged = {verdict.limit.metric for verdict in comparison.verdicts}
    rest = [
        *(verdict.message for verdict in comparison.verdicts),
        *(parity.message for parity in comparison.parities if parity.score not in judged),
        *comparison.notes,
        *([f"1 %: {all_readings.sentence}"] if (all_readings := ladder(comparison)) else []),
    ]
    complete = decisive == comparison.message and sys.stdout.isatty()  # a log has it in one line, to be searched
    sentences = [] if passed or complete else [comparison.message]
    sentences += [sentence for sentence in rest if sentence.rstrip(".") not in row_text]
    sentences += [f"note: {notice}" for notice in comparison.notices]
    if comparison.actual.simulated or comparison.expected.simulated:
        sentences.append("SIMULATED DEVICE, no evidence about real hardware")
    return sentences


def table_of_findings(diagnosis: Diagnosis) -> None:
    """A table of findings, worst first, with what is expected and the next step under each, and the whole in a line."""
    from rich.text import Text

    table = new_table("state", "about", "found")
    for finding in diagnosis.findings:
        lines = [finding.observed]
        if finding.expected:
            lines.append(f"expected: {finding.expected}")
        if finding.next_step:
            lines.append(f"next: {finding.next_step}")
        if finding.changes_numbers:
            lines.append("This can change numbers.")
        state = Text(finding.severity.value, style=_SEVERITY_COLOURS[finding.severity])
        table.add_row(state, Text(finding.name), Text(shown("\n".join(lines), sys.stdout)), end_section=True)
    print_rich(table)
    print_line(diagnosis.summary)


def changes_of(updated: Updated) -> None:
    """What replacing a baseline changed: each pair by its main metrics, then who accepted the old and the new one."""
    from rich.text import Text

    table = new_table("case", "psnr_db", "ssim", "max_abs_diff", "looks like")
    for pair in updated.comparison.pairs:
        values = {measured.metric: measured.value for measured in pair.measurements if measured.subject == "image"}
        numbers = [f"{value:.6g}" if (value := values.get(name)) is not None else "no value" for name in _MAIN]
        hints = "; ".join(hint.message for hint in pair.hints) or ("equal" if pair.identical else "")
        table.add_row(*(Text(shown(cell, sys.stdout)) for cell in (str(pair.key), *numbers, one_line(hints, 120))))
    print_rich(table)
    if not updated.comparison.pairs:
        print_line(f"no pair was measured: {updated.comparison.message}")
    for which, manifest in (("old", updated.before), ("new", updated.after)):
        accepted = f"accepted {manifest.accepted_utc} by {manifest.who}: {manifest.why}"
        print_line(f"{which}: {accepted} (digest {manifest.digest[:16]})")


_MAIN = ("psnr_db", "ssim", "max_abs_diff")
"""Metrics that tell most about a pair in few columns."""

_SHOWN = 20
"""Names of each kind that are shown; --json has all."""
_UNJUDGED = " Nothing is judged: harness diff takes limits, by --at-least and --at-most."
_UNVERIFIED = "noise: unverified; a picture file does not tell which noise it began with."


def table_of_pictures(pair: PicturePair) -> None:
    """All metrics of two picture files, and in words what the difference looks like."""
    _table_of_measurements([(measurement, measurement.where) for measurement in pair.measurements], "place")
    for hint in pair.hints:
        print_line(f"hint: {hint.message}" + (f" ({hint.where})" if hint.where else ""))
    for verdict in pair.verdicts:
        print_line(f"{verdict.status}: {verdict.limit.metric}: {one_line(verdict.message, 400)}")
    for text in pair.blank:
        print_line(f"{'error' if pair.outcome is Status.ERROR else 'note'}: {text}")
    text = "are equal byte for byte" if are_identical(pair.measurements) else "differ"
    for side, read_as in (("actual", pair.actual_read_as), ("expected", pair.expected_read_as)):
        if read_as is not ReadAs.RGB:
            print_line(f"{side} picture read as RGB: {read_as}")
    print_line(f"The pictures {text}.{_UNJUDGED * (pair.outcome is Status.SKIPPED)}")
    if pair.appearance and pair.appearance is not Appearance.IDENTICAL:
        print_line(f"visual similarity: {pair.appearance.words}; a band for reading, which judges nothing")
    print_line(_UNVERIFIED)


def table_of_folders(diff: FolderDiff) -> None:
    """The worst pair of two folders by each metric, and by name what is not as it should be."""
    if diff.worst:
        rows = [(worst.measurement, f"{worst.name} {worst.measurement.where}".strip()) for worst in diff.worst]
        _table_of_measurements(rows, "worst pair and place")
    for metric, count in diff.without_value.items():
        print_line(f"{metric}: no value for {count} pairs; the lines that --out keeps say why")
    problems = [f"{name}: {why}" for name, why in diff.problems.items()]
    for what, lines in (
        ("breaks a limit", diff.broken),
        ("shows nothing", [f"{name}: {why}" for name, why in diff.blank.items()]),
        ("not measured", problems),
        ("missing", diff.missing),
        ("unexpected", diff.unexpected),
        ("nearly matches", [_match(near) for near in diff.nearly]),
        ("paired", [_match(near) for near in diff.paired]),
        ("ignored", diff.ignored),
        ("not an image", diff.not_images),
    ):
        for line in lines[:_SHOWN]:
            print_line(f"{what}: {one_line(line, 400)}")
        if len(lines) > _SHOWN:
            print_line(f"{what}: {len(lines) - _SHOWN} more; --json names all")
    if diff.nearly:
        print_line(_next_rule(diff))
    for read_as, count in diff.read_as.items():
        print_line(f"read as RGB: {read_as}: {count} pictures")
    if diff.alpha and not diff.read_as.keys() & {ReadAs.DROPPED, ReadAs.ON_WHITE, ReadAs.ON_BLACK}:
        print_line(f"--alpha {diff.alpha} had no effect: no picture is transparent")
    print_line(f"{diff.outcome}: {diff.message}.{_UNJUDGED * (diff.outcome is Status.SKIPPED)}")
    print_line(_UNVERIFIED)


def table_of_tensors(diff: TensorDiff) -> None:
    """All metrics over all tensors and of the worst one, and by name what is not as it should be."""
    from rich.text import Text

    table = new_table("metric", "all tensors", "worst", "worst tensor")
    for measurement in diff.whole:
        values = [
            (found.value, pair.name)
            for pair in diff.pairs
            for found in pair.measurements
            if found.metric == measurement.metric and found.value is not None
        ]
        worst, name = max(values, default=(None, ""))
        cells = (measurement.metric, _number(measurement.value), _number(worst), name)
        table.add_row(*(Text(shown(cell, sys.stdout)) for cell in cells))
    if diff.whole:
        print_rich(table)
    for what, lines in _lines_of_tensors(diff):
        for line in lines[:_SHOWN]:
            print_line(f"{what}: {one_line(line, 400)}")
        if len(lines) > _SHOWN:
            print_line(f"{what}: {len(lines) - _SHOWN} more; --json names all")
    print_line(f"{diff.outcome}: {diff.message}.{_UNJUDGED * (diff.outcome is Status.SKIPPED)}")


def _lines_of_tensors(diff: TensorDiff) -> Iterator[tuple[str, list[str]]]:
    both = [(pair, pair.actual, pair.expected) for pair in diff.pairs]
    types = [
        f"{pair.name}: actual {actual.type}, expected {expected.type}"
        for pair, actual, expected in both
        if actual and expected and actual.type != expected.type
    ]
    not_finite = [
        f"{pair.name}: {side.nan} NaN and {side.infinite} infinite values in the {word} tensor"
        for pair, *sides in both
        for word, side in zip(("actual", "expected"), sides, strict=True)
        if side and (side.nan or side.infinite)
    ]
    yield "not compared", [f"{pair.name}: {pair.problem}" for pair in diff.pairs if pair.problem]
    yield "types differ", types
    yield "not finite", not_finite
    yield "shows nothing", [f"{pair.name}: {text}" for pair in diff.pairs for text in pair.blank]
    yield (
        "limit",
        [
            f"{pair.name}: {verdict.status}: {verdict.limit.metric}: {verdict.message}"
            for pair in diff.pairs
            for verdict in pair.verdicts
            if verdict.status not in {Status.IDENTICAL, Status.WITHIN_LIMITS}
        ],
    )


def _number(value: float | None) -> str:
    return "no value" if value is None else f"{value:.6g}"


def _next_rule(diff: FolderDiff) -> str:
    """What pairs the names that nearly match."""
    differs = {what for near in diff.nearly for what in near.differs}
    rules = [
        f"--pair {rule}"
        for what, rule in (("ending", "stem"), ("case", "casefold"))
        if what in differs and rule not in diff.pair
    ]
    if rules:
        return f"With {' '.join(rules)} names that nearly match are pairs, where each matches one other alone."
    return "Names that nearly match are no pairs where one could belong to several; rename them."


def _match(near: NameMatch) -> str:
    return f"{near.actual} and {near.expected} ({', '.join(near.differs)})"


def _table_of_measurements(rows: Sequence[tuple[Measurement, str]], place: str) -> None:
    from rich.text import Text

    table = new_table("metric", "value", "better", place)
    for measurement, where in rows:
        value = "no value" if measurement.value is None else f"{measurement.value:.6g} {measurement.unit}".strip()
        cells = (measurement.metric, value, measurement.better, where or one_line(measurement.problem))
        table.add_row(*(Text(shown(cell, sys.stdout)) for cell in cells))
    print_rich(table)


def table_of_checks(checks: Sequence[Check]) -> None:
    """A table of known answers and what was found, and in a line how many hold and which do not."""
    from rich.text import Text

    table = new_table("state", "check", "expected", "found")
    for check in checks:
        state = Text("ok", style="green") if check.ok else Text("WRONG", style="bold red")
        cells = (check.name, check.expected, one_line(check.found, 120))
        table.add_row(state, *(Text(shown(cell, sys.stdout)) for cell in cells))
    print_rich(table)
    wrong = [check.name for check in checks if not check.ok]
    names = f"; wrong: {'; '.join(wrong)}" if wrong else ""
    print_line(f"{len(checks) - len(wrong)} of {len(checks)} answers are right{names}")


def table_of_calibration(calibration: Calibration) -> None:
    """What correct results were apart, the limits that follow, and what those say about planted faults."""
    from rich.text import Text

    table = new_table("source", "metric", "of", "rms", "worst")
    wanted = {(limit.metric, limit.subject) for limit in calibration.limits}
    for floor in calibration.floors:
        if (floor.metric, floor.subject) in wanted:
            numbers = [f"{value:.4g} {floor.unit}".rstrip() for value in (floor.rms, floor.worst)]
            cells = (floor.source.value, floor.metric, floor.subject, *numbers)
            table.add_row(*(Text(shown(cell, sys.stdout)) for cell in cells))
    print_rich(table)
    for limit in calibration.limits:
        print_line(f"{limit.rule}: {limit.evidence.rule if limit.evidence else limit.reason}")
    for detection in calibration.detections:
        if detection.missed:
            result = f"PASSES on {len(detection.missed)} of {detection.planted} pictures, first {detection.missed[0]}"
        else:
            result = f"seen on all {detection.planted} pictures, by {'; '.join(detection.caught_by)}"
        print_line(f"planted {detection.fault}: {result}")
    if calibration.missed:
        print_line(
            f"The proposal is refused: {', '.join(calibration.missed)} would pass. Compare the candidate with a "
            "more precise reference, or run the candidate in a more precise type."
        )
    if calibration.simulated:
        print_line("SIMULATED DEVICE, no evidence about real hardware")


def _span(numbers: list[int]) -> str:
    """One number when all are equal, else the smallest and the largest."""
    if not numbers:
        return "0"
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}-{high}"
