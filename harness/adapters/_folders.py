"""Which files of a model's folder diffusers and the folder's own code read."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from harness.errors import ModelError
from harness.file_kinds import IMAGE_ENDINGS

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from harness.records import Load

_INDEX = "model_index.json"
_OF_A_HUB = "configuration.json"
"""What ModelScope says about a repository, at its top; inside a component the name may be a loader's."""
_OTHER_ENDINGS = "md markdown rst pdf ipynb mp4 mov mkv avi webm mp3 wav ogg flac"
_FOR_PEOPLE = IMAGE_ENDINGS | {f".{word}" for word in _OTHER_ENDINGS.split()}
_TEXTS = ("", ".txt", ".cff")
"""Endings with which a file of one of the following names is for people too."""
_NAMES_OF_TEXTS = (
    "readme", "license", "licence", "copying", "notice", "authors", "citation", "changelog", "contributing", "security"
)  # fmt: skip


def components(folder: Path) -> list[str]:
    """Names of the components that a pipeline is made of; optional ones that are left out are null.

    Raises:
        ModelError: ``model_index.json`` is no JSON object.
    """
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        entries = dict(index)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{folder}/model_index.json cannot be read: {error}. Fetch the folder again.") from error
    named = {name: entry for name, entry in entries.items() if not name.startswith("_")}  # _class_name may be a list
    return sorted(name for name, entry in named.items() if isinstance(entry, list) and entry[:1] != [None])


def lacks_weights(component: Path) -> bool:
    """Whether a component is a model, by its ``config.json``, and has no weights that are loaded."""
    return (component / "config.json").is_file() and not list(component.glob("*.safetensors"))


_VARIANT = re.compile(
    r"(?:model|pytorch_model|diffusion_pytorch_model)"
    r"(?:\.(?P<of_file>[A-Za-z0-9_-]+?)(?:-\d{5}-of-\d{5})?\.safetensors|\.safetensors\.index\.(?P<of_index>[^.]+)\.json)"
)


def variant_of(name: str) -> str | None:
    """Variant of the weights that a file holds, or lists; None for the plain ones and for every other file.

    >>> [variant_of(name) for name in ("model.fp16.safetensors", "model-00001-of-00002.safetensors", "config.json")]
    ['fp16', None, None]
    """
    match = _VARIANT.fullmatch(name)
    return (match["of_file"] or match["of_index"]) if match else None


def variant_problem(folder: Path, parts: Collection[str], wanted: str | None) -> str:
    """Why a folder does not hold the weights of a variant, None for the plain ones, in words; empty where it does."""
    there: dict[str, set[str | None]] = {}
    for name in parts:
        if variants := {variant_of(file.name) for file in (folder / name).glob("*.safetensors")}:
            there[name] = variants
    others = sorted({variant for variants in there.values() for variant in variants if variant})
    if wanted is not None and there and not any(wanted in variants for variants in there.values()):
        known = f"there are {', '.join(others)}" if others else "there is none, so remove load.variant"
        return f"{folder} holds no weights of the variant {wanted}; {known}."
    lacking = [name for name, variants in there.items() if not variants & {wanted, None}]
    if not lacking:
        return ""
    return (
        f"{folder} holds only the variants {', '.join(others)} of {', '.join(lacking)}. Write 'load: {{variant: "
        f"{others[0]}}}' under model."
    )


def loaded_files(folder: Path, names: Collection[str], parts: Collection[str], load: Load | None = None) -> set[str]:
    """Names of the files that a pipeline is loaded from.

    ``names`` are all files, relative to the folder and with ``/``, ``parts`` the folders of its components. diffusers
    reads the index, Python files, and what is in these folders. Python files of the folder may read whatever lies
    there, so where there are any everything counts. Pictures, READMEs, licences and what a hub says about a repository
    are for people, unless a Python file of the folder names them. Of
    weights in several variants those count that ``load`` chooses, and of all weights the single file that it names.
    """
    variant = load.variant if load else None
    single = load.single_file if load else None
    has_variant = {PurePosixPath(name).parent for name in names if variant and variant_of(_name(name)) == variant}
    code = [name for name in names if name.endswith(".py")]
    texts = [(folder / name).read_text(encoding="utf-8", errors="replace") for name in code]

    def is_loaded(name: str) -> bool:
        path = PurePosixPath(name)
        if name == single:
            return True
        if _is_weights(path.name) and variant_of(path.name) != (variant if path.parent in has_variant else None):
            return False
        if name == _INDEX or name in code or any(path.name in text for text in texts):
            return True
        return not is_for_people(path) and (bool(code) or (len(path.parts) > 1 and path.parts[0] in parts))

    return {name for name in names if is_loaded(name)}


def _name(path: str) -> str:
    return PurePosixPath(path).name


def _is_weights(name: str) -> bool:
    """Whether a file holds or lists weights that there may be variants of."""
    return name.endswith(".safetensors") or ".safetensors.index." in name


def is_for_people(path: PurePosixPath) -> bool:
    """Whether a file of a repository is one that no loader reads.

    >>> [is_for_people(PurePosixPath(name)) for name in ("vae/README.md", "LICENSE", "tokenizer/merges.txt")]
    [True, True, False]
    """
    ending = path.suffix.lower()
    is_text = ending in _TEXTS and path.name.lower().startswith(_NAMES_OF_TEXTS)
    return ending in _FOR_PEOPLE or is_text or str(path) == _OF_A_HUB
