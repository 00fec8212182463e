"""What workers write for ``harness explain``: a reference's trace, and what forcing a candidate with it measured."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from harness.records.base import Digest, Number, Record, Version
from harness.records.run import CaseKey, Plan, Schedule

TRACE_FILE = "reference.trace"
"""Name of a reference's trace, with its record and its values."""
TENSORS_FILE = "values.safetensors"
"""Name of a file with values that are kept between two pictures."""
FORCED_FILE = "forced.json"
"""Name of what forcing a candidate measured."""
SWAPPED_FILE = "swapped.json"
"""Name of what a picture with swapped values measured."""
TRIED_FILE = "tried.json"
"""Name of what trying known causes at a wrong place measured."""
OPERATORS_FILE = "operators.json"
"""Name of what looking at the operators of a module measured."""


class Side(StrEnum):
    """Which values of a module or function are meant."""

    INPUT = "input"
    """What enters it."""
    OUTPUT = "output"
    """What leaves it."""


class Place(Record):
    """What enters or leaves one call of a module, or of a function between modules."""

    path: str
    """Component and path of the module, such as ``transformer.transformer_blocks.2.ff``, or name of the function."""
    side: Side
    """What enters or what leaves."""
    step: int = 0
    """Number of scheduler steps that were done before, from 0."""
    forward: int = 0
    """Which call of the denoiser within the step it belongs to, from 0; 0 outside the denoiser."""
    call: int = 0
    """Which call of the module within that call of the denoiser, or within the step, from 0."""


class Value(Record):
    """One tensor at a place."""

    name: str
    """Name of the argument, or position in what is returned; empty for a result that is one tensor."""
    dtype: str
    """Type, such as ``float32``."""
    shape: list[int]
    """Shape."""


class TracedPlace(Record):
    """A place of a reference with what was kept of it."""

    place: Place
    """The place."""
    caller: str
    """Path of the module or function that was at work when it was called; empty for the pipeline itself."""
    values: list[Value]
    """Its tensors in their order; tensor k of place n is stored as ``n.k``."""
    floors: list[Number] = Field(default_factory=list)
    """For each tensor how far correct work may be from it, as relative L2: at least 2^-24."""


class Gap(Record):
    """How far the result of one picture is from that of another, as relative L2."""

    image: Number
    """8-bit picture."""
    float_image: Number | None = None
    """Output of the decoder; None where there is none."""
    latents: Number | None = None
    """Final latents; None where there are none."""

    @property
    def finest(self) -> float:
        """The one that rounding to 8 bits hides least of: decoder's output, else latents, else picture."""
        values = (self.float_image, self.latents, self.image)
        return next(float(value) for value in values if value is not None)


class Exact(Record):
    """What has to be equal bit for bit before any value is worth a look."""

    weights: dict[str, Digest]
    """SHA-256 over type, shape and bytes of each parameter and buffer, by component and name."""
    settings: dict[str, str]
    """Numbers, texts and switches of configurations and modules, by component, module and name."""
    noise: list[Digest]
    """SHA-256 of each random draw."""
    schedule: Schedule | None
    """Timesteps and noise levels."""


class Trace(Record):
    """A reference's picture, with the values on its way."""

    schema_version: Version = 2
    """Version of this format."""
    arm: str
    """Name of the arm."""
    dtype: str
    """Type the model was loaded in."""
    backend: str
    """Backend of its device."""
    simulated: bool = False
    """Whether a stand-in library plays that device."""
    key: CaseKey | None
    """Case and seed; None in somebody's own script."""
    steps: int
    """Denoising steps."""
    chosen_steps: list[int]
    """Steps at which the inside of the denoiser was kept, from 0."""
    denoiser: str
    """Component that denoises; empty where the adapter names none."""
    places: list[TracedPlace]
    """Places in order of execution."""
    blocks: bool = False
    """Whether only whole blocks were kept, because all modules were too much."""
    inside: str = ""
    """Module whose inside alone was kept, beside the denoiser's own; empty where all were."""
    tensors_bytes: int
    """Size of the values."""
    outcome: Digest | None
    """Digest over the result of the traced picture; None where only places were seen, in somebody's own script."""
    untraced_outcome: Digest | None
    """Digest over the result of the same picture without a trace; None where none was made."""
    exact: Exact
    """What has to be equal bit for bit."""
    end_to_end: Gap | None
    """How far the result moves when last bits of what leaves the denoiser's modules move; None where not measured."""
    plan: Plan | None = None
    """What was asked of the arm; None for somebody's own script."""
    picture_seconds: float
    """Time of an untraced picture."""
    seconds: float
    """Time of all pictures."""

    @property
    def changes_nothing(self) -> bool:
        """Whether the traced picture has the bytes of the untraced one."""
        return self.outcome == self.untraced_outcome


class PlaceErrors(Record):
    """How far a candidate is from the reference at one place, for each tensor, as relative L2."""

    place: Place
    """The reference's place."""
    forced: list[Number] | None
    """With the reference's values before it; None where the candidate did not come by."""
    free: list[Number] | None
    """With the candidate's own values before it; None where the candidate did not come by."""


class Coefficient(Record):
    """How much of a hypothesis is in what a module gave, by least squares."""

    hypothesis: str
    """Name of the hypothesis."""
    value: Number
    """1 where the cause is present and 0 where it is not, less what the same type does on a CPU."""
    standard_error: Number
    """Its standard error over rows that share one statistic; large where the inputs cannot show the cause."""
    effective_rows: Number
    """How many rows of equal weight would tell as much; from few a standard error is not known."""
    explained: Number
    """Share of the weighted square of the residual that goes away when the hypothesis is taken as the truth."""
    size: Number
    """Predicted change relative to the output, as relative L2."""


class Fit(Record):
    """The hypotheses about one module, tried on its own inputs and outputs."""

    path: str
    """Component and path of the module."""
    formula: str
    """Name of the formula that it is held against."""
    family: bool = False
    """Whether it is about all modules of a component with that formula instead of one."""
    rows: int
    """Number of rows that share one statistic."""
    coefficients: list[Coefficient]
    """One for each hypothesis that says something else than the formula."""


class Constant(Record):
    """A constant that the pipeline really used, estimated from its own values by least squares."""

    name: str
    """Name of the constant, such as ``guidance_scale``."""
    path: str
    """Module or function that uses it, as far as it was seen at work."""
    asked: Number
    """What the scenario or the configuration says."""
    value: Number
    """Estimate."""
    standard_error: Number
    """Its standard error."""


class Forced(Record):
    """A candidate's picture, free and with the reference's values in the place of its own."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    arm: str
    """Name of the arm."""
    dtype: str
    """Type the model was loaded in."""
    backend: str
    """Backend of its device."""
    simulated: bool = False
    """Whether a stand-in library plays that device."""
    outcome: Digest | None
    """Digest over the result of the traced picture, the first of its process; None in somebody's own script."""
    untraced_outcomes: list[Digest]
    """The same of untraced pictures after it, one where it equals the first, else two; none in a script."""
    second_outcome: Digest | None = None
    """The same of a second traced picture after two untraced ones; None where none was needed."""
    first_gap: Gap | None
    """From the reference's result to the first picture; None without a reference."""
    second_gap: Gap | None
    """From the reference's result to the last untraced picture."""
    exact: Exact
    """What has to be equal bit for bit."""
    errors: list[PlaceErrors]
    """Errors at the reference's places, in the reference's order."""
    kept: list[TracedPlace] = Field(default_factory=list)
    """Places above the limit, at most three of each kind, with the candidate's values; stored as those of a trace."""
    additional: list[str]
    """Modules and functions that only the candidate called."""
    not_finite: Place | None
    """Place at which a value that is no finite number was first seen in the free picture."""
    fits: list[Fit]
    """Modules with a formula, held against it."""
    probed: list[Fit] = Field(default_factory=list)
    """The same modules on inputs that are made to part the hypotheses."""
    probed_modules: dict[str, list[str]] = Field(default_factory=dict)
    """Modules that show a cause on inputs made for it, in order, by hypothesis."""
    constants: list[Constant]
    """Constants that could be estimated."""
    picture_seconds: float
    """Time of an untraced picture."""
    seconds: float
    """Time of all pictures."""


class Swapped(Record):
    """A picture for which values at some places were replaced in every step."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    arm: str
    """Name of the arm that made it."""
    gap: Gap
    """From the reference's untouched result."""
    replaced: int
    """Number of calls whose values were replaced."""
    places: list[TracedPlace] = Field(default_factory=list)
    """Places whose values were kept, in the order of execution; empty where values were replaced."""


class Trial(Record):
    """A known cause, tried at a place where the candidate is wrong although it got the reference's values."""

    hypothesis: str
    """Name of the hypothesis."""
    residual: Number
    """Relative L2 from what the candidate has there to what it would have with the cause."""
    without: Number
    """The same to what the reference has there, so without a cause."""
    floor: Number
    """How far correct work may be from the reference there."""
    estimate: Number | None = None
    """Constant that was estimated on the way; None where there is none."""
    standard_error: Number | None = None
    """Its standard error."""


class Tried(Record):
    """What trying known causes at a wrong place measured."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    path: str
    """Module or function that was named."""
    calls: int
    """How many of its calls were looked at."""
    trials: list[Trial]
    """Every cause that says something about this place."""
    seconds: float
    """Time it took."""


class OperatorError(Record):
    """An operator of the candidate that is far from what it should give, or gives two results for the same inputs."""

    name: str
    """Namespace and name, such as ``aten::addmm`` or ``npu::npu_rms_norm``."""
    path: str
    """Module or function that called it."""
    number: int
    """Which of the operators that compute values and were called there, from 0."""
    shapes: list[list[int]]
    """Shapes of the tensors that it was given."""
    dtype: str
    """Type of its first result."""
    error: Number
    """Relative L2 from the CPU in float64, or between two results for the same inputs."""
    floor: Number | None
    """How far correct work may be from the CPU in float64; None where two results were compared."""

    @property
    def ratio(self) -> float:
        """Error over floor; infinite where two results that ought to be equal differ."""
        return float(self.error / self.floor) if self.floor else float("inf")


class OperatorCheck(Record):
    """What looking at operators of a candidate gave, each on the inputs that it really had."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    path: str
    """Module or function whose operators these are; empty for the whole pipeline."""
    against_cpu: bool
    """Whether they were held against the CPU in float64, or only called twice."""
    checked: int
    """Number of calls that were looked at."""
    wrong: list[OperatorError]
    """Calls above the limit in order of execution, at most twenty."""
    wrong_count: int
    """How many there are."""
    changing: list[OperatorError]
    """Calls with two results for the same inputs in order of execution, at most twenty."""
    changing_count: int
    """How many there are."""
    unchecked: list[str]
    """Operators that could not be computed on the CPU."""


class InvestigationTask(StrEnum):
    """What a worker does for ``harness explain``."""

    TRACE = "trace"
    """Trace a reference and measure its floors."""
    FORCE = "force"
    """Force a candidate with a reference's values."""
    KEEP = "keep"
    """Keep the values of chosen places in every step."""
    TRY = "try"
    """Try known causes at places where a candidate is wrong, in the reference's process."""
    SWAP = "swap"
    """Make a picture with kept values of the other side."""
    OPERATORS = "operators"
    """Look at the operators that a wrong module calls, or where no place is given, at all of them."""


class Investigation(Record):
    """What one worker process does for ``harness explain``."""

    task: InvestigationTask
    """What is done."""
    key: CaseKey
    """Case and seed."""
    folder: str
    """Where results are written."""
    trace_file: str | None = None
    """The reference's trace; None without a reference."""
    steps: list[str] = Field(default_factory=lambda: ["first", "middle", "last"])
    """Steps at which the inside of the denoiser is kept: words, or numbers from 0."""
    most_bytes: int = 8 << 30
    """Largest size of a trace; where all modules are more, whole blocks alone are kept."""
    inside: str = ""
    """Module whose inside alone is traced; empty for all."""
    places: list[Place] = Field(default_factory=list)
    """Places whose values are kept or replaced; steps and calls of theirs are not looked at."""
    values_folder: str | None = None
    """Folder with the values that are put in their place, or that known causes are tried on."""
    path: str = ""
    """Module or function that was named, where known causes are tried or operators looked at."""
