"""Somebody's script as a pipeline: told what the case asks, allowed on purpose, and never left running."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.adapters import command
from harness.errors import ModelError, UnknownName
from harness.records import CommandRef, ModelRef
from tests.command_line import environment, growing_limits, read_json
from tests.processes import at_a_prompt, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.command_line import Ended, RunHarness, WriteScenario

SCRIPT = """
import json, os, sys, time
from pathlib import Path
from PIL import Image

options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
here = Path(__file__).parent
with (here / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps(options | {"variable": os.environ.get("PORT_OPTION", "")}) + "\\n")
print("loading the model")
fault = os.environ.get("PORT_FAULT", "")
if fault == "crash":
    sys.exit("planted: no memory left")
if fault == "nothing":
    sys.exit(0)
if fault == "hang":
    (here / "pid").write_text(str(os.getpid()))
    time.sleep(600)
count = len((here / "calls.jsonl").read_text().splitlines())
level = 200 if fault == "unstable" and count == 2 else 100
size = (int(options["--width"]), int(options["--height"]))
image = Image.new("RGB", size, (level, int(options["--seed"]) % 256, len(options["--prompt"])))
image.paste("white", (4, 4, size[0] // 2, size[1] // 2))
image.save(options["--out"])
"""
WORDS = "{python} inference.py --prompt {prompt} --seed {seed} --width {width} --height {height} --device {device}"
ARM = {"name": "candidate", "device": "cpu"}
LIMIT = {"metric": "psnr_db", "scope": "reference", "at_least": 30, "reason": "Only for this test."}


@pytest.fixture
def port(tmp_path: Path) -> Path:
    """A folder with a script that takes words and makes a picture."""
    folder = tmp_path / "port"
    folder.mkdir()
    (folder / "inference.py").write_text(SCRIPT, encoding="utf-8")
    return folder


def scenario(write: WriteScenario, **changes: Any) -> Path:
    told = {"words": [*WORDS.split(), "--out", "{output}"], **changes.pop("command", {})}
    return write(model={"adapter": "command", "source": "port", "command": told}, **{"arms": [ARM], **changes})


def calls(port: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (port / "calls.jsonl").read_text(encoding="utf-8").splitlines()]


def message(job: Path, name: str = "repeat-candidate") -> str:
    return str(read_json(job / f"comparison-{name}.json")["message"])


def test_a_script_is_told_what_the_case_asks_and_its_repeats_are_judged(
    run_harness: RunHarness, write_scenario: WriteScenario, port: Path, only_job: Callable[[], Path]
) -> None:
    path = scenario(
        write_scenario,
        cases=[{"id": "cup", "prompt": "a cup; $(touch pwned) {seed}"}],
        repeats={"in_process": 2, "processes": 2},
        command={"environment": {"PORT_OPTION": "7"}},
    )
    ended = run_harness("check", path, "--allow-command")
    assert ended.code == 0, ended.err
    told = calls(port)
    assert len(told) == 4
    outputs = {each.pop("--out") for each in told}
    assert len(outputs) == 4, "no picture can be taken for another"
    assert not any(Path(each).exists() for each in outputs)
    expected = {"--prompt": "a cup; $(touch pwned) {seed}", "--seed": "42", "--width": "64", "--height": "64"}
    assert told == [expected | {"--device": "cpu", "variable": "7"}] * 4
    assert not (port / "pwned").exists(), "no shell reads the words"
    run = read_json(only_job() / "candidate" / "run.json")
    assert run["model"]["code"].keys() == {"inference.py"}
    assert run["loaded"]["substitutions"] == [
        "the command is not told steps, guidance_scale, dtype, so it uses its own"
    ]
    assert "loading the model" in run["log_tail"]
    assert "noise unverified" in message(only_job())
    report = read_json(only_job() / "report" / "report.json")
    assert "--allow-command" in report["command"]
    page = (only_job() / "report" / "report.md").read_text(encoding="utf-8")
    for name in ("Type of weights", "Attention", "Weights", "Switches"):
        values = {cell.strip() for line in page.splitlines() for label, cell in [row(line)] if label == name}
        assert values == {"the command's own, not known"}, name
    assert "every arm ran with the determinism switches set" not in page
    (said,) = {line for line in page.splitlines() if "Variables that were set for it" in line}
    assert "PORT_OPTION=7" in said
    assert "GOMP_SPINCOUNT=" in said


def row(line: str) -> tuple[str, str]:
    """Label and first value of a row of a Markdown table; two empty texts for any other line."""
    cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
    return (cells[0], cells[1]) if line.startswith("|") and len(cells) > 1 else ("", "")


def test_an_npu_arm_tells_the_device_and_the_worker_touches_none(
    run_harness: RunHarness, write_scenario: WriteScenario, port: Path, only_job: Callable[[], Path]
) -> None:
    arms = [{"name": "candidate", "device": "npu:1"}, {"name": "cpu", "role": "reference", "device": "cpu"}]
    ended = run_harness("check", scenario(write_scenario, arms=arms, limits=[LIMIT]), "--allow-command")
    assert ended.code == 0, ended.err
    assert [each["--device"] for each in calls(port)] == ["npu:1", "npu:1", "cpu", "cpu"]
    run = read_json(only_job() / "candidate" / "run.json")
    assert (run["backend"], run["environment"]["device"]) == ("npu", "npu:1")
    assert run["environment"]["device_name"].startswith("not opened")
    assert "noise unverified: the pictures of both sides" in message(only_job(), "reference-candidate-against-cpu")


FAULTS = {
    "crash": (3, "ended with exit code 1. The last lines it wrote"),
    "nothing": (3, "the command ended well and left no picture"),
    "unstable": (6, "1 of 1 cases are not repeatable"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("port")
def test_a_planted_fault_of_the_script_is_seen(
    fault: str, run_harness: RunHarness, write_scenario: WriteScenario, only_job: Callable[[], Path]
) -> None:
    code, words = FAULTS[fault]
    path = scenario(write_scenario, command={"environment": {"PORT_FAULT": fault}})
    ended = run_harness("check", path, "--allow-command")
    assert ended.code == code, ended.err
    assert words in message(only_job())
    if fault == "crash":
        assert "planted: no memory left" in message(only_job())


def test_a_script_that_hangs_is_ended_at_its_time_limit(
    run_harness: RunHarness, write_scenario: WriteScenario, port: Path, only_job: Callable[[], Path], tmp_path: Path
) -> None:
    for seconds in growing_limits(starts=3):
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)
        hangs = {"environment": {"PORT_FAULT": "hang"}, "time_limit_seconds": seconds}
        path = scenario(write_scenario, repeats={"in_process": 1, "processes": 1}, command=hangs)
        ended = run_harness("check", path, "--allow-command")
        assert ended.code == 3, ended.err
        assert f"ended at its time limit (model.command.time_limit_seconds: {seconds})" in message(only_job())
        if (port / "pid").exists():
            assert is_gone(int((port / "pid").read_text(encoding="ascii")))
            return
    pytest.fail("however long the limit was, the script did not come to its hang")


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_command_ends_with_the_harness_however_that_ends(
    number: signal.Signals, write_scenario: WriteScenario, port: Path, tmp_path: Path
) -> None:
    path = scenario(write_scenario, command={"environment": {"PORT_FAULT": "hang"}})
    words = [sys.executable, "-m", "harness", "check", str(path), "--allow-command"]
    harness = subprocess.Popen(
        words,
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.DEVNULL,
        preexec_fn=at_a_prompt(),  # noqa: PLW1509 - tests start processes from their main thread
    )
    try:
        wait_for((port / "pid").exists, "the script")
        time.sleep(0.2)
        pid = int((port / "pid").read_text(encoding="ascii"))
        assert not is_gone(pid)
        harness.send_signal(number)
        wait_for(lambda: is_gone(pid), "the script to end")
    finally:
        harness.kill()
        harness.wait()


# --- where the picture appears ---------------------------------------------------------------------------------------


def test_a_script_that_chooses_its_own_file_is_read_there_and_the_file_is_taken_away(
    run_harness: RunHarness, write_scenario: WriteScenario, port: Path
) -> None:
    told = {"words": [*WORDS.split(), "--out", "output.png"], "output": "output.png"}
    ended = run_harness("check", scenario(write_scenario, command=told), "--allow-command")
    assert ended.code == 0, ended.err
    assert not (port / "output.png").exists()


def test_an_old_picture_is_never_taken_for_a_new_one(
    run_harness: RunHarness, write_scenario: WriteScenario, port: Path, only_job: Callable[[], Path]
) -> None:
    (port / "output.png").write_bytes(b"old")
    told = {"words": [*WORDS.split(), "--out", "output.png"], "output": "output.png"}
    ended = run_harness("check", scenario(write_scenario, command=told), "--allow-command")
    assert ended.code == 3
    assert "is there before the command has run" in message(only_job())
    assert (port / "output.png").read_bytes() == b"old"
    assert not (port / "calls.jsonl").exists()


def test_what_the_command_cannot_be_told_or_is_not_told_is_a_failure(
    run_harness: RunHarness, write_scenario: WriteScenario, port: Path, only_job: Callable[[], Path]
) -> None:
    assert port.is_dir()
    cases = [{"id": "cup", "prompt": "a cup", "negative_prompt": "blur"}]
    assert run_harness("check", scenario(write_scenario, cases=cases), "--allow-command").code == 3
    assert "the case cup has negative_prompt, and the command is not told" in message(only_job())


# --- permission ------------------------------------------------------------------------------------------------------


def refused(ended: Ended, port: Path, tmp_path: Path) -> str:
    """The line that would allow the command; nothing was started and nothing written."""
    assert ended.code == 2, ended.out
    assert "the scenario would run" in ended.err
    assert not (port / "calls.jsonl").exists()
    assert not (tmp_path / "runs").exists()
    (line,) = (line for line in ended.err.splitlines() if re.match("[0-9a-f]{64}  ", line))
    return line


def test_a_command_runs_only_where_the_user_allowed_it(
    run_harness: RunHarness, write_scenario: WriteScenario, port: Path, tmp_path: Path
) -> None:
    path = scenario(write_scenario, repeats={"in_process": 1, "processes": 1})
    line = refused(run_harness("check", path), port, tmp_path)
    assert refused(run_harness("run", path), port, tmp_path) == line
    listed = tmp_path / "allowed.txt"
    listed.write_text(f"# mine\n\n{line}\n", encoding="utf-8")
    assert run_harness("run", path, "--allowed-commands", listed).code == 0
    (port / "calls.jsonl").unlink()
    for kept in (tmp_path / "runs").iterdir():
        kept.rename(tmp_path / kept.name)
    (tmp_path / "runs").rmdir()
    (port / "inference.py").write_text(SCRIPT + "\n# changed", encoding="utf-8")
    other = refused(run_harness("run", path, "--allowed-commands", listed), port, tmp_path)
    assert other != line, "the script's bytes are part of it"


def test_a_list_that_cannot_be_read_allows_nothing(
    run_harness: RunHarness, write_scenario: WriteScenario, port: Path
) -> None:
    ended = run_harness("run", scenario(write_scenario), "--allowed-commands", "nowhere.txt")
    assert ended.code == 2
    assert "nowhere.txt cannot be read" in ended.err
    assert not (port / "calls.jsonl").exists()


# --- what cannot be meant --------------------------------------------------------------------------------------------


def told(*words: str, output: str | None = None) -> ModelRef:
    return ModelRef(adapter="command", source="port", command=CommandRef(words=list(words), output=output))


MEANINGLESS = {
    "a misspelt name": (told("x", "{prompt}", "{sed}", "{output}"), UnknownName, "Did you mean 'seed'"),
    "no seed": (told("x", "{prompt}", "{output}"), ModelError, "is not told seed"),
    "no place for the picture": (told("x", "{prompt}", "{seed}"), ModelError, "say once where the picture appears"),
    "two places": (told("{prompt}{seed}{output}", output="a.png"), ModelError, "say once where the picture appears"),
    "no such script": (told("lost.py", "{prompt}", "{seed}", "{output}"), ModelError, "holds no file lost.py"),
    "no command": (ModelRef(adapter="command", source="port"), ModelError, "needs `command:`"),
    "a format": (told("{prompt}", "{seed:04}", "{output}"), ModelError, "nothing may follow the name"),
}


@pytest.mark.parametrize("what", MEANINGLESS)
def test_a_command_that_cannot_be_meant_is_refused(what: str, port: Path) -> None:
    model, error, words = MEANINGLESS[what]
    with pytest.raises(error, match=re.escape(words)):
        command.check(port, model)


@pytest.mark.parametrize("where", ["scenario", "line"])
def test_no_device_is_chosen_for_a_command(
    where: str, run_harness: RunHarness, write_scenario: WriteScenario, port: Path
) -> None:
    path = scenario(write_scenario, arms=[ARM | ({"device": "auto"} if where == "scenario" else {})])
    ended = run_harness("check", path, "--allow-command", *(["--device", "auto"] if where == "line" else []))
    assert ended.code == 2
    assert "found 'auto'; allowed with the adapter command is" in " ".join(ended.err.split())
    assert not (port / "calls.jsonl").exists()


def test_the_digest_follows_words_variables_and_script_but_not_the_time_limit(port: Path) -> None:
    words = ["{python}", "inference.py", "{prompt}", "{seed}", "{output}"]

    def digests(**changes: Any) -> dict[str, str]:
        model = ModelRef(adapter="command", source="port", command=CommandRef(**{"words": words, **changes}))
        return command.digests(port, model)

    plain = digests()
    assert plain.keys() == {"command", "inference.py"}
    assert digests(time_limit_seconds=9) == plain
    for changes in ({"words": [*words, "--fast"]}, {"environment": {"LD_PRELOAD": "x.so"}}):
        assert digests(**changes)["command"] != plain["command"]
