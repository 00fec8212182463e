"""What has to be equal bit for bit: weights, settings, noise, schedule, and whole numbers on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.records.explanation import InputCheck, InputKind
from harness.records.investigation import Side

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.records import Schedule
    from harness.records.investigation import Exact, Forced, Trace

_SHOWN = 20
_WHOLE = {"bool", "int8", "int16", "int32", "int64"}


def input_checks(trace: Trace, forced: Forced) -> list[InputCheck]:
    """One check for each kind; the first with a difference is the answer."""
    mine, theirs = forced.exact, trace.exact
    return [
        _check(InputKind.WEIGHTS, mine.weights, theirs.weights),
        _check(InputKind.SETTINGS, mine.settings, theirs.settings),
        _check(InputKind.NOISE, _numbered(mine), _numbered(theirs)),
        _check(InputKind.SCHEDULE, _table(mine.schedule), _table(theirs.schedule)),
        _whole_numbers(trace, forced),
    ]


def _check(kind: InputKind, actual: Mapping[str, object], expected: Mapping[str, object]) -> InputCheck:
    names = list(dict.fromkeys([*expected, *actual]))
    different = [name for name in names if actual.get(name) != expected.get(name)]
    return InputCheck(kind=kind, compared=len(names), different=different[:_SHOWN], different_count=len(different))


def _numbered(exact: Exact) -> dict[str, str]:
    return {f"draw {number}": digest for number, digest in enumerate(exact.noise)}


def _table(schedule: Schedule | None) -> dict[str, float]:
    if schedule is None:
        return {}
    tables = {"timesteps": schedule.timesteps, "sigmas": schedule.sigmas}
    return {f"{name}[{number}]": value for name, values in tables.items() for number, value in enumerate(values)}


def _whole_numbers(trace: Trace, forced: Forced) -> InputCheck:
    """Token ids, masks and positions that enter a module or function of the free picture."""
    compared = list(_entering(trace, forced))
    different = list(dict.fromkeys(name for name, error in compared if error))
    return InputCheck(
        kind=InputKind.WHOLE_NUMBERS,
        compared=len(compared),
        different=different[:_SHOWN],
        different_count=len(different),
    )


def _entering(trace: Trace, forced: Forced) -> Iterator[tuple[str, float]]:
    for traced, errors in zip(trace.places, forced.errors, strict=True):
        own = errors.forced if forced.outcome is None else errors.free  # a script runs once, and is forced then
        if traced.place.side is Side.INPUT and own is not None:
            for value, error in zip(traced.values, own, strict=True):
                if value.dtype in _WHOLE:
                    yield f"{traced.place.path}: {value.name}", error
