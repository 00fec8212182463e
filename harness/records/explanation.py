"""What ``harness explain`` found: where a candidate is wrong, whether that was proven, and why."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from harness.records.base import Number, Record, Text, Version
from harness.records.enums import Status
from harness.records.investigation import Constant, Gap, OperatorCheck, Place
from harness.records.run import CaseKey

EXPLANATION_FILE = "explanation.json"
"""Name of the record; a folder without it holds no explanation."""


class Trouble(StrEnum):
    """What kind of trouble it is."""

    EQUAL = "equal"
    """The results are equal byte for byte."""
    ROUNDING = "rounding"
    """No place is above its floor, and the result differs by no more than rounding."""
    INPUTS = "inputs"
    """Something differs that has to be equal bit for bit before any value is worth a look."""
    PLACE = "place"
    """A module or function is wrong by itself."""
    STATE = "state"
    """The result differs, and every place is right when it gets the reference's values: cache, aliasing or race."""
    NOT_REPEATABLE = "not_repeatable"
    """The candidate's own pictures differ, and every place is right when it gets the reference's values."""
    LOOKING = "looking"
    """A watched picture has other bytes than an unwatched one, so no module is named."""
    CAUSE = "cause"
    """No place is above its floor, or there is no reference, and a module does not compute its formula: known why."""
    NOTHING = "nothing"
    """Without a reference: no known cause was found."""
    FORCED_ALONE = "forced_alone"
    """In somebody's own script, whose result is not compared: every place is right when it gets the reference's
    values."""

    @property
    def status(self) -> Status:
        """The word of a verdict that comes nearest."""
        return _STATUSES[self]


_STATUSES = {
    Trouble.EQUAL: Status.IDENTICAL,
    Trouble.ROUNDING: Status.WITHIN_LIMITS,
    Trouble.INPUTS: Status.NOT_COMPARABLE,
    Trouble.PLACE: Status.DRIFT,
    Trouble.STATE: Status.DRIFT,
    Trouble.NOT_REPEATABLE: Status.UNSTABLE,
    Trouble.LOOKING: Status.ERROR,
    Trouble.CAUSE: Status.DRIFT,
    Trouble.NOTHING: Status.SKIPPED,
    Trouble.FORCED_ALONE: Status.WITHIN_LIMITS,
}


class InputKind(StrEnum):
    """What has to be equal bit for bit."""

    WEIGHTS = "weights"
    """A parameter or buffer."""
    SETTINGS = "settings"
    """A plain value of a configuration or a module."""
    NOISE = "noise"
    """A random draw."""
    SCHEDULE = "schedule"
    """Timesteps and noise levels."""
    WHOLE_NUMBERS = "whole_numbers"
    """Token ids, masks and positions that enter a module or function."""


class InputCheck(Record):
    """One kind of what has to be equal bit for bit."""

    kind: InputKind
    """What was compared."""
    compared: int
    """Number of things compared."""
    different: list[str]
    """Names of those that differ, at most twenty."""
    different_count: int
    """How many differ."""


class Culprit(Record):
    """A place that is far from the reference although it got the reference's values."""

    path: str
    """Module or function that is wrong: the one whose output it is, or the one that prepared the input."""
    place: Place
    """Where it was seen."""
    value: str
    """Name of the tensor; empty for a result that is one tensor."""
    error: Number
    """Relative L2 from the reference."""
    floor: Number
    """How far correct work may be from it."""
    free_error: Number | None
    """The same error with the candidate's own values before it; None where that picture did not come by."""

    @property
    def ratio(self) -> float:
        """Error over floor."""
        return float(self.error / self.floor)


class ProofWord(StrEnum):
    """What swapping values showed."""

    PROVEN = "proven"
    """The gap goes away with the reference's values, and one appears with what the candidate gave for these."""
    UNDECIDED = "undecided"
    """One of the two did not happen."""
    TOO_SMALL = "too_small"
    """The result differs by no more than rounding, so a swap can show nothing."""
    NOT_TRIED = "not_tried"
    """No pictures were made for it."""


class Proof(Record):
    """Two pictures with swapped values."""

    word: ProofWord
    """What they showed."""
    paths: list[str]
    """Places whose values were swapped."""
    gap: Gap
    """From the reference's result to the candidate's."""
    patched: Gap | None = None
    """The same with the reference's values at these places in the candidate."""
    injected: Gap | None = None
    """From the reference's result to its own with what the candidate gave for its values at the first place."""
    floor: Gap
    """How far the result moves by last bits."""


class Presence(StrEnum):
    """Whether a known cause is in a module."""

    PRESENT = "present"
    """The coefficient is 1 within its error, and no other cause explains more."""
    ABSENT = "absent"
    """The coefficient is 0 within its error."""
    NO_POWER = "no_power"
    """These inputs cannot show it."""


class Cause(Record):
    """A known cause, tried on a module."""

    path: str
    """Module, or all modules of a component with one formula."""
    family: bool = False
    """Whether it is about all modules of a component with one formula."""
    hypothesis: str
    """Name of the hypothesis."""
    sentence: Text
    """What is wrong."""
    source: str
    """Public report in which it is known."""
    probed: bool = False
    """Whether only inputs that are made to part known causes show it, and not those of the picture."""
    coefficient: Number | None = None
    """1 where it is present; None where it was tried on values instead of a formula."""
    standard_error: Number | None = None
    """Standard error of the coefficient, or of the estimate."""
    estimate: Number | None = None
    """Constant that was estimated on the way, such as a share of values that were dropped; None where there is none."""
    residual: Number | None = None
    """Relative L2 that is left when the hypothesis is taken as the truth; None for a coefficient."""
    without: Number | None = None
    """Relative L2 from the reference without the hypothesis; None for a coefficient."""


class WrongConstant(Record):
    """A constant that is not what was asked for."""

    constant: Constant
    """What was asked for and estimated."""
    sentence: Text
    """The same in words."""


class Explanation(Record):
    """The answer."""

    schema_version: Version = 2
    """Version of this format."""
    scenario: str
    """Name of the scenario; for somebody's own script the name of its trace file."""
    arm: str
    """Candidate."""
    against: str | None
    """Reference; None where there was none."""
    key: CaseKey | None
    """Case and seed; None for somebody's own script."""
    dtype: str
    """Type of both sides."""
    devices: dict[str, str]
    """Device of each arm."""
    simulated: list[str] = Field(default_factory=list)
    """Arms whose device is played by a stand-in library."""
    trouble: Trouble
    """What kind of trouble it is."""
    message: Text
    """The answer in one sentence."""
    checks: list[InputCheck]
    """What has to be equal bit for bit."""
    culprits: list[Culprit]
    """Places above the limit, in order of execution; the first is the answer."""
    innocent: list[str]
    """Modules and functions that differ only because of what reached them, at most twenty."""
    innocent_count: int
    """How many there are."""
    places: int
    """Number of places that were measured."""
    missing: list[str]
    """Modules that only the reference called, at most twenty."""
    additional: list[str]
    """Modules that only the candidate called, at most twenty."""
    not_finite: Place | None
    """Where a value that is no number was first seen in the candidate."""
    operators: OperatorCheck | None = None
    """What looking at the operators of the first of them gave, or at all where pictures differ; None where not done."""
    proof: Proof | None
    """What swapping values showed; None without a reference or a culprit."""
    causes: list[Cause]
    """Known causes that are present."""
    tried: int
    """Number of known causes that were tried."""
    without_power: dict[str, list[str]]
    """Causes that these inputs cannot show, with the modules."""
    constants: list[Constant]
    """Constants that could be estimated."""
    wrong_constants: list[WrongConstant]
    """Those that are not what was asked for."""
    gap: Gap | None
    """From the reference's result to the candidate's."""
    floor: Gap | None
    """How far the reference's result moves by last bits."""
    trace_bytes: int
    """Size of the reference's trace."""
    pictures: dict[str, Number]
    """Seconds of all pictures of each arm over the seconds of one, so in picture times."""
    notes: list[Text] = Field(default_factory=list)
    """What else a reader should know."""
    commands: list[str] = Field(default_factory=list)
    """What to do next, as it is typed."""
    snippets: list[str] = Field(default_factory=list)
    """Lines of Python that show the operators below the first wrong module; ``pipe`` is the loaded pipeline."""
