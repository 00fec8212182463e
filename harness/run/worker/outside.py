"""Pictures that are made outside the worker: no device is opened, and what was hashed is what is used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from harness import plugins
from harness.errors import RunError
from harness.language import recordable, recorded
from harness.records import MemoryUse, Plan, Switch, SwitchMode, json_digest

if TYPE_CHECKING:
    from collections.abc import Mapping


class UnopenedDevice:
    """A device by its name alone; what it did with which noise only those who used it know."""

    simulated = False
    name = recordable("not opened: the pictures are made outside the worker")

    def __init__(self, backend: str, plan: Plan) -> None:
        self.torch_device = plan.arm.device
        module = plugins.load("backends", backend)
        self._start = module.start_environment(plan.switches)
        self._needed = module.start_environment(SwitchMode.AS_SHIPPED).keys()

    def seed(self, seed: int) -> None:
        """There is no generator to seed."""

    def rng_state(self) -> str:
        """There is no generator to look at."""
        return ""

    def synchronize(self) -> None:
        """There is nothing to wait for."""

    def switches(self) -> list[Switch]:
        """The variables that were set before the start: a command inherits them, and can change them."""
        return [
            Switch(name=name, requested=None, effective=os.environ.get(name), source=self._source(name))
            for name in self._start
        ]

    def _source(self, name: str) -> Literal["default", "backend", "scenario"]:
        if name not in os.environ:
            return "default"
        return "backend" if name in self._needed else "scenario"

    def memory(self, modules: Mapping[str, Any]) -> dict[str, MemoryUse]:
        """Nothing is known."""
        del modules
        return {}

    def reset_peak_memory(self) -> None:
        """There is no peak."""

    def facts(self) -> dict[str, str]:
        """Nothing is known."""
        return {}


def require_digest(digests: Mapping[str, str], expected: str) -> None:
    """Refuse pictures or a script that changed after the run began: they are used where they are, not copied.

    Raises:
        RunError: says so.
    """
    if json_digest(dict(digests)) != expected:
        raise RunError(
            recorded(
                "what the model's source holds changed after the run began, so its pictures would be of two kinds. "
                "Leave it as it is while a run goes on, and run again."
            )
        )


def require_undisturbed(plan: Plan) -> None:
    """Refuse to disturb what is computed elsewhere.

    Raises:
        RunError: says which perturbation was asked for.
    """
    if plan.perturbation is not None:
        raise RunError(
            f"{plan.perturbation.kind} was asked for, and the adapter {plan.model.adapter} computes nothing in the "
            "worker, so nothing can be moved. Measure the noise floor of a model that the worker loads."
        )
