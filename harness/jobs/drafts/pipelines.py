"""Scenarios for pipelines in diffusers format, by what their JSON files say."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.jobs.drafts.form import (
    INDEX,
    LARGEST,
    ONCE,
    PROMPTS,
    REFERENCE_LIMIT,
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
    from pathlib import Path

_TWICE = {"in_process": 2, "processes": 2}
_EDITS = {"at-night": "make it night", "red": "make everything red"}
_EDITING = re.compile("Img2Img|InstructPix2Pix|Edit|Kontext|ControlNet|Upscale")
"""Pipelines that take a picture called ``image`` beside the prompt, by the name of their class."""
_FEW_STEPS = re.compile(r"(?i)turbo|lightning|schnell|\blcm\b|LCMScheduler|TCDScheduler")
"""Names of models and schedulers that are made for a few steps without guidance."""
_GUIDANCE = {"StableDiffusionXL": 5.0, "StableDiffusion3": 7.0, "StableDiffusion": 7.5, "Flux": 3.5}
"""The pipelines' own defaults, by the beginning of the class's name, the longest first."""
_FEW = 4


def deepgen(origin: Origin) -> Draft:
    """DeepGen-1.0 and the embedded models in its layout.

    Raises:
        UsageError: the folder holds another pipeline.
    """
    embedded = origin.written.startswith("builtin:")
    if origin.folder is not None and not is_deepgen(name := class_name(origin.folder)):
        raise UsageError(
            f"{origin.folder.absolute()} holds the pipeline {name or 'of no name'}, which is not DeepGen's. Give "
            "--adapter diffusers."
        )
    if not embedded:
        origin.notes.append(
            "the folder brings Python of its own: read it, then write `trust_remote_code: true` in the scenario (the "
            "refusal of harness check prints lines that pin its content)"
        )
    side, steps = (128, 20) if embedded else (512, 50)
    name = origin.written.partition(":")[2] if embedded else origin.name
    return _of_a_pipeline(origin, "deepgen", name=name, side=side, steps=steps, guidance_scale=4.0, trust=embedded)


def diffusers(origin: Origin) -> Draft:
    """Any other pipeline of diffusers.

    Raises:
        UsageError: the folder holds none, or one that needs what a scenario has no word for.
    """
    if origin.folder is None:
        few = bool(_FEW_STEPS.search(origin.written))
        origin.notes.append(
            f"{origin.written} was not looked into: set width, height and steps to what the model is for"
        )
        return _of_a_pipeline(
            origin,
            "diffusers",
            name=origin.name,
            side=1024,
            steps=_FEW if few else USUAL_STEPS,
            guidance_scale=0.0 if few else USUAL_GUIDANCE,
        )
    name = class_name(origin.folder)
    if "Inpaint" in name:
        raise UsageError(
            f"{name} needs a mask, and a scenario has no word for one. Give --adapter command with a script that makes "
            "the picture."
        )
    index = _json(origin.folder / INDEX)
    few = bool(_FEW_STEPS.search(f"{origin.folder.resolve().name} {index.get('scheduler')}")) or _is_schnell(
        origin.folder
    )
    own = max((key for key in _GUIDANCE if name.startswith(key)), key=len, default="")
    code = sorted(path.relative_to(origin.folder).as_posix() for path in origin.folder.rglob("*.py"))
    if code:
        origin.notes.append(
            f"the folder brings Python of its own ({', '.join(code)}): read it, then write `trust_remote_code: true` "
            "in the scenario"
        )
    return _of_a_pipeline(
        origin,
        "diffusers",
        name=origin.name,
        side=_native_side(origin.folder),
        steps=_FEW if few else USUAL_STEPS,
        guidance_scale=0.0 if few else _GUIDANCE.get(own, USUAL_GUIDANCE),
        trust=False if code else None,
        edits=bool(_EDITING.search(name)),
        headline=name,
    )


def _of_a_pipeline(  # noqa: PLR0913 - one word for each thing that tells pipelines apart
    origin: Origin,
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
    origin.notes.append(
        "cpu-fp32 makes every picture once in float32 on the CPU, which takes long for a large model: take the arm and "
        "its limit out to ask only for determinism"
    )
    text = text_of(
        headline=headline or adapter,
        name=name,
        summary="Does it repeat itself, and does it stay near float32 on the CPU?",
        task="image_editing" if edits else "text_to_image",
        adapter=adapter,
        source=origin.source,
        loads=True,
        trust=trust,
        cases=[{"id": key, "prompt": prompt, **picture} for key, prompt in (_EDITS if edits else PROMPTS).items()],
        seeds=[42],
        width=side,
        height=side,
        steps=steps,
        guidance_scale=guidance_scale,
        arms=[
            {"name": "candidate", "device": "auto"},
            {"name": "cpu-fp32", "role": "reference", "device": "cpu", "dtype": "float32", "repeats": ONCE},
        ],
        repeats=_TWICE,
        limits=[REPEAT_LIMIT, REFERENCE_LIMIT],
    )
    size = (side, side) if edits else None
    return Draft(name=name, adapter=adapter, text=text, input_size=size, notes=tuple(origin.notes))


def class_name(folder: Path) -> str:
    """Class of the pipeline that a folder holds.

    Raises:
        UsageError: there is no ``model_index.json``, or it cannot be read.
    """
    if not (folder / INDEX).is_file():
        raise UsageError(
            f"{folder.absolute()} has no model_index.json, so it is no model in diffusers format; give the folder that "
            "holds it."
        )
    name = _json(folder / INDEX).get("_class_name")
    return str(name[-1] if isinstance(name, list) and name else name or "")


def is_deepgen(class_name: str) -> bool:
    """Whether a class of a pipeline is DeepGen's."""
    return "deepgen" in class_name.lower()


def _is_schnell(folder: Path) -> bool:
    """Whether it is a Flux that was distilled to a few steps, which knows no guidance."""
    path = folder / "transformer" / "config.json"
    return path.is_file() and _json(path).get("guidance_embeds") is False and class_name(folder).startswith("Flux")


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
    return max(SMALLEST, min(LARGEST, side // STEP * STEP))


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path.absolute()} cannot be read: {error}. Fetch the folder again.") from error
    if not isinstance(content, dict):
        raise UsageError(
            f"{path.absolute()}: found {type(content).__name__}; allowed is a JSON object. Fetch it again."
        )
    return content
