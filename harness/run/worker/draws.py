"""Every random draw of a pipeline is logged, and with portable noise replaced by the harness's own numbers."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

from harness.noise import noise_digest, portable_noise
from harness.records import Draw, NoiseMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from harness.contracts import Device

_UNCONTROLLED = ("normal", "rand", "rand_like", "randint", "randint_like", "randperm", "bernoulli", "multinomial")
_UNCONTROLLED_METHODS = ("uniform_", "random_", "bernoulli_", "exponential_")


class DrawLog:
    """The draws of one sample, in their order."""

    def __init__(self, mode: NoiseMode, seed: int) -> None:
        self.mode = mode
        self.seed = seed
        self.draws: list[Draw] = []
        self.values: dict[str, NDArray[np.float32]] = {}
        self.hidden: list[str] = []
        self.used_global = False

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of all draws in their order."""
        return hashlib.sha256(" ".join(draw.digest for draw in self.draws).encode()).hexdigest()

    def next_portable(self, shape: list[int]) -> NDArray[np.float32]:
        """Portable noise of the next stream."""
        return portable_noise(self.seed, len(self.draws), shape)

    def add(self, function: str, dtype: str, values: NDArray[np.float32]) -> None:
        """Log a draw; ``values`` are float32 before any rounding."""
        self.values[f"noise.{len(self.draws)}"] = values
        self.draws.append(
            Draw(
                shape=list(values.shape),
                dtype=dtype,
                function=function,
                source=self.mode,
                digest=noise_digest(values),
            )
        )

    def hide(self, sign: str) -> None:
        """Note a sign of a draw that could not be controlled, once."""
        if sign not in self.hidden:
            self.hidden.append(sign)


@contextmanager
def watched_draws(mode: NoiseMode, seed: int, device: Device) -> Iterator[DrawLog]:
    """Watch, and for portable noise replace, the random functions of torch while one picture is made.

    ``torch.randn``, ``torch.randn_like`` and ``Tensor.normal_`` are controlled; diffusers draws through the first.
    Other random functions, and generators that moved without a logged draw, are named in ``hidden``.
    """
    import torch

    log = DrawLog(mode, seed)
    replaced: list[tuple[Any, str, Any]] = []

    def replace(owner: Any, name: str, wrapper: Callable[..., Any], *words: str) -> None:
        original = getattr(owner, name)
        replaced.append((owner, name, original))
        setattr(owner, name, wraps(original)(wrapper(log, original, *words)))

    replace(torch, "randn", _randn)
    replace(torch, "randn_like", _randn_like)
    replace(torch.Tensor, "normal_", _normal_)
    for name in _UNCONTROLLED:
        replace(torch, name, _noted, f"torch.{name} was called")
    for name in _UNCONTROLLED_METHODS:
        replace(torch.Tensor, name, _noted, f"Tensor.{name} was called")
    before = device.rng_state()
    try:
        yield log
        if device.rng_state() != before and not log.used_global and not log.hidden:
            log.hide("a global generator moved without a logged draw")
    finally:
        for owner, name, original in reversed(replaced):
            setattr(owner, name, original)


def _randn(log: DrawLog, original: Callable[..., Any]) -> Callable[..., Any]:
    def randn(*size: Any, **options: Any) -> Any:
        if log.mode is NoiseMode.DEVICE:
            return _logged(log, "randn", original(*size, **options), options.get("generator"))
        shape = size or (options.pop("size"),)
        shape = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return _injected(log, "randn", [int(side) for side in shape], options)

    return randn


def _randn_like(log: DrawLog, original: Callable[..., Any]) -> Callable[..., Any]:
    def randn_like(like: Any, **options: Any) -> Any:
        if log.mode is NoiseMode.DEVICE:
            return _logged(log, "randn_like", original(like, **options), options.get("generator"))
        return _injected(log, "randn_like", list(like.shape), {"dtype": like.dtype, "device": like.device} | options)

    return randn_like


def _normal_(log: DrawLog, original: Callable[..., Any]) -> Callable[..., Any]:
    def normal_(self: Any, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
        if log.mode is NoiseMode.DEVICE:
            return _logged(log, "normal_", original(self, mean, std, generator=generator), generator)
        noise = _injected(log, "normal_", list(self.shape), {"dtype": self.dtype, "device": self.device})
        return self.copy_(noise * std + mean)

    return normal_


def _noted(log: DrawLog, original: Callable[..., Any], sign: str) -> Callable[..., Any]:
    def noted(*arguments: Any, **options: Any) -> Any:
        log.hide(sign)
        return original(*arguments, **options)

    return noted


def _logged(log: DrawLog, function: str, drawn: Any, generator: Any) -> Any:
    import torch

    if drawn.device.type != "meta":
        log.used_global = log.used_global or generator is None
        values = drawn.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy().copy()
        log.add(function, _dtype_name(drawn.dtype), values)
    return drawn


def _injected(log: DrawLog, function: str, shape: list[int], options: dict[str, Any]) -> Any:
    import torch

    values = log.next_portable(shape)
    dtype = options.get("dtype") or torch.get_default_dtype()
    log.add(function, _dtype_name(dtype), values)
    noise = torch.from_numpy(values.copy()).to(device=options.get("device"), dtype=dtype)
    if (out := options.get("out")) is not None:
        return out.copy_(noise)
    return noise.requires_grad_(bool(options.get("requires_grad")))


def _dtype_name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
