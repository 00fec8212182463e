"""Positions of RoPE that are off by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.language import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CAUSE = recordable("positions inside RoPE are off by one, all of them or the last")
SOURCE = "vllm-project/vllm-omni#4474"


def replaced() -> Iterator[Mapping[str, Callable[..., Any]]]:
    """All positions one more or one less, and the last alone; the table is a product of frequencies and positions."""

    def moved(change: Callable[[Any], Any]) -> Mapping[str, Callable[..., Any]]:
        def product(right: Any, one: Any, other: Any) -> Any:
            return right(one, change(other))

        return {"__matmul__": product, "matmul": product}

    yield moved(lambda position: position + 1)
    yield moved(lambda position: position - 1)
    yield moved(lambda position: position + (position == position.max()))
    yield moved(lambda position: position + (position == position.amax(-1, keepdim=True)))
