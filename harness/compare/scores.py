"""Every distinct picture of an arm is scored by what it was asked to show; no other arm is needed for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness import plugins
from harness.compare.intervals import share_interval
from harness.contracts import demands
from harness.errors import UndefinedScore
from harness.images import read_input_picture, read_kept
from harness.message import of_error
from harness.progress import counted
from harness.records import ArmScores, Score, ScoreTotal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.compare.comparator import StoredRun
    from harness.records import CaseKey, Sample, Scenario


def score_run(stored: StoredRun, asked: Scenario, input_images: Mapping[str, Path]) -> ArmScores:
    """Score the pictures of a run by everything that its scenario asks for, those with equal bytes once.

    ``input_images`` are the pictures that are edited, by case.

    Raises:
        ImageError: one of them cannot be read any more.
    """
    run = stored.run
    inputs = {case: np.asarray(read_input_picture(path)) for case, path in input_images.items()}
    keys = run.plan.keys
    scores = [
        score
        for name in asked.scores
        for key in counted(keys, f"scoring {run.plan.arm.name} by {name}", len(keys), "cases and seeds")
        for score in _scores_of(stored, name, key, inputs.get(key.case))
    ]
    return ArmScores(
        scenario=run.plan.scenario,
        arm=run.plan.arm.name,
        run=run.id,
        task=run.plan.task,
        parity_margin=asked.parity_margin,
        specs={name: plugins.load("scores", name).SPEC for name in asked.scores},
        totals=[total(name, firsts(scores, name).values()) for name in asked.scores],
        scores=scores,
    )


def require_scores(asked: Iterable[Scenario]) -> None:
    """Nothing, where every score that scenarios ask for can be made here; so that no picture is made in vain.

    Raises:
        UsageError: what a score needs is not installed.
    """
    for name in dict.fromkeys(name for scenario in asked for name in scenario.scores):
        score = plugins.load("scores", name)
        if demands(score):
            score.require()


def firsts(scores: Iterable[Score], name: str) -> dict[CaseKey, Score]:
    """By case and seed, the score of the picture that was made first."""
    first_scores: dict[CaseKey, Score] = {}
    for score in scores:
        if score.score == name:
            first_scores.setdefault(score.key, score)
    return first_scores


def total(name: str, scores: Iterable[Score]) -> ScoreTotal:
    """One score over several pictures."""
    listed = list(scores)
    known = [candidate for candidate in listed if candidate.value is not None]
    values = [float(scored.value) for scored in known if scored.value is not None]
    parts: dict[str, list[float]] = {}
    for score in known:
        for part, value in score.parts.items():
            parts.setdefault(part, []).append(value)
    low, high = share_interval(int(sum(values)), len(values)) if values and is_strict(values) else (None, None)
    return ScoreTotal(
        score=name,
        pictures=len(values),
        mean=sum(values) / len(values) if values else None,
        low=low,
        high=high,
        parts={part: sum(values_of_part) / len(values_of_part) for part, values_of_part in parts.items()},
        without_value=len(listed) - len(known),
    )


def is_strict(values: Sequence[float]) -> bool:
    """Whether every value is 0 or 1, so that a mean is a share."""
    return set(values) <= {0.0, 1.0}


def _scores_of(stored: StoredRun, name: str, key: CaseKey, input_image: NDArray[Any] | None) -> Iterator[Score]:
    """A score for each distinct picture of a case and seed, the first sample's first."""
    pictures: dict[str, list[Sample]] = {}
    for sample in stored.run.samples_of(key):
        pictures.setdefault(sample.image.digest, []).append(sample)
    for digest, samples in pictures.items():
        picture = read_kept(stored.folder, samples[0].image)
        result = _scored(name, picture, _prompt(stored, key), input_image)
        yield Score.model_validate(
            {
                "score": name,
                "key": key,
                "image_digest": digest,
                "samples": [sample.label for sample in samples],
                **result,
            }
        )


def _scored(name: str, picture: NDArray[Any], prompt: str, input_image: NDArray[Any] | None) -> dict[str, Any]:
    try:
        result = plugins.load("scores", name).score(picture, prompt=prompt, input_image=input_image)
    except UndefinedScore as error:
        return {"value": None, "problem": of_error(error)}
    strange = [value for value in (result.value, *result.parts.values()) if not 0 <= value <= 1]
    if strange:
        return {"value": None, "problem": f"{name} gave {strange[0]}; allowed is a number from 0 to 1."}
    return {"value": result.value, "parts": dict(result.parts), "words": result.words}


def _prompt(stored: StoredRun, key: CaseKey) -> str:
    return next(case.prompt for case in stored.run.plan.cases if case.id == key.case)
