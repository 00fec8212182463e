"""Writes a pipeline as a checkpoint folder in the layout of DeepGen-1.0-diffusers."""

from __future__ import annotations

import copy
import shutil
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from harness.models._deepgen import FILES

if TYPE_CHECKING:
    from pathlib import Path

COPIED = (
    "deepgen_pipeline.py",
    "model_index.json",
    "prompt_template.json",
    "scheduler/scheduler_config.json",
    "vlm/preprocessor_config.json",
)
LARGEST_SHARD = "500KB"
"""Of the language model, so that it lies in two files as the real one does."""


def write_checkpoint(pipe: Any, folder: Path) -> None:
    """Write all parts into a new folder: the connector in float32, everything else in bfloat16.

    The pipeline's own modules are left as they are.

    Raises:
        FileExistsError: the folder exists.
    """
    folder.mkdir(parents=True)
    for name in COPIED:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(FILES / name, folder / name)
    shutil.copytree(pipe.tokenizer.name_or_path, folder / "tokenizer")
    _in_bfloat16(pipe.transformer).save_pretrained(folder / "transformer")
    _in_bfloat16(pipe.vae).save_pretrained(folder / "vae")
    _in_bfloat16(pipe.lmm).save_pretrained(folder / "vlm", max_shard_size=LARGEST_SHARD)
    (folder / "connector").mkdir()
    connector = copy.deepcopy(pipe.connector_module).to("cpu", torch.float32).state_dict()
    save_file(connector, folder / "connector" / "model.safetensors", metadata={"format": "pt"})
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)  # safetensors makes them for their owner alone


def _in_bfloat16(module: Any) -> Any:
    """A copy of a library's model, rounded to nearest even."""
    return copy.deepcopy(module).to("cpu", torch.bfloat16)
