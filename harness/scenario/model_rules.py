"""Rules for the models of a scenario, its own and those of arms: adapters and what belongs to them."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import ValidationError

from harness import plugins
from harness.contracts import is_outside, loading_keys, size_multiple, takes_options
from harness.errors import ModelError, UnknownName, UsageError
from harness.records import Load, ModelRef, NoiseMode
from harness.scenario.devices import refuse_other_device
from harness.scenario.messages import OPTIONS, option_faults
from harness.yaml_tree import Node, Place, Problem, json_of, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.contracts import Adapter, OutsideAdapter

_OF_ONE_ADAPTER = {"pictures": "images", "command": "command"}
"""Keys of a model that only one adapter knows."""
_OF_THE_ARM = ("load", "options", "command")
"""Keys of a model that an arm has beside its ``model``."""
_MODEL_OPTIONS = "model.options"
_OF_ANY_ADAPTER = ("source", "dtype", "attention")


@dataclass(frozen=True, kw_only=True)
class WrittenKey:
    """One key of a model, and where it stands."""

    label: str
    """Its place in words, such as ``arms[1].command``."""
    node: Node
    """Its value."""


@dataclass(frozen=True, kw_only=True)
class WrittenModel:
    """The model of a scenario, or that of an arm which has another, as the file has it."""

    keys: Mapping[str, WrittenKey]
    """What is said of it, each key where it stands."""
    place: Place
    """Where the model, or the arm, begins."""
    arms: list[tuple[str, Node]] = field(default_factory=list)
    """Arms that run it, with their labels."""

    @property
    def adapter(self) -> str:
        """Name of the adapter."""
        key = self.keys.get("adapter")
        written = key.node.value if key else None
        return written if isinstance(written, str) else str(ModelRef.model_fields["adapter"].default)

    @property
    def described(self) -> ModelRef | None:
        """The record; None where it is none, which the validation has reported."""
        with suppress(ValidationError):
            values = {name: json.loads(json_of(key.node)) for name, key in self.keys.items()}
            return ModelRef.model_validate_json(json.dumps({"source": ".", **values}), strict=True)
        return None

    def own(self, *words: str) -> WrittenKey | None:
        """The first of these keys that is written."""
        return next((self.keys[word] for word in words if word in self.keys), None)


def written_models(root: Node) -> list[WrittenModel]:
    """The scenario's model with the arms that run it, and one for each arm that has another."""
    model = root.child("model")
    if model is None or not isinstance(model.value, dict):
        return []
    base = {key: WrittenKey(label=f"model.{key}", node=node) for key, node in model.value.items()}
    arms = root.child("arms")
    labelled = [(f"arms[{index}].", node) for index, node in enumerate(arms.entries if arms else [])]
    plain = [(label, node) for label, node in labelled if not _changes(label, node)]
    own = [
        WrittenModel(keys=_changed(base, changes), place=node.place, arms=[(label, node)])
        for label, node in labelled
        if (changes := _changes(label, node))
    ]
    return [WrittenModel(keys=base, place=model.place, arms=plain), *own]


def _changes(label: str, arm: Node) -> dict[str, WrittenKey]:
    """Keys that an arm has in the place of the model's."""
    own = arm.child("model")
    inner = own.value if own and isinstance(own.value, dict) else {}
    changes = {key: WrittenKey(label=f"{label}model.{key}", node=node) for key, node in inner.items()}
    for key in _OF_THE_ARM:
        if node := arm.child(key):
            changes[key] = WrittenKey(label=f"{label}{key}", node=node)
    return changes


def _changed(base: dict[str, WrittenKey], changes: dict[str, WrittenKey]) -> dict[str, WrittenKey]:
    adapter, before = changes.get("adapter"), base.get("adapter")
    other = adapter and adapter.node.value != (
        before.node.value if before else ModelRef.model_fields["adapter"].default
    )
    kept = {key: written for key, written in base.items() if not other or key in _OF_ANY_ADAPTER}
    both: list[str] = [key for key in ("load", "options") if key in kept and key in changes]
    merged = {key: _merged(kept[key], changes[key]) for key in both}
    return {**kept, **changes, **merged}


def _merged(base: WrittenKey, own: WrittenKey) -> WrittenKey:
    """A mapping of the model with an arm's keys in the place of its own."""
    if not isinstance(base.node.value, dict) or not isinstance(own.node.value, dict):
        return own
    value = {**base.node.value, **own.node.value}
    return WrittenKey(label=own.label, node=Node(value=value, place=own.node.place, key_place=own.node.key_place))


def adapter_problems(root: Node) -> Iterator[Problem]:
    """What does not fit where the pictures come from."""
    models = written_models(root)
    for number, model in enumerate(models):
        if model.adapter not in plugins.names("adapters"):
            yield from _unknown_adapter(model)
            continue
        adapter = plugins.load("adapters", model.adapter)
        yield from _strange_keys(model)
        yield from _size_problems(root, model.adapter)
        yield from _option_problems(root, model, adapter)
        yield from _load_problems(model, adapter)
        for label, node in [*([("", root)] if number == 0 else []), *model.arms]:
            yield from _noise_problems(label, node, model.adapter, outside=is_outside(adapter))
        if is_outside(adapter):
            yield from _template_problems(model, adapter)
            for label, node in model.arms:
                yield from _outside_arm_problems(label, node, model.adapter, computes=adapter.COMPUTES)


def _unknown_adapter(model: WrittenModel) -> Iterator[Problem]:
    if key := model.own("adapter"):
        unknown = UnknownName("adapter", model.adapter, plugins.names("adapters"))
        yield Problem(key.node.place, f"{key.label}: {unknown}")


def _strange_keys(model: WrittenModel) -> Iterator[Problem]:
    """Keys that another adapter knows."""
    for name, owner in _OF_ONE_ADAPTER.items():
        if (key := model.own(name)) and model.adapter != owner:
            step = f"Write 'adapter: {owner}', or remove the key."
            yield Problem(
                key.node.place,
                f"{key.label}: found with the adapter {model.adapter}; allowed with {owner} only. {step}",
            )


def _size_problems(root: Node, adapter: str) -> Iterator[Problem]:
    for key in ("width", "height"):
        pixels = root.child(key)
        if pixels and isinstance(pixels.value, int) and (refused := refusal_of_size(adapter, pixels.value)):
            yield Problem(pixels.place, f"{key}: found the number {pixels.value}; {refused}")


def refusal_of_size(adapter: str, pixels: int) -> str:
    """What is allowed in the place of a width or height that an adapter does not take; empty where it takes it."""
    step = size_multiple(plugins.load("adapters", adapter))
    below = pixels // step * step
    if pixels < 1 or pixels == below:
        return ""
    nearest = f"The nearest are {below} and {below + step}." if below else f"The nearest is {step}."
    return f"allowed with the adapter {adapter} is a multiple of {step}. {nearest}"


def _option_problems(root: Node, model: WrittenModel, adapter: Adapter) -> Iterator[Problem]:
    """What the adapter refuses of its options, and options for one that takes none."""
    key = model.own("options")
    if key is None:
        return
    if takes_options(adapter):
        # An arm's options are checked together with the model's, each where it stands.
        own = model.arms[0][1].child("options") if key.label != _MODEL_OPTIONS else None
        path = _path_of(key.label)
        places = dict.fromkeys(own.value if own and isinstance(own.value, dict) else (), path)
        inherits = bool(own) and own is not key.node
        yield from option_faults(root, adapter.OPTIONS, key.node, places, OPTIONS if inherits else path)
    elif key.node.value != {}:
        yield Problem(
            key.node.place,
            f"{key.label}: found with the adapter {model.adapter}, which takes none; allowed is no such key. Remove "
            "it.",
        )


def _path_of(label: str) -> tuple[str | int, ...]:
    """Steps to a key from its label.

    >>> _path_of("arms[1].options"), _path_of("model.options")
    (('arms', 1, 'options'), ('model', 'options'))
    """
    steps: list[str | int] = []
    for word in label.split("."):
        name, _, index = word.partition("[")
        steps += [name, int(index.rstrip("]"))] if index else [name]
    return tuple(steps)


def _load_problems(model: WrittenModel, adapter: Adapter) -> Iterator[Problem]:
    """Keys of ``load`` that the adapter does not know, and those that do not go together."""
    key = model.own("load")
    if key is None or not isinstance(key.node.value, dict):
        return
    known = loading_keys(adapter)
    for name, node in key.node.value.items():
        if name in Load.model_fields and name not in known:
            allowed = f"is {', '.join(sorted(known))}" if known else "are no such keys"
            yield Problem(
                node.key_place or node.place,
                f"{key.label}.{name}: found with the adapter {model.adapter}; allowed there {allowed}. Remove it.",
            )
    described = model.described
    source = described.source if described else ""
    load = described.load if described else None
    if load is None:
        return
    place = key.node.place_of
    if load.revision and (source.partition(":")[0] not in {"hf", "modelscope"} or "@" in source):
        yield Problem(
            place("revision"),
            f"{key.label}.revision: found with the source {quoted(source)}; allowed with hf:REPO or modelscope:REPO "
            "without @REV only. Write the revision once.",
        )
    if load.offload not in {None, "none"} and load.device_map is not None:
        yield Problem(
            place("offload"),
            f"{key.label}.offload: found beside device_map; allowed is one of them. Remove one.",
        )
    for name in ("subfolder", "single_file"):
        written = getattr(load, name)
        if written and (written.startswith("/") or ".." in written.split("/")):
            yield Problem(
                place(name),
                f"{key.label}.{name}: found {quoted(written)}; allowed is a path inside the source. Write it so.",
            )


def _template_problems(model: WrittenModel, adapter: OutsideAdapter) -> Iterator[Problem]:
    """Names in braces that stand for nothing, or that are missing, before a run finds them."""
    described = model.described
    if described is None:
        return
    name = next((name for name, owner in _OF_ONE_ADAPTER.items() if owner == described.adapter), "adapter")
    key = model.own(name)
    try:
        adapter.check_template(described)
    except (UnknownName, ModelError) as error:
        yield Problem(key.node.place if key else model.place, f"{key.label if key else f'model.{name}'}: {error}")


def _noise_problems(label: str, node: Node, adapter: str, *, outside: bool) -> Iterator[Problem]:
    """A noise is unverified where the pictures are made outside the worker, and nowhere else."""
    noise = node.text("noise")
    if noise == NoiseMode.BASELINE:
        yield Problem(
            node.place_of("noise"),
            f"{label}noise: found 'baseline'; allowed is portable, torch_cpu or device. The noise of a baseline is "
            "taken where a reference arm has 'baseline: true'. Remove the key.",
        )
        return
    if noise not in set(NoiseMode) or (noise == NoiseMode.UNVERIFIED) == outside:
        return
    where = "outside the worker" if outside else "in the worker"
    allowed = "unverified" if outside else "portable, torch_cpu or device"
    yield Problem(
        node.place_of("noise"),
        f"{label}noise: found {quoted(noise)}; allowed with the adapter {adapter}, whose pictures are made {where}, is "
        f"{allowed}. Remove the key.",
    )


def _outside_arm_problems(label: str, arm: Node, adapter: str, *, computes: bool) -> Iterator[Problem]:
    if arm.text("npu_ops"):
        yield Problem(
            arm.place_of("npu_ops"),
            f"{label}npu_ops: found with the adapter {adapter}, whose pictures are made outside the worker, where "
            "nothing can be answered; allowed is an arm without it. Remove the key.",
        )
    if not computes or arm.text("device"):  # none at all may still come from the command line
        try:
            refuse_other_device(adapter, arm.text("device") or "auto", computes=computes)
        except UsageError as error:
            yield Problem(arm.place_of("device"), f"{label}device: {error}")
