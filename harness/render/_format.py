"""How numbers, sizes, names and sentences are written in reports: one way for each, so that two places never differ."""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING

from harness.language import many, say, translated
from harness.render._labels import yes_or_no

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.records import Measurement, Repetition

_DIGITS = 4
_MOST_DIGITS = 17
_KIB = 1024
_CHANNELS = 4


def number(value: float) -> str:
    """A number with four significant digits, or as many more as it takes not to look like a whole number it is not.

    >>> number(0), number(38.42134567), number(0.99999999), number(-0.0), number(float("inf"))
    ('0', '38.42', '0.99999999', '0', '∞')
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


def undefined(reason: str) -> str:
    """What stands where a number would, by what a record says about it."""
    return say("undefined: {reason}", reason=translated(reason) if reason else say("no reason was recorded"))


def with_remark(text: str, remark: str) -> str:
    """A text with what is to be said beside it, which may be nothing."""
    return say("{text} ({remark})", text=text, remark=remark) if remark else text


def measured(measurement: Measurement, *, unit: bool, parts: bool = True) -> str:
    """The value of a measurement, with or without its unit and its parts; why there is none when there is none."""
    if measurement.value is None:
        return undefined(measurement.problem)
    if measurement.metric == "identical":
        return yes_or_no(measurement.value)
    if measurement.metric == "psnr_db" and measurement.value == math.inf:
        return say("∞ (identical)")
    text = number(measurement.value) + (f" {translated(measurement.unit)}" if unit and measurement.unit else "")
    shown = measurement.parts if parts and 1 < len(measurement.parts) <= _CHANNELS else {}
    return with_remark(text, ", ".join(f"{name} {number(value)}" for name, value in shown.items()))


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


def per_cent(share: float) -> str:
    """A share of any size with three significant digits; what is above ten thousand per cent in a power of ten.

    >>> per_cent(0.00263), per_cent(0.0119), per_cent(128.4), per_cent(0.0), per_cent(3e-7)
    ('0.263 %', '1.19 %', '1.28e+04 %', '0 %', '3e-05 %')
    """
    return f"{share * 100:.3g} %"


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
    distinct = sorted(set(values)) or [0]
    return str(distinct[0]) if len(distinct) == 1 else say("{first} to {last}", first=distinct[0], last=distinct[-1])


def pixels(width: int, height: int) -> str:
    return say("{width} x {height} pixels", width=width, height=height)


def pair_count(count: int) -> str:
    return many("{count} pair", "{count} pairs", count)


def names(texts: Iterable[str]) -> str:
    """Several names in a row."""
    return say(", ").join(texts)


def clauses(texts: Iterable[str]) -> str:
    """Several statements in a row, each once."""
    return say("; ").join(dict.fromkeys(texts))


def listed(names: Sequence[str]) -> str:
    """Names one after another.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    if len(names) < 2:  # noqa: PLR2004  # one name needs no joining word
        return "".join(names)
    return say("{names} and {last}", names=", ".join(names[:-1]), last=names[-1])


def running(sentences: Iterable[str]) -> str:
    """Sentences one after another, the empty ones left out; not every language puts a space between two.

    >>> running(["One.", "", "Two."])
    'One. Two.'
    """
    texts = [sentence for sentence in sentences if sentence]
    return reduce(lambda before, after: say("{before} {after}", before=before, after=after), texts) if texts else ""


def sentence(words: str) -> str:
    """Words of a record as a sentence, with a capital first and a stop last.

    >>> sentence("it differs"), sentence("")
    ('It differs.', '')
    """
    return say("{sentence}.", sentence=words[:1].upper() + words[1:]) if words else ""


def capital(name: str) -> str:
    return name[:1].upper() + name[1:]


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
