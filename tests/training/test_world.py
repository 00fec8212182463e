"""The small world: what a seed gives, and that held-out combinations are never trained on."""

from __future__ import annotations

from itertools import combinations
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harness.scores.shapes_prompt_score.drawing import draw_scene
from training.world import (
    EDIT_KINDS,
    EDIT_WEIGHTS,
    TEXT_KINDS,
    TEXT_WEIGHTS,
    Example,
    draw_example,
    draw_mixed,
    is_held_out,
)

if TYPE_CHECKING:
    from harness.scores.shapes_prompt_score.world import Scene

KINDS = (*TEXT_KINDS, *EDIT_KINDS)


def words_of(example: Example) -> tuple[str, ...]:
    """What is held out for the kind of the example, found from its scenes rather than by the generator."""
    if example.scene.sign is not None:
        letters = example.scene.sign.letters
        return ("text", letters) if len(letters) > 1 else ()
    if example.source is None:
        looks = [(thing.colour, thing.shape) for thing in example.scene.things]
        if example.kind in {"two", "position"}:
            return ("two", *looks[0], *looks[1])
        return ("one", *looks[0])
    return words_of_edit(example, example.source)


def words_of_edit(example: Example, source: Scene) -> tuple[str, ...]:
    if example.kind == "keep":
        return ()
    if example.kind == "edit background":
        return ("background", source.things[0].colour, source.things[0].shape, example.scene.ground)
    (gone,) = set(source.things) - set(example.scene.things)
    if example.kind == "remove":
        (kept,) = example.scene.things
        return ("remove", gone.colour, gone.shape, kept.colour, kept.shape)
    (new,) = set(example.scene.things) - set(source.things)
    if example.kind == "replace":
        return ("replace", gone.colour, gone.shape, new.shape)
    return ("recolour", gone.colour, gone.shape, new.colour)


@pytest.mark.parametrize("weights", [TEXT_WEIGHTS, EDIT_WEIGHTS])
def test_training_never_draws_what_is_held_out(weights: dict[str, float]) -> None:
    rng = Random("training")
    assert not [example for _ in range(2000) if is_held_out(words_of(example := draw_mixed(weights, rng)))]


@pytest.mark.parametrize("kind", KINDS)
def test_scoring_draws_only_what_is_held_out(kind: str) -> None:
    rng = Random("scoring")
    assert all(is_held_out(words_of(draw_example(kind, rng, held_out=True))) for _ in range(50))


@pytest.mark.parametrize("kind", [*KINDS, "keep"])
def test_a_seed_names_an_example_and_its_picture(kind: str) -> None:
    first, again, other = (draw_example(kind, Random(seed)) for seed in ("a", "a", "b"))
    assert first == again
    assert first != other
    np.testing.assert_array_equal(draw_scene(first.scene), draw_scene(again.scene))


@pytest.mark.parametrize("kind", ["two", "position", "count", "remove", "replace"])
def test_things_do_not_touch(kind: str) -> None:
    rng = Random("gaps")
    for _ in range(200):
        for one, other in combinations(draw_example(kind, rng).scene.things, 2):
            gaps = abs(one.x - other.x), abs(one.y - other.y)
            assert max(gaps) > one.radius + other.radius + 2


def test_all_kinds_and_shares_are_there() -> None:
    rng = Random("shares")
    drawn = [draw_mixed(EDIT_WEIGHTS, rng).kind for _ in range(600)]
    assert {kind: drawn.count(kind) / 600 for kind in EDIT_WEIGHTS} == pytest.approx(EDIT_WEIGHTS, abs=0.06)
    assert sum(TEXT_WEIGHTS.values()) == pytest.approx(1)
