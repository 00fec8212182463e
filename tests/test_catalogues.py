"""What code says and catalogues translate belongs together, and every disagreement is named."""

from __future__ import annotations

import ast
import sys
import warnings
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING

import polib
import pytest

from translations import extract
from translations.extract import NOT_SAID, NOT_TRANSLATED, OTHER_VALUES, TWICE, Gap, Sentence, catalogues, gaps

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[1]
OWN = catalogues()


def test_chinese_is_the_project_s_own_language() -> None:
    assert OWN.keys() == {"zh"}


@pytest.mark.parametrize("code", OWN)
def test_a_catalogue_fits_the_code(code: str) -> None:
    """What is not translated yet is a warning: reports say it in English, and ``nox -s report`` refuses."""
    found = list(gaps(extract.sentences(), polib.pofile(str(OWN[code]))))
    for gap in found:
        if gap.what == NOT_TRANSLATED:
            warnings.warn(f"{gap.sentence!r} ({code}) is not translated; run: nox -s translations", stacklevel=1)
    assert [gap for gap in found if gap.what != NOT_TRANSLATED] == []


def test_every_value_of_a_sentence_has_a_plain_name() -> None:
    fields = [
        name
        for sentence in extract.sentences()
        for text in (sentence.one, sentence.several)
        for _, name, *_ in Formatter().parse(text)
        if name is not None
    ]
    assert len(fields) > 500
    assert [name for name in fields if not name.isidentifier()] == []


def test_a_recorded_sentence_is_written_out_or_marked_as_recordable() -> None:
    """A sentence that is put together where it is recorded is in no catalogue."""
    put_together = [
        f"{path.name}:{node.lineno}"
        for path in sorted((ROOT / "harness").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "recorded"
        if isinstance(node.args[0], ast.JoinedStr | ast.BinOp)
    ]
    assert put_together == []


def entry(sentence: str, translation: str, several: str = "") -> polib.POEntry:
    if several:
        return polib.POEntry(msgid=sentence, msgid_plural=several, msgstr_plural={0: translation})
    return polib.POEntry(msgid=sentence, msgstr=translation)


RUNS, KEPT = Sentence("{count} run", "{count} runs", ()), Sentence("kept", "", ())
SOUND = [RUNS, KEPT]
TRANSLATED = [entry("{count} run", "{count} 次", "{count} runs"), entry("kept", "保留")]


@pytest.mark.parametrize(
    ("sentences", "entries", "gap"),
    [
        ([*SOUND, Sentence("new", "", ())], TRANSLATED, Gap(NOT_TRANSLATED, "new")),
        (SOUND, [TRANSLATED[0], entry("kept", "")], Gap(NOT_TRANSLATED, "kept")),
        (SOUND, [TRANSLATED[0], entry("{count} run", "次"), TRANSLATED[1]], Gap(NOT_SAID, "{count} run")),
        (SOUND, [*TRANSLATED, entry("old", "旧")], Gap(NOT_SAID, "old")),
        (SOUND, [*TRANSLATED, TRANSLATED[1]], Gap(TWICE, "kept")),
        (SOUND, [entry("{count} run", "次", "{count} runs"), TRANSLATED[1]], Gap(OTHER_VALUES, "{count} run")),
        (
            SOUND,
            [entry("{count} run", "{count:d} 次", "{count} runs"), TRANSLATED[1]],
            Gap(OTHER_VALUES, "{count} run"),
        ),
    ],
)
def test_what_does_not_fit_together_is_named(
    sentences: list[Sentence], entries: Iterable[polib.POEntry], gap: Gap
) -> None:
    assert list(gaps(SOUND, TRANSLATED)) == []
    assert list(gaps(sentences, entries)) == [gap]


def test_punctuation_alone_needs_no_translation() -> None:
    assert list(gaps([*SOUND, Sentence("{a}; {b}", "", ())], TRANSLATED)) == []


def test_sentences_are_found_in_code_and_in_templates(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("say('to the terminal')\n")
    (tmp_path / "part.py").write_text(
        "from harness.language import many, say\nsay('one ' 'more')\nwords.many('{count} a', '{count} b', 2)\n"
        "say(other)\n"
        "title = f'1 {say(\"in the midst\")}'\n"
    )
    (tmp_path / "page.j2").write_text('{{ say("three") }}{{ shown(say("four", n=2)) }}{{ say(name) }}')
    assert list(extract.sentences(tmp_path)) == [
        Sentence("three", "", ("page.j2",)),
        Sentence("four", "", ("page.j2",)),
        Sentence("one more", "", ("part.py",)),
        Sentence("{count} a", "{count} b", ("part.py",)),
        Sentence("in the midst", "", ("part.py",)),
    ]


def test_an_update_keeps_translations_adds_what_is_new_and_drops_what_nobody_says(tmp_path: Path) -> None:
    path = tmp_path / "messages.po"
    before = polib.POFile()
    before.metadata = {"Plural-Forms": "nplurals=1; plural=0;"}
    before.extend([*TRANSLATED, entry("old", "旧")])
    before.save(str(path))
    new = Sentence("{count} case", "{count} cases", ("a.py",))
    extract.update([KEPT, new, RUNS], path)
    after = polib.pofile(str(path))
    assert [(item.msgid, item.msgid_plural) for item in after] == [
        (one, several) for one, several, _ in (KEPT, new, RUNS)
    ]
    assert [item.translated() for item in after] == [True, False, True]
    assert list(gaps([KEPT, new, RUNS], after)) == [Gap(NOT_TRANSLATED, "{count} case")]


def test_the_command_reports_and_is_strict_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking = {gap.sentence for path in OWN.values() for gap in gaps(extract.sentences(), polib.pofile(str(path)))}
    said = [sentence for sentence in extract.sentences() if sentence.one not in lacking]
    monkeypatch.setattr(sys, "argv", ["extract", "--strict"])
    monkeypatch.setattr(extract, "sentences", lambda: said)
    assert extract.main() == 0
    monkeypatch.setattr(extract, "sentences", lambda: [*said, Sentence("nobody translated this", "", ())])
    assert extract.main() == 1
    assert "not translated: 'nobody translated this'" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["extract"])
    assert extract.main() == 0
