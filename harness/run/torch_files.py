"""Files of torch, read by a process of its own: only that one imports torch, and no object of the file is run."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from harness.errors import TensorError
from harness.text import one_line

if TYPE_CHECKING:
    from pathlib import Path


def as_safetensors(source: Path, destination: Path) -> Path:
    """Write the tensors of a ``.pt`` file to ``destination``; ``torch.load`` is called with ``weights_only=True``.

    Raises:
        TensorError: torch is not installed, or it refuses the file.
    """
    if find_spec("torch") is None:
        raise TensorError(
            f"{source}: only torch reads such a file, and it is not installed here. Install it (pip install "
            "'accuracy-harness[run]'), or save the tensors as .safetensors."
        )
    done = subprocess.run(
        [sys.executable, "-m", "harness.run.worker.torch_file", str(source), str(destination)],
        env={**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"the process ended with exit code {done.returncode}"])[-1]
        raise TensorError(
            f"{source}: torch cannot read it with weights_only=True: {one_line(last, 300)}. Nothing in it was run; "
            "save its tensors as .safetensors."
        )
    return destination
