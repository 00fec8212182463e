"""Changes that a correct port may have: none of them may be named."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from .attention import by_formula, set_core
from .catalogue import benign
from .reach import of_kind, text_model, wrap


@benign("nothing", "control")
def _(_pipe: Any) -> None:
    """The healthy pipeline again."""


@benign("sum-order", "another order of sums")
def _(pipe: Any) -> None:
    """Sums of the transformer's linear layers in another fixed order."""
    for number, module in enumerate(of_kind(pipe.transformer, "Linear")):
        order = torch.randperm(module.in_features, generator=torch.Generator().manual_seed(number))
        module.forward = lambda x, m=module, order=order: functional.linear(x[..., order], m.weight[:, order], m.bias)


@benign("attention-by-formula", "another kernel of attention")
def _(pipe: Any) -> None:
    """The transformer's attention by its formula instead of the fused kernel."""
    set_core(pipe, by_formula)


@benign("channels-last", "another layout of memory")
def _(pipe: Any) -> None:
    """The autoencoder in channels-last memory."""
    pipe.vae.to(memory_format=torch.channels_last)


@benign("two-passes", "guidance in two passes")
def _(pipe: Any) -> None:
    """Guidance in two passes of one prediction each instead of one pass of two."""
    _passes(pipe, reverse=False)


@benign("two-passes-reversed", "guidance in two passes")
def _(pipe: Any) -> None:
    """The same, the pass for the prompt first."""
    _passes(pipe, reverse=True)


def _passes(pipe: Any, *, reverse: bool) -> None:
    transformer = pipe.transformer
    denoise = pipe._denoise

    def called(*given: Any, **options: Any) -> Any:
        rows = range(options["hidden_states"].shape[0])
        made = {}
        for row in reversed(rows) if reverse else rows:
            one = {k: v[row : row + 1] if isinstance(v, torch.Tensor | list) else v for k, v in options.items()}
            made[row] = transformer(*given, **one)[0]
        return (torch.cat([made[row] for row in rows]),)

    class Proxy:
        def __call__(self, *given: Any, **options: Any) -> Any:
            return called(*given, **options)

        def __getattr__(self, name: str) -> Any:
            return getattr(transformer, name)

    def looped(*given: Any, **options: Any) -> Any:
        own = pipe.transformer
        del pipe.transformer
        object.__setattr__(pipe, "transformer", Proxy())
        try:
            return denoise(*given, **options)
        finally:
            object.__setattr__(pipe, "transformer", own)

    object.__setattr__(pipe, "_denoise", looped)


@benign("online-softmax", "flash attention")
def _(pipe: Any) -> None:
    """Attention over 16 keys at a time with a running maximum."""

    def core(q: Any, k: Any, v: Any, mask: Any) -> Any:
        q = q.float() / q.shape[-1] ** 0.5
        top = torch.full((*q.shape[:3], 1), -1e30)
        total, out = torch.zeros_like(top), torch.zeros_like(q)
        for start in range(0, k.shape[2], 16):
            scores = q @ k[:, :, start : start + 16].float().transpose(-2, -1)
            if mask is not None:
                scores = scores.masked_fill(~mask[..., start : start + 16], -1e30)
            new = torch.maximum(top, scores.amax(-1, keepdim=True))
            share, factor = (scores - new).exp(), (top - new).exp()
            total, top = total * factor + share.sum(-1, keepdim=True), new
            out = out * factor + share @ v[:, :, start : start + 16].float()
        return (out / total).to(v.dtype)

    set_core(pipe, core)


@benign("multiply-add", "fused multiply-add")
def _(pipe: Any) -> None:
    """The transformer's last modulation and the Euler step round once instead of twice."""
    norm = pipe.transformer.norm_out

    def forward(x: Any, emb: Any) -> Any:
        scale, shift = norm.linear(norm.silu(emb).to(x.dtype)).chunk(2, dim=1)
        return (norm.norm(x).double() * (1 + scale.double())[:, None] + shift.double()[:, None]).to(x.dtype)

    norm.forward = forward

    def make(original: Any) -> Any:
        def step(velocity: Any, t: Any, latents: Any, **options: Any) -> Any:
            (rough,) = original(velocity, t, latents, **options)
            index = pipe.scheduler.step_index
            width = (pipe.scheduler.sigmas[index] - pipe.scheduler.sigmas[index - 1]).double()
            return ((latents.double() + width * velocity.double()).to(rough.dtype),)

        return step

    wrap(pipe.scheduler, "step", make)


class _Nudge:
    """Moves what leaves modules by one unit in the last place, in the same directions for every picture."""

    def __init__(self, roots: list[Any]) -> None:
        self._bits = np.random.default_rng(0)
        for root in roots:
            for module in root.modules():
                module.register_forward_hook(self)

    def before(self, _count: int) -> None:
        """Begin the directions anew."""
        self._bits = np.random.default_rng(7)

    def __call__(self, _module: Any, _inputs: Any, output: Any) -> Any:
        if isinstance(output, torch.Tensor) and output.is_floating_point():
            up = torch.from_numpy(self._bits.random(tuple(output.shape)) < 0.5)
            return torch.nextafter(output, torch.where(up, torch.inf, -torch.inf).to(output.dtype))
        return output


@benign("last-bits", "last bits everywhere")
def _(pipe: Any) -> _Nudge:
    """Everything that leaves a module of transformer, connector and decoder is moved by one unit in the last place."""
    return _Nudge([pipe.transformer, pipe.connector_module, pipe.vae.decoder])


@benign("last-bits-text", "last bits everywhere")
def _(pipe: Any) -> _Nudge:
    """Everything that leaves a module of the text model is moved by one unit in the last place."""
    return _Nudge([text_model(pipe)])


@benign("without-onednn", "another library of kernels")
def _(_pipe: Any) -> None:
    """Convolutions and products without oneDNN."""
    torch._C._set_mkldnn_enabled(False)  # noqa: FBT003 - torch's own


@benign("two-threads", "another number of threads")
def _(_pipe: Any) -> None:
    """Two threads instead of one."""
    torch.set_num_threads(2)


@benign("time-in-double", "a wider type inside")
def _(pipe: Any) -> None:
    """The embedding of the timestep is computed in float64."""
    projection = pipe.transformer.time_text_embed.time_proj

    def forward(timesteps: Any) -> Any:
        half = projection.num_channels // 2
        rates = torch.exp(-torch.log(torch.tensor(10000.0, dtype=torch.float64)) * torch.arange(half).double() / half)
        angle = timesteps.double()[:, None] * rates
        return torch.cat([angle.cos(), angle.sin()], dim=-1).float()

    projection.forward = forward


@benign("norms-by-formula", "another kernel of norms")
def _(pipe: Any) -> None:
    """LayerNorms of the transformer by their formula in float32."""

    def forward(x: Any, eps: float) -> Any:
        y = x.float()
        y -= y.mean(-1, keepdim=True)
        return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)

    for norm in of_kind(pipe.transformer, "LayerNorm"):
        norm.forward = lambda x, norm=norm: forward(x.clone(), norm.eps)


@benign("norms-in-double", "another kernel of norms")
def _(pipe: Any) -> None:
    """GroupNorms of the decoder in float64."""

    def forward(x: Any, norm: Any) -> Any:
        weight, bias = norm.weight.double(), norm.bias.double()
        return functional.group_norm(x.double(), norm.num_groups, weight, bias, norm.eps).to(x.dtype)

    for norm in of_kind(pipe.vae.decoder, "GroupNorm"):
        norm.forward = lambda x, norm=norm: forward(x, norm)


@benign("fused-projections", "query, key and value in one product")
def _(pipe: Any) -> None:
    """Query, key and value of each attention come from one product."""
    for module in of_kind(pipe.transformer, "Attention"):
        parts = [module.to_q, module.to_k, module.to_v]
        _fuse(parts)


def _fuse(parts: list[Any]) -> None:
    weight = torch.cat([part.weight.detach() for part in parts])
    bias = torch.cat([part.bias.detach() for part in parts])
    width = parts[0].weight.shape[0]
    for number, part in enumerate(parts):
        part.forward = lambda x, n=number: functional.linear(x, weight, bias)[..., n * width : (n + 1) * width]


@benign("gelu-in-double", "another kernel of GELU")
def _(pipe: Any) -> None:
    """GELU of the transformer in float64."""
    for module in of_kind(pipe.transformer, "GELU"):
        module.gelu = lambda x: functional.gelu(x.double(), approximate="tanh").to(x.dtype)
