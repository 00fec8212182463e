"""Where the files that ``load`` of a scenario names lie beside the copy of a model."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_FOLDER = ".load"
"""Hidden, so that no loader takes them for files of the model."""


def load_file(model_folder: Path, written: str, ending: str) -> Path:
    """Place of a file, by its path as the scenario has it, which may be a variable.

    >>> from pathlib import Path
    >>> load_file(Path("model"), "../lora/style.safetensors", ".safetensors").name
    '7d7d56bd261d.safetensors'
    """
    digest = hashlib.sha256(written.encode()).hexdigest()
    return model_folder / _FOLDER / f"{digest[:12]}{ending}"
