"""How numbers, sizes and statuses are written in reports: one way for each, so that two places never differ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.language import marked, say, translated
from harness.records import NpuOps, Scope, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.records import CaseKey, Measurement, Repetition

NONE = "–"  # noqa: RUF001  # a dash of its own width stands for "does not apply"
"""Shown where something does not apply; every report says so once."""

NOT_MEASURED = marked("not measured")
"""Said where a number could exist and does not."""

NPU_OPS: dict[NpuOps, str] = {
    NpuOps.NATIVE: marked("answered by the card"),
    NpuOps.REFERENCE: marked("answered by the harness's CPU kernels"),
    NpuOps.HIDDEN: marked("not called: torch_npu is hidden from the libraries"),
    NpuOps.ABSENT: marked("not called: torch_npu is not installed"),
}
"""How the fused operators of torch_npu were answered; ``say`` it where it is shown."""

SENTENCES: dict[Status, str] = {
    Status.IDENTICAL: marked("Everything that was compared is equal byte for byte."),
    Status.WITHIN_LIMITS: marked("Not everything is equal byte for byte; all differences are within limits."),
    Status.DRIFT: marked("At least one measurement breaks its limit."),
    Status.UNSTABLE: marked("The same work did not give the same result every time."),
    Status.NOT_COMPARABLE: marked("The two sides did not start from the same point, so their difference says nothing."),
    Status.MISSING_BASELINE: marked("What was to be compared with is not there."),
    Status.ERROR: marked("Something failed, so nothing is proven."),
    Status.WAIVED: marked("A limit is broken and the break was accepted beforehand."),
    Status.SKIPPED: marked("Nothing was judged."),
}
"""What each outcome means, in one sentence; ``say`` it where it is shown."""

SIGNS: dict[Status, str] = {
    Status.IDENTICAL: "=",
    Status.WITHIN_LIMITS: "✓",
    Status.DRIFT: "✗",
    Status.UNSTABLE: "≠",
    Status.NOT_COMPARABLE: "?",
    Status.MISSING_BASELINE: "○",
    Status.ERROR: "!",
    Status.WAIVED: "~",
    Status.SKIPPED: "·",
}
"""A sign for each outcome, so that colour alone never carries it."""

RANKS: dict[Status, int] = {
    status: rank
    for rank, status in enumerate(
        (
            Status.ERROR,
            Status.NOT_COMPARABLE,
            Status.MISSING_BASELINE,
            Status.DRIFT,
            Status.UNSTABLE,
            Status.SKIPPED,
            Status.WAIVED,
            Status.WITHIN_LIMITS,
            Status.IDENTICAL,
        )
    )
}
"""Order in which rows are shown, the worst first."""

METRICS: dict[str, str] = {
    "mse": marked("MSE"),
    "max_abs_diff": marked("Max pixel difference"),
    "mean_abs_diff": marked("Mean pixel difference"),
    "psnr_db": marked("PSNR"),
    "ssim": marked("SSIM"),
    "ssim_tile_min": marked("Worst tile SSIM"),
    "p99_abs_diff": marked("99th percentile of pixel differences"),
    "signed_mean_diff": marked("Signed mean difference"),
    "worst_window_count": marked("Bad pixels in the worst window"),
    "worst_block_diff": marked("Mean difference of the worst block"),
    "relative_l2": marked("Relative L2"),
    "cosine_distance": marked("Cosine distance"),
}
"""Names of known metrics, in the order they are shown; any other metric follows under its own name."""

_METRIC_NAMES = METRICS | {"identical": marked("Identical")}

_OF_SUBJECT = {
    "float_image": marked("{metric}, float output"),
    "latents": marked("{metric}, final latents"),
    "conversion": marked("{metric}, conversion to 8 bits"),
}
"""A metric's name with what it was measured on, where that is not the 8-bit picture."""

_STATUSES: dict[Status, str] = {
    Status.IDENTICAL: marked("identical"),
    Status.WITHIN_LIMITS: marked("within limits"),
    Status.DRIFT: marked("drift"),
    Status.UNSTABLE: marked("unstable"),
    Status.NOT_COMPARABLE: marked("not comparable"),
    Status.MISSING_BASELINE: marked("missing baseline"),
    Status.ERROR: marked("error"),
    Status.WAIVED: marked("waived"),
    Status.SKIPPED: marked("skipped"),
}

_DIGITS = 6
_MOST_DIGITS = 17
_KIB = 1024
_CHANNELS = 4


def status_word(status: Status) -> str:
    """The word of a status as it is written for people."""
    return say(_STATUSES[status])


def scope(found: Scope) -> str:
    """Which two sides were compared, in a word."""
    return say("repeat") if found is Scope.REPEAT else say("reference")


def judges(scope: Scope) -> str:
    """What a limit or a comparison of a scope is about, in a word."""
    return say("repeats") if scope is Scope.REPEAT else say("reference")


def key(found: CaseKey) -> str:
    """Case and seed in words."""
    return say("{case}, seed {seed}", case=found.case, seed=found.seed)


def metric_name(metric: str, subject: str = "image") -> str:
    """What a metric is called in headings.

    >>> metric_name("psnr_db"), metric_name("new_one", "float_image"), metric_name("relative_l2", "latents")
    ('PSNR', 'new one, float output', 'Relative L2, final latents')
    """
    name = say(_METRIC_NAMES[metric]) if metric in _METRIC_NAMES else metric.replace("_", " ")
    return say(_OF_SUBJECT[subject], metric=name) if subject in _OF_SUBJECT else name


def metric_rank(metric: str) -> tuple[int, str]:
    """Key that sorts metrics the way they are shown."""
    order = list(METRICS)
    return (order.index(metric) if metric in order else len(order), metric)


def number(value: float) -> str:
    """A number with six significant digits, or as many more as it takes not to look like a whole number it is not.

    >>> number(0), number(38.42134567), number(0.99999999), number(-0.0), number(float("inf"))
    ('0', '38.4213', '0.99999999', '0', '∞')
    """
    if math.isnan(value):
        return say("undefined: not a number")
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    for digits in range(_DIGITS, _MOST_DIGITS + 1):
        text = f"{value:.{digits}g}"
        if float(text) == value or not float(text).is_integer():
            return "0" if float(text) == 0 else text
    return repr(value)


def scientific(value: float) -> str:
    """An estimate with two significant digits and its power of ten.

    >>> scientific(0.0000312), scientific(0.136), scientific(float("inf"))
    ('3.1e-05', '1.4e-01', '∞')
    """
    return f"{value:.1e}" if math.isfinite(value) else number(value)


def with_mark(name: str, *, simulated: bool) -> str:
    """A name, with the word that must stand beside it where a stand-in library plays the device.

    >>> with_mark("npu", simulated=True), with_mark("npu", simulated=False)
    ('npu (SIMULATED)', 'npu')
    """
    return say("{name} (SIMULATED)", name=name) if simulated else name


def yes_or_no(answer: object) -> str:
    """Whether something holds."""
    return say("yes") if answer else say("no")


def undefined(reason: str) -> str:
    """What stands where a number would, by what a record says about it."""
    return say("undefined: {reason}", reason=translated(reason) if reason else say("no reason was recorded"))


def with_remark(text: str, remark: str) -> str:
    """A text with what is to be said beside it, which may be nothing."""
    return say("{text} ({remark})", text=text, remark=remark) if remark else text


def measured(measurement: Measurement, *, unit: bool) -> str:
    """The value of a measurement, with or without its unit; why there is none when there is none."""
    if measurement.value is None:
        return undefined(measurement.problem)
    if measurement.metric == "identical":
        return yes_or_no(measurement.value)
    if measurement.metric == "psnr_db" and measurement.value == math.inf:
        return say("∞ (identical)")
    text = number(measurement.value) + (f" {translated(measurement.unit)}" if unit and measurement.unit else "")
    parts = measurement.parts if 1 < len(measurement.parts) <= _CHANNELS else {}
    return with_remark(text, ", ".join(f"{name} {number(value)}" for name, value in parts.items()))


def percent(share: float) -> str:
    """A share with two significant digits.

    >>> percent(0.3930), percent(0.0298), percent(0.00299)
    ('39 %', '3.0 %', '0.30 %')
    """
    hundredths = share * 100
    if not 0 < hundredths < 100:  # noqa: PLR2004  # the ends of a percentage
        return f"{hundredths:.0f} %"
    decimals = max(0, 1 - math.floor(math.log10(hundredths)))
    return f"{hundredths:.{decimals}f} %"


def size(count: int) -> str:
    """Bytes in the largest unit that leaves at least one whole.

    >>> size(0), size(2048), size(7_516_192_768)
    ('0 B', '2 KiB', '7 GiB')
    """
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < _KIB:
            return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"  # noqa: PLR2004  # no 1e+03
        value /= _KIB
    return f"{value:.3g} TiB"


def seconds(value: float) -> str:
    """A time with three significant digits.

    >>> seconds(5.6723), seconds(0.01234), seconds(4321.5)
    ('5.67 s', '0.0123 s', '4322 s')
    """
    return f"{value:.0f} s" if abs(value) >= 1000 else f"{value:.3g} s"  # noqa: PLR2004  # no 4.32e+03


def span(values: Iterable[int]) -> str:
    """One number, or the range of several.

    >>> span([6, 6]), span([4, 6]), span([])
    ('6', '4 to 6', '0')
    """
    found = sorted(set(values)) or [0]
    return str(found[0]) if len(found) == 1 else say("{first} to {last}", first=found[0], last=found[-1])


def names(found: Iterable[str]) -> str:
    """Several names in a row."""
    return say(", ").join(found)


def clauses(found: Iterable[str]) -> str:
    """Several statements in a row, each once."""
    return say("; ").join(dict.fromkeys(found))


def outcome_counts(repetition: Repetition) -> str:
    """Number of distinct outcomes and how many samples gave each."""
    counts = [len(outcome.samples) for outcome in repetition.outcomes]
    if len(counts) == 1:
        return say("1 ({count} of {total})", count=counts[0], total=repetition.runs)
    return with_remark(str(len(counts)), " + ".join(map(str, counts)))


def bound(repetition: Repetition) -> str:
    """What so many identical runs exclude, or why they exclude nothing."""
    if repetition.runs == 0:
        return say("no run was made")
    if repetition.runs == 1:
        return say("1 run shows nothing about repeats")
    if len(repetition.outcomes) != 1:
        return say(
            "excludes nothing: {deviating} of {runs} runs differ from the most common outcome",
            deviating=deviating(repetition),
            runs=repetition.runs,
        )
    return say(
        "{runs} identical runs exclude, at 95 % confidence, only a failure rate above {rate}",
        runs=repetition.runs,
        rate=percent(repetition.bound_95),
    )


def deviating(repetition: Repetition) -> int:
    """How many samples are not of the most common outcome."""
    return repetition.runs - max((len(outcome.samples) for outcome in repetition.outcomes), default=0)
