"""What the transformer is trained on, computed once: features of prompts and latents of pictures, in bundles on disk.

Language model and autoencoder are frozen by now, so a bundle is a function of its number. It is computed when it is
first asked for, and read afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch.nn import functional

from harness.files import write_atomically
from harness.scores.shapes_prompt_score.drawing import draw_scene
from training.batches import pixels, random_of
from training.language import conditioning_states
from training.world import EDIT_WEIGHTS, GROUND_WEIGHTS, TEXT_WEIGHTS, draw_mixed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from training.world import Example

MIXES = {"text": TEXT_WEIGHTS, "edit": EDIT_WEIGHTS}
GROUND_MIX = {"ground": GROUND_WEIGHTS}
GROUPS = 4
GROUP_SIZE = 64
EMPTY_PROMPTS = 0.1
CELL = 8
"""Pixels of a side that become one latent."""
VISIBLE = 8 / 127.5
"""Smallest difference, of a range of 2, that makes a cell a changed one."""


@dataclass(frozen=True)
class Group:
    """Examples that are trained on together; latents are scaled as the transformer sees them."""

    states: Tensor
    """Picked states of the language model ``float16[n, tokens, 192]``."""
    latents: Tensor
    """The picture asked for ``float16[n, 16, 16, 16]``."""
    changed: Tensor | None
    """Of an edit, which cells differ from the source ``bool[n, 16, 16]``."""
    reference: Tensor | None
    """Of an edit, mean and deviation of the source's latents ``float16[n, 2, 16, 16, 16]``."""


class Store:
    """Bundles of four groups of each kind of a mix."""

    def __init__(
        self,
        folder: Path,
        pipe: Any,
        mixes: Mapping[str, Mapping[str, float]] = MIXES,
        *,
        group_size: int = GROUP_SIZE,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._pipe, self._mixes, self._size = folder, pipe, mixes, group_size

    def group(self, bundle: int, kind: str, number: int) -> Group:
        """A group of a kind of the mixes; ``number`` is below ``GROUPS``."""
        path = self._folder / f"{bundle:05d}.safetensors"
        if not path.exists():
            write_atomically(path, save(self._bundle(bundle)))
        with safe_open(path, framework="pt") as stored:
            names = set(stored.keys())
            tensors = {
                part: stored.get_tensor(name)
                for part in ("states", "latents", "changed", "reference")
                if (name := f"{kind}.{number}.{part}") in names
            }
        return Group(tensors["states"], tensors["latents"], tensors.get("changed"), tensors.get("reference"))

    @torch.no_grad()
    def _bundle(self, bundle: int) -> dict[str, Tensor]:
        tensors = {}
        for kind, weights in self._mixes.items():
            rng = random_of("bundle", bundle, kind)
            examples = [draw_mixed(weights, rng) for _ in range(GROUPS * self._size)]
            # Prompts of one length lie together, so that only the empty ones are padded, as when a picture is made.
            examples.sort(key=self._length)
            for number in range(GROUPS):
                part = examples[number * self._size : (number + 1) * self._size]
                prompts = ["" if rng.random() < EMPTY_PROMPTS else example.prompt for example in part]
                for name, tensor in self._group(part, prompts).items():
                    tensors[f"{kind}.{number}.{name}"] = tensor.cpu().contiguous()
        return tensors

    def _length(self, example: Example) -> int:
        return len(self._pipe.tokenizer(example.prompt)["input_ids"])

    def _group(self, examples: list[Example], prompts: list[str]) -> dict[str, Tensor]:
        after = pixels([draw_scene(example.scene) for example in examples])
        tensors = {
            "states": conditioning_states(self._pipe, examples, prompts).half(),
            "latents": self._scaled(self._posterior(after).mean).half(),
        }
        sources = [example.source for example in examples if example.source is not None]
        if sources:
            before = pixels([draw_scene(source) for source in sources])
            posterior = self._posterior(before)
            deviation = posterior.std * self._pipe.vae.config.scaling_factor
            tensors["reference"] = torch.stack([self._scaled(posterior.mean), deviation], dim=1).half()
            difference = (after - before).abs().amax(dim=1, keepdim=True)
            tensors["changed"] = functional.max_pool2d(difference, CELL)[:, 0] > VISIBLE
        return tensors

    def _posterior(self, x: Tensor) -> Any:
        return self._pipe.vae.encode(x.to(self._pipe.vae.device)).latent_dist

    def _scaled(self, z: Tensor) -> Tensor:
        config = self._pipe.vae.config
        scaled: Tensor = (z - config.shift_factor) * config.scaling_factor
        return scaled
