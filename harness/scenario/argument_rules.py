"""Rules for the arguments of a pipeline's call: who takes any, and which names a scenario has other words for."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness import plugins
from harness.contracts import takes_arguments
from harness.errors import UnknownName
from harness.records.arguments import images_in
from harness.scenario.model_rules import written_models
from harness.yaml_tree import Problem, json_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.scenario.model_rules import WrittenModel
    from harness.yaml_tree import Node

_KEY = "arguments"


def argument_nodes(root: Node) -> Iterator[tuple[str, Node]]:
    """Every mapping of arguments with its label: the scenario's, those of cases and those of arms."""
    owners = [("", root)]
    for key in ("cases", "arms"):
        node = root.child(key)
        owners += [(f"{key}[{index}].", entry) for index, entry in enumerate(node.entries if node else [])]
    for label, owner in owners:
        arguments = owner.child(_KEY)
        if arguments is not None and isinstance(arguments.value, dict):
            yield f"{label}{_KEY}", arguments


def argument_images(node: Node) -> Iterator[tuple[str, str]]:
    """Name of the argument and file, as written, of each image in a mapping of arguments."""
    for name, value in (node.value if isinstance(node.value, dict) else {}).items():
        for written in images_in(json.loads(json_of(value))):
            yield name, written


def argument_problems(root: Node) -> Iterator[Problem]:
    """Arguments for an adapter that takes none, and names that are none or that a scenario has other words for."""
    for label, node, model in _with_models(root):
        with suppress(UnknownName):  # an adapter that does not exist is reported already
            for name in node.value if isinstance(node.value, dict) else {}:
                if refused := refusal_of_argument(model.adapter, name):
                    yield Problem(node.place_of(name), f"{label}: found {name!r}; {refused}.")


def _with_models(root: Node) -> Iterator[tuple[str, Node, WrittenModel]]:
    """Every mapping of arguments with its label and the model whose pipeline is called with it."""
    models = written_models(root)
    own = {label: model for model in models[1:] for label, _ in model.arms}
    for label, node in argument_nodes(root) if models else ():
        yield label, node, own.get(label.removesuffix(_KEY), models[0])


def unknown_arguments(root: Node, sources: Mapping[str, str]) -> Iterator[Problem]:
    """Arguments that the call of the pipeline in a folder does not have, as far as that can be told."""
    for label, node, model in _with_models(root):
        adapter, parameters = plugins.load("adapters", model.adapter), parameters_of(model, sources)
        if parameters is None or not takes_arguments(adapter) or not isinstance(node.value, dict):
            continue
        known = [parameter for parameter in parameters if parameter not in adapter.OTHER_WORDS]
        for name in node.value:
            if name not in parameters and name not in adapter.OTHER_WORDS:
                error = UnknownName("argument of the pipeline", name, known)
                yield Problem(node.place_of(name), f"{label}.{name}: {error}")


def parameters_of(model: WrittenModel, sources: Mapping[str, str]) -> Sequence[str] | None:
    """Parameters of the call of a model's pipeline; None where they cannot be told before it is loaded.

    ``sources`` are the folders of the models, by what is written.
    """
    adapter, key = plugins.load("adapters", model.adapter), model.own("source")
    source = sources.get(str(key.node.value), "") if key else ""
    if not takes_arguments(adapter) or not Path(source).is_absolute():
        return None
    load = model.described.load if model.described else None
    return adapter.parameters(Path(source) / ((load.subfolder if load else None) or ""))


def refusal_of_argument(adapter: str, name: str) -> str:
    """What is allowed in the place of an argument that a pipeline of this adapter is not given; empty where it is.

    Raises:
        UnknownName: there is no such adapter.
    """
    part = plugins.load("adapters", adapter)
    if not takes_arguments(part):
        return f"allowed with the adapter {adapter}, which takes no arguments, is no such key. Remove it"
    if not name.isidentifier():
        return "allowed is the name of a parameter of the pipeline's call. Fix the name"
    return f"allowed is {part.OTHER_WORDS[name]}" if name in part.OTHER_WORDS else ""
