"""A scenario that passed every check, as the jobs take it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Scenario


@dataclass(frozen=True, kw_only=True)
class LoadedScenario:
    """A scenario that passed every check, and what its variables and paths mean on this machine."""

    scenario: Scenario
    """As written: variables unexpanded, paths relative."""
    path: Path
    """The file, absolute."""
    digest: str
    """SHA-256 of the scenario as written, without translations; the same on every machine."""
    sources: dict[str, str]
    """Sources of models with variables expanded, folders by their absolute paths; by each as it is written."""
    input_images: dict[str, Path]
    """Absolute path of the input picture, by case; empty for tasks that edit nothing."""
    argument_images: dict[str, Path] = field(default_factory=dict)
    """Absolute path of each image among the arguments of the call, by its file as it is written."""
    files: dict[str, Path] = field(default_factory=dict)
    """Absolute path of each other file, such as LoRA weights and interpreters, by each as it is written."""
    notes: tuple[str, ...] = ()
    """What ought to be known before the scenario is run."""

    @property
    def model_source(self) -> str:
        """Source of the scenario's own model."""
        return self.sources[self.scenario.model.source]
