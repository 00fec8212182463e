"""Which model a scenario runs, how it is loaded, and what an arm has in the place of that."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from harness.records.base import Digest, Later, LaterRecord, Record

FUNCTION = r"^.+\.py:[A-Za-z_][A-Za-z0-9_]*$"
"""What a Python file and a function of it match."""
VARIANT = "^[A-Za-z0-9][A-Za-z0-9_-]*$"
"""What the name of a variant of weights matches."""

Function = Annotated[str, StringConstraints(pattern=FUNCTION)]
"""A Python file and a function of it."""
Variant = Annotated[str, StringConstraints(pattern=VARIANT)]
"""The name of a variant of weights."""


class CommandRef(Record):
    """A command that makes one picture; it runs with the user's rights, and only where the user allowed it."""

    words: list[str] = Field(min_length=1)
    """Program and arguments; no shell reads them. In braces: ``{python}``, ``{prompt}``, ``{negative_prompt}``,
    ``{input_image}``, ``{seed}``, ``{width}``, ``{height}``, ``{steps}``, ``{guidance_scale}``, ``{device}``,
    ``{dtype}``, ``{arm}`` and ``{output}``."""
    output: str | None = None
    """Picture that the command writes by itself, relative to the source, where no word has ``{output}``."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables beside those that are set already."""
    time_limit_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Longest time for one picture; the command is ended after that, with all it started."""


class SchedulerRef(LaterRecord):
    """A scheduler in the place of the model's."""

    name: str | None = None
    """Class of diffusers, such as ``EulerDiscreteScheduler``; the model's own class when left out."""
    config: dict[str, JsonValue] = Field(default_factory=dict)
    """Settings that replace those of the model's scheduler."""


class Lora(LaterRecord):
    """LoRA weights."""

    file: str
    """A ``.safetensors`` file, relative to the scenario file; ``${VARIABLES}`` are expanded."""
    scale: float = Field(default=1.0, ge=-100, le=100, allow_inf_nan=False)
    """Strength of these weights."""


class Compile(LaterRecord):
    """Components that ``torch.compile`` compiles."""

    enabled: bool = True
    """Whether anything is compiled; ``false`` in an arm turns the model's compiler off."""
    components: list[str] = Field(default_factory=list)
    """Names of components, such as ``transformer``; the one that denoises when nothing is said."""
    backend: str = "inductor"
    """Backend of ``torch.compile``."""
    mode: str | None = None
    """Mode of ``torch.compile``, such as ``max-autotune``."""
    fullgraph: bool = False
    """Whether a part that cannot be compiled is an error."""
    dynamic: bool | None = None
    """Whether sizes may change without compiling again; torch decides when nothing is said."""


class Load(LaterRecord):
    """How a pipeline of diffusers is loaded, beyond its folder and its type."""

    variant: Variant | None = None
    """Variant of the weights, such as ``fp16`` for files that end in ``.fp16.safetensors``."""
    revision: str | None = Field(default=None, min_length=1)
    """Revision of a repository of a hub, for a source that is written without ``@REV``."""
    subfolder: str | None = Field(default=None, min_length=1)
    """Folder of the source that holds ``model_index.json``."""
    single_file: str | None = Field(default=None, min_length=1)
    """A ``.safetensors`` file of the source folder, as original checkpoints are: it holds the weights of those
    components that have none in the folder."""
    scheduler: SchedulerRef | None = None
    """A scheduler in the place of the model's."""
    lora: list[Lora] | None = None
    """LoRA weights, all of them active together."""
    device_map: str | None = Field(default=None, min_length=1)
    """Where the components are put, such as ``balanced``, as ``device_map`` of ``from_pretrained``."""
    offload: Literal["none", "model", "sequential"] | None = None
    """Whether components wait in main memory until they are called: whole models, or their layers."""
    attention_backend: str | None = Field(default=None, min_length=1)
    """Attention backend of diffusers for the component that denoises, such as ``native`` or ``_native_npu``."""
    compile: Compile | None = None
    """What ``torch.compile`` compiles."""
    prepare: Function | None = None
    """``FILE.py:FUNCTION``, relative to the scenario file: a function that gets the loaded pipeline and changes it. It
    runs with the user's rights, and only where the user allowed it."""

    def replaced_by(self, own: Load | None) -> Load:
        """The same with what another one sets in the place of it."""
        return self if own is None else self.model_copy(update={name: getattr(own, name) for name in _set(own)})


class ModelRef(Record):
    """Which model, and how it is loaded."""

    adapter: str = "deepgen"
    """Name of the adapter that loads and calls it."""
    source: str
    """``builtin:NAME``, a folder relative to the scenario file, ``hf:REPO@REV`` or ``modelscope:REPO@REV``;
    ``${VARIABLES}`` are expanded."""
    dtype: Literal["float32", "float16", "bfloat16"] = "bfloat16"
    """Type of weights and activations."""
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    """Attention implementation of the language model; on NPU and CPU sdpa takes the place of flash_attention_2."""
    trust_remote_code: bool = False
    """Whether Python files of the model folder may run; without it a folder that has any is refused."""
    code_sha256: dict[str, Digest] | None = None
    """SHA-256 of each Python file of the model folder; when given, any other file or content is refused."""
    pictures: str | None = None
    """For ``adapter: images``: file of a picture below the source, with ``{arm}``, ``{case}``, ``{seed}``,
    ``{process}`` and ``{repeat}``; ``{case}/{seed}.png`` when left out."""
    command: CommandRef | None = None
    """For ``adapter: command``: what is run in the source folder for each picture."""
    options: Annotated[dict[str, JsonValue], Later] = Field(default_factory=dict)
    """Options of the adapter, which declares and checks them."""
    load: Annotated[Load | None, Later] = None
    """How the pipeline is loaded, beyond its folder and its type."""


class ModelChange(LaterRecord):
    """What an arm has in the place of the model's."""

    adapter: str | None = None
    """Name of another adapter; the model's command, pictures, options and load are then not those of this arm."""
    source: str | None = None
    """Another source."""
    attention: Literal["sdpa", "eager", "flash_attention_2"] | None = None
    """Another attention implementation of the language model."""
    trust_remote_code: bool | None = None
    """Whether Python files of this arm's model folder may run."""
    code_sha256: dict[str, Digest] | None = None
    """SHA-256 of each Python file of this arm's model folder."""
    pictures: str | None = None
    """Another template of picture files, for ``adapter: images``."""

    def of(self, model: ModelRef) -> ModelRef:
        """The model as this arm has it."""
        kept = model
        if self.adapter not in {None, model.adapter}:
            kept = ModelRef(source=model.source, dtype=model.dtype, attention=model.attention)
        if self.source is not None:  # what is pinned is the code of another folder
            kept = kept.model_copy(update={"code_sha256": None})
        return kept.model_copy(update={name: getattr(self, name) for name in _set(self)})


def _set(record: Record) -> list[str]:
    """Names of the fields that say something."""
    return [name for name in type(record).model_fields if getattr(record, name) is not None]
