"""What adapters of diffusers pipelines share: loading, seeding, and taps on what a pipeline calls."""

from __future__ import annotations

import inspect
import json
from contextlib import ExitStack
from functools import wraps
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from harness.contracts import Picture
from harness.errors import RunError
from harness.language import recorded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.contracts import Device, Watch
    from harness.records import ModelRef

_PICTURE_AXES = 4


def loaded(folder: Path, model: ModelRef, device: Device) -> Any:
    """The pipeline of a folder on the device, by ``DiffusionPipeline.from_pretrained``, without any network."""
    import torch
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(
        str(folder),
        trust_remote_code=model.trust_remote_code,
        torch_dtype=getattr(torch, model.dtype),
        use_safetensors=True,
        local_files_only=True,
    )
    return pipe.to(device.torch_device)


def seeded(seed: int, device: Device, watch: Watch) -> Any:
    """A generator of the device, seeded, to be given to a pipeline; the watch is told of it."""
    import torch

    generator = torch.Generator(device.torch_device).manual_seed(seed)
    watch.generator(generator)
    return generator


def signature_note(pipe: Any) -> str:
    """Pipeline with the names of what it takes."""
    names = ", ".join(inspect.signature(pipe.__call__).parameters)
    return recorded("pipeline: {name}({parameters})", name=type(pipe).__name__, parameters=names)


def scheduler_note(scheduler: Any) -> str:
    """Scheduler with those settings that decide about its steps."""
    names = ("shift", "num_train_timesteps", "use_dynamic_shifting")
    kept = {name: scheduler.config[name] for name in names if name in scheduler.config}
    settings = json.dumps(kept, sort_keys=True)
    return recorded("scheduler: {name} {settings}", name=type(scheduler).__name__, settings=settings)


def picture(image: Any, decoded: Any) -> Picture:
    """The picture that a pipeline returned, with the decoder's output (a tensor [1, 3, H, W]) where it was seen.

    Raises:
        RunError: it is no RGB picture.
    """
    if getattr(image, "mode", None) != "RGB":
        raise RunError(f"the pipeline returned {type(image).__name__} {getattr(image, 'mode', '')}; expected RGB.")
    float_image, dtype = _float_image(decoded)
    return Picture(image=np.array(image, dtype=np.uint8), float_image=float_image, float_image_dtype=dtype)


def _float_image(decoded: Any) -> tuple[Any, str | None]:
    """The decoder's output as float32[H, W, 3], an exact upcast, and the type it was computed in."""
    if decoded is None or decoded.ndim != _PICTURE_AXES:
        return None, None
    import torch

    array = decoded[0].to(device="cpu", dtype=torch.float32).permute(1, 2, 0).contiguous().numpy()
    return array, str(decoded.dtype).removeprefix("torch.")


class Taps:
    """Wrappers on the methods that a pipeline calls, which tell a watch what passes; gone when one picture is made.

    Denoising lasts from the first call of a denoiser to the call of the decoder.
    """

    def __init__(self, watch: Watch) -> None:
        self.decoded: Any = None
        self._watch = watch
        self._undo = ExitStack()
        self._denoising = ExitStack()
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._denoising.close()
        self._undo.close()

    def denoiser(self, module: Any) -> None:
        """Its first call begins the stage ``denoising``."""

        def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
            def forward(*words: Any, **options: Any) -> Any:
                if not self._begun:
                    self._begun = True
                    self._denoising.enter_context(self._watch.stage("denoising"))
                return original(*words, **options)

            return forward

        self._wrap(module, "forward", wrapper)

    def schedule(self, scheduler: Any) -> None:
        """The table that it makes before the first step is reported."""

        def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)  # diffusers looks at its signature
            def set_timesteps(*words: Any, **options: Any) -> Any:
                result = original(*words, **options)
                self._watch.schedule(scheduler.timesteps, getattr(scheduler, "sigmas", None))
                return result

            return set_timesteps

        self._wrap(scheduler, "set_timesteps", wrapper)

    def scheduler(self, scheduler: Any) -> None:
        """What each of its steps gives is reported."""

        def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
            def step(*words: Any, **options: Any) -> Any:
                result = original(*words, **options)
                self._watch.step(_first(result, "prev_sample"))
                return result

            return step

        self._wrap(scheduler, "step", wrapper)

    def decoder(self, vae: Any, name: str = "vae") -> None:
        """Its call ends the denoising and is the stage ``vae_decode``; what it gives is kept, and told."""

        def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
            def decode(*words: Any, **options: Any) -> Any:
                self._denoising.close()
                with self._watch.stage("vae_decode"):
                    result = original(*words, **options)
                self._watch.decoded(name, result)
                self.decoded = _first(result, "sample").detach().clone()
                return result

            return decode

        self._wrap(vae, "decode", wrapper)

    def told(self, owner: Any, method: str, name: str) -> None:
        """What calls of the method give is told as a decoder's output."""

        def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
            def called(*words: Any, **options: Any) -> Any:
                result = original(*words, **options)
                self._watch.decoded(name, result)
                return result

            return called

        self._wrap(owner, method, wrapper)

    def stage(self, owner: Any, method: str, stage: str) -> None:
        """Calls of the method are a stage."""
        self._wrap(owner, method, self._timed(stage))

    def text(self, encoder: Any, stage: str) -> None:
        """Calls of the encoder are a stage, and its real and padded rows are traced where a mask tells them apart."""

        def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
            timed = self._timed(stage)(original)

            def forward(*words: Any, **options: Any) -> Any:
                result = timed(*words, **options)
                hidden, mask = getattr(result, "last_hidden_state", None), options.get("attention_mask")
                if hidden is not None and mask is not None and mask.ndim == hidden.ndim - 1:
                    self._watch.rows(stage, hidden, mask)
                return result

            return forward

        self._wrap(encoder, "forward", wrapper)

    def _timed(self, stage: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
            def called(*words: Any, **options: Any) -> Any:
                with self._watch.stage(stage):
                    return original(*words, **options)

            return called

        return wrap

    def _wrap(self, owner: Any, name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Put a wrapper on an instance; the class and other instances stay as they are."""
        original = getattr(owner, name, None)
        if original is None:
            return
        own = vars(owner).get(name)
        object.__setattr__(owner, name, wrapper(original))

        def restore() -> None:
            if own is None:
                object.__delattr__(owner, name)
            else:
                object.__setattr__(owner, name, own)

        self._undo.callback(restore)


def _first(result: Any, name: str) -> Any:
    """The tensor of a diffusers result, which is a tuple or an object by the caller's choice."""
    return result[0] if isinstance(result, tuple) else getattr(result, name)
