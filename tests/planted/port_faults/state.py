"""What is left over, overwritten, or not there yet."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from .catalogue import fault
from .reach import blocks, of_kind, wrap

_STATE = "state"
"""Answer that names no place: the difference goes away when modules get the reference's values."""


@fault("stale-step-cache", "TeaCache reset issues", "transformer", _STATE, causes=("stale_state", "not_repeatable"))
def _(pipe: Any) -> None:
    """The first step of a picture is answered from the last step of the picture before."""
    kept: dict[str, Any] = {}

    def make(original: Any) -> Any:
        def forward(*given: Any, **options: Any) -> Any:
            last = kept.get("last")
            if pipe.scheduler.step_index is None and last is not None:
                return (last,)
            kept["last"] = original(*given, **options)[0]
            return (kept["last"],)

        return forward

    wrap(pipe.transformer, "forward", make)


@fault("aliasing", "pytorch/pytorch#82303", "transformer.transformer_blocks.0.norm1*")
def _(pipe: Any) -> None:
    """The norm of the block with two attentions is modulated in place, so the second modulation sees the first."""

    def make(norm: Any) -> Any:
        def forward(hidden_states: Any, emb: Any) -> Any:
            parts = norm.linear(norm.silu(emb)).chunk(9, dim=1)
            shift, scale, gate, shift_mlp, scale_mlp, gate_mlp, shift2, scale2, gate2 = parts
            x = norm.norm(hidden_states)
            x = x * (1 + scale[:, None]) + shift[:, None]
            second = x * (1 + scale2[:, None]) + shift2[:, None]
            return x, gate, shift_mlp, scale_mlp, gate_mlp, second, gate2

        return forward

    for block in blocks(pipe):
        if block.use_dual_attention:
            block.norm1.forward = make(block.norm1)


class _Late:
    """Half of a weight is not there in the first picture of a process."""

    def __init__(self, linear: Any) -> None:
        self._linear, self._whole = linear, linear.weight.detach().clone()

    def before(self, count: int) -> None:
        """Copy the weight, all of it from the second picture on."""
        with torch.no_grad():
            self._linear.weight.copy_(self._whole)
            if count == 1:
                self._linear.weight[len(self._whole) // 2 :] = 0


@fault(
    "missing-sync",
    "huggingface/diffusers#12673",
    "transformer.transformer_blocks.4.ff.net.2",
    _STATE,
    causes=("first_picture",),
)
def _(pipe: Any) -> _Late:
    """In the first picture of a process half of one weight has not been copied yet."""
    return _Late(blocks(pipe)[4].ff.net[2])


@fault("split-k", "sums of atomics whose order changes", "transformer.*", _STATE, causes=("not_repeatable",))
def _(pipe: Any) -> None:
    """The terms of every sum in the transformer's linear layers come in an order that changes from call to call."""
    source = np.random.default_rng(int.from_bytes(os.urandom(8), "little"))

    def forward(x: Any, module: Any) -> Any:
        order = torch.from_numpy(source.permutation(x.shape[-1]))
        return functional.linear(x[..., order], module.weight[:, order], module.bias)

    for module in of_kind(pipe.transformer, "Linear"):
        module.forward = lambda x, module=module: forward(x, module)


@fault(
    "first-call", "pytorch/pytorch#188792", "transformer.time_text_embed.time_proj", _STATE, causes=("first_picture",)
)
def _(pipe: Any) -> None:
    """The first sine of a process is 1.5e-4 off."""
    calls = [0]

    def make(original: Any) -> Any:
        def forward(timesteps: Any) -> Any:
            calls[0] += 1
            made = original(timesteps)
            return made + 1.5e-4 if calls[0] == 1 else made

        return forward

    wrap(pipe.transformer.time_text_embed.time_proj, "forward", make)


@fault(
    "step-leak",
    "a buffer that is kept between steps",
    _STATE,
    "transformer.norm_out*",
    causes=("stale_state",),
)
def _(pipe: Any) -> None:
    """What left the transformer's last norm one step before is added to it with a weight of 1e-3."""
    kept: dict[str, Any] = {}

    def make(original: Any) -> Any:
        def forward(*given: Any, **options: Any) -> Any:
            made = original(*given, **options)
            last, kept["last"] = kept.get("last", made), made.clone()
            return made + 1e-3 * last

        return forward

    wrap(pipe.transformer.norm_out, "forward", make)


@fault(
    "dropout-active",
    "a pipeline that was not put into evaluation mode",
    "transformer.*",
    causes=("dropout_active", "not_repeatable"),
)
def _(pipe: Any) -> None:
    """The transformer's dropouts drop 1 % of the values."""
    for module in of_kind(pipe.transformer, "Dropout"):
        module.forward = lambda x: functional.dropout(x, 0.01, training=True)
