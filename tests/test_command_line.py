"""The command line as a user meets it: clear refusals, nothing written, no traceback, and the verbs at work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

from harness.cli.app import app
from harness.images import read_picture
from tests.command_line import ROOT, complaints, environment, job_folder

if TYPE_CHECKING:
    from tests.command_line import Ended, RunHarness, WriteScenario


def commands(group: Any, *words: str) -> dict[str, Any]:
    """Every command and group of the command line, by its words."""
    return {" ".join(words): group} | {
        name: command
        for word, below in getattr(group, "commands", {}).items()
        for name, command in commands(below, *words, word).items()
    }


COMMANDS = commands(get_command(app))


def assert_refused(ended: Ended, code: int, *says: str) -> None:
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    for words in says:
        assert words in ended.err


def folder_is_as_before(folder: Path, *but: Path) -> bool:
    return sorted(path for path in folder.rglob("*") if path.is_file()) == sorted(but)


REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "misspelt key": ({"stepz": 3}, ["stepz", "steps"]),
    "wrong type": ({"steps": "twenty"}, ["steps"]),
    "size not divisible by 32": ({"width": 100}, ["width", "100", "32"]),
    "zero steps": ({"steps": 0}, ["steps"]),
    "negative seed": ({"seeds": [-1]}, ["seeds"]),
    "fractional seed": ({"seeds": [1.5]}, ["seeds"]),
    "empty prompt list": ({"cases": []}, ["cases"]),
    "path-like id": ({"cases": [{"id": "../up", "prompt": "x"}]}, ["id"]),
    "limit without a reason": ({"limits": [{"metric": "mse", "scope": "repeat", "at_most": 0}]}, ["reason"]),
    "unknown metric": (
        {"limits": [{"metric": "psnr", "scope": "repeat", "at_least": 9, "reason": "For this test only."}]},
        ["psnr", "psnr_db"],
    ),
    "unknown device": ({"arms": [{"name": "a", "device": "gpu"}]}, ["gpu"]),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_bad_scenario_is_refused_and_nothing_is_written(
    fault: str, tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    changes, says = REFUSED[fault]
    path = write_scenario(**changes)
    assert_refused(run_harness("check", path), 2, "small.yaml:", *says)
    assert folder_is_as_before(tmp_path, path)


def test_a_traceback_is_shown_only_when_asked_for(run_harness: RunHarness, write_scenario: WriteScenario) -> None:
    path = write_scenario(steps=0)
    assert "Traceback" in run_harness("check", path, "--debug").err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["frobnicate"], "frobnicate"),
        (["check"], "SCENARIO"),
        (["check", "missing.yaml"], "missing.yaml"),
        (["compare", "a", "b"], "there is no such file or folder"),
        (["gate", "missing.json"], "missing.json"),
        (["list", "metricz"], "Did you mean 'metrics'"),
        (["report", "missing.json", "--out", "x"], "missing.json"),
    ],
)
def test_wrong_use_is_told(words: list[str], says: str, tmp_path: Path, run_harness: RunHarness) -> None:
    assert_refused(run_harness(*words), 2, says)
    assert folder_is_as_before(tmp_path)


def test_a_device_that_is_not_there_is_never_replaced(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    path = write_scenario()
    assert_refused(run_harness("check", path, "--device", "cpu:3"), 3, "--device cpu:3 is not there", "1 device")
    assert folder_is_as_before(tmp_path, path)


def test_a_place_that_cannot_be_written_is_told(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    ended = run_harness("check", write_scenario(), "--runs-dir", tmp_path / "file" / "runs")
    assert_refused(ended, 3, "the system refused", str(tmp_path / "file"))
    assert "internal error" not in ended.err


def test_an_empty_selection_is_told(run_harness: RunHarness, write_scenario: WriteScenario) -> None:
    assert_refused(run_harness("run", write_scenario(), "--seed", "9"), 5, "9")
    assert_refused(run_harness("run", write_scenario(), "--case", "cirle"), 2, "Did you mean 'circle'")
    assert_refused(run_harness("run", write_scenario(), "--arm", "nobody"), 2, "nobody")
    assert_refused(run_harness("list", "runs"), 5, "no runs")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_help_that_is_whole_at_80_columns(command: str, option: str) -> None:
    ended = CliRunner().invoke(app, [*command.split(), option], prog_name="harness", env={"COLUMNS": "80"})
    assert ended.exit_code == 0
    usage, *lines = ended.output.splitlines()
    assert usage.startswith(f"Usage: harness {command}")
    assert not [line for line in lines if line.endswith("...") or len(line) > 80]
    for parameter in COMMANDS[command].params:
        assert getattr(parameter, "help", None), f"harness {command}: {parameter.name} has no help"


def test_listings_name_the_parts(run_harness: RunHarness) -> None:
    assert "higher is better in dB" in run_harness("list", "metrics").out
    rows = json.loads(run_harness("list", "adapters", "--json").out)
    assert {"deepgen", "planted-crash"} <= {row["name"] for row in rows}
    assert "cpu" in run_harness("list", "backends").out
    assert "tiny-deepgen" in run_harness("list", "models").out
    assert "npu_rms_norm" in run_harness("list", "kernels").out
    listed = run_harness("list", "scenarios", "--scenarios-dir", ROOT / "scenarios")
    assert "tiny-edit" in listed.out
    assert "deepgen-t2i" in listed.out


def run_without_reader(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command with a standard output that nobody reads any more."""
    read, write = os.pipe()
    os.close(read)
    try:
        return subprocess.run(
            [sys.executable, "-m", "harness", *map(str, words)],
            cwd=folder,
            env=environment(),
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(write)


@pytest.mark.parametrize("words", [["list", "metrics"], ["list", "metrics", "--json"], ["--version"]])
def test_a_reader_that_has_left_is_no_error(words: list[str], tmp_path: Path) -> None:
    done = run_without_reader(tmp_path, *words)
    assert done.returncode == 0
    assert complaints(done.stderr) == []


@pytest.mark.slow
def test_a_reader_that_has_left_changes_no_verdict(tmp_path: Path, write_scenario: WriteScenario) -> None:
    path = write_scenario(model={"adapter": "planted-drift"}, repeats={"in_process": 3, "processes": 1})
    done = run_without_reader(tmp_path, "check", path)
    assert done.returncode == 6, done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "utf-8"])
def test_any_terminal_can_show_the_output(
    encoding: str, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    path = write_scenario(summary="∞ 中文 \x1b[31m\u202e", name="signs")
    ended = run_harness("list", "scenarios", "--scenarios-dir", path.parent, PYTHONIOENCODING=f"{encoding}:strict")
    assert ended.code == 0
    assert "\x1b" not in ended.out


# --- model folders ---------------------------------------------------------------------------------------------------


def test_a_folder_that_is_no_model_is_refused(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    (tmp_path / "model").mkdir()
    path = write_scenario(model={"source": str(tmp_path / "model")})
    assert_refused(run_harness("check", path), 2, "model_index.json")
    path = write_scenario(model={"source": str(tmp_path / "nowhere")})
    assert_refused(run_harness("check", path), 2, "does not exist")
    path = write_scenario(model={"source": "builtin:tiny-deepgem"})
    assert_refused(run_harness("check", path), 2, "Did you mean 'tiny-deepgen'")
    path = write_scenario(model={"source": "hf:someone/something"})
    assert_refused(run_harness("check", path), 2, "names no revision")
    assert not (tmp_path / "runs").exists()


def copy_of_model(tmp_path: Path) -> Path:
    from harness.run.sources import locate

    folder = tmp_path / "model"
    source, _ = locate("builtin:tiny-deepgen")
    subprocess.run(["cp", "-r", str(source), str(folder)], check=True)
    return folder


def test_code_pickles_and_missing_parts_of_a_model_folder_are_refused(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    folder = copy_of_model(tmp_path)
    untrusted = write_scenario(model={"source": str(folder), "trust_remote_code": False})
    assert_refused(run_harness("check", untrusted), 2, "brings its own code", "deepgen_pipeline.py", "code_sha256:")
    pinned = write_scenario(model={"source": str(folder), "code_sha256": {"deepgen_pipeline.py": "0" * 64}})
    assert_refused(run_harness("check", pinned), 2, "not the one that the scenario pins", "deepgen_pipeline.py differ")
    trusted = write_scenario(model={"source": str(folder)})
    (folder / "vae" / "weights.bin").write_bytes(b"pickle")
    assert_refused(run_harness("check", trusted), 2, "vae/weights.bin, a pickle")
    (folder / "vae" / "weights.bin").unlink()
    (folder / "connector" / "model.safetensors").unlink()
    assert_refused(run_harness("check", trusted), 2, "connector/*.safetensors")
    assert not (tmp_path / "runs").exists()


def test_a_damaged_embedded_model_is_noticed(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    path = write_scenario()
    cache = str(tmp_path / "cache")
    # Building needs no device: an unknown arm stops the command before the run, a damaged model after the build.
    subprocess.run(
        [sys.executable, "-c", "from harness.run.sources import locate; locate('builtin:tiny-deepgen-random')"],
        env=environment(HARNESS_CACHE_DIR=cache),
        check=True,
    )
    (weights,) = (tmp_path / "cache").glob("models/*/vae/*.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert_refused(run_harness("check", path, HARNESS_CACHE_DIR=cache), 3, "a file was changed or is damaged")


def test_two_processes_may_build_the_embedded_model_at_once(tmp_path: Path) -> None:
    code = "from harness.run.sources import locate; print(locate('builtin:tiny-deepgen-random')[0])"
    words = [sys.executable, "-c", code]
    variables = environment(HARNESS_CACHE_DIR=str(tmp_path))
    builders = [
        subprocess.Popen(words, env=variables, stdout=subprocess.PIPE, text=True, encoding="utf-8") for _ in range(2)
    ]
    folders = {builder.communicate()[0].strip() for builder in builders}
    assert [builder.returncode for builder in builders] == [0, 0]
    assert len(folders) == 1
    assert [path.name for path in (tmp_path / "models").iterdir()] == [Path(folders.pop()).name]


# --- the verbs at work -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_run_compare_gate_and_report_work_one_after_another(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    arms = [
        {"name": "bf16", "device": "cpu", "dtype": "bfloat16"},
        {
            "name": "fp32",
            "role": "reference",
            "dtype": "float32",
            "device": "cpu",
            "repeats": {"in_process": 1, "processes": 1},
        },
        {"name": "own-noise", "device": "cpu", "noise": "device"},
    ]
    limits = [{"metric": "psnr_db", "scope": "reference", "at_least": 15, "reason": "A low bar for this test only."}]
    asked: dict[str, Any] = {"model": {"adapter": "planted-rounded"}, "arms": arms}
    assert run_harness("run", write_scenario(**asked, limits=limits)).code == 0
    job = job_folder(tmp_path / "runs")

    assert run_harness("compare", job / "bf16", job / "bf16").code == 0
    assert run_harness("compare", job / "fp32", job / "fp32").code == 5, "one run repeats nothing, so nothing is judged"
    ended = run_harness("compare", job / "bf16", job / "fp32", "--json")
    assert ended.code == 0, ended.err
    measured = {each["metric"]: each["value"] for each in json.loads(ended.out)["pairs"][0]["measurements"]}
    assert 15 < measured["psnr_db"] < 100
    assert run_harness("compare", job / "own-noise", job / "fp32").code == 7

    comparison = job / "comparison-reference-bf16-against-fp32.json"
    assert run_harness("gate", comparison).code == 0
    strict = write_scenario(**asked, limits=[{**limits[0], "at_least": 99}])
    ended = run_harness("gate", comparison, "--scenario", strict)
    assert ended.code == 1
    assert "allowed: psnr_db at least 99 dB" in ended.out
    worst = run_harness("gate", comparison, job / "comparison-reference-own-noise-against-fp32.json")
    assert worst.code == 7, "not comparable outranks a kept limit"

    ended = run_harness("report", comparison, "--format", "html,md,json,junit,csv", "--out", tmp_path / "report")
    assert ended.code == 0, ended.err
    assert ET.parse(tmp_path / "report" / "junit.xml").getroot().tag in {"testsuites", "testsuite"}
    again = {path: path.read_bytes() for path in sorted((tmp_path / "report").iterdir())}
    run_harness("report", comparison, "--format", "html,md,json,junit,csv", "--out", tmp_path / "report")
    assert {path: path.read_bytes() for path in again} == again

    moved = tmp_path / "elsewhere"
    job.rename(moved)
    ended = run_harness("report", moved / comparison.name, "--out", tmp_path / "moved")
    assert ended.code == 0, ended.err


@pytest.mark.slow
def test_generate_makes_a_picture_and_prints_the_log_of_the_note(tmp_path: Path, run_harness: RunHarness) -> None:
    small = ["--height", "64", "--width", "64", "--num_inference_steps", "2", "--device", "cpu"]
    ended = run_harness("generate", *small)
    assert ended.code == 0, ended.err
    for line in (
        "Target device: cpu:0",
        "Loading pipeline from: builtin:tiny-deepgen",
        "All components loaded.",
        "  transformer: cpu",
        "  vlm: cpu",
        "Starting inference (2 steps)...",
        "Inference completed in ",
        "Noise: the harness's portable generator, seed 42",
        "Image saved at: output_deepgen.png",
    ):
        assert line in ended.out
    first = read_picture(tmp_path / "output_deepgen.png")
    assert first.shape == (64, 64, 3)

    Image.fromarray(np.full((80, 100, 3), 200, np.uint8)).save(tmp_path / "in.png")
    edited = run_harness(
        "generate", *small, "--prompt", "make it red", "--input_image", "in.png", "--output_image", "out/edit.png"
    )
    assert edited.code == 0, edited.err
    assert (read_picture(tmp_path / "out" / "edit.png") != first).any()


def test_generate_refuses_what_it_cannot_do(tmp_path: Path, run_harness: RunHarness) -> None:
    assert_refused(run_harness("generate", "--adapter", "diffuserz", "--device", "cpu"), 2, "Did you mean 'diffusers'")
    assert_refused(run_harness("generate", "--adapter", "images", "--device", "cpu"), 2, "--adapter", "'images'")
    assert_refused(run_harness("generate", "--height", "100", "--device", "cpu"), 2, "--height", "100", "32")
    assert_refused(run_harness("generate", "--input_image", "no.png", "--device", "cpu"), 2, "no.png")
    (tmp_path / "text.png").write_text("not a picture", encoding="utf-8")
    assert_refused(run_harness("generate", "--input_image", "text.png", "--device", "cpu"), 2, "text.png")
    if not Path("/dev/davinci0").exists():
        assert_refused(run_harness("generate"), 3, "--device npu cannot be used here", "Nothing else is used")
    assert not (tmp_path / "output_deepgen.png").exists()


def test_help_is_quick_and_imports_no_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "harness", "--help"],
        env=dict(os.environ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert "typer" in imported, "the listing must be of real imports"
    assert not imported & {"torch", "numpy", "pydantic", "pandas", "cv2", "diffusers"}
