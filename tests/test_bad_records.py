"""Records, arrays and scenarios that lie are refused in words, with file and place; none ends in a traceback."""

from __future__ import annotations

import json
import os
import re
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness import scenario
from harness.errors import RecordError, ScenarioError
from harness.images import array_digest, read_array, read_kept
from harness.records import (
    ArrayRef,
    CaseKey,
    Comparison,
    Manifest,
    Record,
    Repeats,
    Run,
    StoredFile,
    from_json,
    read_record,
    to_json,
)
from tests.compare.stored_runs import single

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.command_line import RunHarness, WriteScenario

# --- records ---------------------------------------------------------------------------------------------------------

DEEP = 100_000
KEY = '{"case": "cup", "seed": 42}'


@pytest.mark.parametrize("kind", [Run, Manifest, Comparison])
@pytest.mark.parametrize("opening", ["[", '{"a":', '{"schema_version": 1, "samples": ['])
def test_a_record_that_is_nested_too_deeply_is_refused(kind: type[Record], opening: str) -> None:
    with pytest.raises(RecordError, match=r"^here\.json is not valid JSON: it is nested too deeply; allowed are some"):
        from_json(kind, opening * DEEP, place="here.json")


DAMAGED = {
    "a key twice": ('{"case": "cup", "case": "cat", "seed": 42}', "the key 'case' stands twice in one mapping"),
    "a key twice, the same": ('{"case": "cup", "seed": 42, "seed": 42}', "the key 'seed' stands twice"),
    "a whole number too large": (KEY.replace("42", str(2**63)), f"{2**63}'; allowed are those up to {2**63 - 1}"),
    "a whole number much too large": (KEY.replace("42", "9" * 10_000), "found the whole number '9999"),
    "a whole number too low": (KEY.replace("42", str(-(2**63))), "found the whole number"),
    "a number too large": (KEY.replace("42", "1e999"), "found the number '1e999'; allowed are numbers up to 1.8e308"),
    "a text for a number": (KEY.replace("42", '"42"'), r"seed: Input should be a valid integer; found '42' (a text)"),
    "a word for a number": (KEY.replace("42", "true"), "seed: Input should be a valid integer; found true"),
    "a point in a whole number": (KEY.replace("42", "42.0"), "seed: Input should be a valid integer; found the number"),
    "a number for a text": (KEY.replace('"cup"', "1"), "case: Input should be a valid string; found the number 1"),
    "a list": ("[]", "the whole file: Input should be an object; found an empty list"),
    "half a character": (KEY.replace("cup", "\\ud800"), "the whole file: Invalid JSON"),
    "a strange key": (KEY.replace("{", '{"\\u001b[31m": 1, '), r"'\x1b[31m': Extra inputs"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_record_is_refused_with_its_field(damage: str) -> None:
    text, says = DAMAGED[damage]
    with pytest.raises(RecordError, match=rf"^here\.json is not .*{re.escape(says)}.*make it again\.$"):
        from_json(CaseKey, text, place="here.json")


def test_the_largest_numbers_are_read() -> None:
    assert from_json(CaseKey, KEY.replace("42", str(2**63 - 1)), place="here").seed == 2**63 - 1
    assert from_json(StoredFile, to_json(StoredFile(path="a", sha256="0" * 64, bytes=0)), place="here").bytes == 0


@pytest.mark.parametrize("version", ["true", "1.0"])
def test_a_version_that_is_only_equal_to_ours_is_refused(version: str, tmp_path: Path) -> None:
    single(tmp_path / "cpu")
    path = tmp_path / "cpu" / "run.json"
    text = path.read_text(encoding="utf-8")
    assert read_record(Run, path).state == "finished"
    path.write_text(text.replace('"schema_version": 2', f'"schema_version": {version}', 1), encoding="utf-8")
    with pytest.raises(RecordError, match=r"run\.json is not a Run of format 2: schema_version: "):
        read_record(Run, path)


def test_a_name_that_no_system_allows_is_a_record_that_cannot_be_read(tmp_path: Path) -> None:
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(RecordError, match="cannot be read"):
            read_record(Repeats, tmp_path / name)


def test_a_comparison_that_is_nested_too_deeply_is_wrong_use_at_the_door(
    run_harness: RunHarness, tmp_path: Path
) -> None:
    (tmp_path / "comparison.json").write_text("[" * DEEP, encoding="utf-8")
    ended = run_harness("gate", tmp_path / "comparison.json")
    assert (ended.code, "comparison.json is not valid JSON: it is nested too deeply" in ended.err) == (2, True)


# --- arrays ----------------------------------------------------------------------------------------------------------


def write(path: Path, entries: dict[str, Any], values: bytes, *, length: int | None = None) -> Path:
    """A safetensors file whose header says what it is told to."""
    header = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + values)
    return path


def entry(kind: str, shape: list[int], start: int, end: int) -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


def test_every_bfloat16_is_read_as_the_same_float32(tmp_path: Path) -> None:
    every = np.arange(2**16, dtype="<u2")
    path = write(tmp_path / "a.safetensors", {"x": entry("BF16", [256, 256], 0, 2**17)}, every.tobytes())
    read = read_array(path, "x")
    assert (read.dtype.name, read.shape) == ("float32", (256, 256))
    torch = pytest.importorskip("torch")
    expected = torch.from_numpy(every.view(np.int16)).view(torch.bfloat16).to(torch.float32).numpy().reshape(256, 256)
    assert np.array_equal(read, expected, equal_nan=True)
    finite = np.isfinite(expected)
    assert read[finite].tobytes() == expected[finite].tobytes()


def test_a_bfloat16_among_others_is_read_from_its_own_place(tmp_path: Path) -> None:
    ones = np.full(4, 0x3F80, "<u2").tobytes()
    entries = {"a": entry("F32", [2], 0, 8), "x": entry("BF16", [2, 2], 8, 16), "z": entry("F16", [1], 16, 18)}
    path = write(tmp_path / "a.safetensors", entries, bytes(8) + ones + bytes(2))
    assert read_array(path, "x").tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert read_array(path, "a").tolist() == [0.0, 0.0]


UNREAD = {"F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1, "C64": 8}


@pytest.mark.parametrize("kind", UNREAD)
def test_values_of_a_type_that_is_not_compared_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    size = 4 * UNREAD[kind]
    path = write(tmp_path / "a.safetensors", {"x": entry(kind, [4], 0, size)}, bytes(size))
    words = rf"a\.safetensors: the array 'x' holds values of type {kind}; allowed are .*BF16.*F32.*Save it as F32"
    with pytest.raises(RecordError, match=words):
        read_array(path, "x")


LIES: dict[str, tuple[dict[str, Any], int | None]] = {
    "larger than the file": ({"x": entry("F32", [1000], 0, 4000)}, None),
    "much larger than the file": ({"x": entry("F32", [2**40, 2**40], 0, 2**62)}, None),
    "a shape that is not its bytes": ({"x": entry("F32", [3], 0, 16)}, None),
    "backwards": ({"x": entry("F32", [4], 16, 0)}, None),
    "below zero": ({"x": entry("F32", [4], -16, 0)}, None),
    "overlapping": ({"x": entry("F32", [3], 0, 12), "y": entry("F32", [3], 4, 16)}, None),
    "with a hole": ({"x": entry("F32", [1], 0, 4), "y": entry("F32", [1], 12, 16)}, None),
    "a type that does not exist": ({"x": entry("C128", [1], 0, 16)}, None),
    "a header longer than the file": ({"x": entry("F32", [4], 0, 16)}, 2**20),
    "a header longer than any file": ({"x": entry("F32", [4], 0, 16)}, 2**64 - 1),
    "a header of nothing": ({"x": entry("F32", [4], 0, 16)}, 0),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused_with_its_file(lie: str, tmp_path: Path) -> None:
    entries, length = LIES[lie]
    path = write(tmp_path / "a.safetensors", entries, bytes(16), length=length)
    with pytest.raises(RecordError, match=r"a\.safetensors is not a complete safetensors file \("):
        read_array(path, "x")


def test_a_pipe_in_the_place_of_an_array_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(RecordError, match=r"a\.safetensors is not a complete safetensors file: it is a folder, a pipe"):
        read_array(tmp_path / "a.safetensors", "x")


def kept(folder: Path, array: NDArray[Any], kind: str, **changes: Any) -> ArrayRef:
    """An array in a file, and the record of it."""
    write(folder / "a.safetensors", {"x": entry(kind, list(array.shape), 0, array.nbytes)}, array.tobytes())
    said = {
        "digest": array_digest(array),
        "path": "a.safetensors",
        "name": "x",
        "dtype": array.dtype.name,
        "computed_in": "float32",
        "shape": list(array.shape),
    }
    return ArrayRef.model_validate(said | changes)


OTHERWISE: dict[str, tuple[dict[str, Any], str]] = {
    "another shape": ({"shape": [4]}, r"a\.safetensors holds float32\[2, 2\], and its record says float32\[4\]"),
    "another type": ({"dtype": "float16"}, r"holds float32\[2, 2\], and its record says float16\[2, 2\]"),
    "another digest": ({"digest": "0" * 64}, "does not hold what its record says: digest"),
    "outside": ({"path": "../a.safetensors"}, "names '../a.safetensors', which leads out of its folder"),
    "absolute": ({"path": "/etc/passwd"}, "names '/etc/passwd', which leads out of its folder"),
}


@pytest.mark.parametrize("lie", OTHERWISE)
def test_an_array_that_is_not_what_its_record_says_is_refused(lie: str, tmp_path: Path) -> None:
    changes, says = OTHERWISE[lie]
    array = np.ones((2, 2), np.float32)
    assert read_kept(tmp_path, kept(tmp_path, array, "F32")).tolist() == array.tolist()
    with pytest.raises(RecordError, match=says):
        read_kept(tmp_path, kept(tmp_path, array, "F32", **changes))


# --- scenarios -------------------------------------------------------------------------------------------------------

REASON = "The test says so, and nothing else."
SCORED = {"metric": "shapes_prompt_score", "scope": "reference", "at_most": 0.1, "reason": REASON}
ODD: dict[str, dict[str, Any]] = {
    "a list among the scores": {"scores": [["x"]], "limits": [SCORED]},
    "a mapping among the scores": {"scores": [{"x": 1}], "limits": [SCORED]},
    "a list among the seeds": {"seeds": [[1], 2], "calibration": {"seeds": [3, 4]}},
    "a mapping among the seeds of a calibration": {"calibration": {"seeds": [{"a": 1}, [4]]}},
    "a list for a role": {"arms": [{"name": "a", "role": ["x"]}]},
    "a mapping for the switches": {"switches": {"a": 1}},
    "a list for the noise": {"noise": ["portable"]},
    "a mapping for the noise of an arm": {"arms": [{"name": "a", "noise": {"a": 1}}]},
    "a list for the task": {"task": ["text_to_image"]},
    "a list for the adapter": {"model": {"adapter": ["deepgen"]}},
    "a list for the scope of a waiver": {"waivers": [{"scope": ["repeat"], "reason": REASON, "owner": "a"}]},
    "a mapping for a metric": {"limits": [{**SCORED, "metric": {"a": 1}}]},
    "a list for an id": {"cases": [{"id": ["a"], "prompt": "x"}, {"id": {"a": 1}, "prompt": "x"}]},
    "a list in a translation": {"translations": {"zh": [["a"]]}},
    "lists for tags": {"tags": [[["a"]], {"b": []}]},
}


@pytest.mark.parametrize("oddity", ODD)
def test_a_list_or_mapping_where_a_word_belongs_is_refused_with_line_and_column(
    oddity: str, write_scenario: WriteScenario
) -> None:
    path = write_scenario(**ODD[oddity])
    with pytest.raises(ScenarioError, match=rf"^{re.escape(str(path))}:1:\d+: ") as refused:
        scenario.load(path)
    assert all(re.match(rf"{re.escape(str(path))}:1:\d+: ", line) for line in str(refused.value).splitlines())


@pytest.mark.parametrize("key", ["? [a, b]\n: 1", "? {a: b}\n: 1", "[a, b]: 1", "{a: b}: 1", "? - a\n  - b\n: 1"])
@pytest.mark.parametrize("inside", ["", "model: {source: x}\nlimits:\n- "])
def test_a_list_or_mapping_as_a_key_is_refused_with_line_and_column(key: str, inside: str, tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(
        f"name: small\n{inside}{key}\n".replace("\n: 1", "\n  : 1" if inside else "\n: 1"), encoding="utf-8"
    )
    with pytest.raises(ScenarioError, match=rf"^{re.escape(str(path))}:\d+:\d+: "):
        scenario.load(path)


def test_an_unhashable_value_is_wrong_use_at_the_door(write_scenario: WriteScenario, run_harness: RunHarness) -> None:
    ended = run_harness("validate", write_scenario(**ODD["a list among the scores"]))
    assert ended.code == 2
    assert "small.yaml:1:" in ended.err
    assert "internal error" not in ended.err
