"""A pipeline of three small modules and a scheduler, for tests of hooks rather than of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from harness.contracts import Joint
from harness.run.worker.investigator import Investigator, Result

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = 4
WIDTH = 16


class Block(nn.Module):
    """LayerNorm, a layer and GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear, self.act = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.GELU()

    def forward(self, x: Any) -> Any:
        return x + self.act(self.linear(self.norm(x)))


class Denoiser(nn.Module):
    """Two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Block(), Block()

    def forward(self, sample: Any, text: Any) -> Any:
        return self.second(self.first(sample + text))


class Scheduler:
    """Takes a tenth of the prediction away."""

    def step(self, model_output: Any, sample: Any) -> Any:
        return sample - 0.1 * model_output


class Toy:
    """Guidance over a denoiser; ``passes`` are the rows of each of its calls."""

    def __init__(self, passes: tuple[tuple[int, ...], ...] = ((0, 1),)) -> None:
        torch.manual_seed(0)
        self.denoiser, self.scheduler, self.passes = Denoiser().eval(), Scheduler(), passes
        self.modules = {"denoiser": self.denoiser}
        self.components = {"denoising": "denoiser"}
        self.substitutions: list[str] = []
        self.notes: list[str] = []
        self.joints = [Joint(owner=self.scheduler, name="step", path="scheduler.step")]

    def mix(self, without: Any, with_text: Any) -> Any:
        """Guidance."""
        return without + 3.0 * (with_text - without)

    @torch.no_grad()
    def picture(self, seed: int = 0) -> Any:
        """Latents [1, 8, WIDTH] after all steps."""
        noise = torch.Generator().manual_seed(seed)
        latents = torch.randn(1, 8, WIDTH, generator=noise)
        text = torch.randn(2, 8, WIDTH, generator=torch.Generator().manual_seed(9))
        for _ in range(STEPS):
            made: dict[int, Any] = {}
            for rows in self.passes:
                both = torch.cat([latents] * len(rows))
                made |= dict(zip(rows, self.denoiser(both, text=text[list(rows)]).split(1), strict=True))
            latents = self.scheduler.step(self.mix(made[0], made[1]), sample=latents)
        return latents

    def result(self, shift: int = 0) -> Result:
        """The latents as a picture."""
        array = self.picture(shift).numpy()
        image = (array[0, :, :15].reshape(8, 5, 3) * 20 + 128).clip(0, 255).astype(np.uint8)
        return Result(image=image, float_image=None, latents=array, noise=[], schedule=None, seconds=0.01)

    def investigator(self, arm: str = "port", tell_size: Callable[[int], None] = lambda _: None) -> Investigator:
        """What looks into it."""
        return Investigator(
            self,  # type: ignore[arg-type]
            self.result,
            arm=arm,
            dtype="float32",
            backend="cpu",
            steps=STEPS,
            tell_size=tell_size,
        )
