"""Pictures that are there already: repeats are judged, references marked, and no torch is needed for any of it."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from harness.adapters import images
from harness.errors import ModelError, UnknownName
from harness.images import write_picture
from harness.records import ModelRef, Run, from_json
from tests.command_line import environment, patience_seconds, read_json, with_texts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command_line import RunHarness, WriteScenario

TEMPLATE = "{arm}/{case}/{seed}-p{process}r{repeat}.png"
ONCE = {"in_process": 1, "processes": 1}
TWICE = {"in_process": 2, "processes": 2}
LIMIT = {"metric": "psnr_db", "scope": "reference", "at_least": 30, "reason": "Only for this test."}
ARMS = [{"name": "candidate"}, {"name": "reference", "role": "reference", "repeats": ONCE}]


def picture(bit: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    made = np.random.RandomState(5).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    made[0, 0, 0] ^= bit
    return made


def put(folder: Path, name: str, bit: int = 0) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_picture(folder / name, picture(bit))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures of one case and seed, twice in two processes, for two arms, all equal."""
    for arm in ("candidate", "reference"):
        for place in ("p0r0", "p0r1", "p1r0", "p1r1"):
            put(tmp_path / "pictures", f"{arm}/circle/42-{place}.png")
    return tmp_path / "pictures"


def scenario(write: WriteScenario, **changes: Any) -> Path:
    model = {"adapter": "images", "source": "pictures", "pictures": TEMPLATE, **changes.pop("model", {})}
    return write(model=model, **{"repeats": TWICE, **changes})


def comparison(job: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(job / f"comparison-{name}.json")
    return found


@pytest.mark.usefixtures("pictures")
def test_equal_pictures_pass_and_everything_says_that_their_noise_is_unverified(
    run_harness: RunHarness, write_scenario: WriteScenario, only_job: Callable[[], Path]
) -> None:
    ended = run_harness("check", scenario(write_scenario))
    assert ended.code == 0, ended.err
    job = only_job()
    run = from_json(Run, (job / "candidate" / "run.json").read_text(encoding="utf-8"), place=job)
    assert [sample.noise_digest for sample in run.samples] == [None] * 4
    assert (run.backend, run.plan.noise.value, run.plan.arm.device) == ("cpu", "unverified", "cpu")
    assert run.loaded is not None
    assert run.loaded.notes[0].startswith("nothing was computed")
    assert run.environment is not None
    assert (run.environment.device_name, run.environment.npu_ops) == (
        "not opened: the pictures are made outside the worker",
        None,
    )
    repeated = comparison(job, "repeat-candidate")
    assert repeated["outcome"] == "identical"
    assert "noise unverified" in repeated["message"]
    assert "noise unverified" in ended.out
    page = (job / "report" / "report.md").read_text(encoding="utf-8")
    assert "NOISE UNVERIFIED" in page
    assert "CPU stand-in" not in page, "no CPU computed anything"
    assert 'name="actual.noise" value="unverified"' in (job / "report" / "junit.xml").read_text(encoding="utf-8")
    with (job / "report" / "metrics.csv").open(encoding="utf-8", newline="") as stream:
        assert {row["noise"] for row in csv.DictReader(stream)} == {"unverified"}


def test_one_other_picture_among_the_repeats_is_seen(
    run_harness: RunHarness, write_scenario: WriteScenario, pictures: Path, only_job: Callable[[], Path]
) -> None:
    put(pictures, "candidate/circle/42-p1r1.png", bit=1)
    ended = run_harness("check", scenario(write_scenario))
    assert ended.code == 6, ended.err
    assert len(comparison(only_job(), "repeat-candidate")["repetitions"][0]["outcomes"]) == 2


@pytest.mark.parametrize("bit", [0, 1])
def test_a_reference_is_measured_and_marked(
    bit: int, run_harness: RunHarness, write_scenario: WriteScenario, pictures: Path, only_job: Callable[[], Path]
) -> None:
    put(pictures, "reference/circle/42-p0r0.png", bit=bit)
    ended = run_harness("check", scenario(write_scenario, arms=ARMS, limits=[LIMIT]))
    assert ended.code == 0, ended.err
    found = comparison(only_job(), "reference-candidate-against-reference")
    assert found["outcome"] == ("within_limits" if bit else "identical")
    assert (found["actual"]["noise"], found["expected"]["noise"]) == ("unverified", "unverified")
    assert "noise unverified: the pictures of both sides" in found["message"]
    page = (only_job() / "report" / "report.md").read_text(encoding="utf-8")
    assert re.search(r"Same noise on both sides \|[^|]*unverified", page)


def test_a_reference_outside_its_limit_fails_and_says_that_other_noise_may_be_why(
    run_harness: RunHarness, write_scenario: WriteScenario, pictures: Path, only_job: Callable[[], Path]
) -> None:
    write_picture(pictures / "reference/circle/42-p0r0.png", 255 - picture())
    ended = run_harness("check", scenario(write_scenario, arms=ARMS, limits=[LIMIT]))
    assert ended.code == 1, ended.err
    message = comparison(only_job(), "reference-candidate-against-reference")["message"]
    assert message.endswith("so a difference may come from other noise or another model")


def test_a_run_of_a_model_can_be_held_against_pictures_and_is_marked(
    run_harness: RunHarness, write_scenario: WriteScenario, tmp_path: Path, only_job: Callable[[], Path]
) -> None:
    assert run_harness("run", write_scenario(model={"adapter": "planted-toy"}, repeats=ONCE, limits=[LIMIT])).code == 0
    made = next((only_job() / "candidate" / "samples").rglob("*.png"))
    (tmp_path / "pictures" / "circle").mkdir(parents=True)
    (tmp_path / "pictures" / "circle" / "42.png").write_bytes(made.read_bytes())
    path = scenario(write_scenario, name="goldens", model={"pictures": None}, repeats=ONCE)
    assert run_harness("run", path, "--runs-dir", "goldens").code == 0
    (goldens,) = (tmp_path / "goldens").glob("*/candidate")
    ended = run_harness("compare", only_job() / "candidate", goldens, "--json")
    assert ended.code == 0, ended.err
    found = with_texts(json.loads(ended.out))
    assert found["outcome"] == "within_limits", "the picture is the same, and there is no float output to compare"
    assert {each["value"] for each in found["pairs"][0]["measurements"] if each["metric"] == "identical"} == {1}
    assert found["differences"] == []
    assert found["notes"][0].startswith("noise unverified: the pictures of the expected side")


def test_a_missing_picture_is_a_failure_of_its_case(
    run_harness: RunHarness, write_scenario: WriteScenario, pictures: Path, only_job: Callable[[], Path]
) -> None:
    (pictures / "candidate/circle/42-p1r0.png").unlink()
    ended = run_harness("check", scenario(write_scenario))
    assert ended.code == 3, ended.err
    message = comparison(only_job(), "repeat-candidate")["message"]
    assert "there is no picture candidate/circle/42-p1r0.png in the source folder" in message


def test_a_picture_of_another_size_is_a_failure(
    run_harness: RunHarness, write_scenario: WriteScenario, pictures: Path, only_job: Callable[[], Path]
) -> None:
    write_picture(pictures / "candidate/circle/42-p0r0.png", picture()[:32])
    assert run_harness("check", scenario(write_scenario)).code == 3
    assert "uint8[32, 64, 3]; expected uint8[64, 64, 3]" in comparison(only_job(), "repeat-candidate")["message"]


def test_pictures_that_become_rgb_without_loss_are_taken_and_transparent_ones_are_not(
    run_harness: RunHarness, write_scenario: WriteScenario, pictures: Path, only_job: Callable[[], Path]
) -> None:
    opaque = Image.fromarray(picture()).convert("RGBA")
    opaque.save(pictures / "candidate/circle/42-p0r0.png")
    assert run_harness("check", scenario(write_scenario)).code == 0
    kept = only_job() / "candidate" / "samples" / "circle" / "42" / "p0r0.png"
    with Image.open(kept) as image:
        assert image.mode == "RGB", "what a run keeps is always RGB"
    opaque.putpixel((3, 4), (0, 0, 0, 0))
    opaque.save(pictures / "candidate/circle/42-p0r0.png")
    assert run_harness("check", scenario(write_scenario), "--runs-dir", "others").code == 3


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a file read again is no repeat": ({"model": {"pictures": None}}, "repeats.in_process: found 2; allowed is 1"),
    "a process that the template does not know": (
        {"model": {"pictures": "{arm}/{case}/{seed}-p0r{repeat}.png"}},
        "repeats.processes: found 2; allowed is 1",
    ),
    "a misspelt name": ({"model": {"pictures": "{case}/{sed}.png"}, "repeats": ONCE}, "Did you mean 'seed'?"),
    "a template without the seed": ({"model": {"pictures": "{case}.png"}, "repeats": ONCE}, "does not name seed"),
    "a template that leads out": (
        {"model": {"pictures": "../{case}/{seed}.png"}, "repeats": ONCE},
        "leads out of the source",
    ),
    "no picture at all": ({"model": {"pictures": "{case}-{seed}.jpg"}, "repeats": ONCE}, "holds no file that fits"),
    "a device": ({"arms": [{"name": "candidate", "device": "npu"}]}, "allowed is cpu, because with the adapter images"),
    "a noise": ({"noise": "portable"}, "noise: found 'portable'; allowed with the adapter images"),
    "fused operators": (
        {"arms": [{"name": "candidate", "device": "cpu", "npu_ops": "hidden"}]},
        "npu_ops: found with the adapter images",
    ),
    "another adapter": ({"model": {"adapter": "deepgen"}}, "model.pictures: found with the adapter deepgen"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.usefixtures("pictures")
def test_what_cannot_be_meant_is_refused_before_anything_is_written(
    what: str, run_harness: RunHarness, write_scenario: WriteScenario, tmp_path: Path
) -> None:
    changes, message = REFUSED[what]
    ended = run_harness("check", scenario(write_scenario, **changes))
    assert ended.code == 2, ended.out
    assert message in " ".join(ended.err.split())
    assert not (tmp_path / "runs").exists()


def test_an_accelerator_is_refused_on_the_command_line_too(
    run_harness: RunHarness, write_scenario: WriteScenario, pictures: Path
) -> None:
    assert pictures.is_dir()
    ended = run_harness("check", scenario(write_scenario), "--device", "npu")
    assert ended.code == 2
    assert "nothing is computed" in ended.err


def test_no_adapter_but_those_whose_pictures_come_from_outside_may_leave_its_noise_unverified(
    run_harness: RunHarness, write_scenario: WriteScenario
) -> None:
    ended = run_harness("check", write_scenario(noise="unverified"))
    assert ended.code == 2
    assert "noise: found 'unverified'; allowed with the adapter deepgen" in " ".join(ended.err.split())


def test_pictures_that_change_while_a_run_goes_on_are_noticed(pictures: Path) -> None:
    model = ModelRef(adapter="images", source="pictures", pictures=TEMPLATE)
    before = images.digests(pictures, model)
    assert len(before) == 8
    put(pictures, "candidate/circle/42-p1r1.png", bit=1)
    after = images.digests(pictures, model)
    assert {name for name in before if before[name] != after[name]} == {"candidate/circle/42-p1r1.png"}


@pytest.mark.parametrize(
    ("template", "error", "message"),
    [
        ("{case}/{seed:04}.png", ModelError, "nothing may follow the name 'seed'"),
        ("{case}/{seed.png", ModelError, "cannot be read"),
        ("{case}/{seed}/{}.png", UnknownName, "placeholder"),
    ],
)
def test_a_template_that_cannot_be_read_is_refused(
    template: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        images.check(tmp_path, ModelRef(adapter="images", source="pictures", pictures=template))


def test_it_runs_where_torch_cannot_be_imported_and_a_model_does_not(
    write_scenario: WriteScenario, pictures: Path, tmp_path: Path
) -> None:
    assert pictures.is_dir()
    forbidden = tmp_path / "forbidden"
    forbidden.mkdir()
    (forbidden / "torch.py").write_text("raise ImportError('planted: torch is not here')\n", encoding="utf-8")
    base = environment()
    variables = {**base, "PYTHONPATH": os.pathsep.join([str(forbidden), base["PYTHONPATH"]])}

    def check(path: Path) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "harness", "check", str(path)]
        return subprocess.run(
            words, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=patience_seconds(), check=False
        )

    ended = check(scenario(write_scenario))
    assert ended.returncode == 0, ended.stderr
    ended = check(write_scenario(name="with-a-model"))
    assert ended.returncode == 3
    assert "planted: torch is not here" in ended.stdout + ended.stderr


@pytest.mark.usefixtures("pictures")
def test_an_interrupted_run_takes_the_pictures_it_lacks_and_no_other(
    run_harness: RunHarness, write_scenario: WriteScenario, only_job: Callable[[], Path]
) -> None:
    path = scenario(write_scenario)
    assert run_harness("run", path).code == 0
    folder = only_job() / "candidate"
    for place in ("p0r1", "p1r0"):
        (folder / "samples" / "circle" / "42" / f"{place}.json").unlink()
    for record in (folder / "run.json", only_job() / "job.json"):
        record.write_text(record.read_text("utf-8").replace('"finished"', '"unfinished"'), "utf-8")
    ended = run_harness("run", path)
    assert ended.code == 0, ended.err
    assert "resuming the interrupted job" in ended.err
    run = from_json(Run, (folder / "run.json").read_text(encoding="utf-8"), place=folder)
    assert [sample.label for sample in run.samples] == ["p0r0", "p0r1", "p1r0", "p1r1"]
    assert run.failures == []
