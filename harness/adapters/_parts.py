"""The modules of an object such as a pipeline, the stages they work in, and the functions between them.

For pipelines of diffusers, and for any object with torch modules among its attributes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.adapters import _pipelines
from harness.contracts import Joint
from harness.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DENOISERS = ("transformer", "unet")
DECODERS = ("vae", "movq")
"""What pipelines call the part that decodes the last latents; Kandinsky has a movq."""
OF_A_PRIOR = "prior_"
"""Begins the names of those components of a combined pipeline that make the embedding of an image."""
_GELUS: dict[str, Literal["erf", "tanh", "quick"]] = {
    "GELUActivation": "erf",
    "GELUTanh": "tanh",
    "NewGELUActivation": "tanh",
    "QuickGELUActivation": "quick",
}
"""Forms of GELU by the classes of transformers, which text encoders use between two layers."""
_FUNCTIONS = (
    "pipeline.encode_prompt",
    "pipeline.prepare_latents",
    "image_processor.preprocess",
    "vae.encode",
    "movq.encode",
    "scheduler.set_timesteps",
    "scheduler.step",
    "vae.decode",
    "movq.decode",
    "image_processor.postprocess",
)
"""Functions between modules that pipelines of diffusers have, by their owner."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What there is to look into."""

    modules: Mapping[str, Any]
    """Torch modules by component."""
    components: Mapping[str, str]
    """Component that works in a stage, by stage; ``denoising`` names the one that is called in every step."""
    joints: Sequence[Joint]
    """Functions between modules."""
    activations: Mapping[str, Literal["erf", "tanh", "quick"]]
    """Forms of GELU that are no modules, by the path of the module that computes them."""
    substitutions: Sequence[str] = ()
    """What was asked for and replaced: nothing."""
    notes: Sequence[str] = ()
    """Facts worth a line: none."""


def parts_of(pipe: Any, joints: Sequence[str] = (), denoiser: str | None = None) -> Parts:
    """The parts of a pipeline, or of any object with torch modules.

    ``joints`` are further functions between modules, by names such as ``vae.decode`` or ``mix_guidance`` that are
    looked up on the object; ``denoiser`` is the component that is called in every step, where it is neither called
    transformer nor unet.

    >>> import torch
    >>> parts_of(torch.nn.Linear(2, 2)).modules
    {'model': Linear(in_features=2, out_features=2, bias=True)}

    Raises:
        UnknownName: there is no such function or component.
    """
    modules = _modules(pipe)
    if denoiser is not None and denoiser not in modules:
        raise UnknownName(f"module of {type(pipe).__name__}", denoiser, modules)
    owners = {name: getattr(pipe, name, None) for name in ("scheduler", *DECODERS, "image_processor")}
    known = {joint.path: joint for joint in _pipelines.joints({"pipeline": pipe, **owners}, _FUNCTIONS)}
    known |= {path: _joint(pipe, path) for path in joints}
    components = {stage: name for name in reversed(modules) for stage in stages(name)}
    return Parts(
        modules=modules,
        components=components | ({"denoising": denoiser} if denoiser else {}),
        joints=list(known.values()),
        activations=dict(_activations(modules)),
    )


def _modules(pipe: Any) -> dict[str, Any]:
    if hasattr(pipe, "named_parameters"):
        return {"model": pipe}
    for named in (getattr(pipe, "components", None), getattr(pipe, "__dict__", None)):
        held = named.items() if isinstance(named, dict) else ()
        if modules := {name: part for name, part in held if hasattr(part, "named_parameters")}:
            return modules
    return {}


def _joint(pipe: Any, path: str) -> Joint:
    *owners, name = path.split(".")
    owner = pipe
    for part in owners:
        if not hasattr(owner, part):
            raise UnknownName(f"attribute of {type(owner).__name__}", part, dir(owner))
        owner = getattr(owner, part)
    if not callable(getattr(owner, name, None)):
        raise UnknownName(f"function of {type(owner).__name__}", name, dir(owner))
    return Joint(owner=owner, name=name, path=path)


def stages(component: str) -> tuple[str, ...]:
    """Stages in which a component works; a second text encoder has a stage of its own.

    >>> stages("text_encoder_2"), stages("prior_text_encoder"), stages("unet"), stages("tokenizer")
    (('text_encoding_2',), ('prior_text_encoding',), ('denoising',), ())
    """
    if component.removeprefix(OF_A_PRIOR).startswith("text_encoder"):
        return (component.replace("encoder", "encoding", 1),)
    if component.removeprefix(OF_A_PRIOR).startswith("image_encoder"):
        return (component.replace("encoder", "encoding", 1),)
    if component.startswith(DENOISERS):
        return ("denoising",)
    return ("vae_encode", "vae_decode") if component in DECODERS else ()


def _activations(modules: Mapping[str, Any]) -> Iterator[tuple[str, Literal["erf", "tanh", "quick"]]]:
    """Modules that compute a GELU between ``fc1`` and ``fc2``, as those of CLIP do, with its form."""
    for component, root in modules.items():
        for name, module in root.named_modules():
            if {"fc1", "fc2", "activation_fn"} <= dict(module.named_children()).keys():
                form = _GELUS.get(type(module.activation_fn).__name__)
                if form is not None:
                    yield f"{component}.{name}", form
