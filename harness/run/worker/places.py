"""Places of a pipeline where values are seen and replaced: what enters and leaves modules, and functions between."""

from __future__ import annotations

import inspect
from contextlib import ExitStack, contextmanager
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from harness.contracts import joints_of
from harness.records.investigation import Place, Side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from harness.contracts import Joint, Pipeline

_STEP = "scheduler.step"


class Spot(NamedTuple):
    """A place as a key; see the record ``Place``."""

    path: str
    side: Side
    step: int
    forward: int
    call: int

    @property
    def place(self) -> Place:
        """The same as a record."""
        return Place(**self._asdict())


def spot_of(place: Place) -> Spot:
    """The key of a place.

    >>> spot_of(Place(path="vae.decode", side=Side.INPUT, step=20)).step
    20
    """
    return Spot(place.path, place.side, place.step, place.forward, place.call)


class Seen(NamedTuple):
    """Values that pass at a place."""

    spot: Spot
    caller: str
    """Path of the module or function at work; empty for the pipeline itself."""
    names: Sequence[str] | None
    """Names of a function's positional arguments; None for what it returns."""
    tree: Any
    """Arguments as (positional, by name), or what is returned."""


class Places:
    """Hooks on all modules of a pipeline and wrappers on its functions, which show a visitor what passes."""

    def __init__(self, pipeline: Pipeline, visit: Callable[[Seen], Any], inside: Callable[[int], bool]) -> None:
        self.active: list[str] = []
        """Paths of the modules and functions that are at work, the outermost first."""
        self.denoiser = pipeline.components.get("denoising", "")
        self._visit = visit
        self._inside = inside
        self._step = 0
        self._forward = -1
        self._prefix = f"{self.denoiser}."
        self._calls: dict[tuple[str, bool, int, int], int] = {}
        self._undo = ExitStack()
        for path, module in module_paths(pipeline.modules).items():
            self._watch(module, path)
        for joint in joints_of(pipeline):
            self._wrap(joint)

    @property
    def step(self) -> int:
        """Number of scheduler steps that are done."""
        return self._step

    def begin(self, step: int, forward: int) -> None:
        """Go on as if so many scheduler steps, and calls of the denoiser since then, were done."""
        self._step, self._forward = step, forward - 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()

    def _watch(self, module: Any, path: str) -> None:
        names = _names(module.forward)

        def before(_module: Any, arguments: Any, options: Any) -> Any:
            return self._enter(path, names, (arguments, options))

        def after(_module: Any, _arguments: Any, _options: Any, output: Any) -> Any:
            return self._leave(path, output)

        self._undo.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
        self._undo.callback(module.register_forward_hook(after, with_kwargs=True).remove)

    def _wrap(self, joint: Joint) -> None:
        original = getattr(joint.owner, joint.name)
        own = vars(joint.owner).get(joint.name)
        names = _names(original)

        @wraps(original)  # diffusers looks at signatures of schedulers
        def called(*arguments: Any, **options: Any) -> Any:
            replaced = self._enter(joint.path, names, (arguments, options))
            arguments, options = (arguments, options) if replaced is None else replaced
            output = original(*arguments, **options)
            changed = self._leave(joint.path, output)
            return output if changed is None else changed

        def restore() -> None:
            if own is None:
                object.__delattr__(joint.owner, joint.name)
            else:
                object.__setattr__(joint.owner, joint.name, own)

        object.__setattr__(joint.owner, joint.name, called)
        self._undo.callback(restore)

    def _enter(self, path: str, names: Sequence[str], tree: Any) -> Any:
        if path == self.denoiser:
            self._forward += 1
        caller = self.active[-1] if self.active else ""
        self.active.append(path)
        return self._show(path, Side.INPUT, caller, names, tree)

    def _leave(self, path: str, tree: Any) -> Any:
        self.active.pop()
        caller = self.active[-1] if self.active else ""
        changed = self._show(path, Side.OUTPUT, caller, None, tree)
        if path == _STEP:
            self._step += 1
            self._forward = -1
        return changed

    def _show(self, path: str, side: Side, caller: str, names: Sequence[str] | None, tree: Any) -> Any:
        within = bool(self.denoiser) and path.startswith(self._prefix)
        if within and not self._inside(self._step):
            return None
        forward = max(self._forward, 0) if within or path == self.denoiser else 0
        counted = (path, side is Side.INPUT, self._step, forward)  # a truth value, whose hash costs less
        call = self._calls.get(counted, 0)
        self._calls[counted] = call + 1
        return self._visit(Seen(Spot(path, side, self._step, forward, call), caller, names, tree))


def module_paths(modules: Mapping[str, Any]) -> dict[str, Any]:
    """All modules by component and path, in the order of ``named_modules``."""
    return {
        f"{component}.{name}" if name else component: module
        for component, root in modules.items()
        for name, module in root.named_modules()
    }


def _names(function: Any) -> list[str]:
    """Names of the positional parameters of a function; empty where it does not tell."""
    if inspect.ismethod(function):
        return _parameters(function.__func__)[1:]
    return _parameters(function)


@cache
def _parameters(function: Any) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def chosen_steps(words: Sequence[str], steps: int) -> list[int]:
    """Steps by their words or numbers, from 0, sorted and each once.

    >>> chosen_steps(["first", "middle", "last"], 20), chosen_steps(["3"], 20), chosen_steps(["all"], 2)
    ([0, 9, 19], [3], [0, 1])

    Raises:
        ValueError: a word is none, or there is no such step.
    """
    known = {"first": [0], "middle": [(steps - 1) // 2], "last": [steps - 1], "all": list(range(steps))}
    chosen = [number for word in words for number in known.get(word, [int(word)] if word.isdigit() else [-1])]
    if any(not 0 <= number < steps for number in chosen):
        raise ValueError(f"steps: found {', '.join(words)}; allowed are first, middle, last, all and 0 to {steps - 1}.")
    return sorted(set(chosen))


@contextmanager
def watched(
    pipeline: Pipeline, visit: Callable[[Seen], Any], inside: Callable[[int], bool] = lambda _: True
) -> Iterator[Places]:
    """Inside, a visitor sees every place of the pipeline, of the denoiser's inside only steps that ``inside`` wants."""
    with Places(pipeline, visit, inside) as places:
        yield places
