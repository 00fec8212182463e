"""Every noun the harness writes to disk or reads back; frozen, versioned, strict.

Files hold strict JSON: a number that is not finite is written as ``"inf"``, ``"-inf"`` or ``"nan"`` and read back as
that number. Unknown fields are refused, so a record from another version never loads as a half-empty one. Order of
fields is part of the format.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    model_validator,
)

from harness.errors import RecordError
from harness.language import recordable, recorded
from harness.yaml_tree import quoted, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SCHEMA_VERSION = 1
"""Version written into every file; a reader refuses any other."""

RUN_FILE = "run.json"
"""Name of a run's record in its folder."""

MANIFEST_FILE = "manifest.json"
"""Name of a baseline's manifest in its folder."""


def _from_json(value: Any) -> Any:
    return {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}.get(value, value) if isinstance(value, str) else value


def _to_json(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")


Number = Annotated[float, BeforeValidator(_from_json), PlainSerializer(_to_json, when_used="json")]
"""A float that survives strict JSON even when it is not finite."""

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""An identifier that is safe as a folder name on every system."""

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in hexadecimal."""

Reason = Annotated[str, StringConstraints(min_length=10)]
"""Why something may be as it is, in a few words."""

Day = date
"""A day of the calendar; in files ``YYYY-MM-DD``."""


class Record(BaseModel):
    """Base of every record: frozen, no unknown fields, sentences under the fields as descriptions."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, strict=False, defer_build=True
    )


# --- words -----------------------------------------------------------------------------------------------------------


class Task(StrEnum):
    """The five capabilities of the note this report replaces."""

    TEXT_TO_IMAGE = "text_to_image"
    IMAGE_EDITING = "image_editing"
    REASONING_GENERATION = "reasoning_generation"
    REASONING_EDITING = "reasoning_editing"
    TEXT_RENDERING = "text_rendering"

    @property
    def edits(self) -> bool:
        """Whether the task needs an input picture."""
        return self in {Task.IMAGE_EDITING, Task.REASONING_EDITING}


class NoiseMode(StrEnum):
    """Where random draws come from."""

    PORTABLE = "portable"
    """Drawn by the harness, the same numbers on every device, and injected."""
    DEVICE = "device"
    """Drawn by the device's own generator, as users get it."""
    BASELINE = "baseline"
    """Taken from a baseline and injected; a scenario asks for it by an arm with ``baseline: true``."""
    UNVERIFIED = "unverified"
    """Not known: the pictures are made outside the worker, by a command or before the run."""


class SwitchMode(StrEnum):
    """Which determinism switches are set."""

    DETERMINISTIC = "deterministic"
    """All that the backend knows."""
    AS_SHIPPED = "as_shipped"
    """None: what users get."""


class NpuOps(StrEnum):
    """How calls to the fused operators of torch_npu are answered; libraries choose them because it is installed."""

    NATIVE = "native"
    """By the card."""
    REFERENCE = "reference"
    """By the harness's own CPU kernels: libraries take the same branches as on the card."""
    HIDDEN = "hidden"
    """Not called: torch_npu is installed but hidden from the libraries, which take their plain branches."""
    ABSENT = "absent"
    """Not called: torch_npu is not installed."""


class Role(StrEnum):
    """What an arm is for."""

    CANDIDATE = "candidate"
    """What is validated."""
    REFERENCE = "reference"
    """What it is compared with."""


class Scope(StrEnum):
    """Which kind of pair a limit judges."""

    REPEAT = "repeat"
    """Samples of one arm that ought to be the same."""
    REFERENCE = "reference"
    """A candidate against a reference."""


class Status(StrEnum):
    """The words of a verdict."""

    IDENTICAL = "identical"
    WITHIN_LIMITS = "within_limits"
    DRIFT = "drift"
    UNSTABLE = "unstable"
    NOT_COMPARABLE = "not_comparable"
    MISSING_BASELINE = "missing_baseline"
    ERROR = "error"
    WAIVED = "waived"
    SKIPPED = "skipped"


EXIT_CODES: dict[Status, int] = {
    Status.ERROR: 3,
    Status.NOT_COMPARABLE: 7,
    Status.MISSING_BASELINE: 4,
    Status.DRIFT: 1,
    Status.UNSTABLE: 6,
    Status.SKIPPED: 5,
    Status.WAIVED: 0,
    Status.IDENTICAL: 0,
    Status.WITHIN_LIMITS: 0,
}
"""Exit code of each status, worst first: the order in which the codes win."""


def worst(statuses: list[Status]) -> Status:
    """The status that decides; nothing judged at all is ``error``, never a pass.

    ``skipped`` decides only when nothing else was judged.

    >>> worst([Status.IDENTICAL, Status.UNSTABLE, Status.SKIPPED]).value
    'unstable'
    >>> worst([]).value
    'error'
    """
    order = [status for status in EXIT_CODES if status not in {Status.SKIPPED, Status.IDENTICAL}]
    judged = [status for status in statuses if status is not Status.SKIPPED]
    if not statuses:
        return Status.ERROR
    if not judged:
        return Status.SKIPPED
    return min(judged, key=lambda status: order.index(status) if status in order else len(order))


def exit_code(statuses: list[Status]) -> int:
    """Exit code of the worst status; nothing judged at all is an error.

    >>> exit_code([Status.IDENTICAL, Status.DRIFT]), exit_code([Status.IDENTICAL]), exit_code([])
    (1, 0, 3)
    """
    return EXIT_CODES[worst(statuses)]


def worst_code(codes: list[int]) -> int:
    """Of exit codes of several scenarios the one that decides.

    >>> worst_code([0, 6, 1]), worst_code([1, 3]), worst_code([0, 5])
    (1, 3, 5)
    """
    order = [2, *dict.fromkeys(EXIT_CODES.values())]
    return min(codes, key=lambda code: order.index(code) if code in order else 0)


# --- what a user writes ----------------------------------------------------------------------------------------------


class CommandRef(Record):
    """A command that makes one picture; it runs with the user's rights, and only where the user allowed it."""

    words: list[str] = Field(min_length=1)
    """Program and arguments; no shell reads them. In braces: ``{python}``, ``{prompt}``, ``{negative_prompt}``,
    ``{input_image}``, ``{seed}``, ``{width}``, ``{height}``, ``{steps}``, ``{guidance_scale}``, ``{device}``,
    ``{dtype}`` and ``{output}``."""
    output: str | None = None
    """Picture that the command writes by itself, relative to the source, where no word has ``{output}``."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables beside those that are set already."""
    time_limit_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Longest time for one picture; the command is ended after that, with all it started."""


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
    expect: dict[Unfitness, Reason] | None = None
    """What would be an error elsewhere and is expected of this case, each with its reason: ``flat``, an image of one
    colour; ``same_image``, the image of another prompt or seed; ``noise``, noise where the reference shows
    something."""


class Repeats(Record):
    """How often each case and seed is made."""

    in_process: int = Field(default=3, ge=1, le=10_000)
    """Times in one process."""
    processes: int = Field(default=2, ge=1, le=1_000)
    """Fresh processes."""


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
    threads: int | None = Field(default=None, ge=1, le=1024)
    """Overrides the scenario's threads."""
    against: list[Id] | None = None
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
    rule: str = Field(min_length=1)
    """How the limit follows from the values."""
    margin: Number
    """Distance between the worst value and the limit, in the metric's unit."""


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
        rule = _RULES[self.subject, bound].format(metric=self.metric, value=value)
        return recorded("dual_ratio to {arm:s} of {rule}", arm=self.ratio_to, rule=rule) if self.ratio_to else rule

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
    """What the model's loader reads: another revision, quantised weights, a LoRA."""


_LATER_KEYS = frozenset({"threads", "against", "expect", "differs_in"})
"""Keys that scenarios, arms and cases did not have at first; left out, they make no other question of an old file."""


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
    width: int = Field(default=512, ge=32, le=4096, multiple_of=32)
    """Width of the picture in pixels, a multiple of 32."""
    height: int = Field(default=512, ge=32, le=4096, multiple_of=32)
    """Height of the picture in pixels, a multiple of 32."""
    steps: int = Field(default=50, ge=1, le=1000)
    """Denoising steps."""
    guidance_scale: float = Field(default=4.0, ge=0, le=100, allow_inf_nan=False)
    """Strength of classifier-free guidance; 1 or less turns it off."""
    noise: NoiseMode = NoiseMode.PORTABLE
    """Where random draws come from."""
    switches: SwitchMode = SwitchMode.DETERMINISTIC
    """Which determinism switches are set."""
    arms: list[Arm] = Field(default_factory=lambda: [Arm(name="candidate")], min_length=1)
    """Ways of running the scenario: at least one candidate, and references where there are any."""
    repeats: Repeats = Repeats()
    """How often each case and seed is made."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """CPU threads of each worker process (OMP_NUM_THREADS, MKL_NUM_THREADS); when nothing is said, a deterministic arm
    on a CPU takes all cores and every other arm what the user has set. Where it is given, the processes of an arm on a
    CPU run side by side as far as cores and memory allow."""
    time_limit_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Longest time a worker process may take in all; it is ended after that, and the run fails."""
    limits: list[Limit] = Field(default_factory=list)
    """What the measurements must keep."""
    waivers: list[Waiver] = Field(default_factory=list)
    """Limits that may be broken for a while."""
    differs_in: dict[OnPurpose, Reason] | None = None
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
    translations: dict[str, dict[str, Annotated[str, StringConstraints(min_length=1)]]] = Field(default_factory=dict)
    """The summary and the reasons in other languages: by language, then by the text as written. Pictures do not depend
    on them, so they are no part of the digest."""

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of everything but the translations and later keys that are left out."""
        written = self.model_dump(mode="json", exclude={"translations"})
        for part in (written, *written["arms"], *written["cases"]):
            for key in _LATER_KEYS & part.keys():
                if part[key] is None:
                    del part[key]
        return json_digest(written)

    @property
    def prose(self) -> list[str]:
        """What can be translated: the summary, and the reasons of limits, waivers and differences on purpose."""
        reasons = [*(limit.reason for limit in self.limits), *(waiver.reason for waiver in self.waivers)]
        return [self.summary, *reasons, *(self.differs_in or {}).values()]


# --- what a run writes -----------------------------------------------------------------------------------------------


class PerturbationKind(StrEnum):
    """What is moved by one unit in the last place, to see how far a correct run may move."""

    LATENT_ULP = "latent_ulp"
    """Every value of the noise that the pipeline draws, in the type it is drawn in."""
    MODULE_ULP = "module_ulp"
    """Every value that leaves a module of the component that denoises, in each call."""


class Perturbation(Record):
    """A disturbance on purpose; each sample has directions of its own, keyed by seed, process and repeat."""

    kind: PerturbationKind
    """What is moved."""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    """Seed of the directions; the seed of the noise is the sample's own and stays as it is."""


class FileIdentity(Record):
    """What one file of a model holds."""

    sha256: Digest
    """SHA-256 of the file's bytes."""
    keys: dict[str, str] = Field(default_factory=dict)
    """Of a JSON object the beginning of the SHA-256 of each value, by key, inner keys behind a slash; empty for other
    files and for objects with more keys than are kept."""


class ModelIdentity(Record):
    """What was really loaded."""

    source: str
    """As the scenario names it, unexpanded."""
    revision: str | None = None
    """Revision the hub resolved to, where there is a hub."""
    digest: Digest
    """SHA-256 over the sorted names and digests of all files, those that no loader reads too."""
    code: dict[str, Digest]
    """SHA-256 of each Python file of the model folder."""
    weights_bytes: int
    """Bytes of all weight files."""
    loaded: Digest | None = None
    """SHA-256 over the sorted names and digests of the files that the loader reads: two models with the same are one;
    None in records from before those were told apart, and for pictures that are made outside the worker."""
    files: dict[str, FileIdentity] = Field(default_factory=dict)
    """Every file that the loader reads."""
    other_files: dict[str, Digest] = Field(default_factory=dict)
    """SHA-256 of every file beside them; workers are not given these, and they never make two models differ."""

    @property
    def key(self) -> str:
        """The digest that tells whether a model is still the same: over what is loaded, where that is known."""
        return self.loaded or self.digest


class CaseKey(Record):
    """What both sides of a pair share."""

    case: Id
    """Name of the case."""
    seed: int
    """The seed."""

    def __str__(self) -> str:
        """Case and seed in words."""
        return recorded("{case:s}, seed {seed:d}", case=self.case, seed=self.seed)


def listed(keys: Sequence[CaseKey]) -> str:
    """Cases and seeds in words, one after another; empty where there are none."""
    words = ""
    for key in reversed(keys):
        if words:
            words = recorded("{case:s}, seed {seed:d}, {others}", case=key.case, seed=key.seed, others=words)
        else:
            words = str(key)
    return words


class Plan(Record):
    """Everything a worker must know to make the samples of one arm."""

    scenario: Id
    """Name of the scenario."""
    scenario_digest: Digest
    """Digest of the scenario as written: unexpanded, with relative paths."""
    arm: Arm
    """The arm, with every override filled in."""
    task: Task
    """Which capability is exercised."""
    model: ModelRef
    """How the model is loaded, with the arm's dtype filled in."""
    cases: list[Case]
    """Prompts that were selected."""
    input_digests: dict[Id, Digest]
    """SHA-256 of the input picture's pixels, by case."""
    seeds: list[int]
    """Seeds that were selected."""
    width: int
    """Width in pixels."""
    height: int
    """Height in pixels."""
    steps: int
    """Denoising steps."""
    guidance_scale: float
    """Strength of classifier-free guidance."""
    repeats: Repeats
    """How often each case and seed is made."""
    time_limit_seconds: float | None
    """Longest time a worker process may take in all."""
    limits: list[Limit]
    """What the measurements must keep."""
    noise_from: Digest | None = None
    """Digest of the manifest of the baseline whose noise is injected; None where the arm has its own."""
    perturbation: Perturbation | None = None
    """Disturbance on purpose, for calibration; a run with one is never compared as a plain run."""
    waivers: list[Waiver] = Field(default_factory=list)
    """Limits that may be broken for a while."""
    differs_in: dict[OnPurpose, str] = Field(default_factory=dict)
    """In what the arm differs on purpose from what it is compared with, each with its reason."""

    @property
    def digest(self) -> str:
        """SHA-256 of the plan's canonical JSON."""
        return json_digest(self.model_dump(mode="json"))

    @property
    def noise(self) -> NoiseMode:
        """Where random draws come from."""
        return NoiseMode.BASELINE if self.noise_from else self.arm.noise or NoiseMode.PORTABLE

    @property
    def switches(self) -> SwitchMode:
        """Which determinism switches are set."""
        return self.arm.switches or SwitchMode.DETERMINISTIC

    @property
    def keys(self) -> list[CaseKey]:
        """Every case with every seed, in the order they are made."""
        return [CaseKey(case=case.id, seed=seed) for case in self.cases for seed in self.seeds]


class ArrayRef(Record):
    """An array that was made, and where it is kept."""

    digest: Digest
    """SHA-256 over dtype, shape and bytes of the array; never of the file."""
    path: str
    """File, relative to the run folder; samples with the same bytes share one file."""
    name: str | None = None
    """Name inside the file, for files that hold several arrays."""
    dtype: str
    """Type of the kept array, such as ``uint8``."""
    computed_in: str
    """Type the model computed it in; a wider kept type is an exact upcast."""
    shape: list[int]
    """Shape of the array."""


class DrawnFrom(StrEnum):
    """Whose generator drew, where the pipeline was given one."""

    GIVEN = "given"
    """The one that the pipeline was given."""
    GLOBAL = "global"
    """The global one of the device."""
    OTHER = "other"
    """One that the pipeline, or what it calls, made itself."""


class Draw(Record):
    """One random draw that the pipeline made."""

    shape: list[int]
    """Shape that was asked for."""
    dtype: str
    """Type that was asked for."""
    function: str
    """What was called, such as ``randn``."""
    source: NoiseMode
    """Whose numbers they are: the harness's, or a device's, this one's or the baseline's."""
    digest: Digest
    """SHA-256 of the drawn values, as float32 before any rounding to the type that was asked for."""
    drawn_from: DrawnFrom | None = None
    """Whose generator drew; None where the pipeline was given a seed in its place, and in files without this field."""


class Step(Record):
    """A tensor on its way, such as the latents after one denoising step, small enough to keep."""

    digest: Digest
    """SHA-256 over dtype, shape and bytes of the tensor."""
    sketch: list[Number]
    """Norm, mean, smallest and largest value, then 16 projections on fixed random signs over the root of the size."""
    shape: list[int] = Field(default_factory=list)
    """Shape of the tensor."""


class Schedule(Record):
    """The scheduler's table for one picture, as it stood before the first step."""

    timesteps: list[Number]
    """What the model is told at each step."""
    sigmas: list[Number] = Field(default_factory=list)
    """Noise level at each step, and often one for the end; empty where the scheduler has none."""

    def __str__(self) -> str:
        """Number of steps, first and last value in words."""
        if not self.timesteps:
            return "no timesteps"
        return f"{len(self.timesteps)} timesteps from {self.timesteps[0]:g} to {self.timesteps[-1]:g}"


class MemoryUse(Record):
    """Bytes of memory."""

    allocated_bytes: int
    """In use now."""
    peak_bytes: int | None = None
    """Largest use since the last reset, where the device can tell."""
    device: str | None = None
    """Where the component's weights are."""


class Sample(Record):
    """One picture that was made."""

    key: CaseKey
    """Case and seed."""
    process: int
    """Index of the worker process; one that replaces an interrupted one has an index of its own."""
    repeat: int
    """Index inside the process."""
    image: ArrayRef
    """The 8-bit picture."""
    float_image: ArrayRef | None
    """The decoder's output before it is cut to 8 bits."""
    latents: ArrayRef | None
    """The latents after the last step."""
    noise_digest: Digest | None
    """SHA-256 over the digests of all logged draws, in their order; None where the noise is unverified."""
    noise_path: str | None
    """File with the drawn values, ``noise.0`` onwards, relative to the run folder; None where the noise is
    unverified."""
    draws: list[Draw]
    """All logged draws."""
    hidden_draws: list[str]
    """Signs of draws that could not be logged or controlled; empty when the noise is fully known."""
    without_effect: list[str] = Field(default_factory=list)
    """Settings that were asked for and changed nothing, in words; empty in records from before this was looked for."""
    schedule: Schedule | None = None
    """The scheduler's table; None where the adapter tells of none."""
    per_step: list[Step]
    """Latents after each denoising step."""
    traces: dict[str, list[Step]] = Field(default_factory=dict)
    """Other tensors on the way, by name and in the order of the calls, such as ``text_encoding, padded rows``."""
    npu_calls: dict[str, int] = Field(default_factory=dict)
    """How often the harness's reference kernels answered for each fused operator of torch_npu."""
    seconds: dict[str, float]
    """Seconds by stage, ``total`` for the whole call."""
    memory: dict[str, MemoryUse]
    """Memory by component, ``device`` for the whole device where it can tell."""
    stage_memory: dict[str, MemoryUse]
    """Memory of the whole device at the end of each stage, and its peak in the stage, where it can tell."""

    @property
    def outcome(self) -> str:
        """Digest over everything that was made: picture, float output and latents."""
        made = [array.digest if array else "" for array in (self.image, self.float_image, self.latents)]
        return hashlib.sha256(" ".join(made).encode()).hexdigest()

    @property
    def label(self) -> str:
        """Process and repeat in short form, such as ``p0r2``."""
        return f"p{self.process}r{self.repeat}"


class EndedBy(StrEnum):
    """What ended a worker process before its work was done."""

    SIGNAL = "signal"
    """A signal, such as that of the kernel's out-of-memory killer."""
    TIME_LIMIT = "time_limit"
    """The harness, at the time limit of the scenario."""
    ITSELF = "itself"
    """The process, with an exit code of its own."""


class Failure(Record):
    """Something that went wrong while running; a crash is data."""

    stage: str
    """Where it happened: ``start``, ``load``, ``generate``, ``output``, ``environment`` or ``process``."""
    key: CaseKey | None
    """Case and seed, where it happened in one."""
    process: int
    """Index of the worker process."""
    repeat: int | None
    """Index inside the process, where it happened in a repeat."""
    error: str
    """Type of the error, or how the process ended."""
    ended_by: EndedBy | None = None
    """What ended the worker process; None where it went on, and in records from before this was kept."""
    message: str
    """The error in words."""
    traceback: str = ""
    """Where it came from, or the last lines the process wrote; home folders and tokens are taken out."""


class Switch(Record):
    """One setting that bears on determinism or accuracy."""

    name: str
    """Environment variable or API."""
    requested: str | None
    """Value that was asked for; None when nothing was."""
    effective: str | None
    """Value read back in the worker after start; None when it is unset."""
    source: Literal["default", "scenario", "environment", "backend"]
    """Where the value comes from."""


class Environment(Record):
    """What the worker ran on; allow-listed names only, no serial numbers, tokens or home folders."""

    backend: str
    """Name of the backend."""
    device: str
    """Device as torch calls it."""
    device_name: str
    """Product name."""
    simulated: bool
    """Whether a stand-in library plays the device."""
    npu_ops: NpuOps | None = None
    """How calls to fused operators of torch_npu are answered; None in records from before this was asked."""
    facts: dict[str, str]
    """Versions and properties of driver, toolkit and chip."""
    packages: dict[str, str]
    """Versions of the packages that matter."""
    switches: list[Switch]
    """Settings that were in force."""
    python: str
    """Python version."""
    os: str
    """Operating system, kernel and architecture."""
    cpu: str
    """Processor name."""
    cpu_count: int
    """Processors this process may use."""
    memory_bytes: int
    """Main memory."""
    commit: str | None
    """Git commit of the working folder, with ``-dirty`` when it has changes."""

    @property
    def comparable(self) -> dict[str, Any]:
        """All that can move a number: not the commit, and not what a backend sets in either switch mode."""
        told = self.model_dump(mode="json", exclude={"commit"})
        return told | {"switches": [switch for switch in told["switches"] if switch["source"] != "backend"]}

    @property
    def digest(self) -> str:
        """SHA-256 of all that can move a number."""
        return json_digest(self.comparable)


class LoadedModel(Record):
    """What the worker found after loading."""

    notes: list[str]
    """Facts about the loaded pipeline."""
    memory: dict[str, MemoryUse]
    """Memory by component after loading."""
    seconds: float
    """Time to load."""
    components: dict[str, str] = Field(default_factory=dict)
    """Component that works in a stage, by stage."""
    substitutions: list[str] = Field(default_factory=list)
    """What was asked for and replaced, such as an attention implementation, and what that means for the numbers."""


class Run(Record):
    """One arm of one scenario: all samples and failures of its plan."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    id: str
    """Folder of the job and of the arm."""
    state: Literal["unfinished", "finished"]
    """An unfinished run was interrupted or is still going; it is never judged."""
    plan: Plan
    """What was to be made."""
    backend: str
    """Backend the arm's device resolved to."""
    device_index: int
    """Index of the device on its backend."""
    model: ModelIdentity
    """What was loaded."""
    code_digest: Digest
    """SHA-256 over the harness's own code and the adapter's."""
    host_digest: Digest
    """SHA-256 of machine, device and packages before the run began; an interrupted run is resumed only on the same."""
    started_utc: str
    """When the run began, ISO 8601."""
    seconds: float
    """Wall time of all processes together."""
    side_by_side: int = 1
    """Most worker processes that ran at the same time; what a sample took then depends on its neighbours too."""
    environment: Environment | None
    """What it ran on; None when no worker came far enough to say."""
    loaded: LoadedModel | None
    """What the first worker found after loading."""
    samples: list[Sample]
    """Every picture, sorted by case, seed, process and repeat."""
    failures: list[Failure]
    """Everything that went wrong."""
    retried: list[Failure] = Field(default_factory=list)
    """Failures of the machine after which a new process took over, as ``--retries`` allows; they are no failures."""
    log_tail: str
    """Last lines the first worker wrote, for the evidence section."""

    def samples_of(self, key: CaseKey) -> list[Sample]:
        """Samples of one case and seed, in the order of processes and repeats."""
        return [sample for sample in self.samples if sample.key == key]


# --- what accepting a baseline writes --------------------------------------------------------------------------------


class StoredFile(Record):
    """One file of a baseline."""

    path: str
    """Path below the baseline's folder, with ``/``."""
    sha256: Digest
    """SHA-256 of the file's bytes."""
    bytes: int
    """Size of the file."""


class AcceptedCase(Record):
    """What was accepted for one case and seed."""

    key: CaseKey
    """Case and seed."""
    noise_digest: Digest | None
    """SHA-256 over the digests of all draws, in their order; None where the noise is unverified."""
    modes: int
    """Number of distinct outcomes that were accepted."""
    runs: int
    """Number of samples they were seen in."""
    processes: int
    """Number of processes these were made in."""


class Manifest(Record):
    """Where a baseline comes from, who accepted it and why, and what each of its files holds."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    scenario: Id
    """Name of the scenario."""
    scenario_digest: Digest
    """Digest of the scenario as it was written when the run was made."""
    arm: Id
    """Name of the arm."""
    model_digest: Digest
    """SHA-256 over the sorted names and digests of all files of the model."""
    code_digest: Digest
    """SHA-256 over the harness's code and the adapter's that made the run."""
    environment: Environment
    """What the run was made on."""
    run: str
    """Folder of the job and of the arm that was accepted."""
    accepted: list[AcceptedCase] = Field(min_length=1)
    """What was accepted, by case and seed."""
    who: str
    """Who accepted it."""
    why: str = Field(min_length=10)
    """Why it is right, or why it replaces the one before."""
    accepted_utc: str
    """When it was accepted, ISO 8601."""
    commit: str | None
    """Git commit of the folder in which it was accepted, with ``-dirty`` when it had changes."""
    files: list[StoredFile]
    """Every other file of the baseline, sorted by path."""

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest's file; people hold it against each other by another channel."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()

    @property
    def name(self) -> str:
        """Scenario and arm, as on the command line."""
        return f"{self.scenario}/{self.arm}"


# --- what a comparison writes ----------------------------------------------------------------------------------------


class Acceptance(Record):
    """Who accepted a baseline, when and why, as its manifest says."""

    who: str
    """Who accepted it."""
    why: str
    """Why it is right, or why it replaces the one before."""
    accepted_utc: str
    """When it was accepted, ISO 8601."""


class RunRef(Record):
    """Which run a side of a comparison is."""

    id: str
    """Folder of the job and of the arm."""
    path: str
    """Run folder, relative to the comparison file."""
    arm: Id
    """Name of the arm."""
    device: str
    """Device as torch calls it."""
    device_name: str
    """Product name."""
    simulated: bool
    """Whether a stand-in library plays the device."""
    dtype: str
    """Type of weights and activations."""
    noise: NoiseMode
    """Where random draws came from."""
    switches: SwitchMode
    """Which determinism switches were set."""
    npu_ops: NpuOps | None = None
    """How calls to fused operators of torch_npu were answered."""
    backend: str = ""
    """Name of the backend; empty where it is the first word of ``device``."""
    baseline: Digest | None = None
    """Digest of the manifest, where the run is an accepted baseline."""
    acceptance: Acceptance | None = None
    """Who accepted it and why, where the run is an accepted baseline."""


class Measurement(Record):
    """One metric of one pair."""

    metric: str
    """Name of the metric."""
    subject: Literal["image", "float_image", "latents", "conversion"]
    """What it was measured on."""
    value: Number | None
    """The number; None when the metric has none for this pair."""
    unit: str
    """Unit of the value."""
    better: Literal["higher", "lower"]
    """Direction in which the pictures are more alike."""
    spec: str
    """Identifier of the exact definition."""
    parts: dict[str, Number] = Field(default_factory=dict)
    """Named numbers behind the value, such as one per channel."""
    where: str = ""
    """Place in the picture the value comes from."""
    problem: str = ""
    """Why there is no value."""


class PairRatio(Record):
    """One case and seed of a dual benchmark."""

    key: CaseKey
    """Case and seed."""
    error: Number
    """Value of the metric for the actual side."""
    other: Number
    """Value of the metric for the other arm."""
    ratio: Number
    """``error / max(other, floor)``."""


class DualRatio(Record):
    """How far the actual side is from a reference, measured by how far another arm is from the same reference."""

    error: Number
    """Root mean square over the pairs of the metric's value for the actual side."""
    other: Number
    """Root mean square over the same pairs of the metric's value for the other arm."""
    floor: Number
    """Least that is divided by: the metric's value for the rounding errors of the type alone."""
    ratio: Number
    """``error / max(other, floor)``, which the limit judges."""
    pairs: list[PairRatio]
    """The same for each pair, the worst ratio first; shown, not judged."""


class Verdict(Record):
    """One limit compared with one measurement, or against the ratio of many."""

    limit: Limit
    """The limit."""
    measured: Number | None
    """What was measured."""
    status: Status
    """The word."""
    message: str
    """Observed, allowed, where."""
    dual: DualRatio | None = None
    """Numerator and denominator, for a limit with ``ratio_to``."""
    waiver: Waiver | None = None
    """What excuses the broken limit, where the status is ``waived``."""


class TraceDifference(Record):
    """One kind of tensor on the way to the pictures of a pair."""

    name: str
    """What was traced, such as ``text_encoding, padded rows``."""
    identical: bool
    """Whether all calls gave the same bytes on both sides."""
    relative_difference: Number | None
    """Norm of the difference over the norm of the expected side, estimated from the sketches; None where shapes or
    the number of calls differ."""


class Hint(Record):
    """What kind of difference two pictures seem to have; a hint for a reader, never judged."""

    name: str
    """Kind, such as ``shift`` or ``channels``."""
    message: str
    """What it looks like, actual relative to expected, with the figures that say so."""
    where: str = ""
    """Place in the picture; empty where it is the whole picture."""


class Appearance(StrEnum):
    """How alike two 8-bit pictures look, from the most alike; never judged."""

    IDENTICAL = "identical"
    """Equal byte for byte."""
    CODE_NOISE = "code_noise"
    """A few values are off by a level or two."""
    LOSSLESS = "lossless_to_the_eye"
    """The difference cannot be seen."""
    SAME_PICTURE = "same_picture"
    """Flicking between the two may show a difference."""
    SAME_COMPOSITION = "same_composition"
    """Details differ visibly."""
    DRIFTED = "drifted"
    """More than details differ: objects, or strong noise over the whole picture."""
    DIFFERENT = "different"
    """Another picture, or a broken one."""

    @property
    def words(self) -> str:
        """The band in plain words."""
        return self.value.replace("_", " ")


class Pair(Record):
    """Two samples of one case and seed."""

    key: CaseKey
    """Case and seed."""
    actual: str
    """Sample on the actual side, such as ``p0r2``."""
    expected: str
    """Sample on the expected side."""
    accepted: str = ""
    """Which of the accepted outcomes it is compared with, such as ``2 of 3``; empty where there is only one."""
    accepted_outcome: int | None = None
    """The same as a number from 1; None where there is only one, and in records from before this was kept."""
    accepted_outcomes: int | None = None
    """Number of accepted outcomes; None as above."""
    identical: bool
    """Whether picture, float output and latents are equal byte for byte."""
    first_differing_step: int | None
    """First denoising step, counted from 1, whose latents differ; None when none does or none was kept."""
    traces: list[TraceDifference] = Field(default_factory=list)
    """Other tensors on the way that both sides traced."""
    hints: list[Hint] = Field(default_factory=list)
    """What the difference between the 8-bit pictures looks like."""
    appearance: Appearance | None = None
    """How alike the 8-bit pictures look; None where a metric that decides it has no value."""
    measurements: list[Measurement]
    """All metrics of the pair."""
    verdicts: list[Verdict] = Field(default_factory=list)
    """All limits of the pair."""


class Outcome(Record):
    """One distinct result among the samples that ought to be the same."""

    digest: Digest
    """Digest over picture, float output and latents."""
    image_digest: Digest
    """Digest of the picture alone."""
    samples: list[str]
    """Who made it, such as ``p0r0``, in order."""


class Repetition(Record):
    """What the samples of one case and seed say about determinism."""

    key: CaseKey
    """Case and seed."""
    runs: int
    """Number of samples."""
    processes: int
    """Number of processes they were made in."""
    outcomes: list[Outcome]
    """Distinct results, the first sample's first."""
    bound_95: float
    """Largest rate of differing runs that so many identical ones do not exclude at 95 %: ``1 - 0.05 ** (1 / runs)``."""
    status: Status
    """Identical, unstable, or skipped when there was nothing to repeat."""
    pattern: str
    """In words: how the differing samples lie among the processes and repeats."""


class Score(Record):
    """One score of one picture."""

    score: str
    """Name of the score."""
    key: CaseKey
    """Case and seed."""
    image_digest: Digest
    """SHA-256 of the picture's array."""
    samples: list[str]
    """Samples that gave this picture, such as ``p0r0``, in order."""
    value: Number | None
    """From 0 (wrong) to 1 (right); None when the score has no value for this picture."""
    parts: dict[str, Number] = Field(default_factory=dict)
    """Numbers from 0 to 1 behind the value, such as one per rule."""
    words: str = ""
    """Why the value is not 1."""
    problem: str = ""
    """Why there is no value."""


class ScoreTotal(Record):
    """One score over the pictures of one arm, of which each case and seed counts once: repeats are no new pictures."""

    score: str
    """Name of the score."""
    pictures: int
    """Number of pictures with a value."""
    mean: Number | None
    """Mean of their values; None where no picture has one."""
    low: Number | None
    """Lower end of the 95 % interval of Wilson; None where a value lies between 0 and 1."""
    high: Number | None
    """Upper end."""
    parts: dict[str, Number]
    """Mean of each part over the pictures that have it."""
    without_value: int
    """Number of pictures without a value."""

    @property
    def words(self) -> str:
        """The total in words, such as ``87.5 % (95 % interval 73.9 to 94.5, 40 pictures)``."""
        left_out = f", {self.without_value} without a value" if self.without_value else ""
        if self.mean is None:
            return f"no picture has a value{left_out}"
        ends = "" if self.low is None or self.high is None else f"{100 * self.low:.1f} to {100 * self.high:.1f}, "
        interval = f"95 % interval {ends}" if ends else ""
        return f"{100 * self.mean:.1f} % ({interval}{self.pictures} picture{'s' * (self.pictures != 1)}{left_out})"


class ArmScores(Record):
    """All scores of one arm."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    scenario: Id
    """Name of the scenario."""
    arm: Id
    """Name of the arm."""
    run: str
    """Run that made the pictures: folder of the job and of the arm."""
    task: Task
    """Which capability is exercised."""
    parity_margin: float
    """Largest difference to another arm that the scenario counts as equivalent."""
    specs: dict[str, str]
    """Identifier of the exact definition, by score."""
    totals: list[ScoreTotal]
    """Each score over all cases and seeds."""
    scores: list[Score]
    """Every distinct picture of every case and seed by every score."""


class Standing(StrEnum):
    """What the interval of a difference says about equivalence."""

    EQUIVALENT = "equivalent"
    """The whole interval lies within the margin."""
    NOT_SHOWN = "not_shown"
    """A part of the interval lies beyond the margin, so the two may be equivalent or not."""
    BEYOND = "beyond"
    """The whole interval lies beyond the margin."""


class Parity(Record):
    """One score of two sides over the cases and seeds that both have: are they equivalent?"""

    score: str
    """Name of the score."""
    task: Task
    """Which capability is exercised."""
    margin: float
    """Largest difference that counts as equivalent."""
    pairs: int
    """Number of cases and seeds with a value on both sides; they are taken as independent of each other."""
    actual: ScoreTotal
    """The actual side over these pairs."""
    expected: ScoreTotal
    """The expected side over these pairs."""
    only_actual: int
    """Pairs in which the actual side alone is right."""
    only_expected: int
    """Pairs in which the expected side alone is right."""
    difference: Number | None
    """Mean of the actual side less that of the expected side; None without pairs."""
    low: Number | None
    """Lower end of the 90 % interval of Tango; None without pairs, or where a value lies between 0 and 1."""
    high: Number | None
    """Upper end."""
    standing: Standing
    """What the interval says: two one-sided tests at 5 % each."""
    pairs_needed: int | None
    """About how many pairs would show equivalence if the sides are alike; None where that is not known."""
    without_value: list[CaseKey] = Field(default_factory=list)
    """Cases and seeds that were left out because neither side has a value."""
    one_sided: list[CaseKey] = Field(default_factory=list)
    """Cases and seeds that were left out because only one side has a value."""
    message: str
    """All this in one sentence."""


class Unfit(Record):
    """An image that is not fit to be compared."""

    key: CaseKey
    """Its case and seed."""
    arm: Id
    """The arm that made it."""
    sample: str
    """Process and repeat of the first sample with it."""
    kind: Unfitness
    """What is wrong with it."""
    message: str
    """The same in a sentence."""


class FileDifference(Record):
    """One file in which two models differ."""

    name: str
    """Path below both folders, with ``/``."""
    missing: Literal["actual", "expected"] | None = None
    """The side that does not have it; None where both have it, with other bytes."""
    keys: list[str] = Field(default_factory=list)
    """Of a JSON file the keys whose values differ, inner keys behind a slash; empty where they are not known."""


class ModelDifference(Record):
    """In what the models of two runs differ."""

    actual: Digest
    """Digest of the actual side's model: over what is loaded where both records know it, else over all files."""
    expected: Digest
    """Digest of the expected side's."""
    files: list[FileDifference]
    """The files, sorted by name; empty where a record is from before single files were kept."""


class Comparison(Record):
    """Two runs, or one run against itself, measured and judged."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    scope: Scope
    """Repeats of one arm, or a candidate against a reference."""
    scenario: Id
    """Name of the scenario."""
    actual: RunRef
    """What is judged."""
    expected: RunRef
    """What it is compared with; the same run for repeats."""
    limits: list[Limit]
    """Limits of this scope; once judged, those that judge these arms and this device."""
    repetitions: list[Repetition] = Field(default_factory=list)
    """Determinism by case and seed; for repeats only."""
    pairs: list[Pair]
    """Everything that was measured."""
    missing: list[CaseKey] = Field(default_factory=list)
    """Expected cases and seeds that the actual side does not have."""
    unexpected: list[CaseKey] = Field(default_factory=list)
    """Cases and seeds that the expected side does not have."""
    missing_baseline: str = ""
    """Why there is no baseline to compare with, and what makes it; empty where there is one or none is asked for."""
    differences: list[str] = Field(default_factory=list)
    """Why the two sides cannot be compared, such as another noise; empty when they can."""
    model: ModelDifference | None = None
    """In what the two sides' models differ; None where they are the same, or not known."""
    differs_in: dict[OnPurpose, str] = Field(default_factory=dict)
    """In what the actual side's scenario says that they differ on purpose, each with its reason."""
    notes: list[str] = Field(default_factory=list)
    """What a reader must know beside every number, such as a noise that is unverified; part of the message."""
    failures: list[Failure] = Field(default_factory=list)
    """Failures of either side."""
    unfit: list[Unfit] = Field(default_factory=list)
    """Images of either side that are not fit to be compared, and were not expected to be so."""
    yardsticks: list[Comparison] = Field(default_factory=list)
    """Other arms against the same expected side, measured and not judged: what limits with ``ratio_to`` divide by."""
    verdicts: list[Verdict] = Field(default_factory=list)
    """Limits that judge all pairs together: those with ``ratio_to``, and those on a score."""
    parities: list[Parity] = Field(default_factory=list)
    """How the scores of the two sides compare, one for each score that the scenario asks for."""
    waivers: list[Waiver] = Field(default_factory=list)
    """Waivers for these arms and cases, expired ones too."""
    judged_on: Day | None = None
    """Day that decided which waivers hold; None where there are none."""
    notices: list[str] = Field(default_factory=list)
    """What the judgement noticed and did not judge, such as values far better than their limit."""
    outcome: Status = Status.SKIPPED
    """The word for the whole comparison."""
    message: str = ""
    """The outcome in one sentence."""


def unused_waivers(comparisons: Iterable[Comparison]) -> list[Waiver]:
    """Waivers that still hold and excused nothing in any of the comparisons they are for."""
    excused: list[Waiver] = []
    idle: list[Waiver] = []
    for comparison in comparisons:
        verdicts = [*comparison.verdicts, *(verdict for pair in comparison.pairs for verdict in pair.verdicts)]
        excused += [verdict.waiver for verdict in verdicts if verdict.waiver]
        idle += [each for each in comparison.waivers if comparison.judged_on and comparison.judged_on <= each.expires]
    return [waiver for index, waiver in enumerate(idle) if waiver not in excused and waiver not in idle[:index]]


# --- what a calibration writes ---------------------------------------------------------------------------------------


class FloorSource(StrEnum):
    """What made correct results differ."""

    REPEAT = "repeat"
    """Nothing: the same work again."""
    LATENT_ULP = "latent_ulp"
    """The last bit of every value of the noise."""
    MODULE_ULP = "module_ulp"
    """The last bit of every value that leaves a module of the component that denoises."""
    PRECISION = "precision"
    """The candidate's type, less precise than the reference's, with the last bit of every value of the noise."""


class Floor(Record):
    """How far correct results were apart by one metric."""

    source: FloorSource
    """What made them differ."""
    metric: str
    """Name of the metric."""
    subject: Literal["image", "float_image", "latents", "conversion"]
    """What it was measured on."""
    unit: str
    """Unit of the values."""
    better: Literal["higher", "lower"]
    """Direction in which pictures are more alike."""
    values: int
    """Number of pairs that were measured."""
    rms: Number
    """Root mean square of the error over the pairs of a case and seed, where it is largest, in the metric's unit."""
    worst: Number
    """The worst value."""
    least: Number
    """The smallest value."""
    most: Number
    """The largest value."""
    key: CaseKey
    """Case and seed of the worst value."""


class StepFloor(Record):
    """How far correct results were apart after each denoising step."""

    source: FloorSource
    """What made them differ."""
    relative_l2: list[Number]
    """Largest relative difference of the latents after each step, estimated from sketches, within about 20 %."""


class Detection(Record):
    """A planted fault, and what the proposed limits say about it."""

    fault: str
    """Name of the fault."""
    about: str
    """What was planted."""
    planted: int
    """Number of pictures that were spoilt."""
    caught_by: list[str]
    """Limits that broke on at least one of them."""
    missed: list[str]
    """Pictures on which no limit broke; a proposal with any is refused."""


class Calibration(Record):
    """What a reference's own noise floor is, and the limits that follow from it."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    scenario: Id
    """Name of the scenario."""
    scenario_digest: Digest
    """Digest of the scenario as it was calibrated."""
    arm: Id
    """Reference arm."""
    device: str
    """Backend and product of its device."""
    simulated: bool
    """Whether a stand-in library plays the device."""
    reference_dtype: str
    """Type of the reference."""
    candidate_dtype: str
    """Least precise type of the candidates."""
    date: Day
    """Day of the measurement."""
    seeds: list[int]
    """Seeds it was measured with."""
    cases: list[Id]
    """Cases it was measured on."""
    floors: list[Floor]
    """How far correct results were apart."""
    steps: list[StepFloor]
    """The same after each denoising step."""
    limits: list[Limit]
    """Proposed limits."""
    detections: list[Detection]
    """What they say about planted faults."""

    @property
    def missed(self) -> list[str]:
        """Names of planted faults that would pass under the proposed limits; with any the proposal is refused."""
        return [each.fault for each in self.detections if each.missed]


class Report(Record):
    """What a report is made from; renderers turn it into text and look up nothing else."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    title: str
    """Heading."""
    scenario: Scenario
    """The question, as it was written."""
    command: list[str]
    """How to do it again, as words of a command line."""
    runs: list[Run]
    """All arms, in the scenario's order."""
    comparisons: list[Comparison]
    """All comparisons, repeats first."""
    outcome: Status
    """The worst word of all comparisons."""
    scores: list[ArmScores] = Field(default_factory=list)
    """Scores of the arms, where the scenario asks for any."""
    calibrations: list[Calibration] = Field(default_factory=list)
    """What was measured of the noise floors of reference arms, in the conditions of this report."""
    uncalibrated: dict[Id, str] = Field(default_factory=dict)
    """Why the noise floor of a reference arm is not known, by arm."""


# --- what a release writes -------------------------------------------------------------------------------------------


class MissingCell(Record):
    """Something that was asked for a release and is not there, or not whole."""

    scenario: Id
    """Name of the scenario."""
    arm: Id | None
    """Name of the arm; None for a whole scenario that cannot be used here."""
    job: str = ""
    """Name of the job folder that has it, but not whole; empty where no job has it."""
    status: Status
    """Error, which a report without it would hide, or ``missing_baseline``."""
    reason: str
    """Why it is missing, in one sentence."""


class ReleasedJob(Record):
    """One job that a release rests on."""

    job: str
    """Name of the job folder."""
    report: Report
    """Its question, runs and comparisons, judged as they were stored."""

    @property
    def name(self) -> str:
        """Scenario and job."""
        return f"{self.report.scenario.name} ({self.job})"


class Aggregate(Record):
    """One metric over all cases and seeds of one capability, for one arm compared with one other."""

    task: Task
    """Which capability is exercised."""
    arm: Id
    """Arm that is judged."""
    against: Id
    """Arm it is compared with."""
    device: str
    """Product name of the arm's device."""
    against_device: str
    """Product name of the other arm's device."""
    dtype: str
    """Type of the arm's weights and activations."""
    against_dtype: str
    """Type of the other arm's weights and activations."""
    simulated: bool
    """Whether a stand-in library plays the device of either arm."""
    comparisons: list[str]
    """Comparisons the numbers are from, each by the ids of its two runs."""
    metric: str
    """Name of the metric."""
    subject: Literal["image", "float_image", "latents", "conversion"]
    """What it was measured on."""
    unit: str
    """Unit of the values."""
    better: Literal["higher", "lower"]
    """Direction in which the pictures are more alike."""
    pairs: int
    """Number of pairs of pictures that were measured."""
    keys: int
    """Number of cases and seeds with a finite value; each counts once, by the mean of its pairs."""
    left_out: int
    """Number of cases and seeds without a finite value, such as the PSNR of equal pictures."""
    mean: Number | None
    """Mean over the cases and seeds; None where none has a finite value."""
    reach: Number | None
    """Half the width of the 95 % interval of Student around the mean; None with fewer than two cases and seeds."""
    worst: Number | None
    """Worst value of any pair; None where a pair has no value at all, which is worse than any."""
    worst_scenario: Id
    """Scenario of the worst pair."""
    worst_key: CaseKey
    """Case and seed of the worst pair."""


class Release(Record):
    """What the accuracy report of a release is made from, and all that it is made from."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    name: Id
    """Name of the release; it becomes a folder."""
    languages: list[str] = Field(min_length=1)
    """Languages of the report, the first one that of the plain file names."""
    command: list[str]
    """How to make the report again, as words of a command line."""
    scenarios: list[Scenario]
    """Every scenario that was asked for and can be used here, as its file is written now."""
    jobs: list[ReleasedJob]
    """Jobs that answer them, in the scenarios' order."""
    missing: list[MissingCell]
    """What was asked for and is not there."""
    aggregates: list[Aggregate]
    """Every metric over cases and seeds, the worst arms of each capability first."""
    outcome: Status
    """The worst word of all reports and of everything that is missing."""

    def file_name(self, plain: str, language: str) -> str:
        """Name of a file in a language, such as ``index.zh.html`` for ``index.html``; plain for the first language."""
        if language == self.languages[0]:
            return plain
        stem, _, ending = plain.rpartition(".")
        return f"{stem}.{language}.{ending}"


class ReleasedRun(Record):
    """A run that the numbers of a release are from."""

    id: str
    """Folder of the job and of the arm."""
    sha256: Digest
    """SHA-256 of the run's record as the harness writes it."""


class ReleaseManifest(Record):
    """What a folder of a release holds, and the runs behind it."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    name: Id
    """Name of the release."""
    runs: list[ReleasedRun]
    """Every run, sorted by id."""
    files: list[StoredFile]
    """Every other file of the folder, sorted by path."""


# --- what doctor says ------------------------------------------------------------------------------------------------


class Severity(StrEnum):
    """How much a finding about the machine matters, worst first."""

    BLOCKED = "blocked"
    """The wanted device cannot be used before this is dealt with."""
    WARNING = "warning"
    """Work goes on, but something is not as it should be."""
    HARMLESS = "harmless"
    """Looks like a fault and is none, or is only worth knowing."""
    OK = "ok"
    """As it should be."""


class Finding(Record):
    """One thing that was looked at."""

    name: str
    """What it is about."""
    severity: Severity
    """How much it matters."""
    changes_numbers: bool = False
    """Whether results may differ because of it."""
    observed: str
    """What was found, and where."""
    expected: str = ""
    """What is allowed; empty where there is nothing to hold it against."""
    next_step: str = ""
    """What to do; empty where nothing is to be done."""


class Diagnosis(Record):
    """What doctor says about a machine."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    wanted: str
    """Device that was asked for."""
    summary: str
    """The whole in one sentence."""
    findings: list[Finding]
    """All findings, worst first."""

    def exit_code(self, *, strict: bool) -> int:
        """3 where something is blocked; with ``strict``, 1 for a warning that changes numbers; else 0."""
        if any(each.severity is Severity.BLOCKED for each in self.findings):
            return 3
        changed = any(each.severity is Severity.WARNING and each.changes_numbers for each in self.findings)
        return 1 if strict and changed else 0


# --- what diff says --------------------------------------------------------------------------------------------------


class ReadAs(StrEnum):
    """How the pixels of a picture file became 8-bit RGB."""

    RGB = "RGB"
    """They are 8-bit RGB."""
    OPAQUE = "alpha that is opaque everywhere"
    """The alpha channel is 255 everywhere and was left out."""
    PALETTE = "palette"
    """Each entry was replaced by its colour."""
    GREY = "greyscale"
    """Each value stands for all three channels."""
    BILEVEL = "black and white"
    """0 and 255 stand for the two."""
    DROPPED = "transparency dropped"
    """Real transparency: the colours as they are stored, whatever they were to show."""
    ON_WHITE = "transparency on white"
    """Real transparency, put onto white."""
    ON_BLACK = "transparency on black"
    """Real transparency, put onto black."""


class NameMatch(Record):
    """A name of the actual folder and one of the expected folder that are nearly the same."""

    actual: str
    """Path below the actual folder, with ``/``."""
    expected: str
    """Path below the expected folder, with ``/``."""
    differs: list[Literal["ending", "case", "Unicode form", "list"]]
    """In what they differ; ``list`` where a list pairs them, whatever they are called."""


class PicturePair(Record):
    """Two picture files compared with each other; nobody recorded how they were made."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    name: str
    """Path below both folders, with ``/``; for two files the name of the actual one."""
    expected_name: str = ""
    """Path below the expected folder where it is another than ``name``; else empty."""
    noise: Literal["unverified"] = "unverified"
    """Whether both sides began with the same noise: nothing about a picture file tells."""
    width: int | None = None
    """Width in pixels; None where nothing was measured."""
    height: int | None = None
    """Height in pixels; None where nothing was measured."""
    differing_pixels: int | None = None
    """Pixels that differ in any channel; None where nothing was measured, and in records from before it was counted."""
    actual_read_as: ReadAs = ReadAs.RGB
    """How the pixels of the actual file became 8-bit RGB."""
    expected_read_as: ReadAs = ReadAs.RGB
    """How the pixels of the expected file became 8-bit RGB."""
    measurements: list[Measurement] = Field(default_factory=list)
    """All metrics of the pair; empty where nothing was measured."""
    hints: list[Hint] = Field(default_factory=list)
    """What the difference looks like; never judged."""
    appearance: Appearance | None = None
    """How alike the pictures look; None where a metric that decides it has no value, or nothing was measured."""
    verdicts: list[Verdict] = Field(default_factory=list)
    """All limits that were given."""
    blank: list[str] = Field(default_factory=list)
    """Which side shows nothing, in words: an error where a limit was given, else a notice."""
    presence: Literal["both", "missing", "unexpected"] = "both"
    """Missing: there is no actual picture of that name; unexpected: there is no expected one."""
    problem: str = ""
    """Why nothing was measured."""
    outcome: Status
    """Identical, or the worst verdict; skipped where the pictures differ and no limit judges it."""


class WorstPair(Record):
    """The pair of two folders that is least alike by one metric."""

    name: str
    """Path below both folders."""
    measurement: Measurement
    """What was measured on it."""


class PairStatistics(Record):
    """One metric over all pairs of two folders that differ and have a finite value."""

    metric: str
    """Name of the metric."""
    unit: str
    """Unit of the values; empty for none."""
    better: Literal["higher", "lower"]
    """Which direction is better."""
    pairs: int
    """Number of values."""
    mean: float
    """Arithmetic mean."""
    median: float
    """Value of nearest rank at one half."""
    percentile_5: float
    """Value of nearest rank at 0.05."""
    percentile_95: float
    """Value of nearest rank at 0.95."""
    lowest: float
    """Lowest value."""
    highest: float
    """Highest value."""


class FolderDiff(Record):
    """Two folders of picture files, compared with each other name by name."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    actual: str
    """Folder that is looked at, as it was given."""
    expected: str
    """Folder it is compared with, as it was given."""
    noise: Literal["unverified"] = "unverified"
    """Whether both sides began with the same noise: nothing about a picture file tells."""
    limits: list[Limit]
    """Limits that were given."""
    pairs: int
    """Number of names that both folders hold."""
    identical: int
    """Number of pairs that are equal byte for byte."""
    differing: int
    """Number of pairs that were measured and are not."""
    worst: list[WorstPair]
    """The worst of the differing pairs by each metric, the first by name where several are equally bad."""
    statistics: list[PairStatistics] = Field(default_factory=list)
    """Each metric over the differing pairs; empty in records from before this was computed."""
    without_value: dict[str, int]
    """Number of differing pairs for which a metric has no value, by metric; left out where all have one."""
    broken: list[str]
    """Names of pairs that break a limit or that a limit could not judge."""
    blank: dict[str, str] = Field(default_factory=dict)
    """Pairs of which a side shows nothing, by name: an error where a limit was given, else a notice."""
    problems: dict[str, str]
    """Why a pair was not measured, by name."""
    missing: list[str]
    """Expected names that the actual folder does not hold."""
    unexpected: list[str]
    """Actual names that the expected folder does not hold."""
    paired: list[NameMatch] = Field(default_factory=list)
    """Pairs whose names are not the same, and in what they differ."""
    pair: list[str] = Field(default_factory=list)
    """Rules for pairs that were asked for: ``exact``, ``stem``, ``casefold``."""
    nearly: list[NameMatch] = Field(default_factory=list)
    """Names without a counterpart that nearly match one on the other side; each of the two is missing or unexpected."""
    ignored: list[str] = Field(default_factory=list)
    """Names of both folders that were left out by name."""
    ignore: list[str] = Field(default_factory=list)
    """Patterns by which they were left out."""
    not_images: list[str] = Field(default_factory=list)
    """Names of both folders that are no pictures: texts, data, hidden files and folders (with ``/`` at the end)."""
    read_as: dict[ReadAs, int] = Field(default_factory=dict)
    """Number of picture files, of both sides, whose pixels were not stored as 8-bit RGB, by how they were read."""
    alpha: Literal["drop", "white", "black"] | None = None
    """What was to be done with real transparency; None where it is refused."""
    outcome: Status
    """The word for the whole: a missing, unexpected or unmeasured picture is an error."""
    message: str
    """The outcome in one sentence."""


# --- pictures of tests -----------------------------------------------------------------------------------------------


class AcceptedImage(Record):
    """The picture that a test is held against; its pixels lie beside this record as a PNG."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    test: str
    """Node id of the test, as pytest writes it."""
    label: str
    """Which of the test's pictures it is: its number, or the name that the test gives it."""
    digest: Digest
    """Digest of the pixels."""
    made: int
    """How often the picture was made, with equal bytes, when it was accepted: once is no evidence that it repeats."""
    who: str
    """Who accepted it."""
    why: Reason
    """Why the picture is right."""
    accepted_utc: str
    """When it was accepted."""


# --- files -----------------------------------------------------------------------------------------------------------

AnyRecord = TypeVar("AnyRecord", bound=Record)


def to_json(record: Record) -> str:
    """Text of a record as it is stored: strict JSON, two spaces, a newline at the end."""
    return json.dumps(record.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_record(kind: type[AnyRecord], path: Path) -> AnyRecord:
    """Read a record's file.

    Raises:
        RecordError: there is no such file, or it is not such a record.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecordError(
            f"{path} cannot be read: it is not UTF-8 text (byte 0x{error.object[error.start]:02x} at offset "
            f"{error.start}). Give a file that the harness wrote."
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a name that no system allows
        raise RecordError(f"{path} cannot be read: {error}. Give a file that the harness wrote.") from error
    return from_json(kind, text, place=path)


def from_json(kind: type[AnyRecord], text: str, *, place: Path | str) -> AnyRecord:
    """Read a record back; nothing is converted, so a number that is written as a text is refused.

    Raises:
        RecordError: the text is not such a record, or of another version; the message names ``place`` and the field.
    """
    data = parse_json(text, place=place)
    version = data.get("schema_version", SCHEMA_VERSION) if isinstance(data, dict) else SCHEMA_VERSION
    try:
        if version == SCHEMA_VERSION and type(version) is not int:  # true and 1.0 are equal to 1 for Python
            raise RecordError(
                f"{place} is not a {kind.__name__} of format {SCHEMA_VERSION}: schema_version: found {version!r}; "
                f"allowed is {SCHEMA_VERSION}. It is damaged or was edited; make it again."
            )
        return kind.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(_step(each) for each in first["loc"]) or "the whole file"
        observed = "" if first["type"] in {"missing", "json_invalid"} else f"; found {shown(first['input'])}"
        raise RecordError(
            f"{place} is not a {kind.__name__} of format {SCHEMA_VERSION}: {field}: {first['msg']}{observed}. "
            "It may be from another version of the harness, or damaged; make it again."
        ) from error


def parse_json(text: str, *, place: Path | str) -> Any:
    """Lists, dictionaries and scalars of a JSON text from outside.

    Raises:
        RecordError: the text is no strict JSON, is nested too deeply, has a key twice, or a number that no record
            holds; the message names ``place``.
    """
    try:
        return json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_each_key_once,
        )
    except RecursionError as error:
        raise RecordError(
            f"{place} is not valid JSON: it is nested too deeply; allowed are some hundred levels, and a record needs "
            "about ten. It is damaged, or no file of the harness; make it again."
        ) from error
    except ValueError as error:
        raise RecordError(f"{place} is not valid JSON: {error}. The file may be truncated; make it again.") from error


def json_digest(data: Any) -> str:
    """SHA-256 of canonical JSON: sorted keys, no spaces, UTF-8.

    >>> json_digest({"b": 1, "a": 2}) == json_digest({"a": 2, "b": 1})
    True
    """
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


_PLAIN_KEY = re.compile("[A-Za-z0-9_-]{1,80}")
_LARGEST_WHOLE = 2**63 - 1
_LONGEST_WHOLE = 20
"""Characters of the largest whole number, its sign included."""


def _step(step: str | int) -> str:
    """One step of the way to a field; a key that the harness does not write is shown with care."""
    return str(step) if isinstance(step, int) or _PLAIN_KEY.fullmatch(step) else quoted(step)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not strict JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"found the number {quoted(digits, 40)}; allowed are numbers up to 1.8e308")
    return value


def _whole(digits: str) -> int:
    if len(digits) > _LONGEST_WHOLE or abs(value := int(digits)) > _LARGEST_WHOLE:
        raise ValueError(f"found the whole number {quoted(digits, 40)}; allowed are those up to {_LARGEST_WHOLE}")
    return value


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        seen: set[str] = set()
        again = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {quoted(again)} stands twice in one mapping; allowed is once")
    return mapping
