"""The words of the small world: its colours, shapes and letters, and what a scene is made of."""

from __future__ import annotations

from dataclasses import dataclass

SIDE = 128
"""Width and height of every picture, in pixels."""

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 160, 60),
    "blue": (40, 80, 220),
    "yellow": (245, 215, 50),
    "orange": (245, 135, 25),
    "purple": (140, 50, 180),
    "black": (25, 25, 25),
    "pink": (245, 150, 195),
}
GROUNDS = {**COLOURS, "white": (245, 245, 245), "grey": (160, 160, 160)}
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross", "heart")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PLURALS = {shape: f"{shape}s" for shape in SHAPES} | {"cross": "crosses"}
NUMBERS = {2: "two", 3: "three", 4: "four"}

COLOUR_HINTS = {
    "blue": ("the sky", "the sea"),
    "green": ("grass", "a leaf"),
    "red": ("blood", "a ripe tomato"),
    "yellow": ("a banana", "a lemon"),
    "black": ("coal", "the night"),
    "orange": ("a carrot", "a pumpkin"),
    "purple": ("a grape", "a plum"),
    "pink": ("a flamingo", "bubble gum"),
}
SHAPE_HINTS = {
    "triangle": ("a shape with three sides", "a shape with three corners"),
    "square": ("a shape with four equal sides", "a shape with four right angles"),
    "circle": ("a shape like a ball", "a perfectly round disc"),
    "ring": ("a shape like a donut", "a round band with a hole"),
    "heart": ("the symbol of love", "the shape on a valentine card"),
    "cross": ("a plus sign", "the sign of a hospital"),
    "star": ("a shape with five points", "a thing that twinkles at night"),
}
"""What reasoning prompts say instead of the word."""


@dataclass(frozen=True)
class Thing:
    """One shape; centre and radius in pixels of a 128x128 picture."""

    colour: str
    shape: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Sign:
    """One to three capital letters in a frame, whose colour the prompt may leave open."""

    letters: str
    frame: str
    frame_named: bool


@dataclass(frozen=True)
class Scene:
    """What a picture shows."""

    ground: str
    things: tuple[Thing, ...] = ()
    sign: Sign | None = None
