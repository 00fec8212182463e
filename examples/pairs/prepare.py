"""Functions for `load: {prepare: ...}`: each changes a loaded pipeline, and gives back what counts its work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable


class Int8Linear(torch.nn.Module):
    """A linear layer whose weights are int8[out, in], with a scale for each row; activations stay as they are."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
        self.register_buffer("weight_int8", (weight / scale).round().to(torch.int8))
        self.register_buffer("scale", scale.to(linear.weight.dtype))
        self.bias = linear.bias
        self.calls = 0

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The layer with its weights as 8 bits hold them."""
        self.calls += 1
        weight: Any = self.weight_int8
        return torch.nn.functional.linear(values, weight.to(values.dtype) * self.scale, self.bias)


def int8(pipe: Any) -> dict[str, Callable[[], int]]:
    """Put int8 layers into the blocks of the transformer; norms, embeddings and the last layer stay."""
    layers: list[Int8Linear] = []
    for name, module in list(pipe.transformer.named_modules()):
        for key, child in list(module.named_children()):
            if "blocks" in name and isinstance(child, torch.nn.Linear):
                layers.append(Int8Linear(child))
                setattr(module, key, layers[-1])
    return {"int8 layers": lambda: sum(layer.calls for layer in layers)}


def first_block_cache(pipe: Any) -> dict[str, Callable[[], int]]:
    """Skip the later blocks where the first one changed little since the last step, and count how often."""
    from diffusers import FirstBlockCacheConfig

    pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.2))
    first, *_, last = _blocks(pipe.transformer)
    calls = {"first": 0, "last": 0}
    _count(first, calls, "first")
    _count(last, calls, "last")
    return {"steps from the cache": lambda: calls["first"] - calls["last"]}


def _blocks(transformer: Any) -> list[Any]:
    """Blocks of a transformer of diffusers, in the order in which they are called."""
    names = ("transformer_blocks", "single_transformer_blocks")
    return [block for name in names for block in getattr(transformer, name, [])]


def _count(block: Any, calls: dict[str, int], name: str) -> None:
    """Count how often a block computes: its attention is called only then."""

    def add(*_: Any) -> None:
        calls[name] += 1

    block.attn.register_forward_hook(add)
