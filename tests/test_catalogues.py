"""Every sentence of a report has its translation, and every translation a sentence with the same values."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING

import polib
import pytest
from jinja2 import Environment, nodes

from harness.language import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "harness"
CATALOGUES = PACKAGE / "catalogues"
OTHERS = sorted(set(LANGUAGES) - {"en"})
RECORDED = "recorded.po"
LEAST_OWN_LETTERS = 3
"""Fewer letters would make a pattern that fits sentences it is not."""


@dataclass(frozen=True)
class Message:
    """A sentence somewhere in the code."""

    place: str
    sentence: str
    recorded: bool = False
    singular: bool = False
    """Whether a language may do without it."""


@dataclass(frozen=True)
class Entry:
    """A sentence of a catalogue with its translation."""

    file: str
    sentence: str
    translation: str
    fuzzy: bool = False


def test_every_sentence_of_the_code_is_translated_and_no_translation_is_left_over() -> None:
    messages = [*python_messages(), *template_messages()]
    for code in OTHERS:
        assert problems(messages, list(entries(code))) == []


def python_messages(folder: Path = PACKAGE) -> Iterator[Message]:
    """Sentences written out in calls of ``say``, ``many``, ``marked``, ``recorded`` and ``recordable``."""
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "from harness.language import" in text else ():
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
                texts = [each.value if isinstance(each, ast.Constant) else None for each in node.args]
                yield from called(f"{path.name}:{node.lineno}", str(name), texts)


def template_messages(folder: Path = PACKAGE / "render" / "templates") -> Iterator[Message]:
    """Sentences written out in calls of ``say`` and ``many`` in templates."""
    for path in sorted(folder.glob("*.j2")):
        for call in Environment(autoescape=True).parse(path.read_text(encoding="utf-8")).find_all(nodes.Call):
            texts = [each.value if isinstance(each, nodes.Const) else None for each in call.args]
            yield from called(f"{path.name}:{call.lineno}", getattr(call.node, "name", ""), texts)


def called(place: str, function: str, texts: Sequence[object]) -> Iterator[Message]:
    """The sentences of one call."""
    if function in {"say", "marked"} and texts and isinstance(texts[0], str):
        yield Message(place, texts[0])
    if function in {"recorded", "recordable"} and texts:
        assert isinstance(texts[0], str), f"{place}: a recorded sentence has to be written out"
        yield Message(place, texts[0], recorded=True)
    if function == "many":
        one, several = texts[:2]
        assert isinstance(one, str), f"{place}: both sentences have to be written out"
        assert isinstance(several, str), f"{place}: both sentences have to be written out"
        yield Message(place, one, singular=True)
        yield Message(place, several)


def entries(code: str) -> Iterator[Entry]:
    """Everything in the catalogues of a language."""
    for path in sorted((CATALOGUES / code).glob("*.po")):
        for each in polib.pofile(str(path)):
            yield Entry(path.name, each.msgid, each.msgstr, fuzzy=each.fuzzy or each.obsolete)


def problems(messages: Iterable[Message], found: list[Entry]) -> list[str]:
    """What does not fit together."""
    by_sentence: dict[str, list[Entry]] = {}
    for entry in found:
        by_sentence.setdefault(entry.sentence, []).append(entry)
    wrong, used = [], set()
    for message in messages:
        used.add(message.sentence)
        of_it = by_sentence.get(message.sentence, [])
        if not of_it and not message.singular:
            wrong.append(f"{message.place}: not translated: {message.sentence!r}")
        if message.recorded and all(entry.file != RECORDED for entry in of_it):
            wrong.append(f"{message.place}: recorded, and not in {RECORDED}: {message.sentence!r}")
        if message.recorded and sum(map(str.isalpha, own_text(message.sentence))) < LEAST_OWN_LETTERS:
            wrong.append(f"{message.place}: too few words of its own to be known again: {message.sentence!r}")
    for sentence, of_it in by_sentence.items():
        wrong += [f"{each.file}: no code says {sentence!r}" for each in of_it if sentence not in used]
        wrong += [f"{each.file}: not translated: {sentence!r}" for each in of_it if not each.translation or each.fuzzy]
        wrong += [f"{each.file}: a second time: {sentence!r}" for each in of_it[1:]]
        wrong += [
            f"{each.file}: other values than in English: {sentence!r}"
            for each in of_it
            if values(each.translation) != values(sentence)
        ]
    return wrong


def own_text(sentence: str) -> str:
    """A sentence without its values."""
    return "".join(text for text, *_ in Formatter().parse(sentence))


def values(sentence: str) -> set[tuple[str, str]]:
    """Names and formats of the values of a sentence."""
    return {(name, form or "") for _, name, form, _ in Formatter().parse(sentence) if name is not None}


SOUND = [
    Message("here", "{count} run", singular=True),
    Message("here", "{count} runs"),
    Message("here", "kept", recorded=True),
]
TRANSLATED = [Entry("report.po", "{count} runs", "{count} 次"), Entry(RECORDED, "kept", "保留")]


@pytest.mark.parametrize(
    ("messages", "found", "complaint"),
    [
        ([*SOUND, Message("there", "new")], TRANSLATED, "there: not translated: 'new'"),
        (SOUND, [*TRANSLATED, Entry("report.po", "old", "旧")], "report.po: no code says 'old'"),
        (SOUND, [*TRANSLATED, TRANSLATED[0]], "report.po: a second time: '{count} runs'"),
        (SOUND, [Entry("report.po", "{count} runs", "次"), TRANSLATED[1]], "other values than in English"),
        (SOUND, [Entry("report.po", "{count} runs", "{count:d} 次"), TRANSLATED[1]], "other values than in English"),
        (SOUND, [TRANSLATED[0], Entry("report.po", "kept", "保留")], "here: recorded, and not in recorded.po"),
        (SOUND, [TRANSLATED[0], Entry(RECORDED, "kept", "")], "recorded.po: not translated: 'kept'"),
        (SOUND, [TRANSLATED[0], Entry(RECORDED, "kept", "保留", fuzzy=True)], "recorded.po: not translated: 'kept'"),
        (
            [Message("here", "{a}: {b}", recorded=True)],
            [Entry(RECORDED, "{a}: {b}", "{a}：{b}")],
            "too few words of its own",
        ),
    ],
)
def test_what_does_not_fit_together_is_named(messages: list[Message], found: list[Entry], complaint: str) -> None:
    assert problems(SOUND, TRANSLATED) == []
    assert any(complaint in each for each in problems(messages, found)), problems(messages, found)


def test_sentences_are_found_in_code_and_in_templates(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("say('to the terminal')\n")
    (tmp_path / "part.py").write_text(
        "from harness.language import many, say\nsay('one {n}')\nwords.many('{count} a', '{count} b', 2)\nsay(other)\n"
    )
    (tmp_path / "page.j2").write_text('{{ say("three") }}{{ shown(say("four", n=2)) }}{{ say(name) }}')
    assert [each.sentence for each in python_messages(tmp_path)] == ["one {n}", "{count} a", "{count} b"]
    assert {each.sentence for each in template_messages(tmp_path)} == {"three", "four"}
