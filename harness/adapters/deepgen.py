"""DeepGen-1.0 in its diffusers layout: the checkpoint's own pipeline file, and the parts it loads by itself.

``model_index.json`` registers transformer, VAE and scheduler; language model, connector and tokenizer come in through
the pipeline's ``_load_extras``. The pipeline file is the checkpoint's, so the call's signature is looked at rather
than known: a ``generator`` may not be accepted, and ``seed`` may be called otherwise.
"""

from __future__ import annotations

import inspect
import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contracts import Picture
from harness.errors import ModelError, RunError
from harness.images import read_input_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from harness.contracts import Device, Request, Watch
    from harness.records import ModelRef

_FOLDERS = ("transformer", "vae", "scheduler", "connector", "vlm", "tokenizer")
_WEIGHTS = ("transformer", "vae", "connector", "vlm")
_COMPONENTS = {
    "text_encoding": "vlm",
    "image_encoding": "vlm",
    "conditioning": "connector",
    "denoising": "transformer",
    "vae_encode": "vae",
    "vae_decode": "vae",
}


def check(folder: Path, model: ModelRef) -> None:
    """Look at a model folder without loading it.

    Raises:
        ModelError: a part of the DeepGen-1.0-diffusers layout is missing.
    """
    del model
    missing = [name for name in _FOLDERS if not (folder / name).is_dir()]
    missing += [f"{name}/*.safetensors" for name in _WEIGHTS if not list((folder / name).glob("*.safetensors"))]
    if missing:
        raise ModelError(
            f"{folder} lacks {', '.join(missing)} of the DeepGen-1.0-diffusers layout. diffusers downloads only the "
            "folders that model_index.json names; fetch the whole repository, for instance with source: hf:REPO@REV."
        )


def load(folder: Path, model: ModelRef, device: Device) -> DeepGen:
    """Load the pipeline onto the device through ``DiffusionPipeline.from_pretrained``, then its extra parts.

    Raises:
        RunError: the pipeline file offers neither ``seed`` nor ``generator``, so its noise cannot be repeated.
    """
    import torch
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(
        str(folder),
        trust_remote_code=model.trust_remote_code,
        torch_dtype=getattr(torch, model.dtype),
        use_safetensors=True,
        local_files_only=True,
    )
    pipe = pipe.to(device.torch_device)
    attention, substitutions = attention_on(device.torch_device, model.attention)
    if hasattr(pipe, "_load_extras"):
        pipe._load_extras(attn_implementation=attention)  # noqa: SLF001 - the pipeline's only way to load them
    return DeepGen(pipe, device, substitutions)


def attention_on(device: str, wanted: str) -> tuple[str, list[str]]:
    """The attention implementation that the device can run, and what its choice means.

    The language model alone could run flash attention on an NPU, through transformers' npu_fusion_attention; the
    connector's class for it imports the flash_attn package, which is CUDA's.

    >>> attention_on("npu:0", "flash_attention_2")[0]
    'sdpa'
    """
    kind = device.partition(":")[0]
    if wanted != "flash_attention_2" or kind == "cuda":
        return wanted, []
    words = (
        f"flash_attention_2 was asked for and sdpa runs on {kind}, where there is no flash_attn package. This is more "
        "than rounding: the two leave different values in padded rows, and the connector reads those rows without a "
        "mask. The padded rows are therefore traced apart from the real ones."
    )
    return "sdpa", [words]


class DeepGen:
    """A loaded DeepGen pipeline."""

    components = _COMPONENTS

    def __init__(self, pipe: Any, device: Device, substitutions: Sequence[str] = ()) -> None:
        self.substitutions = substitutions
        self._pipe = pipe
        self._device = device
        self._accepted = frozenset(inspect.signature(pipe.__call__).parameters)
        if not self._accepted & {"seed", "generator"}:
            raise RunError(
                f"{type(pipe).__name__} takes neither seed nor generator (only {', '.join(sorted(self._accepted))}), "
                "so no two of its pictures can be expected to agree."
            )
        extras = {"vlm": getattr(pipe, "lmm", None), "connector": getattr(pipe, "connector_module", None)}
        found = {"transformer": pipe.transformer, "vae": pipe.vae, **extras}
        self.modules = {name: module for name, module in found.items() if module is not None}
        self.notes = [
            f"pipeline: {type(pipe).__name__}({', '.join(inspect.signature(pipe.__call__).parameters)})",
            f"scheduler: {type(pipe.scheduler).__name__} {_brief(pipe.scheduler.config)}",
        ]

    def generate(self, request: Request, watch: Watch) -> Picture:
        """Make one picture; stages and steps are seen by wrapping what the pipeline calls."""
        arguments = self._arguments(request)
        with _watched(self._pipe, watch, request.steps) as taps:
            made = self._pipe(**arguments)
        image = made.images[0]
        if getattr(image, "mode", None) != "RGB":
            raise RunError(f"the pipeline returned {type(image).__name__} {getattr(image, 'mode', '')}; expected RGB.")
        float_image, dtype = _float_image(taps.decoded)
        return Picture(image=np.array(image, dtype=np.uint8), float_image=float_image, float_image_dtype=dtype)

    def _arguments(self, request: Request) -> dict[str, Any]:
        offered: dict[str, Any] = {
            "prompt": request.prompt,
            "height": request.height,
            "width": request.width,
            "num_inference_steps": request.steps,
            "guidance_scale": request.guidance_scale,
        }
        if request.negative_prompt is not None:
            offered["negative_prompt"] = request.negative_prompt
        if request.input_image is not None:
            offered["image"] = read_input_picture(request.input_image)
        refused = sorted(set(offered) - self._accepted)
        if refused:
            raise RunError(
                f"{type(self._pipe).__name__} does not take {', '.join(refused)}; "
                f"it takes {', '.join(sorted(self._accepted))}."
            )
        return offered | self._seeding(request.seed)

    def _seeding(self, seed: int) -> dict[str, Any]:
        if "seed" in self._accepted:
            return {"seed": seed}
        import torch

        return {"generator": torch.Generator(self._device.torch_device).manual_seed(seed)}


@contextmanager
def _watched(pipe: Any, watch: Watch, steps: int) -> Iterator[_Taps]:
    """Wrap the methods a pipeline calls for as long as one picture takes."""
    language = getattr(pipe, "lmm", None)
    with ExitStack() as undo, ExitStack() as denoising:
        taps = _Taps(watch, steps, denoising)
        _wrap(undo, pipe.transformer, "forward", taps.first_forward)
        _wrap(undo, pipe.scheduler, "step", taps.each_step)
        _wrap(undo, pipe.vae, "decode", taps.decode)
        _wrap(undo, pipe.vae, "encode", taps.timed("vae_encode"))
        _wrap(undo, getattr(language, "visual", None), "forward", taps.timed("image_encoding"))
        _wrap(undo, getattr(language, "language_model", None), "forward", taps.text_encoding)
        _wrap(undo, getattr(pipe, "connector_module", None), "llm2dit", taps.timed("conditioning"))
        yield taps


class _Taps:
    """Wrappers that tell a watch what passes through; denoising lasts from the first forward to the last step."""

    def __init__(self, watch: Watch, steps: int, denoising: ExitStack) -> None:
        self.decoded: Any = None
        self._watch = watch
        self._steps_left = steps
        self._denoising = denoising
        self._begun = False

    def first_forward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*words: Any, **options: Any) -> Any:
            if not self._begun:
                self._begun = True
                self._denoising.enter_context(self._watch.stage("denoising"))
            return original(*words, **options)

        return forward

    def each_step(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def step(*words: Any, **options: Any) -> Any:
            result = original(*words, **options)
            self._watch.step(_first(result, "prev_sample"))
            self._steps_left -= 1
            if not self._steps_left:
                self._denoising.close()
            return result

        return step

    def decode(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def decode(*words: Any, **options: Any) -> Any:
            with self._watch.stage("vae_decode"):
                result = original(*words, **options)
            self.decoded = _first(result, "sample").detach().clone()
            return result

        return decode

    def text_encoding(self, original: Callable[..., Any]) -> Callable[..., Any]:
        timed = self.timed("text_encoding")(original)

        def forward(*words: Any, **options: Any) -> Any:
            result = timed(*words, **options)
            hidden, mask = getattr(result, "last_hidden_state", None), options.get("attention_mask")
            if hidden is not None and mask is not None and mask.ndim == hidden.ndim - 1:
                self._watch.rows("text_encoding", hidden, mask)
            return result

        return forward

    def timed(self, stage: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
            def called(*words: Any, **options: Any) -> Any:
                with self._watch.stage(stage):
                    return original(*words, **options)

            return called

        return wrap


def _first(result: Any, name: str) -> Any:
    """The tensor of a diffusers result, which is a tuple or an object by the caller's choice."""
    return result[0] if isinstance(result, tuple) else getattr(result, name)


def _wrap(undo: ExitStack, owner: Any, name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put a wrapper on an instance until the stack closes; the class and other instances stay as they are."""
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

    undo.callback(restore)


def _float_image(decoded: Any) -> tuple[Any, str | None]:
    """The decoder's output as float32[H, W, 3], an exact upcast, and the type it was computed in."""
    if decoded is None:
        return None, None
    import torch

    array = decoded[0].to(device="cpu", dtype=torch.float32).permute(1, 2, 0).contiguous().numpy()
    return array, str(decoded.dtype).removeprefix("torch.")


def _brief(config: Any) -> str:
    kept = {name: config[name] for name in ("shift", "num_train_timesteps", "use_dynamic_shifting") if name in config}
    return json.dumps(kept, sort_keys=True)
