"""Draft a scenario from what a folder holds: a pipeline, an inference script, or pictures.

Nothing is loaded or run and no torch is imported; what is drafted is what the files say of themselves.
"""

from __future__ import annotations

import ast
import json
import math
import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import scenario
from harness.errors import ImageError, UnknownName, UsageError
from harness.file_kinds import IMAGE_ENDINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

SCENARIOS = Path("scenarios")
"""Where a project keeps its scenarios."""

_INDEX = "model_index.json"
_PROVISIONAL = (
    "Provisional and not measured here; below it details visibly differ. harness calibrate measures what it should be."
)
_REPEATS_EQUAL = "Repeats on one device are expected to give the same bytes; one differing byte is news."
_REFERENCE_LIMIT = {"metric": "psnr_db", "scope": "reference", "at_least": 28, "reason": _PROVISIONAL}
_REPEAT_LIMIT = {"metric": "identical", "scope": "repeat", "equals": 1, "reason": _REPEATS_EQUAL}
_ONCE = {"in_process": 1, "processes": 1}
_TWICE = {"in_process": 2, "processes": 2}
_PROMPTS = {"three-oranges": "a photo of three oranges", "red-bicycle": "a red bicycle in front of a white wall"}
_EDITS = {"at-night": "make it night", "red": "make everything red"}
_SMALLEST, _LARGEST, _STEP = 32, 4096, 32
"""Sides that a picture of a scenario may have, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A scenario to begin with, and what its author ought to know."""

    name: str
    """Name of the scenario; its file is ``scenarios/NAME.yaml``."""
    adapter: str
    """Which adapter makes its pictures."""
    text: str
    """The file."""
    input_size: tuple[int, int] | None = None
    """Width and height of the picture that it edits, ``scenarios/NAME-input.png``; None where it edits none."""
    notes: tuple[str, ...] = ()
    """What was not clear, what was left out, and what is left to do."""


@dataclass(kw_only=True)
class _Asked:
    """What is drafted from."""

    written: str
    """As the user gave it."""
    source: str
    """As it is written in the scenario: a folder of the project relative to the scenario's file, any other absolute."""
    folder: Path | None
    """Where it is; None for a repository of a hub and a variable."""
    script: str = ""
    """The script that the user named."""
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        base = self.folder.resolve().name if self.folder else self.written.partition("@")[0].rpartition("/")[2]
        return re.sub(r"[^a-z0-9._-]+", "-", base.lower()).lstrip("._-")[:64] or "example"

    @property
    def there(self) -> Path:
        """The folder, for those who have to look into it.

        Raises:
            UsageError: it is a repository of a hub, or a variable.
        """
        if self.folder is None:
            raise UsageError(
                f"--source {self.written}: allowed for this adapter is a folder on this machine, which is looked into."
            )
        return self.folder


def draft(project: Path, adapter: str | None, source: str | None) -> Draft:
    """A scenario for ``source`` and ``adapter``; the folder decides what is left out.

    Without a source it is the project's own folder where that holds a pipeline, else the example on the embedded model.

    Raises:
        UnknownName: there is no such adapter.
        UsageError: an adapter needs a source; there is no such folder; it does not fit the adapter; or what it holds
            does not say what is needed.
    """
    if adapter is not None and adapter not in _DRAFTED:
        raise UnknownName("adapter that a scenario can be drafted for", adapter, _DRAFTED)
    if source is None and not (project / _INDEX).is_file():
        if adapter not in {None, "deepgen"}:
            raise UsageError(
                f"--adapter {adapter} was given without --source, and {project.absolute()} is no pipeline's folder. "
                "Say with --source where the pipeline, the script or the pictures are."
            )
        text = (resources.files("harness") / "starter" / "example.yaml").read_text(encoding="utf-8")
        return Draft(name="example", adapter="deepgen", text=text)
    asked = _asked(project, str(project) if source is None else source)
    return _DRAFTED[adapter or _fitting(asked)](asked)


def _asked(project: Path, source: str) -> _Asked:
    if not scenario.names_a_folder(source) or "$" in source:
        return _Asked(written=source, source=source, folder=None)
    path = Path(source).expanduser()
    script = path.name if path.is_file() else ""
    folder = path.parent if script else path
    if not folder.is_dir() or not path.exists():
        raise UsageError(
            f"--source {source}: there is no folder {path.absolute()}; allowed is a folder with a model_index.json, an "
            "inference script or pictures, hf:REPO@REV or modelscope:REPO@REV. Check the path."
        )
    whole = folder.resolve()
    if whole.is_relative_to(project.resolve()):
        inside = Path(os.path.relpath(whole, project.resolve() / SCENARIOS)).as_posix()
        return _Asked(written=source, source=inside, folder=folder, script=script)
    note = f"{whole} is outside the project, so a CI machine has no such folder"
    return _Asked(written=source, source=str(whole), folder=folder, script=script, notes=[note])


def _fitting(asked: _Asked) -> str:
    """The adapter for what a folder holds.

    Raises:
        UsageError: it cannot be looked into, or holds nothing that an adapter takes.
    """
    if asked.written.startswith("builtin:"):
        return "deepgen"
    if asked.folder is None:
        raise UsageError(
            f"--source {asked.written} is not looked into, so it does not say which adapter it needs. Give --adapter "
            "diffusers, or --adapter deepgen for DeepGen-1.0."
        )
    if asked.script:
        return "command"
    if (asked.folder / _INDEX).is_file():
        return "deepgen" if _is_deepgen(_class_name(asked.folder)) else "diffusers"
    if any(_INFERENCE.search(name) for name in _scripts(asked.folder)):
        return "command"
    if _pictures(asked.folder):
        return "images"
    raise UsageError(
        f"{asked.folder.absolute()} holds no model_index.json, no script whose name says that it makes pictures, such "
        "as inference.py, and no pictures. Give another --source, such as the script itself."
    )


# --- pipelines -------------------------------------------------------------------------------------------------------

_EDITING = re.compile("Img2Img|InstructPix2Pix|Edit|Kontext|ControlNet|Upscale")
"""Pipelines that take a picture called ``image`` beside the prompt, by the name of their class."""
_FEW_STEPS = re.compile(r"(?i)turbo|lightning|schnell|\blcm\b|LCMScheduler|TCDScheduler")
"""Names of models and schedulers that are made for a few steps without guidance."""
_GUIDANCE = {"StableDiffusionXL": 5.0, "StableDiffusion3": 7.0, "StableDiffusion": 7.5, "Flux": 3.5}
"""The pipelines' own defaults, by the beginning of the class's name, the longest first."""
_USUAL_GUIDANCE, _USUAL_STEPS, _FEW = 4.0, 20, 4


def _deepgen(asked: _Asked) -> Draft:
    """DeepGen-1.0 and the embedded models in its layout.

    Raises:
        UsageError: the folder holds another pipeline.
    """
    embedded = asked.written.startswith("builtin:")
    if asked.folder is not None and not _is_deepgen(name := _class_name(asked.folder)):
        raise UsageError(
            f"{asked.folder.absolute()} holds the pipeline {name or 'of no name'}, which is not DeepGen's. Give "
            "--adapter diffusers."
        )
    if not embedded:
        asked.notes.append(
            "the folder brings Python of its own: read it, then write `trust_remote_code: true` in the scenario (the "
            "refusal of harness check prints lines that pin its content)"
        )
    side, steps = (128, 20) if embedded else (512, 50)
    name = asked.written.partition(":")[2] if embedded else asked.name
    return _of_a_pipeline(asked, "deepgen", name=name, side=side, steps=steps, guidance_scale=4.0, trust=embedded)


def _diffusers(asked: _Asked) -> Draft:
    """Any other pipeline of diffusers.

    Raises:
        UsageError: the folder holds none, or one that needs what a scenario has no word for.
    """
    if asked.folder is None:
        few = bool(_FEW_STEPS.search(asked.written))
        asked.notes.append(f"{asked.written} was not looked into: set width, height and steps to what the model is for")
        return _of_a_pipeline(
            asked,
            "diffusers",
            name=asked.name,
            side=1024,
            steps=_FEW if few else _USUAL_STEPS,
            guidance_scale=0.0 if few else _USUAL_GUIDANCE,
        )
    name = _class_name(asked.folder)
    if "Inpaint" in name:
        raise UsageError(
            f"{name} needs a mask, and a scenario has no word for one. Give --adapter command with a script that makes "
            "the picture."
        )
    index = _json(asked.folder / _INDEX)
    few = bool(_FEW_STEPS.search(f"{asked.folder.resolve().name} {index.get('scheduler')}")) or _is_schnell(
        asked.folder
    )
    own = max((key for key in _GUIDANCE if name.startswith(key)), key=len, default="")
    code = sorted(path.relative_to(asked.folder).as_posix() for path in asked.folder.rglob("*.py"))
    if code:
        asked.notes.append(
            f"the folder brings Python of its own ({', '.join(code)}): read it, then write `trust_remote_code: true` "
            "in the scenario"
        )
    return _of_a_pipeline(
        asked,
        "diffusers",
        name=asked.name,
        side=_native_side(asked.folder),
        steps=_FEW if few else _USUAL_STEPS,
        guidance_scale=0.0 if few else _GUIDANCE.get(own, _USUAL_GUIDANCE),
        trust=False if code else None,
        edits=bool(_EDITING.search(name)),
        headline=name,
    )


def _of_a_pipeline(  # noqa: PLR0913 - one word for each thing that tells pipelines apart
    asked: _Asked,
    adapter: str,
    *,
    name: str,
    side: int,
    steps: int,
    guidance_scale: float,
    trust: bool | None = None,
    edits: bool = False,
    headline: str = "",
) -> Draft:
    picture = {"input_image": f"{name}-input.png"} if edits else {}
    asked.notes.append(
        "cpu-fp32 makes every picture once in float32 on the CPU, which takes long for a large model: take the arm and "
        "its limit out to ask only for determinism"
    )
    text = _text(
        headline=headline or adapter,
        name=name,
        summary="Does it repeat itself, and does it stay near float32 on the CPU?",
        task="image_editing" if edits else "text_to_image",
        adapter=adapter,
        source=asked.source,
        loads=True,
        trust=trust,
        cases=[{"id": key, "prompt": prompt, **picture} for key, prompt in (_EDITS if edits else _PROMPTS).items()],
        seeds=[42],
        width=side,
        height=side,
        steps=steps,
        guidance_scale=guidance_scale,
        arms=[
            {"name": "candidate", "device": "auto"},
            {"name": "cpu-fp32", "role": "reference", "device": "cpu", "dtype": "float32", "repeats": _ONCE},
        ],
        repeats=_TWICE,
        limits=[_REPEAT_LIMIT, _REFERENCE_LIMIT],
    )
    size = (side, side) if edits else None
    return Draft(name=name, adapter=adapter, text=text, input_size=size, notes=tuple(asked.notes))


def _class_name(folder: Path) -> str:
    """Class of the pipeline that a folder holds.

    Raises:
        UsageError: there is no ``model_index.json``, or it cannot be read.
    """
    if not (folder / _INDEX).is_file():
        raise UsageError(
            f"{folder.absolute()} has no model_index.json, so it is no model in diffusers format; give the folder that "
            "holds it."
        )
    found = _json(folder / _INDEX).get("_class_name")
    return str(found[-1] if isinstance(found, list) and found else found or "")


def _is_deepgen(class_name: str) -> bool:
    return "deepgen" in class_name.lower()


def _is_schnell(folder: Path) -> bool:
    """Whether it is a Flux that was distilled to a few steps, which knows no guidance."""
    path = folder / "transformer" / "config.json"
    return path.is_file() and _json(path).get("guidance_embeds") is False and _class_name(folder).startswith("Flux")


def _native_side(folder: Path) -> int:
    """Side in pixels that a pipeline makes when it is asked for none: that of its latents times that of the decoder."""
    configs = [folder / part / "config.json" for part in ("transformer", "unet")]
    denoiser = next((_json(path) for path in configs if path.is_file()), {})
    named = denoiser.get("sample_size") or 128  # what pipelines take whose model names none
    latents = int(min(named) if isinstance(named, list) else named)
    vae = _json(folder / "vae" / "config.json") if (folder / "vae" / "config.json").is_file() else {}
    levels = vae.get("block_out_channels") or vae.get("encoder_block_out_channels")
    halvings = len(levels) - 1 if levels else len(vae.get("temperal_downsample") or [True] * 3)
    side: int = latents * 2**halvings
    return max(_SMALLEST, min(_LARGEST, side // _STEP * _STEP))


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path.absolute()} cannot be read: {error}. Fetch the folder again.") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path.absolute()}: found {type(found).__name__}; allowed is a JSON object. Fetch it again.")
    return found


# --- scripts ---------------------------------------------------------------------------------------------------------

_INFERENCE = re.compile(r"(?i)infer|generate|txt2img|text2img|t2i")
"""In the name of a script that makes pictures."""
_OPTIONS = {
    "prompt": "prompt text caption",
    "seed": "seed random_seed manual_seed",
    "output": "output_image output output_path output_file out outfile save_path image_path o",
    "height": "height h image_height img_height",
    "width": "width w image_width img_width",
    "steps": "num_inference_steps steps num_steps inference_steps sample_steps ddim_steps n_steps",
    "guidance_scale": "guidance_scale cfg_scale cfg guidance scale",
    "device": "device",
    "dtype": "dtype precision",
}
"""Names that scripts give to options, by what the adapter ``command`` tells them."""
_NEEDED = ("prompt", "seed", "output")
_USUAL = ("prompt", "seed", "height", "width", "steps", "guidance_scale", "device", "output")
_DEVICES = {"npu": "davinci[0-9]*", "cuda": "nvidia[0-9]*"}
"""Device files that say what a machine has, in the order of ``auto``."""


@dataclass(frozen=True, kw_only=True)
class _Option:
    """An option of a script, as its source declares it."""

    flag: str
    default: Any
    required: bool


def _command(asked: _Asked) -> Draft:
    """Any script that makes one picture.

    Raises:
        UsageError: no script is found, several are and none says that it makes pictures, or it has no option for what
            has to be told.
    """
    folder = asked.there
    script = asked.script or _script(folder)
    options = _options(folder / script)
    told = {name: found for name in _OPTIONS if (found := _known(options, name))}
    if options and (missing := [name for name in _NEEDED if name not in told]):
        raise UsageError(
            f"{(folder / script).absolute()} has no option that is known to tell {', '.join(missing)}; it has "
            f"{', '.join(option.flag for option in options)}. Call the right one --{missing[0]}, or write the scenario "
            "by hand."
        )
    if not options:
        asked.notes.append(f"no options could be read in {script}; the words of the command are a guess: mend them")
        told = {name: _Option(flag=f"--{_OPTIONS[name].split()[0]}", default=None, required=False) for name in _USUAL}
    required = [option.flag for option in options if option.required and option not in told.values()]
    asked.notes += [f"{script} also asks for {flag}: add it to the words of the command" for flag in required]
    if untold := [name for name in ("width", "height") if name not in told]:
        asked.notes.append(f"{script} is not told {' and '.join(untold)}: set width and height to what it makes")
    asked.notes.append("a command runs only with --allow-command; read it first")
    device = next((name for name, files in _DEVICES.items() if list(Path("/dev").glob(files))), "cpu")
    words = ["{python}" if script.endswith(".py") else "bash", script]
    words += [word for name, option in told.items() for word in (option.flag, f"{{{name}}}")]
    text = _text(
        headline=script,
        name=asked.name,
        summary="Does the script repeat itself?",
        task="text_to_image",
        adapter="command",
        source=asked.source,
        words=words,
        required=required,
        cases=[{"id": key, "prompt": prompt} for key, prompt in _PROMPTS.items()],
        seeds=[42],
        width=_side(told.get("width") or told.get("height")),
        height=_side(told.get("height") or told.get("width")),
        steps=_whole(told.get("steps"), _USUAL_STEPS, 1, 1000),
        guidance_scale=float(_number(told.get("guidance_scale"), _USUAL_GUIDANCE, 0, 100)),
        arms=[{"name": "candidate", "device": device}],
        repeats=_ONCE | {"in_process": 2},
        limits=[_REPEAT_LIMIT],
    )
    return Draft(name=asked.name, adapter="command", text=text, notes=tuple(asked.notes))


def _scripts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix in {".py", ".sh"} and path.is_file())


def _script(folder: Path) -> str:
    scripts = _scripts(folder)
    likely = [name for name in scripts if _INFERENCE.search(name)] or scripts
    if len(likely) != 1:
        found = f"the scripts {', '.join(likely)}" if likely else "no script (.py or .sh)"
        raise UsageError(f"{folder.absolute()} holds {found}; allowed is one. Give the script itself as --source.")
    return likely[0]


def _options(script: Path) -> list[_Option]:
    """Options that a Python script declares with ``add_argument`` of argparse or ``option`` of click.

    Raises:
        UsageError: the script cannot be read as Python.
    """
    if script.suffix != ".py":
        return []
    try:
        tree = ast.parse(script.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError) as error:
        raise UsageError(f"{script.absolute()} cannot be read as Python: {error}. Mend the script.") from error
    options = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") not in {"add_argument", "option"}:
            continue
        flags = [str(flag.value) for flag in node.args if isinstance(flag, ast.Constant)]
        flags = sorted((flag for flag in flags if flag.startswith("-")), key=len)
        given = {
            keyword.arg: keyword.value.value for keyword in node.keywords if isinstance(keyword.value, ast.Constant)
        }
        if flags:
            options.append(
                _Option(flag=flags[-1], default=given.get("default"), required=given.get("required") is True)
            )
    return options


def _known(options: Iterable[_Option], name: str) -> _Option | None:
    """The option that tells ``name``, by the first of its usual names that the script has."""
    by_name = {option.flag.lstrip("-").replace("-", "_").lower(): option for option in options}
    return next((by_name[usual] for usual in _OPTIONS[name].split() if usual in by_name), None)


def _number(option: _Option | None, usual: float, least: float, most: float) -> float:
    """The script's own default where it is a number in range, else what is usual."""
    default = option.default if option else None
    if not isinstance(default, int | float) or isinstance(default, bool) or not least <= default <= most:
        return usual
    return default


def _whole(option: _Option | None, usual: int, least: int, most: int) -> int:
    return int(_number(option, usual, least, most))


def _side(option: _Option | None) -> int:
    return _whole(option, 512, _SMALLEST, _LARGEST) // _STEP * _STEP


# --- pictures --------------------------------------------------------------------------------------------------------

_WAYS = [
    f"{arm}{names}"
    for arm in ("{arm}/", "")
    for names in (
        "{case}/{seed}-p{process}r{repeat}",
        "{case}/{seed}",
        "{case}-{seed}",
        "{case}_{seed}",
    )
]
"""Ways in which folders of pictures are laid out."""
_FORMS = {"arm": "[a-z0-9][a-z0-9._-]*", "case": "[a-z0-9][a-z0-9._-]*", "seed": "[0-9]+"}
_FORMS |= {"process": "[0-9]+", "repeat": "[0-9]+"}
_REFERENCE = re.compile(r"ref|gold|expect|baseline|fp32|float32|gpu|cuda|cpu")
"""In the name of a folder of pictures that others are held against."""


def _images(asked: _Asked) -> Draft:
    """Pictures that are there already.

    Raises:
        UsageError: their names tell no case and seed, they are not complete, or a scenario has no word for their size.
    """
    folder = asked.there
    names = _pictures(folder)
    template, described = _laid_out(folder, names)
    arms, cases, seeds = (sorted({picture.get(key, "") for picture in described}) for key in ("arm", "case", "seed"))
    repeats = {
        key: 1 + max(int(picture.get(name, 0)) for picture in described)
        for key, name in (("in_process", "repeat"), ("processes", "process"))
    }
    width, height = _size(folder / names[0])
    entries = _arms_of_pictures(arms)
    if arms == [""] and repeats == _ONCE:
        asked.notes.append(
            "there is one set of pictures without repeats, so there is nothing to compare: put those of a reference "
            "beside them, in a folder for each arm ({arm}/{case}/{seed}.png), and run harness init again"
        )
    elif len(arms) > 1:
        reference = next(entry["name"] for entry in entries if entry.get("role"))
        asked.notes.append(f"{reference} was taken as the reference; change `role` if it is another")
    limits = [] if repeats == _ONCE else [_REPEAT_LIMIT]
    text = _text(
        headline=f"{len(described)} pictures",
        name=asked.name,
        summary="Are the pictures that were made near those of the reference?" if len(arms) > 1 else "Do they repeat?",
        task="text_to_image",
        adapter="images",
        source=asked.source,
        pictures=template,
        cases=[{"id": case, "prompt": f"{case}, by the name of the file"} for case in cases],
        seeds=sorted(map(int, seeds)),
        width=width,
        height=height,
        arms=entries,
        repeats=repeats,
        limits=[*limits, *([_REFERENCE_LIMIT] if len(arms) > 1 else [])],
    )
    return Draft(name=asked.name, adapter="images", text=text, notes=tuple(asked.notes))


def _pictures(folder: Path) -> list[str]:
    """Names of the pictures below a folder, relative and with ``/``; hidden ones are left out."""
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in IMAGE_ENDINGS]
    return sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))


def _laid_out(folder: Path, names: list[str]) -> tuple[str, list[dict[str, str]]]:
    """The template that all pictures fit, and what each of them is.

    Raises:
        UsageError: there is none that is complete.
    """
    endings = {Path(name).suffix for name in names}
    for way in _WAYS if len(endings) == 1 else []:
        template = way + min(endings)
        pattern = re.compile(
            re.sub(r"\\\{(\w+)\\\}", lambda name: f"(?P<{name[1]}>{_FORMS[name[1]]})", re.escape(template))
        )
        matches = [pattern.fullmatch(name) for name in names]
        described = [match.groupdict() for match in matches if match]
        if len(described) == len(names) and _is_complete(described):
            return template, described
    example = f"found {len(names)} pictures, such as {names[0]}" if names else "found no pictures"
    raise UsageError(
        f"{folder.absolute()}: {example}; allowed are names that tell case and seed, such as cat/42.png or "
        "candidate/cat/42.png, in lower case, of one kind of file, and for every arm the same. Rename them, or compare "
        "two folders as they are: harness compare MINE THEIRS."
    )


def _is_complete(described: list[dict[str, str]]) -> bool:
    """Whether every arm has every case with every seed and repeat, and repeats are counted from 0."""
    by_arm: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for picture in described:
        by_arm[picture.get("arm", "")].add(tuple(picture[key] for key in picture if key != "arm"))
    (first, *others) = by_arm.values()
    keys = [key for key in described[0] if key != "arm"]
    values = dict(zip(keys, map(set, zip(*first, strict=True)), strict=True))
    whole = len(first) == math.prod(map(len, values.values())) and all(other == first for other in others)
    counted = all(
        values[key] == set(map(str, range(len(values[key])))) for key in ("process", "repeat") if key in values
    )
    return whole and counted and all(str(int(seed)) == seed for seed in values["seed"])


def _arms_of_pictures(arms: list[str]) -> list[dict[str, str]]:
    if len(arms) == 1:
        return [{"name": arms[0] or "candidate"}]
    reference = next((arm for arm in arms if _REFERENCE.search(arm)), arms[-1])
    return [{"name": arm, **({"role": "reference"} if arm == reference else {})} for arm in arms]


def _size(path: Path) -> tuple[int, int]:
    """Width and height of a picture.

    Raises:
        UsageError: it cannot be read, or no scenario can have that size.
    """
    from harness.images import read_picture

    try:
        height, width, _ = read_picture(path).shape
    except ImageError as error:
        raise UsageError(f"{error} Take it out of the folder.") from error
    if any(side % _STEP or not _SMALLEST <= side <= _LARGEST for side in (width, height)):
        raise UsageError(
            f"{path.absolute()} has {width} x {height} pixels; allowed in a scenario are sides from {_SMALLEST} to "
            f"{_LARGEST} that are multiples of {_STEP}. Compare two folders as they are: harness compare MINE THEIRS."
        )
    return width, height


_DRAFTED: Mapping[str, Callable[[_Asked], Draft]] = {
    "deepgen": _deepgen,
    "diffusers": _diffusers,
    "command": _command,
    "images": _images,
}


# --- the file --------------------------------------------------------------------------------------------------------


def _text(**values: Any) -> str:
    """The file of a scenario; what is left out is left out there as well."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(  # noqa: S701 - the file is YAML, and every value is quoted where it must be
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    environment.filters["yaml"] = _yaml
    template = (resources.files("harness") / "starter" / "scenario.yaml.j2").read_text(encoding="utf-8")
    nothing: dict[str, Any] = {
        "loads": False,
        "trust": None,
        "pictures": "",
        "words": [],
        "required": [],
        "steps": None,
    }
    return environment.from_string(template).render(nothing | values)


def _yaml(value: Any) -> str:
    """A value on one line of YAML.

    >>> _yaml({"in_process": 2, "dtype": "float32"}), _yaml("{seed}"), _yaml([42, 7])
    ('{in_process: 2, dtype: float32}', '"{seed}"', '[42, 7]')
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if isinstance(value, str) and re.fullmatch("[A-Za-z./][A-Za-z0-9 ._/+-]*", value) and value[-1] != " ":
        return json.dumps(value) if value.lower() in {"true", "false", "null", "."} else value
    return json.dumps(value, ensure_ascii=False)
