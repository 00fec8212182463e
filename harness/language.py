"""The languages that reports speak: sentences stand in the code in English, and catalogues translate them.

``say`` and ``many`` give a sentence in the spoken language. What goes into a record is ``recorded`` in English,
whatever is spoken, so that records are the same everywhere; ``translated`` knows such a sentence again and says it in
the spoken language. ``marked`` only shows that a text is in the catalogues, for words that stand in a module's table.

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
from typing import TYPE_CHECKING

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


def translated(text: str, /) -> str:
    """A text of a record in the spoken language; what no catalogue knows, such as a library's error, stays as it is.

    Sentences that records join by a semicolon are known one by one, and values that are sentences themselves too.
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


@cache
def _patterns(code: str) -> list[tuple[re.Pattern[str], str]]:
    """How sentences of records are known again, those with the most words of their own first."""
    sentences = _read(code, _RECORDED) if _RECORDED in _files(code) else {}
    ordered = sorted(sentences, key=lambda sentence: (-len(_own_words(sentence)), sentence))
    return [(_pattern(sentence), sentences[sentence]) for sentence in ordered]


def _own_words(sentence: str) -> str:
    return "".join(text for text, *_ in Formatter().parse(sentence))


def _pattern(sentence: str) -> re.Pattern[str]:
    r"""What a sentence looks like with any values; only a sentence with a semicolon may have values with one.

    >>> _pattern("{key}: {count} runs").fullmatch("sky/7: 2 runs").groupdict()
    {'key': 'sky/7', 'count': '2'}
    >>> _pattern("{key}: {count} runs").fullmatch("sky/7: 1 run; sky/8: 2 runs")
    """
    anything = ".+?" if _BETWEEN in _own_words(sentence) else f"(?:(?!{_BETWEEN}).)+?"
    text, named = "", set()
    for own, name, _, _ in Formatter().parse(sentence):
        text += re.escape(own)
        if name:
            text += f"(?P={name})" if name in named else f"(?P<{name}>{anything})"
            named.add(name)
    return re.compile(text, re.DOTALL)


@cache
def _recognised(code: str, text: str) -> str:
    for pattern, translation in _patterns(code):
        if found := pattern.fullmatch(text):
            values = {name: _recognised(code, value) for name, value in found.groupdict().items()}
            return _without_formats(translation).format(**values)
    if _BETWEEN in text:
        return "；".join(_recognised(code, part) for part in text.split(_BETWEEN))
    return _catalogue(code).get(text, text)


def _without_formats(sentence: str) -> str:
    """A translation whose values are texts already."""
    return re.sub(r"\{(\w+)[^{}]*\}", r"{\1}", sentence)
