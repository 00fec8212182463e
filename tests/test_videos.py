"""Videos: every frame by its digest, stored frames by metrics, and what is not stored is never called equal."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness import scenario
from harness.adapters import images
from harness.compare.videos import FLICKER_SPEC
from harness.errors import ImageError, RunError, ScenarioError
from harness.images import array_digest, write_picture
from harness.records import CaseKey, Frames, ModelRef, Run, Video, from_json, to_json
from harness.render import _card
from tests.command_line import job_folder, read_json, run_command
from tests.render import sample_reports

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.command_line import MadeOnce, RunHarness, WriteScenario

IDENTICAL = {"metric": "identical", "scope": "repeat", "equals": 1, "reason": "The test says so, and nothing else."}
PSNR = {"metric": "psnr_db", "scope": "reference", "at_least": 40, "reason": "Only for this test."}
LATENTS = {
    "metric": "relative_l2",
    "subject": "latents",
    "scope": "reference",
    "at_most": 0.1,
    "reason": "Only for this test.",
}
ONCE = {"in_process": 1, "processes": 1}
ARMS = [
    {"name": "candidate", "device": "cpu"},
    {"name": "reference", "device": "cpu", "role": "reference", "repeats": ONCE},
]
QUESTION: dict[str, Any] = {
    "name": "video",
    "summary": "As small as it can be.",
    "task": "text_to_image",
    "cases": [{"id": "circle", "prompt": "a blue circle"}],
    "seeds": [42],
    "width": 64,
    "height": 64,
    "steps": 1,
    "switches": "as_shipped",
    "repeats": {"in_process": 2, "processes": 1},
    "frames": {"count": 7},
}
CALL = {"case": "circle", "seed": 42}
KEPT = [1, 4, 7]


def toy(fault: str = "none") -> dict[str, Any]:
    model = {"source": "builtin:tiny-deepgen-random", "trust_remote_code": True, "dtype": "float32"}
    return {**model, "adapter": "planted-frames", "options": {"fault": fault}}


def written(folder: Path, **changes: Any) -> Path:
    question = {**QUESTION, "model": toy(), "arms": ARMS, "limits": [IDENTICAL, PSNR, LATENTS], **changes}
    path = folder / "video.yaml"
    path.write_text(json.dumps(question), encoding="utf-8")
    return path


def read_run(folder: Path, arm: str = "candidate") -> Run:
    job = job_folder(folder / "runs")
    return from_json(Run, (job / arm / "run.json").read_text(encoding="utf-8"), place=job)


def comparison(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(job_folder(folder / "runs") / f"comparison-{name}.json")
    return found


def whole(found: dict[str, Any]) -> dict[str, Any]:
    """The only pair of whole videos."""
    pair: dict[str, Any]
    (pair,) = [each for each in found["pairs"] if "video" in each]
    assert pair["key"] == CALL
    return pair


def frame(number: int) -> dict[str, Any]:
    return {**CALL, "frame": number, "frames": 7}


@pytest.fixture(scope="module")
def checked(made_once: MadeOnce) -> Path:
    """A folder in which a healthy scenario of videos was checked."""
    return made_once("videos", healthy)


def healthy(folder: Path) -> None:
    ended = run_command(folder, "check", written(folder))
    assert ended.code == 0, ended.err


# --- keys and records ------------------------------------------------------------------------------------------------


def test_a_key_names_its_frame() -> None:
    third = CaseKey(case="cup", seed=3, frame=3, frames=9)
    assert str(third) == "cup, seed 3, frame 3 of 9"
    assert from_json(CaseKey, to_json(third), place="here") == third
    assert third.call == CaseKey(case="cup", seed=3)
    assert Frames(count=8).kept == [1, 4, 8]
    assert Frames(count=2).kept == [1, 2]
    assert Frames(count=8, keep_all=True).kept == [1, 2, 3, 4, 5, 6, 7, 8]
    assert Frames(count=8, keep=[5, 2, 5]).kept == [2, 5]


@pytest.mark.slow
def test_every_frame_is_recorded_and_the_chosen_ones_are_stored(checked: Path) -> None:
    run = read_run(checked)
    assert [(sample.key.frame, sample.repeat) for sample in run.samples] == [(n, r) for n in KEPT for r in (0, 1)]
    videos = [sample.video for sample in run.samples]
    assert [video is not None for video in videos] == [True, True, False, False, False, False]
    video = videos[0]
    assert video is not None
    assert len(set(video.frames)) == 7
    assert video.latents is not None
    assert video.latents.shape == [1, 3, 7, 32, 64]
    assert [sample.image.digest for sample in run.samples if sample.repeat == 0] == [video.frames[n - 1] for n in KEPT]
    assert {sample.latents for sample in run.samples} == {None}
    folder = job_folder(checked / "runs") / "candidate/samples/circle/42"
    assert sorted(path.name for path in folder.glob("*.png")) == ["p0r0f1.png", "p0r0f4.png", "p0r0f7.png"]
    assert len(read_json(job_folder(checked / "runs") / "candidate/run.json")["samples"][0]["video"]["frames"]) == 7


@pytest.mark.slow
def test_whole_videos_are_judged_beside_their_stored_frames(checked: Path) -> None:
    repeats, pairs = (
        comparison(checked, "repeat-candidate"),
        comparison(checked, "reference-candidate-against-reference"),
    )
    assert [each["key"] for each in repeats["repetitions"]] == [CALL, *map(frame, KEPT)]
    assert [each["key"] for each in pairs["pairs"]] == [*map(frame, KEPT), CALL]
    judged = [[each["limit"]["metric"] for each in pair["verdicts"]] for pair in pairs["pairs"]]
    assert judged == [["psnr_db"]] * 3 + [["relative_l2"]], "latents are those of the whole video"
    judged = [[each["limit"]["metric"] for each in pair["verdicts"]] for pair in repeats["pairs"]]
    assert judged == [["identical"]] * 4
    video = whole(pairs)["video"]
    assert (video["frames"], video["kept"], video["differing"], video["flicker"]) == (7, KEPT, [], [])
    report = job_folder(checked / "runs") / "report"
    text = (report / "report.md").read_text(encoding="utf-8")
    assert "limits on them, judge the stored frames alone" in text
    assert "not measured: no neighbouring frames are stored" in text
    assert "Whole video of 7 frames, median" in text
    page = (report / "index.html").read_text(encoding="utf-8")
    assert 'data-video="circle, seed 42" data-frame="4"' in page
    assert '"." goes to the next one that is stored' in page


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_frame_that_differs_and_is_not_stored_is_seen(run_harness: RunHarness, tmp_path: Path) -> None:
    limit = {**IDENTICAL, "scope": "reference"}
    keep = {"count": 7, "keep": [1, 7]}
    ended = run_harness("check", written(tmp_path, model=toy("fourth_differs"), limits=[limit, PSNR], frames=keep))
    assert ended.code == 1
    found = comparison(tmp_path, "reference-candidate-against-reference")
    assert [(each["identical"], each["verdicts"][0]["status"]) for each in found["pairs"]] == [
        (True, "identical"),
        (True, "identical"),
        (False, "drift"),
    ]
    assert whole(found)["video"]["differing"] == [4]
    text = (job_folder(tmp_path / "runs") / "report/report.md").read_text(encoding="utf-8")
    assert "| `circle` | 42 | p0r0 against p0r0 | 7 | 1 | 4 | 1, 7 | frame 1: ∞ (identical) |" in text


@pytest.mark.slow
def test_repeats_are_judged_by_all_frames(run_harness: RunHarness, tmp_path: Path) -> None:
    keep = {"count": 7, "keep": [1, 7]}
    question = written(tmp_path, model=toy("fourth_unsteady"), arms=ARMS[:1], limits=[IDENTICAL], frames=keep)
    ended = run_harness("check", question)
    assert ended.code == 6
    found = comparison(tmp_path, "repeat-candidate")
    assert [(each["key"], len(each["outcomes"])) for each in found["repetitions"]] == [
        (CALL, 2),
        (frame(1), 1),
        (frame(7), 1),
    ]
    refused = run_harness(
        *("baseline", "accept", job_folder(tmp_path / "runs") / "candidate"),
        *("--reason", "Not to be accepted.", "--who", "me"),
    )
    assert refused.code != 0
    assert "is not deterministic: 2 distinct outcomes" in refused.err + refused.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("fewer", "the call returned 6 frames; expected 7, as frames.count says."),
        ("nan", "values (0.0%) in the output of vae are NaN or infinite"),
    ],
)
def test_a_video_that_is_none_is_a_failure_in_words(
    fault: str, said: str, run_harness: RunHarness, tmp_path: Path
) -> None:
    ended = run_harness("check", written(tmp_path, model=toy(fault), arms=ARMS[:1], limits=[IDENTICAL]))
    assert ended.code == 3
    run = read_run(tmp_path)
    assert run.samples == []
    assert {failure.stage for failure in run.failures} == {"output"}
    assert said in run.failures[0].message


@pytest.mark.slow
def test_flicker_is_measured_between_stored_neighbours(run_harness: RunHarness, tmp_path: Path) -> None:
    keep = {"count": 7, "keep": [1, 2, 3, 6]}
    ended = run_harness("check", written(tmp_path, model=toy("flickers"), limits=[PSNR], frames=keep))
    assert ended.code == 1, ended.err
    video = whole(comparison(tmp_path, "reference-candidate-against-reference"))["video"]
    assert [step["frame"] for step in video["flicker"]] == [2, 3], "6 has no neighbour"
    assert video["spec"] == FLICKER_SPEC
    folder = job_folder(tmp_path / "runs")
    actual, expected = (
        [read(folder / arm / f"samples/circle/42/p0r0f{number}.png") for number in (1, 2)]
        for arm in ("candidate", "reference")
    )
    change = (actual[1] - actual[0]) - (expected[1] - expected[0])
    assert video["flicker"][0]["rms"] == pytest.approx(float(np.sqrt((change**2).mean())), rel=1e-6)
    assert video["flicker"][0]["rms"] == pytest.approx(8, abs=0.5), "from 4 levels above to 4 below"


def read(path: Path) -> NDArray[np.float64]:
    from PIL import Image

    return np.asarray(Image.open(path), dtype=np.float64)


# --- baselines -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_baseline_of_a_video_judges_all_its_frames(checked: Path, run_harness: RunHarness, tmp_path: Path) -> None:
    arm = job_folder(checked / "runs") / "candidate"
    accepted = run_harness("baseline", "accept", arm, "--reason", "Looked at, frame by frame.", "--who", "test")
    assert accepted.code == 0, accepted.err
    arms = [
        {"name": "new", "device": "cpu"},
        {"name": "candidate", "role": "reference", "baseline": True, "device": "cpu"},
    ]
    limit = {**IDENTICAL, "scope": "reference"}
    ended = run_harness("check", written(tmp_path, arms=arms, limits=[limit]))
    assert ended.code == 0, ended.err
    found = comparison(tmp_path, "reference-new-against-candidate")
    assert whole(found)["identical"] is True
    assert len(whole(found)["measurements"]) > 1, "the latents of the baseline's video travel with it"


# --- videos that were made before ------------------------------------------------------------------------------------


def noise(number: int, bit: int = 0) -> NDArray[np.uint8]:
    made = np.random.RandomState(number).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    made[0, 0, 0] ^= bit
    return made


@pytest.mark.slow
def test_a_folder_of_frames_is_compared(run_harness: RunHarness, write_scenario: WriteScenario, tmp_path: Path) -> None:
    for arm in ("candidate", "reference"):
        for number in range(12):
            name = tmp_path / "frames" / arm / f"circle-42-{number:03}.png"
            name.parent.mkdir(parents=True, exist_ok=True)
            write_picture(name, noise(number, arm == "candidate" and number == 10))
    model = {"adapter": "images", "source": "frames", "pictures": "{arm}/{case}-{seed}-{frame}.png"}
    question = {"model": model, "arms": [{"name": "candidate"}, {"name": "reference", "role": "reference"}]}
    question |= {"limits": [PSNR], "repeats": ONCE, "frames": {"count": 12, "keep": [2, 11]}}
    ended = run_harness("check", write_scenario(**question))
    assert ended.code == 0, ended.err
    found = comparison(tmp_path, "reference-candidate-against-reference")
    assert whole(found)["video"]["differing"] == [11], "in the order of their numbers, from 1"
    assert [each["identical"] for each in found["pairs"]] == [True, False, False]
    ended = run_harness("check", write_scenario(**question | {"frames": {"count": 11}}))
    assert ended.code == 3
    assert "returned 12 frames; expected 11" in ended.out + ended.err


def request(folder_frames: int, case: str = "circle") -> Any:
    from harness.contracts import Request

    wanted: dict[str, Any] = {"prompt": "x", "negative_prompt": None, "input_image": None, "width": 64, "height": 64}
    wanted |= {"steps": 1, "guidance_scale": 1.0, "seed": 42, "case": case, "arm": "a"}
    return Request(**wanted, frames=folder_frames, kept_frames=(1,))


def test_a_video_file_is_decoded_frame_by_frame(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    frames = [noise(number) for number in range(5)]
    with av.open(str(tmp_path / "circle-42.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=8)  # keeps every bit
        stream.width, stream.height, stream.pix_fmt = 64, 64, "bgr0"
        for made in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(made, format="rgb24").reformat(format="bgr0")))
        container.mux(stream.encode())
    model = ModelRef(adapter="images", source=str(tmp_path), pictures="{case}-{seed}.mkv")
    pipeline = images.load(tmp_path, model, None)  # type: ignore[arg-type]
    assert f"by PyAV {av.__version__}" in pipeline.notes[-1]
    read_again = pipeline.generate_frames(request(5), None)  # type: ignore[arg-type]
    assert [array_digest(picture.image) for picture in read_again] == [array_digest(made) for made in frames]
    (tmp_path / "broken-42.mkv").write_bytes(b"no video")
    with pytest.raises(RunError, match=r"broken-42\.mkv cannot be read as a video"):
        list(pipeline.generate_frames(request(5, "broken"), None))  # type: ignore[arg-type]
    with pytest.raises(RunError, match=r"there is no video other-42\.mkv"):
        list(pipeline.generate_frames(request(5, "other"), None))  # type: ignore[arg-type]


def test_frames_are_read_one_after_the_other(tmp_path: Path) -> None:
    write_picture(tmp_path / "circle-42-1.png", noise(1))
    (tmp_path / "circle-42-2.png").write_bytes(b"no picture")
    model = ModelRef(adapter="images", source=str(tmp_path), pictures="{case}-{seed}-{frame}.png")
    frames = images.load(tmp_path, model, None).generate_frames(request(2), None)  # type: ignore[arg-type]
    assert array_digest(next(frames).image) == array_digest(noise(1)), "the second one was not looked at"
    with pytest.raises(ImageError, match=r"circle-42-2\.png"):
        next(frames)


def test_without_pyav_the_error_says_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    model = ModelRef(adapter="images", source=str(tmp_path), pictures="{case}-{seed}.mp4")
    with pytest.raises(RunError, match=r"a video file needs PyAV.*\[video\]"):
        images.load(tmp_path, model, None)  # type: ignore[arg-type]


# --- what a scenario may write ---------------------------------------------------------------------------------------

FOLDER = {"adapter": "images", "source": "frames", "pictures": "{case}-{seed}-{frame}.png"}
REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "one frame": ({"model": FOLDER, "frames": {"count": 1}}, "frames.count: found the number 1; allowed is"),
    "no count": ({"model": FOLDER, "frames": {}}, "frames.count: the key is missing"),
    "a strange key": ({"model": FOLDER, "frames": {"count": 3, "keeps": [1]}}, "Did you mean 'keep'?"),
    "a frame beyond": (
        {"model": FOLDER, "frames": {"count": 3, "keep": [1, 4]}},
        "frames.keep: found 4; allowed are numbers from 1 to 3, as frames.count says.",
    ),
    "frame 0": (
        {"model": FOLDER, "frames": {"count": 3, "keep": [0]}},
        "frames.keep: found 0; allowed are numbers from 1 to 3",
    ),
    "a word": (
        {"model": FOLDER, "frames": {"count": 3, "keep": "all"}},
        "frames.keep: found 'all' (a text); allowed is",
    ),
    "all and some": (
        {"model": FOLDER, "frames": {"count": 3, "keep": [1], "keep_all": True}},
        "frames.keep: found beside keep_all: true; allowed is one of the two.",
    ),
    "an adapter of pictures": ({"frames": {"count": 3}}, "found with the adapter deepgen, which makes no videos"),
    "pictures beside": (
        {"model": FOLDER, "frames": {"count": 3}, "pictures_per_case": 2},
        "frames: found beside pictures_per_case: 2; allowed is one of the two",
    ),
    "files without frames": (
        {"model": FOLDER | {"pictures": "{case}-{seed}.png"}, "frames": {"count": 3}},
        "frames: found, and model.pictures names no frames",
    ),
    "frames twice": (
        {"model": FOLDER | {"pictures": "{case}-{seed}/{frame}/{frame}.png"}, "frames": {"count": 3}},
        "names frame more than once; allowed is once",
    ),
    "frames that nobody asks for": ({"model": FOLDER}, "which names frames of videos, and no key frames"),
    "a number among the arguments": (
        {"model": {"adapter": "diffusers", "source": "model"}, "arguments": {"num_frames": 9}},
        "'num_frames'; allowed is 'frames' of the scenario, as in frames: {count: 81}.",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_no_video_is_refused_with_its_place(name: str, write_scenario: WriteScenario) -> None:
    changes, said = REFUSALS[name]
    with pytest.raises(ScenarioError, match=r"small\.yaml:1:\d+: ") as refused:
        scenario.load(write_scenario(**{"repeats": ONCE, **changes}))
    assert said in str(refused.value)


def test_what_names_frames_is_not_refused(write_scenario: WriteScenario) -> None:
    for pictures in ("{case}-{seed}-{frame}.png", "{case}-{seed}.mp4", "{case}/{seed}.WEBM"):
        question = write_scenario(model=FOLDER | {"pictures": pictures}, frames={"count": 3}, repeats=ONCE)
        loaded = scenario.load(question)
        assert [key.frame for key in scenario.plan(loaded, loaded.scenario.arms[0]).keys] == [1, 2, 3]


def test_the_digest_of_a_video_is_over_all_its_frames_in_their_order() -> None:
    one, two = (hashlib.sha256(word).hexdigest() for word in (b"1", b"2"))
    digests = {Video(frames=frames).digest for frames in ([one, two], [two, one], [one], [one, one])}
    assert len(digests) == 4


# --- what speaks of pictures elsewhere -------------------------------------------------------------------------------


def test_explain_says_that_it_looks_at_pictures(run_harness: RunHarness, tmp_path: Path) -> None:
    ended = run_harness("explain", written(tmp_path), "--arm", "candidate", "--against", "reference")
    assert ended.code == 2
    assert "found frames; explain looks into calls that make pictures. Give a scenario without frames." in ended.err


def test_a_card_of_videos_is_tagged_so_and_has_no_script_that_makes_an_image(tmp_path: Path) -> None:
    report = sample_reports.within_limits(tmp_path)
    assert (_card._kind([report]), _card._task(report)) == ("text-to-image", "text-to-image")
    question = report.scenario.model_copy(update={"frames": Frames(count=9)})
    filmed = report.model_copy(update={"scenario": question})
    assert (_card._kind([filmed]), _card._task(filmed)) == ("text-to-video", "text-to-video")
    assert _card._example([report], report.runs).startswith("python inference.py")
    assert _card._example([filmed], filmed.runs) == ""


def test_a_pipeline_without_frames_is_refused_before_it_is_loaded(
    write_scenario: WriteScenario, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    code = "class Own(object):\n    def __call__(self, prompt, generator=None{}):\n        return None\n"
    (folder / "model_index.json").write_text(json.dumps({"_class_name": ["pipe", "Own"]}), encoding="utf-8")
    (folder / "pipe.py").write_text(code.format(""), encoding="utf-8")
    model = {"adapter": "diffusers", "source": str(folder), "trust_remote_code": True}
    question = write_scenario(model=model, frames={"count": 9})
    with pytest.raises(ScenarioError, match=r"has no parameter num_frames; it has prompt, generator"):
        scenario.load(question)
    (folder / "pipe.py").write_text(code.format(", num_frames=9"), encoding="utf-8")
    assert scenario.load(question).scenario.frames == Frames(count=9)


def test_the_report_of_a_release_has_the_table_of_videos(checked: Path, tmp_path: Path) -> None:
    shutil.copytree(checked, tmp_path, dirs_exist_ok=True)
    words = ["video.yaml", "--scenarios-dir", ".", "--out", ".", "--lang", "en", "--lang", "zh"]
    ended = run_command(tmp_path, "release", "videos", *words)
    assert ended.code == 0, ended.err
    for language, title in (("", "video: candidate against reference: videos"), (".zh", "：视频")):
        for name in (f"report{language}.md", f"index{language}.html"):
            assert title in (tmp_path / "videos" / name).read_text(encoding="utf-8"), name
    assert "| 7 | 0 |" in (tmp_path / "videos" / "report.md").read_text(encoding="utf-8")
