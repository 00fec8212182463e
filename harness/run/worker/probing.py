"""Modules with a formula, called on inputs that are made to part the known causes.

Real inputs of a norm have a variance far above its eps, so in half types a wrong eps does not show on them. Here most
rows have a variance near eps, some an ordinary one and some an offset, and activations get values around zero.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import plugins
from harness.formulas import Gelu, GroupNorm
from harness.records.investigation import Side
from harness.run.worker.filtering import Filter
from harness.run.worker.places import module_paths
from harness.run.worker.specifications import specifications
from harness.run.worker.values import tensors

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from harness.contracts import Pipeline
    from harness.records.investigation import Fit
    from harness.run.worker.specifications import Specification

_ROWS = 64
_WIDTH = 64
"""Values of a row where any number will do, and pixels of a channel."""
_SCALES = (0.3, 1.0, 3.0, 10.0)
"""Standard deviations of most rows, in square roots of eps."""
_FARTHEST = 4.0
"""Largest value that an activation gets, from which on all forms agree in half types."""


def probed(pipeline: Pipeline, called: Collection[str]) -> list[Fit]:
    """What modules that compute a formula do on such inputs; a module that takes other inputs is left out.

    So are modules that are not among ``called``, the paths of those that a picture needs: what is wrong in another one
    is no answer to what is wrong with the picture.
    """
    import torch

    held = Filter(pipeline)
    with torch.no_grad():
        for specification in specifications(pipeline):
            known = specification.path in called
            if known and (values := _called(pipeline, specification)) is not None:
                held.add(specification, *values)
    return held.fits()


def shown_by_probes(pipeline: Pipeline, called: Collection[str]) -> dict[str, list[str]]:
    """Modules that show a cause on inputs made for it, in order, by the names of hypotheses that have such inputs."""
    import torch

    known: dict[str, Any] = {name: plugins.load("hypotheses", name) for name in plugins.names("hypotheses")}
    probing = {name: part for name, part in known.items() if hasattr(part, "probed")}
    shown: dict[str, list[str]] = {}
    with torch.no_grad():
        for path, module in module_paths(pipeline.modules).items():
            for name, part in probing.items() if path in called else ():
                if _shows(part, module):
                    shown.setdefault(name, []).append(path)
    return shown


def _shows(part: Any, module: Any) -> bool:
    try:
        return bool(part.probed(module))
    except Exception:  # noqa: BLE001 - whatever it is: this module takes other inputs
        return False


def _called(pipeline: Pipeline, specification: Specification) -> tuple[Any, Any] | None:
    """What a module was given and gave; None where another module prepares its input, or it takes something else."""
    import torch

    path = specification.path
    if specification.source != (path, Side.INPUT) or specification.target != (path, Side.OUTPUT):
        return None
    component, _, name = path.partition(".")
    module = pipeline.modules[component].get_submodule(name)
    parameter = next(module.parameters(), None)
    parameter = next(pipeline.modules[component].parameters(), None) if parameter is None else parameter
    if parameter is None:
        return None
    given = torch.from_numpy(np.concatenate(list(_rows(specification.formula, _width(module))))).to(
        parameter.device, parameter.dtype
    )
    try:
        made = next(iter(tensors(module(given))), None)
    except Exception:  # noqa: BLE001 - whatever it is: this module takes other inputs
        return None
    return (given, made) if made is not None and made.shape == given.shape else None


def _width(module: Any) -> int:
    """Values of a row, or channels of a picture."""
    shape = getattr(module, "normalized_shape", None)
    if shape is not None:
        return int(shape[-1])
    weight = getattr(module, "weight", None)
    return int(getattr(module, "num_channels", _WIDTH if weight is None else len(weight)))


def _rows(formula: Any, width: int) -> Iterator[NDArray[np.float64]]:
    """Inputs, [rows, width] or [pictures, channels, side, side]."""
    source = np.random.default_rng(0)
    if isinstance(formula, Gelu):
        yield source.uniform(-_FARTHEST, _FARTHEST, (_ROWS, width))
        return
    shape = (width, 8, 8) if isinstance(formula, GroupNorm) else (width,)
    groups = formula.groups if isinstance(formula, GroupNorm) else 1
    count = max(8, _ROWS // groups)
    unit = math.sqrt(formula.eps)
    for number in range(count):
        row = source.standard_normal((1, *shape))
        if number % 8 == 6:  # noqa: PLR2004 - one of eight rows is ordinary, and one has an offset
            yield row
        elif number % 8 == 7:  # noqa: PLR2004
            yield row + 2.0
        else:
            yield row * (unit * _SCALES[number % len(_SCALES)])
