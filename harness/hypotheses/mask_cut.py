"""A mask that ends after some keys."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("the mask of attention is ignored past a number of keys")
SOURCE = "vllm-project/vllm-ascend#15503"


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """A padding mask that hides no key from a power of two on; the causal part is kept, or is not."""
    for causal in (True, False):
        for length in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096):
            yield {"scaled_dot_product_attention": partial(_attention, (length, causal))}


def _attention(  # noqa: PLR0913, PLR0917 - the operator's arguments
    form: tuple[int, bool], right: Any, q: Any, k: Any, v: Any, attn_mask: Any = None, *given: Any, **options: Any
) -> Any:
    import torch

    length, causal = form

    if attn_mask is None or attn_mask.shape[-1] <= length:
        return right(q, k, v, attn_mask, *given, **options)
    seen = attn_mask if attn_mask.dtype == torch.bool else attn_mask > attn_mask.min()
    past = torch.arange(seen.shape[-1], device=seen.device) >= length
    shown = torch.ones(seen.shape[-2:], dtype=torch.bool, device=seen.device)
    return right(q, k, v, seen | ((shown.tril() if causal else shown) & past), *given, **options)
