"""Which module or function is wrong by itself, and which only follow."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.observations import WRONG_FROM
from harness.records.explanation import Culprit
from harness.records.investigation import Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.records.investigation import Forced, PlaceErrors, Trace, TracedPlace

LIMIT = WRONG_FROM
_MOST_KINDS = 3
_NUMBER = re.compile(r"\d+")


def culprits(trace: Trace, forced: Forced) -> list[Culprit]:
    """Places above the limit in order of execution.

    The denoiser as a whole, at steps whose inside was not forced, only follows what is wrong inside it at other steps.
    Where the inside of one module alone was traced, nothing is said of others: the denoiser's own values were kept to
    tell its calls apart.
    """
    wrong = [
        culprit
        for traced, errors in zip(trace.places, forced.errors, strict=True)
        if _is_judged(traced.place.path, trace) and (culprit := _culprit(traced, errors)) is not None
    ]
    inside = any(culprit.path.startswith(f"{trace.denoiser}.") for culprit in wrong)
    return [culprit for culprit in wrong if not (inside and _is_whole_denoiser(culprit, trace))]


def is_in_a_block(path: str) -> bool:
    """Whether a path is that of a numbered block or of a module in one; other paths may be those of functions.

    >>> is_in_a_block("transformer.transformer_blocks.2.ff"), is_in_a_block("scheduler.step")
    (True, False)
    """
    return any(part.isdigit() for part in path.split("."))


def first_of_kinds(wrong: Sequence[Culprit]) -> list[Culprit]:
    """The first of each kind, such as all blocks' MLPs, in order of execution, and no more than three.

    A fault in the code of a module is in all modules of its kind, so known causes need not be tried at all of them.
    """
    kinds: dict[str, Culprit] = {}
    for culprit in wrong:
        kinds.setdefault(_NUMBER.sub("#", culprit.path), culprit)
    return list(kinds.values())[:_MOST_KINDS]


def innocents(trace: Trace, forced: Forced) -> list[str]:
    """Modules and functions that differ only with the candidate's own values before them, in order of execution."""
    wrong = {culprit.path for culprit in culprits(trace, forced)}
    follow = dict.fromkeys(
        traced.place.path
        for traced, errors in zip(trace.places, forced.errors, strict=True)
        if traced.place.side is Side.OUTPUT and _ratio(errors.free, traced.floors) > LIMIT
    )
    return [path for path in follow if path not in wrong]


def missing(trace: Trace, forced: Forced) -> list[str]:
    """Modules and functions that only the reference called."""
    called = {errors.place.path for errors in forced.errors if errors.forced is not None}
    return [path for path in dict.fromkeys(traced.place.path for traced in trace.places) if path not in called]


def _culprit(traced: TracedPlace, errors: PlaceErrors) -> Culprit | None:
    if not errors.forced or _ratio(errors.forced, traced.floors) <= LIMIT:
        return None
    ratios = [error / floor for error, floor in zip(errors.forced, traced.floors, strict=True)]
    worst = ratios.index(max(ratios))
    place = traced.place
    return Culprit(
        path=place.path if place.side is Side.OUTPUT else traced.caller or "pipeline",
        place=place,
        value=traced.values[worst].name,
        error=errors.forced[worst],
        floor=traced.floors[worst],
        free_error=errors.free[worst] if errors.free else None,
    )


def _ratio(errors: list[float] | None, floors: list[float]) -> float:
    return max((error / floor for error, floor in zip(errors or [], floors, strict=False)), default=0.0)


def _is_judged(path: str, trace: Trace) -> bool:
    return not trace.inside or path == trace.inside or path.startswith(f"{trace.inside}.")


def _is_whole_denoiser(culprit: Culprit, trace: Trace) -> bool:
    return culprit.place.path == trace.denoiser and culprit.place.step not in trace.chosen_steps
