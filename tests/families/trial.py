"""One family through ``harness check``: the pipeline saved, a scenario written, the command run, its records read."""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from harness.adapters import diffusers as adapter
from harness.text import one_line
from tests.command_line import job_folder, read_json, run_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.families.families import Family

SIDE, STEPS, SEED = 64, 2, 42
LEAST_PSNR_DB = 20
WORDS = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "image": "input_image",
    "width": "width",
    "height": "height",
    "num_inference_steps": "steps",
    "guidance_scale": "guidance_scale",
}
"""Parameters of a call, and the words that scenarios have for them."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What the records say of one family."""

    name: str
    title: str
    pipeline: str = ""
    """Name of the pipeline's class."""
    takes: list[str] = field(default_factory=list)
    """Words of scenarios that the call takes."""
    lacks: list[str] = field(default_factory=list)
    """Words of scenarios that the call does not take."""
    arguments: dict[str, Any] = field(default_factory=dict)
    draws: list[str] = field(default_factory=list)
    """Each random draw of a sample: function, shape, and whose generator drew."""
    returns: str = ""
    met_noise: bool | None = None
    """Whether every draw was seen, came from the pipeline's generator, and was the same in both arms."""
    repeats: str = ""
    psnr_db: float | None = None
    verdict: str = ""
    code: int | None = None
    """Exit code of ``harness check``."""
    seconds: float = 0.0
    told: list[str] = field(default_factory=list)
    """What the record tells of the run: substitutions, and settings without effect."""
    error: str = ""
    """Why there is no result, in words."""


def tried(name: str, family: Family, folder: Path) -> Trial:
    """Run a family through the command; what goes wrong on the way stands in the trial."""
    begin = time.monotonic()
    known: dict[str, Any] = {"name": name, "title": family.title, "arguments": family.arguments}
    try:
        saved(family, folder / "model")
    except Exception as error:  # noqa: BLE001 - whatever keeps a pipeline from being made is said in the table
        return Trial(**known, error=f"not made: {type(error).__name__}: {one_line(str(error), 300)}")
    known |= called(folder / "model")
    (folder / "family.yaml").write_text(json.dumps(scenario(family, folder)), encoding="utf-8")
    ended = run_command(folder, "check", "family.yaml")
    known |= {"code": ended.code, "seconds": time.monotonic() - begin}
    if not (folder / "runs").is_dir():
        return Trial(**known, error=one_line(ended.err.replace(f"{folder}/", "").strip(), 400))
    return Trial(**known, **of_records(job_folder(folder / "runs")))


def saved(family: Family, folder: Path) -> None:
    """Save a family's pipeline, with weights that are the same every time."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        family.save(folder)


def called(folder: Path) -> dict[str, Any]:
    """Class of a saved pipeline, and which words of scenarios its call takes."""
    named = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))["_class_name"]
    parameters = adapter.parameters(folder) or []
    takes = [word for parameter, word in WORDS.items() if parameter in parameters]
    named = named[-1] if isinstance(named, list) else named
    return {"pipeline": named, "takes": takes, "lacks": [word for word in WORDS.values() if word not in takes]}


def scenario(family: Family, folder: Path, **changes: Any) -> dict[str, Any]:
    """A scenario with two arms; its images are written into its folder."""
    write_images(folder)
    case = {"id": "cup", "prompt": "a cup"}
    case |= {"negative_prompt": "a red square"} if family.negative_prompt else {}
    case |= {"input_image": "start.png"} if family.input_image else {}
    once = {"in_process": 1, "processes": 1}
    frames = {"frames": {"count": family.frames}} if family.frames else {}
    return {
        "name": "family",
        "summary": "A small random pipeline in bfloat16 against float32.",
        "task": "image_editing" if family.input_image else "text_to_image",
        "model": {"adapter": "diffusers", "source": "model", "trust_remote_code": family.own_code},
        "cases": [case],
        "seeds": [SEED],
        "width": family.side,
        "height": family.side,
        "steps": STEPS,
        "arguments": family.arguments,
        **frames,
        "repeats": {"in_process": 2, "processes": 2},
        "arms": [
            {"name": "bfloat16", "device": "cpu", "dtype": "bfloat16"},
            {"name": "float32", "device": "cpu", "dtype": "float32", "role": "reference", "repeats": once},
        ],
        "limits": [
            {"metric": "identical", "scope": "repeat", "equals": 1, "reason": "A pipeline repeats itself on a CPU."},
            {
                "metric": "psnr_db",
                "scope": "reference",
                "at_least": LEAST_PSNR_DB,
                "reason": "One number for all families, chosen before any was measured.",
            },
        ],
        **changes,
    }


def write_images(folder: Path) -> None:
    """An image to begin with, a mask, and an image for control, all small."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] * 255 // (SIDE - 1)
    Image.fromarray(np.stack([rows, columns, 255 - rows], axis=-1).astype(np.uint8)).save(folder / "start.png")
    Image.fromarray(np.stack([columns, columns, rows], axis=-1).astype(np.uint8)).save(folder / "control.png")
    mask = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    mask[16:48, 16:48] = 255
    Image.fromarray(mask).save(folder / "mask.png")


def of_records(job: Path) -> dict[str, Any]:
    """What the records of a job say of the pipeline."""
    runs = {arm: read_json(job / arm / "run.json") for arm in ("bfloat16", "float32")}
    failures = [failure for run in runs.values() for failure in run["failures"]]
    samples = runs["bfloat16"]["samples"]
    compared = read_json(job / "comparison-reference-bfloat16-against-float32.json")
    repeated = read_json(job / "comparison-repeat-bfloat16.json")
    unfit = [one["message"] for one in compared["unfit"]]
    report = read_json(job / "report" / "report.json")
    return {
        "draws": [drawn(draw) for draw in samples[0]["draws"]] if samples else [],
        "returns": returned(samples[0]) if samples else "",
        "met_noise": met_noise(runs) if samples else None,
        "repeats": repeats(repeated),
        "psnr_db": min(measured(compared, "psnr_db"), default=None),
        "verdict": report["outcome"],
        "told": told(runs["bfloat16"]),
        "error": failed(failures[0]) if failures else " ".join([*compared["differences"], *unfit]),
    }


def failed(failure: dict[str, Any]) -> str:
    """A failure in words: when, which error, and what it says."""
    return f"{failure['stage']}: {failure['error']}: {one_line(failure['message'], 400)}"


def drawn(draw: dict[str, Any]) -> str:
    """A draw in words, such as ``randn 1x4x32x32``; with its generator where it is not the one that was given."""
    shape = "x".join(map(str, draw["shape"]))
    origin = draw["drawn_from"]
    return f"{draw['function']} {shape}" + ("" if origin == "given" else f" ({origin} generator)")


def returned(sample: dict[str, Any]) -> str:
    """Size of the picture, or number and size of a video's frames, and whether a decoder's output was seen."""
    height, width, channels = sample["image"]["shape"]
    seen, video = sample["float_image"], sample.get("video")
    count = f"{len(video['frames'])} frames of " if video else ""
    return f"{count}{width}x{height}x{channels} {sample['image']['dtype']}, " + (
        f"decoder output in {seen['computed_in']}" if seen else "no decoder output"
    )


def met_noise(runs: dict[str, Any]) -> bool:
    """Whether no draw was hidden, each came from the generator that was given, and both arms drew the same."""
    samples = [sample for run in runs.values() for sample in run["samples"]]
    controlled = all(
        not sample["hidden_draws"] and all(draw["drawn_from"] == "given" for draw in sample["draws"])
        for sample in samples
    )
    return controlled and len({sample["noise_digest"] for sample in samples}) == 1


def repeats(compared: dict[str, Any]) -> str:
    """How many runs there were, and how many of their results, whole videos among them, are different ones."""
    return ", ".join(
        f"{one['runs']} runs in {one['processes']} processes, {len(one['outcomes'])} outcome"
        + ("" if len(one["outcomes"]) == 1 else "s")
        for one in compared["repetitions"]
        if "frame" not in one["key"]
    )


def measured(compared: dict[str, Any], metric: str) -> Iterator[float]:
    """Values of a metric of the 8-bit picture, or of each stored frame."""
    for pair in compared["pairs"]:
        for one in pair["measurements"]:
            if (one["metric"], one["subject"]) == (metric, "image") and one["value"] is not None:
                yield float(one["value"])


def told(run: dict[str, Any]) -> list[str]:
    """Sentences of the record about what was asked and not done."""
    loaded = run["loaded"]["substitutions"] if run["loaded"] else []
    without = [sentence for sample in run["samples"] for sentence in sample["without_effect"]]
    hidden = [f"hidden draw: {sign}" for sample in run["samples"] for sign in sample["hidden_draws"]]
    return list(dict.fromkeys([*loaded, *without, *hidden]))
