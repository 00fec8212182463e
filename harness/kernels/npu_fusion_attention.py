"""Fused attention, the operator that libraries call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernels._attention import Hiding, attention
from harness.kernels._forms import refuse_given

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

FORMULA = "softmax(scale * (pse + query key^T)) value without places where atten_mask is 1; float32 inside, cast once"
SOURCE = "op-plugin documentation, torch_npu.npu_fusion_attention; CANN page of aclnnFlashAttentionScore"


def kernel(  # noqa: PLR0913, PLR0917 - the schema's arguments
    query: Tensor,
    key: Tensor,
    value: Tensor,
    head_num: int,
    input_layout: str,
    pse: Tensor | None = None,
    padding_mask: Tensor | None = None,
    atten_mask: Tensor | None = None,
    scale: float = 1.0,
    keep_prob: float = 1.0,
    pre_tockens: int = 2147483647,
    next_tockens: int = 2147483647,
    inner_precise: int = 0,
    prefix: Sequence[int] | None = None,
    actual_seq_qlen: Sequence[int] | None = None,
    actual_seq_kvlen: Sequence[int] | None = None,
    sparse_mode: int = 0,
    gen_mask_parallel: bool = True,  # noqa: FBT001, FBT002 - the schema's argument
    sync: bool = False,  # noqa: FBT001, FBT002 - the schema's argument
    softmax_layout: str = "",
    sink: Tensor | None = None,
    dropout_mask: Tensor | None = None,
    seed: int = 0,
    offset: int = 0,
) -> tuple[Tensor, Tensor, Tensor, Tensor, int, int, int]:
    """Attention of every head, ``softmax(hide(scale * (pse + query key^T))) value``, in the query's layout and type.

    Layouts: BSH, SBH, BSND and BNSD, with S of the query and of the keys free; fewer heads of keys than of queries are
    shared between neighbours. ``atten_mask`` (bool or uint8; SS, 11SS, B1SS or BNSS) hides where it is **1**, which is
    the reverse of PyTorch's own attention. ``scale`` is **1** unless given and applies to ``pse`` too (BNSS, BN1S or
    1NSS). Without a mask ``sparse_mode`` and the tockens have no effect, as documented. With one, mode 0 takes the
    mask, which must not show more than the tockens do; mode 1 the mask alone; modes 2, 3 and 4 take the triangle of
    2048 x 2048 and hide keys after the query counted from the first corner (2) or from the last corner (3), or outside
    the band of the tockens counted from the last corner (4).

    Computed in float32 (float64 for float64); the attention is rounded once, and the weights are not rounded before
    they meet the values, as a card's half types may. Maximum and sum are ``[B, N, Sq, 8]``, eight equal copies, in the
    type that was computed in. A row that sees no key gives zeros, maximum -inf and sum 0; a card's values there depend
    on its version. The whole matrix of scores is held in memory.

    Seven results: the attention, maximum and sum of each row, an empty tensor, and 0 for seed, offset and length of a
    dropout mask.

    Source: ``SOURCE``.

    >>> import torch
    >>> query = key = torch.zeros(1, 1, 2, 4)
    >>> value = torch.tensor([[1.0], [3.0]]).reshape(1, 1, 2, 1)
    >>> kernel(query, key, value, 1, "BNSD")[0].flatten().tolist()
    [2.0, 2.0]
    >>> hides_later_keys = torch.tensor([[False, True], [False, False]])
    >>> kernel(query, key, value, 1, "BNSD", atten_mask=hides_later_keys)[0].flatten().tolist()
    [1.0, 2.0]

    Raises:
        NotCovered: layout TND, sparse modes from 5, dropout, an argument that is not computed (padding_mask, prefix,
            lengths, sink, softmax_layout), or shapes and types that the operator is not documented for.
    """
    del gen_mask_parallel, sync, seed, offset  # they only steer how dropout draws, and nothing is dropped
    operator = "npu_fusion_attention"
    refuse_given(
        operator,
        padding_mask=padding_mask,
        prefix=prefix,
        actual_seq_qlen=actual_seq_qlen,
        actual_seq_kvlen=actual_seq_kvlen,
        softmax_layout=softmax_layout,
        sink=sink,
        dropout_mask=dropout_mask,
    )
    out, top, total = attention(
        operator,
        query,
        key,
        value,
        head_num,
        input_layout,
        pse=pse,
        hiding=Hiding(atten_mask, sparse_mode, pre_tockens, next_tockens),
        scale=scale,
        keep_prob=keep_prob,
        inner_precise=inner_precise,
    )
    return out, top, total, query.new_empty(0), 0, 0, 0
