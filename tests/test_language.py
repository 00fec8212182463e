"""What is said in a spoken language, and what stays as it is."""

from __future__ import annotations

from gettext import NullTranslations
from typing import TYPE_CHECKING

import pytest

from harness import language
from harness.errors import UnknownName
from harness.language import many, marked, recorded, recorded_many, say, spoken, translated, untranslated
from harness.message import joined, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

FAKE = {
    "{made} of {planned} planned": "计划 {planned}，完成 {made}",
    "{count} runs": "{count} 次运行",
    "{count:d} pairs": "{count:d} 个图像对",
    "plain": "普通",
    "the prompt of case {case} differs": "用例 {case} 的提示词不同",
    "{key}: {value:.3g} is too large": "{key}：{value:.3g} 过大",
    "{name:s} at most {value:g}": "{name:s} 不高于 {value:g}",
    "{sentence!s} Waived: {reason!s}": "{sentence}（豁免：{reason}）",
    "{colour!s:s} is missing": "缺少{colour!s:s}",
    "{key}: worse than {limit}.": "{key}：差于 {limit}。",
    "red": "红",
    "green": "绿",
    "{first}, {second}": "{first}、{second}",
    ".": "。",
    "; ": "；",
}


class Fake(NullTranslations):
    """A catalogue of the tests' own."""

    def __init__(self, sentences: Mapping[str, str]) -> None:
        super().__init__()
        self._sentences = sentences

    def gettext(self, message: str) -> str:
        return self._sentences.get(message, message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self._sentences.get(msgid2, msgid1 if n == 1 else msgid2)


@pytest.fixture
def _chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_catalogue", "_words"):
        monkeypatch.setattr(language, name, lambda code: Fake(FAKE if code == "zh" else {}))


@pytest.mark.usefixtures("_chinese")
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


SKY, A, B = (recorded("the prompt of case {case} differs", case=case) for case in ("sky", "a", "b"))
LARGE = recorded("{key}: {value:.3g} is too large", key="sky/42", value=0.125)


@pytest.mark.usefixtures("_chinese")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SKY, "用例 sky 的提示词不同"),
        (LARGE, "sky/42：0.125 过大"),
        (joined([A, B]), "用例 a 的提示词不同；用例 b 的提示词不同"),
        (recorded("{name:s}: {text}", name="npu", text=SKY), "npu: 用例 sky 的提示词不同"),
        (recorded("the prompt of case {case} differs", case="{braces}"), "用例 {braces} 的提示词不同"),
        (recorded("{name:s} at most {value:g}", name="mse", value=4), "mse 不高于 4"),
        (recorded("{name:s} at most {value:g}", name="red", value=4), "red 不高于 4"),
        (recorded("{name:s} at most {value:g}", name="mse", value=float("inf")), "mse 不高于 inf"),
        (recorded("{colour!s:s} is missing", colour="red"), "缺少红"),
        (recorded("the prompt of case {case} differs", case=["red", "mauve"]), "用例 红、mauve 的提示词不同"),
        (listed(["red", "green"]), "红、绿"),
        (
            recorded("{sentence!s} Waived: {reason!s}", sentence=A, reason="not yet"),
            f"{'用例 a 的提示词不同'}（豁免：not yet）",
        ),
        (joined([recorded("{key}: worse than {limit}.", key="a", limit=4), "plain"]), "a：差于 4；普通"),
        (recorded("{key}: worse than {limit}.", key="a", limit=4), "a：差于 4。"),
        (recorded_many("1 pair", "{count:d} pairs", 3), "3 个图像对"),
        ("plain", "普通"),
        ("RuntimeError: {no} sentence of ours", "RuntimeError: {no} sentence of ours"),
        ("the prompt of case sky differs", "the prompt of case sky differs"),
        ("", ""),
    ],
)
def test_a_text_of_a_record_is_said_in_the_spoken_language(text: str, said: str) -> None:
    assert translated(text) == text
    with spoken("zh"):
        assert translated(text) == said


@pytest.mark.usefixtures("_chinese")
def test_what_a_user_wrote_is_said_by_his_own_translation_wherever_it_stands() -> None:
    text = recorded("{sentence!s} Waived: {reason!s}", sentence=A, reason="the kernel is wrong.")
    own = {"the kernel is wrong.": "算子有误。"}
    with spoken("zh"):
        assert translated(text, own) == "用例 a 的提示词不同（豁免：算子有误。）"
        assert translated("the kernel is wrong.", own) == "算子有误。"
    assert translated(text, own) == text


def test_only_sentences_with_words_of_their_own_count_as_untranslated() -> None:
    with spoken("zh"), untranslated() as missed:
        say("{a}; {b}", a=1, b=2)
        translated("what a library said")
        say("no catalogue has this")
        many("{count} such thing", "{count} such things", 2)
    assert list(missed) == ["no catalogue has this", "{count} such things"]
    with untranslated() as missed:
        say("no catalogue has this")
    assert list(missed) == [], "English needs none"
