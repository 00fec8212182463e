"""Attention that never looks at the last key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import marked, recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("attention never looks at the last key")
SOURCE = marked("an attention kernel that loses its tail")


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Attention that never looks at the last key."""

    def attention(right: Any, q: Any, k: Any, v: Any, *given: Any, **options: Any) -> Any:
        if given and given[0] is not None:
            given = (given[0][..., :-1], *given[1:])
        if options.get("attn_mask") is not None:
            options = options | {"attn_mask": options["attn_mask"][..., :-1]}
        return right(q, k[..., :-1, :], v[..., :-1, :], *given, **options)

    yield {"scaled_dot_product_attention": attention}
