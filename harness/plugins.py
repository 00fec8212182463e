"""Parts by kind and name, each with its contract's type; ``registry`` finds them.

Other packages add parts through Python entry points in the groups ``harness.metrics``, ``harness.scores``,
``harness.backends``, ``harness.adapters``, ``harness.render``, ``harness.models``, ``harness.kernels``,
``harness.hypotheses`` and ``harness.benchmarks``; the entry point names a module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from harness import registry
from harness.contracts import KINDS
from harness.registry import names

__all__ = ["load", "names", "summary"]

if TYPE_CHECKING:
    from types import ModuleType

    from harness.benchmark_contract import Benchmark
    from harness.contracts import Adapter, Backend, EmbeddedModel, Hypothesis, Kernel, Metric, Renderer, Score


@overload
def load(kind: Literal["metrics"], name: str) -> Metric: ...
@overload
def load(kind: Literal["scores"], name: str) -> Score: ...
@overload
def load(kind: Literal["backends"], name: str) -> Backend: ...
@overload
def load(kind: Literal["adapters"], name: str) -> Adapter: ...
@overload
def load(kind: Literal["render"], name: str) -> Renderer: ...
@overload
def load(kind: Literal["models"], name: str) -> EmbeddedModel: ...
@overload
def load(kind: Literal["kernels"], name: str) -> Kernel: ...
@overload
def load(kind: Literal["benchmarks"], name: str) -> Benchmark: ...
@overload
def load(kind: Literal["hypotheses"], name: str) -> Hypothesis: ...
def load(kind: str, name: str) -> ModuleType:
    """Import the part of that name.

    Raises:
        UnknownName: no part of the kind has that name; the message brings the nearest one.
        RunError: two packages offer the same name, so it is not clear which one is meant.
    """
    return registry.module(kind, KINDS[kind], name)


def summary(kind: str, name: str) -> str:
    """First line of a part's docstring, for listings."""
    return (registry.module(kind, KINDS[kind], name).__doc__ or "").strip().partition("\n")[0]
