"""Arms that are run in two ways: declared, they are compared and told apart; not declared, nothing is compared."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from harness.compare import comparability
from harness.errors import ScenarioError
from harness.records import Arm, CommandRef, Load, Lora, ModelChange, ModelRef, Scenario
from harness.scenario import load, plan
from tests.command_line import PLANTED, read_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command_line import Ended, RunHarness, WriteScenario

SCRIPT = """
import os, random, sys
from PIL import Image

options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
draw = random.Random(int(options["--seed"]))
add = int(options.get("--cards", "1")) // 4 + int(os.environ.get("PORT_LEVELS", "0"))
size = (int(options["--width"]), int(options["--height"]))
values = bytes(draw.randrange(240) + add for _ in range(3 * size[0] * size[1]))
Image.frombytes("RGB", size, values).save(options["--output"])
"""
WORDS = ["{python}", "inference.py", "--prompt", "{prompt}", "--seed", "{seed}", "--width", "{width}"]
WORDS += ["--height", "{height}", "--device", "{device}", "--output", "{output}"]
LIMIT = {"metric": "psnr_db", "scope": "reference", "at_least": 40, "reason": "One level is not seen."}
REASON = "That is the question here."
REFERENCE = {"name": "one", "device": "cpu", "role": "reference"}


@pytest.fixture
def port(tmp_path: Path) -> Path:
    """A folder with a script whose image depends on the seed, and a little on how it is started."""
    folder = tmp_path / "port"
    folder.mkdir()
    (folder / "inference.py").write_text(SCRIPT, encoding="utf-8")
    return folder


def scenario(write: WriteScenario, *arms: dict[str, Any], declared: str = "", **changes: Any) -> Path:
    """One script and a reference arm, beside other arms; ``declared`` may differ."""
    words = changes.pop("words", WORDS)
    own: dict[str, Any] = {"differs_in": {declared: REASON}} if declared else {}
    return write(
        model={"adapter": "command", "source": "port", "command": {"words": words}},
        arms=[REFERENCE, *arms],
        limits=[LIMIT],
        repeats={"in_process": 1, "processes": 1},
        **own,
        **changes,
    )


FOUR = {"name": "four", "device": "cpu", "command": {"words": [*WORDS, "--cards", "4"]}}
WAYS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a command of its own": (FOUR, "command", 'words: actual ["--cards", "4"], expected []'),
    "a variable": (
        {"name": "loud", "device": "cpu", "environment": {"PORT_LEVELS": "1"}},
        "environment",
        'PORT_LEVELS: actual "1", expected default',
    ),
    "another source": (
        {"name": "copy", "device": "cpu", "model": {"source": "other"}},
        "model",
        'source: actual "other", expected "port"',
    ),
    "another interpreter": (
        {"name": "venv", "device": "cpu", "python": "venv/python"},
        "python",
        'python: actual "venv/python", expected default',
    ),
}


def interpreter(folder: Path) -> None:
    """Another interpreter, in a folder ``venv``."""
    python = folder / "venv" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)


@pytest.mark.parametrize("way", WAYS)
def test_a_way_that_is_declared_is_compared_and_told_and_one_that_is_not_bars(
    way: str, port: Path, write_scenario: WriteScenario, run_harness: RunHarness, jobs: Callable[[], list[Path]]
) -> None:
    arm, kind, said = WAYS[way]
    (port.parent / "other").mkdir()
    (port.parent / "other" / "inference.py").write_text(SCRIPT, encoding="utf-8")
    interpreter(port.parent)
    declared = scenario(write_scenario, arm, declared=kind)
    ended = run_harness("check", declared, "--allow-command")
    assert ended.code == 0, ended.out + ended.err
    [job] = jobs()
    compared = read_json(job / f"comparison-reference-{arm['name']}-against-one.json")
    assert compared["outcome"] in {"within_limits", "identical"}
    assert compared["differing"] == [kind]
    assert f"{kind} differs on purpose ({REASON}): {said}" in compared["notes"][0]
    page = (job / "report" / "report.md").read_text(encoding="utf-8")
    assert f"{kind} differs on purpose" in page

    undeclared = scenario(write_scenario, arm)
    ended = run_harness("check", undeclared, "--allow-command")
    barred = read_json(jobs()[-1] / f"comparison-reference-{arm['name']}-against-one.json")
    assert (barred["outcome"], barred["pairs"]) == ("not_comparable", [])
    assert f"{kind} differs, and nothing says that this is meant" in barred["message"]
    assert ended.code == 7


@pytest.fixture
def jobs(tmp_path: Path) -> Callable[[], list[Path]]:
    """Job folders, oldest first."""
    return lambda: sorted((tmp_path / "runs").iterdir())


def test_the_arms_name_may_stand_in_a_command(
    port: Path, write_scenario: WriteScenario, run_harness: RunHarness, only_job: Callable[[], Path]
) -> None:
    assert port.is_dir()
    arms = [{"name": "1", "device": "cpu", "role": "reference"}, {"name": "4", "device": "cpu"}]
    path = write_scenario(
        model={"adapter": "command", "source": "port", "command": {"words": [*WORDS, "--cards", "{arm}"]}},
        arms=arms,
        limits=[LIMIT],
        repeats={"in_process": 1, "processes": 1},
        differs_in={"command": REASON, "load": REASON},
    )
    ended = run_harness("check", path, "--allow-command")
    assert ended.code == 0, ended.err
    compared = read_json(only_job() / "comparison-reference-4-against-1.json")
    assert (compared["outcome"], compared["differing"]) == ("within_limits", ["command"])
    assert 'words: actual ["4"], expected ["1"]' in compared["notes"][0]
    assert "differs_in had no effect here: load is the same on both sides." in str(compared["notices"])


def test_a_variable_is_set_read_back_and_recorded(
    port: Path, write_scenario: WriteScenario, run_harness: RunHarness, only_job: Callable[[], Path]
) -> None:
    assert port.is_dir()
    path = scenario(write_scenario, WAYS["a variable"][0], declared="environment")
    assert run_harness("check", path, "--allow-command").code == 0
    switches = read_json(only_job() / "loud" / "run.json")["environment"]["switches"]
    [own] = [switch for switch in switches if switch["name"] == "PORT_LEVELS"]
    assert own == {"name": "PORT_LEVELS", "requested": "1", "effective": "1", "source": "scenario"}


def test_images_that_others_made_are_the_reference_of_a_command(
    port: Path, write_scenario: WriteScenario, run_harness: RunHarness, only_job: Callable[[], Path]
) -> None:
    goldens = port.parent / "goldens" / "circle"
    goldens.mkdir(parents=True)
    Image.effect_noise((64, 64), 60).convert("RGB").save(goldens / "42.png")
    golden = {"name": "golden", "device": "cpu", "role": "reference"}
    path = write_scenario(
        model={"adapter": "command", "source": "port", "command": {"words": WORDS}},
        arms=[{"name": "mine", "device": "cpu"}, {**golden, "model": {"adapter": "images", "source": "goldens"}}],
        limits=[{**LIMIT, "at_least": 1}],
        repeats={"in_process": 1, "processes": 1},
        differs_in={"model": "The goldens are files of the publisher.", "command": "The goldens need none."},
    )
    ended = run_harness("check", path, "--allow-command")
    assert ended.code == 0, ended.out + ended.err
    compared = read_json(only_job() / "comparison-reference-mine-against-golden.json")
    assert (compared["outcome"], compared["differing"]) == ("within_limits", ["model", "command"])


def test_a_case_may_have_a_size_of_its_own(
    port: Path, write_scenario: WriteScenario, run_harness: RunHarness, only_job: Callable[[], Path]
) -> None:
    assert port.is_dir()
    cases = [{"id": "circle", "prompt": "a circle"}, {"id": "wide", "prompt": "a line", "width": 96}]
    path = scenario(write_scenario, FOUR, declared="command", cases=cases, seeds=[42])
    ended = run_harness("check", path, "--allow-command")
    assert ended.code == 0, ended.out + ended.err
    samples = read_json(only_job() / "four" / "run.json")["samples"]
    assert [sample["image"]["shape"] for sample in samples] == [[64, 64, 3], [64, 96, 3]]
    page = (only_job() / "report" / "report.md").read_text(encoding="utf-8")
    assert "64 x 64 pixels, 96 x 64 pixels" in page
    assert "2 sizes (64 x 64, 96 x 64)" in page


def test_cases_of_two_sizes_are_not_compared_and_grids_hold_for_cases(
    port: Path, write_scenario: WriteScenario
) -> None:
    assert port.is_dir()
    loaded = load(scenario(write_scenario, FOUR, cases=[{"id": "circle", "prompt": "a circle", "height": 32}]))
    wide = plan(loaded, loaded.scenario.arms[1])
    plain = wide.model_copy(update={"cases": [wide.cases[0].model_copy(update={"height": None})]})
    said = comparability.setting_differences(wide, plain, [])
    assert said == ["the size of case circle differs: actual 64 x 32, expected 64 x 64"]
    assert comparability.setting_differences(wide, wide, []) == []
    with pytest.raises(ScenarioError, match=r"cases\[0\]\.width: found the number 65; allowed with the"):
        load(write_scenario(cases=[{"id": "circle", "prompt": "a circle", "width": 65}]))


# --- permission ------------------------------------------------------------------------------------------------------


def listed(ended: Ended) -> str:
    return next(line for line in ended.err.splitlines() if re.match("[0-9a-f]{64}  ", line))


@pytest.mark.parametrize("way", ["a command of its own", "a variable", "another interpreter"])
def test_each_way_needs_the_permission_that_commands_need_and_the_digest_covers_it(
    way: str, port: Path, write_scenario: WriteScenario, run_harness: RunHarness, tmp_path: Path
) -> None:
    interpreter(port.parent)
    arm, kind, _ = WAYS[way]
    path = scenario(write_scenario, arm, declared=kind)
    allowed = tmp_path / "allowed.txt"
    allowed.write_text("", encoding="utf-8")
    lines: list[str] = []
    for _ in range(3):  # the command, then what the arm has of its own
        ended = run_harness("run", path, "--allowed-commands", allowed)
        if ended.code == 0:
            break
        assert "with your rights" in ended.err
        lines.append(listed(ended))
        allowed.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert ended.code == 0, ended.err
    assert len(lines) == 2
    ways: dict[str, dict[str, Any]] = {
        "a command of its own": {"command": {"words": [*WORDS, "--cards", "8"]}},
        "a variable": {"environment": {"PORT_LEVELS": "2"}},
        "another interpreter": {"python": str(port.parent / "venv" / "python")},
    }
    other = scenario(write_scenario, {**arm, **ways[way]}, declared=kind)
    ended = run_harness("run", other, "--allowed-commands", allowed)
    assert (ended.code, listed(ended) in lines) == (2, False)


# --- what is refused -------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a name of the harness": (
        {"environment": {"HF_HUB_OFFLINE": "0"}},
        "arms[1].environment.HF_HUB_OFFLINE: found a variable that the harness sets itself",
    ),
    "a switch of a backend": (
        {"environment": {"CUBLAS_WORKSPACE_CONFIG": ":16:8"}, "switches": "deterministic"},
        "arms[1].environment.CUBLAS_WORKSPACE_CONFIG: found a variable that the harness sets itself",
    ),
    "threads": ({"environment": {"OMP_NUM_THREADS": "2"}}, "allowed is 'threads' of the arm. Write it there."),
    "a secret": ({"environment": {"HF_TOKEN": "x"}}, "arms[1].environment.HF_TOKEN: found a name of a secret"),
    "no name of a variable": ({"environment": {"A-B": "x"}}, "arms[1].environment"),
    "an unknown key": ({"model": {"sorce": "other"}}, "Did you mean 'source'?"),
    "a type in the model": ({"model": {"dtype": "float32"}}, "the key 'dtype' in arms[1].model is unknown"),
    "an unknown adapter": (
        {"model": {"adapter": "comand"}},
        "arms[1].model.adapter: no adapter is called 'comand'. Did you mean 'command'?",
    ),
    "no interpreter": ({"python": "nowhere/python"}, "arms[1].python: there is no file 'nowhere/python'"),
    "options for none": ({"options": {"a": 1}}, "arms[1].options: found with the adapter command, which takes none"),
    "loading of a command": (
        {"load": {"variant": "fp16"}},
        "arms[1].load.variant: found with the adapter command; allowed there are no such keys",
    ),
    "pictures of a command": ({"model": {"pictures": "{case}.png"}}, "arms[1].model.pictures: found with the adapter"),
    "a placeholder": (
        {"command": {"words": [*WORDS, "{cards}"]}},
        "arms[1].command: no placeholder of '{cards}'",
    ),
    "no prompt": ({"command": {"words": ["{python}", "{seed}", "{output}"]}}, "arms[1].command: model.command is not"),
    "a noise": ({"noise": "portable"}, "arms[1].noise: found 'portable'; allowed with the adapter command"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_an_arm_cannot_have_is_refused_with_its_place(
    name: str, port: Path, write_scenario: WriteScenario
) -> None:
    assert port.is_dir()
    arm, said = REFUSED[name]
    path = scenario(write_scenario, {"name": "mine", "device": "cpu", **arm})
    with pytest.raises(ScenarioError) as refused:
        load(path)
    assert said in str(refused.value), str(refused.value)
    assert re.match(rf"{re.escape(str(path))}:\d+:\d+: ", str(refused.value))


def test_variables_that_a_mode_leaves_alone_may_be_set_in_it(port: Path, write_scenario: WriteScenario) -> None:
    assert port.is_dir()
    arm = {"name": "mine", "device": "cpu", "environment": {"CUBLAS_WORKSPACE_CONFIG": ":16:8"}}
    loaded = load(scenario(write_scenario, {**arm, "switches": "as_shipped"}))
    assert loaded.scenario.arms[1].environment == {"CUBLAS_WORKSPACE_CONFIG": ":16:8"}


def test_an_interpreter_that_cannot_run_the_worker_is_refused_before_anything_runs(
    write_scenario: WriteScenario, run_harness: RunHarness, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    path = write_scenario(arms=[{"name": "mine", "device": "cpu", "python": "bare"}])
    ended = run_harness("check", path, "--allow-command")
    assert ended.code == 2
    assert "the Python interpreter bare cannot run the harness's worker: ModuleNotFoundError" in ended.err
    assert "bare -m pip install 'accuracy-harness[run]'" in ended.err


def test_a_model_runs_in_another_environment_with_this_harness(
    write_scenario: WriteScenario, run_harness: RunHarness, only_job: Callable[[], Path], tmp_path: Path
) -> None:
    """Two real environments: the other one sees the packages, and a file that says which it is."""
    other = tmp_path / "other" / "bin"
    other.mkdir(parents=True)
    (other.parent / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n", encoding="utf-8")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = other.parent / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    here = next(path for path in sys.path if path.endswith("site-packages"))
    (packages / "here.pth").write_text(f"{here}\n{PLANTED}\n", encoding="utf-8")
    (packages / "sitecustomize.py").write_text(
        f"import pathlib, sys\npathlib.Path({str(tmp_path / 'started')!r}).write_text(sys.prefix)\n", encoding="utf-8"
    )
    (other / "python").symlink_to(f"{sys.base_prefix}/bin/{version}")
    arms = [{"name": "theirs", "device": "cpu", "python": "other/bin/python"}]
    path = write_scenario(
        model={"adapter": "planted-toy"},
        arms=[*arms, {"name": "ours", "device": "cpu", "role": "reference"}],
        limits=[{**LIMIT, "at_least": 60}],
        repeats={"in_process": 1, "processes": 1},
        differs_in={"python": REASON},
    )
    ended = run_harness("check", path, "--allow-command")
    assert ended.code == 0, ended.out + ended.err
    assert (tmp_path / "started").read_text(encoding="utf-8") == str(other.parent)
    compared = read_json(only_job() / "comparison-reference-theirs-against-ours.json")
    assert (compared["outcome"], compared["differing"]) == ("identical", ["python"])


# --- the records -----------------------------------------------------------------------------------------------------


def asked(model: ModelRef) -> Scenario:
    case = {"id": "cup", "prompt": "a cup"}
    values = {"name": "small", "summary": "Small.", "task": "text_to_image", "model": model, "cases": [case]}
    return Scenario.model_validate({**values, "seeds": [1]})


def test_each_key_of_an_arm_replaces_that_of_the_model_and_the_others_stay() -> None:
    command = CommandRef(words=["a"])
    model = ModelRef(source="here", dtype="float32", options={"a": 1, "b": 1}, command=command)
    model = model.model_copy(update={"load": Load(variant="fp16", lora=[Lora(file="a.safetensors")])})
    scenario = asked(model)
    assert scenario.model_of(Arm(name="plain")) == model
    own = scenario.model_of(Arm(name="own", options={"b": 2}, load=Load(lora=[]), dtype="bfloat16"))
    assert (own.options, own.dtype, own.command) == ({"a": 1, "b": 2}, "bfloat16", command)
    assert own.load == Load(variant="fp16", lora=[])
    other = scenario.model_of(Arm(name="other", model=ModelChange(adapter="images", source="there")))
    assert other == ModelRef(adapter="images", source="there", dtype="float32")
    pinned = asked(model.model_copy(update={"code_sha256": {}}))
    moved = pinned.model_of(Arm(name="moved", model=ModelChange(source="there")))
    assert (moved.source, moved.code_sha256, moved.command) == ("there", None, command)


def test_what_no_arm_says_leaves_the_digest_of_a_scenario_as_it_was(port: Path, write_scenario: WriteScenario) -> None:
    assert port.is_dir()
    plain = load(scenario(write_scenario, {"name": "mine", "device": "cpu"})).digest
    empty: dict[str, Any] = {
        "name": "mine",
        "device": "cpu",
        "environment": {},
        "options": {},
        "python": None,
        "load": None,
    }
    assert load(scenario(write_scenario, empty)).digest == plain
    full = load(scenario(write_scenario, {"name": "mine", "device": "cpu", "environment": {"A": "1"}})).digest
    assert full != plain
