"""Reports in another language than English: everything is said in it, and every number, id and digest is the same."""

from __future__ import annotations

import re
from datetime import date
from functools import cache
from gettext import NullTranslations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import polib
import pytest

from harness import language
from harness.compare.parity import with_parities
from harness.compare.scores import total
from harness.language import languages, recorded, spoken, tag_of, translated, untranslated
from harness.message import Message
from harness.records import ArmScores, CaseKey, Scope, Score, Status, Task, Waiver
from harness.text import printable
from tests.render import sample_reports, test_hints, test_limits_table, test_models
from tests.render.readers import Page, markdown_tables, outside_fences, rendered
from translations.extract import catalogues, gaps, sentences

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from harness.records import Report

OTHERS = sorted(set(languages()) - {"en"})
FOR_PEOPLE = ["html", "markdown", "summary"]

ENGLISH = re.compile(r"(?<!\w)[A-Za-z][A-Za-z'-]*(?: [A-Za-z][A-Za-z'-]*){2,}(?!\w)")
"""Three English words or more in a row."""
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]\d+)?")


def judged_and_scored(folder: Path) -> Report:
    """Hints, evidence, a ratio, waivers of each kind, scores and what they say about two arms."""
    drift = test_hints.hinted(sample_reports.drift(folder), Scope.REFERENCE, test_hints.SHIFT, test_hints.PLACE)
    expired, unused = (
        test_limits_table.KNOWN.model_copy(update=changes)
        for changes in ({"expires": date(2026, 1, 1)}, {"metric": "ssim_tile_min", "case": "glove"})
    )
    limits = [*drift.scenario.limits[1:], test_limits_table.WIDE, test_limits_table.RATIO]
    waivers = [test_limits_table.KNOWN.model_copy(update={"metric": "ssim_tile_min"}), expired, unused]
    report = test_limits_table.judged(drift, limits, waivers, yardsticks=[test_limits_table.yardstick(drift)])
    actual, expected = report.runs
    scores = {
        actual.id: scored(actual.plan.arm.name, [1.0, 0.0, 0.0, None]),
        expected.id: scored(expected.plan.arm.name, [1.0, 1.0, 1.0, 0.5]),
    }
    comparisons = [with_parities(each, scores) for each in report.comparisons]
    assert any(each.parities for each in comparisons)
    return report.model_copy(update={"scores": [*scores.values()], "comparisons": comparisons})


def scored(arm: str, values: Sequence[float | None]) -> ArmScores:
    """Scores of an arm, two for pictures that were made; where one is not 1, the record says why."""
    others = [CaseKey(case=f"case-{index}", seed=42) for index in range(len(values))]
    found = [
        Score(
            score="shapes_prompt_score",
            key=key,
            image_digest="0" * 64,
            samples=["p0r0"],
            value=value,
            parts={} if value is None else {"count": value},
            words="" if value in {None, 1} else "2 discs were asked for and 1 is there",
            problem="the picture shows no shapes" if value is None else "",
        )
        for key, value in zip([sample_reports.PIZZA, sample_reports.GLOVE, *others], values, strict=False)
    ]
    totals = [total("shapes_prompt_score", found)]
    return ArmScores(
        scenario="deepgen-t2i",
        arm=arm,
        run=f"job/{arm}",
        task=Task.TEXT_TO_IMAGE,
        parity_margin=0.1,
        specs={"shapes_prompt_score": "shapes_prompt_score:1"},
        totals=totals,
        scores=found,
    )


BUILDERS = sample_reports.BUILDERS | {
    "judged_and_scored": judged_and_scored,
    "of_two_models": test_models.of_two_models,
    "refused_models": test_models.refused,
}


class Reading(NamedTuple):
    """A report, and its text by language and format."""

    report: Report
    texts: dict[tuple[str, str], str]


@cache
def reading(name: str) -> Reading:
    with TemporaryDirectory() as place:
        folder = Path(place)
        report = BUILDERS[name](folder)
        texts: dict[tuple[str, str], str] = {}
        for code in languages():
            with spoken(code):
                texts |= {(code, form): rendered(form, report, folder) for form in FOR_PEOPLE}
        return Reading(report, texts)


@pytest.fixture(params=list(BUILDERS))
def read(request: pytest.FixtureRequest) -> Reading:
    return reading(request.param)


# --- what is said ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", OTHERS)
@pytest.mark.parametrize("form", FOR_PEOPLE)
def test_no_english_is_left_but_what_nobody_could_translate(read: Reading, code: str, form: str) -> None:
    assert left_in_english(read.texts[code, form], form, allowed=foreign(read.report, code)) == []


def test_the_english_report_has_many_sentences_that_would_be_found() -> None:
    drift = reading("drift")
    for form in FOR_PEOPLE:
        found = left_in_english(drift.texts["en", form], form, allowed=foreign(drift.report, "zh"))
        assert len(found) > (10 if form != "summary" else 2)


def test_a_sentence_without_a_translation_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = "The two sides did not start from the same point, so their difference says nothing."
    with_other_catalogue(monkeypatch, {missing: missing})
    report = sample_reports.not_comparable(tmp_path)
    with spoken("zh"):
        page = rendered("html", report, tmp_path)
    assert left_in_english(page, "html", allowed=foreign(report, "zh")) == missing.removesuffix(".").split(", ")


@pytest.mark.parametrize("code", OTHERS)
@pytest.mark.parametrize("builder", BUILDERS)
def test_every_sentence_that_is_asked_for_is_in_a_catalogue(code: str, builder: str, tmp_path: Path) -> None:
    report = BUILDERS[builder](tmp_path)
    with spoken(code), untranslated() as missed:
        for form in FOR_PEOPLE:
            rendered(form, report, tmp_path)
    extracted = {text for sentence in sentences() for text in (sentence.one, sentence.several)}
    assert [sentence for sentence in missed if sentence not in extracted] == [], "what is extracted can be translated"


def test_a_sentence_that_is_not_marked_is_found() -> None:
    with spoken("zh"), untranslated() as missed:
        language.say("nobody marked this")
        language.say("yes")
        translated(recorded("{count:d} words of nobody; {end}", count=3, end="what a library said"))
    assert list(missed) == ["nobody marked this", "{count:d} words of nobody; {end}"]


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_a_scenario_speaks_by_its_own_translations(form: str, tmp_path: Path) -> None:
    report = sample_reports.drift(tmp_path)
    own = {
        report.scenario.summary: "一张蓝色披萨和黄色棒球手套的图片。",
        sample_reports.LIMITS[2].reason: "均值不得掩盖坏块。",
    }
    told = report.model_copy(update={"scenario": report.scenario.model_copy(update={"translations": {"zh": own}})})
    with spoken("zh"):
        text = rendered(form, told, tmp_path)
    assert rendered(form, told, tmp_path) == rendered(form, report, tmp_path)
    assert [text.count(each) for each in (*own, *own.values())] == [0, 0, 1, 1]


def test_a_waiver_gives_its_reason_in_the_reader_s_language(tmp_path: Path) -> None:
    reason = "The kernel is mended in the next release."
    report = waived(sample_reports.drift(tmp_path), reason)
    with spoken("zh"):
        text = rendered("markdown", report, tmp_path)
        summary = rendered("summary", report, tmp_path)
    assert reason not in text + summary
    assert text.count("算子将在下一版本修复。") == 3
    assert "算子将在下一版本修复。" in summary


def test_a_recorded_message_ends_with_the_stop_of_its_language(tmp_path: Path) -> None:
    report = sample_reports.drift(tmp_path)
    (*others, last) = report.comparisons
    for message, said in (
        ("repeats of one arm differ", "Repeats of one arm differ."),
        (recorded("there is no calibration of {arm} in the runs folder", arm="npu"), "运行文件夹中没有 npu 的校准。"),
    ):
        told = report.model_copy(update={"comparisons": [*others, last.model_copy(update={"message": message})]})
        with spoken("zh"):
            assert said in rendered("markdown", told, tmp_path).splitlines()


def test_a_chinese_cell_is_long_by_its_width_not_by_its_number_of_signs() -> None:
    page = reading("drift").texts["zh", "html"]
    assert '<td class="long">否，2 个图像对中有 1 个不同</td>' in page
    assert "<td>是，共 2 组用例与种子</td>" in page


# --- what is the same ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", OTHERS)
@pytest.mark.parametrize("form", FOR_PEOPLE)
def test_every_cell_has_the_numbers_of_the_english_one(read: Reading, code: str, form: str) -> None:
    assert other_numbers(tables(read.texts["en", form], form), tables(read.texts[code, form], form)) == []


def test_another_number_in_a_cell_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = sample_reports.drift(tmp_path)
    english = tables(rendered("markdown", report, tmp_path), "markdown")
    with_other_catalogue(monkeypatch, {"{count} pairs": "{count} 个图像对，共 7 个"})
    with spoken("zh"):
        chinese = tables(rendered("markdown", report, tmp_path), "markdown")
    assert other_numbers(english, chinese)[0] == ("2 pairs", "2 个图像对，共 7 个")


@pytest.mark.parametrize("code", OTHERS)
def test_ids_links_and_digests_are_the_same(read: Reading, code: str) -> None:
    pages = [Page(read.texts[each, "html"]) for each in ("en", code)]
    english, other = ([each for each in page.attributes if each[0] in {"id", "href", "src"}] for page in pages)
    assert other == english
    assert (other, [*digests(pages[1])]) == (english, [*digests(pages[0])])
    assert pages[1].tags == pages[0].tags


def test_an_arm_keeps_its_name_in_sentences_where_the_name_is_a_word_too() -> None:
    page = Page(reading("judged_and_scored").texts["zh", "html"]).text
    assert "shapes_prompt_score：candidate 为 50.0 %，cpu-fp32 为 100.0 %" in page


@pytest.mark.parametrize("code", languages())
def test_a_page_says_which_language_it_is_in(read: Reading, code: str) -> None:
    assert f'<html lang="{tag_of(code)}">' in read.texts[code, "html"]


# --- how that is seen ------------------------------------------------------------------------------------------------


def waived(report: Report, reason: str) -> Report:
    """The report with its broken limit waived, for a reason that the scenario translates."""
    waiver = Waiver(scope=Scope.REFERENCE, reason=reason, owner="ada", expires="2026-12-31")
    own = {"zh": {reason: "算子将在下一版本修复。"}}
    question = report.scenario.model_copy(update={"waivers": [waiver], "translations": own})
    (*others, last) = report.comparisons
    pairs = [
        pair.model_copy(
            update={
                "verdicts": [
                    verdict.model_copy(update={"waiver": waiver, "status": Status.WAIVED, "message": reason})
                    for verdict in pair.verdicts
                    if verdict.status is Status.DRIFT
                ]
            }
        )
        for pair in last.pairs
    ]
    changes = {"pairs": pairs, "waivers": [waiver], "outcome": Status.WAIVED, "message": reason}
    judged = last.model_copy(update=changes)
    return report.model_copy(update={"scenario": question, "comparisons": [*others, judged]})


class Changed(NullTranslations):
    """A catalogue with other translations of some sentences."""

    def __init__(self, real: NullTranslations, changes: Mapping[str, str]) -> None:
        super().__init__()
        self._real, self._changes = real, changes

    def gettext(self, message: str) -> str:
        return self._changes.get(message) or self._real.gettext(message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self._changes.get(msgid2) or self._real.ngettext(msgid1, msgid2, n)


def with_other_catalogue(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]) -> None:
    """The real catalogue of Chinese, with changes."""
    catalogue = Changed(language._catalogue("zh"), changes)
    monkeypatch.setattr(language, "_catalogue", lambda code: NullTranslations() if code == "en" else catalogue)


class Prose(Page):
    """What a page says to people, without code, listings, and what a user wrote as content."""

    QUOTED = frozenset({"code", "pre", "style", "script"})
    SAID = frozenset({"aria-label", "alt", "title"})

    def __init__(self, text: str) -> None:
        self.prose: list[str] = []
        self._quotes: list[bool] = []
        super().__init__(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        before = len(self._open)
        super().handle_starttag(tag, attrs)
        if len(self._open) > before:
            self._quotes.append(tag in self.QUOTED or ("class", "quote") in attrs)
        self.prose += [value for name, value in attrs if name in self.SAID and value]

    def handle_endtag(self, tag: str) -> None:
        super().handle_endtag(tag)
        self._quotes.pop()

    def handle_data(self, data: str) -> None:
        super().handle_data(data)
        if not any(self._quotes):
            self.prose.append(data)


def prose(text: str, form: str) -> list[str]:
    """Pieces of a report that are said to people."""
    if form == "html":
        return Prose(text).prose
    return [re.sub(r"`[^`]*`", "`", line) for line in outside_fences(text)]


def left_in_english(text: str, form: str, *, allowed: Iterable[str]) -> list[str]:
    """English of a report that is not in any of the allowed texts."""
    found = (run for piece in prose(text, form) for run in ENGLISH.findall(" ".join(piece.split())))
    return [run for run in found if not is_part(run, allowed)]


def is_part(text: str, allowed: Iterable[str]) -> bool:
    """Whether the letters of a text, large or small, stand in the same order in one of the allowed texts."""
    return any(_letters(text) in each for each in allowed)


def foreign(report: Report, code: str) -> list[str]:
    """Letters of the texts of a record that no catalogue knows: prompts, names, what a library said."""
    texts = {text for whole in strings(report.model_dump()) for text in (whole, *whole.split("; "))}
    if code in OTHERS:  # what nobody has translated yet is a warning of test_catalogues
        texts |= lacking(code)
    with spoken(code):
        return [_letters(printable(text)) for text in sorted(texts) if translated(text) == text]


@cache
def lacking(code: str) -> frozenset[str]:
    """Sentences that a catalogue of the project does not have."""
    return frozenset(gap.sentence for gap in gaps(sentences(), polib.pofile(str(catalogues()[code]))))


def strings(value: object) -> Iterator[str]:
    """Every text in a record."""
    if isinstance(value, Message):
        yield from strings(value.values)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for each in value.values() for text in strings(each))
    elif isinstance(value, list):
        yield from (text for each in value for text in strings(each))


def _letters(text: str) -> str:
    return " ".join(re.findall(r"[a-z]+", text.lower()))


def tables(text: str, form: str) -> list[list[str]]:
    """Rows of all tables."""
    return Page(text).rows if form == "html" else [row for table in markdown_tables(text) for row in table]


def other_numbers(english: list[list[str]], other: list[list[str]]) -> list[tuple[str, str]]:
    """Cells whose numbers differ, in whatever order a language puts them."""
    assert [len(row) for row in other] == [len(row) for row in english]
    cells = [pair for rows in zip(english, other, strict=True) for pair in zip(*rows, strict=True)]
    assert len(cells) > 0 or not english
    return [(one, two) for one, two in cells if sorted(NUMBER.findall(one)) != sorted(NUMBER.findall(two))]


def digests(page: Page) -> Iterator[str]:
    """Full digests that stand behind shortened ones."""
    return (value for name, value in page.attributes if name == "title" and re.fullmatch(r"[0-9a-f]{64}", value))
