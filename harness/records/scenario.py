"""What a user writes: a scenario, with its cases, arms, limits and waivers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)

from harness.language import recordable, recorded
from harness.records.base import (
    TEXT_ALONE,
    Day,
    Id,
    Later,
    LaterRecord,
    Number,
    Reason,
    Record,
    Text,
    digested,
    json_digest,
    without_defaults,
)
from harness.records.enums import NoiseMode, NpuOps, Role, Scope, SwitchMode, Task
from harness.records.model import CommandRef, Load, ModelChange, ModelRef


class Unfitness(StrEnum):
    """Why an image is not fit to be compared; a case may expect it, with a reason."""

    FLAT = "flat"
    """It shows one colour, or nothing but faint noise on one."""
    SAME_IMAGE = "same_image"
    """It is byte for byte the image of another prompt, input image or seed."""
    NOISE = "noise"
    """It is nothing but noise, and the reference's image of the same case and seed is not."""


class Case(Record):
    """One prompt of a scenario."""

    id: Id
    """Name of the case; pairs are matched by it, never by position."""
    prompt: str = Field(min_length=1)
    """What to draw, or how to edit."""
    negative_prompt: str | None = None
    """What to avoid; left out, the pipeline's own default stands."""
    input_image: str | None = None
    """Picture to edit, relative to the scenario file; ``${VARIABLES}`` are expanded."""
    width: Annotated[int | None, Later] = Field(default=None, ge=1, le=16_384)
    """Width of this case's picture in pixels, in the place of the scenario's."""
    height: Annotated[int | None, Later] = Field(default=None, ge=1, le=16_384)
    """Height of this case's picture in pixels, in the place of the scenario's."""
    pictures_per_case: Annotated[int | None, Later] = Field(default=None, ge=1, le=64)
    """Images that one call makes for this case, in the place of the scenario's number."""
    arguments: Annotated[dict[str, JsonValue], Later] = Field(default_factory=dict)
    """Arguments of the pipeline's call for this case; they replace the scenario's of the same name."""
    expect: Annotated[dict[Unfitness, Reason] | None, Later] = None
    """What would be an error elsewhere and is expected of this case, each with its reason: ``flat``, an image of one
    colour; ``same_image``, the image of another prompt or seed; ``noise``, noise where the reference shows
    something."""


ENVIRONMENT_NAME = "^[A-Za-z_][A-Za-z0-9_]*$"
"""What names of environment variables match."""

EnvironmentName = Annotated[str, StringConstraints(pattern=ENVIRONMENT_NAME)]
"""Name of an environment variable."""


class Repeats(Record):
    """How often each case and seed is made."""

    in_process: int = Field(default=3, ge=1, le=10_000)
    """Times in one process."""
    processes: int = Field(default=2, ge=1, le=1_000)
    """Fresh processes."""


class Frames(LaterRecord):
    """A video: how many frames a call makes, and which of them are stored whole."""

    count: int = Field(ge=2, le=10_000)
    """Frames of one call (``num_frames``); every one is recorded by its digest."""
    keep: list[int] = Field(default_factory=list)
    """Numbers of the frames that are stored whole, from 1; the first, the middle and the last one when nothing is said.
    Metrics and limits on them need stored frames."""
    keep_all: bool = False
    """Whether all frames are stored whole, in the place of ``keep``."""

    @property
    def kept(self) -> list[int]:
        """Numbers of the frames that are stored whole, in their order."""
        if self.keep_all:
            return list(range(1, self.count + 1))
        return sorted({*(self.keep or (1, (self.count + 1) // 2, self.count))})


class Arm(Record):
    """One way of running the scenario."""

    name: Id
    """Name of the arm; it becomes a folder."""
    role: Role = Role.CANDIDATE
    """Whether it is validated or is what others are compared with."""
    device: str = "auto"
    """``auto``, a backend such as ``npu``, or a backend and an index such as ``npu:1``."""
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    """Overrides the model's dtype."""
    noise: NoiseMode | None = None
    """Overrides the scenario's noise."""
    switches: SwitchMode | None = None
    """Overrides the scenario's switches."""
    npu_ops: Literal[NpuOps.REFERENCE, NpuOps.HIDDEN] | None = None
    """For ``device: cpu`` on a machine with torch_npu: answer its fused operators by the harness's reference kernels,
    or hide torch_npu so that libraries take their plain branches; hidden when nothing is said."""
    repeats: Repeats | None = None
    """Overrides the scenario's repeats, for instance for a reference that takes hours."""
    threads: Annotated[int | None, Later] = Field(default=None, ge=1, le=1024)
    """Overrides the scenario's threads."""
    arguments: Annotated[dict[str, JsonValue], Later] = Field(default_factory=dict)
    """Arguments of the pipeline's call in this arm; they replace the scenario's and the cases' of the same name. Sides
    with other values are not comparable unless ``differs_in`` names ``arguments``."""
    model: Annotated[ModelChange | None, Later] = None
    """What this arm has in the place of the scenario's model. Sides that differ in this, or in one of the next five
    keys, are not comparable unless ``differs_in`` names it."""
    load: Annotated[Load | None, Later] = None
    """How this arm's pipeline is loaded; each key that is written replaces the model's."""
    options: Annotated[dict[str, JsonValue], Later] = Field(default_factory=dict)
    """Options of the adapter in this arm; they replace the model's of the same name."""
    command: Annotated[CommandRef | None, Later] = None
    """For ``adapter: command``: this arm's command in the place of the model's."""
    environment: Annotated[dict[EnvironmentName, str], Later] = Field(default_factory=dict)
    """Environment variables of this arm's worker processes, and of its commands; none that the harness sets itself."""
    python: Annotated[str | None, Later] = Field(default=None, min_length=1)
    """Python interpreter of this arm's worker processes, relative to the scenario file, such as
    ``../other-venv/bin/python``; with ``adapter: command`` what ``{python}`` stands for. ``${VARIABLES}`` are
    expanded."""
    against: Annotated[list[Id] | None, Later] = None
    """For a candidate: the reference arms it is compared with; all of them when nothing is said. An empty list is for
    an arm that no reference can be compared with, as with a device's own noise: only its repeats are judged."""
    baseline: bool = False
    """For a reference: read from the baseline store instead of being run here; ``harness run SCENARIO --arm NAME``
    makes it, on the machine it belongs to, and ``harness baseline accept`` puts it there."""

    def is_compared_with(self, reference: str) -> bool:
        """Whether a reference arm of that name is one that this candidate is compared with."""
        return self.role is Role.CANDIDATE and (self.against is None or reference in self.against)

    @model_validator(mode="after")
    def _baselines_are_references(self) -> Arm:
        if self.baseline and self.role is not Role.REFERENCE:
            raise ValueError("baseline is for references; this arm is a candidate: add 'role: reference'")
        return self

    @model_validator(mode="after")
    def _npu_ops_on_the_cpu(self) -> Arm:
        if self.npu_ops is not None and self.device.partition(":")[0] != "cpu":
            raise ValueError(f"npu_ops is for arms with device: cpu; this one has device: {self.device}")
        return self


class Evidence(Record):
    """The measurement that a limit was taken from."""

    date: Day
    """Day of the measurement, ``YYYY-MM-DD``."""
    device: str
    """Device that was measured, such as ``npu:Ascend910B2``."""
    samples: int = Field(ge=1)
    """Number of values that were measured."""
    seeds: list[int]
    """Seeds they were measured with."""
    cases: list[Id]
    """Cases they were measured on."""
    worst: Number
    """The worst of the values, in the metric's unit."""
    rule: Text = Field(min_length=1)
    """How the limit follows from the values."""
    margin: Number
    """Distance between the worst value and the limit, in the metric's unit."""

    @property
    def reason(self) -> str:
        """Why a limit with this evidence is what it is, as ``harness calibrate`` writes it."""
        return recorded("Measured by harness calibrate: {rule}.", rule=self.rule)


_RULES = {
    ("image", "at_least"): recordable("{metric:s} at least {value:g}"),
    ("image", "at_most"): recordable("{metric:s} at most {value:g}"),
    ("image", "equals"): recordable("{metric:s} equals {value:g}"),
    ("float_image", "at_least"): recordable("{metric:s} of the float output at least {value:g}"),
    ("float_image", "at_most"): recordable("{metric:s} of the float output at most {value:g}"),
    ("float_image", "equals"): recordable("{metric:s} of the float output equals {value:g}"),
    ("latents", "at_least"): recordable("{metric:s} of the latents at least {value:g}"),
    ("latents", "at_most"): recordable("{metric:s} of the latents at most {value:g}"),
    ("latents", "equals"): recordable("{metric:s} of the latents equals {value:g}"),
    ("conversion", "at_least"): recordable("{metric:s} of the conversion to 8 bits at least {value:g}"),
    ("conversion", "at_most"): recordable("{metric:s} of the conversion to 8 bits at most {value:g}"),
    ("conversion", "equals"): recordable("{metric:s} of the conversion to 8 bits equals {value:g}"),
}
"""A limit in words, by subject and bound."""


class Limit(Record):
    """A number that a measurement must keep, and why it is that number.

    Of the limits with one metric, subject and scope, the best match judges a comparison and the others do not: one
    with ``arm`` before one without; then one with ``device`` that names a product, the longer name first; then one with
    ``device`` that names a backend; then one without. Equally good matches judge together. A limit with ``ratio_to``
    judges another number, and so beside those without, never in their place.
    """

    metric: str
    """Name of the metric."""
    scope: Scope
    """Which pairs it judges."""
    arm: Id | None = None
    """Reference arm it holds for, or with ``scope: repeat`` the arm that is repeated; any when nothing is said."""
    device: str | None = None
    """Device of the actual side it holds for: a backend such as ``npu``, or a backend and the beginning of a product's
    name such as ``npu:Ascend910B``, in capitals or not; any when nothing is said."""
    ratio_to: Id | None = None
    """Another reference arm, for a dual benchmark: what is judged is the metric's value against ``arm``, divided by
    that of this arm against ``arm``."""
    subject: Literal["image", "float_image", "latents", "conversion"] = "image"
    """The 8-bit picture, the decoder's float output, the latents after the last step, or what the conversion of the
    float output to 8 bits added."""
    at_least: Number | None = None
    """Smallest value allowed."""
    at_most: Number | None = None
    """Largest value allowed."""
    equals: Number | None = None
    """Only value allowed."""
    reason: str = Field(min_length=10)
    """Where the number comes from; a limit without one is refused."""
    evidence: Evidence | None = None
    """The measurement it was taken from."""

    @model_validator(mode="after")
    def _one_bound(self) -> Limit:
        if sum(bound is not None for bound in (self.at_least, self.at_most, self.equals)) != 1:
            raise ValueError("a limit has exactly one of at_least, at_most and equals")
        return self

    @model_validator(mode="after")
    def _dual_benchmark(self) -> Limit:
        if self.ratio_to is not None and (self.scope is not Scope.REFERENCE or self.arm is None):
            raise ValueError("a limit with ratio_to has scope: reference, and an arm that both are compared with")
        if self.ratio_to is not None and (self.ratio_to == self.arm or self.at_most is None):
            raise ValueError("a limit with ratio_to names another arm than arm, and has at_most")
        return self

    @property
    def rule(self) -> str:
        """The limit in words, such as ``psnr_db at least 40``."""
        bounds = {"at_least": self.at_least, "at_most": self.at_most, "equals": self.equals}
        bound, value = next((bound, value) for bound, value in bounds.items() if value is not None)
        rule = recorded(_RULES[self.subject, bound], metric=self.metric, value=value)
        return recorded("dual_ratio to {arm:s} of {rule}", arm=self.ratio_to, rule=rule) if self.ratio_to else rule

    @property
    def why(self) -> str:
        """The reason, as a message where ``harness calibrate`` wrote it."""
        return self.evidence.reason if self.evidence and self.evidence.reason == self.reason else self.reason

    @property
    def holds_for(self) -> str:
        """Where the limit holds in words, such as ``device npu, arm cpu``; empty when it holds everywhere."""
        if self.device and self.arm:
            return recorded("device {device:s}, arm {arm:s}", device=self.device, arm=self.arm)
        if self.device:
            return recorded("device {device:s}", device=self.device)
        return recorded("arm {arm:s}", arm=self.arm) if self.arm else ""


class Waiver(Record):
    """Limits that may be broken for a while, why, and who answers for it.

    It covers broken limits only: never an error, never sides that cannot be compared, never a missing baseline.
    """

    metric: str | None = None
    """Metric whose limits it covers; every one when nothing is said."""
    scope: Scope
    """Which pairs it covers."""
    arm: Id | None = None
    """Arm on either side of the pairs it covers; any when nothing is said."""
    case: Id | None = None
    """Case it covers; any when nothing is said."""
    reason: str = Field(min_length=10)
    """Why the limits may be broken."""
    owner: str = Field(min_length=1)
    """Who answers for it."""
    expires: Day
    """Last day on which it holds, ``YYYY-MM-DD``."""

    @property
    def rule(self) -> str:
        """What it covers in words, such as ``psnr_db, reference, arm npu, case cup``."""
        metric = self.metric or "every metric"
        rule = {
            Scope.REPEAT: recorded("{metric}, repeat", metric=metric),
            Scope.REFERENCE: recorded("{metric}, reference", metric=metric),
        }[self.scope]
        if self.arm:
            rule = recorded("{rule}, arm {arm:s}", rule=rule, arm=self.arm)
        return recorded("{rule}, case {case:s}", rule=rule, case=self.case) if self.case else rule


class CalibrationSet(Record):
    """What limits are measured on; nothing of it is judged by them."""

    seeds: list[Annotated[int, Field(ge=0, le=2**63 - 1)]] = Field(min_length=2)
    """At least two seeds, none of them among the scenario's."""
    cases: list[Id] = Field(default_factory=list)
    """Cases of the scenario; all of them when nothing is said."""


class OnPurpose(StrEnum):
    """In what the two sides of a comparison may differ where the scenario says that they do so on purpose."""

    MODEL = "model"
    """What the model's loader reads, such as another revision or quantised weights; where pictures are made outside the
    worker, the adapter or the source."""
    ARGUMENTS = "arguments"
    """Arguments of the pipeline's call."""
    LOAD = "load"
    """How the pipeline is loaded: a LoRA, another scheduler, an attention backend, ``torch.compile``."""
    OPTIONS = "options"
    """Options of the adapter."""
    COMMAND = "command"
    """The command that makes the pictures."""
    ENVIRONMENT = "environment"
    """Environment variables of the arms."""
    PYTHON = "python"
    """The Python interpreter, and so the packages."""


class Scenario(Record):
    """One question, as a user writes it."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    name: Id
    """Name of the scenario; it is the file's name without ``.yaml``."""
    summary: str = Field(min_length=1)
    """One sentence for listings and the report."""
    task: Task
    """Which capability is exercised."""
    model: ModelRef
    """Which model, and how it is loaded."""
    cases: list[Case] = Field(min_length=1)
    """The prompts, each with an id."""
    seeds: list[Annotated[int, Field(ge=0, le=2**63 - 1)]] = Field(min_length=1)
    """Seeds; every case is made with each."""
    width: int = Field(default=512, ge=1, le=16_384)
    """Width of the picture in pixels; some adapters take multiples of a number only, deepgen of 32."""
    height: int = Field(default=512, ge=1, le=16_384)
    """Height of the picture in pixels; some adapters take multiples of a number only, deepgen of 32."""
    steps: int = Field(default=50, ge=1, le=1000)
    """Denoising steps."""
    guidance_scale: float = Field(default=4.0, ge=0, le=100, allow_inf_nan=False)
    """Strength of classifier-free guidance; 1 or less turns it off."""
    arguments: Annotated[dict[str, JsonValue], Later] = Field(default_factory=dict)
    """Further arguments of the pipeline's call, by the names of its parameters: numbers, texts, switches, lists and
    mappings, and ``{image: FILE}`` for an image, relative to the scenario file. Cases and arms may have their own."""
    noise: NoiseMode = NoiseMode.PORTABLE
    """Where random draws come from."""
    switches: SwitchMode = SwitchMode.DETERMINISTIC
    """Which determinism switches are set."""
    arms: list[Arm] = Field(default_factory=lambda: [Arm(name="candidate")], min_length=1)
    """Ways of running the scenario: at least one candidate, and references where there are any."""
    repeats: Repeats = Repeats()
    """How often each case and seed is made."""
    pictures_per_case: Annotated[int, Later] = Field(default=1, ge=1, le=64)
    """Images that one call of the pipeline makes (``num_images_per_prompt``), for each case and seed. Each is kept,
    compared and judged by itself."""
    frames: Annotated[Frames | None, Later] = None
    """For pipelines and folders of videos: how many frames a call makes, and which of them are stored whole."""
    threads: Annotated[int | None, Later] = Field(default=None, ge=1, le=1024)
    """CPU threads of each worker process (OMP_NUM_THREADS, MKL_NUM_THREADS); when nothing is said, a deterministic arm
    on a CPU takes all cores and every other arm what the user has set. Where it is given, the processes of an arm on a
    CPU run side by side as far as cores and memory allow."""
    time_limit_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Longest time a worker process may take in all; it is ended after that, and the run fails."""
    limits: list[Limit] = Field(default_factory=list)
    """What the measurements must keep."""
    waivers: list[Waiver] = Field(default_factory=list)
    """Limits that may be broken for a while."""
    differs_in: Annotated[dict[OnPurpose, Reason] | None, Later] = None
    """In what a candidate differs on purpose from what it is compared with, each with its reason; such a difference is
    told beside every number and bars no comparison."""
    calibration: CalibrationSet | None = None
    """What ``harness calibrate`` measures limits on."""
    scores: list[str] = Field(default_factory=list)
    """What each picture is scored by, without a reference."""
    parity_margin: float = Field(default=0.01, gt=0, lt=1, allow_inf_nan=False)
    """Largest difference of two arms' scores that counts as equivalent; 0.01 is one percentage point."""
    tags: list[Id] = Field(default_factory=list)
    """Free labels."""
    formats: Annotated[list[str], Later] = Field(default_factory=list)
    """Formats of reports that ``harness check`` writes beside its own; pictures do not depend on them, so they are no
    part of the digest."""
    translations: dict[str, dict[str, Annotated[str, StringConstraints(min_length=1)]]] = Field(default_factory=dict)
    """The summary and the reasons in other languages: by language, then by the text as written. Pictures do not depend
    on them, so they are no part of the digest."""

    @model_serializer(mode="wrap")
    def _of_one_image(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A scenario of calls that make one image is written as before calls could make several."""
        return without_defaults(self, dump(self), {"pictures_per_case", "frames"})

    def size_of(self, case: Case) -> tuple[int, int]:
        """Width and height of a case's picture, in pixels."""
        return case.width or self.width, case.height or self.height

    def pictures_of(self, case: Case) -> int:
        """Images that one call makes for a case."""
        return case.pictures_per_case or self.pictures_per_case

    def model_of(self, arm: Arm) -> ModelRef:
        """The model as an arm has it, with the arm's type."""
        model = arm.model.of(self.model) if arm.model else self.model
        load = (model.load or Load()).replaced_by(arm.load) if model.load or arm.load else None
        return model.model_copy(
            update={
                "dtype": arm.dtype or model.dtype,
                "options": {**model.options, **arm.options},
                "command": arm.command or model.command,
                "load": load,
            }
        )

    @property
    def digest(self) -> str:
        """SHA-256 of canonical JSON without translations, formats, and later fields that have their defaults."""
        dumped = self.model_dump(mode="json", exclude={"translations", "formats"}, context=TEXT_ALONE)
        return json_digest(digested(self, dumped))

    @property
    def prose(self) -> list[str]:
        """What can be translated: the summary, and the reasons of limits, waivers and differences on purpose."""
        reasons = [*(limit.why for limit in self.limits), *(waiver.reason for waiver in self.waivers)]
        return [self.summary, *reasons, *(self.differs_in or {}).values()]
