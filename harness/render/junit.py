"""The report as JUnit XML, which CI systems read: one test case for each comparison, case and seed.

The file fails exactly when the report does: a comparison whose outcome is no pass always has a test case that says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from harness.records import NoiseMode
from harness.render import _format as formats
from harness.render import _labels as labels
from harness.render import _lookup as lookup
from harness.render._cases import JudgedCase, judged_cases, verdict, whole_report
from harness.render._document import clean
from harness.text import one_line, xml_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.records import Comparison, FolderDiff, PicturePair, Release, Report

FILE_NAME = "junit.xml"
FOLDERS_FILE_NAME = FILE_NAME

_LONGEST_MESSAGE = 500


def render(report: Report, *, folder: Path) -> str:
    """XML of all test cases; ``folder`` is not read."""
    del folder
    return _text(report.title, list(_suites(report)))


def render_release(release: Release, *, folders: Mapping[str, Path]) -> str:
    """XML of all test cases of all jobs, and of everything that is missing as an error; ``folders`` are not read."""
    del folders
    suites = []
    for job in release.jobs:
        for suite in _suites(job.report):
            suite.set("name", _attribute(f"{job.job}.{suite.get('name')}"))
            suites.append(suite)
    if release.missing:
        suite = ET.Element("testsuite", {"name": "missing"})
        for gap in release.missing:
            name = ", ".join(filter(None, (gap.arm or "whole scenario", gap.job)))
            _add_case(suite, gap.scenario, JudgedCase(name=name, status=gap.status, reason=f"MISSING: {gap.reason}"))
        _add_up(suite, [suite])
        suites.append(suite)
    return _text(release.name, suites)


def render_folders(diff: FolderDiff, pairs: Sequence[PicturePair], *, folders: tuple[Path, Path] | None) -> str:
    """XML with a test case for each name of two folders of picture files; ``folders`` are not read."""
    del folders
    name = f"{diff.actual}.against.{diff.expected}"
    suite = ET.Element("testsuite", {"name": _attribute(name)})
    for pair in pairs:
        messages = [pair.problem, *pair.blank, *(verdict.message for verdict in pair.verdicts)]
        messages += [hint.message for hint in pair.hints]
        _add_case(
            suite, name, JudgedCase(name=pair.name, status=pair.outcome, reason="; ".join(filter(None, messages)))
        )
    _add_up(suite, [suite])
    return _text(name, [suite])


def _text(name: str, suites: list[ET.Element]) -> str:
    root = ET.Element("testsuites", {"name": _attribute(name)})
    root.extend(suites)
    _add_up(root, suites)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suites(report: Report) -> Iterator[ET.Element]:
    yield from (_suite(report, comparison) for comparison in report.comparisons)
    if (whole := whole_report(report)) is not None:
        suite = ET.Element("testsuite", {"name": _attribute(report.scenario.name)})
        _add_case(suite, report.scenario.name, whole)
        _add_up(suite, [suite])
        yield suite


def _suite(report: Report, comparison: Comparison) -> ET.Element:
    name = _class_name(comparison)
    suite = ET.Element("testsuite", {"name": _attribute(name)})
    _properties(suite, _circumstances(report, comparison))
    run = lookup.run_of(report, comparison.actual)
    samples = lookup.samples_by_key(run)
    for judged in judged_cases(comparison):
        case = _add_case(suite, name, judged)
        if judged.key is not None:
            made = samples.get(judged.key, [])
            seconds = sum(sample.seconds.get("total", 0.0) for sample in made)
            # The images of one call have its time in common, and a CI system adds up.
            case.set("time", f"{seconds / (len(run.plan.keys_of(judged.key.call)) if run else 1):.3f}")
    _add_up(suite, [suite])
    return suite


def _add_case(suite: ET.Element, class_name: str, judged: JudgedCase) -> ET.Element:
    attributes = {"classname": _attribute(class_name), "name": _attribute(judged.name)}
    case = ET.SubElement(suite, "testcase", attributes)
    _properties(case, _numbers(judged))
    _judge(case, judged)
    return case


def _class_name(comparison: Comparison) -> str:
    sides = dict.fromkeys((comparison.actual.arm, comparison.expected.arm))
    return f"{comparison.scenario}.{'-against-'.join(sides)}.{comparison.scope.value}"


def _judge(case: ET.Element, judged: JudgedCase) -> None:
    name = verdict(judged.status)
    if name == "passed":
        return
    message = one_line(clean(f"{labels.status_word(judged.status)}: {judged.reason}"), limit=_LONGEST_MESSAGE)
    attributes = {"message": _attribute(message)}
    if name != "skipped":
        attributes["type"] = judged.status.value
    element = ET.SubElement(case, name, attributes)
    if judged.details.strip():
        element.text = xml_text(clean(judged.details))


def _circumstances(report: Report, comparison: Comparison) -> Iterator[tuple[str, str]]:
    yield "outcome", comparison.outcome.value
    for side, run in (("actual", comparison.actual), ("expected", comparison.expected)):
        yield f"{side}.run", run.id
        yield f"{side}.device", lookup.device_of(report, run)
        yield f"{side}.simulated", "yes" if run.simulated else "no"
        yield f"{side}.noise", run.noise.value
        if run.noise is not NoiseMode.UNVERIFIED:  # else they are not known
            yield f"{side}.switches", run.switches.value
        if (made := lookup.run_of(report, run)) is not None and made.retried:
            reasons = dict.fromkeys(failure.message for failure in made.retried)
            yield f"{side}.retried", one_line(f"{len(made.retried)}: {'; '.join(reasons)}", limit=_LONGEST_MESSAGE)
        if run.npu_ops is not None:
            yield f"{side}.npu_ops", run.npu_ops.value
    for judgement in comparison.verdicts:
        kind = "dual_ratio" if judgement.limit.ratio_to else "parity"
        yield f"{kind}.{judgement.limit.subject}.{judgement.limit.metric}", judgement.message
    for notice in comparison.notices:
        yield "notice", notice


def _numbers(judged: JudgedCase) -> Iterator[tuple[str, str]]:
    yield "status", judged.status.value
    yield "reason", one_line(judged.reason, limit=_LONGEST_MESSAGE)
    if judged.part is None:
        return
    for repetition in judged.part.repetitions:
        yield "runs", str(repetition.runs)
        yield "processes", str(repetition.processes)
        yield "distinct_outcomes", str(len(repetition.outcomes))
        yield "bound_95", formats.bound(repetition)
    waived = [judgement.message for pair in judged.part.pairs for judgement in pair.verdicts if judgement.waiver]
    for message in dict.fromkeys(waived):
        yield "waived", message
    kinds = {
        (measurement.subject, measurement.metric) for pair in judged.part.pairs for measurement in pair.measurements
    }
    for subject, metric in sorted(kinds):
        worst = lookup.worst_pair(judged.part.pairs, metric, subject)
        if worst is not None:
            yield f"worst.{subject}.{metric}", formats.measured(worst[1], unit=True)


def _properties(element: ET.Element, values: Iterator[tuple[str, str]]) -> None:
    properties = ET.SubElement(element, "properties")
    for name, value in values:
        ET.SubElement(properties, "property", {"name": _attribute(name), "value": _attribute(value)})


def _add_up(element: ET.Element, suites: list[ET.Element]) -> None:
    cases = [case for suite in suites for case in suite.iter("testcase")]
    element.set("tests", str(len(cases)))
    for plural, name in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(plural, str(sum(case.find(name) is not None for case in cases)))
    element.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")


def _attribute(text: str) -> str:
    return xml_text(clean(text))
