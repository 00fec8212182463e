"""Inputs that are nearly right work, or are refused in words; and a reader that breaks this is caught.

``nox -s fuzz -- COUNT SEED`` does this ten thousand times, with another seed each time.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from harness.errors import BaselineMissing, RecordError
from tests.fuzz import fuzzing
from tests.fuzz.inputs import SCENARIOS, Inputs, Kind, Place

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command_line import RunHarness

COUNT = 500
SEED = 20261128
FEWEST_READ = 0.02
COMMANDS = 2


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return Inputs(tmp_path_factory.mktemp("fuzz") / "stored")


def test_inputs_that_are_nearly_right_work_or_are_refused_in_words(inputs: Inputs, tmp_path: Path) -> None:
    outcomes = list(fuzzing.fuzz(inputs.kinds, tmp_path, count=COUNT, seed=SEED))
    assert [each for each in outcomes if each.fault] == []
    refused = Counter(each.kind for each in outcomes if each.refusal)
    drawn = Counter(each.kind for each in outcomes)
    assert all(refused[kind] > drawn[kind] / 2 for kind in inputs.kinds), "most inputs are wrong, or nothing is tried"
    assert COUNT - refused.total() > COUNT * FEWEST_READ, "some are right, or every reader just refuses all there is"


def test_an_input_that_is_right_is_read(inputs: Inputs, tmp_path: Path) -> None:
    whole = {
        "scenario": next(iter(SCENARIOS.values())).encode(),
        "run": (inputs.stored.run / "run.json").read_bytes(),
        "job": (inputs.stored.job / "job.json").read_bytes(),
        "pack": (inputs.stored.folder / "whole.zip").read_bytes(),
        "manifest": (inputs.stored.folder / "baselines" / inputs.stored.name / "manifest.json").read_bytes(),
        "baseline": (inputs.stored.folder / "baselines" / inputs.stored.name / "run.json").read_bytes(),
    }
    for kind, data in whole.items():
        place = Place(tmp_path / kind)
        place.folder.mkdir()
        assert fuzzing.read(inputs.kinds[kind], place, data) == ("", ""), kind


@pytest.mark.parametrize("kind", ["scenario", "run", "comparison", "manifest", "pack"])
def test_the_command_line_ends_as_the_function_does(
    kind: str, inputs: Inputs, tmp_path: Path, run_harness: RunHarness
) -> None:
    wanted = inputs.kinds[kind]
    for number in range(COMMANDS):
        place = Place(tmp_path / f"{kind}-{number}")
        place.folder.mkdir()
        data = next(
            data
            for turn in range(1000)
            if (data := wanted.make(Random(f"{number} {turn}")))  # noqa: S311 - inputs, not secrets
            and fuzzing.read(wanted, Place(fresh(tmp_path / "tried" / f"{number}-{turn}")), data)[0]
        )
        path = wanted.put(place, data)
        assert wanted.words is not None
        ended = run_harness(*wanted.words(place, path))
        assert ended.code in wanted.allowed, ended.err
        assert "internal error" not in ended.err
        assert "Traceback" not in ended.err + ended.out
        said = "".join((ended.err + ended.out).split())
        assert path.name in said or "stored/cpu" in said


def fresh(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


# --- the fuzzer is seen to fail --------------------------------------------------------------------------------------


def number_of(data: bytes) -> int:
    return int(json.loads(data)["number"])


def raises(error: Exception) -> Callable[[Place, Path], object]:
    def read(_: Place, path: Path) -> object:
        if number_of(path.read_bytes()) % 7 == 0:
            raise error
        raise RecordError(f"{path}: an honest refusal.")

    return read


def writes_outside(place: Place, path: Path) -> object:
    (place.folder.parent / "up.txt").write_text("outside", encoding="utf-8")
    raise RecordError(f"{path}: refused, but too late.")


def planted(read: Callable[[Place, Path], object]) -> dict[str, Kind]:
    def put(place: Place, data: bytes) -> Path:
        path = place.folder / "planted.json"
        path.write_bytes(data)
        return path

    return {"planted": Kind(make=lambda random: b'{"number": %d}' % random.randrange(1000), put=put, read=read)}


FAULTS: dict[str, tuple[Callable[[Place, Path], object], str]] = {
    "another exception": (raises(KeyError("planted")), "KeyError: 'planted'"),
    "an error of the system": (raises(OSError(22, "Invalid argument")), "Invalid argument"),
    "another exit code": (raises(BaselineMissing("planted.json is missing")), r"exit code 4, allowed are \(2,\)"),
    "no file named": (raises(RecordError("something is wrong")), r"does not name planted\.json"),
    "something written outside": (writes_outside, r"written outside: .*up\.txt"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_reader_that_breaks_a_promise_is_caught_and_its_input_drawn_again(fault: str, tmp_path: Path) -> None:
    read, says = FAULTS[fault]
    kinds = planted(read)
    outcomes = list(fuzzing.fuzz(kinds, tmp_path / "first", count=60, seed=1))
    failed = [each for each in outcomes if each.fault]
    assert failed
    assert all(re.search(says, each.fault) for each in failed)
    assert len(failed) < len(outcomes) or read is writes_outside, "the others are refused honestly"
    (again,) = fuzzing.fuzz(kinds, tmp_path / "again", count=1, seed=1, first=failed[0].number)
    assert again.fault
    kept = tmp_path / "first" / f"failed-1-{failed[0].number}"
    repeated = tmp_path / "again" / f"failed-1-{failed[0].number}"
    assert [path.read_bytes() for path in kept.rglob("planted.json")] == [
        path.read_bytes() for path in repeated.rglob("planted.json")
    ]


def test_what_fails_is_told_with_its_seed_and_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(name: str, error: Exception) -> tuple[int, str]:
        monkeypatch.setattr(fuzzing, "Inputs", lambda _: SimpleNamespace(kinds=planted(raises(error))))
        monkeypatch.setattr(fuzzing, "mkdtemp", lambda **_: str(fresh(tmp_path / name)))
        return fuzzing.main(["60", "1"]), capsys.readouterr().out

    code, said = told("faulty", KeyError("planted"))
    assert code == 1
    assert re.search(r"seed 1, input \d+ \(planted\): Traceback.*\n(.*\n)+repeat it: nox -s fuzz -- 1 1 \d+;", said)
    code, said = told("honest", RecordError("planted.json is refused"))
    assert (code, said.splitlines()[-1]) == (0, "60 inputs, seed 1: 0 failed")
    assert not (tmp_path / "honest").exists()
