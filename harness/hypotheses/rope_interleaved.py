"""RoPE of neighbours instead of halves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import marked, recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("RoPE rotates neighbours where the model rotates halves")
SOURCE = marked("RoPE of neighbours instead of halves, a common slip")


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Queries and keys whose neighbours are put into halves, rotated, and put back."""
    import torch

    def rotated(right: Any, q: Any, k: Any, *tables: Any, **options: Any) -> Any:
        apart = [torch.cat([x[..., 0::2], x[..., 1::2]], dim=-1) for x in (q, k)]
        made = right(*apart, *tables, **options)
        return tuple(torch.stack(x.chunk(2, dim=-1), dim=-1).flatten(-2) for x in made)

    yield {"apply_*rotary_pos_emb*": rotated}
