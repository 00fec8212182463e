"""The rule that turns floors into limits, in words and in numbers.

A limit lies a factor above an error that correct results were seen to make. Which error and which factor:

- The reference computes in float32: ``8 * sqrt(mean(e_k^2))`` over the K = 7 disturbed runs ``e_k`` of a case and
  seed, of the case and seed where it is largest. A few samples of a chaotic process have heavy tails: with 7
  disturbances and factor 8 none of 20 000 correct runs was flagged, with 3 it takes about 20.
- The reference computes in a half type: ``2 * max(e)`` over runs whose noise was disturbed, which draws every later
  rounding anew. Such errors are as large as they can become by rounding, so a factor of 8 would pass anything.
- A candidate's type is less precise than the reference's: ``2 * max(e)`` over runs of the reference in that type, with
  its noise disturbed, against the plain reference; or what the first rule gives, if that is more.
- A mean with its sign is shifted by a biased conversion and not amplified: what was seen, and one value in ten off by
  one level beyond it, on either side.
- On the 8-bit picture never less than what it takes to move one value in ten by one level: where rounding decides
  which of two levels is nearer, correct results may differ in that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from harness.calibrate.scale import error_of, limit_of, scale_of
from harness.errors import RunError
from harness.language import recorded
from harness.records import Evidence, FloorSource, Limit, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from harness.contracts import Scale, Subject
    from harness.records import Floor, Id

DISTURBANCES = 7
"""Disturbed runs of each case and seed."""
RMS_FACTOR = 8
"""Times the root mean square of float32 disturbances."""
WORST_FACTOR = 2
"""Times the largest error in a half type; 6 dB."""
NEAR_FACTOR = 1.5
"""A limit that allows less than this times the worst error of its evidence is too near to it."""
SIGNIFICANT_BITS = {"float32": 24, "float16": 11, "bfloat16": 8}
"""Bits of a significand, the leading one included."""

BIAS = "signed_mean_diff"
"""A mean with its sign, to which correct results add little."""

_FEW_FLIPS = 0.1
"""Share of 8-bit values that may be off by one level."""
_FLIPS = {
    "psnr_db": math.sqrt(_FEW_FLIPS) / 255,
    "ssim_tile_min": math.sqrt(_FEW_FLIPS / (0.03 * 255) ** 2),  # in a flat tile: variance over the constant C2
}
"""Size of the error of few flips, by metric of the 8-bit picture."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Under what circumstances floors were measured."""

    date: date
    device: str
    seeds: list[int]
    cases: list[Id]
    reference_dtype: str
    candidate_dtype: str
    arm: Id | None
    """Reference arm that limits name; None where there is only one."""


class _Base(NamedTuple):
    """An error that correct results may make, and where it comes from in words."""

    error: float
    sentence: str


def lower_dtypes(reference: str, candidates: Sequence[str]) -> list[str]:
    """The types among the candidates' that are less precise than the reference's, the least precise first.

    >>> lower_dtypes("float32", ["bfloat16", "float32", "float16"]), lower_dtypes("bfloat16", ["bfloat16"])
    (['bfloat16', 'float16'], [])
    """
    lower = {dtype for dtype in candidates if SIGNIFICANT_BITS[dtype] < SIGNIFICANT_BITS[reference]}
    return sorted(lower, key=SIGNIFICANT_BITS.__getitem__)


def proposed(floors: Sequence[Floor], measured: Measured) -> list[Limit]:
    """Few limits that see different things: the whole float output, the latents, the worst place, and a bias.

    Raises:
        RunError: nothing was measured that a limit could be taken from, or disturbances changed nothing.
    """
    subjects = {floor.subject for floor in floors}
    whole: Subject = "float_image" if "float_image" in subjects else "image"
    sized: list[tuple[str, Subject]] = [("psnr_db", whole), ("relative_l2", "latents"), ("ssim_tile_min", "image")]
    if "latents" not in subjects:
        sized.remove(("relative_l2", "latents"))
    bias: Subject = "conversion" if "conversion" in subjects else "image"
    return [
        *(_sized(_of(floors, *kind), measured) for kind in sized),
        *_both_sides(_of(floors, BIAS, bias), measured),
    ]


def _of(floors: Sequence[Floor], metric: str, subject: Subject) -> list[Floor]:
    matching = [floor for floor in floors if (floor.metric, floor.subject) == (metric, subject)]
    if not matching:
        raise RunError(f"{metric} of {subject} had no value in the calibration, so no limit can be taken from it.")
    return matching


def _sized(floors: Sequence[Floor], measured: Measured) -> Limit:
    """A limit on how large an error may be."""
    first = floors[0]
    scale = _scale(first.metric)
    base = max(_bases(floors, scale, measured), key=lambda candidate: candidate.error)
    if not base.error:
        raise RunError(
            f"{first.metric} of {first.subject}: disturbing the last bits changed nothing, so there is no floor to "
            "take a limit from. Does the pipeline use the noise that it draws?"
        )
    worst = max((floor.worst for floor in floors), key=lambda worst: error_of(scale, worst))
    bound = {"at_least" if first.better == "higher" else "at_most": limit_of(scale, base.error)}
    return _limit(floors, bound, worst, base.sentence, measured)


def _both_sides(floors: Sequence[Floor], measured: Measured) -> Iterator[Limit]:
    """Limits on a mean that is not amplified, only shifted: what was seen, and few flips beyond on each side."""
    least, most = min(floor.least for floor in floors), max(floor.most for floor in floors)
    sentence = recorded(
        "from {least:.4g} to {most:.4g} was seen, and one 8-bit value in ten may be off by one level beyond that",
        least=least,
        most=most,
    )
    yield _limit(floors, {"at_least": -limit_of("distance", max(0.0, -least) + _FEW_FLIPS)}, least, sentence, measured)
    # at_most looks at the size, so it must not cut what the other side allows
    yield _limit(floors, {"at_most": limit_of("distance", max(-least, most) + _FEW_FLIPS)}, most, sentence, measured)


def _limit(floors: Sequence[Floor], bound: Mapping[str, float], worst: float, rule: str, measured: Measured) -> Limit:
    (value,) = bound.values()
    evidence = Evidence(
        date=measured.date,
        device=measured.device,
        samples=sum(floor.values for floor in floors),
        seeds=measured.seeds,
        cases=measured.cases,
        worst=float(f"{worst:.6g}"),
        rule=rule,
        margin=float(f"{abs(value - worst):.4g}"),
    )
    return Limit.model_validate(
        {
            "metric": floors[0].metric,
            "scope": Scope.REFERENCE,
            "arm": measured.arm,
            "subject": floors[0].subject,
            **bound,
            "reason": evidence.reason,
            "evidence": evidence,
        }
    )


def _bases(floors: Sequence[Floor], scale: Scale, measured: Measured) -> Iterator[_Base]:
    """All errors that the rule looks at; the largest decides."""
    first = floors[0]
    rounding = [candidate for candidate in floors if candidate.source is not FloorSource.PRECISION]
    precision = [candidate for candidate in floors if candidate.source is FloorSource.PRECISION]
    if measured.reference_dtype == "float32":
        floor = max(rounding, key=lambda candidate: error_of(scale, candidate.rms))
        sentence = recorded(
            "{factor} times the error of last bits in float32 ({source}, rms {rms})",
            factor=RMS_FACTOR,
            source=floor.source,
            rms=_amount(floor.rms, first.unit),
        )
        yield _Base(RMS_FACTOR * error_of(scale, floor.rms), sentence)
    else:
        floor = max(rounding, key=lambda candidate: error_of(scale, candidate.worst))
        sentence = recorded(
            "{factor} times the worst error of last bits in {dtype} ({worst})",
            factor=WORST_FACTOR,
            dtype=measured.reference_dtype,
            worst=_amount(floor.worst, first.unit),
        )
        yield _Base(WORST_FACTOR * error_of(scale, floor.worst), sentence)
    for floor in precision:
        sentence = recorded(
            "{factor} times the worst error of {dtype} against {other} ({worst})",
            factor=WORST_FACTOR,
            dtype=measured.candidate_dtype,
            other=measured.reference_dtype,
            worst=_amount(floor.worst, first.unit),
        )
        yield _Base(WORST_FACTOR * error_of(scale, floor.worst), sentence)
    if first.subject == "image":
        sentence = recorded("one 8-bit value in ten off by one level, which is more than was seen")
        yield _Base(_FLIPS[first.metric], sentence)


def _amount(value: float, unit: str) -> str:
    amount = f"{value:.4g}"
    return recorded("{amount} {unit}", amount=amount, unit=unit) if unit else amount


def _scale(metric: str) -> Scale:
    scale = scale_of(metric)
    if scale is None:
        raise RunError(f"{metric} declares no SCALE, so what is twice its error is not known; it cannot be calibrated.")
    return scale


def too_near(limit: Limit) -> bool:
    """Whether a limit allows less than ``NEAR_FACTOR`` times the worst error of its evidence.

    A bias is shifted and not amplified; its limit is too near when it allows less than few flips beyond what was seen.
    """
    bound = limit.at_least if limit.at_least is not None else limit.at_most
    if limit.evidence is None or bound is None:
        return False
    if limit.metric == BIAS:
        return limit.evidence.margin < _FEW_FLIPS
    scale = scale_of(limit.metric)
    if scale is None:
        return False
    return error_of(scale, bound) < NEAR_FACTOR * error_of(scale, limit.evidence.worst)
