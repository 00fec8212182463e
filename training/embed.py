"""Puts a checkpoint folder into the product as ``builtin:tiny-deepgen``, and writes its model card."""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

from harness.files import write_text
from harness.models import tiny_deepgen
from harness.models._deepgen import FILES, checkpoint_digest, copy_files
from training.score import GUIDANCE, STEPS, Score, table

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE = Path(tiny_deepgen.__file__).parent
CARD = "README.md"
_DIGEST = re.compile(r'(?<=\nDIGEST = ")[0-9a-f]{64}(?="\n)')


def embed(checkpoint: Path, package: Path = PACKAGE) -> str:
    """Replace the product's checkpoint by this one and pin its digest, which is given back; the model card goes.

    Raises:
        ValueError: a file that all embedded checkpoints share is not the product's, or no digest is pinned there.
    """
    shared = {path.relative_to(FILES) for path in FILES.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    unlike = [str(name) for name in sorted(shared) if (checkpoint / name).read_bytes() != (FILES / name).read_bytes()]
    if unlike:
        raise ValueError(f"{checkpoint} has its own {', '.join(unlike)}; export it again with this code.")
    code = (package / "__init__.py").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        copy_files(checkpoint, Path(scratch))
        digest = checkpoint_digest(Path(scratch))
        pinned, count = _DIGEST.subn(digest, code)
        if count != 1:
            raise ValueError(f"{package / '__init__.py'} has {count} lines that pin a digest; there must be one.")
        for name in shared:
            (Path(scratch) / name).unlink()
        shutil.rmtree(package / "checkpoint", ignore_errors=True)
        for path in sorted(Path(scratch).rglob("*")):
            if path.is_file():
                target = package / "checkpoint" / path.relative_to(scratch)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
    write_text(package / "__init__.py", pinned)
    return digest


def card(checkpoint: Path, steps: dict[str, int], scores: Sequence[Score]) -> str:
    """The model card: what it is, how it was made, what it can and cannot do."""
    prompts, pictures = (sum(getattr(score, name) for score in scores) for name in ("prompts", "pictures"))
    return _CARD.format(
        parts="\n".join(_parts(checkpoint)),
        stages=", ".join(f"{name} {count:,}" for name, count in steps.items()),
        table=table(scores).strip(),
        prompts=prompts,
        pictures=pictures,
        steps=STEPS,
        guidance=GUIDANCE,
        digest=checkpoint_digest(checkpoint),
    )


def _parts(checkpoint: Path) -> list[str]:
    """A row for each part: class, parameters as stored, type, bytes of its weights."""
    rows = ["| Part | Class | Parameters | Type | Bytes |", "| :--- | :--- | ---: | :--- | ---: |"]
    for folder in sorted({path.parent for path in checkpoint.rglob("*.safetensors")}):
        files = sorted(folder.glob("*.safetensors"))
        shapes, types = [], set()
        for file in files:
            with safe_open(file, framework="pt") as stored:
                for name in stored.keys():  # noqa: SIM118 - not a mapping
                    part = stored.get_slice(name)
                    shapes.append(part.get_shape())
                    types.add(part.get_dtype())
        count = sum(math.prod(shape) for shape in shapes)
        size = sum(file.stat().st_size for file in files)
        rows.append(f"| {folder.name} | {_class_of(folder)} | {count:,} | {', '.join(sorted(types))} | {size:,} |")
    return rows


def _class_of(folder: Path) -> str:
    path = folder / "config.json"
    if not path.exists():
        return "`Connector` of deepgen_pipeline.py"
    config = json.loads(path.read_text(encoding="utf-8"))
    # transformers writes the class of a model of text and pictures beside the settings of its text.
    name = config.get("_class_name") or {**config.get("text_config", {}), **config}["architectures"][0]
    return f"`{name}`"


_CARD = """\
# tiny-deepgen

A DeepGen-1.0 in the layout of the real checkpoint, small enough to lie in a Python package, that draws coloured shapes
and signs and edits pictures of them. It is there so that reports of the harness show pictures in which an error can be
seen. `harness generate --model_path builtin:tiny-deepgen` runs it. It knows nothing of the world outside.

Written by `python -m training card`; SHA-256 of the checkpoint: `{digest}`.

## Architecture

{parts}

The transformer's position table is among its parameters. The language model has the 36 layers of the original, each of
width 32, so that the connector picks the same six of them. Pipeline code, scheduler and prompt templates are those of
every embedded DeepGen.

## Data

Pictures of 128x128 that a program draws: eight colours, seven shapes, ten grounds, one to four things, signs with one
to three capitals; prompts in English for seven kinds of pictures, and instructions for six kinds of edits. No
photograph, no text of people and no other model's output is in it. `training/world.py` is all of it.

One combination in eight (colour and shape, pair, letters, or edit) was never trained on for its kind of prompt.

## Recipe

Steps: {stages}. Autoencoder, then language model with connector on a proxy task, then the transformer by flow matching;
`training/README.md` has rates, batches and losses. Trained on two CPU cores.

## Scores

Strict: a picture is right when every rule that its prompt sets holds, by `shapes_prompt_score`. {prompts} held-out
prompts, {pictures} pictures in float32 with {steps} steps and guidance {guidance:g}; the error is that of the mean over
prompts. "Prompt ignored" is the share that is right with an empty prompt, "prompt swapped" the share that is right by
the next prompt of its kind: the score can fail.

{table}

Made by `python -m training score FOLDER`, which anyone can run.

## Limits

- Prompts outside this world give coloured blobs, never a refusal.
- Sizes other than 128x128 and pictures of other things to edit work, and were not trained.
- Scores of 20 steps and guidance 4 say nothing about other settings.
- A difference between two devices on this model says nothing about the size of the difference on the real weights.
"""
