"""Rules for the pictures that one call makes: who makes several, and how files of several are named."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness import plugins
from harness.contracts import is_outside, makes_frames, makes_several, takes_arguments
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
_FRAMES = "num_frames"


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
        yield from _frames_problems(root, model, name, adapter)


def unknown_count(root: Node, source: str) -> Iterator[Problem]:
    """Several pictures of a call that has no parameter for it, as far as that can be told from a folder."""
    _, _, adapter = _adapter(root)
    frames = root.child("frames")
    asked = frames is not None and frames.value is not None
    if (_count(root) == 1 and not asked) or not takes_arguments(adapter) or not Path(source).is_absolute():
        return
    parameters = adapter.parameters(Path(source))
    if asked and parameters is not None and _FRAMES not in parameters:
        yield Problem(
            root.place_of("frames"),
            f"frames: found, and the call of the pipeline in {source} has no parameter {_FRAMES}; it has "
            f"{', '.join(parameters)}. Remove the key.",
        )
    if _count(root) > 1 and parameters is not None and _PARAMETER not in parameters:
        yield Problem(
            root.place_of(_KEY),
            f"{_KEY}: found {_count(root)}; allowed is 1, because the call of the pipeline in {source} has no "
            f"parameter {_PARAMETER}; it has {', '.join(parameters)}. Remove the key.",
        )


def _frames_problems(root: Node, model: Node | None, name: str, adapter: Adapter) -> Iterator[Problem]:
    """Frames from an adapter that makes none, frames that are not there, and files that hold none."""
    frames = root.child("frames")
    asked = frames is not None and frames.value is not None
    place = root.place_of("frames")
    template = (model.text("pictures") if model else None) or ""
    of_frames = "{frame}" in template or template.lower().endswith((".mp4", ".mkv", ".webm"))
    if asked and not makes_frames(adapter):
        able = ", ".join(name for name in plugins.names("adapters") if makes_frames(plugins.load("adapters", name)))
        yield Problem(
            place,
            f"frames: found with the adapter {name}, which makes no videos; allowed with {able}. Remove the key.",
        )
    elif asked and _count(root) > 1:
        yield Problem(
            place,
            f"frames: found beside {_KEY}: {_count(root)}; allowed is one of the two, because a call makes one video. "
            f"Remove {_KEY}.",
        )
    elif asked and is_outside(adapter) and not of_frames:
        yield Problem(
            place,
            "frames: found, and model.pictures names no frames; allowed is a template with {frame} or one that ends in "
            ".mp4, .mkv or .webm. Write for example 'pictures: \"{case}/{seed}/{frame}.png\"'.",
        )
    elif model and not asked and is_outside(adapter) and of_frames:
        yield Problem(
            model.place_of("pictures"),
            f"model.pictures: found {quoted(template)}, which names frames of videos, and no key frames; allowed is "
            "both. Write 'frames: {count: N}' with the number of frames that each video has.",
        )
    if frames is not None:
        yield from _keep_problems(frames)


def _keep_problems(frames: Node) -> Iterator[Problem]:
    count, keep = frames.child("count"), frames.child("keep")
    total = count.value if count else None
    every = frames.child("keep_all")
    if every is not None and every.value is True and keep is not None and keep.entries:
        yield Problem(
            keep.place, "frames.keep: found beside keep_all: true; allowed is one of the two. Remove one of them."
        )
    if isinstance(total, int) and keep is not None:
        for node in keep.entries:
            if isinstance(node.value, int) and node.value > total:
                yield Problem(
                    node.place,
                    f"frames.keep: found {node.value}; allowed are numbers from 1 to {total}, as frames.count says. "
                    "Change one of the two.",
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
