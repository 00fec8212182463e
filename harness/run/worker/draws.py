"""Every random draw of a pipeline is logged, and replaced by the harness's numbers or by those of a baseline."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from harness.errors import RunError
from harness.language import recorded
from harness.noise import noise_digest, portable_noise
from harness.records import Draw, NoiseMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        self._rng_state = rng_state
        self._expected_state = rng_state()

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of all draws in their order."""
        return hashlib.sha256(" ".join(draw.digest for draw in self.draws).encode()).hexdigest()

    def next_injected(self, shape: list[int]) -> tuple[NDArray[np.float32], NoiseMode]:
        """What the next draw gets, and whose numbers these are: the baseline's, or portable noise of the next stream.

        Raises:
            RunError: the baseline's pipeline made no such draw.
        """
        number = len(self.draws)
        if self.given is None:
            return portable_noise(self.seed, number, shape), NoiseMode.PORTABLE
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
                    asked=shape,
                    held=list(values.shape),
                )
            )
        return values, draw.source

    def add(self, function: str, dtype: str, values: NDArray[np.float32], source: NoiseMode | None = None) -> None:
        """Log a draw; ``values`` are float32 before any rounding, and the device's own where no source is given."""
        self.values[f"noise.{len(self.draws)}"] = values
        self.draws.append(
            Draw(
                shape=list(values.shape),
                dtype=dtype,
                function=function,
                source=source or NoiseMode.DEVICE,
                digest=noise_digest(values),
            )
        )

    def hide(self, sign: str) -> None:
        """Note a sign of a draw that could not be controlled, once."""
        if sign not in self.hidden:
            self.hidden.append(sign)

    def look_for_hidden_draws(self) -> None:
        """Note it when a global generator is not where the known draws left it."""
        if self._rng_state() != self._expected_state:
            self.hide("a global generator moved without a logged draw")

    @contextmanager
    def known_draw(self) -> Iterator[None]:
        """Inside, generators may move: the draw is logged or named."""
        self.look_for_hidden_draws()
        yield
        self._expected_state = self._rng_state()


@contextmanager
def watched_draws(mode: NoiseMode, seed: int, device: Device, given: Given | None = None) -> Iterator[DrawLog]:
    """Watch, and for portable or given noise replace, the random functions of torch while one picture is made.

    ``torch.randn``, ``torch.randn_like`` and ``Tensor.normal_`` are controlled; diffusers draws through the first.
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
    import torch

    yield torch, "randn", _randn
    yield torch, "randn_like", _randn_like
    yield torch.Tensor, "normal_", _normal_
    for name in _UNCONTROLLED:
        yield torch, name, partial(_noted, sign=f"torch.{name} was called")
    for name in _UNCONTROLLED_METHODS:
        yield torch.Tensor, name, partial(_noted, sign=f"Tensor.{name} was called")


def _replace(undo: ExitStack, owner: Any, name: str, wrapper: Callable[..., Any], log: DrawLog) -> None:
    """Put a wrapper in the place of a function until the stack closes; an inherited one is uncovered again."""
    original = getattr(owner, name)
    if name in vars(owner):
        undo.callback(setattr, owner, name, original)
    else:
        undo.callback(delattr, owner, name)
    setattr(owner, name, wraps(original)(wrapper(log, original)))


def _randn(log: DrawLog, original: Callable[..., Any]) -> Callable[..., Any]:
    def randn(*size: Any, **options: Any) -> Any:
        import torch

        draw = partial(original, *size, **options)
        if log.mode is NoiseMode.DEVICE:
            return _logged(log, "randn", draw)
        with torch.no_grad():
            return _injected(log, "randn", torch.empty(*size, **_without_generator(options)), draw)

    return randn


def _randn_like(log: DrawLog, original: Callable[..., Any]) -> Callable[..., Any]:
    def randn_like(*like: Any, **options: Any) -> Any:
        import torch

        draw = partial(original, *like, **options)
        if log.mode is NoiseMode.DEVICE:
            return _logged(log, "randn_like", draw)
        with torch.no_grad():
            return _injected(log, "randn_like", torch.empty_like(*like, **_without_generator(options)), draw)

    return randn_like


def _normal_(log: DrawLog, original: Callable[..., Any]) -> Callable[..., Any]:
    def normal_(self: Any, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
        draw = partial(original, self, mean, std, generator=generator)
        if log.mode is NoiseMode.DEVICE:
            return _logged(log, "normal_", draw)
        return _injected(log, "normal_", self, draw, mean=mean, std=std)

    return normal_


def _noted(log: DrawLog, original: Callable[..., Any], sign: str) -> Callable[..., Any]:
    def noted(*arguments: Any, **options: Any) -> Any:
        log.hide(sign)
        with log.known_draw():
            return original(*arguments, **options)

    return noted


def _without_generator(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "generator"}


def _logged(log: DrawLog, function: str, draw: Callable[[], Any]) -> Any:
    """Let the device draw, and log what it drew."""
    import torch

    with log.known_draw():
        drawn = draw()
    if drawn.is_complex():
        log.hide(f"{function} drew complex numbers")
    elif drawn.device.type != "meta":  # which holds no numbers
        values = drawn.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy().copy()
        log.add(function, _dtype_name(drawn.dtype), values)
    return drawn


def _injected(  # noqa: PLR0913 - the parts of a draw
    log: DrawLog, function: str, target: Any, draw: Callable[[], Any], *, mean: float = 0.0, std: float = 1.0
) -> Any:
    """Fill a tensor, which has the place, type and layout that torch gives it, with noise that is not drawn here."""
    import torch

    if target.device.type == "meta" or target.is_complex():
        return _logged(log, function, draw)
    values, source = log.next_injected(list(target.shape))
    log.add(function, _dtype_name(target.dtype), values, source)
    noise = torch.from_numpy(values.copy())
    # What a device drew was logged with its mean and deviation; portable noise has none yet.
    scaled = noise if source is NoiseMode.DEVICE or (mean, std) == (0.0, 1.0) else noise * std + mean
    return target.copy_(log.changed(target.copy_(scaled)))


def _dtype_name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
