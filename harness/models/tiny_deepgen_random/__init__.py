"""A DeepGen-1.0 of two million parameters that is computed and was never trained: ``builtin:tiny-deepgen-random``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness.models._deepgen import FILES as SHARED
from harness.models._deepgen import checkpoint_digest, copy_files
from harness.models.tiny_deepgen_random.language_weights import connector_tensors, vlm_tensors
from harness.models.tiny_deepgen_random.layout import FILES
from harness.models.tiny_deepgen_random.tensor_file import write_tensors
from harness.models.tiny_deepgen_random.tokenizer import write_tokenizer
from harness.models.tiny_deepgen_random.transformer_weights import transformer_tensors
from harness.models.tiny_deepgen_random.vae_weights import vae_tensors

if TYPE_CHECKING:
    from pathlib import Path

    from harness.models.tiny_deepgen_random.draws import Doubles

SUMMARY = "A tiny DeepGen-1.0 that was never trained: its pictures are smears in which every input shows."

__all__ = ["DIGEST", "SUMMARY", "build", "checkpoint_digest"]

DIGEST = "db2939ddf7ad042797f2adebc342199fc343a2c3eded5f161458b628650e707c"


def build(destination: Path) -> None:
    """Write the whole checkpoint, the same bytes on every platform, into the empty folder ``destination``."""
    copy_files(SHARED, destination)
    copy_files(FILES, destination)
    for folder in ("connector", "tokenizer"):
        (destination / folder).mkdir()
    write_tokenizer(destination / "tokenizer")
    write_tensors(destination / "connector" / "model.safetensors", connector_tensors(), "F32")
    for part, tensors in (("transformer", transformer_tensors()), ("vae", vae_tensors())):
        write_tensors(destination / part / "diffusion_pytorch_model.safetensors", tensors, "BF16")
    _write_two_shards(destination / "vlm", vlm_tensors())


def _write_two_shards(folder: Path, tensors: dict[str, Doubles]) -> None:
    names = list(tensors)
    cut = len(names) // 2
    weight_map: dict[str, str] = {}
    total = 0
    for number, part in enumerate((names[:cut], names[cut:]), start=1):
        file = f"model-{number:05d}-of-00002.safetensors"
        total += write_tensors(folder / file, {name: tensors[name] for name in part}, "BF16")
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_bytes((json.dumps(index, indent=2) + "\n").encode())
