"""What has to be equal bit for bit before any value is worth a look: weights, settings, noise, schedule."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from harness.contracts import joints_of
from harness.errors import RunError
from harness.records.investigation import Exact
from harness.run.worker.places import module_paths

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.contracts import Pipeline
    from harness.records import Schedule
    from harness.records.base import Digest
    from harness.records.investigation import Trace

_PLAIN = (bool, int, float, str)
_PLACES = {"name_or_path"}
"""Settings that say where a model was loaded from, which another machine has elsewhere."""


def exact(pipeline: Pipeline, noise: list[Digest], schedule: Schedule | None) -> Exact:
    """Digests of all weights, and all settings, beside the noise and the schedule of one picture."""
    return Exact(weights=weights(pipeline.modules), settings=settings(pipeline), noise=noise, schedule=schedule)


def weights(modules: Mapping[str, Any]) -> dict[str, Digest]:
    """SHA-256 of each parameter and buffer by component and name."""
    return {
        f"{component}.{name}": tensor_digest(tensor)
        for component, module in modules.items()
        for name, tensor in sorted(module.state_dict().items())
        if hasattr(tensor, "dtype")
    }


def _weight_names(modules: Mapping[str, Any]) -> set[str]:
    """Names of all parameters and buffers, with their component."""
    return {
        f"{component}.{name}"
        for component, module in modules.items()
        for name, tensor in module.state_dict().items()
        if hasattr(tensor, "dtype")
    }


def require_same_model(trace: Trace, pipeline: Pipeline) -> None:
    """Refuse a trace of another model, before any picture is made.

    Raises:
        RunError: fewer than half of the names of weights are on both sides.
    """
    mine, theirs = _weight_names(pipeline.modules), set(trace.exact.weights)
    if 2 * len(mine & theirs) < len(mine | theirs):
        example = min(theirs - mine or mine - theirs)
        raise RunError(
            f"the trace is of another model: {len(mine & theirs)} of {len(mine | theirs)} weights have the same name; "
            f"{example}, for example, is on one side only. Trace the reference of this model."
        )


def tensor_digest(tensor: Any) -> Digest:
    """SHA-256 over type, shape and bytes of a tensor.

    >>> import torch
    >>> tensor_digest(torch.zeros(2)) == tensor_digest(torch.zeros(2, 1))
    False
    """
    import torch

    state = hashlib.sha256(f"{tensor.dtype} {list(tensor.shape)}\n".encode())
    state.update(tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy())
    return state.hexdigest()


def settings(pipeline: Pipeline) -> dict[str, str]:
    """Plain values of configurations and of modules, by component, module and name; those with an underscore are not.

    A module's own values count beside the configuration, because code may set them to something else.
    """
    named = dict(_of_modules(pipeline.modules))
    owners = {joint.path.rpartition(".")[0]: joint.owner for joint in joints_of(pipeline)}
    for name, owner in (owners | dict(pipeline.modules)).items():
        config: Any = getattr(owner, "config", None)
        values = config.to_dict() if hasattr(config, "to_dict") else config
        named |= dict(_plain(f"{name}.config", values if isinstance(values, dict) else {}))
    return named


def _of_modules(modules: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for path, module in module_paths(modules).items():
        yield from _plain(path, vars(module))


def _plain(place: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, _PLAIN) and not name.startswith("_") and name not in _PLACES:
            yield f"{place}.{name}", repr(value)
