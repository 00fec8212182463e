"""Several pictures of one call: each is kept, named, compared and judged by itself, and none is left out."""

from __future__ import annotations

import csv
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import ValidationError

from harness import scenario
from harness.compare import comparability
from harness.errors import ScenarioError
from harness.images import write_picture
from harness.records import CaseKey, Run, Sample, from_json, read_record, to_json
from harness.run.supervisor import forget_half_calls, stored_samples
from tests.command_line import job_folder, read_json, run_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command_line import MadeOnce, RunHarness, WriteScenario

IDENTICAL = {"metric": "identical", "scope": "repeat", "equals": 1, "reason": "The test says so, and nothing else."}
PSNR = {"metric": "psnr_db", "scope": "reference", "at_least": 40, "reason": "Only for this test."}
ARMS = [
    {"name": "candidate", "device": "cpu"},
    {"name": "reference", "device": "cpu", "role": "reference", "repeats": {"in_process": 1, "processes": 1}},
]
QUESTION: dict[str, Any] = {
    "name": "small",
    "summary": "As small as it can be.",
    "task": "text_to_image",
    "cases": [{"id": "circle", "prompt": "a blue circle"}],
    "seeds": [7, 42],
    "width": 64,
    "height": 64,
    "steps": 2,
    "switches": "as_shipped",
    "repeats": {"in_process": 2, "processes": 1},
    "pictures_per_case": 3,
}


def toy(fault: str = "none") -> dict[str, Any]:
    model = {"source": "builtin:tiny-deepgen-random", "trust_remote_code": True, "dtype": "float32"}
    return {**model, "adapter": "planted-several", "options": {"fault": fault}}


def written(folder: Path, **changes: Any) -> Path:
    question = {**QUESTION, "model": toy(), "arms": ARMS, "limits": [IDENTICAL, PSNR], **changes}
    path = folder / "small.yaml"
    path.write_text(json.dumps(question), encoding="utf-8")
    return path


def read_run(folder: Path, arm: str = "candidate") -> Run:
    job = job_folder(folder / "runs")
    return from_json(Run, (job / arm / "run.json").read_text(encoding="utf-8"), place=job)


def comparison(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(job_folder(folder / "runs") / f"comparison-{name}.json")
    return found


def image(number: int, seed: int = 42) -> dict[str, Any]:
    return {"case": "circle", "seed": seed, "image": number, "images": 3}


@pytest.fixture(scope="module")
def checked(made_once: MadeOnce) -> Path:
    """A folder in which a healthy scenario with three pictures of each call was checked."""

    def fill(folder: Path) -> None:
        ended = run_command(folder, "check", written(folder))
        assert ended.code == 0, ended.err

    return made_once("three pictures of a call", fill)


# --- keys ------------------------------------------------------------------------------------------------------------


def test_a_key_names_its_image_and_one_of_a_single_image_is_written_as_ever() -> None:
    single, second = CaseKey(case="cup", seed=3), CaseKey(case="cup", seed=3, image=2, images=4)
    assert (str(single), str(second)) == ("cup, seed 3", "cup, seed 3, image 2 of 4")
    assert json.loads(to_json(single)) == {"case": "cup", "seed": 3}
    assert from_json(CaseKey, to_json(second), place="here") == second
    assert second.call == single
    with pytest.raises(ValidationError):
        CaseKey(case="cup", seed=3, image=0, images=4)


# --- a healthy scenario ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_image_is_a_sample_that_shares_the_draws_of_its_call(checked: Path) -> None:
    run = read_run(checked)
    assert run.plan.pictures_per_case == 3
    numbered = [(sample.key.seed, sample.key.image, sample.repeat) for sample in run.samples]
    assert numbered == [(seed, number, repeat) for seed in (7, 42) for number in (1, 2, 3) for repeat in (0, 1)]
    of_a_call = [sample for sample in run.samples if (sample.key.seed, sample.repeat) == (7, 0)]
    assert len({sample.noise_digest for sample in of_a_call}) == 1
    assert [draw.shape for draw in of_a_call[0].draws] == [[3, 64, 64, 3]]
    assert len({sample.image.digest for sample in of_a_call}) == 3
    for sample in of_a_call:
        assert sample.latents is not None
        assert sample.float_image is not None
        assert sample.latents.shape == [1, 64, 64, 3], "its own row of the latents"
        assert sample.per_step[0].shape == [1, 64, 64, 3]
    assert len({sample.per_step[0].digest for sample in of_a_call}) == 3
    folder = job_folder(checked / "runs") / "candidate"
    assert sorted(path.name for path in (folder / "samples/circle/7").glob("p*.json")) == [
        f"p0r{repeat}i{number}.json" for repeat in (0, 1) for number in (1, 2, 3)
    ]


@pytest.mark.slow
def test_every_image_is_compared_and_told_by_its_number(checked: Path) -> None:
    repeats, pairs = (
        comparison(checked, "repeat-candidate"),
        comparison(checked, "reference-candidate-against-reference"),
    )
    assert [each["key"] for each in repeats["repetitions"]] == [
        image(number, seed) for seed in (7, 42) for number in (1, 2, 3)
    ]
    assert {(each["runs"], len(each["outcomes"])) for each in repeats["repetitions"]} == {(2, 1)}
    assert [each["key"] for each in pairs["pairs"]] == [each["key"] for each in repeats["repetitions"]]
    assert (repeats["outcome"], pairs["outcome"], pairs["unfit"], pairs["missing"]) == (
        "identical",
        "identical",
        [],
        [],
    )
    assert [each["key"]["image"] for each in pairs["other_noise"]] == [1, 2, 3], "each against the same one of seed 42"
    report = job_folder(checked / "runs") / "report"
    said = {
        "index.html": "circle, seed 7, image 2 of 3",
        "junit.xml": "circle, seed 7, image 2 of 3",
        "report.md": "7, image 2 of 3 | identical",
    }
    for name, words in said.items():
        assert words in (report / name).read_text(encoding="utf-8"), name
    with (report / "metrics.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["metric"] == "psnr_db" and row["subject"] == "image"]
    of_reference = [(row["seed"], row["image"]) for row in rows if row["scope"] == "reference"]
    assert of_reference == [(seed, number) for seed in ("7", "42") for number in ("1", "2", "3")]
    text = (report / "report.md").read_text(encoding="utf-8")
    assert "Whole call of 3 pictures, median" in text
    assert "Images of each call" in text


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_equal_images_of_one_call_are_an_error(run_harness: RunHarness, tmp_path: Path) -> None:
    ended = run_harness("check", written(tmp_path, model=toy("same"), arms=ARMS[:1], limits=[IDENTICAL], seeds=[42]))
    assert ended.code == 3
    found = comparison(tmp_path, "repeat-candidate")
    assert [(each["kind"], each["key"]) for each in found["unfit"]] == [
        ("same_image", image(2)),
        ("same_image", image(3)),
    ]
    assert found["unfit"][0]["message"] == (
        "circle, seed 42, image 1 of 3 and circle, seed 42, image 2 of 3 are the same image, byte for byte, though "
        "each image of a call begins with noise of its own"
    )


@pytest.mark.slow
def test_another_number_of_images_than_asked_for_is_a_failure_in_words(run_harness: RunHarness, tmp_path: Path) -> None:
    ended = run_harness("check", written(tmp_path, model=toy("fewer"), arms=ARMS[:1], limits=[IDENTICAL], seeds=[42]))
    assert ended.code == 3
    run = read_run(tmp_path)
    assert run.samples == []
    assert {failure.stage for failure in run.failures} == {"output"}
    assert run.failures[0].key == CaseKey(case="circle", seed=42)
    assert run.failures[0].message.startswith(
        "the call returned 2 images; expected 3, as pictures_per_case says. Write"
    )


@pytest.mark.slow
def test_one_image_that_drifts_fails_alone_and_is_made_again_by_last_failed(
    run_harness: RunHarness, tmp_path: Path
) -> None:
    path = written(tmp_path, model=toy("third_darker"))
    ended = run_harness("check", path)
    assert ended.code == 1
    pairs = comparison(tmp_path, "reference-candidate-against-reference")["pairs"]
    broken = [each["key"] for each in pairs if each["verdicts"][0]["status"] == "drift"]
    assert broken == [image(3, 7), image(3, 42)]
    assert "circle, seed 7, image 3 of 3" in ended.out
    again = run_harness("check", path, "--last-failed")
    assert again.code == 1, again.err
    newest = max((tmp_path / "runs").iterdir())
    assert len(read_json(newest / "candidate" / "run.json")["samples"]) == 2 * 3 * 2, "whole calls"


@pytest.mark.slow
def test_one_image_that_does_not_repeat_is_unstable_alone(run_harness: RunHarness, tmp_path: Path) -> None:
    question = written(tmp_path, model=toy("second_unsteady"), arms=ARMS[:1], limits=[IDENTICAL], seeds=[42])
    ended = run_harness("check", question)
    assert ended.code == 6
    found = comparison(tmp_path, "repeat-candidate")["repetitions"]
    assert [(each["key"]["image"], len(each["outcomes"])) for each in found] == [(1, 1), (2, 2), (3, 1)]


# --- interrupted calls -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_call_that_was_killed_half_stored_is_made_again_as_a_whole(run_harness: RunHarness, tmp_path: Path) -> None:
    once = {"in_process": 1, "processes": 1}
    path = written(tmp_path, model=toy("killed_half_stored"), arms=ARMS[:1], limits=[], seeds=[42], repeats=once)
    ended = run_harness("run", path)
    assert ended.code == 3
    run = read_run(tmp_path)
    assert [failure.error for failure in run.failures] == ["killed by signal 9"]
    assert run.samples == [], "two of three images were stored, and a part of a call stands for nothing"
    assert not list(tmp_path.glob("runs/*/candidate/samples/*/*/p*.json"))
    shutil.rmtree(tmp_path / "runs")
    ended = run_harness("run", path, "--retries", "1")
    assert ended.code == 0, ended.err
    run = read_run(tmp_path)
    assert [failure.error for failure in run.retried] == ["killed by signal 9"]
    assert [(sample.process, sample.key.image) for sample in run.samples] == [(1, 1), (1, 2), (1, 3)]


@pytest.mark.slow
def test_an_interrupted_run_keeps_whole_calls_and_makes_the_others_again(
    checked: Path, run_harness: RunHarness, tmp_path: Path
) -> None:
    shutil.copytree(checked, tmp_path, dirs_exist_ok=True)
    job = job_folder(tmp_path / "runs")
    for name in ("comparison-repeat-candidate.json", "comparison-reference-candidate-against-reference.json"):
        (job / name).unlink()
    shutil.rmtree(job / "report")
    shutil.rmtree(job / "reference")
    whole = job / "job.json"
    whole.write_text(whole.read_text(encoding="utf-8").replace('"state": "finished"', '"state": "unfinished"'))
    stored = job / "candidate" / "run.json"
    (job / "candidate/samples/circle/7/p0r1i2.json").unlink()
    stored.write_text(stored.read_text(encoding="utf-8").replace('"state": "finished"', '"state": "unfinished"'))
    ended = run_harness("check", tmp_path / "small.yaml")
    assert ended.code == 0, ended.err
    assert "resuming the interrupted job" in ended.err
    made = {(sample.key.seed, sample.process, sample.repeat) for sample in read_run(tmp_path).samples}
    assert made == {(7, 0, 0), (7, 1, 0), (42, 0, 0), (42, 0, 1)}
    assert len(read_run(tmp_path).samples) == 4 * 3


def test_only_parts_of_calls_are_forgotten(checked: Path, tmp_path: Path) -> None:
    folder = tmp_path / "candidate"
    shutil.copytree(job_folder(checked / "runs") / "candidate", folder)
    plan = read_run(checked).plan
    forget_half_calls(folder, plan)
    assert len(stored_samples(folder)) == 12
    (folder / "samples/circle/42/p0r0i1.json").unlink()
    forget_half_calls(folder, plan)
    assert len(stored_samples(folder)) == 9
    assert read_record(Sample, folder / "samples/circle/42/p0r1i1.json").key.image == 1


# --- baselines and packs ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_baseline_of_several_images_travels_and_judges_each(
    checked: Path, run_harness: RunHarness, tmp_path: Path
) -> None:
    arm = job_folder(checked / "runs") / "candidate"
    reason = "Looked at, image by image."
    accepted = run_harness("baseline", "accept", arm, "--reason", reason, "--who", "test")
    assert accepted.code == 0, accepted.err
    packed = run_harness("baseline", "pack", "small/candidate", "--out", "baseline.tar.gz")
    assert packed.code == 0, packed.err
    shutil.rmtree(tmp_path / "baselines")
    assert run_harness("baseline", "unpack", "baseline.tar.gz").code == 0
    kept = read_json(tmp_path / "baselines/small/candidate/manifest.json")
    assert [each["key"] for each in kept["accepted"]] == [
        image(number, seed) for seed in (7, 42) for number in (1, 2, 3)
    ]
    arms = [
        {"name": "new", "device": "cpu"},
        {"name": "candidate", "role": "reference", "baseline": True, "device": "cpu"},
    ]
    ended = run_harness("check", written(tmp_path, arms=arms))
    assert ended.code == 0, ended.err
    found = comparison(tmp_path, "reference-new-against-candidate")
    assert [each["key"] for each in found["pairs"]] == [each["key"] for each in kept["accepted"]]
    assert {each["identical"] for each in found["pairs"]} == {True}
    fewer = run_harness("check", written(tmp_path, arms=arms, pictures_per_case=2))
    assert fewer.code == 4, "two of each call are no part of a call of three"


# --- pictures that were made before ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_folder_with_several_pictures_of_each_case_is_compared(
    run_harness: RunHarness, write_scenario: WriteScenario, tmp_path: Path
) -> None:
    for arm in ("candidate", "reference"):
        for number in (1, 2):
            made = np.random.RandomState(number).randint(0, 256, (64, 64, 3)).astype(np.uint8)
            made[0, 0] ^= arm == "candidate" and number == 2
            (tmp_path / "pictures" / arm).mkdir(parents=True, exist_ok=True)
            write_picture(tmp_path / "pictures" / arm / f"circle-42-{number}.png", made)
    model = {"adapter": "images", "source": "pictures", "pictures": "{arm}/{case}-{seed}-{image}.png"}
    arms = [{"name": "candidate"}, {"name": "reference", "role": "reference"}]
    once = {"in_process": 1, "processes": 1}
    question = {"model": model, "arms": arms, "repeats": once, "limits": [PSNR], "pictures_per_case": 2}
    ended = run_harness("check", write_scenario(**question))
    assert ended.code == 0, ended.err
    pairs = comparison(tmp_path, "reference-candidate-against-reference")["pairs"]
    assert [(each["key"]["image"], each["identical"]) for each in pairs] == [(1, True), (2, False)]
    (tmp_path / "pictures/candidate/circle-42-2.png").unlink()
    ended = run_harness("check", write_scenario(**question))
    assert ended.code == 3
    assert "there is no picture candidate/circle-42-2.png in the source folder" in ended.out + ended.err


# --- what a scenario may write ---------------------------------------------------------------------------------------

IMAGES = {"adapter": "images", "source": "pictures", "pictures": "{case}-{seed}.png"}
NUMBERED = IMAGES | {"pictures": "{case}-{seed}-{image}.png"}
COMMAND = {"adapter": "command", "source": ".", "command": {"run": ["draw", "{prompt}", "{seed}", "{output}"]}}
ONCE = {"in_process": 1, "processes": 1}
REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({"pictures_per_case": 0}, "pictures_per_case: found the number 0; allowed is"),
    "too many": ({"pictures_per_case": 65}, "pictures_per_case: found the number 65; allowed is"),
    "a word": ({"pictures_per_case": "four"}, "pictures_per_case: found"),
    "a key that is none": ({"pictures_per_cas": 4}, "Did you mean 'pictures_per_case'?"),
    "one picture of deepgen": (
        {"pictures_per_case": 4},
        "found 4; allowed with the adapter deepgen is 1, because each of its calls makes one picture. Remove the key,",
    ),
    "one picture of a command": (
        {"pictures_per_case": 4, "model": COMMAND},
        "found 4; allowed with the adapter command is 1",
    ),
    "files that are not told apart": (
        {"pictures_per_case": 4, "model": IMAGES, "repeats": ONCE},
        "pictures_per_case: found 4, and model.pictures has no {image}, so the 4 pictures of a call would be one file",
    ),
    "numbers that nobody asks for": (
        {"model": NUMBERED, "repeats": ONCE},
        "without pictures_per_case, so only the first picture of each call would be compared",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_make_several_pictures_is_refused_with_its_place(name: str, write_scenario: WriteScenario) -> None:
    changes, said = REFUSALS[name]
    with pytest.raises(ScenarioError, match=r"small\.yaml:1:\d+: ") as refused:
        scenario.load(write_scenario(**changes))
    assert said in str(refused.value)


def test_what_can_make_several_pictures_is_not_refused(write_scenario: WriteScenario) -> None:
    loaded = scenario.load(write_scenario(model=NUMBERED, pictures_per_case=4, repeats=ONCE))
    plan = scenario.plan(loaded, loaded.scenario.arms[0])
    assert [key.image for key in plan.keys] == [1, 2, 3, 4]
    assert plan.calls == [CaseKey(case="circle", seed=42)]
    one = scenario.load(write_scenario(pictures_per_case=1))
    assert one.digest == scenario.load(write_scenario()).digest, "one picture is what is made where nothing is said"


def test_a_pipeline_without_the_parameter_is_refused_before_it_is_loaded(
    write_scenario: WriteScenario, tmp_path: Path, only_of: Callable[[str], dict[str, Any]]
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    code = "class Own(object):\n    def __call__(self, prompt, generator=None{}):\n        return None\n"
    (folder / "model_index.json").write_text(json.dumps({"_class_name": ["pipe", "Own"]}), encoding="utf-8")
    (folder / "pipe.py").write_text(code.format(""), encoding="utf-8")
    question = write_scenario(model=only_of(str(folder)), pictures_per_case=2)
    with pytest.raises(
        ScenarioError,
        match=r"has no parameter num_images_per_prompt; it has prompt, generator",
    ):
        scenario.load(question)
    (folder / "pipe.py").write_text(code.format(", num_images_per_prompt=1"), encoding="utf-8")
    assert scenario.load(question).scenario.pictures_per_case == 2


@pytest.fixture
def only_of() -> Callable[[str], dict[str, Any]]:
    return lambda source: {"adapter": "diffusers", "source": source, "trust_remote_code": True}


# --- a case with a number of its own ---------------------------------------------------------------------------------


def test_a_case_may_have_a_number_of_its_own(tmp_path: Path) -> None:
    toys = {"expect": {"same_image": "The toy looks at the seed alone."}}
    cases: list[dict[str, Any]] = [
        {"id": "circle", "prompt": "a circle", **toys},
        {"id": "cup", "prompt": "a cup", **toys},
    ]
    cases[1]["pictures_per_case"] = 2
    path = written(tmp_path, cases=cases, pictures_per_case=1, seeds=[42], arms=ARMS[:1], limits=[IDENTICAL])
    ended = run_command(tmp_path, "check", path)
    assert ended.code == 0, ended.out + ended.err
    run = read_run(tmp_path)
    assert [str(key) for key in run.plan.keys] == [
        "circle, seed 42",
        "cup, seed 42, image 1 of 2",
        "cup, seed 42, image 2 of 2",
    ]
    assert len(run.samples) == 6
    fewer = run.plan.model_copy(
        update={"cases": [case.model_copy(update={"pictures_per_case": None}) for case in run.plan.cases]}
    )
    said = comparability.setting_differences(run.plan, fewer, [])
    assert said == ["the number of images of case cup differs: actual 2, expected 1"]
    assert comparability.setting_differences(run.plan, run.plan, []) == []


def test_a_case_of_an_adapter_that_makes_one_is_refused_where_it_stands(write_scenario: WriteScenario) -> None:
    case = {"id": "cup", "prompt": "a cup", "pictures_per_case": 2}
    with pytest.raises(ScenarioError, match=r"pictures_per_case: found 2; allowed with the adapter") as said:
        scenario.load(write_scenario(cases=[case]))
    column = write_scenario(cases=[case]).read_text(encoding="utf-8").index('"pictures_per_case": 2') + 1
    assert f":1:{column + len(json.dumps('pictures_per_case')) + 2}: " in str(said.value)
