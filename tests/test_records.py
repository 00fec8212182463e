"""What is written is what is read back, and whatever is not such a record is refused with its place."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from datetime import date
from enum import Enum
from functools import cache
from itertools import chain, combinations
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import annotated_types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BeforeValidator, JsonValue, StringConstraints, ValidationError

import harness.run.events
import harness.store
from harness.errors import RecordError
from harness.records import (
    EXIT_CODES,
    SCHEMA_VERSION,
    Arm,
    ArmScores,
    Calibration,
    CaseKey,
    Comparison,
    Evidence,
    FolderDiff,
    Limit,
    Measurement,
    PicturePair,
    Record,
    Release,
    Repetition,
    Report,
    Role,
    Run,
    Scenario,
    Scope,
    Status,
    TensorDiff,
    Trend,
    Verdict,
    Waiver,
    from_json,
    json_digest,
    read_record,
    to_json,
    worst,
)
from harness.records.base import LaterRecord
from harness.records.descriptions import descriptions
from harness.records.explanation import Explanation
from harness.records.investigation import Trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[1]


def family(kind: type[Record]) -> Iterator[type[Record]]:
    for each in kind.__subclasses__():
        yield from family(each)
        if each.__module__.startswith("harness."):
            yield each


KINDS = sorted(set(family(Record)) - {LaterRecord}, key=lambda kind: kind.__qualname__)
VERSIONED = [kind for kind in KINDS if "schema_version" in kind.model_fields]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
versioned = pytest.mark.parametrize("kind", VERSIONED, ids=lambda kind: kind.__name__)


# --- any record, from its own annotations ----------------------------------------------------------------------------


def anything(annotation: Any, rules: Iterable[Any] = ()) -> st.SearchStrategy[Any]:
    """Values that a field with this annotation may hold."""
    rules = list(rules)
    if annotation is JsonValue:
        return st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=12)
    if hasattr(annotation, "__metadata__"):
        return anything(annotation.__origin__, [*rules, *annotation.__metadata__])
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return records(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return st.sampled_from(list(annotation))
    inner = get_args(annotation)
    shortest = bound(rules, annotated_types.MinLen) or 0
    collections: dict[Any, Any] = {
        Literal: lambda: st.sampled_from(inner),
        UnionType: lambda: st.one_of([anything(each, rules) for each in inner]),
        Union: lambda: st.one_of([anything(each, rules) for each in inner]),
        list: lambda: st.lists(anything(inner[0]), min_size=shortest, max_size=max(shortest, 1)),
        dict: lambda: st.dictionaries(anything(inner[0]), anything(inner[1]), max_size=1),
    }
    if get_origin(annotation) in collections:
        return st.deferred(collections[get_origin(annotation)])
    return plain(annotation, rules)


def plain(annotation: Any, rules: list[Any]) -> st.SearchStrategy[Any]:
    if annotation is str:
        constraints = [rule for rule in rules if isinstance(rule, StringConstraints)]
        patterns = [rule.pattern for rule in constraints if rule.pattern is not None]
        lengths = [rule.min_length for rule in constraints if rule.min_length is not None]
        shortest = max([bound(rules, annotated_types.MinLen) or 0, *lengths])
        return st.from_regex(str(patterns[0]), fullmatch=True) if patterns else st.text(min_size=shortest, max_size=12)
    if annotation is int:
        step = bound(rules, annotated_types.MultipleOf) or 1
        low, high = bound(rules, annotated_types.Ge) or 0, bound(rules, annotated_types.Le) or 2**40
        return st.integers(-(-low // step), high // step).map(lambda value: value * step)
    if annotation is float:
        if any(isinstance(rule, BeforeValidator) for rule in rules):
            return st.floats()
        low, high = bound(rules, annotated_types.Ge), bound(rules, annotated_types.Le)
        above, below = bound(rules, annotated_types.Gt), bound(rules, annotated_types.Lt)
        return st.floats(
            low if above is None else above,
            high if below is None else below,
            exclude_min=above is not None,
            exclude_max=below is not None,
            allow_nan=False,
        ).filter(math.isfinite)
    known: dict[Any, st.SearchStrategy[Any]] = {bool: st.booleans(), type(None): st.none(), date: st.dates()}
    return known[annotation]


def bound(rules: list[Any], kind: type[Any]) -> Any:
    """The number of a rule such as ``Ge(1)``; None where there is none."""
    found = [dataclasses.astuple(rule) for rule in rules if isinstance(rule, kind)]
    return found[0][0] if found else None


def records(kind: type[Record]) -> st.SearchStrategy[Any]:
    fields = {name: anything(field.annotation, field.metadata) for name, field in kind.model_fields.items()}
    if kind is Limit:
        one_bound = st.tuples(st.sampled_from(("at_least", "at_most", "equals")), st.floats()).map(
            lambda pair: dict([pair])
        )
        others = {name: values for name, values in fields.items() if name not in {"at_least", "at_most", "equals"}}
        ratio = {"ratio_to": "gpu", "arm": "cpu", "scope": Scope.REFERENCE}
        return st.tuples(st.fixed_dictionaries(others), one_bound).map(
            lambda parts: Limit(
                **parts[0] | {"ratio_to": None} | (ratio if "at_most" in parts[1] and parts[0]["ratio_to"] else {}),
                **parts[1],
            )
        )
    if kind is Arm:  # fused operators are answered for CPU arms only, and baselines are references
        return st.fixed_dictionaries(fields).map(
            lambda values: Arm(
                **values
                | ({"device": "cpu"} if values["npu_ops"] else {})
                | ({"role": Role.REFERENCE} if values["baseline"] else {})
            )
        )
    return st.fixed_dictionaries(fields).map(lambda values: kind(**values))


def same(one: Any, other: Any) -> bool:
    """Equal in type and value, where NaN equals NaN and 0.0 does not equal -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Record):
        return same(vars(one), vars(other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(repr(one) == repr(other) if isinstance(one, float) else one == other)


# --- there and back --------------------------------------------------------------------------------------------------


@kinds
@settings(max_examples=10)
@given(data=st.data())
def test_every_record_comes_back_as_it_was_written(kind: type[Record], data: st.DataObject) -> None:
    record = data.draw(records(kind))
    text = to_json(record)
    again = from_json(kind, text, place="there")
    assert same(again, record)
    assert to_json(again) == text


def test_the_comparison_of_records_sees_small_differences() -> None:
    zero = measurement(0.0)
    assert same(zero, measurement(0.0))
    assert same(measurement(math.nan), measurement(math.nan))
    assert not same(zero, measurement(-0.0))
    assert not same(zero, measurement(5e-324))
    assert not same([1], [1.0])
    assert not same({"a": 1, "b": 2}, {"b": 2, "a": 1})


def test_all_records_are_found() -> None:
    names = {kind.__name__ for kind in KINDS}
    assert {"Scenario", "Plan", "Run", "Sample", "Comparison", "Report", "Job", "Fingerprint", "Assignment"} <= names
    assert {kind.__name__ for kind in VERSIONED} >= {"Scenario", "Run", "Comparison", "Report", "Job"}
    assert harness.run.events.Assignment in KINDS
    assert harness.store.Job in KINDS


def measurement(value: float | None) -> Measurement:
    return Measurement(
        metric="mse", subject="image", value=value, unit="", better="lower", spec="mse:1", parts={"r": value or 0.0}
    )


NON_FINITE = {math.inf: '"inf"', -math.inf: '"-inf"', math.nan: '"nan"'}


@pytest.mark.parametrize("value", NON_FINITE)
def test_numbers_that_are_not_finite_are_words_in_the_file_and_numbers_again(value: float) -> None:
    text = to_json(measurement(value))
    assert f'"value": {NON_FINITE[value]}' in text
    assert f'"r": {NON_FINITE[value]}' in text
    assert json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON"))
    again = from_json(Measurement, text, place="there")
    assert isinstance(again.value, float)
    assert repr(again.value) == repr(value)


def test_a_value_that_is_absent_stays_absent() -> None:
    assert from_json(Measurement, to_json(measurement(None)), place="there").value is None


def test_a_field_that_must_be_finite_is_not_written_as_something_else() -> None:
    record = Repetition(
        key=KEY, runs=1, processes=1, outcomes=[], bound_95=math.inf, status=Status.SKIPPED, pattern="planted"
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(record)


KEY = CaseKey(case="cup", seed=42)


@given(st.floats())
def test_every_float_survives(value: float) -> None:
    assert same(from_json(Measurement, to_json(measurement(value)), place="there"), measurement(value))


def test_text_is_written_as_it_reads() -> None:
    limit = Limit(metric="mse", scope=Scope.REPEAT, at_most=1, reason="größer ≤ 图像生成")
    assert "größer ≤ 图像生成" in to_json(limit)
    assert to_json(limit).endswith("}\n")


# --- refused ---------------------------------------------------------------------------------------------------------


def refusal(kind: type[Record], data: Any) -> str:
    with pytest.raises(RecordError) as caught:
        from_json(kind, data if isinstance(data, str) else json.dumps(data), place="runs/here.json")
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith("runs/here.json is not ")
    return str(caught.value)


def smallest(kind: type[Record]) -> dict[str, Any]:
    """A record of the kind as plain data, the same one every time."""
    found: dict[str, Any] = json.loads(smallest_text(kind))
    return found


@cache
def smallest_text(kind: type[Record]) -> str:
    texts: list[str] = []

    @settings(max_examples=1, derandomize=True, database=None)
    @given(records(kind))
    def draw(record: Record) -> None:
        texts.append(to_json(record))

    draw()
    return texts[0]


@kinds
def test_an_unknown_field_is_refused_by_name(kind: type[Record]) -> None:
    assert "surplus: Extra inputs are not permitted" in refusal(kind, {**smallest(kind), "surplus": 1})


def test_an_unknown_field_deep_inside_is_refused_with_its_place() -> None:
    limit = Limit(metric="mse", scope=Scope.REPEAT, at_most=1, reason="Only for this test.")
    verdict = json.loads(to_json(Verdict(limit=limit, measured=1, status=Status.DRIFT, message="")))
    verdict["limit"]["surplus"] = 1
    assert "limit.surplus: Extra inputs are not permitted" in refusal(Verdict, verdict)


@kinds
def test_a_missing_field_is_refused_by_name(kind: type[Record]) -> None:
    needed = [name for name, field in kind.model_fields.items() if field.is_required()]
    for name in needed:
        data = {key: value for key, value in smallest(kind).items() if key != name}
        assert f"{name}: Field required" in refusal(kind, data)
    all_defaults = {"Repeats", "Done", "Compile", "Load", "ModelChange"}
    assert needed or kind.__name__ in all_defaults, "only what is all defaults can do without a needed field"


@versioned
@pytest.mark.parametrize("version", [0, 3, "1", None])
def test_another_version_is_refused_by_name(kind: type[Record], version: object) -> None:
    message = refusal(kind, {**smallest(kind), "schema_version": version})
    assert f"of format {newest(kind)}: schema_version: Input should be 1" in message
    assert "another version" in message


@versioned
def test_every_file_bears_its_version(kind: type[Record]) -> None:
    assert kind.model_fields["schema_version"].default == newest(kind) <= SCHEMA_VERSION
    assert "schema_version" in smallest(kind)


def newest(kind: type[Record]) -> int:
    """Version 2 are the kinds that hold messages, and what holds them."""
    with_messages = {
        ArmScores,
        Calibration,
        Comparison,
        Explanation,
        FolderDiff,
        PicturePair,
        Release,
        Report,
        Run,
        TensorDiff,
        Trace,
        Trend,
    }
    return 2 if kind in with_messages else 1


def test_a_kind_that_holds_messages_is_of_version_2() -> None:
    with_messages = [kind for kind in VERSIONED if "'template'" in str(kind.model_json_schema())]
    assert {kind for kind in with_messages if newest(kind) != 2} == {Scenario, harness.store.Job}, (
        "optional in scenarios"
    )
    assert len(with_messages) > 5


def test_evidence_says_how_its_limit_follows() -> None:
    values = {
        "date": date(2026, 1, 1),
        "device": "cpu",
        "samples": 1,
        "seeds": [1],
        "cases": ["a"],
        "worst": 1,
        "margin": 1,
    }
    assert Evidence.model_validate({**values, "rule": "twice the worst"}).reason.endswith("twice the worst.")
    with pytest.raises(ValidationError, match="at least 1 character"):
        Evidence.model_validate({**values, "rule": ""})


def test_files_of_version_1_are_still_read() -> None:
    runs = [read_record(Run, path) for path in (ROOT / "baselines").rglob("run.json")]
    assert {run.schema_version for run in runs} == {1}
    names = {name for run in runs for sample in run.samples for name in sample.traces}
    assert {name.partition("/")[2] for name in names} <= {"real_rows", "padded_rows"}
    comparison = read_record(Comparison, ROOT / "tests" / "golden" / "version_1" / "comparison.json")
    assert (comparison.schema_version, comparison.message) == (1, "Every limit is kept.")
    places = {measured.where for pair in comparison.pairs for measured in pair.measurements if measured.where}
    assert places == {"tile x=32..63 y=32..63"}


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_json_does_not_know_are_refused(constant: str) -> None:
    text = to_json(measurement(1.5)).replace("1.5", constant)
    assert f"{constant} is not strict JSON" in refusal(Measurement, text)


@given(st.data())
def test_a_truncated_file_is_refused(data: st.DataObject) -> None:
    text = to_json(measurement(1.5))
    length = data.draw(st.integers(0, len(text) - 2))
    message = refusal(Measurement, text[:length])
    assert "is not valid JSON" in message
    assert "truncated" in message


@pytest.mark.parametrize("text", ["[]", "null", "3", '"text"'])
def test_json_of_another_kind_is_refused(text: str) -> None:
    assert "the whole file: Input should be" in refusal(Measurement, text)


DAMAGED: dict[str, tuple[str, Any, str]] = {
    "a text for a number": ("value", "high", "value: Input should be a valid number"),
    "a word that is not one of ours": ("better", "sideways", "better: Input should be 'higher' or 'lower'"),
    "a number for a text": ("metric", 3, "metric: Input should be a valid string"),
    "a part that is no number": ("parts", {"r": []}, "parts.r: Input should be a valid number"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_field_is_refused_by_name(damage: str) -> None:
    field, value, expected = DAMAGED[damage]
    assert expected in refusal(Measurement, {**json.loads(to_json(measurement(1.5))), field: value})


@pytest.mark.parametrize("case", ["", "-a", "A", "a/b", "..", "a b", "a" * 65, "a\n"])
def test_an_id_that_is_no_safe_folder_name_is_refused(case: str) -> None:
    assert "case: String should match pattern" in refusal(CaseKey, {"case": case, "seed": 42})


def test_a_limit_without_a_reason_is_refused() -> None:
    assert "reason: " in refusal(Limit, {"metric": "mse", "scope": "repeat", "at_most": 1})
    short = {"metric": "mse", "scope": "repeat", "at_most": 1, "reason": "so"}
    assert "reason: String should have at least 10 characters" in refusal(Limit, short)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "repeat"},
        {"arm": None},
        {"arm": "gpu"},
        {"at_most": None, "equals": 1},
        {"at_most": None, "at_least": 1},
    ],
)
def test_a_ratio_needs_two_arms_and_an_upper_bound(wrong: dict[str, Any]) -> None:
    good = {"metric": "mse", "scope": "reference", "arm": "cpu", "ratio_to": "gpu", "at_most": 2, "reason": "Example."}
    reason = {"reason": "Only for this test."}
    assert Limit.model_validate(good | reason).rule == "dual_ratio to gpu of mse at most 2"
    with pytest.raises(ValidationError, match="a limit with ratio_to"):
        Limit.model_validate(good | reason | wrong)


def test_a_waiver_says_in_words_what_it_covers() -> None:
    waiver = Waiver(scope=Scope.REPEAT, reason="Only for this test.", owner="Ann", expires=date(2026, 1, 31))
    assert waiver.rule == "every metric, repeat"
    named = waiver.model_copy(update={"metric": "mse", "arm": "npu", "case": "cup"})
    assert named.rule == "mse, repeat, arm npu, case cup"
    assert '"2026-01-31"' in to_json(waiver)


@kinds
def test_a_record_cannot_be_changed(kind: type[Record]) -> None:
    record = kind.model_validate(smallest(kind))
    name = next(iter(kind.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(record, name, getattr(record, name))


# --- descriptions ----------------------------------------------------------------------------------------------------


def undescribed(kind: type[Record]) -> list[str]:
    described = descriptions(kind)
    return [name for name in kind.model_fields if not described.get(name, "").strip()]


@kinds
def test_every_field_has_a_sentence_under_it(kind: type[Record]) -> None:
    a_message = kind.__module__ == "harness.run.events"  # its field ``event`` only repeats the name of the record
    assert undescribed(kind) == [] or (a_message and undescribed(kind) == ["event"])
    assert (kind.__doc__ or "").strip()


class Planted(Record):
    """A record of which one field says nothing."""

    told: int
    """Told."""
    silent: int


def test_a_field_without_a_sentence_is_found() -> None:
    assert undescribed(Planted) == ["silent"]


# --- which word decides ----------------------------------------------------------------------------------------------

DOCUMENTED = [2, 3, 7, 4, 1, 6, 5]
"""Exit codes, the first of which wins; 2 is never a verdict. Nothing but skipped is 5: it never hides a pass."""


def test_every_word_has_its_documented_exit_code() -> None:
    assert {str(status): code for status, code in EXIT_CODES.items()} == {
        "error": 3,
        "not_comparable": 7,
        "missing_baseline": 4,
        "drift": 1,
        "unstable": 6,
        "skipped": 5,
        "identical": 0,
        "within_limits": 0,
        "waived": 0,
    }
    assert set(EXIT_CODES) == set(Status)


def test_the_table_is_in_the_documented_order() -> None:
    assert [code for code in EXIT_CODES.values() if code] == DOCUMENTED[1:]


def documented_code(statuses: Iterable[Status]) -> int:
    """Exit code of several words by the documented order; skipped counts only where nothing was judged."""
    judged = [status for status in statuses if status is not Status.SKIPPED]
    codes = {EXIT_CODES[status] for status in judged}
    return next((code for code in DOCUMENTED if code in codes), 0) if judged else EXIT_CODES[Status.SKIPPED]


SUBSETS = list(chain.from_iterable(combinations(Status, size) for size in range(1, len(Status) + 1)))


def test_the_worst_word_decides_in_every_combination() -> None:
    assert len(SUBSETS) == 2 ** len(Status) - 1
    for statuses in SUBSETS:
        assert worst(list(statuses)) in statuses
        assert worst(list(statuses)) is worst(list(reversed(statuses)))
        assert EXIT_CODES[worst(list(statuses))] == documented_code(statuses), statuses


def test_one_word_that_does_not_pass_never_leaves_a_pass() -> None:
    for status in set(Status) - {Status.IDENTICAL, Status.WITHIN_LIMITS, Status.WAIVED, Status.SKIPPED}:
        assert EXIT_CODES[worst([Status.IDENTICAL, Status.SKIPPED, status, Status.WAIVED])] != 0


def test_nothing_judged_is_an_error() -> None:
    assert worst([]) is Status.ERROR


def test_identical_is_said_only_when_all_are() -> None:
    assert worst([Status.IDENTICAL, Status.IDENTICAL]) is Status.IDENTICAL
    assert worst([Status.IDENTICAL, Status.WITHIN_LIMITS]) is Status.WITHIN_LIMITS
    assert worst([Status.IDENTICAL, Status.WAIVED]) is Status.WAIVED


# --- digests ---------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_the_digest_of_data_is_the_same_everywhere() -> None:
    data = {"b": [1, 2.5, None, True], "a": {"ü": "图"}}
    assert json_digest(data) == "773535d201bd05ac8564a263c8f24d06532b6a06afe671beec5c66b38b5c7fb8"


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5))
def test_the_order_of_keys_does_not_matter(data: dict[str, Any]) -> None:
    assert json_digest(dict(reversed(data.items()))) == json_digest(data)


@given(JSON, JSON)
def test_other_data_has_another_digest(one: Any, other: Any) -> None:
    equal = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (json_digest(one) == json_digest(other)) == equal


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_not_finite_has_no_digest(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_digest({"a": value})


def test_a_schema_has_the_sentences_also_of_the_record_that_one_extends() -> None:
    assert Planted.model_json_schema()["properties"]["told"]["description"] == "Told."

    class Extended(Planted):
        """A record with a field more."""

        more: int
        """More."""

    assert descriptions(Extended) == {"told": "Told.", "more": "More."}


def test_sentences_are_read_for_a_schema_alone() -> None:
    code = """
import sys, harness.records
read = ["harness.records.descriptions" in sys.modules]
harness.records.Switch.model_json_schema()
print([*read, "harness.records.descriptions" in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[False, True]"
