"""Assert that two pictures are close, by limits on any metric."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Unpack

from harness import plugins
from harness.compare.objects import compared, shown_value
from harness.errors import NotClose, UsageError
from harness.records import Limit, Scope, Status
from harness.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.compare.objects import Compared
    from harness.picture_objects import Reading

_KEPT = {Status.IDENTICAL, Status.WITHIN_LIMITS}
_TOLD = ("psnr_db", "ssim", "max_abs_diff")
"""Metrics that say how far pictures are apart that ought to be identical."""

_PROVES_NOTHING = (
    "  Two images that show nothing keep every limit and prove nothing. Where this one is right, assert that "
    "harness.compare(actual, expected).identical holds."
)


def limits_of(bounds: Mapping[str, Any]) -> list[Limit]:
    """Limits by the names of metrics: at least for one of which higher is better, at most for the others.

    >>> [limit.rule for limit in limits_of({"psnr_db": 40, "max_abs_diff": 2})]
    ['psnr_db at least 40', 'max_abs_diff at most 2']

    Raises:
        UnknownName: a name is that of no metric.
        UsageError: a metric is not defined on 8-bit pictures, or a bound is no number.
    """
    return [_limit(name, bound) for name, bound in bounds.items()]


def _limit(name: str, bound: Any) -> Limit:
    metric = plugins.load("metrics", name)
    if "image" not in metric.SUBJECTS:
        subjects = ", ".join(metric.SUBJECTS)
        raise UsageError(
            f"{name} is measured on {subjects} and not on 8-bit pictures; take another metric, such as psnr_db."
        )
    number = _number(bound)
    if number is None:
        example = 30 if metric.BETTER == "higher" else 2
        raise UsageError(f"{name}={one_line(repr(bound), 80)} is not a number; write it as {name}={example}.")
    side = "at_least" if metric.BETTER == "higher" else "at_most"
    return Limit.model_validate(
        {"metric": name, "scope": Scope.REFERENCE, side: number, "reason": "Given in the call that asserts it."}
    )


def _number(bound: Any) -> float | None:
    """The bound as a float; None where it is none, or NaN, which every value would break."""
    if isinstance(bound, bool | str | bytes):
        return None
    try:
        number = float(bound)
    except (TypeError, ValueError):
        return None
    return None if math.isnan(number) else number


def assert_close(actual: Any, expected: Any, bounds: Mapping[str, Any], **reading: Unpack[Reading]) -> Compared:
    """Compare two pictures that have to keep their bounds, and be identical where there is none.

    Raises:
        NotClose: they do not, or one shows nothing, so that it proves nothing.
        ImageError: one is no picture, or their sizes differ.
        UsageError: a bound or an option is none.
    """
    measured = compared(actual, expected, limits_of(bounds), **reading)
    if complaint := complaint_of(measured):
        raise NotClose(complaint, measured)
    return measured


def complaint_of(measured: Compared) -> str:
    """Why two pictures do not pass, in lines; empty where they do. Without limits they have to be identical.

    The first line says what is wrong, then come the broken limits, and what the difference looks like.
    """
    if measured.blank:
        return f"refused: {'; '.join(measured.blank)}.\n{_PROVES_NOTHING}"
    verdicts = measured.pair.verdicts
    broken = [verdict for verdict in verdicts if verdict.status not in _KEPT]
    if verdicts and not broken:
        return ""
    if not verdicts and measured.identical:
        return ""
    if broken:
        first = f"the pictures are not close: {len(broken)} of {len(verdicts)} limits broken."
        lines = [f"  {verdict.limit.metric}: {one_line(verdict.message, 400)}" for verdict in broken]
    else:
        first = "the pictures are not identical, and no limit was given."
        lines = [f"  {name}: {shown_value(measured.metrics[name])}" for name in _TOLD if name in measured.metrics]
    return "\n".join([first, *lines, f"  {measured.sentence}", *(f"  {remark}" for remark in measured.remarks)])
