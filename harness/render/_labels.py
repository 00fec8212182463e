"""What things are called in reports: statuses, scopes, metrics, and the words that records write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.language import many, marked, say, translated
from harness.records import EXIT_CODES, NpuOps, Scope, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.records import CaseKey

NONE = "–"  # noqa: RUF001  # a dash of its own width stands for "does not apply"
"""Shown where something does not apply; every report says so once."""

NOT_MEASURED = marked("not measured")
"""Said where a number could exist and does not."""

UNKNOWN = marked("not known")
"""Said where a record does not tell."""

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

RANKS: dict[Status, int] = {status: rank for rank, status in enumerate(EXIT_CODES)}
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
    "relative_l1": marked("Relative L1"),
    "relative_l2": marked("Relative L2"),
    "cosine_distance": marked("Cosine distance"),
    "mean_relative_error": marked("Mean relative error"),
    "max_relative_error": marked("Max relative error"),
    "share_over_1_percent": marked("Share of values off by more than 1 %"),
    "pixels_over_1_percent": marked("Share of pixels off by more than 1 % of the range"),
}
"""Names of known metrics, in the order they are shown; any other metric follows under its own name."""

_METRIC_NAMES = METRICS | {"identical": marked("Identical")}

_OF_SUBJECT = {
    "float_image": marked("{metric}, float output"),
    "latents": marked("{metric}, final latents"),
    "conversion": marked("{metric}, conversion to 8 bits"),
}
"""A metric's name with what it was measured on, where that is not the 8-bit picture."""

_SUBJECTS = {
    "image": marked("8-bit image"),
    "float_image": marked("float output"),
    "latents": marked("final latents"),
    "conversion": marked("conversion to 8 bits"),
}

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

TERMS = frozenset(
    {
        # roles of arms, states of runs
        marked("candidate"),
        marked("reference"),
        marked("finished"),
        marked("unfinished"),
        # where the noise comes from
        marked("portable"),
        marked("torch cpu"),
        marked("device"),
        marked("baseline"),
        marked("unverified"),
        # switches, and who set one
        marked("deterministic"),
        marked("as shipped"),
        marked("default"),
        marked("scenario"),
        marked("environment"),
        marked("backend"),
        # tasks
        marked("text to image"),
        marked("image editing"),
        marked("reasoning generation"),
        marked("reasoning editing"),
        marked("text rendering"),
        # stages of a worker, in which it can fail
        marked("start"),
        marked("load"),
        marked("generate"),
        marked("output"),
        marked("process"),
        # stages of a picture
        marked("text encoding"),
        marked("text encoding 2"),
        marked("text encoding 3"),
        marked("image encoding"),
        marked("conditioning"),
        marked("VAE encode"),
        marked("denoising"),
        marked("VAE decode"),
        # visual similarity
        marked("identical"),
        marked("code noise"),
        marked("lossless to the eye"),
        marked("same picture"),
        marked("same composition"),
        marked("drifted"),
        marked("different"),
    }
)
"""Words that records write with underscores and reports with spaces."""


def status_word(status: Status) -> str:
    """The word of a status as it is written for people."""
    return say(_STATUSES[status])


def scope(value: Scope) -> str:
    """Which two sides were compared, in a word."""
    return say("repeat") if value is Scope.REPEAT else say("reference")


def judges(scope: Scope) -> str:
    """What a limit or a comparison of a scope is about, in a word."""
    return say("repeats") if scope is Scope.REPEAT else say("reference")


def key(case_key: CaseKey) -> str:
    """Case, seed, and image or frame in words."""
    if case_key.frame is not None:
        of_video = {"seed": case_key.seed, "frame": case_key.frame, "frames": case_key.frames}
        return say("{case}, seed {seed}, frame {frame} of {frames}", case=case_key.case, **of_video)
    if case_key.image is None:
        return say("{case}, seed {seed}", case=case_key.case, seed=case_key.seed)
    numbers = {"seed": case_key.seed, "image": case_key.image, "images": case_key.images}
    return say("{case}, seed {seed}, image {image} of {images}", case=case_key.case, **numbers)


def key_count(keys: Sequence[CaseKey], count: int) -> str:
    """So many cases and seeds, or what they are counted by where one call makes several images or a video."""
    if any(one.frame for one in keys):
        return many("{count} video or stored frame", "{count} videos and stored frames", count)
    if any(one.image for one in keys):
        return many("{count} image", "{count} images", count)
    return many("{count} case and seed", "{count} cases and seeds", count)


def counted_things(keys: Sequence[CaseKey]) -> str:
    """What keys are counted as, for a heading."""
    if any(one.frame for one in keys):
        return say("Videos and frames")
    return say("Images") if any(one.image for one in keys) else say("Cases and seeds")


def seed(case_key: CaseKey) -> str:
    """Seed, and image or frame in words, for a row that names the case in a cell of its own."""
    if case_key.frame is not None:
        of_video = {"seed": case_key.seed, "frame": case_key.frame, "frames": case_key.frames}
        return say("{seed}, frame {frame} of {frames}", **of_video)
    if case_key.image is None:
        return str(case_key.seed)
    numbers = {"seed": case_key.seed, "image": case_key.image, "images": case_key.images}
    return say("{seed}, image {image} of {images}", **numbers)


def metric_name(metric: str, subject: str = "image") -> str:
    """What a metric is called in headings.

    >>> metric_name("psnr_db"), metric_name("new_one", "float_image"), metric_name("relative_l2", "latents")
    ('PSNR', 'new one, float output', 'Relative L2, final latents')
    """
    name = say(_METRIC_NAMES[metric]) if metric in _METRIC_NAMES else metric.replace("_", " ")
    return say(_OF_SUBJECT[subject], metric=name) if subject in _OF_SUBJECT else name


def subject(name: str) -> str:
    """What is measured, in words; a plugin's stays as it is.

    >>> subject("float_image")
    'float output'
    """
    return say(_SUBJECTS[name]) if name in _SUBJECTS else name


def metric_rank(metric: str) -> tuple[int, str]:
    """Key that sorts metrics the way they are shown."""
    order = list(METRICS)
    return (order.index(metric) if metric in order else len(order), metric)


def yes_or_no(answer: object) -> str:
    """Whether something holds."""
    return say("yes") if answer else say("no")


def term(word: str) -> str:
    """A word of a record in the spoken language; one that nobody knows, such as a plugin's stage, stays as it is.

    >>> term("as_shipped"), term("vae_decode")
    ('as shipped', 'VAE decode')
    """
    return translated(word.replace("_", " ").replace("vae", "VAE"))
