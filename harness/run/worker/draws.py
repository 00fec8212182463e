"""Every random draw of a pipeline is logged, and replaced by the harness's numbers or by those of a baseline."""

from __future__ import annotations

import hashlib
import random
import sys
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from harness.errors import RunError
from harness.language import recorded
from harness.noise import noise_digest, portable_noise
from harness.records import Draw, DrawnFrom, NoiseMode
from harness.run.worker.cpu_streams import CpuStreams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from harness.contracts import Device

_UNCONTROLLED = (
    "bernoulli",
    "binomial",
    "multinomial",
    "normal",
    "poisson",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randperm",
)
_UNCONTROLLED_METHODS = (
    "bernoulli",
    "bernoulli_",
    "cauchy_",
    "exponential_",
    "geometric_",
    "log_normal_",
    "multinomial",
    "random_",
    "uniform_",
)

_UNWATCHED = "_unwatched"
"""Attribute of a wrapper: the function of torch that it stands for."""

Given = list[tuple[Draw, "NDArray[np.float32]"]]
"""Draws of a baseline with their values, in their order."""


class DrawLog:
    """The draws of one sample, in their order."""

    def __init__(self, mode: NoiseMode, seed: int, rng_state: Callable[[], str], given: Given | None = None) -> None:
        self.mode = mode
        self.seed = seed
        self.given = given
        self.draws: list[Draw] = []
        self.values: dict[str, NDArray[np.float32]] = {}
        self.hidden: list[str] = []
        self.changed: Callable[[Any], Any] = lambda noise: noise
        """What the pipeline gets in the place of injected noise, which is logged as it was before."""
        self.pipeline_generator: Any = None
        """The generator that the pipeline was given; None where it was given none, such as a seed in its place."""
        self._rng_state = rng_state
        self._known_states = {rng_state()}
        self._streams: dict[str, int] = {}
        self.cpu_streams = CpuStreams()
        """What the CPU would have drawn in the place of another device."""

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of all draws in their order."""
        return hashlib.sha256(" ".join(draw.digest for draw in self.draws).encode()).hexdigest()

    def give(self, generator: Any) -> None:
        """Note which generator the pipeline is given, so that draws from others can be told apart."""
        self.pipeline_generator = generator

    def next_injected(self, shape: list[int], state: str) -> tuple[NDArray[np.float32], NoiseMode]:
        """What the next draw gets, and whose numbers these are: the baseline's, or portable noise.

        ``state`` is the name of the generator's state before the draw. A state that has drawn gives its stream again;
        a new one gets the stream of the draw's number.

        Raises:
            RunError: the baseline's pipeline made no such draw.
        """
        number = len(self.draws)
        if self.given is None:
            # A draw of no numbers leaves the generator where it was, so the state is still a new one afterwards.
            stream = number if 0 in shape else self._streams.setdefault(state, number)
            return portable_noise(self.seed, stream, shape), NoiseMode.PORTABLE
        if number >= len(self.given):
            raise RunError(
                recorded(
                    "the pipeline draws noise {drawn} times, and the baseline holds {held} draws of this case and "
                    "seed; the two pipelines are not the same. Make the baseline again with this one.",
                    drawn=number + 1,
                    held=len(self.given),
                )
            )
        draw, values = self.given[number]
        if list(values.shape) != shape:
            raise RunError(
                recorded(
                    "draw {number} asks for noise of the shape {asked}, and the baseline holds {held}; the two "
                    "pipelines are not the same. Make the baseline again with this one.",
                    number=number,
                    asked=str(shape),
                    held=str(list(values.shape)),
                )
            )
        return values, draw.source

    def add(
        self,
        function: str,
        dtype: str,
        values: NDArray[np.float32],
        source: NoiseMode,
        drawn_from: DrawnFrom | None = None,
    ) -> None:
        """Log a draw; ``values`` are float32 before any rounding."""
        self.values[f"noise.{len(self.draws)}"] = values
        self.draws.append(
            Draw(
                shape=list(values.shape),
                dtype=dtype,
                function=function,
                source=source,
                digest=noise_digest(values),
                drawn_from=drawn_from,
            )
        )

    def hide(self, sign: str) -> None:
        """Note a sign of a draw that could not be controlled, once."""
        if sign not in self.hidden:
            self.hidden.append(sign)

    def look_for_hidden_draws(self) -> None:
        """Note it when a global generator is nowhere where known draws began or ended, or where it was seeded to.

        One that is back at such a place, by its own ``manual_seed`` or ``set_state``, gives again what is logged.
        """
        if self._rng_state() not in self._known_states:
            self.hide("a global generator moved without a logged draw")

    def drawn_from(self, generator: Any, *, is_global: bool) -> DrawnFrom | None:
        """Whose generator drew; None where the pipeline was given none that another could stand in for."""
        if self.pipeline_generator is None:
            return None
        if generator is self.pipeline_generator:
            return DrawnFrom.GIVEN
        return DrawnFrom.GLOBAL if is_global else DrawnFrom.OTHER

    @contextmanager
    def known_draw(self) -> Iterator[None]:
        """Inside, generators may move: the draw is logged or named, or a generator is seeded."""
        self.look_for_hidden_draws()
        yield
        self._known_states.add(self._rng_state())


@contextmanager
def watched_draws(mode: NoiseMode, seed: int, device: Device, given: Given | None = None) -> Iterator[DrawLog]:
    """Watch, and for portable or given noise replace, the random functions of torch while one picture is made.

    ``torch.randn``, ``torch.randn_like`` and ``Tensor.normal_`` are controlled; diffusers draws through the first.
    torch draws in either mode, so that generators move as they do unwatched; injected noise then takes the place of
    what it drew. Portable noise follows the state from which a generator draws: one that was seeded again, put back or
    copied gives again what that state gave, and any other draw has a stream of its own.

    Other random functions, and global generators that moved between known draws, are named in ``hidden``. What can
    not be seen: a function that was taken out of torch before (``from torch import randn``) and draws from a generator
    of its own, and generators of other libraries that are not their global ones.
    """
    log = DrawLog(mode, seed, device.rng_state, given)
    with ExitStack() as undo:
        for owner, name, wrapper in _wrappers():
            _replace(undo, owner, name, wrapper, log)
        yield log
        log.look_for_hidden_draws()


def _wrappers() -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """Owner, name and wrapper of every function that is watched."""
    import numpy as np
    import torch

    yield torch, "randn", _randn
    yield torch, "randn_like", _randn_like
    yield torch.Tensor, "normal_", _normal_
    for name in _UNCONTROLLED:
        yield torch, name, partial(_noted, sign=f"torch.{name} was called")
    for name in _UNCONTROLLED_METHODS:
        yield torch.Tensor, name, partial(_noted, sign=f"Tensor.{name} was called")
    for owner in (torch, torch.random):
        yield owner, "manual_seed", _seeding
        yield owner, "set_rng_state", _seeding
    yield np.random, "seed", _seeding
    yield random, "seed", _seeding


def _replace(undo: ExitStack, owner: Any, name: str, wrapper: Callable[..., Any], log: DrawLog) -> None:
    """Put a wrapper in the place of a function until the stack closes; an inherited one is uncovered again.

    A watch inside a watch draws by torch itself: the outer one would count its draw and put its own noise there first.
    """
    original = getattr(owner, name)
    if name in vars(owner):
        undo.callback(setattr, owner, name, original)
    else:
        undo.callback(delattr, owner, name)
    unwatched = getattr(original, _UNWATCHED, original)
    watched = wraps(original)(_unless_traced(wrapper(log, unwatched), unwatched))
    setattr(watched, _UNWATCHED, unwatched)
    setattr(owner, name, watched)


def _unless_traced(watched: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    """The watched function, but the plain one where a compiler traces: then nothing is drawn for an image."""

    def called(*arguments: Any, **options: Any) -> Any:
        return (original if _is_traced() else watched)(*arguments, **options)

    return called


def _is_traced() -> bool:
    """Whether a compiler is at work that records calls instead of making them."""
    tracing = sys.modules.get("torch.fx.experimental.proxy_tensor")  # which compilers import
    return tracing is not None and tracing.get_proxy_mode() is not None


def _randn(log: DrawLog, original: Callable[..., Any]) -> Callable[..., Any]:
    def randn(*size: Any, **options: Any) -> Any:
        place = _place(options, options.get("out"))
        return _drawn(log, "randn", partial(original, *size, **options), options.get("generator"), place)

    return randn


def _randn_like(log: DrawLog, original: Callable[..., Any]) -> Callable[..., Any]:
    def randn_like(*like: Any, **options: Any) -> Any:
        place = _place(options, like[0] if like else options.get("input"))
        return _drawn(log, "randn_like", partial(original, *like, **options), options.get("generator"), place)

    return randn_like


def _normal_(log: DrawLog, original: Callable[..., Any]) -> Callable[..., Any]:
    def normal_(self: Any, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
        draw = partial(original, self, mean, std, generator=generator)
        return _drawn(log, "normal_", draw, generator, self.device, mean=mean, std=std)

    return normal_


def _noted(log: DrawLog, original: Callable[..., Any], sign: str) -> Callable[..., Any]:
    def noted(*arguments: Any, **options: Any) -> Any:
        log.hide(sign)
        with log.known_draw():
            return original(*arguments, **options)

    return noted


def _seeding(log: DrawLog, original: Callable[..., Any]) -> Callable[..., Any]:
    """A global generator that is put somewhere draws nothing; what it drew before is looked for first."""

    def seeding(*arguments: Any, **options: Any) -> Any:
        with log.known_draw():
            return original(*arguments, **options)

    return seeding


def _drawn(  # noqa: PLR0913 - the parts of a draw
    log: DrawLog,
    function: str,
    draw: Callable[[], Any],
    generator: Any,
    place: Any,
    *,
    mean: float = 0.0,
    std: float = 1.0,
) -> Any:
    """Let torch draw, so that generators move as they do unwatched, and put the noise in the place of its numbers.

    ``generator`` is the one that was asked for, None for the global one of ``place``, a torch device.
    """
    import torch

    if place.type == "meta":
        return draw()  # which holds no numbers
    used = _global_generators(place.type)[place.index or 0] if generator is None else generator
    is_global = any(used is known for known in _global_generators(used.device.type))
    state = _state(used, is_global=is_global)
    with log.known_draw() if is_global else nullcontext():
        drawn = draw()
    if drawn.is_complex():
        log.hide(f"{function} drew complex numbers")
        return drawn
    drawn_from = log.drawn_from(used, is_global=is_global)
    if log.mode is NoiseMode.DEVICE:
        log.add(function, _dtype_name(drawn.dtype), _values(drawn), NoiseMode.DEVICE, drawn_from)
        return drawn
    if log.mode is NoiseMode.TORCH_CPU:
        noise = drawn if used.device.type == "cpu" else _as_on_the_cpu(log, drawn, used, state, (mean, std))
        log.add(function, _dtype_name(drawn.dtype), _values(noise), NoiseMode.TORCH_CPU, drawn_from)
        with torch.no_grad():
            return drawn.copy_(log.changed(drawn.copy_(noise)))
    values, source = log.next_injected(list(drawn.shape), state)
    log.add(function, _dtype_name(drawn.dtype), values, source, drawn_from)
    noise = torch.from_numpy(values.copy())
    # What torch drew was logged with its mean and deviation; portable noise has none yet.
    scaled = noise if source is not NoiseMode.PORTABLE or (mean, std) == (0.0, 1.0) else noise * std + mean
    with torch.no_grad():
        return drawn.copy_(log.changed(drawn.copy_(scaled)))


def _as_on_the_cpu(log: DrawLog, drawn: Any, generator: Any, before: str, scale: tuple[float, float]) -> Any:
    """What the CPU would have drawn where a generator of a device drew, with the same mean and deviation."""
    import torch

    normal_ = getattr(torch.Tensor.normal_, _UNWATCHED)

    def fill(tensor: Any, stream: Any) -> Any:
        return normal_(tensor, *scale, generator=stream)

    noise, reached = log.cpu_streams.draw(drawn, fill, generator, before)
    is_global = any(generator is known for known in _global_generators(generator.device.type))
    log.cpu_streams.reach(_state(generator, is_global=is_global), reached)
    return noise


def _values(drawn: Any) -> NDArray[np.float32]:
    """Copy of what was drawn, in float32."""
    import torch

    values: NDArray[np.float32] = drawn.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy().copy()
    return values


def _place(options: dict[str, Any], tensor: Any) -> Any:
    """The torch device of a draw with these options, into or like a tensor where there is one; with its index."""
    import torch

    if tensor is not None and options.get("device") is None:
        return tensor.device
    return torch.empty(0, device=options.get("device")).device


def _global_generators(kind: str) -> Sequence[Any]:
    """The generators that torch draws from on devices of a kind, by their index, when it is given none."""
    import torch

    generators: Sequence[Any] = (torch.default_generator,) if kind == "cpu" else getattr(torch, kind).default_generators
    return generators


def _state(generator: Any, *, is_global: bool) -> str:
    """Name of a generator's state, the same for a copy and for one of the same kind that was seeded alike.

    Global generators have names of their own, one for each device: the harness seeds them all, and the generator that
    it gives to a pipeline, with the seed of the sample, which makes them no copies of each other.
    """
    # CUDA and NPU keep seed and offset of their generators on the host: to read them waits for no queued work.
    state = hashlib.sha256(generator.get_state().numpy().tobytes()).hexdigest()
    return f"global {generator.device} {state}" if is_global else f"{generator.device.type} {state}"


def _dtype_name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
