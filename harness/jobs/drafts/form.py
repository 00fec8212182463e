"""What is drafted from, what a draft is, and the file that is written."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from harness.errors import UsageError

SCENARIOS = Path("scenarios")
"""Where a project keeps its scenarios."""

INDEX = "model_index.json"
_PROVISIONAL = (
    "Provisional and not measured here; below it details visibly differ. harness calibrate measures what it should be."
)
_REPEATS_EQUAL = "Repeats on one device are expected to give the same bytes; one differing byte is news."
REFERENCE_LIMIT = {"metric": "psnr_db", "scope": "reference", "at_least": 28, "reason": _PROVISIONAL}
REPEAT_LIMIT = {"metric": "identical", "scope": "repeat", "equals": 1, "reason": _REPEATS_EQUAL}
ONCE = {"in_process": 1, "processes": 1}
PROMPTS = {"three-oranges": "a photo of three oranges", "red-bicycle": "a red bicycle in front of a white wall"}
USUAL_GUIDANCE, USUAL_STEPS = 4.0, 20
"""Where nothing says what a model is for."""
SMALLEST, LARGEST, STEP = 32, 4096, 32
"""Sides that a picture of a scenario may have, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A scenario to begin with, and what its author ought to know."""

    name: str
    """Name of the scenario; its file is ``scenarios/NAME.yaml``."""
    adapter: str
    """Which adapter makes its pictures."""
    text: str
    """The file."""
    input_size: tuple[int, int] | None = None
    """Width and height of the picture that it edits, ``scenarios/NAME-input.png``; None where it edits none."""
    notes: tuple[str, ...] = ()
    """What was not clear, what was left out, and what is left to do."""


@dataclass(kw_only=True)
class Origin:
    """What is drafted from."""

    written: str
    """As the user gave it."""
    source: str
    """As it is written in the scenario: a folder of the project relative to the scenario's file, any other absolute."""
    folder: Path | None
    """Where it is; None for a repository of a hub and a variable."""
    script: str = ""
    """The script that the user named."""
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name of the scenario, by that of the folder or of the repository."""
        base = self.folder.resolve().name if self.folder else self.written.partition("@")[0].rpartition("/")[2]
        return re.sub(r"[^a-z0-9._-]+", "-", base.lower()).lstrip("._-")[:64] or "example"

    @property
    def there(self) -> Path:
        """The folder, for those who have to look into it.

        Raises:
            UsageError: it is a repository of a hub, or a variable.
        """
        if self.folder is None:
            raise UsageError(
                f"--source {self.written}: allowed for this adapter is a folder on this machine, which is looked into."
            )
        return self.folder


def text_of(**values: Any) -> str:
    """The file of a scenario; what is left out is left out there as well."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(  # noqa: S701 - the file is YAML, and every value is quoted where it must be
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    environment.filters["yaml"] = _yaml
    template = (resources.files("harness") / "starter" / "scenario.yaml.j2").read_text(encoding="utf-8")
    nothing: dict[str, Any] = {
        "loads": False,
        "trust": None,
        "pictures": "",
        "words": [],
        "required": [],
        "steps": None,
    }
    return environment.from_string(template).render(nothing | values)


def _yaml(value: Any) -> str:
    """A value on one line of YAML.

    >>> _yaml({"in_process": 2, "dtype": "float32"}), _yaml("{seed}"), _yaml(".5"), _yaml([42, 7])
    ('{in_process: 2, dtype: float32}', '"{seed}"', '".5"', '[42, 7]')
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if isinstance(value, str) and re.fullmatch(r"(\.\.|[A-Za-z/])([A-Za-z0-9 ._/+-]*[A-Za-z0-9._/+-])?", value):
        return json.dumps(value) if value.lower() in {"true", "false", "null"} else value
    return json.dumps(value, ensure_ascii=False)
