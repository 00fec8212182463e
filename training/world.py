"""The small world that the embedded model is trained on: coloured shapes, signs with letters, and edits of them.

Every example is drawn from a ``random.Random``, so a seed names it. One combination in eight is held out by a hash of
its words: it is drawn for scoring only, never for training.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.scores.shapes_prompt_score.world import (
    COLOUR_HINTS,
    COLOURS,
    GROUNDS,
    LETTERS,
    NUMBERS,
    PLURALS,
    SHAPE_HINTS,
    SHAPES,
    Scene,
    Sign,
    Thing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

HELD_OUT_ONE_IN = 8

FRAMES_NAMED = 0.5
QUOTED = 0.5
WHITE_SOURCES = 0.75
"""Shares of signs whose frame has a named colour, of letters in quotes, of edited pictures on a white ground."""

RELATIONS = {
    "left of": ((36, 64), (92, 64)),
    "right of": ((92, 64), (36, 64)),
    "above": ((64, 36), (64, 92)),
    "below": ((64, 92), (64, 36)),
}
"""Centres of the first and the second thing."""


@dataclass(frozen=True)
class Example:
    """A prompt, the scene that it asks for, and the scene before the edit where there is one."""

    kind: str
    prompt: str
    scene: Scene
    source: Scene | None = None
    relation: str | None = None


Combination = tuple[str, ...]
Made = tuple[Example, Combination]


def draw_example(kind: str, rng: Random, *, held_out: bool = False) -> Example:
    """An example of a kind; its combination of words is held out or not, as asked.

    Raises:
        KeyError: the kind is neither in ``TEXT_KINDS`` nor in ``EDIT_KINDS``.
    """
    make = _MAKERS[kind]
    while True:
        example, combination = make(rng)
        if is_held_out(combination) is held_out:
            return example


def draw_mixed(weights: Mapping[str, float], rng: Random) -> Example:
    """A training example of a kind drawn by the weights."""
    (kind,) = rng.choices(list(weights), list(weights.values()))
    return draw_example(kind, rng)


def is_held_out(combination: Combination) -> bool:
    """Whether a combination is kept for scoring; the empty one never is.

    >>> is_held_out(("recolour", "red", "heart", "blue"))
    False
    """
    return bool(combination) and zlib.crc32("|".join(combination).encode()) % HELD_OUT_ONE_IN == 0


def with_article(words: str) -> str:
    """Words behind "a" or "an".

    >>> with_article("orange ring")
    'an orange ring'
    """
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _single(rng: Random) -> Made:
    thing = _large(rng)
    prompt = _introduced(rng, with_article(f"{thing.colour} {thing.shape}"))
    return Example("single", prompt, Scene("white", (thing,))), _one(thing)


def _background(rng: Random) -> Made:
    thing = _large(rng)
    ground = rng.choice([name for name in GROUNDS if name != thing.colour])
    words = f"{with_article(f'{thing.colour} {thing.shape}')} on {with_article(ground)} background"
    return Example("background", _introduced(rng, words), Scene(ground, (thing,))), _one(thing)


def _reasoning(rng: Random) -> Made:
    thing = _large(rng)
    colour, shape = rng.choice(COLOUR_HINTS[thing.colour]), rng.choice(SHAPE_HINTS[thing.shape])
    both = f"{shape} in the colour of {colour}"
    words = rng.choice(
        [both, both, f"{with_article(thing.shape)} in the colour of {colour}", f"{shape} in {thing.colour}"]
    )
    return Example("reasoning", _introduced(rng, words), Scene("white", (thing,))), _one(thing)


def _count(rng: Random) -> Made:
    colour, shape = _colour_and_shape(rng)
    places, smallest, largest = _GRIDS[number := rng.choice(list(_GRIDS))]
    things = tuple(_thing(rng, (colour, shape), place, (smallest, largest), 2) for place in places)
    prompt = _introduced(rng, f"{NUMBERS[number]} {colour} {PLURALS[shape]}")
    return Example("count", prompt, Scene("white", things)), _one(things[0])


def _two(rng: Random) -> Made:
    return _pair(rng, "two", "left of", "and")


def _position(rng: Random) -> Made:
    relation = rng.choice(list(RELATIONS))
    return _pair(rng, "position", relation, relation)


def _pair(rng: Random, kind: str, relation: str, word: str) -> Made:
    first, second = _things(rng, relation, differ_in_shape=False)
    words = f"{with_article(f'{first.colour} {first.shape}')} {word} {with_article(f'{second.colour} {second.shape}')}"
    example = Example(kind, _introduced(rng, words), Scene("white", (first, second)), relation=relation)
    return example, ("two", first.colour, first.shape, second.colour, second.shape)


def _text(rng: Random) -> Made:
    letters = "".join(rng.choice(LETTERS) for _ in range(rng.choice([1, 2, 2, 3, 3, 3])))
    sign = Sign(letters, rng.choice(list(COLOURS)), frame_named=rng.random() < FRAMES_NAMED)
    frame = with_article(f"{sign.frame} sign") if sign.frame_named else "a sign"
    quoted = f'"{letters}"' if rng.random() < QUOTED else letters
    combination = ("text", letters) if len(letters) > 1 else ()
    return Example("text", f"{frame} that says {quoted}", Scene("white", sign=sign)), combination


def _recolour(rng: Random) -> Made:
    source, k, colour = _colour_change(rng)
    shape = source.things[k].shape
    verb = rng.choice(["change the {} to {}", "make the {} {}", "paint the {} {}"])
    return _recoloured("recolour", verb.format(shape, colour), source, k, colour)


def _edit_reasoning(rng: Random) -> Made:
    source, k, colour = _colour_change(rng)
    prompt = f"give the {source.things[k].shape} the colour of {rng.choice(COLOUR_HINTS[colour])}"
    return _recoloured("edit reasoning", prompt, source, k, colour)


def _colour_change(rng: Random) -> tuple[Scene, int, str]:
    source = _source(rng)
    k = rng.randrange(len(source.things))
    taken = {source.things[k].colour, source.ground}
    return source, k, rng.choice([name for name in COLOURS if name not in taken])


def _recoloured(kind: str, prompt: str, source: Scene, k: int, colour: str) -> Made:
    thing = source.things[k]
    scene = _with_thing(source, k, replace(thing, colour=colour))
    return Example(kind, prompt, scene, source), ("recolour", thing.colour, thing.shape, colour)


def _remove(rng: Random) -> Made:
    source = _source(rng, number=2)
    k = rng.randrange(2)
    gone, kept = source.things[k], source.things[1 - k]
    prompt = f"{rng.choice(['remove', 'delete', 'erase'])} the {gone.shape}"
    example = Example("remove", prompt, replace(source, things=(kept,)), source)
    return example, ("remove", gone.colour, gone.shape, kept.colour, kept.shape)


def _replace(rng: Random) -> Made:
    source = _source(rng)
    k = rng.randrange(len(source.things))
    old = source.things[k]
    shape = rng.choice([name for name in SHAPES if name not in {thing.shape for thing in source.things}])
    scene = _with_thing(source, k, replace(old, shape=shape))
    prompt = f"replace the {old.shape} with {with_article(shape)}"
    return Example("replace", prompt, scene, source), ("replace", old.colour, old.shape, shape)


def _edit_background(rng: Random) -> Made:
    source = _source(rng)
    taken = {source.ground, *(thing.colour for thing in source.things)}
    ground = rng.choice([name for name in GROUNDS if name not in taken])
    prompt = rng.choice(["make the background {}", "change the background to {}"]).format(ground)
    first = source.things[0]
    example = Example("edit background", prompt, replace(source, ground=ground), source)
    return example, ("background", first.colour, first.shape, ground)


def _keep(rng: Random) -> Made:
    source = _source(rng)
    return Example("keep", rng.choice(["keep the picture as it is", "change nothing"]), source, source), ()


def _source(rng: Random, number: int | None = None) -> Scene:
    """One or two things of different shapes, on a coloured ground one time in four."""
    two = (number or rng.choice([1, 2, 2])) == 2  # noqa: PLR2004 - of two
    things = _things(rng, rng.choice(["left of", "above"]), differ_in_shape=True) if two else (_large(rng),)
    free = [name for name in GROUNDS if name not in {thing.colour for thing in things}]
    return Scene("white" if rng.random() < WHITE_SOURCES else rng.choice(free), things)


def _with_thing(scene: Scene, k: int, thing: Thing) -> Scene:
    return replace(scene, things=(*scene.things[:k], thing, *scene.things[k + 1 :]))


def _things(rng: Random, relation: str, *, differ_in_shape: bool) -> tuple[Thing, Thing]:
    look, other = _colour_and_shape(rng), _colour_and_shape(rng)
    while other == look or (differ_in_shape and other[1] == look[1]):
        other = _colour_and_shape(rng)
    here, there = RELATIONS[relation]
    return (
        _thing(rng, look, here, (19, 23), 3),
        _thing(rng, other, there, (19, 23), 3),
    )


def _large(rng: Random) -> Thing:
    return _thing(rng, _colour_and_shape(rng), (64, 64), (28, 42), 8)


def _thing(rng: Random, look: tuple[str, str], place: tuple[int, int], radius: tuple[int, int], jitter: int) -> Thing:
    x, y = (centre + rng.uniform(-jitter, jitter) for centre in place)
    return Thing(*look, x, y, rng.uniform(*radius))


def _colour_and_shape(rng: Random) -> tuple[str, str]:
    return rng.choice(list(COLOURS)), rng.choice(SHAPES)


def _introduced(rng: Random, words: str) -> str:
    return rng.choice(["a photo of ", "a photo of ", "a photo of ", "a picture of ", ""]) + words


def _one(thing: Thing) -> Combination:
    return ("one", thing.colour, thing.shape)


_GRIDS = {
    2: (((36, 64), (92, 64)), 19, 24),
    3: (((25, 64), (64, 64), (103, 64)), 14, 16),
    4: (((38, 38), (90, 38), (38, 90), (90, 90)), 17, 21),
}
"""Number of things: their centres, smallest and largest radius; neighbours never touch."""

TEXT_KINDS = ("single", "two", "position", "count", "background", "reasoning", "text")
EDIT_KINDS = ("recolour", "remove", "replace", "edit background", "edit reasoning")
TEXT_WEIGHTS = dict(zip(TEXT_KINDS, (0.10, 0.14, 0.14, 0.12, 0.20, 0.10, 0.20), strict=True))
EDIT_WEIGHTS = dict(zip((*EDIT_KINDS, "keep"), (0.17, 0.18, 0.20, 0.19, 0.16, 0.10), strict=True))
"""Shares of the kinds in training. "keep" teaches to copy the picture; it is not scored."""
GROUND_WEIGHTS = {"background": 0.75, "single": 0.15, "reasoning": 0.10}
"""Of a second mix: a pair of thing and ground is far rarer in the first than the same thing on white."""

_MAKERS: dict[str, Callable[[Random], Made]] = {
    "single": _single,
    "two": _two,
    "position": _position,
    "count": _count,
    "background": _background,
    "reasoning": _reasoning,
    "text": _text,
    "recolour": _recolour,
    "remove": _remove,
    "replace": _replace,
    "edit background": _edit_background,
    "edit reasoning": _edit_reasoning,
    "keep": _keep,
}
