"""What adapters of diffusers pipelines share: loading, seeding, and taps on what a pipeline calls."""

from __future__ import annotations

import inspect
import json
import logging
from collections import deque
from contextlib import ExitStack
from functools import wraps
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from harness.contracts import Joint, Picture
from harness.errors import RunError
from harness.language import recorded
from harness.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from harness.contracts import Device, Request, Watch

_PICTURE_AXES = 4
_FRAME_AXES = 5
_FRAMES = ("num_frames", "num_videos_per_prompt", "video_length", "frames", "video")
"""What pipelines of diffusers that return frames take, and no pipeline that returns pictures does."""
_PIPELINES_LOGGER = "diffusers.pipelines"
_LONGEST_WARNING = 400
_COMPILED = "_compiled_call_impl"
"""Where ``torch.nn.Module.compile`` keeps what is called in the place of ``forward``."""
_SCALES = ("guidance", "guidance_scale", "timestep_cond")
"""What denoisers of diffusers call the scale of guidance, or its embedding, where they are told it."""


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


def require_kind(pipe: Any, frames: int | None) -> None:
    """Refuse a pipeline that returns frames where pictures are asked for, and the other way round.

    Raises:
        RunError: says so.
    """
    parameters = inspect.signature(pipe.__call__).parameters
    if frames is not None:
        if COUNT_OF_FRAMES not in parameters:
            raise RunError(
                recorded(
                    "frames: found {count:d}; allowed is no such key, because {pipeline} has no parameter num_frames, "
                    "so it cannot be asked for a video. It takes {names}. Remove frames.",
                    count=frames,
                    pipeline=type(pipe).__name__,
                    names=", ".join(parameters),
                )
            )
        return
    if named := [name for name in _FRAMES if name in parameters]:
        raise RunError(
            recorded(
                "{pipeline} takes {names}, so it returns frames, and the scenario does not say how many. Write for "
                "example 'frames: {example}', or give a pipeline of pictures.",
                pipeline=type(pipe).__name__,
                names=", ".join(named),
                example="{count: 81}",
            )
        )


COUNT_OF_FRAMES = "num_frames"
"""What pipelines of diffusers that return frames call the number of them."""


def joints(owners: Mapping[str, Any], functions: Iterable[str]) -> list[Joint]:
    """Functions by names such as ``vae.decode``, of owners by the first part of the name; those that are there.

    >>> [joint.path for joint in joints({"text": str}, ["text.upper", "text.sing", "vae.decode"])]
    ['text.upper']
    """
    paths = [(path, *path.rsplit(".", 1)) for path in functions]
    known = [(path, owners.get(owner), name) for path, owner, name in paths]
    return [Joint(owner=owner, name=name, path=path) for path, owner, name in known if hasattr(owner, name)]


def pictures(made: Any, decoded: Sequence[Any]) -> list[Picture]:
    """The pictures that a pipeline returned, each with the decoder's output where it was seen.

    ``decoded`` are tensors [N, 3, H, W], or [N, 3, 1, H, W] from a decoder of videos, in the order of the calls.

    Raises:
        RunError: one of them is no RGB picture.
    """
    images = _images(made)
    floats = _float_images(decoded, len(images))
    return [_frame(image, *of_image) for image, of_image in zip(images, floats, strict=True)]


def _images(made: Any) -> list[Any]:
    """The images in an object's ``images``, in the first part of a tuple, or in a list.

    Raises:
        RunError: there is none.
    """
    if isinstance(made, tuple) and made and not hasattr(made, "images"):
        made = made[0]
    images = made if isinstance(made, list) else getattr(made, "images", None)
    if images is None or not len(images):
        held = ", ".join(vars(made)) if hasattr(made, "__dict__") else type(made).__name__
        raise RunError(
            recorded("the pipeline returned {kind} with {held}; expected images.", kind=type(made).__name__, held=held)
        )
    return list(images)


def frames(made: Any, decoded: Sequence[Any], kept: Sequence[int]) -> Iterator[Picture]:
    """The frames that a pipeline returned, one after the other.

    ``decoded`` holds the decoder's output of the kept frames, [1, 3, F, H, W], where it was seen; ``kept`` are their
    numbers from 1.

    Raises:
        RunError: there is no single video, or one of its frames is no RGB picture.
    """
    videos = getattr(made, "frames", None)
    if videos is None or len(videos) != 1:
        held = ", ".join(vars(made)) if hasattr(made, "__dict__") else type(made).__name__
        raise RunError(
            recorded(
                "the pipeline returned {kind} with {held} and {count:d} videos; expected one video.",
                kind=type(made).__name__,
                held=held,
                count=0 if videos is None else len(videos),
            )
        )
    floats = dict(zip(kept, _float_frames(decoded, len(kept)), strict=True))
    return (_frame(image, *floats.get(number, (None, None))) for number, image in enumerate(videos[0], 1))


def _float_frames(decoded: Sequence[Any], count: int) -> list[tuple[Any, str | None]]:
    last = decoded[-1] if decoded else None
    if last is None or last.ndim != _FRAME_AXES or last.shape[2] != count:
        return [(None, None)] * count
    return [_as_float32(last[0, :, number]) for number in range(count)]


def _frame(image: Any, float_image: Any, dtype: str | None) -> Picture:
    if getattr(image, "mode", None) != "RGB":
        raise RunError(
            recorded(
                "the pipeline returned {found} as an image; expected a PIL image with mode RGB.",
                found=_described(image),
            )
        )
    return Picture(image=np.array(image, dtype=np.uint8), float_image=float_image, float_image_dtype=dtype)


def _described(image: Any) -> str:
    """Type of what stands in an image's place, with its mode or shape where it has one.

    >>> _described([1]), _described(np.zeros((2, 3)))
    ('list', 'ndarray (2, 3)')
    """
    more = getattr(image, "mode", None) or getattr(image, "shape", None)
    return type(image).__name__ + (f" {more}" if more else "")


def only(made: Sequence[Picture]) -> Picture:
    """The picture of a call that was asked for one.

    Raises:
        RunError: there are several, and none of them is left out without a word.
    """
    if len(made) > 1:
        raise RunError(
            recorded(
                "the pipeline returned {actual:d} images; expected 1. Write pictures_per_case: {actual:d} where "
                "num_images_per_prompt makes as many; else remove the argument that makes it return several.",
                actual=len(made),
            )
        )
    return made[0]


def _float_images(decoded: Sequence[Any], count: int) -> list[tuple[Any, str | None]]:
    """For each of so many pictures the decoder's output as float32[H, W, 3], an exact upcast, and its type.

    Those of the last calls that gave as many pictures together; nothing where the calls do not add up to that.
    """
    rows: list[Any] = []
    for tensor in reversed(decoded):
        if len(rows) < count:
            rows = [*_decoded_pictures(tensor), *rows]
    if count == 1:
        rows = rows[:1]
    if len(rows) != count:
        return [(None, None)] * count
    return [_as_float32(row) for row in rows]


def _decoded_pictures(decoded: Any) -> list[Any]:
    """Tensors [3, H, W] of one call of a decoder; none where it gave something else."""
    if decoded.ndim == _FRAME_AXES and decoded.shape[2] == 1:  # a decoder of videos that was given one frame
        decoded = decoded[:, :, 0]
    return list(decoded) if decoded.ndim == _PICTURE_AXES else []


def _as_float32(row: Any) -> tuple[Any, str]:
    import torch

    array = row.to(device="cpu", dtype=torch.float32).permute(1, 2, 0).contiguous().numpy()
    return array, str(row.dtype).removeprefix("torch.")


class Warned(logging.Handler):
    """What a pipeline of diffusers warns of while it is called, which is mostly a setting that it does not use."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.words: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the words."""
        self.words.append(one_line(record.getMessage(), _LONGEST_WARNING))

    def __enter__(self) -> Self:
        logging.getLogger(_PIPELINES_LOGGER).addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        logging.getLogger(_PIPELINES_LOGGER).removeHandler(self)


def call(pipe: Any, taps: Taps, watch: Watch, request: Request, arguments: dict[str, Any]) -> Any:
    """Call a pipeline, and report the settings of the request that changed nothing, by what it says and what it did."""
    with Warned() as warned:
        made = pipe(**arguments)
    for message in warned.words:
        watch.without_effect(recorded("the pipeline warns: {words}", words=message))
    for sentence in taps.without_effect(request, arguments):
        watch.without_effect(sentence)
    return made


class Taps:
    """Wrappers on the methods that a pipeline calls, which tell a watch what passes; gone when one call is over.

    Denoising lasts from the first call of a denoiser to the call of the decoder.
    """

    def __init__(self, watch: Watch, pictures: int = 1, frames: int | None = None, kept: Sequence[int] = ()) -> None:
        self.decoded: deque[Any] = deque(maxlen=pictures)
        """What the decoder gave in its last calls; each picture takes one call at most."""
        self._frames, self._kept = frames, [number - 1 for number in kept]
        self._watch = watch
        self._undo = ExitStack()
        self._denoising = ExitStack()
        self._begun = False
        self._predictions = 0
        self._steps = 0
        self._scale_is_told = False
        self._scheduler: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._denoising.close()
        self._undo.close()

    def denoiser(self, module: Any) -> None:
        """Its first call begins the stage ``denoising``; what it predicts is counted."""

        def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
            def forward(*arguments: Any, **options: Any) -> Any:
                if not self._begun:
                    self._begun = True
                    self._denoising.enter_context(self._watch.stage("denoising"))
                self._predictions += _batch([*arguments, *options.values()])
                self._scale_is_told |= any(options.get(name) is not None for name in _SCALES)
                return original(*arguments, **options)

            return forward

        self._wrap(module, "forward", wrapper)

    def schedule(self, scheduler: Any) -> None:
        """The table that it makes before the first step is reported, and its steps are counted."""
        self._scheduler = scheduler

        def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)  # diffusers looks at its signature
            def set_timesteps(*arguments: Any, **options: Any) -> Any:
                result = original(*arguments, **options)
                self._watch.schedule(scheduler.timesteps, getattr(scheduler, "sigmas", None))
                return result

            return set_timesteps

        def counting(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)
            def step(*arguments: Any, **options: Any) -> Any:
                self._steps += 1
                return original(*arguments, **options)

            return step

        self._wrap(scheduler, "set_timesteps", wrapper)
        self._wrap(scheduler, "step", counting)

    def without_effect(self, request: Request, arguments: Container[str]) -> Iterator[str]:
        """Settings that were given to the pipeline and changed nothing, in words, by what was seen in the call.

        With guidance, two or more predictions are made for a picture in each step, at once or one after the other; or
        one is made by a model that is told the scale.
        """
        if not (self._steps and self._predictions):
            return
        several = self._predictions > self._steps * request.pictures
        if "guidance_scale" in arguments and request.guidance_scale > 1 and not (several or self._scale_is_told):
            yield recorded(
                "guidance_scale: {scale:g} was asked for and changed nothing: each step made one prediction, and the "
                "model was not told the scale",
                scale=request.guidance_scale,
            )
        if request.negative_prompt and not several:
            yield recorded(
                "negative_prompt was given and changed nothing: each step made one prediction, which is the one for "
                "the prompt"
            )
        made = self._timesteps()
        if "num_inference_steps" in arguments and made not in {None, request.steps}:
            yield recorded(
                "steps: {asked:d} were asked for, and the scheduler's table has {made:d}",
                asked=request.steps,
                made=made,
            )

    def _timesteps(self) -> int | None:
        """Number of different timesteps in the table; None where a step has several by the scheduler's own method."""
        timesteps = getattr(self._scheduler, "timesteps", None)
        if timesteps is None or getattr(self._scheduler, "order", 1) != 1:
            return None
        return len(set(timesteps.tolist()))

    def scheduler(self, scheduler: Any) -> None:
        """What each of its steps gives is reported."""

        def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(original)  # diffusers looks at its signature to know whether it takes the generator
            def step(*arguments: Any, **options: Any) -> Any:
                result = original(*arguments, **options)
                self._watch.step(_first(result, "prev_sample"))
                return result

            return step

        self._wrap(scheduler, "step", wrapper)

    def decoder(self, vae: Any, name: str = "vae") -> None:
        """Its call ends the denoising and is the stage ``vae_decode``; what it gives is kept, and told."""

        def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
            def decode(*arguments: Any, **options: Any) -> Any:
                self._denoising.close()
                with self._watch.stage("vae_decode"):
                    result = original(*arguments, **options)
                self._watch.decoded(name, result)
                self.decoded.append(self._stored(_first(result, "sample").detach()))
                return result

            return decode

        self._wrap(vae, "decode", wrapper)

    def _stored(self, decoded: Any) -> Any:
        """What is kept of a decoder's output: all of a picture, and of a video the frames that are stored."""
        if self._frames is not None and decoded.ndim == _FRAME_AXES and decoded.shape[2] == self._frames:
            return decoded[:, :, self._kept]  # a copy
        return decoded.clone()

    def decoder_output(self, owner: Any, method: str, name: str) -> None:
        """What calls of the method give is told as a decoder's output."""

        def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
            def called(*arguments: Any, **options: Any) -> Any:
                result = original(*arguments, **options)
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
            names = list(inspect.signature(original).parameters)

            def forward(*arguments: Any, **options: Any) -> Any:
                result = timed(*arguments, **options)
                given = {**dict(zip(names, arguments, strict=False)), **options}  # Wan gives its mask by position
                hidden, mask = getattr(result, "last_hidden_state", None), given.get("attention_mask")
                if hidden is not None and mask is not None and mask.ndim == hidden.ndim - 1:
                    self._watch.rows(stage, hidden, mask)
                return result

            return forward

        self._wrap(encoder, "forward", wrapper)

    def _timed(self, stage: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
            def called(*arguments: Any, **options: Any) -> Any:
                with self._watch.stage(stage):
                    return original(*arguments, **options)

            return called

        return wrap

    def _wrap(self, owner: Any, name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Put a wrapper on an instance; the class and other instances stay as they are.

        Of a compiled module the compiled call is wrapped, so that the compiler sees the forward that users have.
        """
        if name == "forward" and getattr(owner, _COMPILED, None) is not None:
            name = _COMPILED
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


def _batch(inputs: Iterable[Any]) -> int:
    """For how many pictures a denoiser was asked: the length of the first of its inputs that has one."""
    for value in inputs:
        if isinstance(value, list | tuple):
            return len(value)
        if getattr(value, "ndim", 0):
            return int(value.shape[0])
    return 1


def _first(result: Any, name: str) -> Any:
    """The tensor of a diffusers result, which is a tuple or an object by the caller's choice."""
    return result[0] if isinstance(result, tuple) else getattr(result, name)
