"""A sheet of pictures to look at: one prompt of each kind, drawn by a checkpoint folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.scores.shapes_prompt_score.drawing import draw_scene
from harness.scores.shapes_prompt_score.world import SIDE
from training.score import draw, held_out_examples, load_pipeline
from training.world import EDIT_KINDS, TEXT_KINDS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

GAP = 8
"""Pixels of white between pictures."""


def sheet(folder: Path, columns: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Rows of pictures ``uint8[H, W, 3]``, and for each row its prompts: kinds of prompts first, then edits.

    A row of edits stands under the row of its input pictures.
    """
    pipe = load_pipeline(folder)
    rows, words = [], []
    for kind in (*TEXT_KINDS, *EDIT_KINDS):
        examples = held_out_examples(kind, columns)
        if kind in EDIT_KINDS:
            rows.append([draw_scene(example.source) for example in examples if example.source])
            words.append(f"{kind}, input")
        rows.append([draw(pipe, example, example.prompt, seed) for seed, example in enumerate(examples)])
        words.append("; ".join(example.prompt for example in examples))
    page = np.full((len(rows) * (SIDE + GAP), columns * (SIDE + GAP), 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            top, left = y * (SIDE + GAP), x * (SIDE + GAP)
            page[top : top + SIDE, left : left + SIDE] = picture
    return page, words
