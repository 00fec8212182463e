"""The score is 1 for every rendered truth, and a picture that is wrong in one thing breaks that rule by name."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harness import plugins
from harness.errors import UndefinedScore
from harness.scores.shapes_prompt_score.drawing import draw_scene
from harness.scores.shapes_prompt_score.prompts import asked_by
from harness.scores.shapes_prompt_score.reader import see
from harness.scores.shapes_prompt_score.world import Scene, Sign, Thing
from training.world import EDIT_KINDS, TEXT_KINDS, Example, draw_example

if TYPE_CHECKING:
    from harness.contracts import Scored

STAR = Thing("red", "star", 36, 64, 22)
RING = Thing("blue", "ring", 92, 64, 22)
PAIR = Scene("white", (STAR, RING))
TOUCHING = (Thing("red", "square", 30, 46, 20), Thing("red", "square", 30, 80, 20))
PINK = replace(PAIR, things=(STAR, replace(RING, colour="pink")))
POSITION = "a photo of a red star left of a blue ring"
EDIT = "make the ring blue"
SIGN = 'a red sign that says "NPU"'


def scored(scene: Scene, prompt: str, source: Scene | None = None) -> Scored:
    before = None if source is None else draw_scene(source)
    return plugins.load("scores", "shapes_prompt_score").score(draw_scene(scene), prompt=prompt, input_image=before)


def broken(scene: Scene, prompt: str, source: Scene | None = None) -> set[str]:
    found = scored(scene, prompt, source)
    assert found.value == float(all(found.parts.values()))
    return {rule for rule, kept in found.parts.items() if not kept}


def is_wrong(example: Example) -> bool:
    return scored(example.scene, example.prompt, example.source).value != 1


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("kind", [*TEXT_KINDS, *EDIT_KINDS])
def test_every_truth_is_right(kind: str, held_out: bool) -> None:  # noqa: FBT001 - a case of the test
    rng = Random("truth")
    examples = [draw_example(kind, rng, held_out=held_out) for _ in range(40)]
    assert [example for example in examples if is_wrong(example)] == []


def test_a_picture_that_is_kept_is_right() -> None:
    rng = Random("keep")
    assert not [example for _ in range(20) if is_wrong(example := draw_example("keep", rng))]


@pytest.mark.parametrize("kind", [*TEXT_KINDS, *EDIT_KINDS])
def test_what_a_prompt_asks_for_is_what_its_scene_shows(kind: str) -> None:
    rng = Random("asked")
    for _ in range(40):
        example = draw_example(kind, rng)
        source = None if example.source is None else see(draw_scene(example.source))
        asked = asked_by(example.prompt, source)
        looks = [(thing.colour, thing.shape) for thing in example.scene.things]
        assert (asked.ground, sorted(asked.looks)) == (example.scene.ground, sorted(looks))
        assert asked.relation == (example.relation if kind == "position" else None)
        assert len(asked.places) == (len(looks) if example.source else 0)
        sign = example.scene.sign
        assert (asked.sign is None) == (sign is None)
        if asked.sign and sign:
            assert (asked.sign.letters, asked.sign.frame_named) == (sign.letters, sign.frame_named)
            assert asked.sign.frame == (sign.frame if sign.frame_named else "")


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
    assert broken(PINK, EDIT, PINK) == {"colours", "objects", "place"}


def test_an_edit_that_changes_something_else_too_is_wrong() -> None:
    assert broken(replace(PAIR, things=(replace(STAR, shape="heart"), RING)), EDIT, PINK) == {
        "shapes",
        "objects",
        "place",
    }
    assert broken(replace(PAIR, ground="green"), EDIT, PINK) == {"ground"}


@pytest.mark.parametrize(("shift", "wrong"), [(10, set()), (18, {"place"})])
def test_an_edit_may_not_move_what_it_leaves(shift: int, wrong: set[str]) -> None:
    assert broken(replace(PAIR, things=(STAR, replace(RING, y=RING.y + shift))), EDIT, PINK) == wrong


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
    assert broken(Scene("white", sign=Sign("NPU", "green", frame_named=True)), "a sign that says NPU") == set()


def test_words_tell_what_was_asked_for_and_what_is_seen() -> None:
    found = scored(Scene("white", (STAR, replace(RING, colour="green"))), POSITION)
    assert found.words == (
        "breaks colours, objects, place: asked blue ring, red star on white, the first left of the second; "
        "seen green ring, red star on white"
    )
    assert scored(PAIR, POSITION).words == ""
    assert (
        "seen blue sign NPU on white" in scored(Scene("white", sign=Sign("NPU", "blue", frame_named=True)), SIGN).words
    )


def test_touching_things_of_two_colours_are_two() -> None:
    seen = see(draw_scene(Scene("white", (replace(STAR, x=44), replace(RING, x=84)))))
    assert sorted(thing.look for thing in seen.things) == [("blue", "ring"), ("red", "star")]


@pytest.mark.parametrize("prompt", [POSITION, SIGN])
def test_noise_and_smears_show_nothing(prompt: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    for picture in (noise, np.full((128, 128, 3), 245, dtype=np.uint8)):
        found = plugins.load("scores", "shapes_prompt_score").score(picture, prompt=prompt, input_image=None)
        assert found.value == 0


@pytest.mark.parametrize(
    ("prompt", "source", "words"),
    [
        ("a photo of a racoon with a red apple", None, "is no prompt of the small world"),
        ("a red star and", None, "is no prompt of the small world"),
        ("a sign that says HELLO", None, "is no prompt of the small world"),
        (EDIT, None, "is no prompt of the small world"),
        ("a red star", PAIR, "is no edit of the small world"),
        ("remove the heart", PAIR, "speaks of one heart, and the input picture shows 0"),
        ("remove the star", replace(PAIR, things=(STAR, replace(STAR, x=92))), "the input picture shows 2"),
        (EDIT, replace(PAIR, things=(RING, *TOUCHING)), "no shape of the small world"),
    ],
)
def test_what_lies_outside_the_small_world_has_no_score(prompt: str, source: Scene | None, words: str) -> None:
    with pytest.raises(UndefinedScore, match=words):
        scored(PAIR, prompt, source)


def test_another_size_has_no_score() -> None:
    with pytest.raises(UndefinedScore, match="64x32; the small world is read at 128x128"):
        see(np.zeros((32, 64, 3), dtype=np.uint8))
