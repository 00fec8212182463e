"""DeepGen-1.0 in its diffusers layout: the checkpoint's own pipeline file, and the parts it loads by itself.

``model_index.json`` registers transformer, VAE and scheduler; language model, connector and tokenizer come in through
the pipeline's ``_load_extras``. The pipeline file is the checkpoint's, so the call's signature is looked at rather
than known: a ``generator`` may not be accepted, and ``seed`` may be called otherwise.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

from harness.adapters import _arguments, _loading, _pipelines
from harness.adapters._folders import components, loaded_files
from harness.errors import ModelError, RunError
from harness.images import read_input_picture
from harness.language import recorded

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from harness.contracts import Device, Picture, Request, Watch
    from harness.records import ModelRef

_FOLDERS = ("transformer", "vae", "scheduler", "connector", "vlm", "tokenizer")
_WEIGHTS = ("transformer", "vae", "connector", "vlm")
OTHER_WORDS = _arguments.OTHER_WORDS
LOADS = _loading.KEYS - {"variant", "single_file", "device_map", "offload"}
parameters = _arguments.declared
SIZE_MULTIPLE = 32
_COMPONENTS = {
    "text_encoding": "vlm",
    "image_encoding": "vlm",
    "conditioning": "connector",
    "denoising": "transformer",
    "vae_encode": "vae",
    "vae_decode": "vae",
}
_FUNCTIONS = (
    "pipeline.prepare_text2image_prompts",
    "pipeline.prepare_image2image_prompts",
    "pipeline.get_semantic_features_dynamic",
    "pipeline.prepare_forward_input",
    "pipeline._encode",
    "vlm.model.get_rope_index",
    "connector.llm2dit",
    "pipeline._draw_noise",
    "pipeline._reference_pixels",
    "pipeline._reference_latents",
    "pipeline.pixels_to_latents",
    "vae.encode",
    "scheduler.set_timesteps",
    "pipeline._denoise",
    "scheduler.step",
    "pipeline.latents_to_pixels",
    "vae.decode",
    "pipeline file._to_pictures",
)
"""Functions between modules, by their owner; a pipeline file that has other ones is traced by its modules alone."""


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


def reads(folder: Path, names: Collection[str], model: ModelRef) -> set[str]:
    """Which files of a folder the loader reads: its parts, and all that the pipeline file may read beside them.

    Raises:
        ModelError: ``model_index.json`` is no JSON object.
    """
    return loaded_files(folder, names, {*_FOLDERS, *components(folder)}, model.load)


def load(folder: Path, model: ModelRef, device: Device) -> DeepGen:
    """Load the pipeline onto the device through ``DiffusionPipeline.from_pretrained``, then its extra parts.

    Raises:
        RunError: the pipeline file offers neither ``seed`` nor ``generator``, so its noise cannot be repeated.
    """
    pipe = _loading.loaded(folder, model, device)
    attention, substitutions = attention_on(device.torch_device, model.attention)
    if hasattr(pipe, "_load_extras"):
        pipe._load_extras(attn_implementation=attention)  # noqa: SLF001 - the pipeline's only way to load them
    proofs = _loading.changed(pipe, folder, model, device)
    return DeepGen(pipe, device, substitutions, proofs, _loading.notes(model.load, proofs()))


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
    message = recorded(
        "flash_attention_2 was asked for and sdpa runs on {device}, where there is no flash_attn package. This is more "
        "than rounding: the two leave different values in padded rows, and the connector reads those rows without a "
        "mask. The padded rows are therefore traced apart from the real ones.",
        device=kind,
    )
    return "sdpa", [message]


class DeepGen:
    """A loaded DeepGen pipeline."""

    components = _COMPONENTS

    def __init__(
        self,
        pipe: Any,
        device: Device,
        substitutions: Sequence[str] = (),
        proofs: _loading.Proofs | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.substitutions = substitutions
        self.proofs = proofs or _loading.Proofs()
        self._pipe = pipe
        self._device = device
        self._accepted = frozenset(inspect.signature(pipe.__call__).parameters)
        if not self._accepted & {"seed", "generator"}:
            raise RunError(
                f"{type(pipe).__name__} takes neither seed nor generator (only {', '.join(sorted(self._accepted))}), "
                "so no two of its pictures can be expected to agree."
            )
        extras = {"vlm": getattr(pipe, "lmm", None), "connector": getattr(pipe, "connector_module", None)}
        modules = {"transformer": pipe.transformer, "vae": pipe.vae, **extras}
        self.modules = {name: module for name, module in modules.items() if module is not None}
        owners = {"pipeline": pipe, "pipeline file": sys.modules[type(pipe).__module__], "scheduler": pipe.scheduler}
        owners |= self.modules | {"vlm.model": getattr(self.modules.get("vlm"), "model", None)}
        self.joints = _pipelines.joints(owners, _FUNCTIONS)
        self.activations = _activations(self.modules.get("connector"))
        self.notes = [
            _pipelines.signature_note(pipe),
            _pipelines.scheduler_note(pipe.scheduler),
            *notes,
        ]

    def generate(self, request: Request, watch: Watch) -> Picture:
        """Make one picture; stages and steps are seen by wrapping what the pipeline calls."""
        arguments = self._arguments(request) | self._seeding(request.seed, watch)
        pipe = self._pipe
        language = getattr(pipe, "lmm", None)
        with _pipelines.Taps(watch) as taps:
            taps.denoiser(pipe.transformer)
            taps.schedule(pipe.scheduler)
            taps.scheduler(pipe.scheduler)
            taps.decoder(pipe.vae)
            taps.stage(pipe.vae, "encode", "vae_encode")
            taps.stage(getattr(language, "visual", None), "forward", "image_encoding")
            taps.text(getattr(language, "language_model", None), "text_encoding")
            taps.stage(getattr(pipe, "connector_module", None), "llm2dit", "conditioning")
            made = _pipelines.call(pipe, taps, watch, request, arguments)
        return _pipelines.only(_pipelines.pictures(made, taps.decoded))

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
        return offered | _arguments.checked(self._pipe, request.arguments)

    def check_request(self, request: Request) -> None:
        """Look at a request without making anything.

        Raises:
            RunError: it asks what the pipeline cannot take.
            UnknownName: the pipeline has no such argument.
        """
        self._arguments(request)

    def _seeding(self, seed: int, watch: Watch) -> dict[str, Any]:
        if "seed" in self._accepted:
            return {"seed": seed}
        return {"generator": _pipelines.seeded(seed, self._device, watch)}


def _activations(connector: Any) -> dict[str, str]:
    """Modules of the connector that compute a tanh GELU between two layers without a module for it."""
    named = [] if connector is None else connector.named_modules()
    return {f"connector.{name}": "tanh" for name, module in named if type(module).__name__ == "ConnectorMLP"}
