"""The same work with values moved by one unit in the last place: how far a correct run may move.

The directions are random bits of Philox-4x64 (Salmon et al., 2011), the same on every machine, and apart from every
stream of noise: the first word of the key has its highest bit set, which no seed of a sample has.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import RunError
from harness.records import PerturbationKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from harness.contracts import Pipeline
    from harness.records import Perturbation
    from harness.run.worker.draws import DrawLog

_TOP_BIT = 2**63


class Directions:
    """Random directions for the tensors of one sample, in the order in which they come."""

    def __init__(self, perturbation: Perturbation | None, seed: int, process: int, repeat: int) -> None:
        self.perturbation = perturbation
        self.calls = 0
        self._sample = (seed, process, repeat)

    def moved(self, values: Any) -> Any:
        """A tensor of neighbours of ``values``, each away from zero or towards it by one bit of the stream."""
        import torch

        away = torch.from_numpy(self.next(values.numel())).reshape(values.shape).to(values.device)
        return neighbours(values, away)

    def next(self, count: int) -> NDArray[np.bool_]:
        """The directions of the next tensor, bool[count]; each tensor has a stream of its own."""
        seed, process, repeat = self._sample
        key = np.array([_TOP_BIT + (self.perturbation.seed if self.perturbation else 0), seed], dtype=np.uint64)
        counter = np.array([0, self.calls, repeat, process], dtype=np.uint64)
        self.calls += 1
        numbers = np.random.Philox(key=key, counter=counter).random_raw(-(-count // 64))
        return np.unpackbits(numbers.astype("<u8").view(np.uint8), count=count, bitorder="little").astype(np.bool_)


def neighbours(values: Any, away: Any) -> Any:
    """The values next to those of a floating tensor in its own type: farther from zero where ``away``, else nearer.

    Zeros have no nearer neighbour and move away; the largest finite values move nearer, so that none becomes infinite;
    values that are not finite stay.
    """
    return stepped(values, away.to(bits_of(values.dtype)) * 2 - 1)


def bits_of(dtype: Any) -> Any:
    """The whole numbers that hold the bits of a floating type."""
    import torch

    return {2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]


def stepped(values: Any, step: Any) -> Any:
    """The same with the directions as whole numbers of the type's size, 1 for farther from zero and -1 for nearer."""
    import torch

    integers = step.dtype
    least, most = (float(end) for end in values.abs().aminmax()) if values.numel() else (1.0, 1.0)
    if least > 0 and most < torch.finfo(values.dtype).max:  # the rule, and much quicker
        return (values.view(integers) + step).view(values.dtype)
    step = step.masked_fill(values == 0, 1).masked_fill(values.abs() == torch.finfo(values.dtype).max, -1)
    step = step.masked_fill(~values.isfinite(), 0)
    # Floats are sign and magnitude: for either sign the next bit pattern is the next larger magnitude.
    return (values.view(integers) + step).view(values.dtype)


@contextmanager
def perturbed(directions: Directions, pipeline: Pipeline, draws: DrawLog) -> Iterator[None]:
    """Inside, the pipeline works on disturbed values; without a perturbation it is left as it is.

    Raises:
        RunError: the pipeline does not name the module that denoises, or nothing passed that could be moved.
    """
    if directions.perturbation is None:
        yield
        return
    if directions.perturbation.kind is PerturbationKind.LATENT_ULP:
        draws.changed = directions.moved
        yield
    else:
        with _moved_outputs(_denoiser(pipeline), directions):
            yield
    if not directions.calls:
        raise RunError(
            f"{directions.perturbation.kind} moved nothing: no floating values passed. This pipeline's noise floor "
            "cannot be measured in this way."
        )


def _denoiser(pipeline: Pipeline) -> Any:
    name = pipeline.components.get("denoising", "")
    if name not in pipeline.modules:
        raise RunError(
            "the adapter does not name the module that denoises (components['denoising'] among its modules), so "
            f"{PerturbationKind.MODULE_ULP} cannot be made; name it in the adapter."
        )
    return pipeline.modules[name]


@contextmanager
def _moved_outputs(module: Any, directions: Directions) -> Iterator[None]:
    """Inside, what leaves the module or a module in it is replaced by its neighbours."""

    def hook(_module: Any, _inputs: Any, output: Any) -> Any:
        return _moved(output, directions)

    hooks = [submodule.register_forward_hook(hook) for submodule in module.modules()]
    try:
        yield
    finally:
        for hooked in hooks:
            hooked.remove()


def _moved(output: Any, directions: Directions) -> Any:
    import torch

    if isinstance(output, torch.Tensor):
        return directions.moved(output.detach()) if output.is_floating_point() else output
    if type(output) in {tuple, list}:
        return type(output)(_moved(part, directions) for part in output)
    return output
