"""Pictures as tensors, and random numbers that a step is enough to name."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor


def random_of(*words: str | int) -> Random:
    """A Python generator named by words; different words give unrelated numbers."""
    return Random("/".join(map(str, words)))


def generator_of(*words: str | int) -> torch.Generator:
    """A torch generator on the CPU, named by words."""
    return torch.Generator().manual_seed(random_of(*words).getrandbits(63))


def pixels(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Pictures ``uint8[H, W, 3]`` of one size as ``float32[n, 3, H, W]`` in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
