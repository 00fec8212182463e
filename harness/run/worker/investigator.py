"""What a worker does for ``harness explain``, picture by picture; it measures and writes, and judges nothing."""

from __future__ import annotations

import gc
import hashlib
import time
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import RunError
from harness.files import write_text
from harness.images import array_digest
from harness.records import read_record, to_json
from harness.records.investigation import (
    FORCED_FILE,
    OPERATORS_FILE,
    SWAPPED_FILE,
    TENSORS_FILE,
    TRACE_FILE,
    TRIED_FILE,
    Forced,
    Gap,
    Investigation,
    InvestigationTask,
    OperatorCheck,
    PlaceErrors,
    Side,
    Swapped,
    Trace,
    TracedPlace,
    Tried,
)
from harness.run.worker.exactness import exact, require_same_model
from harness.run.worker.filtering import Filter
from harness.run.worker.forcing import Forcing, Moving, Swapping, floors_of
from harness.run.worker.operator_check import Everywhere, Operators, Window
from harness.run.worker.places import Seen, Spot, chosen_steps, module_paths, spot_of, watched
from harness.run.worker.probing import probed, shown_by_probes
from harness.run.worker.tracing import (
    Counting,
    Keeping,
    is_coarse,
    read_result,
    read_trace,
    read_values,
    require_place_for,
    save_trace,
    save_values,
)
from harness.run.worker.trying import Reference, Trying, kept_values
from harness.run.worker.values import LEAST_FLOOR, tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from harness.contracts import Pipeline
    from harness.records import CaseKey, Plan, Schedule
    from harness.records.base import Digest

PICTURE = "picture"
"""Path of the place where the pipeline's picture has reached the host."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one picture gave."""

    image: NDArray[np.uint8]
    """uint8[H, W, 3]."""
    float_image: NDArray[np.float32] | None
    """float32[H, W, 3] from the decoder."""
    latents: NDArray[np.float32] | None
    """Final latents."""
    noise: list[Digest]
    """Digest of each random draw."""
    schedule: Schedule | None
    """Timesteps and noise levels."""
    seconds: float
    """Time it took."""

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that are there, by name."""
        named = {"image": self.image, "float_image": self.float_image, "latents": self.latents}
        return {name: array for name, array in named.items() if array is not None}

    @property
    def digest(self) -> Digest:
        """SHA-256 over the digests of all arrays."""
        return hashlib.sha256(" ".join(array_digest(array) for array in self.arrays.values()).encode()).hexdigest()


def gap(actual: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]]) -> Gap:
    """How far the arrays of a result are from those of another, as relative L2."""
    return Gap(**{name: _relative_l2(actual.get(name), array) for name, array in expected.items()})


def _relative_l2(actual: NDArray[Any] | None, expected: NDArray[Any]) -> float:
    if actual is None or actual.shape != expected.shape:
        return float("inf")
    one, two = actual.astype(np.float64), expected.astype(np.float64)
    if not np.isfinite(one).all() or not (size := float(np.linalg.norm(two))):
        return 0.0 if np.array_equal(one, two) else float("inf")
    return float(np.linalg.norm(one - two)) / size


class Investigator:
    """One process of ``harness explain`` with a loaded pipeline."""

    def __init__(  # noqa: PLR0913 - what it works with
        self,
        pipeline: Pipeline,
        make: Callable[[int], Result],
        *,
        arm: str,
        dtype: str,
        backend: str,
        steps: int,
        asked: dict[str, float] | None = None,
        simulated: bool = False,
        plan: Plan | None = None,
        tell_size: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.pictures = 0
        """Pictures that were made."""
        self._pipeline = pipeline
        self._picture = make
        self._arm = arm
        self._origin: Any = {"arm": arm, "dtype": dtype, "backend": backend, "simulated": simulated}
        self._steps = steps
        self._asked = asked or {}
        self._plan = plan
        self._tell_size = tell_size

    def work(self, order: Investigation) -> None:
        """Do what is asked; results are written when all of them are there."""
        gc.freeze()  # the imported libraries have millions of objects, which each collection would walk through
        folder = Path(order.folder)
        folder.mkdir(parents=True, exist_ok=True)
        match order.task:
            case InvestigationTask.TRACE:
                self.trace(order.key, folder, order.steps, order.most_bytes, order.inside)
            case InvestigationTask.FORCE:
                reference = Path(order.trace_file) if order.trace_file else None
                self.force(folder, reference, order.steps)
            case InvestigationTask.KEEP:
                self.keep(folder, order)
            case InvestigationTask.TRY:
                self.attempt(folder, order)
            case InvestigationTask.SWAP:
                self.swap(folder, order)
            case InvestigationTask.OPERATORS:
                self.operators(folder, order)

    def trace(self, key: CaseKey, folder: Path, words: Sequence[str], most_bytes: int, inside: str = "") -> Trace:
        """Trace a picture, measure the floors of its places and of its result, and write all of it.

        How large the trace will be is known, told and held against ``most_bytes`` before anything is kept. Where all
        modules are more than that, whole blocks alone are kept, or the inside of one module, if that is asked.

        Raises:
            RunError: the trace has no room, a step is none, or there is no such module to look inside of.
        """
        begin = time.perf_counter()
        chosen = self._chosen(words)
        if inside:
            _require_module(inside, module_paths(self._pipeline.modules))
        untraced = self._make()
        denoiser = self._pipeline.components.get("denoising", "")
        chooses = _inside(inside, denoiser) if inside else None
        counting = Counting(denoiser, chosen, chooses)
        moved = gap(self._make(_Moved(counting, Moving(1))).arrays, untraced.arrays)
        blocks = not inside and counting.bytes > most_bytes
        if blocks:
            chooses = is_coarse
        size = counting.block_bytes if blocks else counting.bytes
        self._tell_size(size)
        require_place_for(size, most_bytes, folder)
        keeping = Keeping(most_bytes, (lambda spot: chooses(spot.path)) if chooses else lambda _: True)
        traced = self._make(keeping, chosen)
        floor = Forcing(keeping.kept, denoiser, seed=1, partial=chooses is not None)
        self._make(floor, chosen)
        trace = Trace(
            **self._origin,
            key=key,
            steps=self._steps,
            chosen_steps=chosen,
            denoiser=denoiser,
            places=[
                traced_place.model_copy(update={"floors": floors_of(floor, traced_place)})
                for traced_place in keeping.places
            ],
            blocks=blocks,
            inside=inside,
            tensors_bytes=size,
            outcome=traced.digest,
            untraced_outcome=untraced.digest,
            exact=exact(self._pipeline, untraced.noise, untraced.schedule),
            end_to_end=_at_least(moved),
            picture_seconds=untraced.seconds,
            seconds=time.perf_counter() - begin,
            plan=self._plan,
        )
        return save_trace(trace, keeping.kept, untraced.arrays, folder / TRACE_FILE)

    def force(self, folder: Path, reference: Path | None, words: Sequence[str]) -> Forced:
        """Make a picture three times: watched, untouched, and forced with the reference's values; write the errors."""
        begin = time.perf_counter()
        trace, values = read_trace(reference) if reference else (None, {})
        if trace:
            require_same_model(trace, self._pipeline)
        chosen = trace.chosen_steps if trace else self._chosen(words)
        denoiser = self._pipeline.components.get("denoising", "")
        partial_trace = trace is not None and bool(trace.blocks or trace.inside)
        free = Forcing(values, denoiser, force=False, partial=partial_trace)
        filtered, finite, called = Filter(self._pipeline), NotFinite(), Called()
        looking = (free if reference else filtered, filtered.look, finite, called)
        first = self._make(_Together(*looking), chosen)
        untraced = [self._make()]
        again = None
        if untraced[0].digest != first.digest:
            untraced.append(self._make())
            again = self._make(_Together(), chosen)
        self._other()  # what is kept of one picture shows in the next only where the two are not alike
        floors = {spot_of(traced.place): traced.floors for traced in trace.places} if trace else {}
        forced = Forcing(values, denoiser, floors=floors, partial=partial_trace)
        if trace:
            self._make(partial(_filtered, forced, filtered), chosen)
        expected = read_result(reference) if reference else None
        record = Forced(
            **self._origin,
            outcome=first.digest,
            untraced_outcomes=[result.digest for result in untraced],
            second_outcome=again.digest if again else None,
            first_gap=gap(first.arrays, expected) if expected else None,
            second_gap=gap(untraced[-1].arrays, expected) if expected else None,
            exact=exact(self._pipeline, first.noise, first.schedule),
            errors=[_errors(traced.place, forced, free) for traced in trace.places] if trace else [],
            kept=[traced for traced in trace.places if spot_of(traced.place) in forced.wrong] if trace else [],
            additional=sorted({spot.path for spot in forced.additional}),
            not_finite=finite.first.place if finite.first else None,
            fits=filtered.fits(),
            probed=probed(self._pipeline, called.paths),
            probed_modules=shown_by_probes(self._pipeline, called.paths),
            constants=filtered.constants(self._asked),
            picture_seconds=untraced[0].seconds,
            seconds=time.perf_counter() - begin,
        )
        save_values(
            {spot_of(kept.place): forced.wrong[spot_of(kept.place)] for kept in record.kept}, folder / TENSORS_FILE
        )
        write_text(folder / FORCED_FILE, to_json(record))
        return record

    def attempt(self, folder: Path, order: Investigation) -> Tried:
        """Try known causes at the places of one culprit, with the reference's own modules."""
        begin = time.perf_counter()
        trace, values = read_trace(Path(order.trace_file or ""))
        source = Path(order.values_folder or "")
        forced = read_record(Forced, source / FORCED_FILE)
        kept = read_values(source / TENSORS_FILE, kept_values(forced.kept))
        trying = Trying(Reference(trace, values, self._pipeline), kept, order.places[0], order.path)
        trials = trying.trials(lambda visit: self._make(visit, trace.chosen_steps), order.key.seed)
        calls, seconds = len(trying.wrong), time.perf_counter() - begin
        record = Tried(path=order.path, calls=calls, trials=trials, seconds=seconds)
        write_text(folder / TRIED_FILE, to_json(record))
        return record

    def keep(self, folder: Path, order: Investigation) -> None:
        """Keep the values of chosen places in every step of a picture."""
        wanted = _wanted(order)
        denoiser = self._pipeline.components.get("denoising", "")
        keeping = Keeping(order.most_bytes, lambda spot: wanted(spot) or _enters(spot, denoiser))
        made = self._make(keeping)
        save_values(keeping.kept, folder / TENSORS_FILE)
        away = gap(made.arrays, read_result(Path(order.trace_file or "")))
        index = Swapped(arm=self._arm, gap=away, replaced=0, places=keeping.places)
        write_text(folder / SWAPPED_FILE, to_json(index))

    def swap(self, folder: Path, order: Investigation) -> Swapped:
        """Make a picture with the kept values of the other side at chosen places, and measure it."""
        source = Path(order.values_folder or "")
        kept = read_values(source / TENSORS_FILE, kept_values(_index(source)))
        swapping = Swapping(kept, self._pipeline.components.get("denoising", ""), _wanted(order))
        made = self._make(swapping)
        measured = gap(made.arrays, read_result(Path(order.trace_file or "")))
        record = Swapped(arm=self._arm, gap=measured, replaced=swapping.replaced)
        write_text(folder / SWAPPED_FILE, to_json(record))
        return record

    def operators(self, folder: Path, order: Investigation) -> OperatorCheck:
        """Look at the operators of one module in a forced picture, or at those of all modules in one as it is."""
        if order.places:
            trace, values = read_trace(Path(order.trace_file or ""))
            forced = Forcing(values, self._pipeline.components.get("denoising", ""))
            window: Window | Everywhere = Window(forced, order.path, spot_of(order.places[0]))
            chosen: Sequence[int] | None = trace.chosen_steps
        else:
            window, chosen = Everywhere(), None
        looked = Operators(window, values=bool(order.places))
        with looked.mode():
            self._make(window, chosen)
        record = looked.record(order.path)
        write_text(folder / OPERATORS_FILE, to_json(record))
        return record

    def _make(self, visit: Callable[[Seen], Any] | None = None, inside: Sequence[int] | None = None) -> Result:
        """One picture, with a visitor at its places, inside the denoiser only at some steps."""
        self.pictures += 1
        if visit is None:
            return self._picture(0)
        with watched(self._pipeline, visit, lambda step: inside is None or step in inside) as places:
            try:
                result = self._picture(0)
                visit(Seen(Spot(PICTURE, Side.OUTPUT, 0, 0, 0), "", None, result.image))
                return result
            except Exception as error:
                where = places.active[-1] if places.active else "the pipeline"
                raise RunError(f"{where} failed while it was watched: {type(error).__name__}: {error}") from error

    def _other(self) -> Result:
        """One picture that begins with other noise."""
        self.pictures += 1
        return self._picture(1)

    def _chosen(self, words: Sequence[str]) -> list[int]:
        try:
            return chosen_steps(words, self._steps)
        except ValueError as error:
            raise RunError(f"--trace-{error}") from error


class NotFinite:
    """A visitor that notes where a value that is no finite number was first seen to leave."""

    def __init__(self) -> None:
        self.first: Spot | None = None
        """The place; None where all values are finite."""

    def __call__(self, seen: Seen) -> None:
        """Look at what leaves a place."""
        if self.first is None and seen.spot.side is Side.OUTPUT:
            floats = [value for value in tensors(seen.tree) if value.is_floating_point()]
            if any(bool(value.isnan().any()) for value in floats):
                self.first = seen.spot


class Called:
    """A visitor that notes which modules and functions a picture needs."""

    def __init__(self) -> None:
        self.paths: set[str] = set()

    def __call__(self, seen: Seen) -> None:
        """Note a place."""
        self.paths.add(seen.spot.path)


def _filtered(forced: Forcing, filtered: Filter, seen: Seen) -> Any:
    """Force a place, and hold it against its formula where it is not the reference's bit for bit."""
    given = forced(seen)
    filtered(seen, given, equal=forced.last_is_equal)
    return given


class _Moved:
    """A visitor that has places looked at, and moves what leaves them."""

    def __init__(self, look: Callable[[Seen], Any], move: Callable[[Seen], Any]) -> None:
        self._look, self._move = look, move

    def __call__(self, seen: Seen) -> Any:
        self._look(seen)
        return self._move(seen)


class _Together:
    """Several visitors that look and replace nothing."""

    def __init__(self, *visitors: Callable[[Seen], Any]) -> None:
        self._visitors = visitors

    def __call__(self, seen: Seen) -> None:
        for visit in self._visitors:
            visit(seen)


def _require_module(path: str, known: Iterable[str]) -> None:
    names = list(known)
    if path not in names:
        near = get_close_matches(path, names, cutoff=0.0)
        raise RunError(
            f"--trace-inside: found {path!r}, which is no module of this pipeline. The nearest are {', '.join(near)}."
        )


def _inside(path: str, denoiser: str) -> Callable[[str], bool]:
    """The places of a module and of all inside it, and what enters and leaves the denoiser, which tells calls apart."""
    return lambda other: other in {path, denoiser} or other.startswith(f"{path}.")


def _index(folder: Path) -> Sequence[TracedPlace]:
    """Places whose values lie in a folder: kept in every step, or of a candidate that was forced."""
    if (folder / FORCED_FILE).is_file():
        return read_record(Forced, folder / FORCED_FILE).kept
    return read_record(Swapped, folder / SWAPPED_FILE).places


def _enters(spot: Spot, denoiser: str) -> bool:
    return spot.path == denoiser and spot.side is Side.INPUT


def _wanted(order: Investigation) -> Callable[[Spot], bool]:
    places = {(place.path, place.side) for place in order.places}
    return lambda spot: (spot.path, spot.side) in places


def _errors(place: Any, forced: Forcing, free: Forcing) -> PlaceErrors:
    spot = spot_of(place)
    return PlaceErrors(place=place, forced=forced.errors.get(spot), free=free.errors.get(spot))


def _at_least(moved: Gap) -> Gap:
    """The same, but of each kind at least half a unit in the last place of float32."""
    sizes = moved.model_dump()
    return Gap.model_validate({name: None if size is None else max(LEAST_FLOOR, size) for name, size in sizes.items()})
