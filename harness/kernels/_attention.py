"""Scaled dot product attention in the layouts, masks and sparse modes of npu_fusion_attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.kernels._forms import computing_type, described, refusal
from harness.kernels._softmax import masked_softmax

if TYPE_CHECKING:
    from torch import Tensor

RANKS = {"BSH": 3, "SBH": 3, "BSND": 4, "BNSD": 4}
"""Layouts that are computed: B batch, S sequence, N heads, D width of a head, H = N * D."""

COMPRESSED = (2048, 2048)
"""Shape of the triangle that the sparse modes 2, 3 and 4 take as their mask, whatever the sequence lengths."""

COPIES = 8
"""How often the maximum and the sum of a row stand side by side in the second and third result."""


class Hiding(NamedTuple):
    """The arguments that decide which keys a query does not see."""

    atten_mask: Tensor | None
    sparse_mode: int
    pre_tockens: int
    next_tockens: int


def attention(  # noqa: PLR0913, PLR0917 - the arguments of the operator
    operator: str,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    head_num: int,
    input_layout: str,
    *,
    pse: Tensor | None,
    hiding: Hiding,
    scale: float,
    keep_prob: float,
    inner_precise: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """``softmax(hide(scale * (pse + query key^T))) value``, with each row's maximum and sum of exponentials.

    The result has the query's type and layout; maximum and sum are ``[B, N, Sq, 8]``, eight equal copies, in the type
    that was computed in. A row that sees no key gives zeros, maximum -inf and sum 0. ``inner_precise`` 0 and 1 are
    reserved and 2 asks for what is done here anyway: care for rows that see no key.

    Raises:
        NotCovered: a layout, shape, type, mask or mode that is not computed, or dropout.
    """
    import torch

    wide = computing_type(operator, query=query, key=key, value=value, pse=pse)
    if keep_prob != 1:
        raise refusal(operator, "keep_prob", keep_prob, "1: which places are dropped only the card's generator knows")
    if inner_precise not in {0, 1, 2}:
        raise refusal(operator, "inner_precise", inner_precise, "0, 1 and 2")
    q, k, v = _heads(operator, query, key, value, head_num, input_layout)
    shape = torch.Size((*q.shape[:3], k.shape[2]))
    scores = q.to(wide) @ k.to(wide).transpose(-1, -2)
    if pse is not None:
        scores = scores + _position_encoding(operator, pse, shape).to(wide)
    weights, top, total = masked_softmax(scores * scale, _hidden(operator, hiding, shape, query.device))
    out = _in_layout(weights @ v.to(wide), input_layout).to(query.dtype)
    return out, *(row.expand(*row.shape[:-1], COPIES).contiguous() for row in (top, total))  # type: ignore[return-value]


# --- layouts ---------------------------------------------------------------------------------------------------------


def _heads(  # noqa: PLR0913, PLR0917 - the three tensors and what tells their axes
    operator: str, query: Tensor, key: Tensor, value: Tensor, head_num: int, input_layout: str
) -> tuple[Tensor, Tensor, Tensor]:
    """The three tensors as ``[B, N, S, D]``, keys and values repeated for the queries that share them."""
    if input_layout not in RANKS:
        raise refusal(operator, "input_layout", repr(input_layout), f"the layouts {', '.join(RANKS)}")
    for name, tensor in {"query": query, "key": key, "value": value}.items():
        if tensor.dim() != RANKS[input_layout] or tensor.dtype != query.dtype:
            allowed = f"{input_layout} tensors of one type, here that of the query {described(query)}"
            raise refusal(operator, name, described(tensor), allowed)
    q = _heads_first(operator, "query", query, head_num, input_layout)
    # In BSH and SBH the keys' number of heads follows from the width of a head, which the query tells.
    shared = key.shape[-1] // q.shape[-1] if RANKS[input_layout] == 3 else key.shape[input_layout.index("N")]  # noqa: PLR2004 - a rank
    k = _heads_first(operator, "key", key, shared, input_layout)
    v = _heads_first(operator, "value", value, shared, input_layout)
    if k.shape[0] != q.shape[0] or k.shape[-1] != q.shape[-1] or v.shape[:3] != k.shape[:3]:
        given = f"{described(key)} and value {described(value)}"
        raise refusal(operator, "key", given, f"keys and values that fit each other and the query {described(query)}")
    if q.shape[1] % k.shape[1]:
        raise refusal(operator, "key", described(key), f"a number of heads that divides the query's {q.shape[1]}")
    times = q.shape[1] // k.shape[1]
    return q, k.repeat_interleave(times, dim=1), v.repeat_interleave(times, dim=1)


def _heads_first(operator: str, name: str, tensor: Tensor, heads: int, input_layout: str) -> Tensor:
    if RANKS[input_layout] == 3:  # noqa: PLR2004 - a rank
        if heads < 1 or tensor.shape[-1] % heads:
            raise refusal(operator, name, described(tensor), f"a last axis that divides into {heads} heads")
        tensor = tensor.reshape(*tensor.shape[:-1], heads, tensor.shape[-1] // heads)
    elif tensor.shape[input_layout.index("N")] != heads:
        raise refusal(operator, name, described(tensor), f"{heads} heads, as head_num and the other tensors say")
    return tensor.permute(
        {"BSH": (0, 2, 1, 3), "SBH": (1, 2, 0, 3), "BSND": (0, 2, 1, 3), "BNSD": (0, 1, 2, 3)}[input_layout]
    )


def _in_layout(out: Tensor, input_layout: str) -> Tensor:
    if input_layout == "BNSD":
        return out
    out = out.permute(2, 0, 1, 3) if input_layout == "SBH" else out.transpose(1, 2)
    return out.contiguous() if input_layout == "BSND" else out.flatten(2)


# --- what is added and what is hidden --------------------------------------------------------------------------------


def _position_encoding(operator: str, pse: Tensor, shape: tuple[int, ...]) -> Tensor:
    batch, heads, queries, keys = shape
    if tuple(pse.shape) not in {(batch, heads, queries, keys), (batch, heads, 1, keys), (1, heads, queries, keys)}:
        allowed = f"shapes BNSS, BN1S and 1NSS with B={batch}, N={heads}, SS={queries}x{keys}, not compressed"
        raise refusal(operator, "pse", described(pse), allowed)
    return pse


def _hidden(operator: str, hiding: Hiding, shape: tuple[int, ...], device: object) -> Tensor | None:
    """True where a key is hidden from a query, in a shape that broadcasts to ``[B, N, Sq, Skv]``."""
    import torch

    mask, mode = hiding.atten_mask, hiding.sparse_mode
    if mode not in range(5):
        raise refusal(operator, "sparse_mode", mode, "0 to 4")
    if mask is None:
        return None  # documented: modes and tockens have no effect without a mask
    if mask.dtype not in {torch.bool, torch.uint8}:
        raise refusal(operator, "atten_mask", described(mask), "bool and uint8 masks, where 1 hides")
    queries, keys = shape[2:]
    below = keys - queries  # how far the diagonal that ends in the last corner lies beside the one from the first
    if mode in {2, 3, 4}:
        if tuple(mask.shape) != COMPRESSED or not torch.equal(mask.bool(), _triangle(COMPRESSED, mask.device)):
            allowed = f"the triangle torch.triu(torch.ones({COMPRESSED}), diagonal=1) in sparse_mode {mode}"
            raise refusal(operator, "atten_mask", described(mask), allowed)
        if mode == 4:  # noqa: PLR2004 - a mode
            return _outside(shape, below + hiding.next_tockens, hiding.pre_tockens - below, device)
        return _outside(shape, 0 if mode == 2 else below, queries + keys, device)  # noqa: PLR2004 - a mode
    batch, heads = shape[:2]
    full = (queries, keys)
    if tuple(mask.shape) not in {full, (1, 1, *full), (batch, 1, *full), (batch, heads, *full)}:
        allowed = f"masks of shape SS, 11SS, B1SS and BNSS with B={batch}, N={heads}, SS={queries}x{keys}"
        raise refusal(operator, "atten_mask", described(mask), f"{allowed}; expand it before the call")
    hidden = mask.bool()
    if mode == 0 and bool((_outside(shape, hiding.next_tockens, hiding.pre_tockens, device) & ~hidden).any()):
        observed = f"{hiding.pre_tockens} with next_tockens {hiding.next_tockens}"
        raise refusal(operator, "pre_tockens", observed, "bands that agree with atten_mask: this mask shows more")
    return hidden


def _outside(shape: tuple[int, ...], above: int, below: int, device: object) -> Tensor:
    """True where a key lies more than ``above`` places after, or ``below`` places before, the query's own place."""
    import torch

    query = torch.arange(shape[2], device=device)[:, None]  # type: ignore[call-overload]
    key = torch.arange(shape[3], device=device)  # type: ignore[call-overload]
    return torch.logical_or(key > query + above, key < query - below)


def _triangle(shape: tuple[int, int], device: object) -> Tensor:
    import torch

    return torch.ones(shape, dtype=torch.bool, device=device).triu(diagonal=1)  # type: ignore[call-overload,no-any-return]
