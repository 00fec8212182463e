"""Timesteps, noise levels and guidance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .catalogue import fault
from .reach import through, wrap

if TYPE_CHECKING:
    from collections.abc import Callable

_TIME = "transformer.time_text_embed*"
_LOOP = "pipeline._denoise"


def _timestep(pipe: Any, alter: Callable[[Any], Any]) -> None:
    wrap(
        pipe.transformer.time_text_embed,
        "forward",
        lambda forward: lambda timestep, pooled: forward(alter(timestep), pooled),
    )


@fault("timestep-bfloat16", "huggingface/diffusers#9405", _TIME, causes=("rounded_bfloat16",))
def _(pipe: Any) -> None:
    """The timestep is rounded to bfloat16 before its embedding: 937 becomes 936."""
    _timestep(pipe, lambda t: through(t.float(), torch.bfloat16))


@fault("timestep-truncated", "huggingface/diffusers#9004", _TIME, causes=("whole_numbers",))
def _(pipe: Any) -> None:
    """The timestep is cut to a whole number."""
    _timestep(pipe, torch.floor)


@fault("timestep-of-next", "huggingface/diffusers#11749", _TIME, causes=("next_step",))
def _(pipe: Any) -> None:
    """The network is told the timestep of the next step."""

    def later(t: Any) -> Any:
        table = pipe.scheduler.timesteps
        return table[min((pipe.scheduler.step_index or 0) + 1, len(table) - 1)].expand_as(t)

    _timestep(pipe, later)


def _table(pipe: Any, alter: Callable[[Any], Any]) -> None:
    def make(original: Any) -> Any:
        def set_timesteps(*given: Any, **options: Any) -> Any:
            original(*given, **options)
            scheduler = pipe.scheduler
            sigmas = alter(scheduler.sigmas[:-1].clone())
            scheduler.sigmas = torch.cat([sigmas, torch.zeros(1)])
            scheduler.timesteps = sigmas * scheduler.config.num_train_timesteps

        return set_timesteps

    wrap(pipe.scheduler, "set_timesteps", make)


@fault("sigmas-bfloat16", "tables of k-diffusion that are cast early", "scheduler*", causes=("rounded_bfloat16",))
def _(pipe: Any) -> None:
    """The table of noise levels is bfloat16."""
    _table(pipe, lambda sigmas: through(sigmas, torch.bfloat16))


@fault("sigmas-in-step", "tables of k-diffusion that are cast early", "scheduler.step", causes=("sigmas_of_half",))
def _(pipe: Any) -> None:
    """The table is right, and a step takes its levels in float16."""

    def make(original: Any) -> Any:
        def step(*given: Any, **options: Any) -> Any:
            kept = pipe.scheduler.sigmas
            pipe.scheduler.sigmas = through(kept, torch.float16)
            try:
                return original(*given, **options)
            finally:
                pipe.scheduler.sigmas = kept

        return step

    wrap(pipe.scheduler, "step", make)


@fault("shift-twice", "huggingface/diffusers#13243", "scheduler*", causes=("shift_again",))
def _(pipe: Any) -> None:
    """The table of noise levels is shifted once more."""
    shift = pipe.scheduler.shift
    _table(pipe, lambda sigmas: shift * sigmas / (1 + (shift - 1) * sigmas))


def _velocity(pipe: Any, alter: Callable[[Any], Any]) -> None:
    wrap(pipe.transformer, "forward", lambda forward: lambda *given, **options: (alter(forward(*given, **options)[0]),))


@fault(
    "guidance-swapped",
    "positive and negative prompt in the other order",
    "transformer",
    causes=("predictions_swapped",),
)
def _(pipe: Any) -> None:
    """Positive and negative prediction change places."""
    _velocity(pipe, lambda v: torch.cat(v.chunk(2)[::-1]))


@fault(
    "guidance-scale-slip", "a guidance scale that is rounded or scaled on the way", _LOOP, causes=("guidance_scale",)
)
def _(pipe: Any) -> None:
    """Guidance uses nine tenths of the scale that was asked for."""

    def make(original: Any) -> Any:
        def denoise(*given: Any) -> Any:
            *others, scale = given
            return original(*others, scale * 0.9)

        return denoise

    wrap(pipe, "_denoise", make)
