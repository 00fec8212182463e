"""Positions, masks and biases of the text model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .catalogue import fault
from .reach import text_model, through, wrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

_ROPE = "vlm.model.language_model.rotary_emb"
_ATTENTION = "vlm.model.language_model.layers.*.self_attn"


@fault("rope-angle-half", "huggingface/diffusers#10123", _ROPE, causes=("rope_angle_half", "products_half"))
def _(pipe: Any) -> None:
    """position * frequency is rounded to bfloat16 before sine and cosine."""
    rope = text_model(pipe).rotary_emb

    def forward(x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        angle = through(position_ids[..., None].float() * rope.inv_freq.float(), torch.bfloat16)
        both = torch.cat([angle, angle], dim=-1)
        return (both.cos() * rope.attention_scaling).to(x.dtype), (both.sin() * rope.attention_scaling).to(x.dtype)

    rope.forward = forward


@fault("rope-off-by-one", "vllm-project/vllm-omni#4474", _ROPE, causes=("rope_positions",))
def _(pipe: Any) -> None:
    """All positions are one more, inside the rotary embedding of some layers' table: the last is wrong."""
    wrap(
        text_model(pipe).rotary_emb,
        "forward",
        lambda forward: lambda x, position_ids: forward(x, position_ids + (position_ids == position_ids.max())),
    )


@fault("rope-offset", "vllm-project/vllm-omni#4443", "vlm.model.get_rope_index", causes=("positions_shifted",))
def _(pipe: Any) -> None:
    """The queries' positions go on from the padded length instead of from the mask's sum."""

    def make(original: Any) -> Any:
        def get_rope_index(ids: Tensor, *given: Any, **options: Any) -> Any:
            positions, deltas = original(ids, *given, **options)
            pads = (options["attention_mask"] == 0).sum(dim=1)
            positions = positions.clone()
            positions[:, :, -pipe.num_queries :] += pads[None, :, None].to(positions.dtype)
            return positions, deltas

        return get_rope_index

    wrap(pipe.lmm.model, "get_rope_index", make)


def _attend(change: Callable[[Any, dict[str, Any]], tuple[Any, dict[str, Any]]], after: Any = None) -> None:
    """Change the mask and the options with which the text model attends, and what comes of it."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    original = ALL_ATTENTION_FUNCTIONS["sdpa"]

    def attend(module: Any, q: Any, k: Any, v: Any, mask: Any, **options: Any) -> Any:
        if type(module).__name__ != "Qwen2_5_VLAttention":
            return original(module, q, k, v, mask, **options)
        changed, others = change(mask, options)
        out, weights = original(module, q, k, v, changed, **others)
        return (out if after is None or mask is None else after(out, mask)), weights

    ALL_ATTENTION_FUNCTIONS["sdpa"] = attend


def _masked(change: Callable[[Any], Any]) -> None:
    _attend(lambda mask, options: (None if mask is None else change(mask), options))


@fault("mask-inverted", "huggingface/diffusers#14396", _ATTENTION, causes=("mask_inverted",))
def _(_pipe: Any) -> None:
    """The mask that reaches attention hides what it should show; a row that then sees nothing sees everything."""
    _masked(lambda mask: ~mask.bool() | ~(~mask.bool()).any(-1, keepdim=True))


@fault("mask-ignored", "huggingface/diffusers#12892", _ATTENTION, causes=("mask_padding_missing", "mask_of_first"))
def _(_pipe: Any) -> None:
    """Attention is causal and sees the padding: the mask was dropped."""
    _attend(lambda _mask, options: (None, options | {"is_causal": True}))


@fault("mask-cut", "vllm-project/vllm-ascend#15503", _ATTENTION, causes=("mask_cut",))
def _(_pipe: Any) -> None:
    """Keys past the fourth are never hidden by the padding mask (512 in the report); still causal."""

    def cut(mask: Any) -> Any:
        length = mask.shape[-1]
        causal = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
        return mask.bool() | (causal & (torch.arange(length, device=mask.device) >= 4))

    _masked(cut)


@fault("mask-broadcast", "pytorch/pytorch#184180", _ATTENTION, causes=("mask_of_first", "mask_padding_missing"))
def _(_pipe: Any) -> None:
    """The mask of the first text of the batch is taken for all."""
    _masked(lambda mask: mask[:1].expand_as(mask))


@fault("causal-leak", "pytorch/pytorch#195910", _ATTENTION, causes=("mask_causal_missing",))
def _(_pipe: Any) -> None:
    """Every token sees every token that is not padding, later ones too."""
    _masked(lambda mask: mask[:, :, -1:, :].bool().expand_as(mask))


@fault("masked-row-nan", "pytorch/pytorch#103963", _ATTENTION, causes=("mask_rows_nan",))
def _(_pipe: Any) -> None:
    """A row in which every key is masked gives NaN, as a plain softmax over -inf does."""

    def spoilt(out: Any, mask: Any) -> Any:
        return out.masked_fill((~mask[:, 0, -1, :].bool())[:, :, None, None], float("nan"))

    _attend(lambda mask, options: (mask, options), spoilt)


@fault(
    "rope-interleaved", "RoPE of neighbours instead of halves, a common slip", _ATTENTION, causes=("rope_interleaved",)
)
def _(_pipe: Any) -> None:
    """Neighbouring values are rotated as pairs where the checkpoint rotates halves."""
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as code

    def rotated(x: Tensor) -> Tensor:
        return torch.stack([-x[..., 1::2], x[..., 0::2]], dim=-1).flatten(-2)

    def apply(q: Any, k: Any, cos: Any, sin: Any, section: list[int], unsqueeze_dim: int = 1) -> Any:  # noqa: PLR0913, PLR0917
        def table(whole: Any) -> Any:
            parts = whole.split(section * 2, dim=-1)
            chosen = torch.cat([part[index % 3] for index, part in enumerate(parts)], dim=-1).unsqueeze(unsqueeze_dim)
            return chosen[..., : chosen.shape[-1] // 2].repeat_interleave(2, dim=-1)

        return q * table(cos) + rotated(q) * table(sin), k * table(cos) + rotated(k) * table(sin)

    code.apply_multimodal_rotary_pos_emb = apply


@fault(
    "bias-dropped",
    "a projection whose bias is not loaded or not added, a slip of ports",
    _ATTENTION + ".v_proj",
    causes=("bias_missing",),
)
def _(pipe: Any) -> None:
    """The value projections of the text model leave out their bias."""
    for layer in text_model(pipe).layers:
        projection = layer.self_attn.v_proj
        projection.forward = lambda x, own=projection: torch.nn.functional.linear(x, own.weight)
