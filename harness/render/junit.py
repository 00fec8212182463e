"""The report as JUnit XML, which CI systems read: one test case for each comparison, case and seed.

The file fails exactly when the report does: a comparison whose outcome is no pass always has a test case that says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from harness.records import EXIT_CODES, Status
from harness.render import _tables as tables
from harness.render import _words as words
from harness.render._document import clean
from harness.text import one_line, xml_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.records import Comparison, Report

FILE_NAME = "junit.xml"

_LONGEST_MESSAGE = 500
_ELEMENTS = {Status.ERROR: "error", Status.SKIPPED: "skipped"}


def render(report: Report, *, folder: Path) -> str:
    """XML of all test cases; ``folder`` is not read."""
    del folder
    root = ET.Element("testsuites", {"name": _attribute(report.title)})
    for comparison in report.comparisons:
        root.append(_suite(report, comparison))
    if not report.comparisons or _passes(report) != (EXIT_CODES[report.outcome] == 0):
        root.append(_whole(report))
    _add_up(root, list(root))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _passes(report: Report) -> bool:
    return all(EXIT_CODES[comparison.outcome] == 0 for comparison in report.comparisons)


def _suite(report: Report, comparison: Comparison) -> ET.Element:
    suite = ET.Element("testsuite", {"name": _attribute(_class_name(comparison))})
    _properties(suite, _circumstances(report, comparison))
    statuses = []
    samples = tables.samples_by_key(tables.run_of(report, comparison.actual))
    for key, part in tables.by_key(comparison).items():
        status = tables.key_status(part, key)
        statuses.append(status)
        case = _case(suite, comparison, str(key))
        case.set("time", f"{sum(sample.seconds.get('total', 0.0) for sample in samples.get(key, [])):.3f}")
        _properties(case, _numbers(part, status))
        _judge(case, status, tables.key_reason(part, key), _details(part))
    _general_failures(suite, comparison)
    said = {_verdict(status) for status in statuses} | {"error" for _ in suite.iter("error")}
    if _verdict(comparison.outcome) not in said:
        whole = _case(suite, comparison, "whole comparison")
        _judge(whole, comparison.outcome, comparison.message or words.SENTENCES[comparison.outcome], "")
    _add_up(suite, [suite])
    return suite


def _verdict(status: Status) -> str:
    return "passed" if EXIT_CODES[status] == 0 else _ELEMENTS.get(status, "failure")


def _whole(report: Report) -> ET.Element:
    suite = ET.Element("testsuite", {"name": _attribute(report.scenario.name)})
    case = ET.SubElement(suite, "testcase", {"classname": _attribute(report.scenario.name), "name": "whole report"})
    _judge(case, report.outcome, words.SENTENCES[report.outcome], "")
    _add_up(suite, [suite])
    return suite


def _case(suite: ET.Element, comparison: Comparison, name: str) -> ET.Element:
    attributes = {"classname": _attribute(_class_name(comparison)), "name": _attribute(name)}
    return ET.SubElement(suite, "testcase", attributes)


def _class_name(comparison: Comparison) -> str:
    sides = dict.fromkeys((comparison.actual.arm, comparison.expected.arm))
    return f"{comparison.scenario}.{'-against-'.join(sides)}.{comparison.scope.value}"


def _general_failures(suite: ET.Element, comparison: Comparison) -> None:
    """Failures outside any picture, such as a model that does not load, get test cases of their own."""
    for index, failure in enumerate(comparison.failures):
        if failure.key is None:
            case = _case(suite, comparison, f"{failure.stage}, process {failure.process}, failure {index + 1}")
            _judge(case, Status.ERROR, f"{failure.error}: {failure.message}", failure.traceback)


def _judge(case: ET.Element, status: Status, reason: str, details: str) -> None:
    name = _verdict(status)
    if name == "passed":
        return
    message = one_line(clean(f"{words.status_word(status)}: {reason}"), limit=_LONGEST_MESSAGE)
    attributes = {"message": _attribute(message)}
    if name != "skipped":
        attributes["type"] = status.value
    element = ET.SubElement(case, name, attributes)
    if details.strip():
        element.text = xml_text(clean(details))


def _details(part: Comparison) -> str:
    tracebacks = [failure.traceback for failure in part.failures]
    messages = [verdict.message for pair in part.pairs for verdict in pair.verdicts]
    return "\n".join([*dict.fromkeys(messages), *tracebacks])


def _circumstances(report: Report, comparison: Comparison) -> Iterator[tuple[str, str]]:
    yield "outcome", comparison.outcome.value
    for side, run in (("actual", comparison.actual), ("expected", comparison.expected)):
        yield f"{side}.run", run.id
        yield f"{side}.device", tables.device_of(report, run)
        yield f"{side}.simulated", "yes" if run.simulated else "no"
        yield f"{side}.noise", run.noise.value
        yield f"{side}.switches", run.switches.value
        if run.npu_ops is not None:
            yield f"{side}.npu_ops", run.npu_ops.value


def _numbers(part: Comparison, status: Status) -> Iterator[tuple[str, str]]:
    yield "status", status.value
    for repetition in part.repetitions:
        yield "runs", str(repetition.runs)
        yield "processes", str(repetition.processes)
        yield "distinct_outcomes", str(len(repetition.outcomes))
        yield "bound_95", words.bound(repetition)
    found = {(each.subject, each.metric) for pair in part.pairs for each in pair.measurements}
    for subject, metric in sorted(found):
        worst = tables.worst_pair(part.pairs, metric, subject)
        if worst is not None:
            yield f"worst.{subject}.{metric}", words.measured(worst[1], unit=True)


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
