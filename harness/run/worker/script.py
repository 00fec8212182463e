"""Looking into somebody's own script: what passes the modules inside a block is kept, or forced with what was kept.

The script's code runs once and is not called again. So the floors of modules are measured by calling each outermost
module once more, on what it got, with last bits moved; what happens between modules cannot be called again, and has the
floor of its type, four times over.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness import plugins
from harness.errors import RunError, UsageError
from harness.records import Schedule
from harness.records.investigation import Exact, Forced, PlaceErrors, Side, Trace
from harness.run.worker.exactness import require_same_model, settings, tensor_digest, weights
from harness.run.worker.filtering import Filter
from harness.run.worker.forcing import Forcing, floors_of, least_floors
from harness.run.worker.places import Places, chosen_steps, module_paths, spot_of, watched
from harness.run.worker.probing import probed, shown_by_probes
from harness.run.worker.tracing import Keeping, read_trace, save_forced, save_trace
from harness.run.worker.values import replaced
from harness.trace_files import ENDING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from harness.contracts import Pipeline
    from harness.records.investigation import TracedPlace
    from harness.run.worker.places import Seen, Spot

_CANDIDATE = "candidate.trace"
"""File of a candidate where none is named."""
_OF_A_TABLE = {"middle", "last"}
_MOST_STEPS = 10_000
"""Steps of a scheduler that does not say how many there will be."""
_UNMEASURED = 4
"""How many times the floor of its type what was not called again may be away."""
_UNUSABLE = 0.1
"""Floor from which on a module did not give the same again, because it keeps state between calls."""
_OTHER_NOISE = 0.05
"""Relative L2 of what first enters the denoiser, from which on it is other noise rather than rounding."""


def traced(  # noqa: PLR0913 - what can be said of a script
    pipe: Any,
    *,
    to: Path | None,
    against: Path | None,
    joints: Sequence[str],
    denoiser: str | None,
    steps: Sequence[str],
    most_bytes: int,
) -> AbstractContextManager[None]:
    """A block in which a reference is traced, or with ``against`` a candidate is forced with its trace.

    Raises:
        UsageError: no file is given, or its name does not end in .trace.
    """
    if to is None and against is None:
        raise UsageError(
            'harness.trace: found neither to nor against; allowed is to="reference.trace" where the model is right, '
            'and against="reference.trace" where it may be wrong.'
        )
    path = to or Path(_CANDIDATE)
    if path.suffix != ENDING:
        raise UsageError(f"{path}: found a name that ends in {path.suffix!r}; allowed is {ENDING}")
    if against is not None:
        return candidate_forced(pipe, against, path, joints=joints, denoiser=denoiser)
    return reference_traced(pipe, path, joints=joints, denoiser=denoiser, steps=steps, most_bytes=most_bytes)


@contextmanager
def reference_traced(  # noqa: PLR0913 - what can be said of a script
    pipe: Any, path: Path, *, joints: Sequence[str], denoiser: str | None, steps: Sequence[str], most_bytes: int
) -> Iterator[None]:
    """Keep what passes inside the block, and write it as a trace when the block ends well.

    Raises:
        UsageError: there is nothing to look into.
        RunError: nothing passed by, or there is more than ``most_bytes``.
    """
    parts = _parts(pipe, joints, denoiser)
    keeping, calls, wanted = Keeping(most_bytes), _Calls(parts), _Steps(pipe, steps)
    begin = time.perf_counter()
    with watched(parts, lambda seen: _kept(keeping, calls, seen), wanted) as places:
        calls.active = places.active
        yield
    seconds = time.perf_counter() - begin
    _require_seen(pipe, parts, bool(calls.outermost))
    again = calls.again(keeping.kept)
    floors = _Floors(again, keeping.places)
    first = next((values for spot, values in keeping.kept.items() if _begins(spot, parts)), [])
    trace = Trace(
        **_origin(path, parts),
        key=None,
        steps=places.step,
        chosen_steps=[step for step in wanted.chosen() if step < max(places.step, 1)],
        denoiser=places.denoiser,
        places=[traced.model_copy(update={"floors": floors.of(traced)}) for traced in keeping.places],
        tensors_bytes=0,
        outcome=None,
        untraced_outcome=None,
        exact=_exact(pipe, parts, [tensor_digest(value) for value in first[:1]]),
        end_to_end=None,
        picture_seconds=seconds,
        seconds=time.perf_counter() - begin,
    )
    trace = save_trace(trace, keeping.kept, {}, path)
    _say(f"{path}: {len(trace.places)} places, {trace.tensors_bytes / 2**20:.1f} MiB")
    _say(f'next, where the port runs: with harness.trace(pipe, against="{path.name}"): ...')


@contextmanager
def candidate_forced(
    pipe: Any, against: Path, path: Path, *, joints: Sequence[str], denoiser: str | None
) -> Iterator[None]:
    """Force what passes inside the block with a reference's values, and write what was measured when it ends well.

    Raises:
        UsageError: there is nothing to look into.
        RecordError: the reference's trace is none, or was cut or changed.
        RunError: it is of another model or type, or nothing passed by.
    """
    parts = _parts(pipe, joints, denoiser)
    trace, values = read_trace(against)
    require_same_model(trace, parts)
    _require_type(parts, trace)
    floors = {spot_of(traced.place): traced.floors for traced in trace.places}
    name, is_partial = parts.components.get("denoising", ""), bool(trace.blocks or trace.inside)
    forced, filtered = Forcing(values, name, floors=floors, partial=is_partial), Filter(parts)
    begin = time.perf_counter()
    with watched(parts, lambda seen: _forced(forced, filtered, seen), lambda step: step in trace.chosen_steps):
        yield
    seconds = time.perf_counter() - begin
    _require_seen(pipe, parts, bool(forced.errors))
    called = {spot.path for spot in (*forced.errors, *forced.additional)}
    noise = next((_noise(errors, trace) for spot, errors in forced.errors.items() if _begins(spot, parts)), [])
    record = Forced(
        **_origin(path, parts),
        outcome=None,
        untraced_outcomes=[],
        first_gap=None,
        second_gap=None,
        exact=_exact(pipe, parts, noise),
        errors=[
            PlaceErrors(place=traced.place, forced=forced.errors.get(spot_of(traced.place)), free=None)
            for traced in trace.places
        ],
        kept=[traced for traced in trace.places if spot_of(traced.place) in forced.wrong],
        additional=sorted({spot.path for spot in forced.additional}),
        not_finite=None,
        fits=filtered.fits(),
        probed=probed(parts, called),
        probed_modules=shown_by_probes(parts, called),
        constants=filtered.constants(_asked(pipe)),
        picture_seconds=seconds,
        seconds=time.perf_counter() - begin,
    )
    wrong = {spot_of(traced.place): forced.wrong[spot_of(traced.place)] for traced in record.kept}
    save_forced(trace, record, wrong, path)
    _say(f"next: harness explain {path}")


class _Call(NamedTuple):
    """One call of an outermost module."""

    spot: Spot
    module: Any
    tree: Any
    """Arguments as (positional, by name)."""


class _Calls:
    """The calls of modules that no other module made, so that they can be made again."""

    def __init__(self, parts: Pipeline) -> None:
        self.outermost: list[_Call] = []
        self.active: Sequence[str] = ()
        """Modules and functions at work; the last is the one that is looked at."""
        self._parts = parts
        self._modules = module_paths(parts.modules)

    def look(self, seen: Seen) -> None:
        """Note a call of an outermost module."""
        path = seen.spot.path
        if seen.spot.side is Side.INPUT and path in self._modules and not self._inside():
            self.outermost.append(_Call(seen.spot, self._modules[path], seen.tree))

    def _inside(self) -> bool:
        return any(path in self._modules for path in self.active[:-1])

    def again(self, kept: dict[Spot, list[Any]]) -> Forcing:
        """Make all calls again, each module inside with what it got, last bits moved."""
        import torch

        forcing = Forcing(kept, self._parts.components.get("denoising", ""), seed=1)
        steps = {spot.step for spot in kept if "." in spot.path}
        with torch.no_grad(), Places(self._parts, forcing, steps.__contains__) as places:
            for call in self.outermost:
                places.begin(call.spot.step, call.spot.forward)
                positional, by_name = replaced(call.tree, kept[call.spot])
                try:
                    call.module(*positional, **by_name)
                except Exception:  # noqa: BLE001 - whatever it is: it cannot be called again, and has no measured floor
                    places.active.clear()
        return forcing


class _Floors:
    """Floors of places: measured where a module could be called again."""

    def __init__(self, again: Forcing, places: Sequence[TracedPlace]) -> None:
        self._again = again
        self._worst: dict[tuple[str, Side], list[float]] = {}
        for traced in places:
            kind = traced.place.path, traced.place.side
            if (measured := self._measured(traced)) is not None:
                known = self._worst.get(kind, measured)
                self._worst[kind] = [max(pair) for pair in zip(known, measured, strict=False)]

    def of(self, traced: TracedPlace) -> list[float]:
        """Floors of the tensors of a place."""
        least = least_floors(traced)
        measured = self._measured(traced) or self._worst.get((traced.place.path, traced.place.side))
        if measured is None or len(measured) != len(least):
            return [_UNMEASURED * floor for floor in least]
        return [max(pair) for pair in zip(measured, least, strict=True)]

    def _measured(self, traced: TracedPlace) -> list[float] | None:
        """What moved in what leaves a module; what enters one was given to it, and so is not measured."""
        if traced.place.side is Side.INPUT or spot_of(traced.place) not in self._again.errors:
            return None
        floors = floors_of(self._again, traced)
        return floors if max(floors, default=0.0) < _UNUSABLE else None


class _Steps:
    """The steps at which the inside of the denoiser is kept, known as soon as the scheduler's table is.

    A scheduler without a table does not say which step is the middle one or the last, so these are left out.
    """

    def __init__(self, pipe: Any, words: Sequence[str]) -> None:
        self._pipe, self._words = pipe, words
        self._chosen: list[int] | None = None

    def chosen(self) -> list[int]:
        """Numbers of the steps, from 0."""
        if self._chosen is None:
            table = getattr(getattr(self._pipe, "scheduler", None), "timesteps", None)
            words = self._words if table is not None else [word for word in self._words if word not in _OF_A_TABLE]
            total = _MOST_STEPS if table is None else len(table)
            try:
                self._chosen = chosen_steps(words, total)
            except ValueError as error:
                raise UsageError(str(error)) from error
        return self._chosen

    def __call__(self, step: int) -> bool:
        return step in self.chosen()


def _kept(keeping: Keeping, calls: _Calls, seen: Seen) -> None:
    keeping(seen)
    calls.look(seen)


def _forced(forced: Forcing, filtered: Filter, seen: Seen) -> Any:
    """Force a place, and hold it against its formula and the pipeline's constants."""
    given = forced(seen)
    filtered(seen, given, equal=forced.last_is_equal)
    passes_on = seen.spot.side is Side.OUTPUT and given is not None
    filtered.look(seen._replace(tree=given) if passes_on else seen)
    return given


def _parts(pipe: Any, joints: Sequence[str], denoiser: str | None) -> Any:
    adapter: Any = plugins.load("adapters", "diffusers")
    parts = adapter.parts_of(pipe, joints, denoiser)
    if not parts.modules:
        raise UsageError(
            f"{type(pipe).__name__} has no torch.nn.Module among its attributes, so there is nothing to look into. "
            "Give the object that holds the model's parts, such as a pipeline of diffusers."
        )
    return parts


def _begins(spot: Spot, parts: Pipeline) -> bool:
    return spot.path == parts.components.get("denoising") and spot.side is Side.INPUT


def _noise(errors: Sequence[float], trace: Trace) -> list[str]:
    """The reference's digest where what first enters the denoiser is the reference's to rounding, else none."""
    return trace.exact.noise if errors and errors[0] <= _OTHER_NOISE else []


def _exact(pipe: Any, parts: Pipeline, noise: list[str]) -> Exact:
    table = getattr(pipe, "scheduler", None)
    named = {name: getattr(table, name, None) for name in ("timesteps", "sigmas")}
    lists = {name: [] if values is None else [float(value) for value in values] for name, values in named.items()}
    schedule = Schedule(**lists) if any(lists.values()) else None
    return Exact(weights=weights(parts.modules), settings=settings(parts), noise=noise, schedule=schedule)


def _asked(pipe: Any) -> dict[str, float]:
    """What a pipeline of diffusers says it was asked for."""
    scale = getattr(pipe, "_guidance_scale", None)
    return {"guidance_scale": float(scale)} if isinstance(scale, int | float) else {}


def _first_parameter(parts: Pipeline) -> Any:
    name = parts.components.get("denoising")
    modules = [parts.modules[name]] if name else list(parts.modules.values())
    return next((parameter for module in modules for parameter in module.parameters()), None)


def _origin(path: Path, parts: Pipeline) -> Any:
    """Which side a record is of: the name of its file, and type and device of the model."""
    return {
        "arm": path.stem,
        "dtype": _dtype(parts),
        "backend": _backend(parts),
        "simulated": _simulated(parts),
    }


def _dtype(parts: Pipeline) -> str:
    return str(getattr(_first_parameter(parts), "dtype", "float32")).removeprefix("torch.")


def _backend(parts: Pipeline) -> str:
    parameter = _first_parameter(parts)
    return "cpu" if parameter is None else str(parameter.device.type)


def _simulated(parts: Pipeline) -> bool:
    """Whether a stand-in library plays the device."""
    name = _backend(parts)
    return name in plugins.names("backends") and bool(plugins.load("backends", name).probe().simulated)


def _require_type(parts: Pipeline, trace: Trace) -> None:
    if (actual := _dtype(parts)) != trace.dtype:
        raise RunError(
            f"the model is {actual}, the trace is of {trace.dtype}; modules of another type have other floors. Load "
            "both sides in the same type."
        )


def _require_seen(pipe: Any, parts: Pipeline, seen: Any) -> None:
    if not seen:
        raise RunError(
            f"no module of {type(pipe).__name__} was called inside the block ({', '.join(parts.modules)}), so there is "
            "nothing to write. Call it there; modules that are compiled or replayed as a graph are not seen."
        )


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
