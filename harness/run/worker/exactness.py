"""What has to be equal bit for bit before any value is worth a look: weights, settings, noise, schedule."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from harness.contracts import joints_of
from harness.records.investigation import Exact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.contracts import Pipeline
    from harness.records import Schedule
    from harness.records.base import Digest

_PLAIN = (bool, int, float, str)


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
    for component, root in modules.items():
        for name, module in root.named_modules():
            yield from _plain(f"{component}.{name}" if name else component, vars(module))


def _plain(place: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, _PLAIN) and not name.startswith("_"):
            yield f"{place}.{name}", repr(value)
