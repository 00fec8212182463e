"""What a worker is told, and what it tells while it works.

The assignment is a file; the events are JSON lines on a pipe of their own, so that a library that prints cannot
break them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from harness.records import CaseKey, Digest, Draw, Environment, Failure, LoadedModel, Plan, Record
from harness.records.investigation import Investigation


class Share(Record):
    """How often one worker makes one case and seed."""

    key: CaseKey
    """Case and seed."""
    repeats: int
    """Times."""
    first: int = 0
    """Index of the first of these repeats inside the process."""


class GivenNoise(Record):
    """Noise that a baseline had and that is injected again."""

    key: CaseKey
    """Case and seed."""
    path: str
    """File with the drawn values, ``noise.0`` onwards."""
    draws: list[Draw]
    """The draws, in their order."""


class Assignment(Record):
    """What one worker process does."""

    plan: Plan
    """The plan of its arm."""
    process: int
    """Its index."""
    shares: list[Share]
    """What it makes, in this order."""
    backend: str
    """Backend to open."""
    device_index: int
    """Index of the device."""
    model_folder: str
    """Private copy of the model folder; the folder itself where pictures are made outside the worker."""
    model_digest: Digest
    """Digest of the model's identity."""
    input_images: dict[str, str]
    """Input picture by case."""
    argument_images: dict[str, str] = Field(default_factory=dict)
    """Images among the arguments of the call, by their files as they are written."""
    noise: list[GivenNoise] = Field(default_factory=list)
    """Noise of a baseline by case and seed; empty where the arm has its own."""
    run_folder: str
    """Where samples are written."""
    python: str | None = None
    """The arm's own Python interpreter, for commands; None where it has none."""
    investigations: list[Investigation] = Field(default_factory=list)
    """What is measured in the place of making samples, for ``harness explain``, in this order."""


class Availabilities(Record):
    """Answer to a probe."""

    event: Literal["availabilities"] = "availabilities"
    available: dict[str, bool]
    """Whether each backend that was asked for can be used."""
    reasons: dict[str, str]
    """Why not, or what was found."""
    counts: dict[str, int]
    """Number of devices."""
    facts: dict[str, dict[str, str]]
    """Versions and properties found on the way."""
    memory_bytes: dict[str, list[int]]
    """Memory of each device, where it could be told."""
    simulated: dict[str, bool]
    """Whether a stand-in library plays the devices."""


class Started(Record):
    """The device is open."""

    event: Literal["started"] = "started"
    environment: Environment
    """What the worker runs on."""


class Loaded(Record):
    """The model is loaded."""

    event: Literal["loaded"] = "loaded"
    loaded: LoadedModel
    """What was found."""


class Generating(Record):
    """A picture is begun."""

    event: Literal["generating"] = "generating"
    key: CaseKey
    """Case and seed."""
    repeat: int
    """Index inside the process."""


class Stepped(Record):
    """A denoising step is done."""

    event: Literal["stepped"] = "stepped"
    step: int
    """Number of the step, from 1."""


class Sized(Record):
    """How large a trace will be is known, and nothing is kept yet."""

    event: Literal["sized"] = "sized"
    bytes: int
    """Size of its values."""


class Sampled(Record):
    """A picture is stored."""

    event: Literal["sampled"] = "sampled"
    key: CaseKey
    """Case and seed."""
    repeat: int
    """Index inside the process."""
    seconds: float
    """Time it took."""


class Failed(Record):
    """Something went wrong; the worker goes on where it can."""

    event: Literal["failed"] = "failed"
    failure: Failure
    """What went wrong."""


class Done(Record):
    """The worker has done its assignment; a worker that ends without saying so has crashed."""

    event: Literal["done"] = "done"


Event = Availabilities | Started | Loaded | Generating | Stepped | Sized | Sampled | Failed | Done
"""All that a worker says."""

EVENT: TypeAdapter[Event] = TypeAdapter(
    Annotated[Event, Field(discriminator="event")], config=ConfigDict(defer_build=True)
)
"""Reads one line of the pipe."""
