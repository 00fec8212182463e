"""All changes by name; a module of this package is a family of them, a change a decorated function."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

FAMILIES = (
    *(
        "norms",
        "activations",
        "attention",
        "text_model",
        "weights",
        "schedule",
        "noise",
        "output",
        "precision",
        "state",
    ),
    "benign",
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """A fault, or a harmless change where ``places`` is empty."""

    name: str
    """Name for command lines and tables."""
    report: str
    """Public report that it stands for."""
    places: tuple[str, ...]
    """Modules or functions, with ``*`` for numbers, that a right answer names; one of them."""
    causes: tuple[str, ...]
    """Names of hypotheses that are right; empty where none of them says it."""
    types: tuple[str, ...]
    """Types in which it exists."""
    about: str
    """What is wrong, in one sentence."""
    plant: Callable[[Any], Any]
    """Changes a pipeline; what it returns may have ``before(count)`` and ``spoil(image, count)``."""
    pipeline: str = ""
    """Small random pipeline that it is for; empty for the embedded model."""

    @property
    def is_benign(self) -> bool:
        """Whether nothing is wrong."""
        return not self.places


CHANGES: dict[str, Change] = {}


def fault(
    name: str,
    report: str,
    *places: str,
    causes: tuple[str, ...] = (),
    types: tuple[str, ...] = ("float32", "bfloat16"),
    pipeline: str = "",
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register a change under a name."""

    def keep(plant: Callable[[Any], Any]) -> Callable[[Any], Any]:
        about = " ".join((plant.__doc__ or "").split())
        CHANGES[name] = Change(
            name=name,
            report=report,
            places=places,
            causes=causes,
            types=types,
            about=about,
            plant=plant,
            pipeline=pipeline,
        )
        return plant

    return keep


def benign(name: str, report: str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register a change that no answer may name."""
    return fault(name, report)


def fault_of(
    pipeline: str, name: str, report: str, *places: str, causes: tuple[str, ...] = ()
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register a change of a small random pipeline, which is tried in float32."""
    return fault(name, report, *places, causes=causes, types=("float32",), pipeline=pipeline)


def benign_of(pipeline: str, name: str, report: str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register a change of a small random pipeline that no answer may name."""
    return fault_of(pipeline, name, report)


def everything() -> dict[str, Change]:
    """All changes of the embedded model by name, faults first."""
    for family in FAMILIES:
        import_module(f"{__package__}.{family}")
    return {name: change for name, change in CHANGES.items() if not change.pipeline}


def of_other_pipelines() -> dict[str, Change]:
    """All changes of small random pipelines by name."""
    import_module(f"{__package__}.other_pipelines")
    return {name: change for name, change in CHANGES.items() if change.pipeline}


def of_all_pipelines() -> dict[str, Change]:
    """All changes by name."""
    return everything() | of_other_pipelines()
