"""A DeepGen-1.0 checkpoint of two million parameters that is computed, not downloaded: ``builtin:tiny-deepgen``."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

from harness.models.tiny_deepgen.language_weights import connector_tensors, vlm_tensors
from harness.models.tiny_deepgen.layout import FILES
from harness.models.tiny_deepgen.tensor_file import write_tensors
from harness.models.tiny_deepgen.tokenizer import write_tokenizer
from harness.models.tiny_deepgen.transformer_weights import transformer_tensors
from harness.models.tiny_deepgen.vae_weights import vae_tensors

if TYPE_CHECKING:
    from pathlib import Path

    from harness.models.tiny_deepgen.draws import Doubles

SUMMARY = "A tiny untrained DeepGen-1.0 (text to picture, editing) with the layout of the real checkpoint."

DIGEST = "db2939ddf7ad042797f2adebc342199fc343a2c3eded5f161458b628650e707c"


def build(destination: Path) -> None:
    """Write the whole checkpoint, the same bytes on every platform, into the empty folder ``destination``."""
    for source in sorted(FILES.rglob("*")):
        if source.is_file() and "__pycache__" not in source.parts:
            target = destination / source.relative_to(FILES)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
    for folder in ("connector", "tokenizer"):
        (destination / folder).mkdir()
    write_tokenizer(destination / "tokenizer")
    write_tensors(destination / "connector" / "model.safetensors", connector_tensors(), "F32")
    for part, tensors in (("transformer", transformer_tensors()), ("vae", vae_tensors())):
        write_tensors(destination / part / "diffusion_pytorch_model.safetensors", tensors, "BF16")
    _write_two_shards(destination / "vlm", vlm_tensors())


def checkpoint_digest(folder: Path) -> str:
    """SHA-256 over the relative path and the SHA-256 of every file below the folder, sorted by path."""
    digest = hashlib.sha256()
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for name in sorted(files):
        digest.update(f"{name}\0{hashlib.sha256(files[name].read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


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
