"""Every error the harness raises on purpose, each with the exit code it ends in.

    HarnessError
    ├── UsageError            2  the command or a file given to it is wrong
    │   ├── ScenarioError        a scenario file breaks its contract
    │   ├── ModelError           a model folder is not what the scenario says
    │   ├── ImageError           a picture cannot be read or has the wrong form
    │   ├── TensorError          a file of tensors cannot be read safely
    │   ├── RecordError          a stored record is damaged or of another version
    │   └── UnknownName          no part is called like that
    ├── RunError              3  something failed while running
    │   ├── DeviceUnavailable    the device that was asked for is not there
    │   ├── BaselineDamaged      a baseline or a packed one is not what was accepted
    │   ├── NotAcceptable        a run cannot become a baseline
    │   └── NotCovered           no reference kernel computes what was asked for
    ├── BaselineMissing       4  nothing to compare with
    ├── NothingSelected       5  a selection matched nothing
    └── Interrupted         130  Ctrl-C, SIGTERM or SIGHUP

``NotClose`` is an ``AssertionError``, as test runners want it: an assertion of the Python interface does not hold.
``UndefinedMetric`` and ``UndefinedScore`` stand apart too: they are raised where a pair of pictures or a picture has no
value and become part of a record, so they never reach the command line.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


class HarnessError(Exception):
    """An expected failure, worded for the person who runs the harness."""

    exit_code = 3


class UsageError(HarnessError):
    """The command line, or a file named on it, is wrong; nothing was run and nothing was written."""

    exit_code = 2


class ScenarioError(UsageError):
    """A scenario file breaks its contract; the message names file, line, what was found and what is allowed."""


class ModelError(UsageError):
    """A model folder is incomplete, untrusted, or not the one the scenario pins."""


class ImageError(UsageError):
    """A picture file cannot be read safely, or its size or pixel format is not what is compared."""


class TensorError(UsageError):
    """A file of tensors cannot be read safely."""


class RecordError(UsageError):
    """A stored record is missing, damaged, or written by another version of the format."""


class UnknownName(UsageError):
    """A name matches none of those that exist; the message brings the nearest one and the whole list."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"no {what} is called {name!r}.{hint} There are: {', '.join(names) or 'none'}.")


class RunError(HarnessError):
    """A run could not be carried out, although the command was right."""

    exit_code = 3


class DeviceUnavailable(RunError):
    """The device that was asked for cannot be used here; the message gives the reason and the next step."""


class BaselineDamaged(RunError):
    """A stored or packed baseline does not hold what its manifest says; the message names the files."""


class NotAcceptable(RunError):
    """A run cannot become a baseline; the message gives every reason."""


class NotCovered(RunError):
    """A fused operator, or a form of it, has no reference kernel; the message names the operator."""


class BaselineMissing(HarnessError):
    """A comparison was asked for and there is nothing to compare with."""

    exit_code = 4


class NothingSelected(HarnessError):
    """A selection of arms, cases or seeds matched nothing."""

    exit_code = 5


class Interrupted(HarnessError):
    """The person or the system asked the harness to stop; children were ended before this was raised."""

    exit_code = 130


def worded(error: HarnessError | OSError | MemoryError) -> HarnessError:
    """The error, or the system's refusal (a full disk, a folder that cannot be written) as an error with its words."""
    if isinstance(error, HarnessError):
        return error
    if isinstance(error, MemoryError):
        return RunError("the system refused: there is no memory left. Give this session more.")
    return RunError(f"the system refused: {error}. Check the place, its rights and its room.")


class NotClose(AssertionError):
    """Two pictures are not as close as was asserted; the message says how far, where, and what it looks like."""

    def __init__(self, message: str, compared: Any = None) -> None:
        super().__init__(message)
        self.compared = compared
        """All that was measured: a ``harness.Compared``; None where there was nothing to compare with."""


class UndefinedMetric(Exception):
    """A metric has no value for this pair of pictures, for instance SSIM below its window."""


class UndefinedScore(Exception):
    """A score has no value for this picture, for instance because it does not know what the prompt speaks of."""
