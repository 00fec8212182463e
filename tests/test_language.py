from __future__ import annotations

import doctest
from typing import TYPE_CHECKING

import pytest

from harness import language
from harness.errors import UnknownName
from harness.language import LANGUAGES, TAGS, many, marked, recorded, say, spoken, translated

if TYPE_CHECKING:
    from collections.abc import Iterator

FAKE = {
    "{made} of {planned} planned": "计划 {planned}，完成 {made}",
    "{count} runs": "{count} 次运行",
    "plain": "普通",
    "green": "绿",
}
RECORDS = {
    "the prompt of case {case} differs": "用例 {case} 的提示词不同",
    "{key}: the noise differs": "{key}：噪声不同",
    "limits are broken in {broken} of {total} verdicts; {worst}": "{total} 项判定中 {broken} 项超出限值；{worst}",
    "{key}: {value:.3g} is too large": "{key}：{value:.3g} 过大",
    "{name:s} at most {value:g}": "{name:s} 不高于 {value:g}",
    "{sentence!s} Waived: {reason!s}": "{sentence}（豁免：{reason}）",
    "{colour!s:s} is missing": "缺少{colour:s}",
    "{key}: worse than {limit}.": "{key}：差于 {limit}。",
    "red": "红",
    "levels": "级",
}


@pytest.fixture
def catalogues(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Catalogues of the tests' own in the place of the real ones."""
    monkeypatch.setattr(language, "_catalogue", lambda code: FAKE | RECORDS if code == "zh" else {})
    monkeypatch.setattr(language, "_read", lambda *_: RECORDS)
    language._sentences.cache_clear()
    language._recognised.cache_clear()
    yield
    language._sentences.cache_clear()
    language._recognised.cache_clear()


def test_the_docstrings_have_examples() -> None:
    """They are run with those of all modules."""
    assert sum(len(each.examples) for each in doctest.DocTestFinder().find(language)) >= 7


@pytest.mark.usefixtures("catalogues")
def test_a_sentence_is_said_in_the_spoken_language_with_its_values_in_any_order() -> None:
    assert say("{made} of {planned} planned", made=3, planned=4) == "3 of 4 planned"
    with spoken("zh"):
        assert say("{made} of {planned} planned", made=3, planned=4) == "计划 4，完成 3"
        assert say("nobody translated this {number}", number=1) == "nobody translated this 1"
        assert say(marked("plain")) == "普通"
        assert [many("{count} run", "{count} runs", count) for count in (1, 2)] == ["1 次运行", "2 次运行"]
        assert recorded("the prompt of case {case} differs", case="sky") == "the prompt of case sky differs"
    assert say("plain") == "plain"


def test_a_language_is_spoken_until_its_block_ends_even_by_an_error() -> None:
    with pytest.raises(KeyError), spoken("zh"):
        raise KeyError
    assert language.language() == "en"


def test_an_unknown_language_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownName, match="There are: en, zh"), spoken("zg"):
        pass
    assert LANGUAGES.keys() == TAGS.keys()


@pytest.mark.usefixtures("catalogues")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("the prompt of case sky differs", "用例 sky 的提示词不同"),
        ("sky/42: the noise differs", "sky/42：噪声不同"),
        ("sky/42: 0.125 is too large", "sky/42：0.125 过大"),
        (
            "limits are broken in 1 of 3 verdicts; sky/42: 0.125 is too large",
            "3 项判定中 1 项超出限值；sky/42：0.125 过大",
        ),
        (
            "the prompt of case a differs; the prompt of case b differs",
            "用例 a 的提示词不同；用例 b 的提示词不同",
        ),
        ("candidate: the prompt of case sky differs", "candidate：用例 sky 的提示词不同"),
        ("RuntimeError: {no} sentence of ours", "RuntimeError: {no} sentence of ours"),
        ("the prompt of case {braces} differs", "用例 {braces} 的提示词不同"),
        ("mse at most 4", "mse 不高于 4"),
        ("mse at most 4 levels", "mse 不高于 4 级"),
        ("mse at most as wanted", "mse at most as wanted"),
        ("the mse at most 4", "the mse at most 4"),
        ("a: the noise differs; kept Waived: no; not yet", "a：噪声不同；kept（豁免：no; not yet）"),
        ("a: the noise differs; b: the noise differs Waived: plain", "a：噪声不同；b：噪声不同（豁免：普通）"),
        ("nobody knows this; nor that", "nobody knows this; nor that"),
        ("nobody knows this; plain", "nobody knows this；普通"),
        ("a: worse than 4.", "a：差于 4。"),
        ("limits are broken in 1 of 3 verdicts; a: worse than 4; plain", "3 项判定中 1 项超出限值；a：差于 4；普通"),
        ("red, green", "红、绿"),
        ("red, mauve", "red, mauve"),
        ("3.5 levels", "3.5 级"),
        ("arm: plain", "arm：普通"),
        ("arm: unknown", "arm: unknown"),
    ],
)
def test_a_sentence_of_a_record_is_known_again(text: str, said: str) -> None:
    assert translated(text) == text
    with spoken("zh"):
        assert translated(text) == said


@pytest.mark.usefixtures("catalogues")
def test_a_name_stays_as_it_is_even_where_a_catalogue_has_the_word() -> None:
    with spoken("zh"):
        assert translated("red at most 40") == "red 不高于 40"
        assert translated("red is missing") == "缺少红"
