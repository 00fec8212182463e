"""Limits are measured through the real command line: they hold for a healthy candidate and fall for a planted fault."""

from __future__ import annotations

import difflib
import json
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from harness import scenario, store
from harness.images import read_kept
from harness.jobs.calibrate import guessed_limits
from harness.records import Calibration, FloorSource, PerturbationKind, Run
from harness.terminal.tables import table_of_calibration
from tests.command_line import Ended, job_folder, run_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command_line import MadeOnce, RunHarness

pytestmark = pytest.mark.slow

TEXT = """\
# Is a port in bfloat16 near float32?
name: port
summary: Is a port in bfloat16 near float32?
task: text_to_image
model:
  source: builtin:tiny-deepgen-random   # embedded
  adapter: deepgen
  dtype: float32
  trust_remote_code: true
cases:
  - id: circle
    prompt: a blue circle
seeds: [42]
switches: as_shipped   # to switch torch to determinism costs every start a second
calibration:
  seeds: [1, 2]
width: 64
height: 64
steps: 3
arms:
  - name: candidate
    device: cpu
    dtype: bfloat16
  - name: cpu
    role: reference
    device: cpu
repeats: {in_process: 1, processes: 1}
limits:
  # what was written by hand stays
  - metric: psnr_db
    scope: reference
    at_least: 10
    reason: By hand, and no more than a hope.
  # what was measured is replaced
  - metric: psnr_db
    subject: float_image
    scope: reference
    at_least: 90
    reason: Measured once, on something else altogether.
    evidence: {date: '2020-01-02', device: cpu, samples: 1, seeds: [1], cases: [circle], worst: 96, rule: x, margin: 6}

tags: [small]   # the end
"""


def calibrated(folder: Path) -> None:
    """Calibrate a scenario with --write, and keep how that ended beside all that came of it."""
    (folder / "port.yaml").write_text(TEXT, encoding="utf-8")
    ended = run_command(folder, "calibrate", folder / "port.yaml", "--write", "--out", "found.json")
    (folder / "ended.json").write_text(json.dumps(asdict(ended)), encoding="utf-8")


class Written:
    """A scenario that was calibrated with --write, and all that came of it; made once for the tests below."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "port.yaml"
        self.ended = Ended(**json.loads((folder / "ended.json").read_text(encoding="utf-8")))
        assert self.ended.code == 0, self.ended.err
        self.job = job_folder(folder / "runs")
        self.found = store.load(Calibration, folder / "found.json")

    def run(self, arm: str) -> Run:
        return store.load_run(self.job / arm)


@pytest.fixture(scope="module")
def written(made_once: MadeOnce) -> Written:
    return Written(made_once("calibrated", calibrated))


def test_it_ends_well_and_says_what_it_found(written: Written) -> None:
    assert written.ended.code == 0, written.ended.err
    for words in (
        "latent_ulp",
        "planted truncation: seen on all 2 pictures",
        "planted corrupt_tile: seen on all 18 pictures",
        "port.yaml: the limits are written",
    ):
        assert words in written.ended.out
    assert store.load(Calibration, written.job / "calibration.json") == written.found
    assert written.found.missed == []
    assert (written.found.reference_dtype, written.found.candidate_dtype) == ("float32", "bfloat16")


def test_limits_that_were_guessed_and_still_judge_are_named(written: Written) -> None:
    told = [line for line in written.ended.out.splitlines() if "still judges and was not measured" in line]
    assert len(told) == 1
    assert "port.yaml: limits[0] (psnr_db at least 10) still judges" in told[0]
    asked = scenario.load(written.path).scenario
    assert guessed_limits(asked.model_copy(update={"limits": asked.limits[1:]})) == []


def test_disturbed_runs_differ_from_each_other_and_say_that_they_are_disturbed(written: Written) -> None:
    plain = written.run("cpu")
    assert plain.plan.perturbation is None
    for arm, kind in (
        ("cpu-latent-ulp", PerturbationKind.LATENT_ULP),
        ("cpu-module-ulp", PerturbationKind.MODULE_ULP),
        ("cpu-bfloat16-latent-ulp", PerturbationKind.LATENT_ULP),
    ):
        run = written.run(arm)
        assert run.plan.perturbation is not None
        assert run.plan.perturbation.kind is kind
        for key in run.plan.keys:
            samples = run.samples_of(key)
            assert len(samples) == len({sample.outcome for sample in samples}) == 7
            assert {sample.process for sample in samples} == {0}, "weights are loaded once"
            assert {sample.noise_digest for sample in samples} == {plain.samples_of(key)[0].noise_digest}
            assert plain.samples_of(key)[0].outcome not in {sample.outcome for sample in samples}


def test_last_bits_move_little_and_half_precision_moves_more(written: Written) -> None:
    worst = {floor.source: floor.worst for floor in written.found.floors if floor.metric == "relative_l2"}
    assert worst[FloorSource.REPEAT] == 0
    assert 0 < worst[FloorSource.LATENT_ULP] < 1e-4 < worst[FloorSource.PRECISION]
    assert 0 < worst[FloorSource.MODULE_ULP] < 1e-4
    steps = {each.source: each.relative_l2 for each in written.found.steps}
    assert all(len(each) == 3 for each in steps.values())
    assert steps[FloorSource.REPEAT] == [0, 0, 0]
    assert all(0 < each < 1e-4 for each in steps[FloorSource.LATENT_ULP])


def test_only_the_limits_that_were_measured_change_in_the_file(written: Written) -> None:
    text = written.path.read_text(encoding="utf-8")
    lines = list(difflib.ndiff(TEXT.splitlines(), text.splitlines()))
    begin, end = TEXT.index("  - metric: psnr_db\n    subject"), TEXT.index("\ntags")
    gone = [line[2:] for line in lines if line.startswith("- ")]
    assert set(gone) <= set(TEXT[begin:end].splitlines())
    assert text.startswith(TEXT[:begin])
    assert text.endswith(TEXT[end:])
    limits = scenario.load(written.path).scenario.limits
    assert [limit.evidence is None for limit in limits] == [True, *[False] * len(written.found.limits)]
    assert limits[1:] == written.found.limits


def test_what_was_written_is_measured_on_other_seeds_than_it_judges(written: Written) -> None:
    loaded = scenario.load(written.path).scenario
    for limit in loaded.limits[1:]:
        assert limit.evidence is not None
        assert not set(limit.evidence.seeds) & set(loaded.seeds)
        assert limit.evidence.samples == 44, "for each of two seeds one repeat and three times seven disturbances"


def judged(written: Written, folder: Path, adapter: str) -> Ended:
    """The calibrated scenario checked in a folder of its own, with a planted adapter."""
    path = folder / "port.yaml"
    path.write_text(written.path.read_text(encoding="utf-8").replace("adapter: deepgen", f"adapter: {adapter}"))
    return run_command(folder, "check", path, "--json")


@pytest.mark.nightly  # in each landing, calibrate itself says that its limits see both, and gate that a limit is broken
@pytest.mark.parametrize("adapter", ["planted-truncation", "planted-corrupt-tile"])
def test_the_limits_fall_for_a_fault(adapter: str, written: Written, tmp_path: Path) -> None:
    ended = judged(written, tmp_path, adapter)
    assert ended.code == 1, ended.out + ended.err


def test_the_limits_hold_for_a_healthy_candidate_whose_report_shows_the_floor_that_was_measured_in_its_runs_folder(
    written: Written, tmp_path: Path
) -> None:
    shutil.copytree(written.job, tmp_path / "runs" / written.job.name)
    ended = judged(written, tmp_path, "deepgen")
    assert ended.code == 0, ended.out + ended.err
    (job,) = {path.parent.parent for path in (tmp_path / "runs").glob("*/report/index.html")}
    assert store.load(Calibration, job / "calibration-cpu.json") == written.found
    page = (job / "report" / "index.html").read_text(encoding="utf-8")
    assert page.count('<rect class="floor"') == 3
    shutil.rmtree(tmp_path / "runs" / written.job.name)
    compared = sorted(job.glob("comparison-*.json"))
    ended = run_command(tmp_path, "report", *compared, "--out", "again", "--format", "json")
    assert ended.code == 0, ended.err
    again = json.loads((tmp_path / "again" / "report.json").read_text(encoding="utf-8"))
    assert [each["arm"] for each in again["calibrations"]] == ["cpu"]


def test_a_disturbed_run_is_not_compared(written: Written) -> None:
    ended = run_command(written.job, "compare", written.job / "cpu-latent-ulp", written.job / "cpu", "--out", "c.json")
    assert ended.code == 7
    assert "was disturbed on purpose (latent_ulp)" in ended.out


def test_disturbed_latents_are_neighbours_after_no_step_at_all(written: Written) -> None:
    """What the pipeline was given is one unit from the noise; after three steps the latents are still near."""
    plain, moved = written.run("cpu"), written.run("cpu-latent-ulp")
    for sample in moved.samples:
        first = plain.samples_of(sample.key)[0]
        assert sample.latents is not None
        assert first.latents is not None
        mine = read_kept(written.job / "cpu-latent-ulp", sample.latents)
        theirs = read_kept(written.job / "cpu", first.latents)
        assert 0 < abs(mine - theirs).max() < 1e-3


# --- refusals --------------------------------------------------------------------------------------------------------

QUICK: dict[str, Any] = {
    "model": {"adapter": "planted-chaos", "dtype": "bfloat16"},
    "calibration": {"seeds": [1, 2]},
    "arms": [{"name": "candidate", "device": "cpu"}, {"name": "cpu", "role": "reference", "device": "cpu"}],
    "limits": [{"metric": "psnr_db", "scope": "reference", "at_least": 10, "reason": "Only for this test."}],
}


def test_a_proposal_under_which_a_planted_fault_passes_is_refused_and_nothing_is_written(
    run_harness: RunHarness, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "port.yaml"
    text = TEXT.replace("adapter: deepgen", "adapter: planted-chaos").replace("dtype: float32", "dtype: bfloat16")
    path.write_text(text, encoding="utf-8")
    ended = run_harness("calibrate", path, "--write", "--json")
    assert ended.code == 1, ended.err
    found = {each["fault"]: each for each in json.loads(ended.out)["detections"]}
    assert len(found["corrupt_tile"]["missed"]) == 18
    assert path.read_text(encoding="utf-8") == text
    table_of_calibration(store.load(Calibration, job_folder(tmp_path / "runs") / "calibration.json"))
    said = capsys.readouterr().out
    assert "planted corrupt_tile: PASSES on 18 of 18 pictures, first circle, seed 1 at x=0 y=0" in said
    assert "The proposal is refused: corrupt_tile" in said


REFUSED: dict[str, tuple[dict[str, Any], list[str], int, str]] = {
    "no seeds of its own": ({"calibration": None}, [], 2, "calibration:\n  seeds: [1001, 1002]"),
    "no reference": ({"arms": [{"name": "candidate"}]}, [], 2, "has no reference arm"),
    "several references": (
        {"arms": [*QUICK["arms"], {"name": "other", "role": "reference", "device": "cpu"}]},
        [],
        2,
        "name one: --arm cpu or other",
    ),
    "another arm": ({}, ["--arm", "cpo"], 2, "Did you mean 'cpu'?"),
    "the candidate": ({}, ["--arm", "candidate"], 2, "no reference arm of small is called 'candidate'"),
    "noise of the device": ({"noise": "device"}, [], 2, "set noise: portable"),
    "limits in brackets": ({}, ["--write"], 2, "limits is written in brackets"),
    "a pipeline without a module": (
        {"model": {"adapter": "planted-chaos", "dtype": "float32"}},
        [],
        3,
        "does not name the module that denoises",
    ),
    "a pipeline that crashes": ({"model": {"adapter": "planted-load-crash"}}, [], 3, "planted: no memory left"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_calibrated_is_refused_with_words(
    case: str, run_harness: RunHarness, write_scenario: Callable[..., Path]
) -> None:
    changes, words, code, message = REFUSED[case]
    values = {name: value for name, value in {**QUICK, **changes}.items() if value is not None}
    ended = run_harness("calibrate", write_scenario(**values), *words)
    assert ended.code == code, ended.out + ended.err
    assert message in ended.err


def test_limits_whose_reason_is_translated_are_not_replaced_behind_the_translation(
    run_harness: RunHarness, tmp_path: Path
) -> None:
    path = tmp_path / "port.yaml"
    reason = "Measured once, on something else altogether."
    assert reason in TEXT
    path.write_text(f"{TEXT.rstrip()}\ntranslations:\n  zh:\n    {reason}: 实测\n", encoding="utf-8")
    before = path.read_bytes()
    ended = run_harness("calibrate", path, "--write")
    assert ended.code == 2, ended.out + ended.err
    assert "its reason is translated" in ended.err
    assert path.read_bytes() == before
    assert not (tmp_path / "runs").exists(), "nothing was measured"


# --- limits without evidence -----------------------------------------------------------------------------------------


def test_validate_warns_of_limits_without_evidence_and_too_near_to_it(run_harness: RunHarness, tmp_path: Path) -> None:
    path = tmp_path / "port.yaml"
    path.write_text(TEXT.replace("worst: 96", "worst: 92"), encoding="utf-8")
    ended = run_harness("validate", path)
    assert ended.code == 0
    assert "warning: limits[0] (psnr_db at least 10) has no evidence" in ended.out
    assert "warning: limits[1] (psnr_db of the float output at least 90) allows less than 1.5 times" in ended.out
    assert run_harness("validate", path, "--strict").code == 1
    begin, end = TEXT.index("  # what was written by hand"), TEXT.index("  # what was measured")
    path.write_text(TEXT[:begin] + TEXT[end:], encoding="utf-8")
    ended = run_harness("validate", path, "--strict")
    assert ended.code == 0
    assert "warning" not in ended.out
