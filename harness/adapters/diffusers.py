"""Any diffusers pipeline, called by the signature of its own ``__call__``.

What a scenario asks and the pipeline cannot take is refused; what every scenario has and this pipeline has no word for,
such as a guidance scale, is named in the record.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from harness.adapters import _arguments, _loading, _pipelines
from harness.adapters._folders import components, lacks_weights, loaded_files, variant_problem
from harness.adapters._parts import DECODERS, DENOISERS, OF_A_PRIOR, parts_of, stages
from harness.errors import ModelError, RunError
from harness.images import read_input_picture
from harness.language import recorded
from harness.records import Load

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from harness.contracts import Device, Picture, Request, Watch
    from harness.records import ModelRef

OTHER_WORDS = _arguments.OTHER_WORDS
SEVERAL_PICTURES = True
FRAMES = True
SEVERAL_PARAMETER = "num_images_per_prompt"
LOADS = _loading.KEYS
parameters = _arguments.declared
_SETTINGS = ("height", "width", "num_inference_steps", "guidance_scale")
_LATENTS = "latents"


def check(folder: Path, model: ModelRef) -> None:
    """Look at a model folder without loading it.

    Raises:
        ModelError: ``model_index.json`` is no JSON object, a component that it names has no folder, a model no
            safetensors, or there are only other variants of them than ``load`` says.
    """
    load = model.load or Load()
    missing = [name for name in components(folder) if not (folder / name).is_dir()]
    if load.single_file is None:
        missing += [f"{name}/*.safetensors" for name in components(folder) if lacks_weights(folder / name)]
    elif not (folder / load.single_file).is_file():
        missing.append(f"{load.single_file}, which load.single_file names")
    if missing:
        raise ModelError(
            f"{folder} lacks {', '.join(missing)}, which its model_index.json names. Fetch the whole repository, for "
            "instance with source: hf:REPO@REV."
        )
    if load.single_file is None and (problem := variant_problem(folder, components(folder), load.variant)):
        raise ModelError(problem)


def reads(folder: Path, names: Collection[str], model: ModelRef) -> set[str]:
    """Which files of a folder the loader reads: those of the components that ``model_index.json`` names, and code.

    Raises:
        ModelError: ``model_index.json`` is no JSON object.
    """
    return loaded_files(folder, names, components(folder), model.load)


def load(folder: Path, model: ModelRef, device: Device) -> Diffusers:
    """Load the pipeline onto the device through ``DiffusionPipeline.from_pretrained``.

    Raises:
        RunError: the pipeline takes no prompt, or no generator, so its noise cannot be repeated.
    """
    pipe = _loading.loaded(folder, model, device)
    return Diffusers(pipe, model, device, _loading.changed(pipe, folder, model, device))


class Diffusers:
    """A loaded pipeline of diffusers."""

    def __init__(self, pipe: Any, model: ModelRef, device: Device, proofs: _loading.Proofs | None = None) -> None:
        self._pipe = pipe
        self._device = device
        self._load = model.load
        self.proofs = proofs or _loading.Proofs()
        self._parameters = inspect.signature(pipe.__call__).parameters
        if missing := [name for name in ("prompt", "generator") if name not in self._parameters]:
            raise RunError(
                f"{self._name} does not take {', '.join(missing)} (only {', '.join(self._parameters)}), so it cannot "
                "be told what to make, or its pictures cannot be repeated."
            )
        parts = parts_of(pipe)
        self.modules, self.components = parts.modules, parts.components
        self.joints, self.activations = parts.joints, parts.activations
        self.substitutions = self._substitutions(model)
        self._given: set[str] = set()

    @property
    def notes(self) -> list[str]:
        """What a reader ought to know of the pipeline."""
        notes = [_pipelines.signature_note(self._pipe), *_loading.notes(self._load, self.proofs())]
        if (scheduler := getattr(self._pipe, "scheduler", None)) is not None:
            notes.append(_pipelines.scheduler_note(scheduler))
        strength = self._parameters.get("strength")
        if strength is not None and "strength" not in self._given:
            notes.append(
                recorded(
                    "strength: {share}, the pipeline's own; it makes that share of the steps", share=strength.default
                )
            )
        return notes

    @property
    def _name(self) -> str:
        return type(self._pipe).__name__

    def check_request(self, request: Request) -> None:
        """Look at a request without making anything.

        Raises:
            RunError: it asks what the pipeline cannot take.
            UnknownName: the pipeline has no such argument.
        """
        self._arguments(request)
        self._given |= set(request.arguments)

    def generate(self, request: Request, watch: Watch) -> Picture:
        """Make one picture as a user of the pipeline does.

        Raises:
            RunError: the request asks what the pipeline cannot take, or what it returns is not one RGB picture.
        """
        return _pipelines.only(self.generate_several(request, watch))

    def generate_frames(self, request: Request, watch: Watch) -> Iterator[Picture]:
        """Call the pipeline once for all frames of a video.

        Raises:
            RunError: the request asks what the pipeline cannot take, or what it returns is no video of RGB frames.
        """
        made, taps = self._called(request, watch)
        return _pipelines.frames(made, taps.decoded, sorted(request.kept_frames))

    def generate_several(self, request: Request, watch: Watch) -> list[Picture]:
        """Call the pipeline once for all pictures of a request; stages are seen by wrapping what it calls.

        Raises:
            RunError: the request asks what the pipeline cannot take, or what it returns is no RGB picture.
        """
        made, taps = self._called(request, watch)
        _refuse_replaced(made)
        return _pipelines.pictures(made, taps.decoded)

    def _called(self, request: Request, watch: Watch) -> tuple[Any, _pipelines.Taps]:
        """What the pipeline returns, and what was seen meanwhile."""
        arguments = self._arguments(request)
        arguments["generator"] = _pipelines.seeded(request.seed, self._device, watch)
        with _pipelines.Taps(watch, request.pictures, request.frames, sorted(request.kept_frames)) as taps:
            for name, module in self.modules.items():
                self._tap(taps, name, module)
            taps.schedule(getattr(self._pipe, "scheduler", None))
            arguments |= self._steps(taps, watch)
            made = _pipelines.call(self._pipe, taps, watch, request, arguments)
        return made, taps

    def _tap(self, taps: _pipelines.Taps, name: str, module: Any) -> None:
        part = name.removeprefix(OF_A_PRIOR)
        if part.startswith("text_encoder"):
            taps.text(module, *stages(name))
        elif part.startswith("image_encoder"):
            taps.stage(module, "forward", *stages(name))
        elif name.startswith(DENOISERS):
            taps.denoiser(module)
        elif name in DECODERS:
            taps.decoder(module, name)
            taps.stage(module, "encode", "vae_encode")
        elif callable(getattr(module, "decode", None)):
            taps.decoder_output(module, "decode", name)

    def _steps(self, taps: _pipelines.Taps, watch: Watch) -> dict[str, Any]:
        """The callback that tells the latents after each step; the scheduler is tapped where there is none."""
        offered = getattr(self._pipe, "_callback_tensor_inputs", [])
        if "callback_on_step_end" not in self._parameters or _LATENTS not in offered:
            taps.scheduler(getattr(self._pipe, "scheduler", None))
            return {}

        def pass_on(_pipe: Any, _step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            watch.step(tensors[_LATENTS])
            return tensors

        return {"callback_on_step_end": pass_on}

    def _arguments(self, request: Request) -> dict[str, Any]:
        self._refuse(request)
        settings: dict[str, Any] = {
            "height": request.height,
            "width": request.width,
            "num_inference_steps": request.steps,
            "guidance_scale": request.guidance_scale,
        }
        arguments = {name: value for name, value in settings.items() if name in self._parameters}
        arguments["prompt"] = request.prompt
        if request.negative_prompt is not None:
            arguments["negative_prompt"] = request.negative_prompt
        if request.input_image is not None:
            arguments["image"] = read_input_picture(request.input_image)
        if request.frames is not None:
            arguments[_pipelines.COUNT_OF_FRAMES] = request.frames
            # As users save frames; the floats of output_type np would have to be converted by a formula of our own.
            arguments |= {"output_type": "pil"} if "output_type" in self._parameters else {}
        if request.pictures > 1:
            arguments[SEVERAL_PARAMETER] = request.pictures
        return arguments | _arguments.checked(self._pipe, request.arguments)

    def _refuse(self, request: Request) -> None:
        if request.input_image is not None and "image" in request.arguments:
            raise RunError(
                f"case {request.case}: found an input_image and an argument image; allowed is one of them. Remove one."
            )
        _pipelines.require_kind(self._pipe, request.frames)
        if request.pictures > 1 and SEVERAL_PARAMETER not in self._parameters:
            raise RunError(
                recorded(
                    "pictures_per_case: found {count:d}; allowed is 1, because {pipeline} has no parameter "
                    "num_images_per_prompt. It takes {names}. Remove pictures_per_case.",
                    count=request.pictures,
                    pipeline=self._name,
                    names=", ".join(self._parameters),
                )
            )
        asked = {"negative_prompt": request.negative_prompt, "image": request.input_image}
        refused = [name for name, value in asked.items() if value is not None and name not in self._parameters]
        if refused:
            raise RunError(
                f"{self._name} does not take {', '.join(refused)}; it takes {', '.join(self._parameters)}. "
                + (self._other_names() if "image" in refused else "")
                + "Leave it out of the case, or give a model whose pipeline takes it."
            )
        true_scale = self._parameters.get("true_cfg_scale")
        scale = request.arguments.get("true_cfg_scale", true_scale.default if true_scale else None)
        if request.negative_prompt is not None and isinstance(scale, int | float) and scale <= 1:
            raise RunError(
                f"{self._name} ignores a negative prompt unless true_cfg_scale is above 1, and it is {scale:g}. Leave "
                "the negative prompt out, or write 'arguments: {true_cfg_scale: 4.0}'."
            )

    def _other_names(self) -> str:
        """How to give an image that the call takes by another name; empty where it has no such name."""
        names = [name for name in self._parameters if "image" in name and name not in OTHER_WORDS]
        words = ", ".join(f"'{name}: {{image: FILE}}'" for name in names if not name.endswith("embeds"))
        return f"Images that it has other names for stand under 'arguments:', as in {words}. " if words else ""

    def _substitutions(self, model: ModelRef) -> list[str]:
        own = [name for name in _SETTINGS if name not in self._parameters]
        messages = []
        if own:
            messages.append(
                recorded(
                    "{pipeline} does not take {names}, so it uses its own", pipeline=self._name, names=", ".join(own)
                )
            )
        if model.attention != "sdpa":
            messages.append(
                recorded(
                    "attention: {name} was asked for; the adapter diffusers leaves every component the attention that "
                    "it chooses itself",
                    name=model.attention,
                )
            )
        return messages


def _refuse_replaced(made: Any) -> None:
    """Stop where a safety checker put a black image in the place of the one that was made.

    Raises:
        RunError: says so.
    """
    flags = getattr(made, "nsfw_content_detected", None)
    if flags and any(flags):
        raise RunError(
            recorded(
                "the pipeline's safety checker replaced the image by a black one (nsfw_content_detected), so nothing "
                "of it can be compared. Change the prompt, or take the safety checker out of model_index.json."
            )
        )
