"""The languages that reports speak: sentences stand in the code in English, and catalogues translate them.

``say`` and ``many`` give a sentence in the spoken language. What goes into a record is ``recorded``: a message that
reads as English whatever is spoken, so that records are the same everywhere, and that keeps its template and values;
``translated`` says it in the spoken language. ``marked`` only shows that a text is in the catalogues, for words that
stand in a module's table, and ``recordable`` does the same for tables of templates that go into records.

A language is a module of the folder ``catalogues``, or one that another package offers through an entry point in the
group ``harness.catalogues``: its ``NAME`` as its readers call it, its ``TAG`` for pages (BCP 47), and beside it
catalogues in the format of gettext (``*.po``). Numbers, names and digests are values in braces, the same in every
language. What no catalogue has is said in English and counted: ``untranslated`` lists it.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib import resources
from io import BytesIO
from string import Formatter
from typing import TYPE_CHECKING

from harness import registry
from harness.errors import UnknownName
from harness.message import Message, filled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

_FOLDER = "catalogues"
ENGLISH = "en"

_language: ContextVar[str] = ContextVar("language", default=ENGLISH)
_missing: ContextVar[dict[str, None] | None] = ContextVar("missing", default=None)


def languages() -> list[str]:
    """Codes of all languages, English first."""
    return [ENGLISH, *(name for name in registry.names(_FOLDER) if name != ENGLISH)]


def name_of(code: str) -> str:
    """A language as its readers call it.

    >>> name_of("zh")
    '中文'
    """
    return str(_module(code).NAME)


def tag_of(code: str) -> str:
    """What a page in a language says of itself in its ``lang`` attribute (BCP 47).

    >>> tag_of("zh")
    'zh-Hans'
    """
    return str(_module(code).TAG)


@contextmanager
def spoken(language: str) -> Iterator[None]:
    """Speak a language until the end of the block.

    >>> with spoken("zh"):
    ...     language()
    'zh'
    >>> language()
    'en'

    Raises:
        UnknownName: it is not one of ``languages()``.
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
        UnknownName: it is not one of ``languages()``.
    """
    if language not in languages():
        raise UnknownName("language", language, languages())


@contextmanager
def untranslated() -> Iterator[dict[str, None]]:
    """Sentences that were said in English in the block because the spoken language has no translation, each once."""
    noted: dict[str, None] = {}
    outer = _missing.get()
    before = _missing.set(noted)
    try:
        yield noted
    finally:
        _missing.reset(before)
        if outer is not None:
            outer.update(noted)


def language() -> str:
    """Code of the language that is spoken."""
    return _language.get()


def say(sentence: str, /, **values: object) -> str:
    """A sentence in the spoken language, with its values; English where no catalogue has it.

    >>> say("{made} of {planned} planned", made=3, planned=4)
    '3 of 4 planned'
    """
    return _catalogue(language()).gettext(sentence).format(**values)


def many(one: str, several: str, /, count: int, **values: object) -> str:
    """One of two English sentences by a count, which both may name; a language has as many forms as it needs.

    >>> many("{count} run", "{count} runs", 1), many("{count} run", "{count} runs", 3)
    ('1 run', '3 runs')
    """
    return _catalogue(language()).ngettext(one, several, count).format(count=count, **values)


def marked(text: str, /) -> str:
    """The text as it is; ``say`` speaks it where it is shown."""
    return text


def recorded(sentence: str, /, **values: object) -> str:
    """A sentence for a record: it reads as English whatever is spoken.

    >>> with spoken("zh"):
    ...     recorded("the prompt of case {case} differs", case="sky")
    'the prompt of case sky differs'
    """
    return Message(sentence, values)


def recorded_many(one: str, several: str, /, count: int, **values: object) -> str:
    """One of two English sentences for a record, by a count.

    >>> recorded_many("1 pair", "{count:d} pairs", 1), recorded_many("1 pair", "{count:d} pairs", 2)
    ('1 pair', '2 pairs')
    """
    return Message(one, {"count": count, **values}, several)


def recordable(sentence: str, /) -> str:
    """A template for records as it is, for tables of templates; ``recorded`` gives it its values."""
    return sentence


def translated(text: str, own: Mapping[str, str] | None = None, /) -> str:
    """A text of a record in the spoken language; what no catalogue has, such as a library's error, stays as it is.

    Values of a message that are words or messages themselves are translated too. ``own`` are translations of texts that
    a user wrote, such as reasons.
    """
    if language() == ENGLISH or not text:
        return str(text)
    if own and text in own:
        return own[text]
    if not isinstance(text, Message):
        return _words(language()).gettext(text)
    catalogue = _catalogue(language())
    count = text.values.get("count")
    sentence = (
        catalogue.ngettext(text.template, text.several, count)
        if text.several and isinstance(count, int)
        else catalogue.gettext(text.template)
    )
    separator = catalogue.gettext(_LIST).removeprefix("{first}").removesuffix("{second}")
    marks = separator, catalogue.gettext(_STOP), catalogue.gettext(_BETWEEN)
    return filled(sentence, text.values, lambda value: translated(value, own), marks)


_LIST, _STOP, _BETWEEN = marked("{first}, {second}"), marked("."), marked("; ")
"""Punctuation of messages: between two values of a list, at the end of a sentence, and between sentences."""


class _English(NullTranslations):
    """Says what a catalogue does not have in English, and notes it."""

    def gettext(self, message: str) -> str:
        _note(message)
        return message

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        _note(msgid2)
        return msgid1 if n == 1 else msgid2


def _note(sentence: str) -> None:
    if (noted := _missing.get()) is not None and has_words(sentence):
        noted[sentence] = None


def has_words(sentence: str) -> bool:
    """Whether a template has letters of its own; one without needs no translation.

    >>> has_words("{before}; {after}"), has_words("{count} runs")
    (False, True)
    """
    return any(character.isalpha() for own, *_ in Formatter().parse(sentence) for character in own)


@cache
def _catalogue(code: str) -> NullTranslations:
    """Every sentence of a language; what it does not have is noted."""
    catalogue = copy(_words(code))
    if code != ENGLISH:
        catalogue.add_fallback(_English())
    return catalogue


@cache
def _words(code: str) -> NullTranslations:
    return NullTranslations() if code == ENGLISH else _read(code)


def _read(code: str) -> GNUTranslations:
    """All catalogues of a language as one."""
    import polib  # only where another language than English is spoken

    whole = polib.POFile(check_for_duplicates=False)
    for path in sorted(resources.files(_module(code)).iterdir(), key=lambda path: path.name):
        if path.name.endswith(".po"):
            part = polib.pofile(path.read_text(encoding="utf-8"))
            whole.metadata |= part.metadata
            whole.extend(entry for entry in part if entry.translated())
    return GNUTranslations(BytesIO(whole.to_binary()))


def _module(code: str) -> ModuleType:
    return registry.module(_FOLDER, "language", code)
