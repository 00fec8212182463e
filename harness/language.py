"""The languages that reports speak: sentences stand in the code in English, and catalogues translate them.

``say`` and ``many`` give a sentence in the spoken language. What goes into a record is ``recorded`` in English,
whatever is spoken, so that records are the same everywhere; ``translated`` knows such a sentence again and says it in
the spoken language. ``marked`` only shows that a text is in the catalogues, for words that stand in a module's table,
and ``recordable`` does the same for tables of sentences that go into records.

Catalogues are ``catalogues/LANGUAGE/*.po``; which file a sentence stands in is of no matter, and those of ``recorded``
stand in ``recorded.po``. Numbers, names and digests are values in braces, the same in every language.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import resources
from string import Formatter
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterator

LANGUAGES = {"en": "English", "zh": "中文"}
"""Languages by code, each called as its readers call it."""
TAGS = {"en": "en", "zh": "zh-Hans"}
"""What a page says of itself in its ``lang`` attribute (BCP 47)."""

_RECORDED = "recorded.po"
_BETWEEN = "; "
"""What records put between sentences."""

_language: ContextVar[str] = ContextVar("language", default="en")


@contextmanager
def spoken(language: str) -> Iterator[None]:
    """Speak a language until the end of the block.

    >>> with spoken("zh"):
    ...     language()
    'zh'
    >>> language()
    'en'

    Raises:
        UnknownName: it is not one of ``LANGUAGES``.
    """
    require_known(language)
    before = _language.set(language)
    try:
        yield
    finally:
        _language.reset(before)


def require_known(language: str) -> None:
    """Nothing, where a language can be spoken; so that what takes long can refuse before it begins.

    Raises:
        UnknownName: it is not one of ``LANGUAGES``.
    """
    if language not in LANGUAGES:
        raise UnknownName("language", language, LANGUAGES)


def language() -> str:
    """Code of the language that is spoken."""
    return _language.get()


def say(sentence: str, /, **values: object) -> str:
    """A sentence in the spoken language, with its values; English where no catalogue has it.

    >>> say("{made} of {planned} planned", made=3, planned=4)
    '3 of 4 planned'
    """
    return _catalogue(language()).get(sentence, sentence).format(**values)


def many(one: str, several: str, /, count: int, **values: object) -> str:
    """One of two English sentences by a count, which both may name; a catalogue may need only the second.

    >>> many("{count} run", "{count} runs", 1), many("{count} run", "{count} runs", 3)
    ('1 run', '3 runs')
    """
    sentence = one if count == 1 else several
    catalogue = _catalogue(language())
    return catalogue.get(sentence, catalogue.get(several, sentence)).format(count=count, **values)


def marked(text: str, /) -> str:
    """The text as it is; ``say`` speaks it where it is shown."""
    return text


def recorded(sentence: str, /, **values: object) -> str:
    """A sentence for a record, in English whatever is spoken.

    >>> with spoken("zh"):
    ...     recorded("the prompt of case {case} differs", case="sky")
    'the prompt of case sky differs'
    """
    return sentence.format(**values)


def recordable(sentence: str, /) -> str:
    """A sentence for records as it is, for tables of sentences; ``format`` gives it its values where it is recorded."""
    return sentence


def translated(text: str, /) -> str:
    """A text of a record in the spoken language; what no catalogue knows, such as a library's error, stays as it is.

    Sentences that records join by a semicolon are known one by one, and values that are sentences themselves too;
    likewise what stands behind a name and a colon, words in a list, and the unit behind a number.
    """
    return text if language() == "en" else _recognised(language(), text)


@cache
def _catalogue(code: str) -> dict[str, str]:
    """Every translated sentence of a language."""
    found: dict[str, str] = {}
    for name in _files(code):
        found |= _read(code, name)
    return found


def _files(code: str) -> list[str]:
    folder = resources.files("harness") / "catalogues" / code
    return sorted(each.name for each in folder.iterdir() if each.name.endswith(".po")) if folder.is_dir() else []


def _read(code: str, name: str) -> dict[str, str]:
    import polib  # only where another language than English is spoken

    text = (resources.files("harness") / "catalogues" / code / name).read_text(encoding="utf-8")
    return {entry.msgid: entry.msgstr for entry in polib.pofile(text) if entry.msgstr and not entry.obsolete}


class _Sentence(NamedTuple):
    """A sentence of records, how it is known again, and what it is in another language."""

    own: tuple[str, ...]
    """Its own words, between the values."""
    pattern: re.Pattern[str]
    names: frozenset[str]
    """Values that are names, such as those of arms, and stay as they are even where a catalogue has the word."""
    translation: str

    def values(self, text: str) -> dict[str, str] | None:
        """The values of a text that is this sentence."""
        found = self.pattern.fullmatch(text) if all(own in text for own in self.own) else None
        return found.groupdict() if found else None


@cache
def _sentences(code: str) -> list[_Sentence]:
    """How sentences of records are known again: what stands behind another sentence first, then by their own words."""
    translations = _read(code, _RECORDED) if _RECORDED in _files(code) else {}
    ordered = sorted(translations, key=lambda each: (not _is_behind(each), -len("".join(_own_words(each))), each))
    return [
        _Sentence(_own_words(each.removesuffix(".")), _pattern(each), _names(each), translations[each])
        for each in ordered
    ]


def _names(sentence: str) -> frozenset[str]:
    fields = Formatter().parse(sentence)
    return frozenset(name for _, name, form, conversion in fields if name and form == "s" and not conversion)


def _own_words(sentence: str) -> tuple[str, ...]:
    return tuple(text for text, *_ in Formatter().parse(sentence))


def _is_behind(sentence: str) -> bool:
    """Whether a sentence begins with another one, and the stop of that one ends it.

    >>> _is_behind("{message!s} Waived by {owner}"), _is_behind("{found!s}; allowed: {limit}.")
    (True, False)
    """
    own, _, _, conversion = next(iter(Formatter().parse(sentence)), ("", None, None, None))
    return not own and conversion is not None and _BETWEEN not in "".join(_own_words(sentence))


_NUMBER = r"[-+]?(?:\d[\d.]*(?:e[-+]?\d+)?|inf|nan)%?"
_QUANTITY = f"{_NUMBER}(?: [^\\W\\d]\\S*){{0,2}}"
_ONE_SENTENCE = f"(?:(?!{_BETWEEN}).)+?"


def _pattern(sentence: str) -> re.Pattern[str]:
    r"""What a sentence looks like with any values, none of which has a semicolon, unless it is marked ``!s``.

    A value with ``:s`` is a name, with ``!s:s`` another word, with ``:g`` a number that may have a unit, with another
    format a number. The full stop at the end is left out where records join sentences by a semicolon.

    >>> _pattern("{key}: {count:d} runs").fullmatch("sky/7: 2 runs").groupdict()
    {'key': 'sky/7', 'count': '2'}
    >>> _pattern("{key}: {count:d} runs").fullmatch("sky/7: 1 run; sky/8: 2 runs")
    >>> _pattern("{key}: {count:d} runs").fullmatch("sky/7: many runs")
    >>> _pattern("broken: {worst!s}").fullmatch("broken: a; b").groupdict()
    {'worst': 'a; b'}
    """
    text, named = "", set()
    for own, name, form, conversion in Formatter().parse(sentence):
        text += re.escape(own)
        if name:
            value = {"": ".+?" if conversion else _ONE_SENTENCE, "s": r"\S+", "g": _QUANTITY}.get(form or "", _NUMBER)
            text += f"(?P={name})" if name in named else f"(?P<{name}>{value})"
            named.add(name)
    if sentence.endswith("."):
        text += "?"
    return re.compile(text, re.DOTALL)


@cache
def _recognised(code: str, text: str) -> str:
    return _as_sentence(code, text) or _in_parts(code, text) or _catalogue(code).get(text, text)


def _as_sentence(code: str, text: str) -> str:
    """A text that is one sentence of records, nothing where it is not."""
    for sentence in _sentences(code):
        values = sentence.values(text)
        if values is not None:
            said = {
                name: value if name in sentence.names else _recognised(code, value) for name, value in values.items()
            }
            return _without_formats(sentence.translation).format(**said).replace("。；", "；")
    return ""


def _in_parts(code: str, text: str) -> str:
    """A text in which sentences or words stand one after another, nothing where they do not."""
    if _BETWEEN in text:
        parts = _first_sentence(code, text)
        first, rest = (_recognised(code, part) for part in parts)
        return f"{first.removesuffix('。')}；{rest}" if (first, rest) != parts else ""
    if quantity := re.fullmatch(f"({_NUMBER}) (.+)", text):
        return f"{quantity[1]} {_recognised(code, quantity[2])}"
    words = text.split(", ")
    said_words = [_recognised(code, word) for word in words] if len(words) > 1 else []
    if said_words and all(said != word for said, word in zip(said_words, words, strict=True)):
        return "、".join(said_words)
    name, _, rest = text.partition(": ")
    said = _recognised(code, rest) if rest else ""
    return f"{name}：{said}" if said != rest else ""


def _first_sentence(code: str, text: str) -> tuple[str, str]:
    """As much of the beginning as is one sentence, up to the first semicolon at least, and the rest."""
    parts = text.split(_BETWEEN)
    heads = [_BETWEEN.join(parts[:count]) for count in range(len(parts) - 1, 1, -1)]
    first = next((head for head in heads if _as_sentence(code, head)), parts[0])
    return first, text[len(first) + len(_BETWEEN) :]


def _without_formats(sentence: str) -> str:
    """A translation whose values are texts already."""
    return re.sub(r"\{(\w+)[^{}]*\}", r"{\1}", sentence)
