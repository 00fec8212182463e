"""Say of a scenario what is allowed and probably not meant: the verb validate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import scenario as scenarios
from harness.compare.gates import closeness
from harness.jobs.calibrate import doubtful_limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.records import Limit, Scenario


def validate(path: Path) -> tuple[Scenario, list[str]]:
    """A scenario file that passed every check, and what is allowed there and probably not meant.

    Raises:
        ScenarioError: the file breaks its contract.
    """
    scenario, unset = scenarios.checked(path)
    return scenario, [*unset, *warnings(scenario)]


def warnings(scenario: Scenario) -> list[str]:
    """Sentences about limits that were not measured, that leave devices unjudged, or that take away a ratio's cap."""
    return [*doubtful_limits(scenario), *_unjudged_elsewhere(scenario), *_outranked_caps(scenario)]


def _unjudged_elsewhere(scenario: Scenario) -> Iterator[str]:
    """Limits by device with none beside them for other devices."""
    everywhere = [limit for limit in scenario.limits if limit.device is None]
    kinds = []
    for index, limit in enumerate(scenario.limits):
        kind = (*_kind(limit), limit.ratio_to, limit.arm)
        based = any((*_kind(base), base.ratio_to) == kind[:-1] and base.arm in {None, limit.arm} for base in everywhere)
        if limit.device is not None and not based and kind not in kinds:
            kinds.append(kind)
            yield (
                f"limits[{index}] ({limit.rule}) holds for {limit.holds_for} only, and on other devices nothing judges "
                f"{limit.metric} instead; add a limit on it without device"
            )


def _outranked_caps(scenario: Scenario) -> Iterator[str]:
    """Limits that judge where a ratio does, in the place of the absolute limit that the ratio needs."""
    for ratio in scenario.limits:
        if ratio.ratio_to is None:
            continue
        beside = [
            (index, limit)
            for index, limit in enumerate(scenario.limits)
            if limit.ratio_to is None and _kind(limit) == _kind(ratio) and limit.arm in {None, ratio.arm}
        ]
        for index, limit in beside:
            place = max(_device(limit), _device(ratio), key=len)
            if limit.at_least is None or not all(place.startswith(_device(other)) for other in (limit, ratio)):
                continue
            caps = [cap for _, cap in beside if cap.at_least is None and place.startswith(_device(cap))]
            if not any(closeness(cap) >= closeness(limit) for cap in caps):
                yield (
                    f"limits[{index}] ({limit.rule}, for {limit.holds_for}) judges in the place of the absolute limit "
                    f"that the ratio to {ratio.ratio_to} needs, so two arms that are both wrong would pass there; add "
                    f"one with at_most for {limit.holds_for}"
                )


def _kind(limit: Limit) -> tuple[str, str, str]:
    return limit.scope, limit.metric, limit.subject


def _device(limit: Limit) -> str:
    return (limit.device or "").lower()
