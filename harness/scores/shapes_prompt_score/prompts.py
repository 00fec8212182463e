"""What a prompt of the small world asks for, found by its grammar; an edit also needs what its input picture shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.errors import UndefinedScore
from harness.language import recordable, recorded
from harness.scores.shapes_prompt_score.reader import UNKNOWN, Asked
from harness.scores.shapes_prompt_score.world import (
    COLOUR_HINTS,
    COLOURS,
    GROUNDS,
    NUMBERS,
    PLURALS,
    SHAPE_HINTS,
    SHAPES,
    Sign,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from harness.scores.shapes_prompt_score.reader import Seen


_OUTSIDE = {
    False: recordable(
        "“{prompt}” is no prompt of the small world: coloured shapes, their number, place and background, signs with "
        "one to three capitals."
    ),
    True: recordable(
        "“{prompt}” is no edit of the small world: another colour, shape or background of things in the picture, or "
        "one of them less."
    ),
}
"""What is said of a prompt that no rule knows, by whether there is a picture to edit."""


def asked_by(prompt: str, source: Seen | None = None) -> Asked:
    """What a picture must show to follow the prompt; ``source`` is what the input picture of an edit shows.

    >>> asked_by("a photo of two red stars").looks
    (('red', 'star'), ('red', 'star'))

    Raises:
        UndefinedScore: the prompt is none of the small world, or does not fit the input picture.
    """
    text = prompt.strip()
    if source is None:
        drawn = _INTRODUCTION.sub("", text)
        task = next((make(match) for grammar, make in _DRAWINGS if (match := grammar.fullmatch(drawn))), None)
    else:
        task = next((make(match, source) for grammar, make in _EDITS if (match := grammar.fullmatch(text))), None)
    if task is None:
        raise UndefinedScore(recorded(_OUTSIDE[source is not None], prompt=prompt))
    return task


# --- pictures --------------------------------------------------------------------------------------------------------


def _sign(match: re.Match[str]) -> Asked:
    frame, quoted, bare = match.groups()
    return Asked("white", sign=Sign(quoted or bare, frame or "", frame_named=frame is not None))


def _count(match: re.Match[str]) -> Asked:
    number, colour, plural = match.groups()
    return Asked("white", ((colour, _SHAPE_OF_PLURAL[plural]),) * _NUMBER_OF_WORD[number])


def _pair(match: re.Match[str]) -> Asked:
    colour, shape, word, other_colour, other_shape = match.groups()
    return Asked("white", ((colour, shape), (other_colour, other_shape)), relation=None if word == "and" else word)


def _single(match: re.Match[str]) -> Asked:
    colour, shape, ground = match.groups()
    return Asked(ground or "white", ((colour, shape),))


def _hinted(match: re.Match[str]) -> Asked:
    shape, shape_hint, colour_hint, colour = match.groups()
    return Asked("white", ((colour or _COLOUR_OF_HINT[colour_hint], shape or _SHAPE_OF_HINT[shape_hint]),))


# --- edits -----------------------------------------------------------------------------------------------------------


def _recolour(match: re.Match[str], source: Seen) -> Asked:
    shape, colour = match.groups()
    return _changed(source, shape, (colour, shape))


def _hinted_recolour(match: re.Match[str], source: Seen) -> Asked:
    shape, hint = match.groups()
    return _changed(source, shape, (_COLOUR_OF_HINT[hint], shape))


def _replace(match: re.Match[str], source: Seen) -> Asked:
    old, new = match.groups()
    return _changed(source, old, (source.things[_only(source, old)].colour, new))


def _remove(match: re.Match[str], source: Seen) -> Asked:
    return _changed(source, match.group(1), None)


def _ground(match: re.Match[str], source: Seen) -> Asked:
    return _kept(source, match.group(1))


def _keep(match: re.Match[str], source: Seen) -> Asked:
    del match
    return _kept(source, source.ground)


def _kept(source: Seen, ground: str) -> Asked:
    """Everything as in the input picture, on a ground."""
    if any(thing.shape == UNKNOWN for thing in source.things):
        raise UndefinedScore(recorded("the input picture shows a thing that is no shape of the small world."))
    looks = tuple((thing.colour, thing.shape) for thing in source.things)
    return Asked(ground, looks, places=tuple((thing.x, thing.y) for thing in source.things))


def _changed(source: Seen, shape: str, look: tuple[str, str] | None) -> Asked:
    """The input picture with another look of its only thing of a shape, or without that thing."""
    kept, index = _kept(source, source.ground), _only(source, shape)
    after = index + 1
    looks = (*kept.looks[:index], *([look] if look else []), *kept.looks[after:])
    places = kept.places if look else (*kept.places[:index], *kept.places[after:])
    return Asked(kept.ground, looks, places=places)


def _only(source: Seen, shape: str) -> int:
    indices = [index for index, thing in enumerate(source.things) if thing.shape == shape]
    if len(indices) != 1:
        raise UndefinedScore(
            recorded(
                "the prompt speaks of one {shape}, and the input picture shows {count}.",
                shape=shape,
                count=len(indices),
            )
        )
    return indices[0]


# --- the grammar -----------------------------------------------------------------------------------------------------


def _one_of(names: Iterable[str]) -> str:
    return f"({'|'.join(map(re.escape, names))})"


_SHAPE_OF_PLURAL = {plural: shape for shape, plural in PLURALS.items()}
_NUMBER_OF_WORD = {word: number for number, word in NUMBERS.items()}
_COLOUR_OF_HINT = {hint: colour for colour, hints in COLOUR_HINTS.items() for hint in hints}
_SHAPE_OF_HINT = {hint: shape for shape, hints in SHAPE_HINTS.items() for hint in hints}

_COLOUR, _GROUND, _SHAPE = _one_of(COLOURS), _one_of(GROUNDS), _one_of(SHAPES)
_COLOUR_HINT, _SHAPE_HINT = _one_of(_COLOUR_OF_HINT), _one_of(_SHAPE_OF_HINT)
_THING = rf"an? {_COLOUR} {_SHAPE}"
_CAPITALS = "([A-Z]{1,3})"
_INTRODUCTION = re.compile("^a (photo|picture) of ")

_DRAWINGS: list[tuple[re.Pattern[str], Callable[[re.Match[str]], Asked]]] = [
    (re.compile(rf'an? (?:{_COLOUR} )?sign that says (?:"{_CAPITALS}"|{_CAPITALS})'), _sign),
    (re.compile(rf"{_one_of(_NUMBER_OF_WORD)} {_COLOUR} {_one_of(_SHAPE_OF_PLURAL)}"), _count),
    (re.compile(rf"{_THING} (and|left of|right of|above|below) {_THING}"), _pair),
    (re.compile(rf"{_THING}(?: on an? {_GROUND} background)?"), _single),
    (re.compile(rf"(?:an? {_SHAPE}|{_SHAPE_HINT}) in (?:the colour of {_COLOUR_HINT}|{_COLOUR})"), _hinted),
]
_EDITS: list[tuple[re.Pattern[str], Callable[[re.Match[str], Seen], Asked]]] = [
    (re.compile(rf"(?:change|make|paint) the {_SHAPE}(?: to)? {_COLOUR}"), _recolour),
    (re.compile(rf"give the {_SHAPE} the colour of {_COLOUR_HINT}"), _hinted_recolour),
    (re.compile(rf"(?:remove|delete|erase) the {_SHAPE}"), _remove),
    (re.compile(rf"replace the {_SHAPE} with an? {_SHAPE}"), _replace),
    (re.compile(rf"(?:make|change) the background(?: to)? {_GROUND}"), _ground),
    (re.compile("keep the picture as it is|change nothing"), _keep),
]
