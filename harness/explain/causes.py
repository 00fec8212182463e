"""Which known causes are in a module, by coefficients with standard errors, and which constants are not as asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import plugins
from harness.language import recorded
from harness.records.explanation import Cause, Presence, WrongConstant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.records.investigation import Coefficient, Constant, Fit, Forced

LARGEST_ERROR = 0.25
"""Standard error above which inputs cannot show a cause."""
LEAST_ROWS = 8.0
"""Rows of equal weight from which a standard error is known."""
LEAST_SIGMA = 6.0
"""Least coefficient in its standard errors."""
FARTHEST = 0.15
"""Distance of a coefficient from 1 that is always allowed; three standard errors are allowed too."""
LEAST_SIZE = 2.0**-23
"""Least predicted change of the output, as relative L2: below it systematic rounding of float32 imitates causes."""
ALLOWED_SIGMA = 8.0
"""Standard errors within which a constant is as asked."""
_UNITS = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def presence(coefficient: Coefficient, fit: Fit) -> Presence:
    """Whether a cause is in a module."""
    c, error = coefficient.value, coefficient.standard_error
    if error > LARGEST_ERROR or coefficient.size < LEAST_SIZE or coefficient.effective_rows < LEAST_ROWS:
        return Presence.NO_POWER
    near = abs(c - 1) <= max(FARTHEST, 3 * error)
    best = max(fit.coefficients, key=lambda other: other.explained)
    if near and c >= LEAST_SIGMA * error and best is coefficient:
        return Presence.PRESENT
    return Presence.ABSENT


def causes(forced: Forced) -> list[Cause]:
    """Causes that are present: in single modules where these show it, else in all modules of a component together."""
    named = [_cause(fit, c) for fit in forced.fits for c in fit.coefficients if presence(c, fit) is Presence.PRESENT]
    single = {(cause.path.partition(".")[0], cause.hypothesis) for cause in named if not cause.family}
    return [
        cause for cause in named if not cause.family or (cause.path.partition(".")[0], cause.hypothesis) not in single
    ]


def without_power(fits: Iterable[Fit]) -> dict[str, list[str]]:
    """Causes that the inputs of modules cannot show, with all modules of that kind."""
    found: dict[str, list[str]] = {}
    for fit in fits:
        for coefficient in fit.coefficients if fit.family else ():
            if presence(coefficient, fit) is Presence.NO_POWER:
                found.setdefault(coefficient.hypothesis, []).append(fit.path)
    return found


def wrong_constants(forced: Forced) -> list[WrongConstant]:
    """Constants that are not what was asked for, beyond what their standard error and the type allow."""
    return [
        WrongConstant(constant=constant, sentence=_constant_words(constant))
        for constant in forced.constants
        if abs(constant.value - constant.asked) > _allowed(constant, forced.dtype)
    ]


def _allowed(constant: Constant, dtype: str) -> float:
    unit = _UNITS.get(dtype, _UNITS["bfloat16"])
    return ALLOWED_SIGMA * constant.standard_error + 2 * unit * abs(constant.asked)


def _constant_words(constant: Constant) -> str:
    return recorded(
        "{name:s} was {value:.6g} +- {error:.2g} in effect, and {asked:.6g} was asked for",
        name=constant.name,
        value=constant.value,
        error=constant.standard_error,
        asked=constant.asked,
    )


def _cause(fit: Fit, coefficient: Coefficient) -> Cause:
    known = plugins.load("hypotheses", coefficient.hypothesis)
    return Cause(
        path=fit.path,
        family=fit.family,
        hypothesis=coefficient.hypothesis,
        sentence=recorded(known.CAUSE),
        source=known.SOURCE,
        coefficient=coefficient.value,
        standard_error=coefficient.standard_error,
    )
