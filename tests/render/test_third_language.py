"""A language of another package, with three plural forms: nothing Chinese and nothing English is left in its reports.

Its catalogue is made from the sentences of the code: every letter of theirs becomes a Greek one, and a sentence with a
count says which of its forms was chosen.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from string import Formatter
from typing import TYPE_CHECKING, cast

import polib
import pytest

from harness import language, plugins
from harness.errors import UnknownName
from harness.language import (
    languages,
    many,
    name_of,
    recorded,
    recorded_many,
    say,
    spoken,
    tag_of,
    translated,
    untranslated,
)
from harness.message import joined
from tests.render import sample_reports
from tests.render.readers import rendered
from tests.render.test_languages import BUILDERS, FOR_PEOPLE, foreign, left_in_english
from tests.render.test_release import release_of
from translations.extract import sentences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.contracts import ReleaseRenderer


CODE = "qgr"
GREEK = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "αβγδεζηθικλμνξοπρστυφχψωϊϋΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩΪΫ",
)
SLAVIC = "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);"
CHINESE = re.compile("[，。；：、（）《》“”]|[\u4e00-\u9fff]")


def greek(sentence: str) -> str:
    """A sentence with other letters and the same values."""
    text = ""
    for own, name, form, conversion in Formatter().parse(sentence):
        text += own.translate(GREEK).replace("{", "{{").replace("}", "}}")
        if name is not None:
            text += "{" + name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "") + "}"
    return text


@cache
def greek_catalogue() -> str:
    """A catalogue of all sentences of the code."""
    catalogue = polib.POFile()
    catalogue.metadata = {"Content-Type": "text/plain; charset=UTF-8", "Plural-Forms": SLAVIC}
    for one, several, _ in sentences():
        if several:
            forms = {0: greek(one), **{number: greek(several) for number in (1, 2)}}
            marked = {number: f"{text}⟨{number}⟩" for number, text in forms.items()}
            catalogue.append(polib.POEntry(msgid=one, msgid_plural=several, msgstr_plural=marked))
        else:
            catalogue.append(polib.POEntry(msgid=one, msgstr=greek(one)))
    return str(catalogue)


@pytest.fixture
def third_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package that offers a language."""
    package, info = tmp_path / "site" / "planted_greek", tmp_path / "site" / "planted_greek-1.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").write_text('NAME = "Γρεεκ"\nTAG = "x-greek"\n', encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted_greek\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[harness.catalogues]\n{CODE} = planted_greek\n", encoding="utf-8")
    (package / "messages.po").write_text(greek_catalogue(), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield package
    sys.modules.pop("planted_greek", None)


def forget() -> None:
    """Catalogues are read once in a process; what a test has changed is not to be remembered."""
    language._catalogue.cache_clear()
    language._words.cache_clear()


@pytest.fixture
def _other_catalogue() -> Iterator[None]:
    forget()
    yield
    forget()


@pytest.fixture(autouse=True, scope="module")
def _no_greek_after_this_module() -> Iterator[None]:
    yield
    forget()


@pytest.mark.usefixtures("third_language")
def test_it_is_a_language_like_the_others() -> None:
    assert languages()[0] == "en"
    assert {CODE, "zh"} <= set(languages())
    assert (name_of(CODE), tag_of(CODE)) == ("Γρεεκ", "x-greek")


def test_without_its_package_it_is_unknown() -> None:
    with pytest.raises(UnknownName, match="There are: en, zh"), spoken(CODE):
        pass


@pytest.mark.usefixtures("third_language")
@pytest.mark.parametrize(("count", "form"), [(1, 0), (2, 1), (4, 1), (5, 2), (11, 2), (21, 0), (22, 1)])
def test_a_count_chooses_among_three_forms(count: int, form: int) -> None:
    with spoken(CODE):
        assert many("{count} pair", "{count} pairs", count).endswith(f"⟨{form}⟩")
        assert translated(recorded_many("1 pair", "{count:d} pairs", count)).endswith(f"⟨{form}⟩")


@pytest.mark.usefixtures("third_language")
@pytest.mark.parametrize(
    ("builder", "form"),
    [
        *((builder, "html") for builder in sorted(set(BUILDERS) - {"hostile"})),
        *(("judged_and_scored", form) for form in FOR_PEOPLE if form != "html"),
    ],
)
def test_no_english_and_nothing_chinese_is_left(builder: str, form: str, tmp_path: Path) -> None:
    report = BUILDERS[builder](tmp_path / "job")
    with spoken(CODE), untranslated() as missed:
        text = rendered(form, report, tmp_path / "job")
    assert list(missed) == []
    assert left_in_english(text, form, allowed=foreign(report, CODE)) == []
    assert CHINESE.findall(text) == []
    assert sum(character in GREEK.values() for character in map(ord, text)) > 100, "it is Greek"


@pytest.mark.usefixtures("third_language")
def test_punctuation_of_messages_is_the_language_s_own() -> None:
    with spoken("zh"):
        text = joined([recorded("no case and seed has a value"), recorded("noise unverified")])
        assert "；" in translated(text)
        assert say("{before} {after}", before="一。", after="二。") == "一。二。"
    with spoken(CODE):
        assert translated(text) == f"{greek('no case and seed has a value')}; {greek('noise unverified')}"


@pytest.mark.usefixtures("third_language", "_other_catalogue")
def test_a_sentence_without_translation_is_english_and_counted(third_language: Path) -> None:
    path = third_language / "messages.po"
    text = path.read_text(encoding="utf-8").replace('msgid "not measured"', 'msgid "never measured"')
    path.write_text(text, encoding="utf-8")
    with spoken(CODE), untranslated() as missed:
        assert say("not measured") == "not measured"
        assert say("none") == greek("none")
    assert list(missed) == ["not measured"]


@pytest.mark.usefixtures("_other_catalogue")
def test_a_release_lists_what_is_not_translated(third_language: Path, tmp_path: Path) -> None:
    """The page of a language with a gap names the gap; one without has no such list."""
    (tmp_path / "jobs").mkdir()
    release, folders = release_of(tmp_path / "jobs", {"drift": sample_reports.drift})
    whole = release.model_copy(update={"languages": ["en", CODE]})
    gap = "Scenarios and arms"
    for lacking in (False, True):
        if lacking:
            path = third_language / "messages.po"
            catalogue = polib.pofile(str(path))
            catalogue.remove(catalogue.find(gap))
            catalogue.save(str(path))
            forget()
        with spoken(CODE):
            page = cast("ReleaseRenderer", plugins.load("render", "markdown")).render_release(whole, folders=folders)
        heading = greek("8. Sentences that are not translated")
        assert (heading in page, f"- {gap}" in page) == (lacking, lacking)
