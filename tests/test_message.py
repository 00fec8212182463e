"""Messages read as their English text, keep what they were made from, and come back from files as they were."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest

from harness.errors import RecordError, UndefinedMetric
from harness.language import spoken, translated
from harness.message import Message, filled, from_data, joined, listed, mapped, of_error, to_data
from harness.records import Status, Verdict, from_json, to_json
from tests.compare.stored_runs import CUP, limit

NESTED = Message(
    "{key}: {why}; of {names}, {share:.0%} at {place:s}",
    {"key": "cup", "why": Message("{count:d} values.", {"count": 3}), "names": ["a", "b"], "share": 0.5, "place": "x"},
)


def test_a_message_is_its_english_text() -> None:
    assert NESTED == "cup: 3 values; of a, b, 50% at x"
    assert str(NESTED) == NESTED
    assert type(str(NESTED)) is str
    assert f"{NESTED}" == NESTED
    assert hash(NESTED) == hash(str(NESTED))


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda message: pickle.loads(pickle.dumps(message))])  # noqa: S301 - our own
def test_a_copy_keeps_template_and_values(again: Any) -> None:
    made = again(NESTED)
    assert (made, made.template, made.values) == (NESTED, NESTED.template, NESTED.values)


def test_values_become_what_a_record_can_hold() -> None:
    message = Message(
        "{number:d} {share:.2f} {odd:.1f} {status} {key} {nothing}",
        {
            "number": np.int64(3),
            "share": np.float32(0.5),
            "odd": float("inf"),
            "status": Status.DRIFT,
            "key": CUP,
            "nothing": None,
            "not in the template": object(),
        },
    )
    assert message == "3 0.50 inf drift cup, seed 42 None"
    assert {type(value) for value in message.values.values()} == {int, float, str, Message}
    json.dumps(to_data(message), allow_nan=False)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_count_chooses_the_form(count: int) -> None:
    message = Message("1 pair", {"count": count}, "{count:d} pairs")
    assert message == ("1 pair" if count == 1 else f"{count} pairs")
    assert from_data(to_data(message)).several == "{count:d} pairs"


def test_sentences_are_joined_without_the_stop_before_a_semicolon() -> None:
    assert joined(["a.", "", "b.", "c."]) == "a; b; c."
    assert joined([]) == joined([""]) == ""
    assert joined(["alone."]) == "alone."
    assert listed([]) == ""


def test_very_many_sentences_are_joined_flat_and_read_back() -> None:
    text = joined(Message("{number:d} differs.", {"number": number}) for number in range(20_000))
    assert text.count("; ") == 19_999
    again = from_json(Verdict, to_json(verdict(text)), place="here")
    assert again.message == text
    with spoken("zh"):
        assert translated(again.message).count("；") == 19_999


def test_what_an_error_was_raised_with_is_kept() -> None:
    assert of_error(UndefinedMetric(NESTED)) is NESTED
    assert of_error(OSError(2, "no such file")) == "[Errno 2] no such file"
    assert of_error(ValueError()) == ""


def test_texts_inside_are_changed_and_numbers_are_not() -> None:
    made = mapped(NESTED, str.upper)
    assert made == "CUP: 3 values; of A, B, 50% at X"
    assert mapped("plain", str.upper) == "PLAIN"


# --- in files --------------------------------------------------------------------------------------------------------


def verdict(message: str) -> Verdict:
    return Verdict(limit=limit("psnr_db", at_least=1), measured=None, status=Status.ERROR, message=message)


def test_a_record_keeps_a_message_and_reads_it_back() -> None:
    text = to_json(verdict(NESTED))
    assert json.loads(text)["message"]["text"] == NESTED
    again = from_json(Verdict, text, place="here")
    assert isinstance(again.message, Message)
    assert to_json(again) == text


def test_a_text_of_version_1_is_read_as_it_is() -> None:
    again = from_json(Verdict, to_json(verdict("a sentence of an older harness")), place="here")
    assert again.message == "a sentence of an older harness"
    assert not isinstance(again.message, Message)


DATA = to_data(NESTED)
LIES: dict[str, Any] = {
    "another text": DATA | {"text": "all is well"},
    "another value": DATA | {"values": DATA["values"] | {"key": "sky"}},
    "a value that is missing": DATA | {"values": {}},
    "no template": {"text": NESTED, "values": {}},
    "a field too many": DATA | {"language": "en"},
    "values that are a list": DATA | {"values": []},
    "a template that reads an attribute": {"text": "", "template": "{key.__class__}", "values": {"key": "a"}},
    "a template that reads an item": {"text": "", "template": "{key[0]}", "values": {"key": "a"}},
    "a template that is no template": {"text": "{", "template": "{", "values": {}},
    "a form of a gigabyte": {"text": "", "template": "{key:999999999d}", "values": {"key": 1}},
    "a form of many digits": {"text": "", "template": "{key:.999999999f}", "values": {"key": 1}},
    "a value that is nothing": {"text": "None", "template": "{key}", "values": {"key": None}},
    "a number": 3,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_message_that_is_none_is_refused(lie: Any) -> None:
    data = json.loads(to_json(verdict(NESTED)))
    with pytest.raises(RecordError, match="message"):
        from_json(Verdict, json.dumps(data | {"message": lie}), place="here")


def test_a_message_that_would_grow_without_bound_is_refused() -> None:
    value: Any = "x" * 1000
    for _ in range(12):
        value = {"template": "{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}", "values": {"a": value}}
    data = json.loads(to_json(verdict(NESTED)))
    with pytest.raises(RecordError, match="longer than"):
        from_json(Verdict, json.dumps(data | {"message": {"text": "", **value}}), place="here")


def test_a_value_may_be_quoted() -> None:
    assert Message("it is {state!r}", {"state": "off"}) == "it is 'off'"


def test_a_template_without_values_is_its_text() -> None:
    assert filled("none: {{left}} as it is", {}) == "none: {left} as it is"
