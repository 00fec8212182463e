"""Scenarios for scripts that make one picture, by the options that they declare."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.jobs.drafts.form import (
    LARGEST,
    ONCE,
    PROMPTS,
    REPEAT_LIMIT,
    SMALLEST,
    STEP,
    USUAL_GUIDANCE,
    USUAL_STEPS,
    Draft,
    Origin,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

INFERENCE = re.compile(r"(?i)infer|generate|txt2img|text2img|t2i")
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


def command(origin: Origin) -> Draft:
    """Any script that makes one picture.

    Raises:
        UsageError: no script is found, several are and none says that it makes pictures, or it has no option for what
            has to be told.
    """
    folder = origin.there
    script = origin.script or _script(folder)
    options = _options(folder / script)
    known = {name: option for name in _OPTIONS if (option := _known(options, name))}
    if options and (missing := [name for name in _NEEDED if name not in known]):
        raise UsageError(
            f"{(folder / script).absolute()} has no option that is known to tell {', '.join(missing)}; it has "
            f"{', '.join(option.flag for option in options)}. Call the right one --{missing[0]}, or write the scenario "
            "by hand."
        )
    if not options:
        origin.notes.append(f"no options could be read in {script}; the words of the command are a guess: fix them")
        known = {name: _Option(flag=f"--{_OPTIONS[name].split()[0]}", default=None, required=False) for name in _USUAL}
    required = [option.flag for option in options if option.required and option not in known.values()]
    origin.notes += [f"{script} also asks for {flag}: add it to the words of the command" for flag in required]
    if untold := [name for name in ("width", "height") if name not in known]:
        origin.notes.append(f"{script} is not told {' and '.join(untold)}: set width and height to what it makes")
    origin.notes.append("a command runs only with --allow-command; read it first")
    device = next((name for name, files in _DEVICES.items() if list(Path("/dev").glob(files))), "cpu")
    words = ["{python}" if script.endswith(".py") else "bash", script]
    words += [word for name, option in known.items() for word in (option.flag, f"{{{name}}}")]
    text = text_of(
        headline=script,
        name=origin.name,
        summary="Does the script repeat itself?",
        task="text_to_image",
        adapter="command",
        source=origin.source,
        words=words,
        required=required,
        cases=[{"id": key, "prompt": prompt} for key, prompt in PROMPTS.items()],
        seeds=[42],
        width=_side(known.get("width") or known.get("height")),
        height=_side(known.get("height") or known.get("width")),
        steps=_whole(known.get("steps"), USUAL_STEPS, 1, 1000),
        guidance_scale=float(_number(known.get("guidance_scale"), USUAL_GUIDANCE, 0, 100)),
        arms=[{"name": "candidate", "device": device}],
        repeats=ONCE | {"in_process": 2},
        limits=[REPEAT_LIMIT],
    )
    return Draft(name=origin.name, adapter="command", text=text, notes=tuple(origin.notes))


def scripts_in(folder: Path) -> list[str]:
    """Names of the scripts of Python and of shells in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir() if path.suffix in {".py", ".sh"} and path.is_file())


def _script(folder: Path) -> str:
    scripts = scripts_in(folder)
    likely = [name for name in scripts if INFERENCE.search(name)] or scripts
    if len(likely) != 1:
        content = f"the scripts {', '.join(likely)}" if likely else "no script (.py or .sh)"
        raise UsageError(f"{folder.absolute()} holds {content}; allowed is one. Give the script itself as --source.")
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
        raise UsageError(f"{script.absolute()} cannot be read as Python: {error}. Fix the script.") from error
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
    return _whole(option, 512, SMALLEST, LARGEST) // STEP * STEP
