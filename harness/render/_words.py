"""How numbers, sizes and statuses are written in reports: one way for each, so that two places never differ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.records import NpuOps, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.records import Measurement, Repetition

NONE = "–"  # noqa: RUF001  # a dash of its own width stands for "does not apply"
"""Shown where something does not apply; every report says so once."""

NOT_MEASURED = "not measured"
"""Shown where a number could exist and does not."""

SIMULATED = "SIMULATED"
"""Stands beside everything whose device is played by a stand-in library."""

NPU_OPS: dict[NpuOps, str] = {
    NpuOps.NATIVE: "answered by the card",
    NpuOps.REFERENCE: "answered by the harness's CPU kernels",
    NpuOps.HIDDEN: "not called: torch_npu is hidden from the libraries",
    NpuOps.ABSENT: "not called: torch_npu is not installed",
}
"""How the fused operators of torch_npu were answered."""

SENTENCES: dict[Status, str] = {
    Status.IDENTICAL: "Everything that was compared is equal byte for byte.",
    Status.WITHIN_LIMITS: "Not everything is equal byte for byte; every difference keeps its limits.",
    Status.DRIFT: "At least one measurement breaks its limit.",
    Status.UNSTABLE: "The same work did not give the same result every time.",
    Status.NOT_COMPARABLE: "The two sides did not start from the same point, so their difference says nothing.",
    Status.MISSING_BASELINE: "What was to be compared with is not there.",
    Status.ERROR: "Something failed, so nothing is proven.",
    Status.WAIVED: "A limit is broken and the break was accepted beforehand.",
    Status.SKIPPED: "Nothing was judged.",
}
"""What each outcome means, in one sentence."""

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
    "mse": "MSE",
    "max_abs_diff": "Max pixel difference",
    "mean_abs_diff": "Mean pixel difference",
    "psnr_db": "PSNR",
    "ssim": "SSIM",
    "ssim_tile_min": "Worst tile SSIM",
    "p99_abs_diff": "99th percentile of pixel differences",
    "signed_mean_diff": "Signed mean difference",
    "worst_window_count": "Bad pixels in the worst window",
    "worst_block_diff": "Mean difference of the worst block",
    "relative_l2": "Relative L2",
    "cosine_distance": "Cosine distance",
}
"""Names of known metrics, in the order they are shown; any other metric follows under its own name."""

_SUBJECTS = {
    "image": "",
    "float_image": ", float output",
    "latents": ", final latents",
    "conversion": ", conversion to 8 bits",
}
"""What follows a metric's name, by what it was measured on."""

_DIGITS = 6
_MOST_DIGITS = 17
_KIB = 1024
_CHANNELS = 4


def status_word(status: Status) -> str:
    """The word of a status as it is written for people."""
    return status.value.replace("_", " ")


def metric_name(metric: str, subject: str = "image") -> str:
    """What a metric is called in headings.

    >>> metric_name("psnr_db"), metric_name("new_one", "float_image"), metric_name("relative_l2", "latents")
    ('PSNR', 'new one, float output', 'Relative L2, final latents')
    """
    name = METRICS.get(metric, "Identical" if metric == "identical" else metric.replace("_", " "))
    return name + _SUBJECTS.get(subject, f", {subject.replace('_', ' ')}")


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
        return "undefined: not a number"
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


def marked(name: str, *, simulated: bool) -> str:
    """A name, with the word that must stand beside it where a stand-in library plays the device.

    >>> marked("npu", simulated=True), marked("npu", simulated=False)
    ('npu (SIMULATED)', 'npu')
    """
    return f"{name} ({SIMULATED})" if simulated else name


def measured(measurement: Measurement, *, unit: bool) -> str:
    """The value of a measurement, with or without its unit; why there is none when there is none."""
    if measurement.value is None:
        return f"undefined: {measurement.problem or 'no reason was recorded'}"
    if measurement.metric == "identical":
        return "yes" if measurement.value else "no"
    if measurement.metric == "psnr_db" and measurement.value == math.inf:
        return "∞ (identical)"
    text = number(measurement.value) + (f" {measurement.unit}" if unit and measurement.unit else "")
    if 1 < len(measurement.parts) <= _CHANNELS:
        text += f" ({', '.join(f'{name} {number(value)}' for name, value in measurement.parts.items())})"
    return text


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


def count(amount: int, noun: str, plural: str | None = None) -> str:
    """A number of things in words.

    >>> count(1, "run"), count(2, "process", "processes")
    ('1 run', '2 processes')
    """
    return f"{amount} {noun if amount == 1 else plural or noun + 's'}"


def span(values: Iterable[int]) -> str:
    """One number, or the range of several.

    >>> span([6, 6]), span([4, 6]), span([])
    ('6', '4 to 6', '0')
    """
    found = sorted(set(values)) or [0]
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def outcome_counts(repetition: Repetition) -> str:
    """Number of distinct outcomes and how many samples gave each."""
    counts = [len(outcome.samples) for outcome in repetition.outcomes]
    if len(counts) == 1:
        return f"1 ({counts[0]} of {repetition.runs})"
    return f"{len(counts)} ({' + '.join(map(str, counts))})"


def bound(repetition: Repetition) -> str:
    """What so many identical runs exclude, or why they exclude nothing."""
    if repetition.runs == 0:
        return "no run was made"
    if repetition.runs == 1:
        return "1 run shows nothing about repeats"
    if len(repetition.outcomes) != 1:
        return (
            f"excludes nothing: {deviating(repetition)} of {repetition.runs} runs differ from the most common outcome"
        )
    return (
        f"{repetition.runs} identical runs exclude, at 95 % confidence, only a failure rate above "
        f"{percent(repetition.bound_95)}"
    )


def deviating(repetition: Repetition) -> int:
    """How many samples are not of the most common outcome."""
    return repetition.runs - max((len(outcome.samples) for outcome in repetition.outcomes), default=0)
