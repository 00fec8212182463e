"""Rules for the pictures that one call makes: who makes several, and how files of several are named."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from harness import plugins
from harness.contracts import is_outside, makes_frames, makes_several
from harness.errors import UnknownName
from harness.scenario.argument_rules import parameters_of, unknown_arguments
from harness.scenario.model_rules import written_models
from harness.yaml_tree import Problem, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.contracts import Adapter
    from harness.scenario.model_rules import WrittenModel
    from harness.yaml_tree import Node, Place

_KEY = "pictures_per_case"
_PLACEHOLDER = "{image}"
_PARAMETER = "num_images_per_prompt"
_FRAMES = "num_frames"


def picture_problems(root: Node) -> Iterator[Problem]:
    """Several pictures or frames of a call from an adapter that makes one, and files that do not tell them apart."""
    told: dict[str, Problem] = {}
    for model in written_models(root):
        with suppress(UnknownName):  # an adapter that does not exist is reported already
            adapter = plugins.load("adapters", model.adapter)
            for problem in (*_count_problems(root, model, adapter), *_frames_problems(root, model, adapter)):
                told.setdefault(problem.message, problem)  # arms may have one fault in common
    yield from told.values()
    frames = root.child("frames")
    if frames is not None:
        yield from _keep_problems(frames)


def _count_problems(root: Node, model: WrittenModel, adapter: Adapter) -> Iterator[Problem]:
    count = _count(root)
    if count > 1 and not makes_several(adapter):
        able = ", ".join(name for name in plugins.names("adapters") if makes_several(plugins.load("adapters", name)))
        yield Problem(
            _owner(root).place_of(_KEY),
            f"{_KEY}: found {count}; allowed with the adapter {model.adapter} is 1, because each of its calls makes "
            f"one picture. Remove the key, or use one of the adapters that make several: {able}.",
        )
    elif is_outside(adapter) and makes_several(adapter):
        yield from _template_problems(root, model, count)


def unknown_calls(root: Node, sources: Mapping[str, str]) -> Iterator[Problem]:
    """Arguments, several pictures or frames that the call of a pipeline in a folder has no parameter for.

    As far as that can be told; ``sources`` are the folders of the models, by what is written.
    """
    yield from unknown_arguments(root, sources)
    wanted = {_KEY: _PARAMETER} if _count(root) > 1 else {}
    wanted |= {"frames": _FRAMES} if _asked(root) else {}
    for model in written_models(root) if wanted else ():
        parameters = parameters_of(model, sources)
        for name, parameter in wanted.items():
            if parameters is not None and parameter not in parameters:
                yield Problem(
                    (_owner(root) if name == _KEY else root).place_of(name),
                    f"{name}: found, and the call of the pipeline in {_source(model)} has no parameter {parameter}; it "
                    f"has {', '.join(parameters)}. Remove the key.",
                )


def _frames_problems(root: Node, model: WrittenModel, adapter: Adapter) -> Iterator[Problem]:
    """Frames from an adapter that makes none, frames that are not there, and files that hold none."""
    asked, place = _asked(root), root.place_of("frames")
    template = _template(model)
    of_frames = "{frame}" in template or template.lower().endswith((".mp4", ".mkv", ".webm"))
    if asked and not makes_frames(adapter):
        able = ", ".join(name for name in plugins.names("adapters") if makes_frames(plugins.load("adapters", name)))
        yield Problem(
            place,
            f"frames: found with the adapter {model.adapter}, which makes no videos; allowed with {able}. Remove the "
            "key.",
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
    elif not asked and is_outside(adapter) and of_frames:
        yield Problem(
            _place(model),
            f"model.pictures: found {quoted(template)}, which names frames of videos, and no key frames; allowed is "
            "both. Write 'frames: {count: N}' with the number of frames that each video has.",
        )


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
            if isinstance(node.value, int) and not 1 <= node.value <= total:
                yield Problem(
                    node.place,
                    f"frames.keep: found {node.value}; allowed are numbers from 1 to {total}, as frames.count says. "
                    "Change one of the two.",
                )


def _template_problems(root: Node, model: WrittenModel, count: int) -> Iterator[Problem]:
    """Files of several pictures are told apart by their numbers, and there are no others."""
    template = _template(model)
    if count > 1 and _PLACEHOLDER not in template:
        yield Problem(
            _owner(root).place_of(_KEY),
            f"{_KEY}: found {count}, and model.pictures has no {_PLACEHOLDER}, so the {count} pictures of a call would "
            "be one file; allowed is a template that names it. Write for example 'pictures: "
            '"{case}/{seed}-{image}.png"\'; the images of a call are counted from 1.',
        )
    if count == 1 and _PLACEHOLDER in template:
        yield Problem(
            _place(model),
            f"model.pictures: found {quoted(template)} without {_KEY}, so only the first picture of each call would be "
            f"compared; allowed is {_PLACEHOLDER} with {_KEY} above 1. Write the number of pictures, such as "
            f"'{_KEY}: 4'.",
        )


def _template(model: WrittenModel) -> str:
    key = model.own("pictures")
    return key.node.value if key and isinstance(key.node.value, str) else ""


def _place(model: WrittenModel) -> Place:
    key = model.own("pictures")
    return (key.node.key_place or key.node.place) if key else model.place


def _source(model: WrittenModel) -> str:
    """The source as it is written."""
    key = model.own("source")
    return str(key.node.value) if key else ""


def _asked(root: Node) -> bool:
    frames = root.child("frames")
    return frames is not None and frames.value is not None


def _owner(root: Node) -> Node:
    """The scenario, or that of its cases whose calls make the most pictures."""
    cases = root.child("cases")
    return max([root, *(cases.entries if cases else [])], key=_written)


def _count(root: Node) -> int:
    """The most pictures that a call makes."""
    return _written(_owner(root))


def _written(owner: Node) -> int:
    """Pictures of a call; 1 where the value is none that is allowed, which is reported already."""
    node = owner.child(_KEY)
    value = node.value if node else None
    return value if isinstance(value, int) and not isinstance(value, bool) else 1
