"""Sentences of records as data: an English template and its values, which any language can put into its own words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from numbers import Integral, Real
from string import Formatter
from typing import TYPE_CHECKING, Any, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Value: TypeAlias = "str | int | float | list[Value]"
"""What a template is filled with: a number, a name, another message, or several of them."""

LONGEST = 20_000_000
"""Characters of a message from a file; values within values could make it longer than any memory."""

_FORM = re.compile(r"[-+]?(\.\d{1,2})?[defgs%]?|;")
_LONGEST_NUMBER = 500
_JOINED = ";"
"""Format of a list of sentences, which are put one after another."""

SEPARATOR, STOP, BETWEEN = ", ", ".", "; "
"""English punctuation between the values of a list, at the end of a sentence, and between sentences."""


class Message(str):
    """A sentence that reads as its English text and keeps the template and the values it was made from.

    The template is the key by which catalogues know the sentence. A value with the format ``s`` and no conversion is a
    name and is never translated; any other text among the values is a word or a message itself.

    >>> message = Message("{count:d} images of {arm:s}", {"count": 3, "arm": "npu"})
    >>> message, message.template
    ('3 images of npu', '{count:d} images of {arm:s}')
    """

    __slots__ = ("several", "template", "values")

    template: str
    values: Mapping[str, Value]
    several: str
    """Template for any other ``count`` than one; empty where the sentence has one form."""

    def __new__(cls, template: str, values: Mapping[str, object], several: str = "") -> Self:
        """Fill the template; values that no record can hold become texts."""
        kept = {
            name: _kept(values[name], form)
            for own in (template, several)
            for _, name, form, _ in Formatter().parse(own)
            if name
        }
        chosen = several if several and kept["count"] != 1 else template
        self = super().__new__(cls, filled(chosen, kept))
        self.template, self.values, self.several = template, kept, several
        return self

    def __reduce__(self) -> tuple[type[Message], tuple[str, Mapping[str, Value], str]]:
        """Copies keep the template and the values."""
        return Message, (self.template, self.values, self.several)


def joined(sentences: Iterable[str]) -> str:
    """Sentences one after another as one message, the empty ones left out.

    >>> joined(["one.", "", "two."])
    'one; two.'
    """
    kept = [sentence for sentence in sentences if sentence]
    if len(kept) > 1:
        return Message("{sentences:;}", {"sentences": kept})
    return kept[0] if kept else ""


def listed(words: Iterable[object]) -> Message:
    """Words or messages one after another as one message.

    >>> listed(["top", "left"])
    'top, left'
    """
    return Message("{words}", {"words": list(words)})


def of_error(error: BaseException) -> str:
    """What an error says: the message that it was raised with, or its text."""
    said = error.args[0] if error.args else ""
    return said if isinstance(said, Message) else str(error)


def mapped(text: str, change: Callable[[str], str]) -> str:
    """A text with every text among its values changed; a plain text is changed itself.

    >>> mapped(Message("no file {path:s}", {"path": "/home/me"}), str.upper)
    'no file /HOME/ME'
    """
    if not isinstance(text, Message):
        return change(text)
    return Message(text.template, {name: _mapped(value, change) for name, value in text.values.items()}, text.several)


def _mapped(value: Value, change: Callable[[str], str]) -> Value:
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    return mapped(value, change) if isinstance(value, str) else value


def filled(
    template: str,
    values: Mapping[str, Value],
    word: Callable[[str], str] = str,
    marks: tuple[str, str, str] = (SEPARATOR, STOP, BETWEEN),
) -> str:
    """A template with its values; ``word`` says a text in the template's language, ``marks`` are its punctuation.

    A sentence that another one follows behind a semicolon loses its full stop; a list with the format ``;`` is one of
    sentences.

    >>> filled("{names}: {left:.1f} {unit}", {"names": ["a", "b"], "left": 2.25, "unit": "levels"})
    'a, b: 2.2 levels'
    """
    separator, stop, between = marks
    text, before = "", False
    for own, name, form, conversion in Formatter().parse(template):
        if before and own.startswith(between.strip()):
            text = text.removesuffix(stop)
        text += own
        before = bool(name)
        if name:
            value = repr(values[name]) if conversion == "r" else values[name]
            if form == _JOINED and isinstance(value, list):
                *others, last = [_shown(item, "", word, separator, named=False) for item in value] or [""]
                text += between.join([*(sentence.removesuffix(stop) for sentence in others), last])
                continue
            text += _shown(
                value, form or "", word, separator, named=conversion == "r" or (form == "s" and not conversion)
            )
    return text


def _shown(value: Value, form: str, word: Callable[[str], str], separator: str, *, named: bool) -> str:
    if isinstance(value, list):
        return separator.join(_shown(item, form, word, separator, named=named) for item in value)
    if isinstance(value, str):
        return str(value) if named else word(value)
    return format(value, form)


def _kept(value: object, form: str | None) -> Value:
    """A value as a record can hold it."""
    if isinstance(value, Message | bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else format(float(value), form or "")
    if isinstance(value, list | tuple):
        return [_kept(item, form) for item in value]
    return str(value)


# --- in files --------------------------------------------------------------------------------------------------------


def to_data(message: Message) -> dict[str, Any]:
    """A message as a record's file holds it: its English text, template and values.

    >>> to_data(Message("{count:d} images", {"count": 3}))
    {'text': '3 images', 'template': '{count:d} images', 'values': {'count': 3}}
    """
    return {"text": str(message), **_inner(message)}


def from_data(data: Any) -> Message:
    """A message from a record's file.

    Raises:
        ValueError: it is no message, or its text is not what its template and values say.
    """
    if not isinstance(data, dict) or not {"text", *_KEYS} <= data.keys():
        raise ValueError(f"a message has the fields text, template, values, and perhaps several; found {_keys(data)}")
    message = _of_inner({name: value for name, value in data.items() if name != "text"})
    if message != data["text"]:
        raise ValueError(f"the text of a message is not what its template and values say, which is {str(message)!r}")
    return message


_KEYS = ("template", "values")


def _keys(data: Any) -> str:
    return ", ".join(sorted(map(str, data))) if isinstance(data, dict) else type(data).__name__


def _inner(message: Message) -> dict[str, Any]:
    data: dict[str, Any] = {"template": message.template}
    if message.several:
        data["several"] = message.several
    return data | {"values": {name: _to_json(value) for name, value in message.values.items()}}


def _to_json(value: Value) -> Any:
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    return _inner(value) if isinstance(value, Message) else value


def _of_inner(data: Mapping[str, Any]) -> Message:
    template, values, several = data.get("template"), data.get("values"), data.get("several", "")
    if not (isinstance(template, str) and isinstance(values, Mapping) and isinstance(several, str)):
        raise ValueError("a message has a text as its template and a mapping of values")  # noqa: TRY004 - as pydantic
    if unknown := sorted({*data} - {*_KEYS, "several"}):
        raise ValueError(f"a message has no field {unknown[0]!r}")
    for _, name, form, _ in (field for text in (template, several) for field in _fields(text)):
        if name is not None and not _FORM.fullmatch(form or ""):
            raise ValueError(f"the template {template!r} has a value {name!r} with the format {form!r}")
    known = {str(name): _from_json(value) for name, value in values.items()}
    names = [name for _, name, _, _ in (field for text in (template, several) for field in _fields(text)) if name]
    if len(template) + len(several) + sum(_length(known.get(name, "")) for name in names) > LONGEST:
        raise ValueError(f"a message is longer than {LONGEST} characters")
    try:
        return Message(template, known, several)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"the template {template!r} cannot be filled with its values: {error}") from error


def _length(value: Value) -> int:
    """Characters that a value has at most."""
    if isinstance(value, list):
        return sum(_length(item) + len(SEPARATOR) for item in value)
    return len(value) if isinstance(value, str) else _LONGEST_NUMBER


def _fields(template: str) -> list[tuple[str, str | None, str | None, str | None]]:
    return list(Formatter().parse(template))


def _from_json(value: Any) -> Value:
    if isinstance(value, Mapping):
        return _of_inner(value)
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    if isinstance(value, str | int | float):
        return value
    # pydantic makes an error of a record from a ValueError alone
    raise ValueError(f"a value of a message is a number, a text, a list or a message; found {type(value).__name__}")
