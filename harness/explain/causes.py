"""Which known causes are in a module, by coefficients with standard errors, and which constants are not as asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness import plugins
from harness.language import recorded
from harness.observations import WRONG_FROM as LIMIT
from harness.observations import Behaviour, Observed
from harness.records.explanation import Cause, Presence, WrongConstant
from harness.records.investigation import Trial, Tried

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from harness.records.explanation import Culprit
    from harness.records.investigation import Coefficient, Constant, Fit, Forced, Gap, Trace

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
LARGEST_LEFT = 0.25
"""Share of a distance that may be left where a cause that was tried is named."""
SAME = 1.2
"""Causes that leave no more than so many times the least cannot be told from the best."""
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


def causes(trace: Trace | None, forced: Forced, tried: Sequence[Tried], wrong: Sequence[Culprit]) -> list[Cause]:
    """Causes that are present: at the places that are named, in modules with a formula, and in how pictures repeat."""
    at_place = [cause for at_one in tried for cause in tried_causes(at_one)]
    by_formula = _without_rivals(_by_formula(forced.fits), forced.fits, at_place)
    by_probe = _new(_without_rivals(_by_formula(forced.probed), forced.probed, at_place), [*at_place, *by_formula])
    by_probe += _by_modules(forced)
    specific = [cause for cause in at_place if cause.hypothesis not in _general()]
    told = _behaviour_causes(trace, forced, wrong) if trace else []
    general = (
        []
        if specific or by_formula or wrong_constants(forced)
        else [cause for cause in at_place if cause.hypothesis in _general()]
    )
    return [*specific, *general, *by_formula, *by_probe, *told]


def _general() -> set[str]:
    """Hypotheses that are named only where no other one is."""
    return {name for name in plugins.names("hypotheses") if getattr(plugins.load("hypotheses", name), "GENERAL", False)}


def tried_causes(tried: Tried) -> list[Cause]:
    """Causes that explain the candidate's values to rounding; several where they cannot be told apart."""
    named = [t for t in tried.trials if t.residual <= LIMIT * t.floor and t.residual <= t.without * LARGEST_LEFT]
    if len(named) > 1 and (specific := [trial for trial in named if trial.hypothesis not in _general()]):
        named = specific
    least = min((trial.residual for trial in named), default=0.0)
    alike = [trial for trial in named if trial.residual <= SAME * least]
    return [_cause_of_trial(tried.path, trial) for trial in alike]


def _cause_of_trial(path: str, trial: Trial) -> Cause:
    known = plugins.load("hypotheses", trial.hypothesis)
    return Cause(
        path=path,
        hypothesis=trial.hypothesis,
        sentence=recorded(known.CAUSE),
        source=known.SOURCE,
        residual=trial.residual,
        without=trial.without,
        estimate=trial.estimate,
        standard_error=trial.standard_error,
    )


def table_causes(trace: Trace, forced: Forced) -> list[Cause]:
    """Causes of a scheduler's table that differs, from its noise levels alone."""
    mine, theirs = forced.exact.schedule, trace.exact.schedule
    if mine is None or theirs is None or len(mine.sigmas) != len(theirs.sigmas):
        return []
    actual, expected = (np.array(table.sigmas, dtype=np.float64) for table in (mine, theirs))
    without = _relative(actual, expected)
    observed = Observed(actual=actual, expected=expected, dtype="float32", floor=LEAST_SIZE)
    trials = []
    for name in plugins.names("hypotheses") if without else ():
        known: Any = plugins.load("hypotheses", name)
        made = list(known.predicted(observed)) if hasattr(known, "predicted") else []
        if made:
            best = min(made, key=lambda prediction: _relative(actual, prediction.values))
            trials.append(
                Trial(
                    hypothesis=name,
                    residual=_relative(actual, best.values),
                    without=without,
                    floor=LEAST_SIZE,
                    estimate=best.estimate,
                    standard_error=best.standard_error,
                )
            )
    return tried_causes(Tried(path="scheduler", calls=1, trials=trials, seconds=0.0))


def _relative(actual: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(actual - expected) / max(float(np.linalg.norm(expected)), 1e-300))


def behaviour(trace: Trace, forced: Forced, wrong: Sequence[Culprit]) -> Behaviour:
    """How the candidate's pictures relate to each other and to the reference's."""

    def right(gap: Gap | None) -> bool:
        return gap is None or trace.end_to_end is None or gap.finest <= LIMIT * trace.end_to_end.finest

    one, *others = forced.untraced_outcomes
    first = wrong[0] if wrong else None
    return Behaviour(
        repeats=all(other == one for other in others),
        first_equals_later=forced.outcome == one,
        first_is_right=right(forced.first_gap),
        later_is_right=right(forced.second_gap),
        right_when_forced=not wrong,
        right_before_another=first is not None
        and first.free_error is not None
        and first.free_error <= LIMIT * first.floor,
    )


def _behaviour_causes(trace: Trace, forced: Forced, wrong: Sequence[Culprit]) -> list[Cause]:
    if forced.outcome is None:  # somebody's own script runs once, so nothing is known of how it repeats
        return []
    seen = behaviour(trace, forced, wrong)
    if wrong and not seen.right_before_another:
        return []
    if forced.outcome == trace.outcome and forced.untraced_outcomes == [forced.outcome] and not wrong:
        return []
    path = wrong[0].path if wrong else "pipeline"
    known: dict[str, Any] = {name: plugins.load("hypotheses", name) for name in plugins.names("hypotheses")}
    return [
        Cause(path=path, hypothesis=name, sentence=recorded(part.CAUSE), source=part.SOURCE)
        for name, part in known.items()
        if hasattr(part, "shown") and part.shown(seen)
    ]


def _without_rivals(named: Sequence[Cause], fits: Sequence[Fit], at_place: Sequence[Cause]) -> list[Cause]:
    """Of causes of one formula in a component the one that explains most; what was tried at the place decides."""
    tried = {cause.hypothesis for cause in at_place}
    left = []
    for cause in named:
        component = cause.path.partition(".")[0]
        rivals = {other.hypothesis for other in named if other.path.partition(".")[0] == component}
        explained = {
            c.hypothesis: c.explained
            for fit in fits
            if fit.family and fit.path.startswith(f"{component}.") and cause.hypothesis in _names(fit)
            for c in fit.coefficients
        }
        alike = [name for name in rivals if name in explained]
        decided = tried.intersection(alike)
        best = max(sorted(decided or alike), key=lambda name: explained[name], default=cause.hypothesis)
        same = any(cause.path == other.path and cause.hypothesis == other.hypothesis for other in at_place)
        if cause.hypothesis == best and not same:
            left.append(cause)
    return left


def _names(fit: Fit) -> set[str]:
    return {c.hypothesis for c in fit.coefficients}


def _by_modules(forced: Forced) -> list[Cause]:
    """Causes that modules show on inputs made for them, each at the first module that does."""
    known: dict[str, Any] = {name: plugins.load("hypotheses", name) for name in forced.probed_modules}
    return [
        Cause(
            path=paths[0],
            hypothesis=name,
            sentence=recorded(known[name].CAUSE),
            source=known[name].SOURCE,
            probed=True,
        )
        for name, paths in forced.probed_modules.items()
    ]


def _new(probed: Sequence[Cause], known: Sequence[Cause]) -> list[Cause]:
    """Causes that probe inputs show and nothing else does, in the same component."""
    named = {(cause.path.partition(".")[0], cause.hypothesis) for cause in known}
    return [
        cause.model_copy(update={"probed": True})
        for cause in probed
        if (cause.path.partition(".")[0], cause.hypothesis) not in named
    ]


def _by_formula(fits: Sequence[Fit]) -> list[Cause]:
    """Causes in single modules where these show it, else in all modules of a component together."""
    named = [_cause(fit, c) for fit in fits for c in fit.coefficients if presence(c, fit) is Presence.PRESENT]
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
