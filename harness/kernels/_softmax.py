"""Softmax that leaves hidden places out, the core of the attention and masked softmax operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def masked_softmax(scores: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Weights over the last axis without the hidden places, each row's largest score and its sum of exponentials.

    A row that is hidden as a whole has weights 0, largest score -inf and sum 0: it has nothing to weigh, a fill value
    such as -10000 would turn it into a plain mean, and NaN would spread to rows that are well defined. A score of NaN
    or infinity that is not hidden takes its ordinary way through the formula.
    """
    import torch

    if hidden is not None:
        scores = scores.masked_fill(hidden, -torch.inf)
    # The largest score is subtracted against overflow and cancels out, so no gradient has to go through it.
    top = scores.detach().amax(dim=-1, keepdim=True)
    if hidden is None:
        powers = torch.exp(scores - top)
        total = powers.sum(dim=-1, keepdim=True)
        return powers / total, top, total
    nothing = hidden.expand(scores.shape).all(dim=-1, keepdim=True)
    powers = torch.exp(scores - top.masked_fill(nothing, 0))
    total = powers.sum(dim=-1, keepdim=True)
    return powers / total.masked_fill(nothing, 1), top, total
