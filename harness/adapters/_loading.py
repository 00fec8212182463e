"""Loading a pipeline of diffusers as ``load`` of a scenario says, with proof that what it turns on is at work."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from functools import wraps
from typing import TYPE_CHECKING, Any

from harness.adapters._folders import components, lacks_weights
from harness.errors import RunError, UnknownName
from harness.language import recorded
from harness.load_files import load_file
from harness.records import Load
from harness.suggestions import install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from harness.contracts import Device
    from harness.records import Compile, Lora, ModelRef

KEYS = frozenset(Load.model_fields)
"""Keys of ``load`` that are heeded here."""
_DENOISERS = ("transformer", "transformer_2", "unet", "prior")


def loaded(folder: Path, model: ModelRef, device: Device) -> Any:
    """The pipeline of a folder on the device, by ``DiffusionPipeline.from_pretrained``, without any network.

    Raises:
        RunError: ``load`` asks what the device cannot do, or what is no class of diffusers.
    """
    import torch
    from diffusers import DiffusionPipeline

    load = model.load or Load()
    options: dict[str, Any] = {
        "trust_remote_code": model.trust_remote_code,
        "torch_dtype": getattr(torch, model.dtype),
        "use_safetensors": True,
        "local_files_only": True,
    }
    options |= {name: value for name in ("variant", "device_map") if (value := getattr(load, name)) is not None}
    if load.single_file:
        pipe = _single_file(folder, load.single_file, options)
    else:
        pipe = DiffusionPipeline.from_pretrained(str(folder), **options)
    if load.device_map is not None:
        return pipe
    if load.offload in {None, "none"}:
        return pipe.to(device.torch_device)
    if device.torch_device == "cpu":
        raise RunError(
            f"load.offload: found {load.offload} on the device cpu, where nothing can wait in main memory for an "
            "accelerator; allowed is an accelerator. Change the device, or remove the key."
        )
    return pipe


def _single_file(folder: Path, file: str, options: dict[str, Any]) -> Any:
    """The pipeline of a folder, with the weights of one file for those components that have none in the folder.

    Raises:
        RunError: the folder's class is none of diffusers.
    """
    import diffusers

    lacking = dict.fromkeys(name for name in components(folder) if lacks_weights(folder / name))
    pipe = diffusers.DiffusionPipeline.from_pretrained(str(folder), **options, **lacking)
    kind = type(pipe)
    if not hasattr(kind, "from_single_file"):
        raise RunError(
            f"load.single_file: {kind.__name__} cannot be loaded from one file; allowed are pipelines with "
            "from_single_file. Remove the key, and give the weights of each component."
        )
    there = {name: part for name, part in pipe.components.items() if part is not None}
    dtype = options["torch_dtype"]
    return kind.from_single_file(
        str(folder / file), config=str(folder), torch_dtype=dtype, local_files_only=True, **there
    )


class Proofs:
    """How often what ``load`` turns on has worked, by its name; counted since it was loaded."""

    def __init__(self) -> None:
        self._counts: dict[str, Callable[[], int]] = {}

    def counted(self, name: str) -> Callable[[], None]:
        """A new counter; what is given back adds one to it."""
        count = [0]
        self._counts[name] = lambda: count[0]

        def add() -> None:
            count[0] += 1

        return add

    def read(self, name: str, count: Callable[[], int]) -> None:
        """A counter that somebody else keeps."""
        self._counts[name] = count

    def __call__(self) -> dict[str, int]:
        """All counters as they stand."""
        return {name: int(count()) for name, count in self._counts.items()}


def changed(pipe: Any, folder: Path, model: ModelRef, device: Device) -> Proofs:
    """Change a loaded pipeline as ``load`` says: scheduler, LoRA, attention, function, compiler, then offload.

    Raises:
        RunError: something cannot be done with this pipeline.
        UnknownName: there is no such scheduler, setting, backend or component.
    """
    load, proofs = model.load or Load(), Proofs()
    if load.scheduler:
        pipe.scheduler = _scheduler(pipe, load.scheduler)
    if load.lora:
        _add_lora(pipe, folder, load.lora, proofs)
    if load.attention_backend:
        _set_attention(pipe, load.attention_backend, proofs)
    if load.prepare:
        _prepare(pipe, folder, load.prepare, proofs)
    if load.compile and load.compile.enabled:
        _compile(pipe, load.compile, proofs)
    if load.offload == "model":
        pipe.enable_model_cpu_offload(device=device.torch_device)
    if load.offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device.torch_device)
    return proofs


def _scheduler(pipe: Any, wanted: Mapping[str, object]) -> Any:
    import diffusers

    own = getattr(pipe, "scheduler", None)
    if own is None:
        raise RunError("load.scheduler: this pipeline has no scheduler; allowed is no such key. Remove it.")
    kind = type(own)
    settings = {name: value for name, value in wanted.items() if name != "class"}
    if "class" in wanted:
        known = [name for name in dir(diffusers) if name.endswith("Scheduler")]
        if wanted["class"] not in known:
            raise UnknownName("scheduler of diffusers", str(wanted["class"]), known)
        kind = getattr(diffusers, str(wanted["class"]))
    names = list(inspect.signature(kind.__init__).parameters)[1:]
    for name in settings:
        if name not in names:
            raise UnknownName(f"setting of {kind.__name__}", name, names)
    return kind.from_config(own.config, **settings)


def _add_lora(pipe: Any, folder: Path, wanted: list[Lora], proofs: Proofs) -> None:
    if importlib.util.find_spec("peft") is None:
        raise RunError(f"load.lora needs the package peft, and it is not installed: {install('lora')}")
    if not hasattr(pipe, "load_lora_weights"):
        raise RunError(f"load.lora: {type(pipe).__name__} takes no LoRA weights; allowed is no such key. Remove it.")
    names = [f"lora_{number}" for number in range(len(wanted))]
    for name, lora in zip(names, wanted, strict=True):
        file = load_file(folder, lora.file, ".safetensors")
        pipe.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name=name)
    pipe.set_adapters(names, [lora.scale for lora in wanted])
    for name, lora in zip(names, wanted, strict=True):
        add = proofs.counted(f"lora {lora.file}")
        for layer in _lora_layers(pipe, name):
            layer.register_forward_hook(lambda *_, add=add: add())


def _lora_layers(pipe: Any, name: str) -> Iterable[Any]:
    """Layers that multiply by LoRA weights of a name."""
    modules = [part for part in pipe.components.values() if hasattr(part, "named_modules")]
    for module in (inner for part in modules for inner in part.modules()):
        weights = getattr(module, "lora_A", None)
        if weights is not None and name in weights:
            yield weights[name]


def _set_attention(pipe: Any, wanted: str, proofs: Proofs) -> None:
    from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry

    known = [backend.value for backend in AttentionBackendName]
    if wanted not in known:
        raise UnknownName("attention backend of diffusers", wanted, known)
    denoisers = [part for name, part in _denoisers(pipe) if hasattr(part, "set_attention_backend")]
    if not denoisers:
        raise RunError(
            f"load.attention_backend: no component of {type(pipe).__name__} that denoises has attention backends; "
            "allowed is no such key. Remove it."
        )
    for part in denoisers:
        part.set_attention_backend(wanted)
    backends, backend = _AttentionBackendRegistry._backends, AttentionBackendName(wanted)  # noqa: SLF001 - the only way
    add, attend = proofs.counted(f"attention_backend {wanted}"), backends[backend]

    @wraps(attend)
    def counted(*values: Any, **options: Any) -> Any:
        add()
        return attend(*values, **options)

    backends[backend] = counted


def _denoisers(pipe: Any) -> list[tuple[str, Any]]:
    return [(name, part) for name in _DENOISERS if (part := pipe.components.get(name)) is not None]


def _prepare(pipe: Any, folder: Path, wanted: str, proofs: Proofs) -> None:
    """Let a function of the port change the pipeline; what it gives back are counters of what it turned on."""
    file, _, name = wanted.rpartition(":")
    spec = importlib.util.spec_from_file_location("harness_prepare", load_file(folder, file, ".py"))
    if spec is None or spec.loader is None:
        raise RunError(f"load.prepare: {file} cannot be imported. Give a file that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses, among others, look for the module of a class
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        functions = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        raise UnknownName(f"function of {file}", name, functions)
    given = function(pipe)
    if given is None:
        return
    if not isinstance(given, dict) or not all(isinstance(key, str) and callable(value) for key, value in given.items()):
        raise RunError(
            f"load.prepare: {name} of {file} gave back {type(given).__name__}; allowed is nothing, or a dictionary of "
            "functions that count, by what they count. Change what it returns."
        )
    for key, count in given.items():
        proofs.read(f"prepare {key}", count)


def _compile(pipe: Any, wanted: Compile, proofs: Proofs) -> None:
    names = wanted.components or [name for name, _ in _denoisers(pipe)]
    modules = {name: part for name, part in pipe.components.items() if hasattr(part, "compile")}
    for name in names:
        if name not in modules:
            raise UnknownName(f"component of {type(pipe).__name__} with modules", name, modules)
        backend = _counting(_backend(wanted), proofs.counted(f"compile {name}"))
        modules[name].compile(backend=backend, fullgraph=wanted.fullgraph, dynamic=wanted.dynamic)


def _backend(wanted: Compile) -> Callable[..., Any]:
    """The compiler by its name; its mode goes along."""
    import torch

    if wanted.backend == "inductor":
        from torch._inductor import list_mode_options
        from torch._inductor.compile_fx import compile_fx

        patches = list_mode_options(wanted.mode) if wanted.mode not in {None, "default"} else {}
        return lambda graph, inputs: compile_fx(graph, inputs, config_patches=patches)
    known = torch._dynamo.list_backends(exclude_tags=())  # noqa: SLF001
    if wanted.backend not in known:
        raise UnknownName("backend of torch.compile", wanted.backend, ["inductor", *known])
    if wanted.mode is not None:
        raise RunError(
            f"load.compile.mode: found {wanted.mode} with the backend {wanted.backend}; allowed with inductor only. "
            "Remove one of the two."
        )
    return torch._dynamo.lookup_backend(wanted.backend)  # noqa: SLF001


def _counting(compiler: Callable[..., Any], add: Callable[[], None]) -> Callable[..., Any]:
    """A compiler whose compiled graphs are counted each time they run."""

    def compiled(graph: Any, inputs: Any) -> Any:
        run = compiler(graph, inputs)

        def counted(*values: Any) -> Any:
            add()
            return run(*values)

        # Some compilers tell the caller to give the arguments in a list that they empty.
        if getattr(run, "_boxed_call", False):
            counted._boxed_call = True  # type: ignore[attr-defined]  # noqa: SLF001
        return counted

    return compiled


def notes(load: Load | None, proofs: Mapping[str, int]) -> list[str]:
    """What a reader ought to know of how the pipeline was loaded."""
    if load is None:
        return []
    keys = ", ".join(load.model_dump(exclude_none=True))
    counted = ", ".join(proofs) or "nothing"
    return [recorded("loaded with {keys}; counted in every image: {counted}", keys=keys, counted=counted)]
