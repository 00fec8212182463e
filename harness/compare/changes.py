"""What is not the same in two jobs of one scenario: versions, devices, switches, settings, and what was asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness.records import ChangeKind, TrendChange, json_digest
from harness.records.base import TEXT_ALONE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.records import Report, Run

_LONGEST = 60
"""Characters of a value that is shown as it is."""

_NOT_ASKED = {"name", "summary", "translations", "formats", "tags", "schema_version"}
"""Fields of a scenario that change no picture and no verdict."""

_BOUNDS = ("at_least", "at_most", "equals")


def changes(before: Report, after: Report) -> list[TrendChange]:
    """Everything that differs, what concerns several arms once."""
    by_change: dict[tuple[ChangeKind, str, str, str], list[str]] = {}
    for kind, name, old, new in _differing(_asked(before), _asked(after)):
        by_change[kind, name, old, new] = []
    old_runs = {run.plan.arm.name: run for run in before.runs}
    for run in after.runs:
        arm = run.plan.arm.name
        if arm in old_runs:
            for change in _differing(_circumstances(old_runs[arm]), _circumstances(run)):
                by_change.setdefault(change, []).append(arm)
    return [
        TrendChange(kind=kind, name=name, arms=arms, before=old, after=new)
        for (kind, name, old, new), arms in sorted(by_change.items(), key=lambda item: _order(item[0]))
    ]


def _order(change: tuple[ChangeKind, str, str, str]) -> tuple[int, str, str]:
    return list(ChangeKind).index(change[0]), change[1], change[3]


Facts = dict[tuple[ChangeKind, str], str]


def _differing(before: Facts, after: Facts) -> Iterator[tuple[ChangeKind, str, str, str]]:
    for kind, name in dict.fromkeys([*before, *after]):
        old, new = before.get((kind, name), ""), after.get((kind, name), "")
        if old != new:
            yield kind, name, old, new


def _asked(report: Report) -> Facts:
    """What the scenario asks, by its fields, and by their entries where these have names."""
    scenario = report.scenario
    fields = scenario.model_dump(mode="json", exclude=_NOT_ASKED, context=TEXT_ALONE)
    facts: Facts = {}
    for name, value in fields.items():
        for inner, entry in _entries(name, value):
            facts[ChangeKind.SCENARIO, inner] = _shown(entry)
    return facts


def _entries(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A field as its entries: a record by its keys, cases and arms by their names, limits by what they judge."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _entries(f"{name}.{key}", entry)
    elif name == "limits":
        for limit in value:
            kinds = [limit[key] for key in ("metric", "subject", "scope", "arm", "device", "ratio_to") if limit[key]]
            yield f"limit {' '.join(kinds)}", {key: limit[key] for key in _BOUNDS if limit[key] is not None}
    elif name in {"cases", "arms"}:
        for entry in value:
            identity = entry.get("id") or entry.get("name")
            for key, inner in entry.items():
                yield from _entries(f"{name}.{identity}.{key}", inner)
    else:
        yield name, value


def _shown(value: Any) -> str:
    """A value as it is, or how much it holds and the beginning of its digest; empty for nothing."""
    if value in (None, [], {}):
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= _LONGEST:
        return text.strip("{}").replace('"', "") if isinstance(value, dict) else text
    return f"{len(value)} ({json_digest(value)[:8]}…)"


def _circumstances(run: Run) -> Facts:
    """All that a run records of how it was made and that no job should change in silence."""
    plan = run.plan
    facts: Facts = {
        (ChangeKind.SETTING, "dtype"): plan.model.dtype,
        (ChangeKind.SETTING, "attention"): plan.model.attention,
        (ChangeKind.SETTING, "noise"): plan.noise.value,
        (ChangeKind.SETTING, "switches"): plan.switches.value,
        (ChangeKind.CODE, "code_digest"): run.code_digest[:12],
    }
    if (environment := run.environment) is None:
        return facts
    named: Mapping[tuple[ChangeKind, str], object] = {
        (ChangeKind.DEVICE, "device"): environment.device_name,
        (ChangeKind.DEVICE, "operators of torch_npu"): environment.npu_ops.value if environment.npu_ops else "",
        (ChangeKind.HOST, "python"): environment.python,
        (ChangeKind.HOST, "system"): environment.os,
        (ChangeKind.HOST, "processor"): f"{environment.cpu}, {environment.cpu_count}",
        (ChangeKind.CODE, "commit"): environment.commit or "",
    }
    facts |= {name: str(value) for name, value in named.items()}
    facts |= {(ChangeKind.DEVICE, name): value for name, value in environment.facts.items()}
    facts |= {(ChangeKind.PACKAGE, name): version for name, version in environment.packages.items()}
    # What a backend sets in either switch mode moves no number: it differs by how busy the machine was.
    facts |= {
        (ChangeKind.SWITCH, switch.name): switch.effective or ""
        for switch in environment.switches
        if switch.source != "backend"
    }
    return facts
