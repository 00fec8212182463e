"""What changes an operator's values: the chosen rounding, then the injected faults around it.

A rule belongs to an operator's name without its overload, such as ``aten::gelu``, and is called with the plain
computation and the operator's arguments by name, defaults included, all of them on the CPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Arguments = Mapping[str, Any]
Compute = Callable[[Arguments], Any]
Rule = Callable[[Compute, Arguments], Any]

rounding: dict[str, Rule] = {}
"""The rounding in force; replaced as a whole by `in_force`."""
injected: list[Mapping[str, Rule]] = []
"""The faults in force, innermost first."""
active: dict[str, Rule] = {}
"""Both together; what `kernels` looks up at each call."""


def rebuild() -> None:
    """Bring `active` up to date."""
    active.clear()
    active.update(rounding)
    for faults in injected:
        for operator, fault in faults.items():
            active[operator] = around(fault, active.get(operator))


def around(outer: Rule, inner: Rule | None) -> Rule:
    """One rule that gives the outer one the inner one's values as the plain computation."""
    if inner is None:
        return outer
    return lambda plain, given: outer(lambda changed: inner(plain, changed), given)


def round_by(chosen: Mapping[str, Rule]) -> None:
    """Replace the rounding in force."""
    rounding.clear()
    rounding.update(chosen)
    rebuild()


@contextlib.contextmanager
def rounded_by(chosen: Mapping[str, Rule]) -> Iterator[None]:
    """Replace the rounding in force inside the block."""
    before = dict(rounding)
    round_by(chosen)
    try:
        yield
    finally:
        round_by(before)


def inject(faults: Mapping[str, Rule]) -> None:
    """Add faults around what is in force."""
    injected.append(faults)
    rebuild()


@contextlib.contextmanager
def injecting(faults: Mapping[str, Rule]) -> Iterator[None]:
    """Add faults around what is in force inside the block."""
    inject(faults)
    try:
        yield
    finally:
        injected[:] = [entry for entry in injected if entry is not faults]
        rebuild()
