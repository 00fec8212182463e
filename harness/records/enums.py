"""The words that records share, such as the statuses of a verdict, and the exit codes that follow from them."""

from __future__ import annotations

from enum import StrEnum


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
    TORCH_CPU = "torch_cpu"
    """Drawn as by ``torch.Generator("cpu")``, and injected on any other device; the numbers depend on torch's version
    and instruction set."""
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
    Status.WITHIN_LIMITS: 0,
    Status.IDENTICAL: 0,
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
    judged = [status for status in statuses if status is not Status.SKIPPED]
    if not statuses:
        return Status.ERROR
    if not judged:
        return Status.SKIPPED
    return min(judged, key=list(EXIT_CODES).index)


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
