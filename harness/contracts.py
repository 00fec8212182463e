"""What a part must offer: the seven kinds of part, and the plain values that cross their borders.

A part is a module in the folder of its kind (or an entry point of another package); the module itself fulfils the
protocol, so a part needs no base class and no registration. Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from harness.formulas import Formula
    from harness.observations import Behaviour, Observed, Prediction
    from harness.records import (
        FolderDiff,
        MemoryUse,
        ModelRef,
        PicturePair,
        Record,
        Release,
        Report,
        Switch,
        SwitchMode,
        Trend,
    )
    from harness.records.explanation import Explanation

Subject = Literal["image", "float_image", "latents", "conversion"]
"""What a metric is measured on: the 8-bit picture (range 255), the decoder's float output (range 2, from -1 to 1), the
latents after the last step (any shape, no range), or what the conversion of the float output to 8 bits added (in
levels, no range)."""

DATA_RANGE: Mapping[Subject, float] = {"image": 255.0, "float_image": 2.0}
"""Distance between the smallest and the largest value a subject can have, in its own unit; the others have none."""


# --- metrics ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a metric found for one pair of pictures."""

    value: float
    """The one number that limits judge."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Named numbers behind the value, such as one per channel."""
    where: str = ""
    """The place in the picture the value comes from, such as ``tile x=32..63 y=0..31``."""


Scale = Literal["decibel", "similarity", "square", "distance"]
"""How a value grows with the size of the error behind it: ``decibel``, a logarithm of it; ``square``, its square;
``distance``, the error itself; ``similarity``, which falls from 1 with its square as long as it is small."""


class Metric(Protocol):
    """One number for a pair of pictures: ``harness/metrics/NAME.py``; the file's name is the metric's name."""

    UNIT: str
    """Unit of the value, for instance ``dB``, ``levels``; empty when there is none."""
    BETTER: Literal["higher", "lower"]
    """Direction in which the pictures are more alike."""
    SCALE: Scale
    """How the value counts, so that limits can be calibrated; a metric without it is never calibrated."""
    IDENTICAL: float
    """Value for two pictures that are equal byte for byte."""
    SPEC: str
    """Identifier of the exact definition; it changes whenever a value could."""
    SUBJECTS: tuple[Subject, ...]
    """What the metric is defined on."""

    def measure(self, actual: NDArray[Any], expected: NDArray[Any], *, data_range: float) -> Measured:
        """Compare two arrays of equal shape and dtype, pictures ``[H, W, 3]`` or latents; never changes them.

        ``data_range`` is NaN for latents and conversions. Arrays on ``bytes``, which nobody can change, may be
        remembered by identity.

        Raises:
            UndefinedMetric: the definition gives no value for these pictures.
        """
        ...


class ErrorMetric(Metric, Protocol):
    """A metric that a limit with ``ratio_to`` may judge: 0 for equal pictures, and the more the worse."""

    def rounding_floor(self, step: float) -> float:
        """Value for errors spread evenly over one rounding step: from ``-step / 2`` to ``step / 2``, on values of 1."""
        ...


# --- scores ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a score found in one picture."""

    value: float
    """0 for wrong, 1 for right; a score that knows degrees may give what lies between."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Named numbers from 0 to 1 behind the value, such as one per rule."""
    words: str = ""
    """Why the value is not 1, such as which rule the picture breaks."""


class Score(Protocol):
    """What one picture is worth by what it was asked to show: ``harness/scores/NAME.py``; no reference is needed."""

    SPEC: str
    """Identifier of the exact definition; it changes whenever a value could."""

    def score(self, image: NDArray[np.uint8], *, prompt: str, input_image: NDArray[np.uint8] | None) -> Scored:
        """Score a picture ``uint8[H, W, 3]``; ``input_image`` is the picture that was edited, where one was.

        Raises:
            UndefinedScore: the definition gives no value for this picture or prompt; never 0 in its place.
        """
        ...


class DemandingScore(Score, Protocol):
    """A score that needs what the base install does not have."""

    def require(self) -> None:
        """Nothing, where the score can be made; it is asked before any picture is.

        Raises:
            UsageError: something is not installed; the message says what installs it.
        """
        ...


def demands(score: Score) -> TypeGuard[DemandingScore]:
    """Whether a score needs what the base install does not have."""
    return hasattr(score, "require")


# --- renderers -------------------------------------------------------------------------------------------------------


class Renderer(Protocol):
    """One report format: ``harness/render/NAME.py``."""

    FILE_NAME: str
    """Name of the file inside the report folder."""

    def render(self, report: Report, *, folder: Path) -> str:
        """Turn records into text; a pure function of the report and of the picture files it names below ``folder``."""
        ...


class ReleaseRenderer(Renderer, Protocol):
    """A format that has the report of a release as well."""

    def render_release(self, release: Release, *, folders: Mapping[str, Path]) -> str:
        """Turn records into text in the spoken language; ``folders`` are the job folders, by the names of the jobs."""
        ...


class TrendRenderer(Renderer, Protocol):
    """A format that shows one scenario over several jobs as well."""

    def render_trend(self, trend: Trend, names: Mapping[str, str]) -> str:
        """Turn records into text in the spoken language; ``names`` are the names of the page's files by language."""
        ...


class CardRenderer(Renderer, Protocol):
    """A format that has the card of a release as well, which a porter publishes."""

    CARD_FILE_NAME: str
    """Name of that file inside the folder of the card, for the release's first language."""

    def render_card(self, release: Release) -> str:
        """Turn records into text in the spoken language."""
        ...

    def card_pictures(self, release: Release) -> Mapping[str, tuple[str, str]]:
        """Images that the text shows: run and file inside its folder, by their names below the card's folder."""
        ...


class FolderRenderer(Renderer, Protocol):
    """A format that has the report of two folders of picture files as well."""

    FOLDERS_FILE_NAME: str
    """Name of that file inside its folder."""

    def render_folders(
        self, diff: FolderDiff, pairs: Sequence[PicturePair], *, folders: tuple[Path, Path] | None
    ) -> str:
        """Turn records into text in the spoken language; ``folders`` hold the pictures, where they are to be had."""
        ...


@dataclass(frozen=True, kw_only=True)
class ShownPair:
    """Two pictures that no job folder holds, to be shown side by side."""

    title: str
    """What they are called; may be empty."""
    actual: NDArray[np.uint8]
    """``uint8[H, W, 3]``."""
    expected: NDArray[np.uint8] | None = None
    """Of the size of ``actual``; None where there is none."""
    pair: PicturePair | None = None
    """What was measured; None where nothing was."""
    message: str = ""
    """Why they are shown, in lines."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Addresses of their files beside the page, by their names."""


class PicturesRenderer(Renderer, Protocol):
    """A format that shows pairs of pictures that no job made as well."""

    def render_pair(self, shown: ShownPair) -> str:
        """A piece of a page, for a notebook."""
        ...

    def render_pairs(self, title: str, sentence: str, shown: Sequence[ShownPair]) -> str:
        """A page of its own."""
        ...


class ExplanationRenderer(Renderer, Protocol):
    """A format that has the page of an explanation as well."""

    def render_explanation(self, explanation: Explanation) -> str:
        """Turn the record into text in the spoken language."""
        ...


# --- models ----------------------------------------------------------------------------------------------------------


class EmbeddedModel(Protocol):
    """A checkpoint that the harness can build by itself: ``harness/models/NAME``, used as ``builtin:NAME``."""

    SUMMARY: str
    """One sentence for listings."""
    DIGEST: str
    """SHA-256 over the sorted relative paths and contents of the built files."""

    def build(self, destination: Path) -> None:
        """Write the whole checkpoint into the empty folder ``destination``."""
        ...

    def checkpoint_digest(self, folder: Path) -> str:
        """Digest of a built folder, to be compared with ``DIGEST``."""
        ...


# --- backends --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Availability:
    """Whether a backend can be used here, and why not."""

    available: bool
    reason: str
    """Why it is not available and what to do; for an available one, what was found."""
    device_count: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)
    """Versions and properties that were found on the way, also where the device cannot be used."""
    memory_bytes: Sequence[int] = ()
    """Memory of each device, where it can be told without opening one."""
    simulated: bool = False
    """Whether a stand-in library plays the devices."""


class Device(Protocol):
    """An opened device of a backend, inside a worker."""

    torch_device: str
    """What ``torch.device`` takes, such as ``cpu`` or ``npu:0``."""
    name: str
    """The product's name as the driver gives it."""
    simulated: bool
    """Whether a stand-in library plays the device."""

    def seed(self, seed: int) -> None:
        """Seed every generator this process could draw from."""
        ...

    def rng_state(self) -> str:
        """Digest of the device's global generator, to notice draws that nobody logged."""
        ...

    def synchronize(self) -> None:
        """Wait until all queued work is done."""
        ...

    def switches(self) -> Sequence[Switch]:
        """What was asked for, what the interpreter saw at its start and what is in force now."""
        ...

    def memory(self, modules: Mapping[str, Any]) -> Mapping[str, MemoryUse]:
        """Bytes allocated for each named torch module, and ``device`` for the whole device where it can tell."""
        ...

    def reset_peak_memory(self) -> None:
        """Forget the peak so that the next reading covers only what follows."""
        ...

    def facts(self) -> Mapping[str, str]:
        """Versions and properties of driver, toolkit and chip, without serial numbers."""
        ...


class Backend(Protocol):
    """One kind of device: ``harness/backends/NAME.py``."""

    AUTO_RANK: int
    """Order in which ``--device auto`` tries the backends; the lowest that is available wins."""

    def probe(self) -> Availability:
        """Say whether the backend can be used here; never raises. Imports torch, so it is called in a child only."""
        ...

    def start_environment(self, switches: SwitchMode) -> Mapping[str, str]:
        """Environment variables that must be set before a worker starts."""
        ...

    def open(self, index: int, switches: SwitchMode) -> Device:
        """Open the device and set what can only be set inside the process.

        Raises:
            DeviceUnavailable: there is no such device.
        """
        ...


# --- adapters --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call to make, of one picture unless it says otherwise."""

    prompt: str
    negative_prompt: str | None
    """None leaves the pipeline's own default in place."""
    input_image: Path | None
    width: int
    height: int
    steps: int
    guidance_scale: float
    seed: int
    arguments: Mapping[str, object] = field(default_factory=dict)
    """Further arguments of the call by name; images are PIL images."""
    arm: str = ""
    """Name of the arm."""
    case: str = ""
    """Name of the case."""
    process: int = 0
    """Index of the worker process."""
    python: str = ""
    """The arm's own Python interpreter, for commands; empty where it has none."""
    repeat: int = 0
    """Index inside the process. It names a picture that exists; a model must never be told."""
    frames: int | None = None
    """How many frames of a video the call makes; None for pictures."""
    kept_frames: Collection[int] = ()
    """Numbers of the frames that are stored, from 1; only these need a float output."""
    pictures: int = 1
    """How many pictures the call makes; above 1 only for adapters that declare ``SEVERAL_PICTURES``."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a pipeline made."""

    image: NDArray[np.uint8]
    """uint8[H, W, 3], RGB."""
    float_image: NDArray[np.float32] | None
    """float32[H, W, 3] from the decoder before it is cut to 8 bits, nominally from -1 to 1; None where not offered."""
    float_image_dtype: str | None
    """Type the decoder computed in, such as ``bfloat16``; the array above is an exact upcast."""


class Watch(Protocol):
    """What an adapter tells while it works; implemented by the worker's recorder."""

    def generator(self, generator: Any) -> None:
        """Report the torch generator that the pipeline is about to be given; not called where it is given a seed."""
        ...

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Time a named stage, for instance ``text_encoding``, ``image_encoding``, ``denoising``, ``vae_decode``."""
        ...

    def schedule(self, timesteps: Any, sigmas: Any) -> None:
        """Report the scheduler's table (torch tensors, ``sigmas`` None where there are none) before the first step."""
        ...

    def step(self, latents: Any) -> None:
        """Report the latents (a torch tensor) after one denoising step."""
        ...

    def decoded(self, module: str, output: Any) -> None:
        """Report what a decoder gave: a tensor of any rank, or anything that holds some; it must hold only numbers."""
        ...

    def without_effect(self, message: str) -> None:
        """Report in words a setting that was asked for and changed nothing in this picture."""
        ...

    def rows(self, name: str, values: Any, real: Any) -> None:
        """Report a tensor [batch, rows, width] on the way, and in bool [batch, rows] which rows are not padding."""
        ...


class Pipeline(Protocol):
    """A loaded pipeline."""

    modules: Mapping[str, Any]
    """The torch modules by component name, for placement and memory."""
    components: Mapping[str, str]
    """Component that works in a stage, by stage, so that a stage's peak of memory has an owner."""
    substitutions: Sequence[str]
    """What was asked for and replaced, and what that means for the numbers; empty when nothing was."""
    notes: Sequence[str]
    """Facts about the loaded pipeline worth a line in the report, for instance the scheduler and its shift."""

    def generate(self, request: Request, watch: Watch) -> Picture:
        """Make one picture; the same request gives the same call to the model every time."""
        ...


class SeveralPipeline(Pipeline, Protocol):
    """A pipeline that makes several pictures in one call; its adapter declares ``SEVERAL_PICTURES = True``."""

    def generate_several(self, request: Request, watch: Watch) -> Sequence[Picture]:
        """Make all pictures of one call, in its order; another number than the request says is refused."""
        ...


class FramesPipeline(Pipeline, Protocol):
    """A pipeline that makes videos; its adapter declares ``FRAMES = True``."""

    def generate_frames(self, request: Request, watch: Watch) -> Iterator[Picture]:
        """Make all frames of one call, in their order; another number than the request says is refused.

        What is computed is computed before this returns. The frames are taken one after the other, so files need not be
        in memory together.
        """
        ...


def gives_frames(pipeline: Pipeline) -> TypeGuard[FramesPipeline]:
    """Whether a pipeline makes videos."""
    return hasattr(pipeline, "generate_frames")


def gives_several(pipeline: Pipeline) -> TypeGuard[SeveralPipeline]:
    """Whether a pipeline makes several pictures in one call."""
    return hasattr(pipeline, "generate_several")


@dataclass(frozen=True, kw_only=True)
class Joint:
    """A function between modules that ``harness explain`` watches, such as a scheduler's step."""

    owner: Any
    """Object or module whose attribute the function is; calls have to look it up there."""
    name: str
    """Name of that attribute."""
    path: str
    """What it is called, such as ``scheduler.step`` or ``pipeline.latents_to_pixels``."""


class JointedPipeline(Pipeline, Protocol):
    """A pipeline that names the functions between its modules."""

    joints: Sequence[Joint]
    """The functions; ``scheduler.step`` among them tells the steps apart."""
    activations: Mapping[str, Literal["erf", "tanh", "quick"]]
    """Form of GELU between the layers ``fc1`` and ``fc2`` of a module, by its path, where it is no module itself."""


def joints_of(pipeline: Pipeline) -> Sequence[Joint]:
    """Functions between the modules of a pipeline that are there; none where its adapter names none."""
    joints: Sequence[Joint] = getattr(pipeline, "joints", ())
    return [joint for joint in joints if callable(getattr(joint.owner, joint.name, None))]


def activations_of(pipeline: Pipeline) -> Mapping[str, str]:
    """Forms of GELU that are no modules of their own; none where the adapter names none."""
    forms: Mapping[str, str] = getattr(pipeline, "activations", {})
    return forms


class Adapter(Protocol):
    """How one family of pipelines is loaded and called: ``harness/adapters/NAME.py``."""

    def check(self, folder: Path, model: ModelRef) -> None:
        """Look at a model folder without loading it and without importing torch.

        Raises:
            ModelError: the folder cannot be what the scenario says.
        """
        ...

    def load(self, folder: Path, model: ModelRef, device: Device) -> Pipeline:
        """Load the model from ``folder`` onto the device. Imports torch, so it is called in a child only."""
        ...


class AdapterWithOptions(Adapter, Protocol):
    """An adapter that takes options of its own from ``model.options`` of a scenario."""

    OPTIONS: type[Record]
    """What they are: a record whose fields have types, defaults, bounds and docstrings."""


def takes_options(adapter: Adapter) -> TypeGuard[AdapterWithOptions]:
    """Whether an adapter takes options of its own."""
    return hasattr(adapter, "OPTIONS")


class CallingAdapter(Adapter, Protocol):
    """An adapter whose pipelines take arguments of a scenario's choice, beyond those that a scenario has words for."""

    OTHER_WORDS: Mapping[str, str]
    """Names that are refused, because a scenario says it otherwise or the harness sets it: what to do instead."""

    def parameters(self, folder: Path) -> Sequence[str] | None:
        """Parameters of the call of a folder's pipeline, without importing it; None where that cannot be told."""
        ...


def takes_arguments(adapter: Adapter) -> TypeGuard[CallingAdapter]:
    """Whether an adapter's pipelines take arguments of a scenario's choice."""
    return hasattr(adapter, "OTHER_WORDS")


def makes_several(adapter: Adapter) -> bool:
    """Whether one call of an adapter's pipelines may make several pictures: its ``SEVERAL_PICTURES``."""
    return getattr(adapter, "SEVERAL_PICTURES", False)


def makes_frames(adapter: Adapter) -> bool:
    """Whether an adapter's pipelines may make videos: its ``FRAMES``."""
    return getattr(adapter, "FRAMES", False)


class LoadingAdapter(Adapter, Protocol):
    """An adapter that heeds keys of ``load`` of a scenario."""

    LOADS: Collection[str]
    """Names of these keys."""


def loading_keys(adapter: Adapter) -> Collection[str]:
    """Keys of ``load`` that an adapter heeds; none where it does not say."""
    keys: Collection[str] = getattr(adapter, "LOADS", ())
    return keys


def size_multiple(adapter: Adapter) -> int:
    """What width and height have to be multiples of: the adapter's ``SIZE_MULTIPLE``, 1 where it has none.

    A pipeline of any other size says so itself, when it is asked for one.
    """
    return getattr(adapter, "SIZE_MULTIPLE", 1)


class CheckingPipeline(Protocol):
    """A loaded pipeline that can tell, before anything is made, what it cannot be asked."""

    def check_request(self, request: Request) -> None:
        """Look at a request without making anything.

        Raises:
            RunError: the pipeline cannot be asked this.
            UnknownName: it has no such argument.
        """
        ...


def checks_requests(pipeline: Pipeline | CheckingPipeline) -> TypeGuard[CheckingPipeline]:
    """Whether a pipeline looks at requests before anything is made."""
    return hasattr(pipeline, "check_request")


class ProvingPipeline(Protocol):
    """A loaded pipeline that counts how often what ``load`` turns on has worked, such as compiled graphs that ran."""

    def proofs(self) -> Mapping[str, int]:
        """All counters as they stand, by what they count; each must grow in every image."""
        ...


def proofs_of(pipeline: Pipeline | ProvingPipeline) -> Mapping[str, int]:
    """Counters of a pipeline as they stand; none where it counts nothing."""
    return pipeline.proofs() if hasattr(pipeline, "proofs") else {}


class ChoosingAdapter(Adapter, Protocol):
    """An adapter that says which files its loader reads; one that does not say is taken to read all of them.

    Only these files, the index and Python files are copied for workers and make the model's identity, so a loader that
    reads another file does not find it.
    """

    def reads(self, folder: Path, names: Collection[str], model: ModelRef) -> Collection[str]:
        """Those of ``names``, all files of the folder relative to it and with ``/``, that the loader reads.

        Raises:
            ModelError: the folder does not say.
        """
        ...


def chooses(adapter: Adapter) -> TypeGuard[ChoosingAdapter]:
    """Whether an adapter says which files its loader reads."""
    return hasattr(adapter, "reads")


class OutsideAdapter(Adapter, Protocol):
    """An adapter for pictures that are made outside the worker, where no draw can be seen or injected.

    The worker opens no device and imports no torch, the source is used where it is instead of copied, and everything
    that is made of the pictures says that their noise is unverified.
    """

    NOISE: Literal["unverified"]
    """Declares it; every other adapter has its draws logged, and a picture without one is a failure."""
    COMPUTES: bool
    """Whether the pictures are made while the run goes on; where not, the arm's device is ``cpu``."""

    def check_template(self, model: ModelRef) -> None:
        """Look at the texts with names in braces; the source need not be there. ``check`` does this too.

        Raises:
            UnknownName: a name in braces stands for nothing.
            ModelError: cases and seeds would not be told apart, or the texts are missing or cannot be read.
        """
        ...

    def digests(self, folder: Path, model: ModelRef) -> Mapping[str, str]:
        """SHA-256 of everything that decides about the pictures, by name: what a model's files are elsewhere.

        Raises:
            ModelError: as ``check``.
        """
        ...


def is_outside(adapter: Adapter) -> TypeGuard[OutsideAdapter]:
    """Whether an adapter's pictures are made outside the worker."""
    return getattr(adapter, "NOISE", None) == "unverified"


# --- kernels ---------------------------------------------------------------------------------------------------------


class Kernel(Protocol):
    """A fused operator of torch_npu in plain PyTorch: ``harness/kernels/NAME.py``, named as the operator is."""

    FORMULA: str
    """What is computed, in one line."""
    SOURCE: str
    """Where the formula is documented."""

    def kernel(self, *tensors: Any, **options: Any) -> Any:
        """Compute the operator; parameters have the names of the operator's schema, later ones defaults.

        Raises:
            NotCovered: the arguments ask for a form of the operator that this kernel does not compute.
        """
        ...


# --- hypotheses ------------------------------------------------------------------------------------------------------


class Hypothesis(Protocol):
    """A known cause of wrong modules: ``harness/hypotheses/NAME.py``; it is tried by the one function that it has."""

    CAUSE: str
    """What is wrong, in one sentence."""
    SOURCE: str
    """Public report or document in which it is known."""


class FormulaHypothesis(Hypothesis, Protocol):
    """A cause that changes the formula of a module."""

    def changed(self, formula: Formula) -> Formula | None:
        """The formula with that cause in it; None where the cause says nothing about it or changes nothing."""
        ...


class ValueHypothesis(Hypothesis, Protocol):
    """A cause that makes other values out of right ones, whatever computed them."""

    def predicted(self, observed: Observed) -> Iterator[Prediction]:
        """What would be there with that cause; several where it has several forms, nothing where it cannot be."""
        ...


class OperatorHypothesis(Hypothesis, Protocol):
    """A cause that changes operators inside a module; it may import torch, inside of its functions."""

    def replaced(self) -> Iterator[Mapping[str, Callable[..., Any]]]:
        """Operators with that cause in them, by name, in each of its forms.

        A name is that of a function of torch, such as ``scaled_dot_product_attention``, or a pattern such as
        ``apply_*rotary*`` for functions of the file that a module's class is from. An operator gets the right one
        first, and then the arguments of the call.
        """
        ...


class BehaviourHypothesis(Hypothesis, Protocol):
    """A cause that shows in how pictures relate to each other."""

    def shown(self, behaviour: Behaviour) -> bool:
        """Whether pictures with that cause are like these."""
        ...


class ProbeHypothesis(Hypothesis, Protocol):
    """A cause that a module shows on inputs made for it; it may import torch, inside of its functions."""

    def probed(self, module: Any) -> bool | None:
        """Whether a torch module has that cause; None where the cause says nothing about such a module."""
        ...


KINDS: Mapping[str, str] = {
    "metrics": "metric",
    "scores": "score",
    "backends": "backend",
    "adapters": "adapter",
    "render": "report format",
    "models": "embedded model",
    "kernels": "reference kernel",
    "benchmarks": "benchmark",
    "hypotheses": "hypothesis",
}
"""Folder of each kind of part, and the word for one of its parts."""
