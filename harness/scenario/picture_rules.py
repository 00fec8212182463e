"""Rules for the pictures that one call makes: who makes several, and how files of several are named."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness import plugins
from harness.contracts import is_outside, makes_several, takes_arguments
from harness.errors import UnknownName
from harness.records import ModelRef
from harness.yaml_tree import Problem, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.contracts import Adapter
    from harness.yaml_tree import Node

_KEY = "pictures_per_case"
_PLACEHOLDER = "{image}"
_PARAMETER = "num_images_per_prompt"


def picture_problems(root: Node) -> Iterator[Problem]:
    """Several pictures of a call from an adapter that makes one, and files that do not tell them apart."""
    with suppress(UnknownName):  # an adapter that does not exist is reported already
        model, name, adapter = _adapter(root)
        count = _count(root)
        if count > 1 and not makes_several(adapter):
            able = ", ".join(
                name for name in plugins.names("adapters") if makes_several(plugins.load("adapters", name))
            )
            yield Problem(
                root.place_of(_KEY),
                f"{_KEY}: found {count}; allowed with the adapter {name} is 1, because each of its calls makes one "
                f"picture. Remove the key, or use one of the adapters that make several: {able}.",
            )
        elif is_outside(adapter) and makes_several(adapter):
            yield from _template_problems(root, model, count)


def unknown_count(root: Node, source: str) -> Iterator[Problem]:
    """Several pictures of a call that has no parameter for it, as far as that can be told from a folder."""
    _, _, adapter = _adapter(root)
    if _count(root) == 1 or not takes_arguments(adapter) or not Path(source).is_absolute():
        return
    parameters = adapter.parameters(Path(source))
    if parameters is not None and _PARAMETER not in parameters:
        yield Problem(
            root.place_of(_KEY),
            f"{_KEY}: found {_count(root)}; allowed is 1, because the call of the pipeline in {source} has no "
            f"parameter {_PARAMETER}; it has {', '.join(parameters)}. Remove the key.",
        )


def _template_problems(root: Node, model: Node | None, count: int) -> Iterator[Problem]:
    """Files of several pictures are told apart by their numbers, and there are no others."""
    template = (model.text("pictures") if model else None) or ""
    if count > 1 and _PLACEHOLDER not in template:
        yield Problem(
            root.place_of(_KEY),
            f"{_KEY}: found {count}, and model.pictures has no {_PLACEHOLDER}, so the {count} pictures of a call would "
            "be one file; allowed is a template that names it. Write for example 'pictures: "
            '"{case}/{seed}-{image}.png"\'; the images of a call are counted from 1.',
        )
    if model and count == 1 and _PLACEHOLDER in template:
        yield Problem(
            model.place_of("pictures"),
            f"model.pictures: found {quoted(template)} without {_KEY}, so only the first picture of each call would be "
            f"compared; allowed is {_PLACEHOLDER} with {_KEY} above 1. Write the number of pictures, such as "
            f"'{_KEY}: 4'.",
        )


def _adapter(root: Node) -> tuple[Node | None, str, Adapter]:
    model = root.child("model")
    name = (model.text("adapter") if model else None) or ModelRef.model_fields["adapter"].default
    return model, name, plugins.load("adapters", name)


def _count(root: Node) -> int:
    """Pictures of a call; 1 where the value is none that is allowed, which is reported already."""
    node = root.child(_KEY)
    value = node.value if node else None
    return value if isinstance(value, int) and not isinstance(value, bool) else 1
