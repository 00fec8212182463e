"""What a run writes: its plan, its samples and failures, and what it ran on."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, SerializerFunctionWrapHandler, model_serializer

from harness import message
from harness.language import recorded
from harness.records.base import TEXT_ALONE, Digest, Id, Number, Record, Text, Version, json_digest, without_defaults
from harness.records.enums import NoiseMode, SwitchMode, Task
from harness.records.environment import Environment
from harness.records.model import ModelRef
from harness.records.scenario import Arm, Case, Frames, Limit, OnPurpose, Repeats, Waiver

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RUN_FILE = "run.json"
"""Name of a run's record in its folder."""


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

    load_files: dict[str, Digest] = Field(default_factory=dict)
    """SHA-256 of each file that ``load`` names, such as LoRA weights, by what is written."""

    @property
    def key(self) -> str:
        """The digest that tells whether a model is still the same: over what is loaded, where that is known."""
        known = self.loaded or self.digest
        return json_digest([known, self.load_files]) if self.load_files else known


class CaseKey(Record):
    """What both sides of a pair share."""

    case: Id
    """Name of the case."""
    seed: int
    """The seed."""
    image: int | None = Field(default=None, ge=1)
    """Number of the image among those of its call, from 1; None where a call makes one."""
    images: int | None = Field(default=None, ge=2)
    """How many images the call makes; None where it makes one."""
    frame: int | None = Field(default=None, ge=1)
    """Number of the frame of a video, from 1; None where it is no frame, or the whole video is meant."""
    frames: int | None = Field(default=None, ge=2)
    """How many frames the video has; None where it is no frame."""

    def __str__(self) -> str:
        """Case, seed, and image or frame in words."""
        if self.frame is not None and self.frames is not None:
            return recorded(
                "{case:s}, seed {seed:d}, frame {frame:d} of {frames:d}",
                case=self.case,
                seed=self.seed,
                frame=self.frame,
                frames=self.frames,
            )
        if self.image is None or self.images is None:
            return recorded("{case:s}, seed {seed:d}", case=self.case, seed=self.seed)
        return recorded(
            "{case:s}, seed {seed:d}, image {image:d} of {images:d}",
            case=self.case,
            seed=self.seed,
            image=self.image,
            images=self.images,
        )

    @property
    def call(self) -> CaseKey:
        """The key of the call that makes the image: case and seed alone."""
        return CaseKey(case=self.case, seed=self.seed)

    @property
    def order(self) -> tuple[str, int, int]:
        """What keys are sorted by: case, seed, and number of the image or frame."""
        return self.case, self.seed, self.image or self.frame or 0

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A key of a call that makes one image is written as before calls could make several."""
        return without_defaults(self, dump(self), {"image", "images", "frame", "frames"})


def calls_of(keys: Iterable[CaseKey]) -> dict[CaseKey, CaseKey]:
    """The first key of every call, by the key of the call, in their order: what images of one call share is asked once.

    >>> [str(call) for call in calls_of([CaseKey(case="cup", seed=3, image=n, images=2) for n in (1, 2)])]
    ['cup, seed 3']
    """
    firsts: dict[CaseKey, CaseKey] = {}
    for key in keys:
        firsts.setdefault(key.call, key)
    return firsts


def listed(keys: Sequence[CaseKey]) -> str:
    """Cases and seeds in words, one after another; empty where there are none."""
    return message.listed(keys) if keys else ""


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
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    """Arguments of the pipeline's call for all cases and arms."""
    argument_digests: dict[str, Digest] = Field(default_factory=dict)
    """SHA-256 of the pixels of each image among the arguments, by its file as it is written."""
    pictures_per_case: int = 1
    """Images that each call makes."""
    frames: Frames | None = None
    """Frames that each call makes, where it makes a video."""

    @model_serializer(mode="wrap")
    def _of_one_image(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A plan of calls that make one image is written as before calls could make several."""
        return without_defaults(self, dump(self), {"pictures_per_case", "frames"})

    @property
    def digest(self) -> str:
        """SHA-256 of the plan's canonical JSON."""
        return json_digest(self.model_dump(mode="json", context=TEXT_ALONE))

    @property
    def noise(self) -> NoiseMode:
        """Where random draws come from."""
        return NoiseMode.BASELINE if self.noise_from else self.arm.noise or NoiseMode.PORTABLE

    @property
    def switches(self) -> SwitchMode:
        """Which determinism switches are set."""
        return self.arm.switches or SwitchMode.DETERMINISTIC

    def size_of(self, case: Case) -> tuple[int, int]:
        """Width and height of a case's picture, in pixels."""
        return case.width or self.width, case.height or self.height

    def arguments_of(self, case: Case) -> dict[str, JsonValue]:
        """Arguments of the pipeline's call for a case: the arm's before the case's before the scenario's."""
        return {**self.arguments, **case.arguments, **self.arm.arguments}

    @property
    def calls(self) -> list[CaseKey]:
        """Every case with every seed, in the order they are made; each is one call of the pipeline."""
        return [CaseKey(case=case.id, seed=seed) for case in self.cases for seed in self.seeds]

    @property
    def keys(self) -> list[CaseKey]:
        """Every image of every call, in the order they are made."""
        return [key for call in self.calls for key in self.keys_of(call)]

    @property
    def samples_per_call(self) -> int:
        """The largest number of images or frames of a call that are stored."""
        return len(self.frames.kept) if self.frames else max(map(self.pictures_of, self.cases), default=1)

    def pictures_of(self, case: Case) -> int:
        """Images that one call makes for a case."""
        return case.pictures_per_case or self.pictures_per_case

    def keys_of(self, call: CaseKey) -> list[CaseKey]:
        """The images of one call, or the stored frames of its video."""
        if self.frames is not None:
            numbered = {"frames": self.frames.count}
            return [call.model_copy(update={"frame": number, **numbered}) for number in self.frames.kept]
        count = next((self.pictures_of(case) for case in self.cases if case.id == call.case), 1)
        if count == 1:
            return [call]
        return [call.model_copy(update={"image": number, "images": count}) for number in range(1, count + 1)]


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


REAL_ROWS, PADDED_ROWS = "/real_rows", "/padded_rows"
"""Ends of the names of intermediate tensors whose real and padded rows are traced apart."""


def _trace_name(name: str) -> str:
    """Names of version 1 were phrases."""
    return name.replace(", real rows", REAL_ROWS).replace(", padded rows", PADDED_ROWS)


TraceName = Annotated[str, AfterValidator(_trace_name)]
"""Name of an intermediate tensor."""


def file_stem(key: CaseKey, process: int, repeat: int) -> str:
    """Name of the files of a sample, without their endings.

    >>> file_stem(CaseKey(case="cup", seed=3, image=2, images=4), process=0, repeat=1)
    'p0r1i2'
    """
    part = f"i{key.image}" if key.image else f"f{key.frame}" if key.frame else ""
    return f"p{process}r{repeat}{part}"


class Video(Record):
    """All frames of a call, of which some are stored; it stands in the sample of the first one that is."""

    frames: list[Digest]
    """SHA-256 over dtype, shape and bytes of the 8-bit array of each frame, in their order."""
    latents: ArrayRef | None = None
    """The latents after the last step, of all frames together."""
    per_step: list[Step] = Field(default_factory=list)
    """Latents after each denoising step, of all frames together."""

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of all frames."""
        return hashlib.sha256(" ".join(self.frames).encode()).hexdigest()


class Sample(Record):
    """One picture that was made."""

    key: CaseKey
    """Case and seed, and the image where a call makes several; these share draws, schedule, times and memory."""
    process: int
    """Index of the worker process; one that replaces an interrupted one has an index of its own."""
    repeat: int
    """Index inside the process."""
    image: ArrayRef
    """The 8-bit picture."""
    float_image: ArrayRef | None
    """The decoder's output before it is cut to 8 bits."""
    latents: ArrayRef | None
    """The latents after the last step; where a call makes several images, those of this one as far as they can be told
    apart."""
    noise_digest: Digest | None
    """SHA-256 over the digests of all logged draws, in their order; None where the noise is unverified."""
    noise_path: str | None
    """File with the drawn values, ``noise.0`` onwards, relative to the run folder; None where the noise is
    unverified."""
    draws: list[Draw]
    """All logged draws."""
    hidden_draws: list[Text]
    """Signs of draws that could not be logged or controlled; empty when the noise is fully known."""
    without_effect: list[str] = Field(default_factory=list)
    """Settings that were asked for and changed nothing, in words; empty in records from before this was looked for."""
    schedule: Schedule | None = None
    """The scheduler's table; None where the adapter tells of none."""
    per_step: list[Step]
    """Latents after each denoising step."""
    traces: dict[TraceName, list[Step]] = Field(default_factory=dict)
    """Intermediate tensors, by name and in the order of the calls, such as ``text_encoding/padded_rows``."""
    npu_calls: dict[str, int] = Field(default_factory=dict)
    """How often the harness's reference kernels answered for each fused operator of torch_npu."""
    in_effect: dict[str, int] = Field(default_factory=dict)
    """How often what ``load`` turns on worked while this was made, such as ``compile transformer``; never 0."""
    seconds: dict[str, float]
    """Seconds by stage, ``total`` for the whole call."""
    memory: dict[str, MemoryUse]
    """Memory by component, ``device`` for the whole device where it can tell."""
    stage_memory: dict[str, MemoryUse]
    """Memory of the whole device at the end of each stage, and its peak in the stage, where it can tell."""
    video: Video | None = None
    """All frames of the call, in the sample of the first frame that is stored; None in all others."""

    @model_serializer(mode="wrap")
    def _without_a_video(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A sample without a video is written as before there were any."""
        return without_defaults(self, dump(self), {"video"})

    @property
    def of_the_video(self) -> Sample | None:
        """The whole video as a sample of its call, whose picture has the digest of all frames; None in all others."""
        if self.video is None:
            return None
        whole = self.image.model_copy(update={"digest": self.video.digest})
        of_all = {"float_image": None, "latents": self.video.latents, "per_step": self.video.per_step}
        return self.model_copy(update={"key": self.key.call, "image": whole, "video": None, **of_all})

    @property
    def everything(self) -> str:
        """Digest over what was made, and over the whole video where the sample holds it."""
        video = self.of_the_video
        return self.outcome if video is None else f"{self.outcome} {video.outcome}"

    @property
    def outcome(self) -> str:
        """Digest over everything that was made: picture, float output and latents."""
        made = [array.digest if array else "" for array in (self.image, self.float_image, self.latents)]
        return hashlib.sha256(" ".join(made).encode()).hexdigest()

    @property
    def label(self) -> str:
        """Process and repeat in short form, such as ``p0r2``."""
        return f"p{self.process}r{self.repeat}"

    @property
    def place(self) -> str:
        """File of its record, relative to the run folder."""
        return f"samples/{self.key.case}/{self.key.seed}/{file_stem(self.key, self.process, self.repeat)}.json"


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
    message: Text
    """The error in words."""
    traceback: str = ""
    """Where it came from, or the last lines the process wrote; home folders and tokens are taken out."""


class LoadedModel(Record):
    """What the worker found after loading."""

    notes: list[Text]
    """Facts about the loaded pipeline."""
    memory: dict[str, MemoryUse]
    """Memory by component after loading."""
    seconds: float
    """Time to load."""
    components: dict[str, str] = Field(default_factory=dict)
    """Component that works in a stage, by stage."""
    substitutions: list[Text] = Field(default_factory=list)
    """What was asked for and replaced, such as an attention implementation, and what that means for the numbers."""


class Run(Record):
    """One arm of one scenario: all samples and failures of its plan."""

    schema_version: Version = 2
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

    def videos_of(self, call: CaseKey) -> list[Sample]:
        """The videos of one case and seed as samples of the call, in the order of processes and repeats."""
        videos = [sample.of_the_video for sample in self.samples if sample.video and sample.key.call == call]
        return [video for video in videos if video is not None]
