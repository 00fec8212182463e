"""Plain PyTorch values of the fused ``npu::`` operators, after op-plugin's and CANN's documentation.

Each takes its arguments by the names of the operator's schema, defaults included, so a wheel whose schema has more
arguments still works. They are the simulated card's values; the project's own reference kernels are another text, so
that one can be tested against the other.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ascend_sim.rules import Arguments

Values = TypeVar("Values", bound="Callable[..., Any]")

OPERATORS: dict[str, Callable[[Arguments], Any]] = {}
"""Values by the operator's name without its namespace."""
CHECKS: dict[str, Callable[[Arguments], None]] = {}
"""What a card refuses before it computes."""


def values_of(*names: str) -> Callable[[Values], Values]:
    """Enters a function in `OPERATORS`."""

    def enter(function: Values) -> Values:
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return enter


# --- norms -----------------------------------------------------------------------------------------------------------


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float, axes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The normed tensor, rounded once, at the end, from float32; and 1/rms in float32, its last axes of length 1."""
    wide = x.float()
    rstd = torch.rsqrt(wide.square().mean(list(range(-axes, 0)), keepdim=True) + eps)
    return (wide * rstd * weight.float()).to(x.dtype), rstd


@values_of("npu_rms_norm")
def npu_rms_norm(given: Arguments) -> tuple[torch.Tensor, torch.Tensor]:
    """Over as many trailing axes as the weight has."""
    return rms_norm(given["input"], given["gamma"], given["epsilon"], given["gamma"].dim())


@values_of("npu_gemma_rms_norm")
def npu_gemma_rms_norm(given: Arguments) -> tuple[torch.Tensor, torch.Tensor]:
    """The weight counts from 1, over the last axis."""
    return rms_norm(given["input"], 1.0 + given["gamma"].float(), given["epsilon"], 1)


@values_of("npu_add_rms_norm")
def npu_add_rms_norm(given: Arguments) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The sum is rounded to its dtype before it is normed."""
    total = given["x1"] + given["x2"]
    return *rms_norm(total, given["gamma"], given["epsilon"], given["gamma"].dim()), total


@values_of("npu_layer_norm_eval")
def npu_layer_norm_eval(given: Arguments) -> torch.Tensor:
    """Ordinary layer norm."""
    return F.layer_norm(given["input"], given["normalized_shape"], given["weight"], given["bias"], given["eps"])


def group_norm(given: Arguments, groups: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Group norm's result, mean and 1/deviation."""
    x = given["input"]
    size = math.prod(x.shape[2:])
    return torch.native_group_norm(
        x.contiguous(), given["weight"], given["bias"], x.shape[0], x.shape[1], size, groups, given["eps"]
    )


@values_of("npu_group_norm_silu")
def npu_group_norm_silu(given: Arguments) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Group norm, then SiLU."""
    normed, mean, rstd = group_norm(given, given["group"])
    return F.silu(normed), mean, rstd


@values_of("npu_group_norm_swish")
def npu_group_norm_swish(given: Arguments) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Group norm, then x * sigmoid(scale * x)."""
    normed, mean, rstd = group_norm(given, given["num_groups"])
    return normed * torch.sigmoid(given["swish_scale"] * normed), mean, rstd


# --- activations -----------------------------------------------------------------------------------------------------


@values_of("npu_geglu")
def npu_geglu(given: Arguments) -> tuple[torch.Tensor, torch.Tensor]:
    """Left half times GELU of the right half, or with ``activate_left`` the reverse; 1 is the tanh form, 0 erf."""
    plain, gated = given["input"].chunk(2, dim=given["dim"])
    if given["activate_left"]:
        plain, gated = gated, plain
    gelu = F.gelu(gated, approximate="tanh" if given["approximate"] == 1 else "none")
    return plain * gelu, gelu


@values_of("npu_swiglu")
def npu_swiglu(given: Arguments) -> Any:
    """SiLU of the first half times the second: the reverse order of geglu's."""
    gated, plain = given["input"].chunk(2, dim=given["dim"])
    return F.silu(gated) * plain


@values_of("npu_silu")
def npu_silu(given: Arguments) -> torch.Tensor:
    """Ordinary SiLU."""
    return F.silu(given["input"])


@values_of("npu_mish")
def npu_mish(given: Arguments) -> torch.Tensor:
    """Ordinary Mish."""
    return F.mish(given["input"])


@values_of("npu_fast_gelu")
def npu_fast_gelu(given: Arguments) -> Any:
    """x * sigmoid(1.702 x), which is neither form of GELU."""
    return given["input"] * torch.sigmoid(1.702 * given["input"])


@values_of("npu_gelu")
def npu_gelu(given: Arguments) -> torch.Tensor:
    """GELU in the form that is asked for."""
    return F.gelu(given["input"], approximate=given["approximate"])


@values_of("npu_scaled_masked_softmax")
def npu_scaled_masked_softmax(given: Arguments) -> Any:
    """Softmax over the last axis, of -10000 where the mask is set."""
    scores = given["x"].float() * given["scale"]
    return scores.masked_fill(given["mask"].bool(), -10000.0).softmax(-1).to(given["x"].dtype)


# --- rotation --------------------------------------------------------------------------------------------------------


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, mode: str) -> torch.Tensor:
    """Rotation of pairs: an element and its counterpart in the other half, or (``interleave``) its neighbour."""
    if mode == "half":
        first, second = x.chunk(2, dim=-1)
        turned = torch.cat((-second, first), dim=-1)
    else:
        turned = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)
    return (x * cos + turned * sin).to(x.dtype)


@values_of("npu_rotary_mul")
def npu_rotary_mul(given: Arguments) -> Any:
    """Rotation by tables of cosines and sines; the matrix ``rotate`` may say how pairs are formed."""
    x = given["input"]
    if given.get("rotate") is None:
        return rotate(x, given["r1"], given["r2"], given["rotary_mode"])
    return (x * given["r1"] + x @ given["rotate"] * given["r2"]).to(x.dtype)


@values_of("npu_apply_rotary_pos_emb")
def npu_apply_rotary_pos_emb(given: Arguments) -> tuple[torch.Tensor, ...]:
    """Rotation of queries and keys."""
    mode = given.get("rotary_mode", "half")
    return tuple(rotate(given[name], given["cos"], given["sin"], mode) for name in ("query", "key"))


# --- products and layouts --------------------------------------------------------------------------------------------


@values_of("npu_linear")
def npu_linear(given: Arguments) -> torch.Tensor:
    """Ordinary linear."""
    return F.linear(given["input"], given["weight"], given["bias"])


@values_of("npu_bmmV2")
def npu_bmm_v2(given: Arguments) -> torch.Tensor:
    """Ordinary matmul."""
    return torch.matmul(given["input"], given["mat2"])


NUMBERED_DTYPES = {
    0: torch.uint8,
    1: torch.int8,
    2: torch.int16,
    3: torch.int32,
    4: torch.int64,
    5: torch.float16,
    6: torch.float32,
    7: torch.float64,
    8: torch.complex32,
    9: torch.complex64,
    10: torch.complex128,
    11: torch.bool,
    15: torch.bfloat16,
}
"""Numbers of c10::ScalarType."""


@values_of("npu_dtype_cast", "_npu_dtype_cast")
def npu_dtype_cast(given: Arguments) -> Any:
    """The tensor in a dtype that may be a number."""
    return given["input"].to(NUMBERED_DTYPES.get(given["dtype"], given["dtype"]))


@values_of("npu_transpose")
def npu_transpose(given: Arguments) -> Any:
    """A permutation of the axes."""
    turned = given["input"].permute(given["perm"])
    return turned.contiguous() if given["require_contiguous"] else turned


@values_of("npu_confusion_transpose")
def npu_confusion_transpose(given: Arguments) -> Any:
    """Permutation and reshape, in the order that is asked for."""
    x = given["input"]
    if given["transpose_first"]:
        return x.permute(given["perm"]).reshape(given["shape"])
    return x.reshape(given["shape"]).permute(given["perm"]).contiguous()


@values_of("npu_format_cast")
def npu_format_cast(given: Arguments) -> Any:
    """A copy: the card's private layouts are not simulated."""
    return given["input"].clone()


# --- attention -------------------------------------------------------------------------------------------------------


def heads_first(x: torch.Tensor, layout: str, heads: int) -> torch.Tensor:
    """The tensor as [batch, heads, tokens, size].

    Raises:
        NotImplementedError: The layout is none of BNSD, BSND, BSH and SBH.
    """
    if layout == "BNSD":
        return x
    if layout == "BSND":
        return x.transpose(1, 2)
    if layout == "BSH":
        return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)
    if layout == "SBH":
        return x.reshape(*x.shape[:2], heads, -1).permute(1, 2, 0, 3)
    raise NotImplementedError(
        f"ascend_sim: input_layout {layout!r} of an attention operator; the simulated card has BNSD, BSND, BSH, SBH"
    )


def as_layout(x: torch.Tensor, layout: str) -> torch.Tensor:
    """The reverse of `heads_first`."""
    if layout == "BSND":
        x = x.transpose(1, 2)
    elif layout == "BSH":
        x = x.transpose(1, 2).flatten(2)
    elif layout == "SBH":
        x = x.permute(2, 0, 1, 3).flatten(2)
    return x.contiguous()


def hidden_places(given: Arguments, queries: int, keys: int, before: int, after: int) -> torch.Tensor | None:
    """True where a key is hidden from a query, [queries, keys] or the mask's own shape; None where nothing is.

    Args:
        given: The operator's arguments: ``atten_mask`` hides where it is set, the reverse of SDPA's.
        queries: Number of queries.
        keys: Number of keys.
        before: Keys before the query that it sees.
        after: Keys after the query that it sees.

    Raises:
        NotImplementedError: The sparse mode is above 4.
    """
    query = torch.arange(queries)[:, None]
    key = torch.arange(keys)[None, :]
    end = keys - queries
    mode = given["sparse_mode"]
    # Modes 2 to 4 bring a fixed 2048 x 2048 triangle and mean a band of their own.
    if mode == 2:
        return key > query
    if mode == 3:
        return key > query + end
    if mode == 4:
        return (key > query + end + after) | (key < query + end - before)
    if mode not in {0, 1}:
        raise NotImplementedError(f"ascend_sim: sparse_mode {mode} of an attention operator; 0 to 4 are simulated")
    mask = given["atten_mask"]
    hidden: torch.Tensor | None = None if mask is None else mask.bool()
    if mode == 0 and (after < keys or before < queries):
        band = (key > query + after) | (key < query - before)
        hidden = band if hidden is None else hidden | band
    return hidden


def attention(  # noqa: PLR0913 - the three attention operators differ in the names of these
    given: Arguments, *, heads: int, scale: float, shift: torch.Tensor | None, before: int, after: int, parts: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Attention: the result, and each row's largest score and sum of exponentials, in float32.

    In one part it is the CPU's own attention; in several, or with a shift or dropout, it is computed in float32 and
    rounded once. A row that is hidden completely gets zeros, as on the CPU: a card's value there is not documented.

    Args:
        given: The operator's arguments.
        heads: Heads of the queries; those of keys and values may be fewer.
        scale: What the scores, ``shift`` included, are multiplied by.
        shift: Added to the scores, or None.
        before: Keys before the query that it sees.
        after: Keys after the query that it sees.
        parts: Into how many parts the keys are dealt in turn; the parts' sums are added.
    """
    layout = given["input_layout"]
    layout_in, layout_out = ("BNSD", "BSND") if layout == "BNSD_BSND" else (layout, layout)
    query, key, value = (given[name] for name in ("query", "key", "value"))
    if layout_in in {"BSH", "SBH"}:
        key_heads = key.shape[-1] // (query.shape[-1] // heads)
    else:
        key_heads = key.shape[1 if layout_in == "BNSD" else 2]
    q = heads_first(query, layout_in, heads)
    k, v = (heads_first(x, layout_in, key_heads).repeat_interleave(heads // key_heads, 1) for x in (key, value))
    hidden = hidden_places(given, q.shape[2], k.shape[2], before, after)

    scores = q.float() @ k.float().transpose(-1, -2)
    if shift is not None:
        scores = scores + shift.float()
    scores = scores * scale
    if hidden is not None:
        scores = scores.masked_fill(hidden, torch.finfo(torch.float32).min)
    top = scores.amax(-1, keepdim=True)
    weights = torch.exp(scores - top)
    total = torch.stack([weights[..., i::parts].sum(-1, keepdim=True) for i in range(parts)]).sum(0)

    keep = given.get("keep_prob", 1.0)
    if parts == 1 and shift is None and keep == 1:
        seen = None if hidden is None else ~hidden
        result = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scale)
    else:
        chances = F.dropout(weights / total, 1.0 - keep)
        wide = v.float()
        result = torch.stack([chances[..., i::parts] @ wide[..., i::parts, :] for i in range(parts)]).sum(0)
        if hidden is not None:
            result = result.masked_fill(hidden.all(-1, keepdim=True), 0.0)
    return as_layout(result.to(value.dtype), layout_out), top, total


def fusion_attention(given: Arguments, parts: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Result, row maxima and row sums, the last two eight times over, as the operator gives them."""
    result, top, total = attention(
        given,
        heads=given["head_num"],
        scale=given["scale"],
        shift=given["pse"],
        before=given["pre_tockens"],
        after=given["next_tockens"],
        parts=parts,
    )
    return result, top.repeat_interleave(8, -1), total.repeat_interleave(8, -1)


@values_of("npu_fusion_attention")
def npu_fusion_attention(given: Arguments, parts: int = 1) -> tuple[Any, ...]:
    """The seven results of the operator that diffusers' NPU back end calls."""
    return *fusion_attention(given, parts), given["query"].new_empty(0), 0, 0, 0


@values_of("npu_fusion_attention_v3")
def npu_fusion_attention_v3(given: Arguments, parts: int = 1) -> tuple[Any, ...]:
    """The six results of the operator that SDPA calls on a card."""
    seed = torch.zeros(1, dtype=torch.int64)
    return *fusion_attention(given, parts), given["query"].new_empty(0), seed, seed.clone()


@values_of("npu_prompt_flash_attention")
def npu_prompt_flash_attention(given: Arguments) -> torch.Tensor:
    """Attention without dropout, for inference."""
    return attention(
        given,
        heads=given["num_heads"],
        scale=given["scale_value"],
        shift=given["pse_shift"],
        before=given["pre_tokens"],
        # The default 0 limits with sparse modes only.
        after=given["next_tokens"] or 2147483647,
        parts=1,
    )[0]


@values_of("npu_fused_infer_attention_score")
def npu_fused_infer_attention_score(given: Arguments) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention without dropout, and the logarithm of the sum of exponentials."""
    result, top, total = attention(
        given,
        heads=given["num_heads"],
        scale=given["scale"],
        shift=given["pse_shift"],
        before=given["pre_tokens"],
        after=given["next_tokens"],
        parts=1,
    )
    return result, top + total.log()


# --- what a card refuses ---------------------------------------------------------------------------------------------


def check_fusion_attention(given: Arguments) -> None:
    """Dtypes, and the mask's dtype and shape, after op-plugin's documentation.

    Raises:
        RuntimeError: The operator's documentation does not allow what it got.
    """
    query, mask = given["query"], given["atten_mask"]
    if query.dtype not in {torch.float16, torch.bfloat16, torch.float32}:
        raise RuntimeError(f"ascend_sim: npu_fusion_attention takes float16, bfloat16 or float32, not {query.dtype}")
    if mask is None:
        return
    if mask.dtype not in {torch.bool, torch.uint8}:
        raise RuntimeError(f"ascend_sim: npu_fusion_attention takes a bool or uint8 atten_mask, not {mask.dtype}")
    shape = tuple(mask.shape)
    if given["sparse_mode"] in {2, 3, 4}:
        if shape[-2:] != (2048, 2048):
            raise RuntimeError(
                f"ascend_sim: npu_fusion_attention with sparse_mode {given['sparse_mode']} takes the 2048 x 2048 "
                f"atten_mask, not one of shape {shape}"
            )
        return
    axes = {"BNSD": (0, 2), "BSND": (0, 1), "BSH": (0, 1), "SBH": (1, 0)}.get(given["input_layout"])
    if axes is None:
        return
    batch, queries, keys = query.shape[axes[0]], query.shape[axes[1]], given["key"].shape[axes[1]]
    heads = given["head_num"]
    scores = (queries, keys)
    if shape not in {(batch, heads, *scores), (batch, 1, *scores), (1, 1, *scores), scores}:
        raise RuntimeError(
            "ascend_sim: npu_fusion_attention takes an atten_mask of shape BNSS, B1SS, 11SS or SS "
            f"(B={batch}, N={heads}, SS={queries}x{keys}), not {shape}"
        )


CHECKS.update(dict.fromkeys(("npu_fusion_attention", "npu_fusion_attention_v3"), check_fusion_attention))
