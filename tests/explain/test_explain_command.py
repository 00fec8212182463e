"""``harness explain`` from the command line to the page, on a port with a fault in one arm."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from harness.records import read_record
from harness.records.explanation import EXPLANATION_FILE, Explanation, ProofWord, Trouble
from tests.command_line import job_folder, read_json, run_command, with_texts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_line import Ended, MadeOnce

SCENARIO = {
    "name": "port",
    "summary": "A port against the healthy pipeline.",
    "task": "text_to_image",
    "model": {
        "adapter": "planted-port",
        "source": "builtin:tiny-deepgen",
        "trust_remote_code": True,
        "dtype": "float32",
    },
    "cases": [{"id": "circle", "prompt": "a blue circle"}],
    "seeds": [42],
    "width": 64,
    "height": 64,
    "steps": 2,
    "arms": [
        {"name": "candidate", "device": "cpu"},
        {"name": "right", "role": "reference", "device": "cpu"},
    ],
    "switches": "as_shipped",
    "repeats": {"in_process": 1, "processes": 1},
    "limits": [{"metric": "psnr_db", "scope": "reference", "at_least": 90, "reason": "The test says so, and no more."}],
}


def explained(folder: Path, *words: str, **variables: str) -> Ended:
    (folder / "port.yaml").write_text(json.dumps(SCENARIO), encoding="utf-8")
    steps = ("--trace-steps", "first")
    return run_command(folder, "explain", "port.yaml", "--arm", "candidate", *steps, *words, **variables)


@pytest.fixture
def faulty(made_once: MadeOnce) -> Path:
    """What checking a port with GELU of another form in one block left, and explaining that job, in Chinese."""

    def fill(folder: Path) -> None:
        fault = {"PORT_FAULT": "gelu-erf-one", "PORT_ARM": "candidate"}
        (folder / "port.yaml").write_text(json.dumps(SCENARIO), encoding="utf-8")
        checked = run_command(folder, "check", "port.yaml", **fault)
        assert checked.code == 1, checked.err
        job = job_folder(folder / "runs").relative_to(folder)
        (folder / "job").write_text(str(job), encoding="utf-8")
        steps = ("--trace-steps", "first")
        ended = run_command(folder, "explain", str(job), *steps, "--lang", "zh", "--runs-dir", "explained", **fault)
        (folder / "code").write_text(str(ended.code), encoding="utf-8")
        (folder / "out").write_text(ended.out, encoding="utf-8")
        (folder / "err").write_text(ended.err, encoding="utf-8")

    return made_once("explained", fill)


@pytest.mark.slow
def test_module_cause_and_proof_are_named_in_the_terminal_and_the_exit_code_says_that_something_is_wrong(
    faulty: Path,
) -> None:
    out = (faulty / "out").read_text(encoding="utf-8")
    assert (faulty / "code").read_text(encoding="utf-8") == "1", (faulty / "err").read_text(encoding="utf-8")
    assert "DRIFT: transformer.transformer_blocks.2.ff.net.0 is the first that is wrong by itself" in out
    assert "proven by swap" in out
    assert "cause: transformer.transformer_blocks.2.ff.net.0: GELU is computed by erf" in out
    assert "innocent: " in out


@pytest.mark.slow
def test_the_record_says_the_same_and_no_values_are_left(faulty: Path) -> None:
    (folder,) = (faulty / "explained").iterdir()
    record = read_record(Explanation, folder / EXPLANATION_FILE)
    assert record.trouble is Trouble.PLACE
    assert record.proof is not None
    assert record.proof.word is ProofWord.PROVEN
    assert record.proof.patched is not None
    assert record.gap is not None
    assert record.proof.patched.finest < record.gap.finest / 100
    assert {cause.hypothesis for cause in record.causes} == {"gelu_erf"}
    assert not any(check.different_count for check in record.checks[:-1])
    assert not list(folder.rglob("*.safetensors")) or not (folder / "reference" / "trace.json").exists()


@pytest.mark.slow
def test_the_page_is_in_the_language_that_was_asked_for_and_whole(faulty: Path) -> None:
    (page,) = (faulty / "explained").glob("*/index.html")
    text = page.read_text(encoding="utf-8")
    assert '<html lang="zh-Hans">' in text
    assert "自身出错" in text
    assert "已证明" in text
    assert "the reverse of torch_npu" not in text, "where a cause is known from is translated too"
    assert "transformer.transformer_blocks.2.ff.net.0" in text


@pytest.mark.slow
def test_the_first_screen_of_the_jobs_report_says_where_and_why_with_a_link_to_the_proof(faulty: Path) -> None:
    job = faulty / (faulty / "job").read_text(encoding="utf-8")
    report = (job / "report" / "index.html").read_text(encoding="utf-8")
    first_screen = report.partition("<section")[0]
    assert "错在哪里" in first_screen
    assert "transformer.transformer_blocks.2.ff.net.0" in first_screen
    assert "erf" in first_screen
    assert '<a href="../explanation/index.html">' in first_screen
    assert (job / "explanation" / "index.html").is_file()
    assert "](../explanation/index.html)" in (job / "report" / "report.md").read_text(encoding="utf-8")
    assert read_json(job / "report" / "report.json")["explanation"]["proof"]["word"] == "proven"


@pytest.mark.slow
def test_without_a_reference_modules_are_held_against_their_formulas(tmp_path: Path) -> None:
    ended = explained(tmp_path, "--json", PORT_FAULT="gelu-erf-connector", PORT_ARM="candidate")
    assert ended.code == 1, ended.err
    said = json.loads(ended.out)
    assert (said["trouble"], said["against"], said["culprits"]) == ("cause", None, [])
    assert {(cause["path"], cause["hypothesis"]) for cause in said["causes"]} == {
        (f"connector.connector.layers.{number}.mlp", "gelu_erf") for number in (0, 1)
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--against", "rigth"], "no arm of port is called 'rigth'. Did you mean 'right'?"),
        (["--against", "candidate"], "--against: found 'candidate', the arm itself; allowed is another arm"),
        (["--against", "right", "--case", "square"], "no case of port is called 'square'"),
        (["--lang", "xx"], "no language is called 'xx'"),
        (["--arm", ""], "--arm: found none; port.yaml is a scenario, so say which arm may be wrong"),
    ],
)
def test_what_cannot_be_explained_is_refused_before_anything_runs(
    tmp_path: Path, words: list[str], message: str
) -> None:
    ended = explained(tmp_path, *words)
    assert ended.code == 2
    assert message in ended.err
    assert not (tmp_path / "runs").exists()


def test_pictures_from_elsewhere_have_no_modules_to_look_into(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    model = {"adapter": "images", "source": "pictures", "pictures": "{case}-{seed}.png"}
    arms = [{"name": "candidate", "device": "cpu", "noise": "unverified"}]
    scenario = {**SCENARIO, "name": "pictures", "model": model, "arms": arms}
    (tmp_path / "pictures.yaml").write_text(json.dumps(scenario), encoding="utf-8")
    ended = run_command(tmp_path, "explain", "pictures.yaml", "--arm", "candidate")
    assert ended.code == 2, ended.err
    assert "there are no modules to look into" in ended.err
    assert 'with harness.trace(pipe, against="reference.trace"):' in ended.err


@pytest.fixture
def elsewhere(made_once: MadeOnce) -> Path:
    """A folder with the scenario and the trace of its healthy arm, as it arrives from another machine."""

    def fill(folder: Path) -> None:
        (folder / "port.yaml").write_text(json.dumps(SCENARIO), encoding="utf-8")
        ended = run_command(folder, "run", "port.yaml", "--arm", "right", "--trace", "--trace-steps", "first")
        assert ended.code == 0, ended.err
        (folder / "err").write_text(ended.err, encoding="utf-8")
        (trace,) = (folder / "runs").glob("*/port-right.trace")
        assert str(trace.relative_to(folder)) in ended.out
        trace.rename(folder / "port-right.trace")
        shutil.rmtree(folder / "runs")

    return made_once("traced-elsewhere", fill)


@pytest.mark.slow
def test_a_trace_tells_its_size_before_it_is_kept_and_the_next_command(elsewhere: Path) -> None:
    lines = (elsewhere / "err").read_text(encoding="utf-8").splitlines()
    assert any(re.fullmatch(r"the trace takes \d+\.\d MiB", line) for line in lines)
    assert lines[-1].endswith("harness explain port.yaml --arm ARM --against port-right.trace --case circle --seed 42")


@pytest.mark.slow
def test_a_trace_of_another_machine_names_module_cause_and_proof_here(elsewhere: Path, tmp_path: Path) -> None:
    shutil.copy(elsewhere / "port-right.trace", tmp_path)
    fault = {"PORT_FAULT": "gelu-erf-one", "PORT_ARM": "candidate"}
    ended = explained(tmp_path, "--against", "port-right.trace", "--json", **fault)
    assert ended.code == 1, ended.err
    said = with_texts(json.loads(ended.out))
    assert said["culprits"][0]["path"] == "transformer.transformer_blocks.2.ff.net.0"
    assert said["proof"]["word"] == "proven"
    assert {cause["hypothesis"] for cause in said["causes"]} == {"gelu_erf"}
    assert said["devices"] == {"candidate": "cpu", "right": "cpu"}
    assert "the reference was traced on another machine" in said["notes"][-1]
    assert (tmp_path / "port-right.trace").is_file(), "the file of the other machine stays"
    assert not list(tmp_path.glob("runs/**/*.trace"))


@pytest.mark.parametrize(
    ("changes", "words", "message"),
    [
        ({"seeds": [42, 43]}, ["--seed", "43"], "seed: actual 43, expected 42"),
        ({"steps": 3}, [], "steps: actual 3, expected 2"),
        ({"width": 128}, [], "width: actual 128, expected 64"),
        ({"noise": "torch_cpu"}, [], "noise: actual torch_cpu, expected portable"),
        ({"model": SCENARIO["model"] | {"dtype": "bfloat16"}}, [], "dtype: actual bfloat16, expected float32"),  # type: ignore[operator]
        ({"cases": [{"id": "circle", "prompt": "a red circle"}]}, [], "the prompt of case circle differs"),
        ({"cases": [{"id": "square", "prompt": "a square"}]}, [], "no case of port is called 'circle'"),
    ],
)
@pytest.mark.slow
def test_a_trace_of_another_question_is_refused_before_anything_runs(
    elsewhere: Path, tmp_path: Path, changes: dict[str, object], words: list[str], message: str
) -> None:
    shutil.copy(elsewhere / "port-right.trace", tmp_path)
    (tmp_path / "port.yaml").write_text(json.dumps({**SCENARIO, **changes}), encoding="utf-8")
    against = ["--arm", "candidate", "--against", "port-right.trace"]
    ended = run_command(tmp_path, "explain", "port.yaml", *against, *words)
    assert ended.code == 2, ended.err
    assert message in ended.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_cut_trace_of_another_machine_is_refused_before_anything_runs(elsewhere: Path, tmp_path: Path) -> None:
    data = (elsewhere / "port-right.trace").read_bytes()
    (tmp_path / "port-right.trace").write_bytes(data[:-1])
    ended = explained(tmp_path, "--against", "port-right.trace")
    assert ended.code == 2, ended.err
    assert "the file was cut or changed" in ended.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("words", [[], ["--arm", "right", "--arm", "candidate"]])
def test_a_trace_is_of_one_arm(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "port.yaml").write_text(json.dumps(SCENARIO), encoding="utf-8")
    ended = run_command(tmp_path, "run", "port.yaml", "--trace", *words)
    assert ended.code == 2
    assert f"--trace: found {len(words) // 2} arms; allowed is one" in ended.err


@pytest.mark.nightly
@pytest.mark.slow
def test_check_explains_a_drift_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "port.yaml").write_text(json.dumps(SCENARIO), encoding="utf-8")
    fault = {"PORT_FAULT": "gelu-erf-one", "PORT_ARM": "candidate"}
    ended = run_command(tmp_path, "check", "port.yaml", "--explain", **fault)
    assert ended.code == 1, ended.err
    assert "DRIFT: transformer.transformer_blocks.2.ff.net.0 is the first that is wrong by itself" in ended.out
    as_json = run_command(tmp_path, "check", "port.yaml", "--explain", "--json", "--runs-dir", "json", **fault)
    (summary,) = json.loads(as_json.out)
    job = tmp_path / summary["folder"]
    assert read_json(job / "report" / "report.json")["explanation"]["trouble"] == "place"
    healthy = run_command(tmp_path, "check", "port.yaml", "--explain")
    assert healthy.code == 0, healthy.err
    assert "wrong by itself" not in healthy.out


@pytest.mark.nightly
@pytest.mark.slow
def test_where_all_modules_are_too_much_the_block_comes_first_and_then_its_inside(tmp_path: Path) -> None:
    fault = {"PORT_FAULT": "gelu-erf-one", "PORT_ARM": "candidate"}
    ended = explained(tmp_path, "--against", "right", "--max-gib", "0.005", "--json", **fault)
    assert ended.code == 1, ended.err
    said = with_texts(json.loads(ended.out))
    assert said["culprits"][0]["path"] == "transformer.transformer_blocks.2.ff.net.0"
    assert said["proof"]["word"] == "proven"
    assert said["trace_bytes"] < 0.005 * 2**30
