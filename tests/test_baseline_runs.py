"""Runs against baselines, through the real command line: missing, made elsewhere, carried over, compared or refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from harness.records import Comparison, NoiseMode, Run, from_json
from tests.command_line import environment, job_folder, patience_seconds, run_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command_line import MadeOnce, RunHarness

pytestmark = pytest.mark.slow

REASON = ["--reason", "The picture was looked at."]
CANDIDATE = {"name": "bf16", "device": "cpu"}
BASELINE = {
    "name": "gpu",
    "role": "reference",
    "device": "cpu",
    "dtype": "float32",
    "noise": "device",
    "baseline": True,
}
LIMITS = [
    {"metric": "identical", "scope": "repeat", "equals": 1, "reason": "For this test only."},
    {"metric": "psnr_db", "scope": "reference", "at_least": 20, "reason": "For this test only."},
]
TOY = {"source": "builtin:tiny-deepgen-random", "trust_remote_code": True, "adapter": "planted-toy"}
ROUNDED = {**TOY, "adapter": "planted-rounded"}
QUICK = {"switches": "as_shipped"}
"""To switch torch to determinism costs every start a second."""


def write(folder: Path, **changes: Any) -> Path:
    """A scenario with a candidate and a baseline made with a device's own noise; keywords replace its fields."""
    scenario = {
        "name": "small",
        "summary": "As small as it can be.",
        "task": "text_to_image",
        "model": {"source": "builtin:tiny-deepgen-random", "trust_remote_code": True},
        "cases": [{"id": "circle", "prompt": "a blue circle"}],
        "seeds": [42],
        "width": 64,
        "height": 64,
        "steps": 2,
        "repeats": {"in_process": 2, "processes": 1},
        "arms": [CANDIDATE, BASELINE],
        "limits": LIMITS,
        **changes,
    }
    path = folder / f"{scenario['name']}.yaml"
    path.write_text(json.dumps(scenario), encoding="utf-8")
    return path


def make(folder: Path, **changes: Any) -> None:
    """Make and accept the baseline of ``small.yaml``, and leave nothing else of its making."""

    def harness(*words: str | Path) -> None:
        ended = run_command(folder, *words)
        assert ended.code == 0, ended.err

    harness("run", write(folder, **changes), "--arm", "gpu")
    harness("baseline", "accept", job_folder(folder / "runs") / "gpu", *REASON)
    shutil.rmtree(folder / "runs")


@pytest.fixture(scope="module")
def rounded(made_once: MadeOnce) -> Path:
    """A baseline of a pipeline that differs by its precision alone."""
    return made_once("baseline-rounded", lambda folder: make(folder, model=ROUNDED, **QUICK))


@pytest.fixture(scope="module")
def toy(made_once: MadeOnce) -> Path:
    """A baseline of a pipeline that is its noise, with two seeds."""
    return made_once("baseline-toy", lambda folder: make(folder, model=TOY, seeds=[42, 7], **QUICK))


def only_run(folder: Path, arm: str) -> Run:
    path = job_folder(folder / "runs") / arm / "run.json"
    return from_json(Run, path.read_text(encoding="utf-8"), place=path)


def compared(folder: Path, pair: str) -> Comparison:
    path = job_folder(folder / "runs") / f"comparison-reference-{pair}.json"
    return from_json(Comparison, path.read_text(encoding="utf-8"), place=path)


def test_without_a_baseline_the_check_is_red_and_the_repeats_are_judged(
    tmp_path: Path, run_harness: RunHarness
) -> None:
    path = write(tmp_path, model=TOY, **QUICK)
    ended = run_harness("doctor", "--baseline", path)
    assert ended.code == 4
    assert "there is no baseline small/gpu" in " ".join(ended.out.split())
    ended = run_harness("check", path, "--json")
    assert ended.code == 4, ended.err
    for words in ("there is no baseline small/gpu in baselines", "harness run small.yaml --arm gpu", "baseline accept"):
        assert words in ended.err
    (checked,) = json.loads(ended.out)
    assert [(each["scope"], each["outcome"]) for each in checked["comparisons"]] == [
        ("repeat", "identical"),
        ("reference", "missing_baseline"),
    ]
    job = job_folder(tmp_path / "runs")
    assert "There is no baseline" in (job / "report" / "report.md").read_text(encoding="utf-8").replace(
        "there", "There"
    )
    assert run_harness("gate", job / "comparison-reference-bf16-against-gpu.json").code == 4
    assert run_harness("report", *sorted(job.glob("comparison-*.json")), "--out", "again").code == 0
    assert run_harness("report", *sorted(job.glob("comparison-*.json")), "--out", "zh", "--lang", "zh").code == 0
    assert "baselines 中没有基线 small/gpu" in (tmp_path / "zh" / "report.md").read_text(encoding="utf-8")


def test_noise_of_another_device_travels_and_makes_the_candidate_comparable(
    rounded: Path, tmp_path: Path, run_harness: RunHarness
) -> None:
    shutil.copytree(rounded / "baselines", tmp_path / "baselines")
    path = write(tmp_path, model=ROUNDED, **QUICK)
    assert run_harness("doctor", "--baseline", path).code == 0
    ended = run_harness("check", path)
    assert ended.code == 0, ended.err
    candidate, baseline = only_run(tmp_path, "bf16"), only_run(tmp_path, "gpu")
    assert (candidate.plan.noise, baseline.plan.noise) == (NoiseMode.BASELINE, NoiseMode.DEVICE)
    assert {each.noise_digest for each in candidate.samples} == {each.noise_digest for each in baseline.samples}
    found = compared(tmp_path, "bf16-against-gpu")
    assert found.expected.baseline == candidate.plan.noise_from
    measured = {(each.metric, each.subject): each.value for each in found.pairs[0].measurements}
    psnr = measured["psnr_db", "image"]
    assert psnr is not None
    assert 25 < psnr < 100, "bfloat16 against float32 from one noise: near, and not the same"

    job = job_folder(tmp_path / "runs")
    assert run_harness("compare", job / "bf16", "baselines/small/gpu", "--out", "apart/one.json").code == 0
    shutil.rmtree(tmp_path / "baselines")
    job.rename(tmp_path / "moved")
    again = run_harness("report", *sorted((tmp_path / "moved").glob("comparison-*.json")), "--out", "again")
    assert again.code == 0, "a job is whole without the store"


def test_a_candidate_with_its_own_device_noise_stays_not_comparable(
    toy: Path, tmp_path: Path, run_harness: RunHarness
) -> None:
    shutil.copytree(toy / "baselines", tmp_path / "baselines")
    own = {"name": "own", "device": "cpu", "noise": "device"}
    path = write(tmp_path, model=TOY, seeds=[42, 7], arms=[CANDIDATE, own, BASELINE], **QUICK)
    ended = run_harness("check", path)
    assert ended.code == 7
    assert compared(tmp_path, "bf16-against-gpu").outcome == "identical"
    assert compared(tmp_path, "own-against-gpu").outcome == "not_comparable"


def test_other_work_is_not_comparable_and_known_before_it_is_done(
    toy: Path, tmp_path: Path, run_harness: RunHarness
) -> None:
    shutil.copytree(toy / "baselines", tmp_path / "baselines")
    circle = {"id": "circle", "prompt": "a blue circle"}
    says = {"the prompt of case circle differs": {"prompt": "a red circle"}, "width: actual 96, expected 64": {}}
    for sentence, change in says.items():
        path = write(tmp_path, model=TOY, seeds=[42, 7], cases=[circle | change], width=64 if change else 96, **QUICK)
        ended = run_harness("doctor", "--baseline", path)
        assert ended.code == 7, sentence
        assert sentence in " ".join(ended.out.split())
    path = write(tmp_path, model=TOY, seeds=[42, 7], cases=[circle | {"prompt": "a red circle"}], width=96, **QUICK)
    ended = run_harness("check", path)
    assert ended.code == 7, ended.err
    for sentence in says:
        assert sentence in ended.out
    assert only_run(tmp_path, "bf16").plan.noise is NoiseMode.PORTABLE


def test_a_pipeline_with_a_draw_of_its_own_fails_in_words(toy: Path, tmp_path: Path, run_harness: RunHarness) -> None:
    shutil.copytree(toy / "baselines", tmp_path / "baselines")
    model = {**TOY, "adapter": "planted-other-noise"}
    ended = run_harness("check", write(tmp_path, model=model, seeds=[42, 7], **QUICK))
    assert ended.code == 3
    assert "asks for noise of the shape [1], and the baseline holds" in " ".join(ended.out.split())


def test_part_of_the_work_is_held_against_part_of_the_baseline(
    toy: Path, tmp_path: Path, run_harness: RunHarness
) -> None:
    shutil.copytree(toy / "baselines", tmp_path / "baselines")
    path = write(tmp_path, model=TOY, seeds=[42, 7, 1], **QUICK)
    ended = run_harness("check", path, "--seed", "7")
    assert ended.code == 0, ended.err
    assert [each.key.seed for each in compared(tmp_path, "bf16-against-gpu").pairs] == [7]
    shutil.rmtree(tmp_path / "runs")
    ended = run_harness("check", path)
    assert ended.code == 4
    assert "does not hold circle, seed 1" in ended.err


def test_of_two_noises_one_must_be_named(toy: Path, tmp_path: Path, run_harness: RunHarness) -> None:
    shutil.copytree(toy / "baselines", tmp_path / "baselines")
    other = {**BASELINE, "name": "card", "noise": "portable"}
    path = write(tmp_path, model=TOY, seeds=[42, 7], arms=[CANDIDATE, BASELINE, other], **QUICK)
    assert run_harness("run", path, "--arm", "card", "--baselines-dir", "none").code == 0
    assert run_harness("baseline", "accept", job_folder(tmp_path / "runs") / "card", *REASON).code == 0
    shutil.rmtree(tmp_path / "runs")
    for ended in (run_harness("check", path), run_harness("doctor", "--baseline", path)):
        assert ended.code == 2
        assert "the baselines of gpu and card had different noise" in ended.err
    assert not (tmp_path / "runs").exists()
    assert run_harness("check", path, "--arm", "bf16", "--arm", "card").code == 0


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


DAMAGE: dict[str, Callable[[Path], Path]] = {
    "a picture": lambda folder: next(folder.glob("samples/**/*.png")),
    "the noise": lambda folder: next(folder.glob("samples/**/noise-*.safetensors")),
    "the run": lambda folder: folder / "run.json",
    "the manifest": lambda folder: folder / "manifest.json",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_flipped_bit_is_never_a_verdict(what: str, toy: Path, tmp_path: Path, run_harness: RunHarness) -> None:
    shutil.copytree(toy / "baselines", tmp_path / "baselines")
    path = write(tmp_path, model=TOY, seeds=[42, 7], **QUICK)
    harmed = DAMAGE[what](tmp_path / "baselines" / "small" / "gpu")
    flip(harmed)
    for ended in (run_harness("check", path), run_harness("baseline", "verify")):
        assert ended.code == 3, ended.err
        said = "".join((ended.out + ended.err).split())  # a table breaks words between lines
        assert harmed.name in said
        assert "damaged" in said
    assert not (tmp_path / "runs").exists()


def test_a_baseline_that_nobody_asks_for_is_said(toy: Path, tmp_path: Path, run_harness: RunHarness) -> None:
    shutil.copytree(toy / "baselines", tmp_path / "baselines")
    path = write(tmp_path, model=TOY)
    for verb in ("list", "verify"):
        assert "unused" not in run_harness("baseline", verb, "--scenarios-dir", ".").out
        assert "unused" not in run_harness("baseline", verb).out, "without a folder of scenarios nothing is known"
    write(tmp_path, model=TOY, arms=[CANDIDATE, {**BASELINE, "baseline": False}])
    for verb in ("list", "verify"):
        ended = run_harness("baseline", verb, "--scenarios-dir", ".")
        assert ended.code == 0
        assert "unused: no scenario in . has an arm gpu with baseline: true" in ended.out
    ended = run_harness("doctor", "--baseline", path)
    assert ended.code == 5
    assert "reads no baseline" in ended.err


def test_a_candidate_cannot_be_a_baseline(tmp_path: Path, run_harness: RunHarness) -> None:
    path = write(tmp_path, arms=[{**CANDIDATE, "baseline": True}, {**BASELINE, "baseline": False}])
    ended = run_harness("validate", path)
    assert ended.code == 2
    assert "small.yaml:1:" in ended.err
    assert "arms[0].baseline: found in a candidate" in ended.err
    path = write(tmp_path, noise="baseline")
    ended = run_harness("validate", path)
    assert ended.code == 2
    assert "reference arm has 'baseline: true'" in ended.err


COUNTED = """
import sys
from collections import Counter
from harness.records import Scenario
from harness.store import baselines
counts = Counter()
def counted(name, real):
    def call(*args, **kwargs):
        counts[name] += 1
        return real(*args, **kwargs)
    return call
for name in ("model_validate", "model_validate_json"):
    setattr(Scenario, name, counted("validated", getattr(Scenario, name)))
baselines.read = counted("baseline read", baselines.read)
from harness.cli import main
try:
    main()
finally:
    print(dict(counts))
"""


def test_one_check_validates_its_scenario_once_and_reads_its_baseline_once(toy: Path, tmp_path: Path) -> None:
    shutil.copytree(toy, tmp_path, dirs_exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, "check", "small.yaml"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "{'validated': 1, 'baseline read': 1}", done.stdout + done.stderr
