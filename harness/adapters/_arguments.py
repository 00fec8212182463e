"""Arguments of a scenario's choice, held against the signature of a pipeline's ``__call__``."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from harness.errors import RunError, UnknownName
from harness.language import recorded
from harness.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

_THE_HARNESS_SETS_IT = "no such key, because the harness sets it itself. Remove it"
_ONE_VIDEO = "no such key, because every call makes one video. Remove it"

OTHER_WORDS: Mapping[str, str] = {
    "prompt": "'prompt' of a case. Write it there",
    "negative_prompt": "'negative_prompt' of a case. Write it there",
    "height": "'height' of the scenario. Write it there",
    "width": "'width' of the scenario. Write it there",
    "num_inference_steps": "'steps' of the scenario. Write it there",
    "guidance_scale": "'guidance_scale' of the scenario. Write it there",
    "seed": "'seeds' of the scenario. Write it there",
    **dict.fromkeys(
        (
            *("generator", "latents", "output_type", "return_dict", "callback", "callback_steps"),
            *("callback_on_step_end", "callback_on_step_end_tensor_inputs"),
        ),
        _THE_HARNESS_SETS_IT,
    ),
    "num_frames": "'frames' of the scenario, as in frames: {count: 81}. Write it there",
    "num_images_per_prompt": "'pictures_per_case' of the scenario. Write it there",
    "num_videos_per_prompt": _ONE_VIDEO,
}
"""Names that a scenario says otherwise, or that the harness sets, with what is allowed instead."""


def declared(folder: Path) -> list[str] | None:
    """Parameters of the call of a folder's pipeline, read from its code without importing it; None where untold.

    The code is that of the folder, or of the installed diffusers.
    """
    try:
        named = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    installed = importlib.util.find_spec("diffusers")
    if isinstance(named, list) and len(named) == _FILE_AND_CLASS and all(isinstance(word, str) for word in named):
        files, name = [folder / f"{named[0]}.py"], named[1]
    elif isinstance(named, str) and installed and installed.origin:
        files, name = sorted((Path(installed.origin).parent / "pipelines").rglob("*.py")), named
    else:
        return None
    return next((found for file in files if (found := _parameters(file, name)) is not None), None)


_FILE_AND_CLASS = 2


def _parameters(file: Path, name: str) -> list[str] | None:
    """Parameters of ``__call__`` of a class that a file defines; None where it defines none."""
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text) if f"class {name}(" in text else ast.Module(body=[], type_ignores=[])
    except (OSError, ValueError, SyntaxError):
        return None
    owners = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    calls = [node for owner in owners for node in owner.body if isinstance(node, ast.FunctionDef)]
    for call in calls:
        if call.name == "__call__":
            return [argument.arg for argument in (*call.args.args[1:], *call.args.kwonlyargs)]
    return None


def checked(pipe: Any, given: Mapping[str, object]) -> dict[str, Any]:
    """What a pipeline is called with: the arguments that are given, where it has them and takes such values.

    Raises:
        UnknownName: the pipeline has no parameter of that name.
        RunError: a value is of another type than the pipeline declares.
    """
    parameters = inspect.signature(pipe.__call__).parameters
    types = _types(pipe)
    for name in given:
        if name not in parameters:
            known = [parameter for parameter in parameters if parameter not in OTHER_WORDS]
            raise UnknownName(f"argument of {type(pipe).__name__}", name, known)
    return {name: _value(pipe, name, value, types.get(name)) for name, value in given.items()}


def _types(pipe: Any) -> dict[str, Any]:
    """Types of a pipeline's parameters; none where they cannot be told, as with names that no module has."""
    try:
        return typing.get_type_hints(type(pipe).__call__)
    except (NameError, TypeError, AttributeError):
        return {}


def _value(pipe: Any, name: str, value: object, declared: Any) -> Any:
    """The value as its parameter declares it: a list where it is written as one becomes a tuple, say.

    An image is passed as it is: pipelines take it in more forms than they declare.
    """
    try:
        written = json.dumps(value)
        validator = TypeAdapter(declared, config=ConfigDict(arbitrary_types_allowed=True, strict=True))
    except (TypeError, PydanticUserError, PydanticSchemaGenerationError):
        return value
    if declared is None:
        return value
    try:
        return validator.validate_json(written)
    except ValidationError as error:
        raise RunError(
            recorded(
                "arguments.{name}: found {value}; {pipeline} takes {declared}. Write such a value. A tensor cannot be "
                "written in a scenario.",
                name=name,
                value=one_line(written, 120),
                pipeline=type(pipe).__name__,
                declared=one_line(_name_of(declared), 200),
            )
        ) from error


def _name_of(declared: Any) -> str:
    """A type in the words of Python, without the modules that it is from."""
    return declared.__name__ if isinstance(declared, type) else str(declared).replace("typing.", "")
