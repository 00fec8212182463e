"""A module of the reference called again on the inputs that it had, with other operators inside."""

from __future__ import annotations

import copy
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.records.investigation import Side
from harness.run.worker.values import replaced, tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from harness.contracts import Pipeline
    from harness.run.worker.places import Seen, Spot


@dataclass
class Episode:
    """One call of a module: what entered it, and what passed inside."""

    path: str
    """Path of the module."""
    module: Any
    """The module."""
    arguments: tuple[Any, Any]
    """What entered, positional and by name."""
    passed: list[tuple[Spot, list[Any]]] = field(default_factory=list)
    """Tensors at the places inside and at its output, in order."""


class Episodes:
    """A visitor that keeps the calls of one module at some steps."""

    def __init__(self, pipeline: Pipeline, path: str, steps: set[int]) -> None:
        self.module = module_of(pipeline, path)
        """The module; None where the path is that of a function."""
        self._path = path
        self._steps = steps
        self._open: Episode | None = None
        self._made: list[Episode] = []

    def __call__(self, seen: Seen) -> None:
        """Look at a place."""
        own = seen.spot.path == self._path
        if own and seen.spot.side is Side.INPUT and seen.spot.step in self._steps:
            self._open = Episode(self._path, self.module, _copied(seen.tree))
        elif self._open is not None:
            self._open.passed.append((seen.spot, [value.clone() for value in tensors(seen.tree)]))
            if own:
                self._made.append(self._open)
                self._open = None

    def around(self, spot: Spot) -> Episode | None:
        """The call in which a place was passed."""
        return next((episode for episode in self._made if spot in [passed for passed, _ in episode.passed]), None)


def module_of(pipeline: Pipeline, path: str) -> Any:
    """The module with a path; None where there is none."""
    component, _, name = path.partition(".")
    root = pipeline.modules.get(component)
    return None if root is None else dict(root.named_modules()).get(name)


def _copied(tree: Any) -> Any:
    """Arguments with tensors of their own, and caches as they are before the call."""
    positional, named = replaced(tree, [value.clone() for value in tensors(tree)])

    def own(value: Any) -> Any:
        return copy.deepcopy(value) if "Cache" in type(value).__name__ else value

    return tuple(map(own, positional)), {name: own(value) for name, value in dict(named).items()}


def predicted_by(episode: Episode, operators: Mapping[str, Callable[..., Any]], wanted: Spot) -> list[Any] | None:
    """What would pass at a place of the call if operators were these; None where none of them is at work or it fails.

    Whatever else passes inside is replaced by what the reference had, as in the candidate that was forced.
    """
    import torch

    again = _Again(episode, wanted)
    positional, named = _copied(episode.arguments)
    with torch.no_grad(), again.watching(), _replacing(episode.module, operators) as calls:
        try:
            output = episode.module(*positional, **named)
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
            return None  # an operator that does not fit these shapes is no cause
    if not calls:
        return None
    if wanted.path == episode.path:
        return tensors(output)
    return again.met


def operators_of(episode: Episode) -> set[str]:
    """Names of the functions of torch that a module calls."""
    import torch
    from torch.overrides import TorchFunctionMode

    names: set[str] = set()

    class Noting(TorchFunctionMode):
        def __torch_function__(self, function: Any, _types: Any, given: Any = (), options: Any = None) -> Any:
            names.add(getattr(function, "__name__", ""))
            return function(*given, **(options or {}))

    positional, named = _copied(episode.arguments)
    with torch.no_grad(), Noting():
        episode.module(*positional, **named)
    return names


class _Again:
    """Hooks on the inside of a module that put the reference's values back."""

    def __init__(self, episode: Episode, wanted: Spot) -> None:
        self.met: list[Any] | None = None
        self._episode = episode
        self._wanted = wanted
        self._left: dict[tuple[str, Side], list[tuple[Spot, list[Any]]]] = {}
        for spot, values in episode.passed:
            self._left.setdefault((spot.path, spot.side), []).append((spot, values))

    @contextmanager
    def watching(self) -> Iterator[None]:
        with ExitStack() as undo:
            for name, module in self._episode.module.named_modules():
                if name:
                    path = f"{self._episode.path}.{name}"
                    before = module.register_forward_pre_hook(partial(self._before, path), with_kwargs=True)
                    after = module.register_forward_hook(partial(self._after, path))
                    undo.callback(before.remove)
                    undo.callback(after.remove)
            yield

    def _before(self, path: str, _module: Any, arguments: Any, options: Any) -> Any:
        return self._met(path, Side.INPUT, (arguments, options))

    def _after(self, path: str, _module: Any, _arguments: Any, output: Any) -> Any:
        return self._met(path, Side.OUTPUT, output)

    def _met(self, path: str, side: Side, tree: Any) -> Any:
        left = self._left.get((path, side))
        if not left:
            return None
        spot, values = left.pop(0)
        if spot == self._wanted:
            self.met = [value.clone() for value in tensors(tree)]
        fits = [one.shape for one in tensors(tree)] == [two.shape for two in values]
        return replaced(tree, [value.clone() for value in values]) if values and fits else None


@contextmanager
def _replacing(module: Any, operators: Mapping[str, Callable[..., Any]]) -> Iterator[Sequence[str]]:
    """Inside, operators are others; gives the names of those that were called so far."""
    from torch.overrides import TorchFunctionMode

    calls: list[str] = []

    class Replacing(TorchFunctionMode):
        def __torch_function__(self, function: Any, _types: Any, given: Any = (), options: Any = None) -> Any:
            other = operators.get(getattr(function, "__name__", ""))
            if other is None:
                return function(*given, **(options or {}))
            calls.append(function.__name__)
            return other(function, *given, **(options or {}))

    with ExitStack() as undo:
        for owner, name, pattern in _functions(module, operators):
            original = getattr(owner, name)
            setattr(owner, name, partial(_noted, calls, operators[pattern], original))
            undo.callback(setattr, owner, name, original)
        undo.enter_context(Replacing())
        yield calls


def _noted(calls: list[str], other: Callable[..., Any], original: Any, *given: Any, **options: Any) -> Any:
    calls.append(getattr(original, "__name__", ""))
    return other(original, *given, **options)


def _functions(module: Any, operators: Mapping[str, Any]) -> Iterator[tuple[Any, str, str]]:
    """Functions of the files that a module's classes are from, where a pattern names them."""
    patterns = [name for name in operators if "*" in name]
    files = {type(part).__module__ for part in module.modules()} if patterns else set()
    for file in sorted(files):
        owner = sys.modules.get(file)
        for name in sorted(vars(owner)) if owner else ():
            for pattern in patterns:
                if fnmatchcase(name, pattern) and callable(getattr(owner, name)):
                    yield owner, name, pattern
