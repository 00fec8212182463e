"""The operators that a module calls, each held against the CPU in float64 on the inputs that it really had.

So an operator is judged by itself: no other side has to call the same ones. Its floor is the largest of what the same
operator in the same type is off by on the CPU, of what moves when its inputs move by one unit in the last place, and
of the least floor of the type. Each is called twice, and the two results compared bit for bit.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

from harness.observations import WRONG_FROM
from harness.records.investigation import OperatorCheck, OperatorError, Side
from harness.run.worker.npu_operators import reference_answer
from harness.run.worker.values import LEAST_FLOOR, LEAST_FLOORS, Coins, distance, moved, replaced, tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.run.worker.forcing import Forcing
    from harness.run.worker.places import Seen, Spot

_MOST_NAMED = 20
_NO_VALUES = ("empty", "resize", "set_", "_local_scalar_dense")
"""Operators whose result has no values yet, or is no tensor."""

_ATTENTION = "attention"
"""Operators whose further results serve a backward pass, with values for rows without keys that nobody documents."""


class Window:
    """A visitor that forces a picture and knows whether a module is at work on the call that leads to a wrong place.

    Operators count where the module itself calls them, not a module inside it that the reference has too: those were
    held against the reference by themselves.
    """

    def __init__(self, forced: Forcing, path: str, place: Spot) -> None:
        self.is_open = False
        """Whether operators of the module count now."""
        self.passed = False
        """Whether the place was come by."""
        self.begun = 0
        """How often the module began its work; what was seen before is another call's."""
        self._forced = forced
        self._path = "" if path == "pipeline" else path
        self._place = place
        self._active: list[str] = []

    @property
    def module(self) -> str:
        """The module whose operators are looked at."""
        return self._path or "pipeline"

    def __call__(self, seen: Seen) -> Any:
        """Force a place, and open or close the window."""
        self.is_open = False  # what forcing itself calls does not count
        given = self._forced(seen)
        entering = seen.spot.side is Side.INPUT
        if self._place in self._forced.errors:
            self.passed = True
        if entering:
            self._active.append(seen.spot.path)
            self.begun += seen.spot.path == self._path
        elif self._active:  # the picture itself leaves nothing that was entered
            self._active.pop()
        known = [path for path in self._active if path not in self._unknown]
        self.is_open = not self.passed and (known[-1] if known else "") == self._path
        return given

    @property
    def _unknown(self) -> set[str]:
        return {spot.path for spot in self._forced.additional}


class Everywhere:
    """A visitor that looks at the operators of all modules and replaces nothing."""

    is_open = True
    begun = 0

    def __init__(self) -> None:
        self._active: list[str] = []

    @property
    def module(self) -> str:
        """The module at work."""
        return self._active[-1] if self._active else "pipeline"

    def __call__(self, seen: Seen) -> None:
        """Note which module is at work."""
        if seen.spot.side is Side.INPUT:
            self._active.append(seen.spot.path)
        elif self._active:  # the picture itself leaves nothing that was entered
            self._active.pop()


class Operators:
    """What was seen of the operators that were called while a window was open."""

    def __init__(self, window: Window | Everywhere, *, values: bool) -> None:
        self._window = window
        self._values = values
        self._begin(0)

    def _begin(self, begun: int) -> None:
        """Forget what was seen of another call of the module."""
        self._begun = begun
        self._checked = self._number = 0
        self._wrong: list[OperatorError] = []
        self._changing: list[OperatorError] = []
        self._unchecked: set[str] = set()

    def mode(self) -> Any:
        """A context in which operators are looked at as they are called."""
        from torch.utils._python_dispatch import TorchDispatchMode

        called = self._called

        class Looking(TorchDispatchMode):  # type: ignore[no-untyped-call]
            def __torch_dispatch__(self, operator: Any, _types: Any, given: Any = (), options: Any = None) -> Any:
                return called(operator, given, options or {})

        return Looking()  # type: ignore[no-untyped-call]

    def record(self, path: str) -> OperatorCheck:
        """What was found."""
        return OperatorCheck(
            path=path,
            against_cpu=self._values,
            checked=self._checked,
            wrong=self._wrong[:_MOST_NAMED],
            wrong_count=len(self._wrong),
            changing=self._changing[:_MOST_NAMED],
            changing_count=len(self._changing),
            unchecked=sorted(self._unchecked),
        )

    def _called(self, operator: Any, given: Any, options: Any) -> Any:
        if not self._window.is_open or not _computes(operator):
            return operator(*given, **options)
        if self._window.begun != self._begun:
            self._begin(self._window.begun)
        before = _on_cpu((given, options)) if self._values else None
        shapes = [list(value.shape) for value in tensors((given, options))]
        again = None if operator._schema.is_mutable else operator(*given, **options)  # noqa: SLF001 - no public way
        result = operator(*given, **options)
        if results := tensors(result):
            self._look(_name(operator), shapes, results, tensors(again), _computed(operator, before))
        return result

    def _look(self, name: str, shapes: Any, results: Any, again: Any, computed: Iterator[Any]) -> None:
        self._number += 1

        def error(value: float, floor: float | None) -> OperatorError:
            return OperatorError(
                name=name,
                path=self._window.module,
                number=self._number - 1,
                shapes=shapes,
                dtype=str(results[0].dtype).removeprefix("torch."),
                error=value,
                floor=floor,
            )

        if changed := [gap for one, two in zip(again, results, strict=False) if (gap := distance(one, two))]:
            self._changing.append(error(max(changed), None))
        if not self._values:
            self._checked += 1
            return
        try:
            exact, *others = computed
        except Exception:  # noqa: BLE001 - whatever an operator says that cannot do this on the CPU
            self._unchecked.add(name)
            return
        self._checked += 1
        numbers = range(min(len(results), len(exact), 1 if _ATTENTION in name else len(results)))
        judged = [_judged(k, results, exact, others) for k in numbers]
        gap, floor = max(judged, key=lambda pair: pair[0] / pair[1], default=(0.0, 1.0))
        if gap > WRONG_FROM * floor:
            self._wrong.append(error(gap, floor))


def _computes(operator: Any) -> bool:
    """Whether an operator gives values that its inputs decide: no view, no random draw, no memory without values."""
    import torch

    schema = operator._schema  # noqa: SLF001 - no public way
    view = any(given.alias_info is not None and not given.alias_info.is_write for given in schema.returns)
    return (
        not view
        and torch.Tag.nondeterministic_seeded not in operator.tags
        and not any(word in _name(operator) for word in _NO_VALUES)
    )


def _name(operator: Any) -> str:
    """Namespace and name without the overload, such as ``aten::addmm``."""
    return str(operator.name()).partition(".")[0]


def _on_cpu(tree: Any) -> Any:
    """Arguments with tensors of their own on the CPU, and with the CPU where a device is named."""
    import torch
    from torch.utils import _pytree as pytree

    def moved_there(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            return leaf.detach().to("cpu", copy=True)
        return torch.device("cpu") if isinstance(leaf, torch.device) else leaf

    return pytree.tree_map(moved_there, tree)


def _computed(operator: Any, before: Any) -> Iterator[list[Any]]:
    """Results on the CPU: in float64, in the operator's own type, and in float64 with inputs that were moved."""
    coins = Coins(1)
    yield _by_cpu(operator, _doubled(before))
    yield _by_cpu(operator, copy.deepcopy(before))
    yield _by_cpu(operator, _doubled(replaced(before, [moved(value, coins) for value in tensors(before)])))


def _by_cpu(operator: Any, tree: Any) -> list[Any]:
    name = _name(operator)
    answer: Callable[..., Any] = reference_answer(name) if name.startswith("npu::") else operator
    given, options = tree
    return tensors(answer(*given, **options))


def _doubled(tree: Any) -> Any:
    """Arguments of their own in float64, also where a type is named."""
    import torch
    from torch.utils import _pytree as pytree

    def wide(dtype: Any) -> Any:
        return torch.complex128 if dtype.is_complex else torch.float64 if dtype.is_floating_point else dtype

    def doubled(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            return leaf.to(wide(leaf.dtype), copy=True)
        return wide(leaf) if isinstance(leaf, torch.dtype) else leaf

    return pytree.tree_map(doubled, tree)


def _judged(k: int, results: Any, exact: Any, others: Any) -> tuple[float, float]:
    """Error and floor of one result; of further results only those that are of the first one's kind are judged."""
    result, dtype = results[k], str(results[0].dtype).removeprefix("torch.")
    if k and (result.shape != exact[k].shape or (result.shape, result.dtype) != (results[0].shape, results[0].dtype)):
        return 0.0, 1.0
    floors = [distance(other[k], exact[k]) for other in others if k < len(other)]
    least = LEAST_FLOORS.get(dtype, LEAST_FLOOR)
    return distance(result, exact[k]), max([least, *(floor for floor in floors if math.isfinite(floor))])
