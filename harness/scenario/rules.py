"""What the records of a scenario cannot say: names, limits, waivers and other keys that must fit each other."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import ValidationError

from harness import plugins
from harness.errors import UnknownName, UsageError
from harness.host import THREAD_VARIABLES
from harness.language import languages
from harness.records import AnyRecord, Arm, Limit, Role, Scope, SwitchMode, Waiver
from harness.scenario.devices import check_device, is_cpu
from harness.scenario.messages import shown_key
from harness.variables import OF_THE_HARNESS
from harness.yaml_tree import Node, Problem, json_of, nearest, quoted, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path


BOUNDS = ("at_least", "at_most", "equals")


def _nodes(root: Node, key: str) -> list[Node]:
    node = root.child(key)
    return node.entries if node else []


def valid_records(root: Node, key: str, kind: type[AnyRecord]) -> Iterator[tuple[str, Node, AnyRecord]]:
    """Label, node and record of those entries that are such a record; the validation has reported the others."""
    for index, node in enumerate(_nodes(root, key)):
        with suppress(ValidationError):
            yield f"{key}[{index}]", node, kind.model_validate_json(json_of(node), strict=True)


def name_problems(root: Node, path: Path) -> Iterator[Problem]:
    """A name that is not the file's."""
    name = root.text("name")
    if name is not None and name != path.stem:
        allowed = f"allowed is {quoted(path.stem)}, the name of the file. Rename one of the two."
        yield Problem(root.place_of("name"), f"name: found {quoted(name)}; {allowed}")


def blank_problems(root: Node) -> Iterator[Problem]:
    """Texts that are not empty and still say nothing."""
    texts = [("summary", root, "summary")]
    texts += [(f"cases[{index}].prompt", node, "prompt") for index, node in enumerate(_nodes(root, "cases"))]
    texts += [(f"limits[{index}].reason", node, "reason") for index, node in enumerate(_nodes(root, "limits"))]
    for index, node in enumerate(_nodes(root, "waivers")):
        texts += [(f"waivers[{index}].{key}", node, key) for key in ("reason", "owner")]
    meant = root.child("differs_in")
    texts += [(f"differs_in.{key}", meant, key) for key, _ in _items(meant) if meant is not None]
    for label, node, key in texts:
        if (node.text(key) or "x").isspace():
            refused = (
                "a limit without a reason is refused"
                if label.startswith("limits")
                else "allowed is a text that says something"
            )
            yield Problem(node.place_of(key), f"{label}: found only spaces; {refused}. Write what it has to say.")


def repetition_problems(root: Node) -> Iterator[Problem]:
    """Ids of cases, names of arms and seeds that stand there more than once."""
    ids = [inner for node in _nodes(root, "cases") if (inner := node.child("id"))]
    names = [inner for node in _nodes(root, "arms") if (inner := node.child("name"))]
    for what, nodes in (("cases: the id", ids), ("arms: the name", names), ("seeds: the seed", _nodes(root, "seeds"))):
        for first, again in _repeated(nodes):
            value = quoted(again.value) if isinstance(again.value, str) else again.value
            yield Problem(
                again.place,
                f"{what} {value} stands here again, first in line {first.place.line}; allowed is once. "
                "Change or remove one of the two.",
            )


def _repeated(nodes: Iterable[Node]) -> Iterator[tuple[Node, Node]]:
    """First and later node of every text or whole number that comes more than once."""
    seen: dict[str | int, Node] = {}
    for node in nodes:
        if isinstance(node.value, str | int) and not isinstance(node.value, bool):
            first = seen.setdefault(node.value, node)
            if first is not node:
                yield first, node


def arm_problems(root: Node) -> Iterator[Problem]:
    """Arms that do not go together, and devices that do not exist."""
    yield from _npu_ops_problems(root)
    yield from _environment_problems(root)
    yield from _baseline_problems(root)
    arms = list(valid_records(root, "arms", Arm))
    yield from _against_problems(arms)
    for label, node, arm in arms:
        try:
            check_device(arm.device)
        except UsageError as error:
            yield Problem(node.place_of("device"), f"{label}.device: {error}")
    references = [(label, node) for label, node, arm in arms if arm.role is Role.REFERENCE]
    if not references:
        return
    if len(references) == len(_nodes(root, "arms")):
        yield Problem(
            root.place_of("arms"),
            "arms: found references only; allowed is at least one candidate, which is what is validated. "
            "Add an arm, or remove one 'role: reference'.",
        )
    if not any(node.text("scope") == Scope.REFERENCE for node in _nodes(root, "limits")):
        label, node = references[0]
        yield Problem(
            node.place_of("role"),
            f"{label}: found a reference, and no limit with scope: reference that would judge by it; allowed is a "
            "reference with at least one such limit. Add the limit, with its reason, or remove the arm.",
        )


def _baseline_problems(root: Node) -> Iterator[Problem]:
    """What is validated is run; only what it is compared with may be read from the store."""
    for index, node in enumerate(_nodes(root, "arms")):
        wanted = node.child("baseline")
        if wanted is not None and wanted.value is True and node.text("role") != Role.REFERENCE:
            yield Problem(
                node.place_of("baseline"),
                f"arms[{index}].baseline: found in a candidate; allowed is an arm with role: reference, because a "
                "candidate is run. Write 'role: reference', or remove baseline.",
            )


def _against_problems(arms: Sequence[tuple[str, Node, Arm]]) -> Iterator[Problem]:
    """A candidate names references of the scenario, and a reference names none."""
    references = [arm.name for _, _, arm in arms if arm.role is Role.REFERENCE]
    for label, node, arm in arms:
        if arm.against is None:
            continue
        if arm.role is Role.REFERENCE:
            yield Problem(
                node.place_of("against"),
                f"{label}.against: found in a reference; allowed is a candidate, which is what references are for. "
                "Remove the key.",
            )
        for name in arm.against:
            if name not in references:
                error = UnknownName("reference arm", name, references)
                yield Problem(node.place_of("against"), f"{label}.against: {error}")


_SECRETS = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "API_KEY")
"""Parts of the names of variables whose values no record may hold."""


def _environment_problems(root: Node) -> Iterator[Problem]:
    """Variables of arms that the harness sets itself, and those that hold secrets."""
    for index, node in enumerate(_nodes(root, "arms")):
        if not node.child("environment"):
            continue
        switches = SwitchMode.AS_SHIPPED if _switches(root, node) == SwitchMode.AS_SHIPPED else SwitchMode.DETERMINISTIC
        starts = [plugins.load("backends", name).start_environment(switches) for name in plugins.names("backends")]
        own = {*OF_THE_HARNESS, *(name for start in starts for name in start)}
        for name, value in _items(node.child("environment")):
            place, label = value.key_place or value.place, f"arms[{index}].environment.{shown_key(name)}"
            if name in THREAD_VARIABLES:
                yield Problem(place, f"{label}: allowed is 'threads' of the arm. Write it there.")
            elif name in own:
                yield Problem(
                    place,
                    f"{label}: found a variable that the harness sets itself in this arm; allowed are others. Remove "
                    "it.",
                )
            elif any(word in name.upper() for word in _SECRETS):
                yield Problem(
                    place,
                    f"{label}: found a name of a secret, and records hold what a scenario says; allowed are variables "
                    "that anyone may read. Set it in the shell before the command, and remove it here.",
                )


def _switches(root: Node, arm: Node) -> str | None:
    return arm.text("switches") or root.text("switches")


def _npu_ops_problems(root: Node) -> Iterator[Problem]:
    """Fused operators are answered for CPU arms only; on a card the card answers."""
    for index, node in enumerate(_nodes(root, "arms")):
        device = node.text("device") or "auto"
        if node.text("npu_ops") and not is_cpu(device):
            yield Problem(
                node.place_of("npu_ops"),
                f"arms[{index}].npu_ops: found in an arm with device: {device}; allowed is an arm with device: cpu, "
                "where no card answers. Change the device, or remove npu_ops.",
            )


def format_problems(root: Node) -> Iterator[Problem]:
    """Formats of reports that nobody writes."""
    known = plugins.names("render")
    for index, node in enumerate(_nodes(root, "formats")):
        if isinstance(node.value, str) and node.value not in known:
            yield Problem(node.place, f"formats[{index}]: {UnknownName('report format', node.value, known)}")


def limit_problems(root: Node) -> Iterator[Problem]:
    """Limits that judge nothing: bounds, metrics, subjects and places that do not fit."""
    for index, node in enumerate(_nodes(root, "limits")):
        if isinstance(node.value, dict):
            yield from _bound_problems(f"limits[{index}]", node)
            yield from _dual_problems(f"limits[{index}]", node)
    limits = list(valid_records(root, "limits", Limit))
    for label, node, limit in limits:
        yield from _limit_place_problems(root, label, node, limit)
        if limit.ratio_to is not None and not any(_caps(other, limit) for _, _, other in limits):
            of = "" if limit.subject == "image" else f"subject: {limit.subject}, "
            yield Problem(
                node.place_of("ratio_to"),
                f"{label}.ratio_to: found a limit on a ratio alone, which two arms that are both wrong keep; allowed "
                f"is one with an absolute limit beside it. Add a limit with metric: {limit.metric}, {of}scope: "
                f"reference, arm: {limit.arm} and at_most, with its reason.",
            )
        if limit.metric in plugins.names("scores"):
            yield from _score_limit_problems(root, label, node, limit)
            continue
        try:
            metric = plugins.load("metrics", limit.metric)
        except UnknownName as error:
            yield Problem(node.place_of("metric"), f"{label}.metric: {error}")
            continue
        subjects = metric.SUBJECTS
        if limit.ratio_to is not None and not hasattr(metric, "rounding_floor"):
            known = [
                name for name in plugins.names("metrics") if hasattr(plugins.load("metrics", name), "rounding_floor")
            ]
            yield Problem(
                node.place_of("metric"),
                f"{label}.metric: found {quoted(limit.metric)}, of which no ratio has a meaning; allowed with ratio_to "
                f"is an error that is 0 for equal pictures: {', '.join(known)}. Choose one, or remove ratio_to.",
            )
        if limit.subject not in subjects:
            yield Problem(
                node.place_of("subject"),
                f"{label}.subject: found {limit.subject!r}, on which the metric {limit.metric!r} is not defined; "
                f"allowed is {' or '.join(subjects)}. Change the subject, or choose another metric.",
            )


def score_problems(root: Node) -> Iterator[Problem]:
    """Scores that nothing can give, or that are asked for twice."""
    nodes = _nodes(root, "scores")
    for index, node in enumerate(nodes):
        if isinstance(node.value, str) and node.value not in plugins.names("scores"):
            yield Problem(node.place, f"scores[{index}]: {UnknownName('score', node.value, plugins.names('scores'))}")
    for first, again in _repeated(nodes):
        yield Problem(
            again.place,
            f"scores: {quoted(str(again.value))} stands here again, first in line {first.place.line}; allowed is once. "
            "Remove one of the two.",
        )


def _score_limit_problems(root: Node, label: str, node: Node, limit: Limit) -> Iterator[Problem]:
    """A limit on a score judges how far two arms may be apart, over all cases and seeds together."""
    if limit.metric not in [score.value for score in _nodes(root, "scores")]:
        yield Problem(
            node.place_of("metric"),
            f"{label}.metric: found the score {quoted(limit.metric)}, for which the scenario does not ask; allowed is "
            f"one of its scores. Add 'scores: [{limit.metric}]'.",
        )
    if limit.scope is not Scope.REFERENCE or limit.ratio_to is not None or limit.subject != "image":
        yield Problem(
            node.place,
            f"{label}: found a limit on a score with scope: {limit.scope}, subject: {limit.subject} and ratio_to: "
            f"{limit.ratio_to}; allowed is scope: reference without the other two, because it judges the difference of "
            "two arms. Change the keys.",
        )
    if limit.at_most is None or not 0 < limit.at_most < 1:
        yield Problem(
            node.place,
            f"{label}: found {limit.rule}; allowed is at_most with a number above 0 and below 1, the largest "
            "difference of two arms that counts as equivalent. Write 'at_most: 0.01' for one percentage point.",
        )


def _dual_problems(label: str, limit: Node) -> Iterator[Problem]:
    """What else a limit must say when it judges a ratio."""
    if not limit.text("ratio_to"):
        return
    place, observed = limit.place_of("ratio_to"), f"{label}.ratio_to: found {quoted(limit.text('ratio_to') or '')}"
    if limit.text("scope") == Scope.REPEAT:
        yield Problem(place, f"{observed} with scope: repeat; allowed is scope: reference. Change one of the two.")
    elif not limit.text("arm"):
        step = "Add a line 'arm: ...' with a reference arm."
        yield Problem(place, f"{observed} and no arm; allowed is an arm that both are compared with. {step}")
    elif limit.text("arm") == limit.text("ratio_to"):
        step = "Name the reference that both are compared with in arm."
        yield Problem(place, f"{observed}, which is also the arm; allowed are two reference arms. {step}")
    elif any((node := limit.child(bound)) and node.value is not None for bound in ("at_least", "equals")):
        yield Problem(place, f"{observed} without at_most; allowed is a ratio that is at most a number. Write at_most.")


def _caps(absolute: Limit, ratio: Limit) -> bool:
    """Whether a limit bounds the value itself wherever another one judges its ratio."""
    return (
        absolute.ratio_to is None
        and (absolute.metric, absolute.subject, absolute.scope) == (ratio.metric, ratio.subject, ratio.scope)
        and absolute.arm in {None, ratio.arm}
        and (ratio.device or "").lower().startswith((absolute.device or "").lower())
        and absolute.at_least is None
    )


def _limit_place_problems(root: Node, label: str, node: Node, limit: Limit) -> Iterator[Problem]:
    """Arms and devices of a limit that do not exist."""
    arms = _arm_roles(root)
    references = [name for name, role in arms.items() if role == Role.REFERENCE]
    kind, allowed = ("arm", list(arms)) if limit.scope is Scope.REPEAT else ("reference arm", references)
    for key, name, known in (("arm", limit.arm, allowed), ("ratio_to", limit.ratio_to, references)):
        if name is not None and name not in known:
            yield Problem(node.place_of(key), f"{label}.{key}: {UnknownName(kind, name, known)}")
    backend, colon, product = (limit.device or "").partition(":")
    if limit.device is not None and backend.lower() not in plugins.names("backends"):
        unknown = UnknownName("backend", backend, plugins.names("backends"))
        yield Problem(node.place_of("device"), f"{label}.device: {unknown}")
    elif colon and (not product.strip() or product.isdecimal()):
        yield Problem(
            node.place_of("device"),
            f"{label}.device: found {quoted(limit.device or '')}; allowed after the colon is the beginning of a "
            f"product's name, as harness doctor shows it. Write {backend}:NAME, or {backend} alone for every product.",
        )


def _arm_roles(root: Node) -> dict[str, str]:
    """Role of every arm by name, as far as they can be read; a file without arms has one."""
    if root.child("arms") is None:
        return {"candidate": Role.CANDIDATE}
    return {name: node.text("role") or Role.CANDIDATE for node in _nodes(root, "arms") if (name := node.text("name"))}


def waiver_problems(root: Node) -> Iterator[Problem]:
    """Waivers that name nothing there is: whoever wrote them meant something else."""
    limits = [(node.text("metric"), node.text("scope")) for node in _nodes(root, "limits")]
    cases = [name for node in _nodes(root, "cases") if (name := node.text("id"))]
    for label, node, waiver in valid_records(root, "waivers", Waiver):
        metrics = sorted({metric for metric, scope in limits if metric and scope == waiver.scope})
        if not metrics:
            yield Problem(
                node.place_of("scope"),
                f"{label}.scope: found {waiver.scope}, for which there is no limit; allowed is the scope of a limit. "
                "Change the scope, or remove the waiver.",
            )
        for key, what, name, known in (
            ("metric", f"metric with a limit of scope {waiver.scope}", waiver.metric, metrics),
            ("arm", "arm", waiver.arm, list(_arm_roles(root))),
            ("case", "case", waiver.case, cases),
        ):
            if name is not None and known and name not in known:
                yield Problem(node.place_of(key), f"{label}.{key}: {UnknownName(what, name, known)}")


def calibration_problems(root: Node) -> Iterator[Problem]:
    """Limits that were measured on what they judge would prove nothing."""
    calibration = root.child("calibration")
    if calibration is None:
        return
    seeds = [node.value for node in _nodes(root, "seeds")]
    for index, node in enumerate(_nodes(calibration, "seeds")):
        if node.value in seeds:
            yield Problem(
                node.place,
                f"calibration.seeds[{index}]: found {shown(node.value)}, which is among the seeds that the limits "
                "judge; allowed are other seeds. Change it here, or take it out of seeds.",
            )
    for first, again in _repeated(_nodes(calibration, "seeds")):
        yield Problem(
            again.place,
            f"calibration.seeds: the seed {again.value} stands here again, first in line {first.place.line}; allowed "
            "is once. Change or remove one of the two.",
        )
    known = [case for node in _nodes(root, "cases") if (case := node.text("id")) is not None]
    for index, node in enumerate(_nodes(calibration, "cases")):
        if isinstance(node.value, str) and node.value not in known:
            yield Problem(node.place, f"calibration.cases[{index}]: {UnknownName('case', node.value, known)}")


def translation_problems(root: Node) -> Iterator[Problem]:
    """Translations into no language of reports, or of what the scenario does not say."""
    reasons = [node.text("reason") for key in ("limits", "waivers") for node in _nodes(root, key)]
    reasons += [node.value for _, node in _items(root.child("differs_in")) if isinstance(node.value, str)]
    prose = [text for text in (root.text("summary"), *reasons) if text]
    translations = root.child("translations")
    for code, by_text in _items(translations):
        if code not in languages():
            unknown = UnknownName("language", code, languages())
            yield Problem(by_text.key_place or by_text.place, f"translations.{shown_key(code)}: {unknown}")
        for text, node in _items(by_text):
            place, label = node.key_place or node.place, f"translations.{shown_key(code)}"
            if text not in prose:
                near = nearest(text, prose)
                step = f"Did you mean {quoted(near)}?" if near else "Write the text as it stands there, or remove it."
                yield Problem(
                    place,
                    f"{label}: found {quoted(text)}, which the scenario does not say; allowed are its summary and the "
                    f"reasons of its limits, waivers and differs_in. {step}",
                )
            if isinstance(node.value, str) and node.value.isspace():
                yield Problem(node.place, f"{label}: found only spaces; allowed is a text that says something.")


def _items(node: Node | None) -> list[tuple[str, Node]]:
    """Keys and values of a mapping; nothing for any other value."""
    return list(node.value.items()) if node and isinstance(node.value, dict) else []


def _bound_problems(label: str, limit: Node) -> Iterator[Problem]:
    given = {key: node for key in BOUNDS if (node := limit.child(key)) and node.value is not None}
    allowed = "allowed is exactly one of at_least, at_most, equals"
    if not given:
        yield Problem(limit.place, f"{label}: found no bound; {allowed}. Add the one you mean.")
    if len(given) > 1:
        observed = " and ".join(given)
        yield Problem(limit.place, f"{label}: found {observed}; {allowed}. Write one limit for each.")
    for key, node in given.items():
        unbreakable = {"at_least": -math.inf, "at_most": math.inf}.get(key)
        if isinstance(node.value, float) and (math.isnan(node.value) or node.value == unbreakable):
            step = "Write the number that must be kept."
            yield Problem(
                node.place, f"{label}.{key}: found {node.value}; allowed is a number that a value can break. {step}"
            )
        # The records read these words back from JSON; here they are a slip.
        if isinstance(node.value, str) and node.value in {"inf", "-inf", "nan"}:
            observed = f"found {quoted(node.value)} (a text)"
            yield Problem(node.place, f"{label}.{key}: {observed}; allowed is a number. Write .inf or -.inf.")
