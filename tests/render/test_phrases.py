"""Circumstances, references and limits of evidence speak Chinese, and so does every word that records may hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

import pytest

from harness.adapters.deepgen import attention_on
from harness.adapters.images import Pictures
from harness.language import recorded, spoken, translated
from harness.records import Appearance, NoiseMode, Role, Run, Switch, SwitchMode, Task
from harness.render import _performance as performance
from harness.render import _provenance as provenance
from harness.render import _references
from harness.render._caveats import marks, not_shown
from harness.render._document import plain, table
from harness.render._format import listed, running
from harness.render._labels import TERMS, term
from harness.run.child import End
from harness.run.worker.outside import UnopenedDevice
from tests.render import sample_reports

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from harness.records import Report
    from harness.render._document import Table

ENGLISH = re.compile(r"[A-Za-z]{2,}(?:[ ,]+[A-Za-z]{2,}){2}")
"""Three words in a row; names and abbreviations stand alone or in pairs."""
OTHERS = sorted(set(sample_reports.BUILDERS) - {"hostile"})
"""Reports whose free texts are not English on purpose."""


def not_terms(words: Iterable[str]) -> list[str]:
    return [word for word in words if word.replace("_", " ").replace("vae", "VAE") not in TERMS]


def test_every_word_that_a_record_may_hold_is_a_term() -> None:
    literals = [Run.model_fields["state"].annotation, Switch.model_fields["source"].annotation]
    words = [*Role, *NoiseMode, *SwitchMode, *Task, *Appearance]
    words += [word for literal in literals for word in get_args(literal)]
    assert len(words) >= 24
    assert not_terms(words) == []
    assert not_terms(["as_shipped", "vae_decode", "turned_off"]) == ["turned_off"]


def test_terms_names_and_sentences_are_said_in_chinese() -> None:
    with spoken("zh"):
        assert [term("as_shipped"), term("vae_decode"), term("text_encoding")] == ["出厂默认", "VAE 解码", "文本编码"]
        assert term("{a_plugins_own} stage") == "{a plugins own} stage"
        assert listed(["a", "b", "c"]) == "a, b 和 c"
        assert running(["一。", "", "二。"]) == "一。二。"
    assert running([]) == listed([]) == ""


def english(texts: Iterable[str]) -> list[str]:
    return [text for text in texts if ENGLISH.search(text)]


def words_of(shown: Table) -> Iterator[str]:
    """What a table says in words; code and quotes stay as they are."""
    yield from (*shown.columns, shown.title, shown.note)
    yield from (cell.text for row in shown.rows for cell in row if cell.kind in {"text", "number"})


def said(report: Report) -> Iterator[str]:
    """Everything about circumstances, references and limits of evidence."""
    tables = [
        provenance.prompts(report),
        provenance.settings(report),
        provenance.work(report),
        provenance.model(report),
        provenance.environment(report),
        provenance.switches(report),
        performance.allocation(report),
        performance.performance(report),
        *filter(None, map(_references.traces, report.comparisons)),
    ]
    for each in tables:
        yield from words_of(each)
    yield from not_shown(report)
    yield from (text for mark in marks(report) for text in (mark.title, mark.text))
    for comparison in report.comparisons:
        yield _references.reading(report, comparison)
        yield _references.padding(comparison)
    yield from _references.read_together(report.comparisons)


@pytest.mark.parametrize("name", OTHERS)
def test_what_surrounds_the_numbers_is_said_in_chinese(name: str, tmp_path: Path) -> None:
    report = sample_reports.BUILDERS[name](tmp_path)
    with spoken("zh"):
        shown = list(said(report))
    assert english(shown) == []
    assert any("用例" in text for text in shown)


def test_a_sentence_that_is_not_said_is_noticed() -> None:
    with spoken("zh"):
        found = table(
            ("Case",), [[plain("none: made from the prompt alone")]], note=translated("nobody knows this note")
        )
        assert english(words_of(found)) == ["nobody knows this note", "none: made from the prompt alone"]
        assert english(["参考 cpu-fp32, npu (SIMULATED)"]) == []


def test_what_workers_and_adapters_write_into_records_is_said_in_chinese(tmp_path: Path) -> None:
    ends = [
        End(done=done, exit_code=code, timed_out=timed_out).words
        for done, code, timed_out in ((True, -9, False), (False, -9, False), (True, 1, False), (False, 1, True))
    ]
    sentence = "worker process {process} {end}; the last lines it wrote are below."
    messages = [recorded(sentence, process=0, end=end) for end in ends]
    pictures = Pictures(tmp_path, "{case}/{seed}.png")
    written = [*messages, *pictures.notes, *attention_on("npu:0", "flash_attention_2")[1], UnopenedDevice.name]
    assert english(written) == written
    with spoken("zh"):
        assert english(translated(text) for text in written) == []
