"""The reader is right on every rendered truth, and a picture that is wrong in one thing breaks that rule."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from training.drawing import draw_scene
from training.reader import is_right, rules, see
from training.world import EDIT_KINDS, TEXT_KINDS, Example, Scene, Sign, Thing, draw_example

STAR = Thing("red", "star", 36, 64, 22)
RING = Thing("blue", "ring", 92, 64, 22)
PAIR = Scene("white", (STAR, RING))
POSITION = Example("position", "a red star left of a blue ring", PAIR, relation="left of")
EDIT = Example("recolour", "make the ring blue", PAIR, replace(PAIR, things=(STAR, replace(RING, colour="pink"))))
SIGN = Example("text", "a red sign that says NPU", Scene("white", sign=Sign("NPU", "red", frame_named=True)))


def broken(scene: Scene, example: Example) -> set[str]:
    return {rule for rule, kept in rules(draw_scene(scene), example).items() if not kept}


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("kind", [*TEXT_KINDS, *EDIT_KINDS])
def test_every_truth_is_right(kind: str, held_out: bool) -> None:  # noqa: FBT001 - a case of the test
    rng = Random("truth")
    examples = [draw_example(kind, rng, held_out=held_out) for _ in range(40)]
    assert [example for example in examples if not is_right(draw_scene(example.scene), example)] == []


@pytest.mark.parametrize(
    ("things", "wrong"),
    [
        ((STAR,), {"count", "colours", "shapes", "objects", "place"}),
        ((STAR, RING, replace(STAR, x=64, y=110, radius=14)), {"count", "colours", "shapes", "objects", "place"}),
        ((STAR, replace(RING, colour="green")), {"colours", "objects", "place"}),
        ((STAR, replace(RING, shape="circle")), {"shapes", "objects", "place"}),
        ((replace(STAR, colour="blue"), replace(RING, colour="red")), {"objects", "place"}),
        ((replace(STAR, x=92), replace(RING, x=36)), {"place"}),
        ((replace(STAR, x=64, y=36), replace(RING, x=64, y=92)), {"place"}),
    ],
)
def test_each_rule_of_things_is_broken_by_its_fault(things: tuple[Thing, ...], wrong: set[str]) -> None:
    assert broken(Scene("white", things), POSITION) == wrong


def test_another_ground_breaks_its_rule_alone() -> None:
    assert broken(replace(PAIR, ground="yellow"), POSITION) == {"ground"}


def test_an_edit_that_was_not_made_is_wrong() -> None:
    assert EDIT.source is not None
    assert broken(EDIT.source, EDIT) == {"colours", "objects", "place"}


@pytest.mark.parametrize(("shift", "wrong"), [(10, set()), (18, {"place"})])
def test_an_edit_may_not_move_what_it_leaves(shift: int, wrong: set[str]) -> None:
    assert broken(replace(PAIR, things=(STAR, replace(RING, y=RING.y + shift))), EDIT) == wrong


@pytest.mark.parametrize(
    ("sign", "wrong"),
    [
        (Sign("NPV", "red", frame_named=True), {"letters"}),
        (Sign("PNU", "red", frame_named=True), {"letters"}),
        (Sign("NP", "red", frame_named=True), {"letters"}),
        (Sign("NPU", "blue", frame_named=True), {"frame"}),
    ],
)
def test_each_rule_of_signs_is_broken_by_its_fault(sign: Sign, wrong: set[str]) -> None:
    assert broken(Scene("white", sign=sign), SIGN) == wrong


def test_a_frame_that_is_not_named_may_have_any_colour() -> None:
    example = replace(SIGN, scene=Scene("white", sign=Sign("NPU", "red", frame_named=False)))
    assert broken(Scene("white", sign=Sign("NPU", "green", frame_named=False)), example) == set()


def test_touching_things_of_two_colours_are_two() -> None:
    seen = see(draw_scene(Scene("white", (replace(STAR, x=44), replace(RING, x=84)))))
    assert sorted((thing.colour, thing.shape) for thing in seen.things) == [("blue", "ring"), ("red", "star")]


def test_noise_and_smears_show_nothing() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert not is_right(noise, POSITION)
    assert not is_right(np.full((128, 128, 3), 245, dtype=np.uint8), POSITION)
    assert not is_right(noise, SIGN)


def test_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="only"):
        see(np.zeros((64, 64, 3), dtype=np.uint8))
