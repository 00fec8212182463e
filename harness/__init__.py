"""Accuracy and determinism validation for image-generation pipelines on accelerators.

For programs, notebooks and tests:

``harness.compare(actual, expected)`` measures two pictures, ``harness.assert_close(actual, expected, psnr_db=40)``
asserts on them, ``harness.compare_tensors(actual, expected, relative_l2=0.01)`` compares tensors,
``harness.check("scenario.yaml")`` does what the command does, ``harness.load_results("runs/JOB")`` gives a table, and
``with harness.trace(pipe, to="reference.trace")`` keeps what ``harness explain`` needs.
What is not in ``harness.__all__`` is private. Nothing heavy is imported before the first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import (
        Compared,
        HarnessError,
        NotClose,
        Report,
        assert_close,
        check,
        compare,
        compare_tensors,
        load_results,
        trace,
    )

__version__ = "0.1.0"

__all__ = [
    "Compared",
    "HarnessError",
    "NotClose",
    "Report",
    "__version__",
    "assert_close",
    "check",
    "compare",
    "compare_tensors",
    "load_results",
    "trace",
]


def __getattr__(name: str) -> Any:
    """A name of ``__all__``, imported when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name == "compare":  # the folder of that name, which can be called: whoever imports first, it is the same thing
        return import_module("harness.compare")
    return getattr(import_module("harness.api"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
