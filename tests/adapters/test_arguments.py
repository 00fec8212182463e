"""Arguments of a pipeline's call: refused before anything is made, passed on as they are, never silently different."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from ruamel.yaml import YAML

from harness import store
from harness.adapters import diffusers as adapter
from harness.backends import cpu
from harness.compare.comparability import plan_differences
from harness.compare.fitness import _question
from harness.contracts import Request
from harness.errors import RunError, ScenarioError, UnknownName
from harness.records import RUN_FILE, Case, CaseKey, ModelRef, NoiseMode, OnPurpose, Run, SwitchMode
from harness.records.arguments import with_images
from harness.run.worker.draws import watched_draws
from harness.run.worker.recorder import Recorder
from harness.scenario import load
from tests.command_line import read_json
from tests.render import sample_reports

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from tests.adapters.tiny_pipelines import saved  # noqa: E402 - it imports torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.adapters.diffusers import Diffusers
    from tests.command_line import MadeOnce, RunHarness, WriteScenario

# diffusers' own schedulers hand tensors to numpy in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DEVICE = cpu.open(0, SwitchMode.AS_SHIPPED)
DIFFUSERS = {"adapter": "diffusers", "source": "model", "trust_remote_code": False}


@pytest.fixture
def folder_of(made_once: MadeOnce) -> Callable[[str], Path]:
    """Folder of a small random pipeline, made when it is first asked for."""
    return lambda name: made_once(f"arguments of {name}", lambda place: saved(name, place / "model")) / "model"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# --- what a scenario may write ---------------------------------------------------------------------------------------


REFUSALS = {
    "a setting": ({"height": 64}, "'height'; allowed is 'height' of the scenario. Write it there."),
    "the generator": ({"generator": 1}, "'generator'; allowed is no such key, because the harness sets it itself."),
    "two images": ({"num_images_per_prompt": 2}, "allowed is 'pictures_per_case' of the scenario. Write it there."),
    "no name": ({"true cfg": 2}, "'true cfg'; allowed is the name of a parameter of the pipeline's call."),
}


@pytest.mark.parametrize("owner", ["scenario", "case", "arm"])
@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_no_argument_is_refused_with_its_place(name: str, owner: str, write_scenario: WriteScenario) -> None:
    arguments, said = REFUSALS[name]
    path = write_scenario(model=DIFFUSERS, **placed(owner, arguments))
    with pytest.raises(ScenarioError) as refused:
        load(path)
    assert said in str(refused.value)
    load(write_scenario(model=DIFFUSERS, **placed(owner, {"strength": 0.5, "own_kwargs": {"scale": [1, 2]}})))


def placed(owner: str, arguments: dict[str, Any]) -> dict[str, Any]:
    if owner == "case":
        return {"cases": [{"id": "circle", "prompt": "a blue circle", "arguments": arguments}]}
    if owner == "arm":
        return {"arms": [{"name": "cpu", "device": "cpu", "arguments": arguments}]}
    return {"arguments": arguments}


def test_an_adapter_that_takes_no_arguments_says_so(write_scenario: WriteScenario) -> None:
    path = write_scenario(model={"adapter": "command"}, arguments={"strength": 0.5})
    with pytest.raises(ScenarioError, match=r"allowed with the adapter command, which takes no arguments"):
        load(path)


def test_an_image_is_found_beside_the_scenario_or_refused(tmp_path: Path, write_scenario: WriteScenario) -> None:
    arguments = {"image": [{"image": "one.png"}, {"image": "two.png"}]}
    path = write_scenario(model=DIFFUSERS, arguments=arguments)
    Image.new("RGB", (8, 8), (200, 9, 9)).save(tmp_path / "one.png")
    with pytest.raises(ScenarioError, match=r"arguments\.image: there is no file 'two\.png'"):
        load(path)
    Image.new("RGB", (8, 8), (9, 9, 200)).save(tmp_path / "two.png")
    assert load(path).argument_images == {name: (tmp_path / name).resolve() for name in ("one.png", "two.png")}


def test_arguments_change_the_digest_of_a_scenario_and_none_of_them_do_not(write_scenario: WriteScenario) -> None:
    changes: list[dict[str, Any]] = [{}, *({"arguments": given} for given in ({}, {"eta": 0.5}, {"eta": 0.6}))]
    digests = [load(write_scenario(model=DIFFUSERS, **change)).digest for change in changes]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_an_edit_needs_no_input_image_where_the_arguments_have_one(
    tmp_path: Path, write_scenario: WriteScenario
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    edit = {"task": "image_editing", "model": DIFFUSERS}
    load(write_scenario(**edit, arguments={"image": {"image": "one.png"}}))
    with pytest.raises(ScenarioError, match="needs a picture for each case"):
        load(write_scenario(**edit, arguments={"strength": 0.5}))


def test_the_example_of_the_docs_is_a_scenario(tmp_path: Path, write_scenario: WriteScenario) -> None:
    text = (Path(__file__).parents[2] / "docs" / "arguments.md").read_text(encoding="utf-8")
    example = YAML(typ="safe").load(text.split("```yaml\n")[1].split("```")[0])
    (tmp_path / "inputs").mkdir()
    for name in ("table", "mask"):
        Image.new("RGB", (8, 8)).save(tmp_path / "inputs" / f"{name}.png")
    asked = load(write_scenario(**example))
    assert asked.scenario.cases[1].arguments["strength"] == 0.6
    assert list(asked.argument_images) == ["inputs/table.png", "inputs/mask.png"]


def test_an_argument_that_the_call_does_not_have_is_refused_before_anything_is_loaded(
    folder_of: Callable[[str], Path], write_scenario: WriteScenario
) -> None:
    model = {**DIFFUSERS, "source": str(folder_of("sd15"))}
    load(write_scenario(model=model, arguments={"guidance_rescale": 0.5}))
    with pytest.raises(
        ScenarioError, match=r"no argument of the pipeline is called 'guidance_rescal'.*guidance_rescale"
    ):
        load(write_scenario(model=model, arguments={"guidance_rescal": 0.5}))


def test_parameters_are_read_from_code_as_they_are_in_the_loaded_pipeline(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    for name in ("sd15", "sdxl", "image to image"):
        folder = folder_of(name)
        assert adapter.parameters(folder) == [name for name in loaded(folder)._parameters if name != "kwargs"], (
            "as inspect gives them"
        )
    (tmp_path / "model_index.json").write_text('{"_class_name": ["own", "Own"]}', encoding="utf-8")
    assert adapter.parameters(tmp_path) is None
    (tmp_path / "own.py").write_text("class Own(Base):\n    def __call__(self, prompt, *, depth=1): ...\n", "utf-8")
    assert adapter.parameters(tmp_path) == ["prompt", "depth"]
    (tmp_path / "model_index.json").write_text('{"_class_name": "NoSuchPipeline"}', encoding="utf-8")
    assert adapter.parameters(tmp_path) is None


@pytest.mark.parametrize("name", ["images", "command", "diffusers"])
def test_sizes_off_a_grid_are_refused_only_where_the_adapter_has_one(name: str, write_scenario: WriteScenario) -> None:
    described = {
        "images": {"adapter": "images", "source": "."},
        "command": {
            "adapter": "command",
            "source": ".",
            "command": {"words": ["draw", "{prompt}", "{output}", "{seed}"]},
        },
        "diffusers": DIFFUSERS,
    }
    size = {"width": 1328, "height": 690, "repeats": {"in_process": 1, "processes": 1}}
    load(write_scenario(model=described[name], **size))
    with pytest.raises(ScenarioError, match="allowed with the adapter deepgen is a multiple of 32"):
        load(write_scenario(**size))


def test_a_pipeline_of_diffusers_makes_the_size_that_is_asked_or_says_why_not(folder_of: Callable[[str], Path]) -> None:
    pipeline = loaded(folder_of("sd15"))
    assert len(made(pipeline, request({}, width=72, height=40))) == 72 * 40 * 3
    with pytest.raises(ValueError, match="divisible by 8"):
        made(pipeline, request({}, width=70))


# --- what a pipeline takes -------------------------------------------------------------------------------------------


def loaded(folder: Path) -> Diffusers:
    return adapter.load(folder, ModelRef(adapter="diffusers", source=str(folder), dtype="float32"), DEVICE)


def request(arguments: dict[str, Any], **changes: Any) -> Request:
    settings: dict[str, Any] = {"width": 64, "height": 64, "steps": 4, "guidance_scale": 4.0, "seed": 42}
    texts: dict[str, Any] = {"prompt": "a blue circle", "negative_prompt": None, "input_image": None}
    return Request(**{**settings, **texts, "arguments": arguments, **changes})


def made(pipeline: Diffusers, wanted: Request) -> bytes:
    recorder = Recorder(DEVICE, lambda _: None)
    with watched_draws(NoiseMode.PORTABLE, wanted.seed, DEVICE) as draws:
        recorder.given = draws.give
        return pipeline.generate(wanted, recorder).image.tobytes()


def test_an_argument_reaches_the_pipeline(folder_of: Callable[[str], Path]) -> None:
    pipeline = loaded(folder_of("image to image"))
    images = [Image.new("RGB", (64, 64), (level, 90, 20)) for level in (0, 200)]
    pictures = [
        made(pipeline, request({"image": image, "strength": strength}))
        for image, strength in ((images[0], 0.5), (images[1], 0.5), (images[1], 0.9), (images[1], 0.9))
    ]
    assert len(set(pictures)) == 3
    assert pictures[2] == pictures[3]


def test_the_note_on_a_default_goes_where_the_argument_is_given(folder_of: Callable[[str], Path]) -> None:
    pipeline = loaded(folder_of("image to image"))
    noted = [note for note in pipeline.notes if note.startswith("strength: 0.8")]
    pipeline.check_request(request({"strength": 0.5}))
    assert len(noted) == 1
    assert [note for note in pipeline.notes if note.startswith("strength")] == []


def test_what_a_pipeline_does_not_take_is_refused_with_the_nearest_name(folder_of: Callable[[str], Path]) -> None:
    pipeline = loaded(folder_of("image to image"))
    with pytest.raises(UnknownName, match=r"argument of StableDiffusionImg2ImgPipeline.*'strenght'.*strength"):
        pipeline.check_request(request({"strenght": 0.5}))
    pipeline.check_request(request({"strength": 0.5}))


WRONG = {"strength": "much", "guidance_rescale": [1], "clip_skip": 1.5, "prompt_embeds": [0.1, 0.2]}


@pytest.mark.parametrize("name", ["strength", "clip_skip", "prompt_embeds"])
def test_a_value_of_another_type_is_refused_in_words(name: str, folder_of: Callable[[str], Path]) -> None:
    pipeline = loaded(folder_of("image to image"))
    said = rf"arguments\.{name}: found .*; StableDiffusionImg2ImgPipeline takes .*\. Write such a value\. A tensor"
    with pytest.raises(RunError, match=said):
        pipeline.check_request(request({name: WRONG[name]}))


def test_a_list_becomes_the_pair_that_a_pipeline_declares(folder_of: Callable[[str], Path]) -> None:
    pipeline = loaded(folder_of("sdxl"))
    assert pipeline._arguments(request({"original_size": [512, 256]}))["original_size"] == (512, 256)
    with pytest.raises(RunError, match=r"arguments\.original_size: found \[512\]"):
        pipeline.check_request(request({"original_size": [512]}))


def test_a_scale_that_makes_a_negative_prompt_count_allows_one(folder_of: Callable[[str], Path]) -> None:
    pipeline = loaded(folder_of("flux"))
    texts = [made(pipeline, request({"true_cfg_scale": 4.0}, negative_prompt=text)) for text in ("red", "green")]
    assert texts[0] != texts[1]
    with pytest.raises(RunError, match="ignores a negative prompt unless true_cfg_scale is above 1, and it is 1"):
        pipeline.check_request(request({"true_cfg_scale": 1.0}, negative_prompt="red"))


def test_two_images_for_one_parameter_are_refused(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "in.png")
    pipeline = loaded(folder_of("image to image"))
    with pytest.raises(RunError, match="found an input_image and an argument image; allowed is one of them"):
        pipeline.check_request(request({"image": Image.new("RGB", (8, 8))}, input_image=tmp_path / "in.png"))


# --- what it means for a comparison ----------------------------------------------------------------------------------


def test_the_arms_arguments_come_before_the_cases_and_those_before_the_scenarios() -> None:
    asked = sample_reports.scenario(sample_reports.CASES, [sample_reports.CANDIDATE], [])
    plan = sample_reports.plan(asked, sample_reports.CANDIDATE.model_copy(update={"arguments": {"c": 3}}))
    plan = plan.model_copy(update={"arguments": {"a": 1, "b": 1, "c": 1}})
    case = Case(id="cup", prompt="a cup", arguments={"b": 2, "c": 2})
    assert plan.arguments_of(case) == {"a": 1, "b": 2, "c": 3}
    assert with_images({"image": "a.png"}, len) == 5


def test_arms_with_other_arguments_are_compared_only_where_that_is_meant(
    folder_of: Callable[[str], Path],
    run_harness: RunHarness,
    write_scenario: WriteScenario,
    only_job: Callable[[], Path],
    tmp_path: Path,
) -> None:
    Image.new("RGB", (64, 64), (200, 90, 20)).save(tmp_path / "start.png")
    arms: list[dict[str, Any]] = [
        {"name": "weak", "arguments": {"strength": 0.5}},
        {"name": "same"},
        {"name": "wrong", "arguments": {"strength": "much"}, "against": []},
        {"name": "strong", "role": "reference"},
    ]
    path = write_scenario(
        model={**DIFFUSERS, "source": str(folder_of("image to image")), "dtype": "float32"},
        arguments={"image": {"image": "start.png"}, "strength": 0.9},
        repeats={"in_process": 1, "processes": 1},
        steps=4,
        arms=[{**arm, "device": "cpu"} for arm in arms],
        limits=[{"metric": "psnr_db", "scope": "reference", "at_least": 1, "reason": "For this test only."}],
        differs_in={"arguments": "Weaker on purpose, to see what it does."},
    )
    ended = run_harness("check", path)
    assert ended.code == 3, ended.out + ended.err
    job = only_job()
    compared = read_json(job / "comparison-reference-weak-against-strong.json")
    assert (compared["outcome"], compared["differing"]) == ("within_limits", ["arguments"])
    told = "arguments differ on purpose (Weaker on purpose, to see what it does.): the argument strength: actual 0.5, "
    assert compared["notes"][0].startswith(f"{told}expected 0.9 (case circle)")
    equal = read_json(job / "comparison-reference-same-against-strong.json")
    assert (equal["outcome"], equal["differing"]) == ("identical", [])
    assert "differs_in had no effect here: both sides' calls had the same arguments." in str(equal["notices"])
    page = (job / "report" / "report.md").read_text(encoding="utf-8")
    assert '| Arguments of the call, weak | `{"strength": 0.5}` |' in page

    runs = {name: store.load(Run, job / name / RUN_FILE) for name in ("weak", "same", "strong", "wrong")}
    assert runs["weak"].plan.argument_digests.keys() == {"start.png"}
    refused = {name: plan_differences(runs[name].plan, runs[name].model, runs["strong"]) for name in ("weak", "same")}
    assert {name: list(map(str, reasons)) for name, reasons in refused.items()} == {
        "weak": ["the argument strength: actual 0.5, expected 0.9 (case circle)"],
        "same": [],
    }
    assert not plan_differences(runs["weak"].plan, runs["weak"].model, runs["strong"], meant={OnPurpose.ARGUMENTS})
    other_pixels = runs["same"].plan.model_copy(update={"argument_digests": {"start.png": "0" * 64}})
    assert "the argument image" in str(plan_differences(other_pixels, runs["same"].model, runs["strong"])[0])

    (failure,) = runs["wrong"].failures
    assert (failure.stage, failure.error, runs["wrong"].samples) == ("load", "RunError", [])
    assert 'arguments.strength: found "much"; StableDiffusionImg2ImgPipeline takes float.' in str(failure.message)


def test_an_argument_without_effect_is_an_image_of_two_questions() -> None:
    cases = [Case(id=name, prompt="a cup", arguments=given) for name, given in (("a", {"x": 1}), ("b", {"x": 2}))]
    asked = sample_reports.scenario(cases, [sample_reports.CANDIDATE], [])
    plan = sample_reports.plan(asked, sample_reports.CANDIDATE)
    keys = [CaseKey(case=case.id, seed=42) for case in cases]
    assert _question(plan, keys[0]) != _question(plan, keys[1])
    without = plan.model_copy(update={"cases": [case.model_copy(update={"arguments": {}}) for case in cases]})
    assert _question(without, keys[0]) == _question(without, keys[1])
