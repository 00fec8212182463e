"""Stage 3: the transformer and the connector, by flow matching; language model and autoencoder are frozen.

A step is noise in a known share, and what is learnt is the velocity from the picture to the noise. See "Scaling
Rectified Flow Transformers for High-Resolution Image Synthesis" (Esser et al., 2024) for the loss and the draw of
noise levels; the optimiser of matrices is Muon (Jordan et al., 2024).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from training.batches import generator_of, random_of
from training.stored import GROUPS

if TYPE_CHECKING:
    from torch import Tensor

    from training.stored import Group, Store

FIRST_BUNDLES = 16
STEPS_PER_BUNDLE = 32
MOST_BUNDLES = 256
GROUND_BUNDLES = 96
EVEN_STEPS, TWO_TO_ONE_STEPS = 6_600, 7_841
TURNS = (("text", "edit"), ("edit", "text", "text"), ("edit", "ground", "text", "ground", "text", "ground"))
"""Kinds by turns: until the first number of steps, until the second, and from there on.

Prompts have no source to copy from, and things on coloured grounds were learnt last: 17 % were right after 6,600 steps.
"""
TRAINING_SHIFT = 2.0
CHANGED_WEIGHT = 2.5
"""Of an edit's cells that must differ from the source, against 1 for the others."""


class DenoiserStage:
    """Prompts and edits, on stores that grow with the steps up to their full sizes."""

    name = "denoiser"
    steps: int | None = None
    tail_steps = 4_000
    average_decay = 0.9995

    def __init__(self, pipe: Any, store: Store, grounds: Store) -> None:
        self._pipe, self._store, self._grounds = pipe, store, grounds
        pipe.connector_module.meta_queries.requires_grad_(requires_grad=False)
        self.module = nn.ModuleDict({"transformer": pipe.transformer, "connector": pipe.connector_module})
        self.optimizers = _optimizers(self.module)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Squared error of the velocity on one group."""
        rng, generator = random_of(self.name, step), generator_of(self.name, step)
        turns = TURNS[(step >= EVEN_STEPS) + (step >= TWO_TO_ONE_STEPS)]
        kind = turns[step % len(turns)]
        store, begun, most = (
            (self._grounds, TWO_TO_ONE_STEPS, GROUND_BUNDLES) if kind == "ground" else (self._store, 0, MOST_BUNDLES)
        )
        bundles = min(most, FIRST_BUNDLES + (step - begun) // STEPS_PER_BUNDLE)
        group = store.group(rng.randrange(bundles), kind, rng.randrange(GROUPS))
        loss = self._flow_loss(group, generator)
        return loss, {f"{kind}_loss": float(loss.detach())}

    def conclude(self) -> dict[str, Any]:
        """Nothing: pictures are scored, by the command ``score``."""
        return {}

    def _flow_loss(self, group: Group, generator: torch.Generator) -> Tensor:
        device = self._pipe.transformer.device
        clean = group.latents.float()
        noise = torch.randn(clean.shape, generator=generator)
        level = _noise_levels(len(clean), generator)
        share = level[:, None, None, None]
        pooled, sequence = self._pipe.connector_module.llm2dit(group.states.float().to(device))
        velocity = self._pipe.transformer(
            hidden_states=((1 - share) * clean + share * noise).to(device),
            timestep=1000 * level.to(device),
            encoder_hidden_states=sequence,
            pooled_projections=pooled,
            cond_hidden_states=_references(group, generator, device),
            return_dict=False,
        )[0]
        error: Tensor = (velocity - (noise - clean).to(device)).square().mean(dim=1)
        if group.changed is None:
            return error.mean()
        weight = torch.where(group.changed.to(device), CHANGED_WEIGHT, 1.0)
        weighted: Tensor = (weight * error).sum() / weight.sum()
        return weighted


def _references(group: Group, generator: torch.Generator, device: torch.device) -> list[list[Tensor]] | None:
    """One draw of the posterior for each source, as the pipeline does it."""
    if group.reference is None:
        return None
    mean, deviation = group.reference.float().unbind(dim=1)
    draws = mean + deviation * torch.randn(mean.shape, generator=generator)
    return [[draw] for draw in draws.to(device)]


def _noise_levels(count: int, generator: torch.Generator) -> Tensor:
    """Shares of noise in (0, 1): seven eighths logit-normal, the rest uniform, shifted towards noise."""
    level = torch.sigmoid(torch.randn(count, generator=generator))
    uniform = max(1, count // 8)
    level[:uniform] = torch.rand(uniform, generator=generator)
    return TRAINING_SHIFT * level / (1 + (TRAINING_SHIFT - 1) * level)


def _optimizers(module: nn.ModuleDict) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the rest; the connector, which is trained already, moves less."""
    named = {name: p for name, p in module.named_parameters() if p.requires_grad}
    matrices = [name for name, p in named.items() if "transformer_blocks" in name and p.ndim == 2]  # noqa: PLR2004
    connector = [name for name in named if name.startswith("connector.")]
    rest = named.keys() - {*matrices, *connector}
    groups = [
        {"params": [named[name] for name in named if name in rest], "lr": 2e-3},
        {"params": [named[name] for name in connector], "lr": 6e-4},
    ]
    muon = torch.optim.Muon(
        [named[name] for name in matrices], lr=5e-3, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
    )
    return [muon, torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01, fused=True)]
