"""One training loop for all stages: it averages, logs, saves, and goes on after a kill as if nothing had happened.

A stage draws everything it needs from the number of the step, so weights, average, optimisers and that number are the
whole state, and a resumed run has the bytes of one that was never interrupted (on one machine, with one number of
threads).
"""

from __future__ import annotations

import fcntl
import io
import json
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import torch

from harness.files import write_atomically, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor, nn

SAVE_EVERY_SECONDS = 180.0
LOG_EVERY_STEPS = 50
WARM_UP_STEPS = 100
LOWEST_RATE = 0.02
"""Of the peak, at the end of the tail."""

CHECKPOINT = "checkpoint.pt"
BEFORE_TAIL = "before-tail.pt"
FINISH = "finish"


class Stage(Protocol):
    """What is trained, on what, for how long."""

    name: str
    optimizers: list[torch.optim.Optimizer]
    """Their rates when given are the peaks."""
    steps: int | None
    """None goes on until the command ``finish``."""
    tail_steps: int
    average_decay: float

    @property
    def module(self) -> nn.Module:
        """Everything that is trained, averaged and saved."""
        ...

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of a step, and what to log of it; everything random comes from ``step``."""
        ...

    def conclude(self) -> dict[str, Any]:
        """What is measured on the averaged weights, which ``module`` holds by now; becomes ``result.json``."""
        ...


def train(stage: Stage, folder: Path, *, stop_after: int | None = None) -> None:
    """Train a stage to its end, or to step ``stop_after``; go on from the checkpoint in ``folder`` where there is one.

    Raises:
        BlockingIOError: another process trains this stage.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _only_trainer(folder):
        run = _Run(stage, folder)
        run.load()
        saved = time.monotonic()
        while not run.done and run.step != stop_after:
            run.one_step()
            if time.monotonic() - saved > SAVE_EVERY_SECONDS:
                run.save()
                saved = time.monotonic()
        run.save()
        if run.done and not (folder / "result.json").exists():
            put_weights(stage.module, run.average)
            stage.module.eval()
            write_text(folder / "result.json", json.dumps(stage.conclude(), indent=2) + "\n")


def ask_to_finish(folder: Path) -> None:
    """Ask the trainer of a folder to begin its tail of falling rates, now or when it next runs."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FINISH).touch()


def take_back_tail(folder: Path) -> None:
    """Put a finished or finishing stage back to where its tail began, so that it can go on at full rate.

    Raises:
        FileNotFoundError: no tail was ever begun.
    """
    shutil.copyfile(folder / BEFORE_TAIL, folder / CHECKPOINT)
    (folder / FINISH).unlink(missing_ok=True)
    (folder / "result.json").unlink(missing_ok=True)


def steps_taken(folder: Path) -> int:
    """How many steps a stage had taken when it was last saved.

    Raises:
        FileNotFoundError: the stage has not been saved yet.
    """
    state: dict[str, Any] = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
    return int(state["step"])


def averaged_weights(folder: Path) -> dict[str, Tensor]:
    """The averaged weights of a stage as they were last saved, on the CPU.

    Raises:
        FileNotFoundError: the stage has not been saved yet.
    """
    state: dict[str, Any] = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
    average: dict[str, Tensor] = state["average"]
    return average


@torch.no_grad()
def put_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into the parameters of the same names.

    Raises:
        KeyError: a parameter has no weights.
    """
    for name, parameter in module.named_parameters():
        parameter.copy_(weights[name])


@contextmanager
def _only_trainer(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


class _Run:
    """A stage with its counters, average and log."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.step = 0
        self.tail_start: int | None = None if stage.steps is None else stage.steps - stage.tail_steps
        self.average = {name: p.detach().clone() for name, p in stage.module.named_parameters()}
        self._stage, self._folder = stage, folder
        self._peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in stage.optimizers]
        self._parameters = [p for p in stage.module.parameters() if p.requires_grad]
        self._logged: dict[str, list[float]] = {}
        self._since = time.monotonic()

    @property
    def done(self) -> bool:
        return self.tail_start is not None and self.step >= self.tail_start + self._stage.tail_steps

    def one_step(self) -> None:
        if self.step % LOG_EVERY_STEPS == 0:
            self._begin_tail_if_asked()
        factor = self._rate_factor()
        for optimizer, peaks in zip(self._stage.optimizers, self._peaks, strict=True):
            optimizer.zero_grad(set_to_none=True)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = factor * peak
        loss, details = self._stage.loss(self.step)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        for optimizer in self._stage.optimizers:
            optimizer.step()
        self.step += 1
        self._update_average()
        self._log({"loss": float(loss.detach()), "gradient": float(norm), **details}, factor)

    def load(self) -> None:
        path = self._folder / CHECKPOINT
        if not path.exists():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.step, self.tail_start = state["step"], state["tail_start"]
        self._stage.module.load_state_dict(state["module"])
        for name, tensor in self.average.items():
            tensor.copy_(state["average"][name])
        for optimizer, saved in zip(self._stage.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def save(self) -> None:
        state = {
            "step": self.step,
            "tail_start": self.tail_start,
            "module": self._stage.module.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self._stage.optimizers],
        }
        stream = io.BytesIO()
        torch.save(state, stream)
        write_atomically(self._folder / CHECKPOINT, stream.getvalue())

    def _begin_tail_if_asked(self) -> None:
        if not (self._folder / FINISH).exists():
            return
        if self.tail_start is None or self.step < self.tail_start:
            self.save()
            shutil.copyfile(self._folder / CHECKPOINT, self._folder / BEFORE_TAIL)
            self.tail_start = self.step
            self.save()
        (self._folder / FINISH).unlink()

    def _rate_factor(self) -> float:
        warm = min(1.0, (self.step + 1) / WARM_UP_STEPS)
        if self.tail_start is None or self.step < self.tail_start:
            return warm
        left = 1 - (self.step - self.tail_start) / self._stage.tail_steps
        return warm * max(LOWEST_RATE, left)

    @torch.no_grad()
    def _update_average(self) -> None:
        # Young averages forget fast, or the random beginning would stay in them.
        weight = max(1 - self._stage.average_decay, 9 / (10 + self.step))
        for name, parameter in self._stage.module.named_parameters():
            self.average[name].lerp_(parameter, weight)

    def _log(self, values: dict[str, float], factor: float) -> None:
        for name, value in values.items():
            self._logged.setdefault(name, []).append(value)
        if self.step % LOG_EVERY_STEPS:
            return
        means = {name: round(sum(numbers) / len(numbers), 5) for name, numbers in self._logged.items()}
        seconds = (time.monotonic() - self._since) / len(self._logged["loss"])
        line = {"step": self.step, "seconds_per_step": round(seconds, 4), "rate_factor": round(factor, 4), **means}
        with (self._folder / "log.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        self._logged.clear()
        self._since = time.monotonic()
