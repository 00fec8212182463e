"""Models that differ, on purpose or not, through the real command line: refused by file and key, or compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.records import Comparison, NoiseMode, Run, from_json
from harness.store import Job
from tests.command_line import job_folder, run_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import AnyRecord
    from tests.command_line import MadeOnce, RunHarness

pytestmark = [
    pytest.mark.slow,
    # diffusers' own schedulers hand tensors to numpy in a way that numpy 2 warns of.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

MEANT = "The scheduler was changed to see what it does."
REASON = ["--reason", "The picture was looked at."]
LIMITS = [
    {"metric": "identical", "scope": "repeat", "equals": 1, "reason": "For this test only."},
    {"metric": "psnr_db", "scope": "reference", "at_least": 3, "reason": "For this test only."},
]


def write(folder: Path, source: Path, **changes: Any) -> Path:
    """A scenario that is as small as it can be; keywords replace its fields."""
    scenario = {
        "name": "small",
        "summary": "As small as it can be.",
        "task": "text_to_image",
        "model": {"source": str(source), "dtype": "float32", "adapter": "planted-toy", **changes.pop("model", {})},
        "cases": [{"id": "circle", "prompt": "a blue circle"}],
        "seeds": [42],
        "width": 64,
        "height": 64,
        "steps": 2,
        "switches": "as_shipped",
        "repeats": {"in_process": 2, "processes": 1},
        "arms": [{"name": "candidate", "device": "cpu"}],
        "limits": LIMITS,
        **changes,
    }
    path = folder / f"{scenario['name']}.yaml"
    path.write_text(json.dumps(scenario), encoding="utf-8")
    return path


def changed(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def read(kind: type[AnyRecord], path: Path) -> AnyRecord:
    return from_json(kind, path.read_text(encoding="utf-8"), place=path)


# --- runs of real pipelines ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(made_once: MadeOnce) -> Path:
    """Runs of a real pipeline: as it is, as another hub gives it, and with another scheduler; the last two say so."""
    pytest.importorskip("diffusers")
    from tests.adapters.tiny_pipelines import saved

    def fill(folder: Path) -> None:
        plain = saved("sd15", folder / "plain")
        hub = Path(shutil.copytree(plain, folder / "hub"))
        (hub / "README.md").write_text("# as another hub shows it\n", encoding="utf-8")
        (hub / "configuration.json").write_text('{"framework": "pytorch"}', encoding="utf-8")
        (hub / "vae" / "LICENSE").write_text("as you like\n", encoding="utf-8")
        other = Path(shutil.copytree(plain, folder / "other"))
        changed(other / "scheduler" / "scheduler_config.json", beta_end=0.01, steps_offset=0)
        (other / "tokenizer" / "added_tokens.json").write_text("{}", encoding="utf-8")
        for name, meant in (("plain", {}), ("hub", {"model": MEANT}), ("other", {"model": MEANT})):
            place = folder / f"of-{name}"
            place.mkdir()
            keys = {"differs_in": meant} if meant else {}
            ended = run_command(place, "run", write(place, folder / name, model={"adapter": "diffusers"}, **keys))
            assert ended.code == 0, ended.err

    return made_once("differs-in-real", fill)


@pytest.fixture
def runs(real: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Folder of a run, as a copy that may be written to."""

    def run(name: str) -> Path:
        if not (tmp_path / name).exists():
            shutil.copytree(job_folder(real / f"of-{name}" / "runs"), tmp_path / name)
        return tmp_path / name / "candidate"

    return run


def test_what_another_hub_puts_beside_a_model_makes_no_difference(
    runs: Callable[[str], Path], run_harness: RunHarness
) -> None:
    ended = run_harness("compare", runs("plain"), runs("hub"))
    assert ended.code == 0, ended.out + ended.err
    assert "the model" not in ended.out
    assert "differs_in" not in ended.out
    mine, theirs = (read(Run, runs(name) / "run.json").model for name in ("plain", "hub"))
    assert mine.digest != theirs.digest
    assert mine.loaded == theirs.loaded
    assert set(theirs.other_files) == {"README.md", "configuration.json", "vae/LICENSE"}


def test_a_key_that_allows_what_is_not_there_is_noticed_and_no_error(
    runs: Callable[[str], Path], run_harness: RunHarness
) -> None:
    ended = run_harness("compare", runs("hub"), runs("plain"))
    assert ended.code == 0, ended.out + ended.err
    assert "note: differs_in had no effect here" in ended.out
    assert "on purpose" not in ended.out


def test_models_that_differ_are_refused_by_file_and_key_with_what_would_allow_it(
    runs: Callable[[str], Path], tmp_path: Path, run_harness: RunHarness
) -> None:
    ended = run_harness("compare", runs("plain"), runs("other"), "--out", "one.json")
    assert ended.code == 7, "what the expected side's scenario says does not count"
    for words in (
        "differs_in of the scenario, with model and a reason",
        "scheduler/scheduler_config.json has other values of beta_end, steps_offset",
        "the actual side has no tokenizer/added_tokens.json",
    ):
        assert words in ended.out
    found = read(Comparison, tmp_path / "one.json")
    assert found.pairs == []
    assert found.model is not None
    assert [(each.name, each.missing, each.keys) for each in found.model.files] == [
        ("scheduler/scheduler_config.json", None, ["beta_end", "steps_offset"]),
        ("tokenizer/added_tokens.json", "actual", []),
    ]


def test_models_that_differ_on_purpose_are_compared_and_every_report_says_so(
    runs: Callable[[str], Path], tmp_path: Path, run_harness: RunHarness
) -> None:
    ended = run_harness("compare", runs("other"), runs("plain"))
    assert ended.code == 0, ended.out + ended.err
    said = f"the models differ on purpose ({MEANT}): scheduler/scheduler_config.json has other values of beta_end, "
    assert said in ended.out
    assert "the expected side has no tokenizer/added_tokens.json" in ended.out
    assert "circle, seed 42: the scheduler's table differs in its noise levels" in ended.out
    (path,) = (tmp_path / "other").glob("comparison-reference-*.json")
    psnr_db = next(each.value for each in read(Comparison, path).pairs[0].measurements if each.metric == "psnr_db")
    assert psnr_db is not None
    assert psnr_db < 60, "another scheduler makes another picture"
    assert run_harness("report", path, "--format", "md,html,json", "--out", "report").code == 0
    for name in ("report.md", "index.html"):
        text = (tmp_path / "report" / name).read_text(encoding="utf-8")
        for words in (
            f"The models of the two sides differ on purpose: {MEANT}",
            "scheduler/scheduler_config.json",
            "beta_end, steps_offset",
            "missing on the expected side",
            "their models differ on purpose",
        ):
            assert words in text, name
    (record,) = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))["comparisons"]
    assert record["differs_in"] == {"model": MEANT}
    assert [each["name"] for each in record["model"]["files"]] == [
        "scheduler/scheduler_config.json",
        "tokenizer/added_tokens.json",
    ]


# --- baselines -------------------------------------------------------------------------------------------------------

BASELINE = {"name": "kept", "role": "reference", "device": "cpu", "dtype": "float32", "baseline": True}
ARMS = [{"name": "candidate", "device": "cpu"}, BASELINE]


@pytest.fixture(scope="module")
def toy(made_once: MadeOnce) -> Path:
    """A baseline of a pipeline that is its noise, and another model that it knows nothing of."""

    def fill(folder: Path) -> None:
        for name in ("first", "second"):
            (folder / name / "scheduler").mkdir(parents=True)
            (folder / name / "model_index.json").write_text('{"_class_name": "Toy"}', encoding="utf-8")
            shift = {"first": 3.0, "second": 1.0}[name]
            (folder / name / "scheduler" / "scheduler_config.json").write_text(json.dumps({"shift": shift}))
        path = write(folder, folder / "first", arms=ARMS)
        ended = run_command(folder, "run", path, "--arm", "kept")
        assert ended.code == 0, ended.err
        ended = run_command(folder, "baseline", "accept", job_folder(folder / "runs") / "kept", *REASON)
        assert ended.code == 0, ended.err
        shutil.rmtree(folder / "runs")

    return made_once("differs-in-toy", fill)


def checked(folder: Path) -> Comparison:
    return read(Comparison, job_folder(folder / "runs") / "comparison-reference-candidate-against-kept.json")


def test_without_the_key_a_baseline_of_another_model_is_refused_before_and_after_the_run(
    toy: Path, tmp_path: Path, run_harness: RunHarness
) -> None:
    path = write(tmp_path, toy / "second", arms=ARMS)
    for ended in (
        run_harness("doctor", "--baseline", path, "--baselines-dir", toy / "baselines"),
        run_harness("check", path, "--baselines-dir", toy / "baselines"),
    ):
        assert ended.code == 7, ended.out + ended.err
        said = " ".join(ended.out.split())
        assert "has other values of shift" in said
        assert "differs_in of the scenario" in said
    assert checked(tmp_path).pairs == []
    assert read(Run, job_folder(tmp_path / "runs") / "candidate" / "run.json").plan.noise is NoiseMode.PORTABLE


def test_with_the_key_it_is_judged_from_the_same_noise_and_told_from_end_to_end(
    toy: Path, tmp_path: Path, run_harness: RunHarness
) -> None:
    translations = {"zh": {MEANT: "为了观察其作用而更改了调度器。"}}
    changes = {"arms": ARMS, "differs_in": {"model": MEANT}, "translations": translations}
    path = write(tmp_path, toy / "second", **changes)
    ended = run_harness("doctor", "--baseline", path, "--baselines-dir", toy / "baselines")
    assert ended.code == 0, ended.out
    assert "the models differ on purpose" in " ".join(ended.out.split())
    ended = run_harness("check", path, "--baselines-dir", toy / "baselines", "--lang", "zh")
    assert ended.code == 0, ended.out + ended.err
    assert "1 of 1 pair within limits against kept, another model on purpose" in ended.out
    assert "scheduler/scheduler_config.json has other values of shift" in ended.out
    found = checked(tmp_path)
    assert found.expected.baseline is not None
    assert (
        read(Run, job_folder(tmp_path / "runs") / "candidate" / "run.json").plan.noise_from == found.expected.baseline
    )
    page = (job_folder(tmp_path / "runs") / "report" / "report.md").read_text(encoding="utf-8")
    assert "两侧模型有意不同：为了观察其作用而更改了调度器。" in page
    assert "中 shift 的值不同" in page
    assert MEANT.removesuffix(".") not in page
    stored = job_folder(tmp_path / "runs") / "comparison-reference-candidate-against-kept.json"
    assert run_harness("gate", stored).code == 0
    ended = run_harness("release", "r", path)
    assert ended.code == 0, ended.out + ended.err
    released = (tmp_path / "reports" / "r" / "report.md").read_text(encoding="utf-8")
    assert f"The models of the two sides differ on purpose: {MEANT}" in released


def test_a_broken_limit_is_broken_whatever_differs_on_purpose(
    toy: Path, tmp_path: Path, run_harness: RunHarness
) -> None:
    path = write(
        tmp_path,
        toy / "second",
        arms=ARMS,
        differs_in={"model": MEANT},
        model={"adapter": "planted-toy-darker"},
        limits=[*LIMITS, {"metric": "identical", "scope": "reference", "equals": 1, "reason": "For this test only."}],
    )
    ended = run_harness("check", path, "--baselines-dir", toy / "baselines")
    assert ended.code == 1, ended.out + ended.err
    assert "the models differ on purpose" in ended.out


def test_the_key_allows_nothing_but_the_model(toy: Path, tmp_path: Path, run_harness: RunHarness) -> None:
    path = write(tmp_path, toy / "second", arms=ARMS, differs_in={"model": MEANT}, steps=3)
    ended = run_harness("check", path, "--baselines-dir", toy / "baselines")
    assert ended.code == 7, ended.out + ended.err
    assert "steps: actual 3, expected 2" in ended.out
    assert checked(tmp_path).pairs == []


@pytest.mark.nightly
def test_a_readme_that_is_edited_lets_an_interrupted_job_go_on(tmp_path: Path, run_harness: RunHarness) -> None:
    pytest.importorskip("diffusers")
    from tests.adapters.tiny_pipelines import saved

    model = saved("sd15", tmp_path / "model")
    path = write(tmp_path, model, model={"adapter": "diffusers"})
    assert run_harness("run", path).code == 0
    job = job_folder(tmp_path / "runs") / "job.json"
    for name, jobs in (("README.md", 1), ("scheduler/scheduler_config.json", 2)):
        record = read(Job, job)
        job.write_text(
            job.read_text(encoding="utf-8").replace(f'"{record.state}"', '"unfinished"', 1), encoding="utf-8"
        )
        if name.endswith(".json"):
            changed(model / name, steps_offset=0)
        else:
            (model / name).write_text("# edited\n", encoding="utf-8")
        assert run_harness("run", path).code == 0
        assert len(list((tmp_path / "runs").iterdir())) == jobs, name
