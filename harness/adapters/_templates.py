"""Texts with names in braces, such as ``{case}/{seed}.png``, filled without formatting anything."""

from __future__ import annotations

from string import Formatter
from typing import TYPE_CHECKING

from harness.errors import ModelError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def fields(template: str) -> list[str]:
    """Names in braces, in their order; ``{{`` and ``}}`` are braces.

    >>> fields("{case}/{seed}.png"), fields("{{seed}}")
    (['case', 'seed'], [])

    Raises:
        ModelError: a brace stands alone, or something follows a name, such as ``{seed:04}``.
    """
    return [name for _, name in _parts(template) if name is not None]


def check_names(template: str, known: Iterable[str]) -> None:
    """Refuse a name that stands for nothing.

    Raises:
        UnknownName: brings the nearest name.
        ModelError: as ``fields``.
    """
    names = list(known)
    for name in fields(template):
        if name not in names:
            raise UnknownName(f"placeholder of {template!r}", name, names)


def filled(template: str, values: Mapping[str, str]) -> str:
    """The text with every name replaced by its value; a value's own braces mean nothing.

    >>> filled("{case}-{seed}.png", {"case": "{seed}", "seed": "7"})
    '{seed}-7.png'
    """
    return "".join(text + ("" if name is None else values[name]) for text, name in _parts(template))


def _parts(template: str) -> list[tuple[str, str | None]]:
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ModelError(
            f"{template!r} cannot be read: {error}. A brace that means itself is written twice, as {{{{ or }}}}."
        ) from error
    strange = [name for _, name, form, conversion in parts if name is not None and (form or conversion)]
    if strange:
        raise ModelError(f"{template!r}: nothing may follow the name {strange[0]!r}; write {{{strange[0]}}}.")
    return [(text, name) for text, name, _, _ in parts]
