"""What validate says of scenarios that are allowed and probably not meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.jobs.validate import warnings
from harness.records import Limit
from tests.compare.stored_runs import scenario

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_line import RunHarness, WriteScenario

ARMS = [{"name": "candidate"}, *({"name": name, "role": "reference"} for name in ("fp32", "gpu"))]


def limit(**changes: Any) -> dict[str, Any]:
    bound = {} if {"at_least", "equals"} & set(changes) else {"at_most": 40}
    return {"metric": "mse", "scope": "reference", "reason": "Only for this test.", **bound, **changes}


RATIO = limit(arm="fp32", ratio_to="gpu", at_most=2)
ELSEWHERE = "on other devices nothing judges mse"
NO_CAP = "judges in the place of the absolute limit"

JUDGED_EVERYWHERE: dict[str, list[dict[str, Any]]] = {
    "no limit by device": [limit()],
    "a base for all": [limit(), limit(device="npu"), limit(device="npu:Ascend910B")],
    "a base for all arms": [limit(), limit(device="npu", arm="fp32")],
    "a base for the arm": [limit(arm="fp32"), limit(device="npu", arm="fp32")],
}
UNJUDGED: dict[str, list[dict[str, Any]]] = {
    "no base": [limit(device="npu")],
    "a base for one kind of device": [limit(device="npu"), limit(device="npu:Ascend910B")],
    "a base for another arm": [limit(arm="gpu"), limit(device="npu", arm="fp32")],
    "a base on another subject": [limit(subject="float_image"), limit(device="npu")],
    "a base on another metric": [limit(metric="psnr_db", at_least=30), limit(device="npu")],
    "a base for repeats": [limit(scope="repeat"), limit(device="npu")],
    "a ratio beside it": [limit(device="npu", arm="fp32"), RATIO],
}
CAPPED: dict[str, list[dict[str, Any]]] = {
    "a cap": [limit(), RATIO],
    "a tighter cap": [limit(), limit(device="npu", at_most=20), RATIO],
    "a lower bound that is no closer": [limit(), limit(at_least=1), RATIO],
    "a cap as close": [limit(), limit(device="npu", at_least=1), limit(device="npu"), RATIO],
    "a closer cap": [limit(), limit(device="npu", at_least=1), limit(device="npu", arm="fp32"), RATIO],
    "a lower bound for another arm": [limit(), limit(arm="gpu", at_least=1), RATIO],
    "a lower bound on another device": [limit(), limit(device="cuda", at_least=1), {**RATIO, "device": "npu"}],
}
UNCAPPED: dict[str, list[dict[str, Any]]] = {
    "a lower bound by device": [limit(), limit(device="npu", at_least=1), RATIO],
    "a lower bound by arm": [limit(), limit(arm="fp32", at_least=1), RATIO],
    "a cap on another device": [limit(), limit(device="npu", at_least=1), limit(device="cuda"), RATIO],
    "a cap on one product": [limit(), limit(device="npu", at_least=1), limit(device="npu:Ascend910B"), RATIO],
    "a ratio on the product": [limit(), limit(device="npu", at_least=1), {**RATIO, "device": "npu:Ascend910B"}],
}


def said(limits: list[dict[str, Any]]) -> str:
    return "\n".join(warnings(scenario(limits=[Limit.model_validate(each) for each in limits])))


@pytest.mark.parametrize("limits", JUDGED_EVERYWHERE.values(), ids=JUDGED_EVERYWHERE)
def test_a_limit_by_device_with_another_for_all_is_nothing_to_say(limits: list[dict[str, Any]]) -> None:
    assert ELSEWHERE not in said(limits)


@pytest.mark.parametrize("limits", UNJUDGED.values(), ids=UNJUDGED)
def test_devices_that_no_limit_judges_are_told_once(limits: list[dict[str, Any]]) -> None:
    assert said(limits).count(ELSEWHERE) == 1


@pytest.mark.parametrize("limits", CAPPED.values(), ids=CAPPED)
def test_a_ratio_with_a_cap_in_force_is_nothing_to_say(limits: list[dict[str, Any]]) -> None:
    assert NO_CAP not in said(limits)


@pytest.mark.parametrize("limits", UNCAPPED.values(), ids=UNCAPPED)
def test_a_lower_bound_in_the_place_of_the_cap_of_a_ratio_is_told(limits: list[dict[str, Any]]) -> None:
    assert said(limits).count(NO_CAP) == 1


def test_warnings_are_printed_and_strict_makes_them_count(
    run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    identical = {"metric": "identical", "scope": "repeat", "equals": 1, "reason": "Only for this test."}
    path = write_scenario(limits=[{**identical, "device": "npu"}])
    ended = run_harness("validate", path)
    assert ended.code == 0, ended.err
    assert "warning: limits[0] (identical equals 1) holds for device npu only" in ended.out
    assert run_harness("validate", path, "--strict").code == 1
    assert run_harness("validate", write_scenario(limits=[identical]), "--strict").code == 0


UNSET = {"model": {"source": "${HARNESS_TEST_UNSET_MODEL}"}}


def test_every_file_is_reported_and_the_worst_decides(
    run_harness: RunHarness, write_scenario: WriteScenario, tmp_path: Path
) -> None:
    good, bad, missing = write_scenario(name="good"), write_scenario(name="bad", steps=0), tmp_path / "missing.yaml"
    ended = run_harness("validate", bad, missing, good)
    assert ended.code == 2
    assert f"{good}: ok" in ended.out
    assert "steps" in ended.err
    assert "missing.yaml" in ended.err
    assert ended.err.count("error: ") == 2
    assert run_harness("validate", good, good).code == 0


def test_a_variable_that_is_not_set_is_a_warning_and_everything_else_is_still_checked(
    run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    path = write_scenario(**UNSET)
    ended = run_harness("validate", path)
    assert ended.code == 0, ended.err
    assert "warning: model.source: the environment variable HARNESS_TEST_UNSET_MODEL is not set" in ended.out
    assert run_harness("validate", path, "--strict").code == 1
    assert run_harness("validate", path, "--strict", HARNESS_TEST_UNSET_MODEL="a/model").code == 0
    worse = run_harness("validate", write_scenario(**UNSET, steps=0))
    assert (worse.code, "steps" in worse.err) == (2, True)
    malformed = run_harness("validate", write_scenario(model={"source": "${HARNESS_TEST_UNSET_MODEL"}))
    assert (malformed.code, "allowed is ${NAME}" in malformed.err) == (2, True)


def test_a_run_still_needs_the_variable(run_harness: RunHarness, write_scenario: WriteScenario) -> None:
    ended = run_harness("run", write_scenario(**UNSET))
    assert (ended.code, "HARNESS_TEST_UNSET_MODEL is not set" in ended.err) == (2, True)


# --- texts with names in braces --------------------------------------------------------------------------------------


def words(*given: str, **more: Any) -> dict[str, Any]:
    return {"adapter": "command", "command": {"words": list(given), **more}}


TEMPLATES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "images, a misspelt name": (
        {"adapter": "images", "pictures": "{case}/{sede}.png"},
        ["model.pictures: ", "Did you mean 'seed'"],
    ),
    "images, no seed": (
        {"adapter": "images", "pictures": "{case}.png"},
        ["model.pictures: ", "does not name seed"],
    ),
    "images, another folder": (
        {"adapter": "images", "pictures": "../{case}/{seed}.png"},
        ["model.pictures: ", "leads out of the source"],
    ),
    "images, a lone brace": ({"adapter": "images", "pictures": "{case}/{seed.png"}, ["cannot be read"]),
    "command, a misspelt name": (
        words("x", "{promt}", "{seed}", "{output}"),
        ["model.command: ", "Did you mean 'prompt'"],
    ),
    "command, no seed": (words("x", "{prompt}", "{output}"), ["model.command: ", "is not told seed"]),
    "command, no output": (words("x", "{prompt}", "{seed}"), ["say once where the picture appears"]),
    "command, a misspelt name of the output": (
        words("x", "{prompt}", "{seed}", output="{sed}.png"),
        ["model.command: ", "Did you mean 'seed'"],
    ),
    "command, none": ({"adapter": "command"}, ["model.command: ", "needs `command:`"]),
}


@pytest.mark.parametrize("fault", TEMPLATES)
def test_a_template_that_no_run_could_use_is_refused_with_its_line(
    fault: str, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    model, says = TEMPLATES[fault]
    model = {"source": "nowhere", "trust_remote_code": False, **model}
    ended = run_harness("validate", write_scenario(model=model, arms=[{"name": "candidate", "device": "cpu"}]))
    assert ended.code == 2, ended.out
    assert "small.yaml:1:" in ended.err
    for each in says:
        assert each in " ".join(ended.err.split())


@pytest.mark.parametrize("model", [{"adapter": "images"}, words("x", "{prompt}", "{seed}", "{output}")])
def test_a_template_is_no_question_of_what_is_there(
    model: dict[str, Any], run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    once = {"in_process": 1, "processes": 1}
    path = write_scenario(
        model={"source": "nowhere", **model}, arms=[{"name": "candidate", "device": "cpu"}], repeats=once
    )
    assert run_harness("validate", path).code == 0
