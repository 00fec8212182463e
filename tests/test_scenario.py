from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from harness import images, plugins, scenario
from harness.compare import models
from harness.errors import NothingSelected, ScenarioError, UnknownName, UsageError
from harness.language import languages, recorded, spoken
from harness.records import (
    Arm,
    FileDifference,
    ModelDifference,
    NoiseMode,
    NpuOps,
    Repeats,
    Role,
    Scenario,
    SwitchMode,
    json_digest,
)
from harness.scenario import schema_file

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = sorted((ROOT / "scenarios").rglob("*.yaml"))

GOOD = """\
name: good
summary: Is it so?
task: text_to_image
model:
  source: builtin:tiny-deepgen
cases:
  - id: one
    prompt: a cup
  - id: two
    prompt: a cat
seeds: [42, 7]
steps: 20
width: 64
repeats:
  in_process: 3
arms:
  - name: portable
  - name: as-shipped
    noise: device
limits:
  - metric: identical
    scope: repeat
    equals: 1
    reason: Same device, same bytes.
"""

EDIT = (
    GOOD.replace("text_to_image", "image_editing")
    .replace("prompt: a cup", "prompt: a cup\n    input_image: cup.png")
    .replace("prompt: a cat", "prompt: a cat\n    input_image: ${PICTURES}/cat.png")
)


DUAL = """\
name: good
summary: Is it as near as a GPU?
task: text_to_image
model: {source: builtin:tiny-deepgen}
cases: [{id: one, prompt: a cup}]
seeds: [42]
arms:
  - {name: npu}
  - {name: cpu, role: reference, device: cpu, dtype: float32}
  - {name: gpu, role: reference, device: cuda}
limits:
  - metric: mse
    scope: reference
    at_most: 4
    reason: Details differ above it.
  - metric: mse
    scope: reference
    arm: cpu
    ratio_to: gpu
    at_most: 2
    reason: Twice a GPU's error at most.
    evidence:
      date: 2026-01-31
      device: npu:Ascend910B2
      samples: 4
      seeds: [1, 2]
      cases: [one]
      worst: 1.25
      rule: worst ratio and 60 %
      margin: 0.75
waivers:
  - metric: mse
    arm: npu
    case: one
    scope: reference
    reason: Known, being mended.
    owner: Ann
    expires: 2026-12-31
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "cup.png")
    Image.new("L", (8, 8), 7).save(tmp_path / "cat.png")
    monkeypatch.setenv("PICTURES", str(tmp_path))
    monkeypatch.delenv("NO_SUCH_VARIABLE", raising=False)
    return tmp_path


def write(folder: Path, text: str | bytes, name: str = "good.yaml") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refusal(path: Path) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        scenario.load(path)
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:") for line in lines]


# --- what limits are measured on -------------------------------------------------------------------------------------


def test_calibration_asks_the_same_question_of_its_own_seeds(folder: Path) -> None:
    text = GOOD.replace("seeds: [42, 7]", "seeds: [42, 7]\ncalibration: {seeds: [1, 2], cases: [two]}")
    loaded = scenario.load(write(folder, text))
    asked = scenario.for_calibration(loaded)
    assert ([case.id for case in asked.scenario.cases], asked.scenario.seeds) == (["two"], [1, 2])
    assert asked.digest == loaded.digest
    everywhere = scenario.load(write(folder, text.replace(", cases: [two]", "")))
    assert scenario.for_calibration(everywhere).scenario.cases == everywhere.scenario.cases


def test_without_seeds_for_calibration_the_refusal_brings_the_lines_to_add(folder: Path) -> None:
    with pytest.raises(ScenarioError, match="calibration: the key is missing") as caught:
        scenario.for_calibration(scenario.load(write(folder, GOOD)))
    lines = str(caught.value).partition("\n\n")[2]
    loaded = scenario.load(write(folder, f"{GOOD}{lines}"))
    assert scenario.for_calibration(loaded).scenario.seeds == [1001, 1002]


# --- what is refused -------------------------------------------------------------------------------------------------


class Fault(NamedTuple):
    """A text of the good file, what stands in its place, and what the only line of the refusal must say."""

    old: str
    new: str
    place: str
    words: tuple[str, ...]
    text: str = GOOD


FAULTS = {
    # keys
    "misspelt key": Fault("steps:", "stesp:", "12:1", ("the key 'stesp' is unknown", "Did you mean 'steps'?")),
    "misspelt key of a case": Fault(
        "    prompt: a cat",
        "    promt: x\n    prompt: a cat",
        "10:5",
        ("'promt' in cases[1]", "Did you mean 'prompt'?"),
    ),
    "foreign key": Fault("seeds:", "zzz: 1\nseeds:", "11:1", ("the key 'zzz' is unknown", "allowed are", "Remove it.")),
    "merge key": Fault("seeds:", "<<: {}\nseeds:", "11:1", ("the key '<<' is unknown",)),
    "key with an escape code": Fault("seeds:", '"\\e[2J": 1\nseeds:', "11:1", (r"'\x1b[2J'",)),
    "duplicate key": Fault("width: 64", "width: 64\nsteps: 21", "14:1", ("'steps'", "first in line 12", "Remove one")),
    "missing key": Fault("    prompt: a cat\n", "", "9:5", ("cases[1].prompt: the key is missing", "Add a line")),
    "missing name": Fault("name: good\n", "", "1:1", ("name: the key is missing", "Add a line 'name: ...'")),
    "key that is a list": Fault("seeds:", "? [a]\n: b\nseeds:", "11:3", ("a key that is not a word",)),
    "name that stands for nothing": Fault(
        "seeds: [42, 7]",
        "differs_in: {modell: Another revision on purpose.}\nseeds: [42, 7]",
        "11:14",
        ("the key 'modell' in differs_in is unknown", "allowed are model", "Did you mean 'model'?"),
    ),
    "name that stands for nothing in a case": Fault(
        "    prompt: a cat",
        "    prompt: a cat\n    expect:\n      flaat: It is asked for.",
        "12:7",
        ("the key 'flaat' in cases[1].expect is unknown", "flat, same_image", "Did you mean 'flat'?"),
    ),
    "difference without a reason": Fault(
        "seeds: [42, 7]",
        "differs_in: {model: ok}\nseeds: [42, 7]",
        "11:21",
        ("'ok' (a text)", "at least 10 characters"),
    ),
    "difference with an empty reason": Fault(
        "seeds: [42, 7]", "differs_in: {model: '            '}\nseeds: [42, 7]", "11:21", ("only spaces",)
    ),
    "differences in a list": Fault(
        "seeds: [42, 7]", "differs_in: [model]\nseeds: [42, 7]", "11:13", ("a list of 1", "allowed is a mapping")
    ),
    # types
    "text for a number": Fault(
        "steps: 20", 'steps: "20"', "12:8", ("'20' (a text)", "from 1 to 1000", "without quotes")
    ),
    "words for a number": Fault("steps: 20", "steps: many", "12:8", ("'many' (a text)", "Write a number.")),
    "bool for a number": Fault("steps: 20", "steps: true", "12:8", ("found true", "a whole number from 1 to 1000")),
    "bool for a float": Fault("steps: 20", "guidance_scale: true", "12:17", ("found true", "a number from 0 to 100")),
    "bool for a version": Fault("steps: 20", "schema_version: true", "12:17", ("found true", "allowed is 1")),
    "other version": Fault("steps: 20", "schema_version: 2", "12:17", ("the number 2", "allowed is 1", "format")),
    "float for a whole number": Fault("steps: 20", "steps: 20.0", "12:8", ("20.0", "without point and exponent")),
    "exponent for a whole number": Fault("steps: 20", "steps: 1e3", "12:8", ("the number 1000.0", "without point")),
    "null for a number": Fault("steps: 20", "steps:", "12:1", ("found nothing (null)", "a whole number")),
    "null for a seed": Fault("seeds: [42, 7]", "seeds:\n  - 42\n  -", "13:4", ("seeds[1]: found nothing (null)",)),
    "number for a text": Fault("prompt: a cat", "prompt: 12", "10:13", ("the number 12", "Put it in quotes")),
    "number for a name": Fault("- id: two", "- id: 2", "9:9", ("cases[1].id: found the number 2", "a-z")),
    "yes for a bool": Fault(
        "  source", "  trust_remote_code: yes\n  source", "5:22", ("'yes' (a text)", "true or false", "YAML 1.2")
    ),
    "mapping for a list": Fault(
        "seeds: [42, 7]", "seeds: {a: 1}", "11:8", ("found a mapping", "a list with at least one")
    ),
    "text for a mapping": Fault(
        "repeats:\n  in_process: 3", "repeats: 3", "14:10", ("allowed is a mapping", "processes")
    ),
    "text for a case": Fault(
        "  - id: two\n    prompt: a cat", "  - two", "9:5", ("cases[1]: found 'two'", "a mapping")
    ),
    # ranges
    "zero steps": Fault("steps: 20", "steps: 0", "12:8", ("steps: found the number 0", "from 1 to 1000")),
    "odd size": Fault("width: 64", "width: 500", "13:8", ("500", "adapter deepgen", "multiple of 32", "480 and 512")),
    "tiny size": Fault("width: 64", "width: 20", "13:8", ("20", "multiple of 32", "The nearest is 32")),
    "huge size": Fault("width: 64", "width: 65536", "13:8", ("65536", "from 1 to 16384")),
    "zero size": Fault("width: 64", "height: 0", "13:9", ("height: found the number 0", "from 1 to 16384")),
    "infinite guidance": Fault("steps: 20", "guidance_scale: .inf", "12:17", ("the number inf", "from 0 to 100")),
    "no time": Fault("steps: 20", "time_limit_seconds: 0", "12:21", ("allowed is a number above 0",)),
    "no repeats": Fault("in_process: 3", "in_process: 0", "15:15", ("repeats.in_process", "from 1 to 10000")),
    "negative seed": Fault("[42, 7]", "[42, -7]", "11:13", ("seeds[1]: found the number -7", "from 0 to")),
    "fractional seed": Fault("[42, 7]", "[4.5, 7]", "11:9", ("seeds[0]: found the number 4.5", "a whole number")),
    "seed beyond 63 bits": Fault("[42, 7]", "[9223372036854775808]", "11:9", ("to 9223372036854775807",)),
    "duplicate seed": Fault("[42, 7]", "[42, 0x2a]", "11:13", ("the seed 42", "first in line 11", "allowed is once")),
    "no seeds": Fault("[42, 7]", "[]", "11:8", ("seeds: found an empty list", "at least one entry")),
    "endless number": Fault("steps: 20", "steps: 1" + "0" * 5000, "12:8", ("a number of 5001 characters", "64")),
    "no cases": Fault(GOOD[GOOD.index("cases") : GOOD.index("seeds")], "cases: []\n", "6:8", ("cases", "empty list")),
    "empty prompt": Fault("a cat", '""', "10:13", ("found an empty text", "a text that is not empty")),
    "blank prompt": Fault("a cat", '"  "', "10:13", ("cases[1].prompt: found only spaces",)),
    "blank summary": Fault("Is it so?", '" "', "2:10", ("summary: found only spaces",)),
    # words
    "unknown task": Fault(
        "text_to_image", "text-to-image", "3:7", ("one of text_to_image", "Did you mean 'text_to_image'")
    ),
    "unknown noise": Fault("noise: device", "noise: devise", "19:12", ("arms[1].noise", "Did you mean 'device'?")),
    "unknown dtype": Fault("  source", "  dtype: fp16\n  source", "5:10", ("model.dtype", "one of float32, float16")),
    "unknown adapter": Fault("  source", "  adapter: deepgn\n  source", "5:12", ("Did you mean 'deepgen'?",)),
    "unknown backend": Fault(
        "noise: device", "device: cpux:1", "19:13", ("no backend is called 'cpux'", "'cpu'", "auto")
    ),
    "device without index": Fault("noise: device", "device: 'cpu:'", "19:13", ("found 'cpu:'", "an index", "cpu:0")),
    "auto with index": Fault("noise: device", "device: auto:1", "19:13", ("no backend is called 'auto'",)),
    "bad digest": Fault(
        "  source",
        "  code_sha256: {a.py: 12ab}\n  source",
        "5:23",
        ("model.code_sha256.'a.py'", "64 hexadecimal digits"),
    ),
    # names
    "name of another file": Fault("name: good", "name: bad", "1:7", ("found 'bad'", "'good', the name of the file")),
    "duplicate case": Fault("id: two", "id: one", "9:9", ("the id 'one'", "first in line 7", "allowed is once")),
    "duplicate arm": Fault("name: as-shipped", "name: portable", "18:11", ("arms: the name 'portable'", "line 17")),
    "path for an id": Fault("id: two", "id: ../two", "9:9", ("'../two'", "becomes a folder")),
    "capital letters": Fault("id: two", "id: Two", "9:9", ("'Two'", "a-z")),
    # arms and limits
    "references only": Fault(
        GOOD[GOOD.index("  - name: portable") : GOOD.index("    equals")],
        "  - name: cpu\n    role: reference\nlimits:\n  - metric: identical\n    scope: reference\n",
        "17:3",
        ("references only", "at least one candidate"),
    ),
    "reference without limit": Fault(
        "noise: device", "role: reference", "19:11", ("arms[1]: found a reference", "scope: reference", "Add the limit")
    ),
    "fused operators on a card": Fault(
        "noise: device",
        "device: npu:1\n    npu_ops: reference",
        "20:14",
        ("arms[1].npu_ops: found in an arm with device: npu:1", "allowed is an arm with device: cpu", "remove npu_ops"),
    ),
    "fused operators on whatever there is": Fault(
        "noise: device", "npu_ops: hidden", "19:14", ("found in an arm with device: auto",)
    ),
    "fused operators by another name": Fault(
        "noise: device", "device: cpu\n    npu_ops: native", "20:14", ("arms[1].npu_ops", "one of reference, hidden")
    ),
    "no arms": Fault(
        "  - name: portable\n  - name: as-shipped\n    noise: device\n",
        "  []\n",
        "17:3",
        ("arms: found an empty list",),
    ),
    "limit without a reason": Fault(
        "    reason: Same device, same bytes.\n", "", "21:5", ("a limit without a reason is refused", "Add a line")
    ),
    "limit with a short reason": Fault(
        "Same device, same bytes.",
        "because",
        "24:13",
        ("'because'", "a limit without a reason is refused", "at least 10"),
    ),
    "limit with a null reason": Fault(
        "Same device, same bytes.", "~", "24:13", ("nothing (null)", "a limit without a reason is refused")
    ),
    "limit with a blank reason": Fault(
        "Same device, same bytes.", f'"{" " * 12}"', "24:13", ("only spaces", "a limit without a reason is refused")
    ),
    "limit without a bound": Fault("    equals: 1\n", "", "21:5", ("limits[0]: found no bound", "exactly one of")),
    "limit with a null bound": Fault("equals: 1", "equals:", "21:5", ("limits[0]: found no bound",)),
    "limit with two bounds": Fault(
        "equals: 1", "equals: 1\n    at_most: 2", "21:5", ("found at_most and equals", "exactly one of")
    ),
    "limit that is no number": Fault("equals: 1", "equals: .nan", "23:13", ("equals: found nan", "can break")),
    "limit that always holds": Fault("equals: 1", "at_most: .inf", "23:14", ("at_most: found inf", "can break")),
    "limit of a word": Fault("equals: 1", "equals: inf", "23:13", ("'inf' (a text)", "Write .inf")),
    "unknown metric": Fault(
        "metric: identical",
        "metric: identicle",
        "21:13",
        ("no metric is called 'identicle'", "Did you mean 'identical'?"),
    ),
    "metric on a wrong subject": Fault(
        "metric: identical",
        "metric: p99_abs_diff\n    subject: other",
        "22:14",
        ("limits[0].subject", "one of image, float_image"),
    ),
    # limits by arm and device, ratios, evidence
    "limit for an unknown arm": Fault(
        "equals: 1",
        "equals: 1\n    arm: portabel",
        "24:10",
        ("limits[0].arm: no arm is called 'portabel'", "'portable'"),
    ),
    "limit for a candidate as reference": Fault(
        "arm: cpu", "arm: npu", "18:10", ("no reference arm is called 'npu'", "cpu, gpu"), DUAL
    ),
    "limit for an unknown backend": Fault(
        "equals: 1", "equals: 1\n    device: npux", "24:13", ("limits[0].device", "Did you mean 'npu'?")
    ),
    "limit for an index": Fault(
        "equals: 1", "equals: 1\n    device: npu:0", "24:13", ("found 'npu:0'", "beginning of a product's name")
    ),
    "limit for no product": Fault("equals: 1", 'equals: 1\n    device: "npu:"', "24:13", ("Write npu:NAME",)),
    "ratio to an unknown arm": Fault(
        "ratio_to: gpu", "ratio_to: gpo", "19:15", ("ratio_to: no reference arm", "'gpu'"), DUAL
    ),
    "ratio to a candidate": Fault(
        "ratio_to: gpu", "ratio_to: npu", "19:15", ("no reference arm is called 'npu'",), DUAL
    ),
    "ratio without a cap": Fault(
        "at_most: 4", "at_most: 4\n    subject: float_image", "20:15", ("a ratio alone", "arm: cpu and at_most"), DUAL
    ),
    "ratio with a cap for another device": Fault(
        "at_most: 4", "at_most: 4\n    device: npu", "20:15", ("a ratio alone", "Add a limit with metric: mse"), DUAL
    ),
    "ratio with a cap against another reference": Fault(
        "at_most: 4", "at_most: 4\n    arm: gpu", "20:15", ("a ratio alone",), DUAL
    ),
    "ratio with a bound that caps nothing": Fault("at_most: 4", "at_least: 4", "19:15", ("a ratio alone",), DUAL),
    "ratio of a likeness": Fault(
        "metric: mse",
        "metric: psnr_db",
        "16:13",
        ("limits[1].metric: found 'psnr_db'", "of which no ratio has a meaning", "cosine_distance"),
        DUAL[: DUAL.index("waivers")].replace(
            "metric: mse\n    scope: reference\n    arm: cpu", "metric: psnr_db\n    scope: reference\n    arm: cpu"
        ),
    ),
    "ratio of repeats": Fault(
        "scope: reference\n    arm", "scope: repeat\n    arm", "19:15", ("with scope: repeat",), DUAL
    ),
    "ratio against nothing": Fault("    arm: cpu\n", "", "18:15", ("'gpu' and no arm", "Add a line 'arm"), DUAL),
    "ratio to itself": Fault("ratio_to: gpu", "ratio_to: cpu", "19:15", ("which is also the arm",), DUAL),
    "ratio with another bound": Fault("at_most: 2", "equals: 2", "19:15", ("without at_most", "Write at_most"), DUAL),
    "evidence without a day": Fault(
        "date: 2026-01-31", "date: last week", "23:13", ("limits[1].evidence.date", "YYYY-MM-DD"), DUAL
    ),
    "evidence of nothing": Fault("samples: 4", "samples: 0", "25:16", ("limits[1].evidence.samples",), DUAL),
    # waivers
    "waiver of an unknown metric": Fault(
        "metric: mse\n    arm", "metric: msy\n    arm", "32:13", ("waivers[0].metric", "'mse'"), DUAL
    ),
    "waiver of a metric without limit": Fault(
        "metric: mse\n    arm",
        "metric: psnr_db\n    arm",
        "32:13",
        ("no metric with a limit of scope reference",),
        DUAL,
    ),
    "waiver of a scope without limit": Fault(
        "metric: mse\n    arm: npu\n    case: one\n    scope: reference",
        "scope: repeat",
        "32:12",
        ("there is no limit",),
        DUAL,
    ),
    "waiver of an unknown arm": Fault(
        "arm: npu", "arm: npo", "33:10", ("waivers[0].arm: no arm is called 'npo'", "'npu'"), DUAL
    ),
    "waiver of an unknown case": Fault("case: one", "case: onne", "34:11", ("no case is called 'onne'", "'one'"), DUAL),
    "waiver without end": Fault(
        "    expires: 2026-12-31\n", "", "32:5", ("waivers[0].expires: the key is missing", "YYYY-MM-DD"), DUAL
    ),
    "waiver until no day": Fault(
        "2026-12-31", "2026-02-30", "38:14", ("'2026-02-30'", "a day written as YYYY-MM-DD"), DUAL
    ),
    "waiver without owner": Fault("owner: Ann", 'owner: ""', "37:12", ("waivers[0].owner", "not empty"), DUAL),
    "waiver of a blank owner": Fault(
        "owner: Ann", 'owner: " "', "37:12", ("waivers[0].owner: found only spaces",), DUAL
    ),
    "waiver with a short reason": Fault(
        "Known, being mended.", "known", "36:13", ("waivers[0].reason", "at least 10"), DUAL
    ),
    # what limits are measured on
    "calibration on a seed that is judged": Fault(
        "seeds: [42, 7]",
        "seeds: [42, 7]\ncalibration:\n  seeds: [1, 7]",
        "13:14",
        ("calibration.seeds[1]: found the number 7", "among the seeds that the limits judge"),
    ),
    "calibration on one seed": Fault(
        "seeds: [42, 7]", "seeds: [42, 7]\ncalibration: {seeds: [1]}", "12:22", ("a list with at least 2 entries",)
    ),
    "calibration on a seed twice": Fault(
        "seeds: [42, 7]",
        "seeds: [42, 7]\ncalibration: {seeds: [1, 1]}",
        "12:26",
        ("calibration.seeds: the seed 1 stands here again",),
    ),
    "calibration on an unknown case": Fault(
        "seeds: [42, 7]",
        "seeds: [42, 7]\ncalibration: {seeds: [1, 2], cases: [twoo]}",
        "12:38",
        ("calibration.cases[0]: no case is called 'twoo'", "Did you mean 'two'?"),
    ),
    # variables and pictures
    "unset variable": Fault(
        "builtin:tiny-deepgen",
        "${NO_SUCH_VARIABLE}/x",
        "5:11",
        ("model.source: the environment variable NO_SUCH_VARIABLE is not set", "export NO_SUCH_VARIABLE=VALUE"),
    ),
    "unclosed variable": Fault("builtin:tiny-deepgen", "${PICTURES", "5:11", ("found '${PICTURES'", "${NAME}")),
    "variable with a space": Fault("builtin:tiny-deepgen", "${A B}", "5:11", ("found '${A B}'", "letters, digits")),
    "empty source": Fault("builtin:tiny-deepgen", '""', "5:11", ("model.source: found an empty text",)),
    "missing picture key": Fault(
        "    input_image: cup.png\n", "", "7:5", ("cases[0].input_image", "needs a picture", "Add a line"), EDIT
    ),
    "picture where none is wanted": Fault(
        "prompt: a cat", "prompt: a cat\n    input_image: cup.png", "11:18", ("'cup.png'", "text_to_image allows none")
    ),
    "missing picture": Fault("cup.png", "cap.png", "9:18", ("there is no file 'cap.png'", "Check the path"), EDIT),
    "folder for a picture": Fault("cup.png", ".", "9:18", ("there is no file '.'",), EDIT),
    "path with a null": Fault("cup.png", '"a\\0.png"', "9:18", (r"there is no file 'a\x00.png'",), EDIT),
    "text for a picture": Fault("cup.png", "good.yaml", "9:18", ("'good.yaml' cannot be used",), EDIT),
    "unset picture variable": Fault(
        "${PICTURES}", "${NO_SUCH_VARIABLE}", "12:18", ("cases[1].input_image", "NO_SUCH_VARIABLE is not set"), EDIT
    ),
    # YAML
    "tag": Fault("a cat", "!!python/name:os.system x", "10:13", ("python/name:os.system", "not allowed")),
    "own tag": Fault("steps: 20", "steps: !count 20", "12:8", ("the tag '!count'", "Write the plain value.")),
    "unknown alias": Fault("a cat", "*cup", "10:13", ("the alias *cup", "Write the value itself.")),
    "alias inside itself": Fault("[42, 7]", "&all [*all]", "11:14", ("no finished value above is called &all",)),
    "open bracket": Fault("[42, 7]", "[42, 7", "12:6", ("not valid YAML", "Look at indentation")),
    "tab": Fault("    prompt: a cat", "\tprompt: a cat", "10:1", ("not valid YAML",)),
    "impossible escape": Fault("a cat", '"\\U99999999"', "10:5", ("an escape that is no character",)),
    "half a character": Fault("a cat", '"\\ud800"', "10:13", ("an escape that is no character",)),
    "control character": Fault("a cat", "a \x07cat", "10:15", ("a control character",)),
    "older YAML": Fault("name: good", "%YAML 1.1\n---\nname: good", "2:1", ("YAML 1.1", "allowed is YAML 1.2")),
    "second document": Fault("24", "", "25:1", ("a second document",), GOOD + "---\na: 24\n"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_refused_with_its_place_and_words(folder: Path, fault: Fault) -> None:
    assert fault.old in fault.text
    lines = refusal(write(folder, fault.text.replace(fault.old, fault.new, 1)))
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"{fault.place}: ")
    for words in fault.words:
        assert words in lines[0]


@pytest.mark.parametrize("text", [GOOD, EDIT, DUAL], ids=["text_to_image", "image_editing", "dual_ratio"])
def test_what_the_faults_are_planted_in_loads(folder: Path, text: str) -> None:
    assert scenario.load(write(folder, text)).scenario.name == "good"


FILES: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "empty": (b"", ("1:1: the file is empty", "scenarios/tiny-t2i.yaml")),
    "comments only": (b"# nothing\n", ("the file is empty",)),
    "null": (b"---\n", ("the file is empty",)),
    "list": (b"- a\n- b\n", ("1:1: found a list of 2; allowed is a mapping",)),
    "text": (b"hello\n", ("1:1: found 'hello' (a text)",)),
    "Latin-1": (
        b"name: good\nsummary: caf\xe9\n",
        ("2:1: not UTF-8 text: byte 0xe9 at offset 23", "Save the file as UTF-8"),
    ),
    "UTF-16": ("name: good\n".encode("utf-16"), ("not UTF-8 text",)),
    "too large": (b"#" * 1_000_001, ("larger than 1000000 bytes", "split it")),
    "too deep": (b"a: " + b"[" * 500_000, ("nested deeper than 16 levels",)),
    "too many values": (b"a: [" + b"1," * 40_000 + b"1]", ("more than 30000 values",)),
}


@pytest.mark.parametrize(("data", "words"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_scenario_is_refused(folder: Path, data: bytes, words: tuple[str, ...]) -> None:
    lines = refusal(write(folder, data))
    assert len(lines) == 1
    assert all(word in lines[0] for word in words)


def test_a_path_that_is_no_file_is_refused_with_the_nearest_name(folder: Path) -> None:
    write(folder, GOOD)
    assert "there is no such file. Did you mean" in refusal(folder / "goood.yaml")[0]
    assert "there is no such file. Check" in refusal(folder / "nowhere" / "good.yaml")[0]
    assert "not a regular file" in refusal(folder)[0]
    with pytest.raises(ScenarioError, match=r"cannot be read|no such file"):
        scenario.load(folder / ("x" * 5000))


def test_all_problems_come_at_once_sorted_by_place(folder: Path) -> None:
    text = GOOD.replace("steps: 20", "stesp: 20").replace("name: good", "name: bad").replace("equals: 1", "equals: '1'")
    text = (
        text.replace("metric: identical", "metric: identicle").replace("id: two", "id: one").replace("[42, 7]", "[-1]")
    )
    lines = refusal(write(folder, text))
    assert [line.split(":")[0] for line in lines] == ["1", "9", "11", "12", "23"]
    lines = refusal(write(folder, text.replace("equals: '1'", "equals: 1")))
    assert [line.split(":")[0] for line in lines] == ["1", "9", "11", "12", "21"]


def test_a_flood_of_problems_is_cut(folder: Path) -> None:
    lines = refusal(write(folder, GOOD + "".join(f"k{index}: 1\n" for index in range(80))))
    assert len(lines) == 51
    assert "30 more problems" in lines[-1]


def test_an_alias_bomb_is_refused_before_it_goes_off(folder: Path) -> None:
    levels = "abcdefghijklm"
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in pairwise(levels)
    )
    (line,) = refusal(write(folder, bomb))  # ten million million values would never end
    assert "more than 30000 values" in line
    assert "aliases of aliases" in line


def test_a_chain_of_aliases_cannot_nest_deeper_than_brackets(folder: Path) -> None:
    chain = "k0: &k0 [x]\n" + "".join(f"k{index}: &k{index} [*k{index - 1}]\n" for index in range(1, 40))
    assert "nested deeper than 16 levels" in refusal(write(folder, chain))[0]


def test_a_damaged_picture_is_refused_with_its_place(folder: Path) -> None:
    whole = (folder / "cup.png").read_bytes()
    (folder / "cup.png").write_bytes(whole[: len(whole) // 2])
    (line,) = refusal(write(folder, EDIT))
    assert line.startswith("9:18: cases[0].input_image: 'cup.png' cannot be used: ")


def test_an_empty_variable_counts_as_unset(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTURES", "")
    assert "PICTURES is empty" in refusal(write(folder, EDIT))[0]


def test_a_metric_is_refused_on_a_subject_it_is_not_defined_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class PictureOnly:
        SUBJECTS = ("image",)

    monkeypatch.setattr(plugins, "load", lambda *_: PictureOnly)
    (line,) = refusal(write(folder, GOOD.replace("metric: identical", "metric: identical\n    subject: float_image")))
    assert line.startswith("22:14: limits[0].subject: found 'float_image'")
    assert "allowed is image." in line


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(key=st.text(st.characters(exclude_categories=["Cs"]), max_size=30), data=st.data())
def test_a_random_unknown_key_is_always_refused(folder: Path, key: str, data: st.DataObject) -> None:
    known, before = data.draw(
        st.sampled_from([(set(Scenario.model_fields), "seeds:"), (set(Arm.model_fields), "    noise:")])
    )
    assume(key not in known)
    indent = " " * (len(before) - len(before.lstrip()))
    text = GOOD.replace(before, f"{indent}{json.dumps(key)}: 1\n{before}", 1)
    lines = refusal(write(folder, text))
    assert len(lines) == 1
    assert "is unknown" in lines[0]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    cut=st.tuples(st.integers(0, len(EDIT)), st.integers(0, 20)),
    put=st.one_of(
        st.text(max_size=6), st.sampled_from(["&a ", "*a", "{", "]", "? ", "!x ", '"\\U99999999"', "---\n", "|"])
    ),
)
def test_a_damaged_file_never_ends_in_another_error(folder: Path, cut: tuple[int, int], put: str) -> None:
    start, length = cut
    path = write(folder, (EDIT[:start] + put + EDIT[start + length :]).encode("utf-8", "surrogatepass"))
    message = ""
    try:
        scenario.load(path)
    except ScenarioError as error:
        message = str(error)
    assert all(line.startswith(f"{path}:") for line in message.splitlines())


# --- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [("010", 10), ("0o10", 8), ("0x10", 16), ("+7", 7)],
)
def test_whole_numbers_follow_yaml_1_2(folder: Path, written: str, read: int) -> None:
    assert scenario.load(write(folder, GOOD.replace("steps: 20", f"steps: {written}"))).scenario.steps == read


@pytest.mark.parametrize(("written", "read"), [("1e1", 10.0), ("7", 7.0), (".5", 0.5), ("3.", 3.0), ("0", 0.0)])
def test_numbers_follow_yaml_1_2(folder: Path, written: str, read: float) -> None:
    loaded = scenario.load(write(folder, GOOD.replace("steps: 20", f"guidance_scale: {written}")))
    assert loaded.scenario.guidance_scale == read


def test_an_infinite_limit_is_a_number(folder: Path) -> None:
    loaded = scenario.load(write(folder, GOOD.replace("equals: 1", "at_least: .inf")))
    assert loaded.scenario.limits[0].at_least == float("inf")


@pytest.mark.parametrize(
    "word", ["no", "yes", "on", "off", "y", "2024-01-01", "12:30:45", "1_000", "0b1", "=", "${HOME}"]
)
def test_words_that_older_yaml_reads_otherwise_stay_texts(folder: Path, word: str) -> None:
    loaded = scenario.load(write(folder, GOOD.replace("a cat", word)))
    assert loaded.scenario.cases[1].prompt == word


def test_a_character_escaped_as_in_json_is_read(folder: Path) -> None:
    loaded = scenario.load(write(folder, GOOD.replace("a cat", json.dumps("a 🐈"))))
    assert loaded.scenario.cases[1].prompt == "a 🐈"


def test_a_byte_order_mark_and_windows_line_ends_are_read(folder: Path) -> None:
    plain = scenario.load(write(folder, GOOD)).scenario
    assert scenario.load(write(folder, b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())).scenario == plain


def test_an_anchor_may_be_used_a_few_times(folder: Path) -> None:
    loaded = scenario.load(write(folder, GOOD.replace("a cup", "&cup a cup").replace("a cat", "*cup")))
    assert [case.prompt for case in loaded.scenario.cases] == ["a cup", "a cup"]


def test_variables_are_expanded_beside_the_scenario_never_in_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS", "/models")
    loaded = scenario.load(write(folder, EDIT.replace("builtin:tiny-deepgen", "${MODELS}/deepgen")))
    assert loaded.scenario.model.source == "${MODELS}/deepgen"
    assert loaded.model_source == "/models/deepgen"
    assert loaded.input_images == {"one": (folder / "cup.png").resolve(), "two": (folder / "cat.png").resolve()}
    assert loaded.scenario.cases[1].input_image == "${PICTURES}/cat.png"


def test_the_digest_depends_on_the_question_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scenario.load(write(folder, EDIT))
    elsewhere = folder / "elsewhere"
    shutil.copytree(folder, elsewhere, ignore=shutil.ignore_patterns("elsewhere"))
    monkeypatch.setenv("PICTURES", str(elsewhere))
    monkeypatch.chdir(elsewhere)
    second = scenario.load(Path("good.yaml"))
    assert second.digest == first.digest
    assert second.path == elsewhere / "good.yaml"
    assert second.input_images["two"] == (elsewhere / "cat.png").resolve()
    commented = scenario.load(write(folder, "# why\n" + EDIT))
    assert commented.digest == first.digest
    other = scenario.load(write(folder, EDIT.replace("a cat", "a dog")))
    assert other.digest != first.digest


def test_a_key_that_is_left_out_makes_no_other_question_and_one_that_is_there_does(folder: Path) -> None:
    plain = scenario.load(write(folder, GOOD))
    named = scenario.load(write(folder, GOOD + "differs_in: {model: Another revision on purpose.}\n"))
    old = plain.scenario.model_dump(
        mode="json",
        exclude={"translations", "differs_in", "threads", "formats", "arguments", "pictures_per_case", "frames"},
    )
    for key in ("options", "load"):
        del old["model"][key]
    of_arms = ("threads", "against", "arguments", "model", "load", "options", "command", "environment", "python")
    for part in (*old["arms"], *old["cases"]):
        for key in (*of_arms, "expect", "width", "height", "pictures_per_case"):
            part.pop(key, None)
    assert plain.digest == json_digest(old), "as before there were these keys"
    assert named.digest != plain.digest
    assert scenario.plan(plain, arm(plain, "portable")).differs_in == {}
    assert scenario.plan(named, arm(named, "portable")).differs_in == {"model": "Another revision on purpose."}


# --- a scenario's own words in other languages -----------------------------------------------------------------------

TRANSLATED = """\
waivers:
  - scope: repeat
    reason: Known; being mended.
    owner: Ann
    expires: 2026-12-31
translations:
  zh:
    Is it so?: 是否如此
    ? >-
      Same device,
      same bytes.
    : 同一设备，相同字节。
    Known; being mended.: 已知；正在修复。
"""


def test_a_scenario_says_its_own_words_in_the_spoken_language(folder: Path) -> None:
    asked = scenario.load(write(folder, GOOD + TRANSLATED)).scenario
    waived = recorded("{key}: Waived by {owner}: {reason!s}", key="sky", owner="Ann", reason="Known; being mended.")
    messages = [*asked.prose, waived, "nothing of its own"]
    assert [scenario.own_words(asked, each) for each in messages] == messages
    with spoken("zh"):
        said = [scenario.own_words(asked, each) for each in messages]
        untranslated = asked.model_copy(update={"translations": {}})
        assert [scenario.own_words(untranslated, each) for each in messages] == messages
    assert said[:3] == ["是否如此", "同一设备，相同字节。", "已知；正在修复。"]
    assert said[3:] == ["sky: Waived by Ann: 已知；正在修复。", "nothing of its own"]


def test_the_reason_of_a_difference_on_purpose_is_translated_in_the_midst_of_a_sentence(folder: Path) -> None:
    text = (
        "differs_in: {model: Another revision on purpose.}\n"
        "translations: {zh: {Another revision on purpose.: 有意使用另一修订版。}}\n"
    )
    asked = scenario.load(write(folder, GOOD + text)).scenario
    message = models.on_purpose(
        ModelDifference(actual="0" * 64, expected="1" * 64, files=[FileDifference(name="vae/config.json", keys=[])]),
        "Another revision on purpose.",
    )
    with spoken("zh"):
        assert (
            scenario.own_words(asked, message) == "两侧模型有意不同（有意使用另一修订版。）：vae/config.json 的字节不同"
        )


def test_a_translation_does_not_make_another_question(folder: Path) -> None:
    plain = GOOD + TRANSLATED.partition("translations")[0]
    before, after = (scenario.load(write(folder, text)) for text in (plain, GOOD + TRANSLATED))
    assert before.scenario != after.scenario
    assert before.digest == after.digest == after.scenario.digest
    plans = [scenario.plan(each, each.scenario.arms[0]) for each in (before, after)]
    assert plans[0].digest == plans[1].digest
    edited = scenario.load(write(folder, (GOOD + TRANSLATED).replace("Is it so?", "Is it?")))
    assert edited.digest != before.digest


@pytest.mark.parametrize(
    ("before", "after", "place", "words"),
    [
        ("  zh:", "  zg:", "31:3", ("translations.zg", "no language is called 'zg'", "There are: en, zh")),
        ("  zh:", "  中文:", "31:3", ("translations.'中文'", "no language is called")),
        ("Is it so?:", "Is it thus?:", "32:5", ("does not say", "Did you mean 'Is it so?'?")),
        ("Is it so?:", "a cup:", "32:5", ("found 'a cup'", "allowed are its summary and the reasons", "or remove it")),
        ("是否如此", "' '", "32:16", ("found only spaces",)),
        ("是否如此", "''", "32:16", ("translations.zh", "found an empty text", "a text that is not empty")),
        ("是否如此", "[a]", "32:16", ("translations.zh", "a list of 1")),
    ],
)
def test_a_translation_of_nothing_or_into_nothing_is_refused(
    folder: Path, before: str, after: str, place: str, words: tuple[str, ...]
) -> None:
    (line,) = refusal(write(folder, GOOD + TRANSLATED.replace(before, after)))
    assert line.startswith(f"{place}: "), line
    assert all(word in line for word in words), line


def test_translations_that_are_no_mapping_are_refused(folder: Path) -> None:
    (line,) = refusal(write(folder, GOOD + "translations: [zh]\n"))
    assert "translations: found a list of 1" in line


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_scenario_speaks_every_language(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPGEN_MODEL", "/models/DeepGen-1.0-diffusers")
    asked = scenario.load(path).scenario
    for code in set(languages()) - {"en"}:
        with spoken(code):
            assert [text for text in asked.prose if scenario.own_words(asked, text) == text] == []


# --- what is shipped -------------------------------------------------------------------------------------------------


def test_five_capabilities_are_shipped_twice() -> None:
    kinds = ("t2i", "edit", "reasoning-t2i", "reasoning-edit", "text")
    assert {path.stem for path in SHIPPED} >= {f"{model}-{kind}" for model in ("tiny", "deepgen") for kind in kinds}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_scenario_loads_and_fits_the_schema(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ruamel.yaml import YAML

    monkeypatch.setenv("DEEPGEN_MODEL", "/models/DeepGen-1.0-diffusers")
    loaded = scenario.load(path)
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert len(loaded.scenario.cases) >= (1 if "quick" in loaded.scenario.tags else 2)
    plans = [scenario.plan(loaded, arm) for arm in loaded.scenario.arms]
    compared = [plan for plan in plans if plan.arm.against != []]
    modes = {(plan.noise, plan.switches) for plan in compared}
    if any(plan.arm.role is Role.REFERENCE for plan in plans):
        assert modes == {(NoiseMode.PORTABLE, SwitchMode.DETERMINISTIC)}, "what another device could not repeat"
        on_cpu = all(plan.arm.device == "cpu" for plan in plans)
        if not on_cpu and not any(plan.arm.baseline for plan in plans):  # on an NPU host a CPU reference has two forms
            assert {plan.arm.npu_ops for plan in plans} == {None, NpuOps.REFERENCE, NpuOps.HIDDEN}
    else:
        assert modes == {
            (NoiseMode.PORTABLE, SwitchMode.DETERMINISTIC),
            (NoiseMode.DEVICE, SwitchMode.AS_SHIPPED),
        }
    jsonschema.Draft202012Validator(scenario.schema()).validate(YAML(typ="safe", pure=True).load(path))


def test_a_shipped_scenario_on_real_weights_says_which_variable_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPGEN_MODEL", raising=False)
    (line,) = refusal(ROOT / "scenarios" / "deepgen-t2i.yaml")
    assert "DEEPGEN_MODEL is not set" in line
    assert "export DEEPGEN_MODEL=" in line


def test_every_input_picture_has_its_source_named() -> None:
    named = (ROOT / "scenarios" / "inputs" / "SOURCES.md").read_text(encoding="utf-8")
    pictures = sorted((ROOT / "scenarios" / "inputs").glob("*.png"))
    assert pictures
    for picture in pictures:
        assert f"`{picture.name}`" in named
        assert max(images.read_input_picture(picture).size) <= 512


# --- the schema ------------------------------------------------------------------------------------------------------


def test_the_schema_file_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert schema_file.main([str(ROOT / "docs" / "scenario.schema.json"), "--check"]) == 0
    assert capsys.readouterr().err == ""


def test_the_check_of_the_schema_file_can_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "scenario.schema.json"
    assert schema_file.main([str(path), "--check"]) == 1
    assert schema_file.main([str(path)]) == 0
    assert schema_file.main([str(path), "--check"]) == 0
    path.write_text(path.read_text(encoding="utf-8").replace("16384", "16385"), encoding="utf-8")
    assert schema_file.main([str(path), "--check"]) == 1
    assert "python -m harness.scenario" in capsys.readouterr().err


def good_data() -> dict[str, Any]:
    return {
        "name": "good",
        "summary": "Is it so?",
        "task": "text_to_image",
        "model": {"source": "builtin:tiny-deepgen"},
        "cases": [{"id": "one", "prompt": "a cup"}],
        "seeds": [42],
        "limits": [{"metric": "mse", "scope": "repeat", "at_most": 0, "reason": "Same bytes."}],
    }


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.update(stesp=1),
        lambda data: data.update(steps="20"),
        lambda data: data.update(width=50_000),
        lambda data: data.update(seeds=[1, 1]),
        lambda data: data.update(schema_version=2),
        lambda data: data["limits"][0].pop("reason"),
        lambda data: data["limits"][0].pop("at_most"),
        lambda data: data["limits"][0].update(equals=1),
        lambda data: data["cases"][0].update(id="../one"),
        lambda data: data.update(differs_in={"modell": "Another revision on purpose."}),
        lambda data: data.update(differs_in={"model": "ok"}),
    ],
)
def test_the_schema_refuses_what_an_editor_can_see(spoil: Callable[[dict[str, Any]], object]) -> None:
    schema = scenario.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    data = good_data()
    validator.validate(data)
    spoil(data)
    assert not validator.is_valid(data)


def test_every_field_of_the_schema_has_a_description() -> None:
    schema = scenario.schema()
    objects = [schema, *(each for each in schema["$defs"].values() if each.get("type") == "object")]
    for each in objects:
        for name, field in each["properties"].items():
            assert "description" in field, name


# --- the plan --------------------------------------------------------------------------------------------------------


@pytest.fixture
def loaded(folder: Path) -> scenario.LoadedScenario:
    text = EDIT.replace("limits:", "  - name: cpu\n    role: reference\n    device: cpu\n    dtype: float32\nlimits:")
    text += "  - metric: mse\n    scope: reference\n    at_most: 4\n    reason: Two levels of rounding.\n"
    return scenario.load(write(folder, text))


def arm(loaded: scenario.LoadedScenario, name: str) -> Arm:
    return next(each for each in loaded.scenario.arms if each.name == name)


def test_a_plan_fills_in_everything_the_arm_leaves_open(loaded: scenario.LoadedScenario) -> None:
    made = scenario.plan(loaded, arm(loaded, "as-shipped"))
    assert made.arm == Arm(
        name="as-shipped", dtype="bfloat16", noise=NoiseMode.DEVICE, switches=SwitchMode.DETERMINISTIC, device="auto"
    )
    assert made.scenario_digest == loaded.digest
    assert (made.width, made.height, made.steps, made.guidance_scale) == (64, 512, 20, 4.0)
    assert [str(key) for key in made.keys] == ["one, seed 42", "one, seed 7", "two, seed 42", "two, seed 7"]
    assert (made.repeats.in_process, made.repeats.processes) == (3, 2)
    assert made.limits == loaded.scenario.limits
    assert made.model.source == "builtin:tiny-deepgen"


def test_an_arm_with_repeats_of_its_own_keeps_them(loaded: scenario.LoadedScenario) -> None:
    once = arm(loaded, "cpu").model_copy(update={"repeats": Repeats(in_process=1, processes=1)})
    made = scenario.plan(loaded, once, repeats=9)
    assert (made.repeats.in_process, made.repeats.processes) == (1, 1)
    assert scenario.plan(loaded, arm(loaded, "cpu"), repeats=9).repeats.in_process == 9


def test_the_dtype_of_an_arm_reaches_the_model(loaded: scenario.LoadedScenario) -> None:
    made = scenario.plan(loaded, arm(loaded, "cpu"))
    assert made.model.dtype == made.arm.dtype == "float32"
    assert loaded.scenario.model.dtype == "bfloat16"


def test_a_device_on_the_command_line_moves_candidates_only(loaded: scenario.LoadedScenario) -> None:
    assert scenario.plan(loaded, arm(loaded, "portable"), device="cpu:0").arm.device == "cpu:0"
    reference = scenario.plan(loaded, arm(loaded, "cpu"), device="cpu:0").arm
    assert (reference.role, reference.device) == (Role.REFERENCE, "cpu")


@pytest.mark.parametrize(
    ("device", "asked", "planned"),
    [
        ("cpu", None, "hidden"),
        ("cpu", "reference", "reference"),
        ("cpu:0", "hidden", "hidden"),
        ("npu", None, None),
        ("auto", None, None),
    ],
)
def test_on_the_cpu_the_plan_says_how_fused_operators_are_answered(
    loaded: scenario.LoadedScenario, device: str, asked: Any, planned: str | None
) -> None:
    wanted = arm(loaded, "cpu").model_copy(update={"device": device, "npu_ops": asked})
    assert scenario.plan(loaded, wanted).arm.npu_ops == planned
    moved = scenario.plan(loaded, arm(loaded, "portable"), device=device).arm
    assert moved.npu_ops == ("hidden" if device.startswith("cpu") else None)


def test_selections_keep_the_order_of_the_scenario(loaded: scenario.LoadedScenario) -> None:
    made = scenario.plan(
        loaded, arm(loaded, "portable"), cases=["two", "one", "two"], seeds=[7], repeats=1, processes=5
    )
    assert [str(key) for key in made.keys] == ["one, seed 7", "two, seed 7"]
    assert (made.repeats.in_process, made.repeats.processes) == (1, 5)


def test_input_digests_cover_the_pixels_as_they_are_edited(loaded: scenario.LoadedScenario, folder: Path) -> None:
    made = scenario.plan(loaded, arm(loaded, "portable"), cases=["two"])
    assert made.input_digests == {"two": images.array_digest(np.full((8, 8, 3), 7, np.uint8))}
    Image.new("RGB", (8, 8), (7, 7, 7)).save(folder / "cat.png", compress_level=0)
    assert scenario.plan(loaded, arm(loaded, "portable"), cases=["two"]).digest == made.digest
    Image.new("RGB", (8, 8), (7, 7, 8)).save(folder / "cat.png")
    assert scenario.plan(loaded, arm(loaded, "portable"), cases=["two"]).digest != made.digest


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"cases": ["won"]}, UnknownName, "no case of good is called 'won'. Did you mean"),
        ({"cases": []}, NothingSelected, "no case of good is selected. There are: one, two."),
        ({"seeds": [42, 8]}, NothingSelected, "the seed 8 is not in good. There are: 42, 7."),
        ({"seeds": []}, NothingSelected, "no seed of good is selected"),
        ({"repeats": 0}, UsageError, "repeats.in_process: found the number 0; allowed is a whole number from 1"),
        ({"processes": 1001}, UsageError, "repeats.processes: found the number 1001"),
        ({"device": "gpux"}, UnknownName, "no backend is called 'gpux'"),
        ({"device": "cpu:one"}, UsageError, "found 'cpu:one'; allowed after the colon is an index"),
    ],
)
def test_a_selection_that_cannot_be_is_refused(
    loaded: scenario.LoadedScenario, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        scenario.plan(loaded, arm(loaded, "portable"), **options)
    assert words in str(caught.value)


# --- cost ------------------------------------------------------------------------------------------------------------


def test_loading_a_scenario_imports_neither_torch_nor_diffusers() -> None:
    path = ROOT / "scenarios" / "tiny-edit.yaml"
    program = (
        "import sys, pathlib; from harness import scenario; loaded = scenario.load(pathlib.Path(sys.argv[1])); "
        "scenario.plan(loaded, loaded.scenario.arms[0]); "
        "print(sorted({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
