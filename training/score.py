"""Scores a checkpoint folder: held-out prompts are drawn by the pipeline as users run it, and read by rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from harness.scores import shapes_prompt_score
from harness.scores.shapes_prompt_score.drawing import draw_scene
from harness.scores.shapes_prompt_score.world import SIDE
from training.batches import random_of
from training.world import EDIT_KINDS, TEXT_KINDS, draw_example

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.contracts import Scored
    from training.world import Example

    Picture = NDArray[np.uint8]

STEPS = 20
GUIDANCE = 4.0
CONTROL_PROMPTS = 12
"""Of each kind, for the control whose prompt is left out."""


@dataclass(frozen=True)
class Score:
    """Shares of right pictures of one kind of prompt."""

    kind: str
    prompts: int
    pictures: int
    right: float
    standard_error: float
    """Of ``right``, over prompts: the pictures of one prompt are no independent draws."""
    by_rule: dict[str, float]
    prompt_ignored: float
    """Control: the same noise with an empty prompt, compared with the prompt."""
    prompt_swapped: float
    """Control: pictures compared with the next prompt of their kind."""


def score_checkpoint(folder: Path, *, prompts: int, seeds: int) -> list[Score]:
    """Score every kind in float32, with 20 steps and guidance 4.

    Raises:
        ValueError: fewer than two prompts; a swap needs another prompt, and an error of the mean two.
    """
    if prompts < 2:  # noqa: PLR2004 - see Raises
        raise ValueError(f"{prompts} prompts of each kind; at least 2 are needed.")
    pipe = load_pipeline(folder)
    return [_score(pipe, kind, prompts, seeds) for kind in (*TEXT_KINDS, *EDIT_KINDS)]


def load_pipeline(folder: Path) -> Any:
    """The pipeline of a checkpoint folder in float32, loaded with the folder's own code."""
    import torch
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(
        str(folder), trust_remote_code=True, torch_dtype=torch.float32, use_safetensors=True, local_files_only=True
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def held_out_examples(kind: str, count: int) -> list[Example]:
    """The prompts that a kind is scored on, the same each time."""
    rng = random_of("score", kind)
    return [draw_example(kind, rng, held_out=True) for _ in range(count)]


def scored(picture: Picture, example: Example) -> Scored:
    """The product's own score of a picture ``uint8[128, 128, 3]`` of an example."""
    source = None if example.source is None else draw_scene(example.source)
    return shapes_prompt_score.score(picture, prompt=example.prompt, input_image=source)


def table(scores: Sequence[Score]) -> str:
    """Scores as a Markdown table, in per cent with standard errors, and their means."""
    lines = [
        "| Kind | Right | Prompts x seeds | By rule | Prompt ignored | Prompt swapped |",
        "| :--- | ---: | ---: | :--- | ---: | ---: |",
    ]
    for score in scores:
        parts = ", ".join(f"{rule} {share:.0%}" for rule, share in score.by_rule.items())
        right = f"{100 * score.right:.1f} ± {100 * score.standard_error:.1f}"
        seeds = score.pictures // score.prompts
        controls = f"{score.prompt_ignored:.0%} | {score.prompt_swapped:.0%}"
        lines.append(f"| {score.kind} | {right} | {score.prompts} x {seeds} | {parts} | {controls} |")
    for name, kinds in (("prompts", TEXT_KINDS), ("edits", EDIT_KINDS)):
        part = [score for score in scores if score.kind in kinds]
        error = np.sqrt(sum(score.standard_error**2 for score in part)) / len(part)
        right = f"{100 * np.mean([score.right for score in part]):.1f} ± {100 * error:.1f}"
        lines.append(f"| **mean of {name}** | {right} | {sum(score.prompts for score in part)} prompts | | | |")
    return "\n".join(lines) + "\n"


def _score(pipe: Any, kind: str, count: int, seeds: int) -> Score:
    examples = held_out_examples(kind, count)
    # No seed twice: few combinations are held out of some kinds, and one prompt may come again.
    pictures = [
        [draw(pipe, example, example.prompt, seed) for seed in range(k * seeds, (k + 1) * seeds)]
        for k, example in enumerate(examples)
    ]
    judged = [[scored(picture, example) for picture in row] for row, example in zip(pictures, examples, strict=True)]
    shares = np.array([np.mean([each.value for each in row]) for row in judged])
    flat = [each.parts for row in judged for each in row]
    others = [*examples[1:], examples[0]]
    swapped = [scored(picture, other).value for row, other in zip(pictures, others, strict=True) for picture in row]
    ignored = [scored(draw(pipe, example, "", 0), example).value for example in examples[:CONTROL_PROMPTS]]
    names = sorted({rule for kept in flat for rule in kept})
    return Score(
        kind=kind,
        prompts=count,
        pictures=len(flat),
        right=float(shares.mean()),
        standard_error=float(shares.std(ddof=1) / np.sqrt(count)),
        by_rule={rule: float(np.mean([kept[rule] for kept in flat if rule in kept])) for rule in names},
        prompt_ignored=float(np.mean(ignored)),
        prompt_swapped=float(np.mean(swapped)),
    )


def draw(pipe: Any, example: Example, prompt: str, seed: int) -> Picture:
    """One picture ``uint8[128, 128, 3]``."""
    import torch

    # The posterior sample of an edit comes from the global generator.
    torch.manual_seed(seed)
    source = None if example.source is None else Image.fromarray(draw_scene(example.source))
    made = pipe(
        prompt, image=source, height=SIDE, width=SIDE, num_inference_steps=STEPS, guidance_scale=GUIDANCE, seed=seed
    )
    return np.array(made.images[0], dtype=np.uint8)
