"""Models that differ: what bars a comparison, what a scenario allows, and what is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.compare.comparator import compare_runs
from harness.records import Arm, Comparison, NoiseMode, Schedule, Scope, Status, from_json, to_json
from tests.compare.stored_runs import Made, judge, letter, limit, model_identity, model_of, single

if TYPE_CHECKING:
    from pathlib import Path

    from harness.compare.comparator import StoredRun

MEANT: dict[str, Any] = {"differs_in": {"model": "Quantised weights against the original."}}
PLAIN: dict[str, Any] = {"vae/config.json": {"shift": 3, "steps": 4}, "tokenizer/merges.txt": "a b"}
OTHER: dict[str, Any] = {"vae/config.json": {"shift": 1, "steps": 4}, "tokenizer/merges.txt": "a b"}
LIMITS = [limit("max_abs_diff", Scope.REFERENCE, at_most=0)]


def against(actual: StoredRun, expected: StoredRun) -> Comparison:
    return judge(compare_runs(actual, expected, limits=LIMITS, base=actual.folder.parent))


def run(folder: Path, files: dict[str, Any], one: Made | None = None, **planned: Any) -> StoredRun:
    return single(folder, one, model=model_of(files), planned=planned)


def test_another_model_is_refused_by_file_and_key(tmp_path: Path) -> None:
    found = against(run(tmp_path / "npu", OTHER), run(tmp_path / "cpu", PLAIN))
    assert (found.outcome, found.pairs) == (Status.NOT_COMPARABLE, [])
    assert "differs_in of the scenario, with model and a reason" in found.message
    assert "vae/config.json has other values of shift" in found.message
    assert "merges" not in found.message
    assert from_json(Comparison, to_json(found), place="here") == found


def test_where_the_scenario_allows_it_the_two_are_judged_as_ever(tmp_path: Path) -> None:
    expected = run(tmp_path / "cpu", PLAIN)
    same, other = (run(tmp_path / name.lower(), OTHER, letter(name), **MEANT) for name in ("A", "B"))
    assert against(same, expected).outcome is Status.IDENTICAL
    found = against(other, expected)
    assert found.outcome is Status.DRIFT
    words = "the models differ on purpose (Quantised weights against the original.): vae/config.json has other values"
    assert words in found.message
    assert (found.differences, found.notices) == ([], [])


def test_the_actual_side_s_scenario_decides(tmp_path: Path) -> None:
    actual, expected = run(tmp_path / "npu", OTHER), run(tmp_path / "cpu", PLAIN, **MEANT)
    assert against(actual, expected).outcome is Status.NOT_COMPARABLE
    assert against(expected, actual).outcome is Status.IDENTICAL


def test_equal_models_that_may_differ_are_noticed(tmp_path: Path) -> None:
    found = against(run(tmp_path / "npu", PLAIN, **MEANT), run(tmp_path / "cpu", PLAIN))
    assert found.outcome is Status.IDENTICAL
    assert found.notices == ["differs_in had no effect here: no difference of the two sides' models is known."]
    assert "on purpose" not in found.message
    without = against(run(tmp_path / "gpu", PLAIN), run(tmp_path / "other", PLAIN))
    assert (without.notices, without.notes, without.model) == ([], [], None)


@pytest.mark.parametrize(
    ("one", "planned", "says"),
    [
        (Made(noise="another noise"), {}, "the noise differs"),
        (Made(hidden_draws=("torch.randn",)), {}, "drew noise that is not known"),
        (Made(), {"steps": 4}, "steps: actual 4, expected 3"),
        (Made(), {"arm": Arm(name="own", noise=NoiseMode.DEVICE)}, "drew its noise on its own device"),
    ],
)
def test_nothing_but_the_model_is_allowed(one: Made, planned: dict[str, Any], says: str, tmp_path: Path) -> None:
    found = against(run(tmp_path / "npu", OTHER, one, **MEANT, **planned), run(tmp_path / "cpu", PLAIN))
    assert found.outcome is Status.NOT_COMPARABLE
    assert says in found.message
    (difference,) = found.differences
    assert says in difference


def test_the_scheduler_s_table_belongs_to_the_model_and_is_told(tmp_path: Path) -> None:
    table = Schedule(timesteps=[3.0, 2.0, 1.0], sigmas=[1.0, 0.5, 0.0])
    moved = table.model_copy(update={"sigmas": [2.0, 0.5, 0.0]})
    expected = run(tmp_path / "cpu", PLAIN, Made(schedule=table))
    found = against(run(tmp_path / "npu", OTHER, Made(schedule=moved), **MEANT), expected)
    assert found.outcome is Status.IDENTICAL
    assert "the scheduler's table differs in its noise levels" in found.message
    same_model = against(run(tmp_path / "gpu", PLAIN, Made(schedule=moved), **MEANT), expected)
    assert same_model.outcome is Status.NOT_COMPARABLE, "one model has one table"


def test_a_record_from_before_is_allowed_too_and_says_what_it_knows(tmp_path: Path) -> None:
    expected = single(tmp_path / "cpu", model=model_identity("other"))
    found = against(run(tmp_path / "npu", PLAIN, **MEANT), expected)
    assert found.outcome is Status.IDENTICAL
    assert "over all files, which is all that one of the two records knows" in found.message


def test_a_sentence_names_a_few_files_and_keys_and_the_record_all(tmp_path: Path) -> None:
    files = {f"{name}.json": {str(number): name for number in range(9)} for name in "abcdef"}
    found = against(run(tmp_path / "npu", {**files, **PLAIN}), run(tmp_path / "cpu", PLAIN))
    assert "the expected side has no c.json; 3 more files differ" in found.message
    assert found.model is not None
    assert len(found.model.files) == 6
    other = {name: dict.fromkeys(value, "other") for name, value in files.items()}
    found = against(run(tmp_path / "gpu", other), run(tmp_path / "card", files))
    assert "a.json has other values of 0, 1, 2, 3 and 5 more keys" in found.message
    assert found.model is not None
    assert len(found.model.files[0].keys) == 9


def test_models_of_images_that_something_else_made_are_not_looked_at(tmp_path: Path) -> None:
    outside: dict[str, Any] = {"arm": Arm(name="outside", noise=NoiseMode.UNVERIFIED)}
    found = against(run(tmp_path / "npu", OTHER, **outside), run(tmp_path / "cpu", PLAIN))
    assert (found.outcome, found.model) == (Status.IDENTICAL, None)
