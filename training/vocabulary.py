"""The tokenizer: byte-level BPE whose merges are learnt from the prompts of the small world."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from harness.models.tiny_deepgen_random.tokenizer import SPECIAL_TOKENS, SPLIT_PATTERN, write_tokenizer
from training.batches import random_of
from training.world import EDIT_WEIGHTS, TEXT_WEIGHTS, draw_mixed

if TYPE_CHECKING:
    from pathlib import Path

BYTES = 256
VOCABULARY_SIZE = 576
FIRST_SPECIAL = VOCABULARY_SIZE - len(SPECIAL_TOKENS)
TOKEN_IDS = {token: FIRST_SPECIAL + k for k, token in enumerate(SPECIAL_TOKENS)}

_TEMPLATE_WORDS = ["user\n", "assistant\n", "Generate an image: a"]
_PROMPTS = 12_000
_REPEATS_OF_TEMPLATE = 500


def train_tokenizer(folder: Path) -> None:
    """Write a tokenizer of 576 tokens into a folder that exists; the same bytes each time."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=FIRST_SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    merges = [(left, right) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]
    if BYTES + len(merges) != FIRST_SPECIAL:
        raise ValueError(f"the prompts gave {len(merges)} merges, not {FIRST_SPECIAL - BYTES}.")
    write_tokenizer(folder, merges)


def _corpus() -> list[str]:
    rng = random_of("vocabulary")
    # Signs are left out: pairs of capitals must not merge, so that every letter of a sign is a token of its own.
    texts = {kind: weight for kind, weight in TEXT_WEIGHTS.items() if kind != "text"}
    prompts = [draw_mixed(weights, rng).prompt for weights in (texts, EDIT_WEIGHTS) for _ in range(_PROMPTS)]
    return [*prompts, *_TEMPLATE_WORDS * _REPEATS_OF_TEMPLATE, *["a sign that says"] * _REPEATS_OF_TEMPLATE]
