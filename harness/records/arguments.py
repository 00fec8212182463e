"""Arguments of a pipeline's call beyond those that a scenario has words for: JSON, with images named by their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import JsonValue

IMAGE = "image"
"""The only key of a mapping that stands for an image: ``{image: FILE}``."""


def image_of(value: JsonValue) -> str | None:
    """File of the image that a value stands for, as it is written; None for every other value.

    >>> image_of({"image": "mask.png"}), image_of({"scale": 0.5}), image_of("mask.png")
    ('mask.png', None, None)
    """
    if isinstance(value, dict) and list(value) == [IMAGE]:
        written = value[IMAGE]
        return written if isinstance(written, str) else None
    return None


def images_in(value: JsonValue) -> Iterator[str]:
    """Files of all images in a value, which is one, a list with some, or neither; lists may stand in lists.

    >>> list(images_in([{"image": "a.png"}, [{"image": "b.png"}]])), list(images_in(4.0))
    (['a.png', 'b.png'], [])
    """
    if isinstance(value, list):
        for inner in value:
            yield from images_in(inner)
    elif (written := image_of(value)) is not None:
        yield written


def with_images(value: JsonValue, read: Callable[[str], object]) -> object:
    """The value with ``read(FILE)`` in the place of each image.

    >>> with_images([{"image": "a.png"}, 1], str.upper)
    ['A.PNG', 1]
    """
    if isinstance(value, list):
        return [with_images(inner, read) for inner in value]
    written = image_of(value)
    return value if written is None else read(written)
