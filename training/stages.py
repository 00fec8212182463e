"""From the state folder to stages and pipelines: what each stage needs of those before it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from torch import nn

from training.autoencoder import AutoencoderStage
from training.denoiser import DenoiserStage
from training.language import LanguageStage
from training.model import fresh_pipeline
from training.stored import GROUND_MIX, Store
from training.trainer import CHECKPOINT, averaged_weights, put_weights

if TYPE_CHECKING:
    from pathlib import Path

    from training.trainer import Stage

SIDE_BY_SIDE = ("autoencoder", "language")
"""Neither needs the other; the transformer needs both."""
STAGES = (*SIDE_BY_SIDE, "denoiser")


def make_stage(name: str, state: Path, device: str = "cpu") -> Stage:
    """A stage with fresh weights, and with the frozen parts that it needs.

    Raises:
        FileNotFoundError: the denoiser was asked for, and a stage before it has not ended.
        KeyError: there is no stage of this name.
    """
    if name == "autoencoder":
        return AutoencoderStage(device)
    pipe = fresh_pipeline(state / "tokenizer", device)
    if name == "language":
        return LanguageStage(pipe)
    if name == "denoiser":
        _put_frozen(pipe, state)
        return DenoiserStage(pipe, Store(state / "store", pipe), Store(state / "grounds", pipe, GROUND_MIX))
    raise KeyError(name)


def trained_pipeline(state: Path) -> Any:
    """The pipeline with the averaged weights of all stages as far as they have come.

    Raises:
        FileNotFoundError: one of the stages before the denoiser has not ended.
    """
    pipe = fresh_pipeline(state / "tokenizer")
    _put_frozen(pipe, state)
    if (state / "denoiser" / CHECKPOINT).exists():
        put_weights(_denoiser_parts(pipe), averaged_weights(state / "denoiser"))
    return pipe


def _put_frozen(pipe: Any, state: Path) -> None:
    language = nn.ModuleDict({"lmm": pipe.lmm, "connector": pipe.connector_module})
    put_weights(language, averaged_weights(state / "language"))
    put_weights(pipe.vae, averaged_weights(state / "autoencoder"))
    measured = json.loads((state / "autoencoder" / "result.json").read_text(encoding="utf-8"))
    scale = {name: measured[name] for name in ("scaling_factor", "shift_factor")}
    pipe.vae.register_to_config(**scale)
    for module in (pipe.vae, pipe.lmm):
        module.eval().requires_grad_(requires_grad=False)


def _denoiser_parts(pipe: Any) -> nn.ModuleDict:
    return nn.ModuleDict({"transformer": pipe.transformer, "connector": pipe.connector_module})
