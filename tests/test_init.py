"""What ``harness init`` writes is right for what a folder holds: valid at once, and run where it can be run here."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness.images import write_picture
from tests.command_line import job_folder
from tests.test_paths import put_pictures
from tests.workflows import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.command_line import Ended, MadeOnce, RunHarness

CI_FILES = {".github/workflows/accuracy.yml", ".gitlab-ci.yml", ".gitcode/workflows/accuracy.yml", ".gitignore"}
FILES = {"scenarios/example.yaml", *CI_FILES}


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def put_json(path: Path, **values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")


def put_pipeline(folder: Path, class_name: str | list[str], denoiser: str = "unet", **config: Any) -> Path:
    """A folder as a pipeline of diffusers leaves it, as far as its JSON files go."""
    parts = {denoiser: ["diffusers", "Model"], "vae": ["diffusers", "AutoencoderKL"]}
    put_json(
        folder / "model_index.json", _class_name=class_name, scheduler=["diffusers", "EulerDiscreteScheduler"], **parts
    )
    put_json(folder / denoiser / "config.json", **config)
    put_json(folder / "vae" / "config.json", block_out_channels=[128, 256, 512, 512])
    return folder


def one_scenario(project: Path) -> Any:
    (path,) = (project / "scenarios").glob("*.yaml")
    return read_yaml(path)


@pytest.fixture
def init(tmp_path: Path, run_harness: RunHarness) -> Callable[..., Any]:
    """Writes a project for a source, sees that its scenario is valid at once, and gives the scenario."""

    def written(*words: str | Path) -> Any:
        ended = run_harness("init", *words)
        assert ended.code == 0, ended.err
        (path,) = (tmp_path / "scenarios").glob("*.yaml")
        told = run_harness("validate", path)
        assert told.code == 0, told.err
        return read_yaml(path)

    return written


def refused(ended: Ended, *says: str) -> None:
    assert ended.code == 2, ended.out
    for words in says:
        assert words in " ".join(ended.err.split())


# --- the files -------------------------------------------------------------------------------------------------------


def test_without_a_source_it_is_the_example_on_the_embedded_model(tmp_path: Path, run_harness: RunHarness) -> None:
    ended = run_harness("init", "project")
    assert ended.code == 0, ended.err
    assert files_below(tmp_path / "project") == FILES
    assert {Path(line).relative_to("project").as_posix() for line in ended.out.splitlines()} == FILES
    assert "next: harness check project/scenarios/example.yaml" in ended.err
    assert "left as it is" not in ended.err
    assert "ok, 2 cases" in run_harness("validate", "project/scenarios/example.yaml").out
    ignored = (tmp_path / "project" / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"runs/", "baselines/*/.lock"} <= set(ignored)


@pytest.mark.parametrize("name", sorted(FILES))
def test_what_is_there_is_left_as_it_is_and_said(name: str, tmp_path: Path, run_harness: RunHarness) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine", encoding="utf-8")
    ended = run_harness("init")
    assert ended.code == 0, ended.err
    assert f"left as it is: {name}, which is there already" in ended.err
    assert set(ended.out.splitlines()) == FILES - {name}
    assert (tmp_path / name).read_text(encoding="utf-8") == "mine"
    assert files_below(tmp_path) == FILES
    assert (".gitignore lacks runs/" in ended.err) == (name == ".gitignore")
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    again = run_harness("init")
    assert (again.code, again.out) == (0, "")
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == before


def test_a_gitignore_that_has_the_lines_lacks_nothing(tmp_path: Path, run_harness: RunHarness) -> None:
    (tmp_path / ".gitignore").write_text("*.pyc\nbaselines/*/.lock\n.cache/\nruns/\n", encoding="utf-8")
    assert "lacks" not in run_harness("init").err


def test_what_init_ignores_is_what_the_harness_makes(tmp_path: Path, run_harness: RunHarness) -> None:
    put_pictures(tmp_path / "made", 2)
    assert run_harness("init", "--source", "made").code == 0
    assert run_harness("check", "scenarios/made.yaml").code == 0
    git = shutil.which("git")
    assert git
    subprocess.run([git, "init", "--quiet"], cwd=tmp_path, check=True)
    words = [git, "status", "--porcelain", "--untracked-files=all"]
    done = subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, text=True)
    new = {line[3:] for line in done.stdout.splitlines()}
    assert "scenarios/made.yaml" in new
    assert not any(name.startswith("runs/") for name in new)


# --- pipelines -------------------------------------------------------------------------------------------------------


def test_a_folder_of_diffusers_gets_a_scenario_of_diffusers_in_its_own_size(
    tmp_path: Path, init: Callable[..., Any]
) -> None:
    put_pipeline(tmp_path / "models" / "My SDXL", "StableDiffusionXLPipeline", sample_size=128)
    asked = init("--source", "models/My SDXL")
    assert asked["name"] == "my-sdxl"
    assert asked["model"] == {"adapter": "diffusers", "source": "../models/My SDXL", "dtype": "bfloat16"}
    assert (asked["width"], asked["height"], asked["steps"], asked["guidance_scale"]) == (1024, 1024, 20, 5.0)
    assert asked["task"] == "text_to_image"


def test_deepgens_index_gets_deepgens_scenario(
    tmp_path: Path, init: Callable[..., Any], run_harness: RunHarness
) -> None:
    folder = put_pipeline(tmp_path / "port", ["deepgen_pipeline", "DeepGenPipeline"], "transformer", sample_size=64)
    (folder / "deepgen_pipeline.py").write_text("", encoding="utf-8")
    asked = init("--source", "port")
    assert asked["model"]["adapter"] == "deepgen"
    assert (asked["width"], asked["steps"]) == (512, 50)
    assert asked["model"]["trust_remote_code"] is False, "whoever runs the code has read it"
    assert "read it, then write `trust_remote_code: true`" in run_harness("init", "other", "--source", "port").err


def test_a_folder_of_diffusers_never_gets_a_scenario_of_deepgen(tmp_path: Path, run_harness: RunHarness) -> None:
    put_pipeline(tmp_path / "sdxl", "StableDiffusionXLPipeline", sample_size=128)
    ended = run_harness("init", "project", "--adapter", "deepgen", "--source", "sdxl")
    refused(ended, "holds the pipeline StableDiffusionXLPipeline, which is not DeepGen's", "--adapter diffusers")
    assert not (tmp_path / "project").exists()


def test_a_project_that_is_a_pipelines_folder_is_its_own_source(tmp_path: Path, init: Callable[..., Any]) -> None:
    put_pipeline(tmp_path, "FluxPipeline", "transformer", guidance_embeds=True)
    asked = init()
    assert asked["model"]["adapter"] == "diffusers"
    assert (asked["model"]["source"], asked["width"], asked["guidance_scale"]) == ("..", 1024, 3.5)


DISTILLED: dict[str, tuple[str, str, dict[str, Any], tuple[int, int, float]]] = {
    "by the folder": ("sdxl-turbo", "StableDiffusionXLPipeline", {"sample_size": 64}, (512, 4, 0.0)),
    "by its configuration": ("flux", "FluxPipeline", {"guidance_embeds": False}, (1024, 4, 0.0)),
    "no": ("sd-15", "StableDiffusionPipeline", {"sample_size": 64}, (512, 20, 7.5)),
    "a size of two": ("sd-15", "StableDiffusionPipeline", {"sample_size": [96, 64]}, (512, 20, 7.5)),
}


@pytest.mark.parametrize("case", DISTILLED)
def test_steps_and_guidance_are_those_of_the_model(case: str, tmp_path: Path, init: Callable[..., Any]) -> None:
    folder, class_name, config, (side, steps, guidance) = DISTILLED[case]
    put_pipeline(tmp_path / folder, class_name, "transformer" if "Flux" in class_name else "unet", **config)
    asked = init("--source", folder)
    assert (asked["width"], asked["steps"], asked["guidance_scale"]) == (side, steps, guidance)


def test_a_pipeline_that_begins_with_a_picture_gets_one(tmp_path: Path, init: Callable[..., Any]) -> None:
    put_pipeline(tmp_path / "edit", "StableDiffusionImg2ImgPipeline", sample_size=64)
    asked = init("--source", "edit")
    assert asked["task"] == "image_editing"
    assert {case["input_image"] for case in asked["cases"]} == {"edit-input.png"}
    assert (tmp_path / "scenarios" / "edit-input.png").is_file()


def test_a_pipeline_that_needs_a_mask_is_refused(tmp_path: Path, run_harness: RunHarness) -> None:
    put_pipeline(tmp_path / "paint", "StableDiffusionInpaintPipeline", sample_size=64)
    refused(run_harness("init", "project", "--source", "paint"), "needs a mask", "--adapter command")
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--source", "lost"], ["there is no folder", "/lost;", "Check the path"]),
        (["--source", "empty"], ["/empty holds no model_index.json, no script", "no pictures"]),
        (["--adapter", "diffusers", "--source", "empty"], ["/empty has no model_index.json"]),
        (["--adapter", "diffusers"], ["--adapter diffusers was given without --source", "/project is no pipeline's"]),
        (["--adapter", "images"], ["--adapter images was given without --source"]),
        (["--adapter", "diffuser", "--source", "empty"], ["Did you mean 'diffusers'?"]),
        (["--source", "hf:org/name@main"], ["is not looked into", "--adapter diffusers"]),
        (["--adapter", "images", "--source", "hf:org/name@main"], ["allowed for this adapter is a folder"]),
        (["--source", "broken"], ["/broken/model_index.json cannot be read"]),
        (["--source", "listed"], ["found list; allowed is a JSON object"]),
    ],
)
def test_what_no_scenario_can_be_drafted_for_is_refused(
    words: list[str], says: list[str], tmp_path: Path, run_harness: RunHarness
) -> None:
    (tmp_path / "empty").mkdir()
    for name, text in (("broken", "{"), ("listed", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model_index.json").write_text(text, encoding="utf-8")
    refused(run_harness("init", "project", *words), *says)
    assert not (tmp_path / "project").exists()


def test_a_hub_with_an_adapter_is_taken_unseen_and_said(tmp_path: Path, run_harness: RunHarness) -> None:
    ended = run_harness("init", "--adapter", "diffusers", "--source", "hf:org/Some-Model@main")
    assert ended.code == 0, ended.err
    assert "hf:org/Some-Model@main was not looked into: set width, height and steps" in ended.err
    assert one_scenario(tmp_path)["model"]["source"] == "hf:org/Some-Model@main"
    assert run_harness("validate", "scenarios/some-model.yaml").code == 0


def test_an_embedded_model_may_be_named(init: Callable[..., Any]) -> None:
    asked = init("--source", "builtin:tiny-deepgen-random")
    assert (asked["name"], asked["width"], asked["steps"]) == ("tiny-deepgen-random", 128, 20)
    assert asked["model"]["trust_remote_code"] is True


@pytest.mark.parametrize("name", ["true", "12", ".5", 'it\'s #1: "x"', "日本", "-a"])
def test_a_folder_of_any_name_is_written_as_that_name(name: str, tmp_path: Path, init: Callable[..., Any]) -> None:
    put_pipeline(tmp_path / "scenarios" / name, "StableDiffusionXLPipeline", sample_size=128)
    asked = init("--source", f"scenarios/{name}")
    assert asked["model"]["source"] == name


def test_a_source_outside_the_project_is_absolute_and_said(tmp_path: Path, run_harness: RunHarness) -> None:
    put_pipeline(tmp_path / "sdxl", "StableDiffusionXLPipeline", sample_size=128)
    ended = run_harness("init", "project", "--source", "sdxl")
    assert f"note: {tmp_path}/sdxl is outside the project" in ended.err
    assert one_scenario(tmp_path / "project")["model"]["source"] == f"{tmp_path}/sdxl"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of a scheduler of diffusers
@pytest.mark.nightly
@pytest.mark.parametrize("name", ["sd15", "edit"])
def test_a_small_pipeline_is_checked_by_the_scenario_that_is_written(
    name: str, tmp_path: Path, made_once: MadeOnce, init: Callable[..., Any], run_harness: RunHarness
) -> None:
    from tests.adapters.tiny_pipelines import saved

    folder = made_once(f"init-{name}", lambda place: saved(name, place / "model")) / "model"
    shutil.copytree(folder, tmp_path / "model")
    asked = init("--source", "model")
    assert (asked["width"], asked["height"]) == (64, 64)
    ended = run_harness("check", "scenarios/model.yaml", "--device", "cpu", "--case", asked["cases"][0]["id"])
    assert ended.code == 0, ended.out + ended.err
    assert "model.source" not in ended.err
    assert (job_folder(tmp_path / "runs") / "report" / "index.html").is_file()


@pytest.mark.slow
def test_what_is_usual_is_what_the_pipelines_say_themselves() -> None:
    import diffusers

    from harness.jobs.drafts.pipelines import _GUIDANCE

    for name, usual in _GUIDANCE.items():
        pipeline: Any = getattr(diffusers, f"{name}Pipeline")
        assert inspect.signature(pipeline.__call__).parameters["guidance_scale"].default == usual


# --- scripts ---------------------------------------------------------------------------------------------------------

SCRIPT = """
import argparse
from PIL import Image, ImageDraw

options = argparse.ArgumentParser()
options.add_argument("-p", "--prompt", required=True)
options.add_argument("--seed", type=int, default=1)
options.add_argument("--height", type=int, default=96)
options.add_argument("--width", type=int, default=64)
options.add_argument("--num-inference-steps", type=int, default=7)
options.add_argument("--guidance_scale", type=float, default=3.5)
options.add_argument("--out", default="made.png")
given = options.parse_args()
picture = Image.new("RGB", (given.width, given.height), (given.seed % 256, 40, len(given.prompt)))
ImageDraw.Draw(picture).rectangle((8, 8, 40, 40), fill="white")
picture.save(given.out)
"""


@pytest.fixture
def port(tmp_path: Path) -> Path:
    (tmp_path / "port").mkdir()
    (tmp_path / "port" / "inference.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "port" / "tools.py").write_text("", encoding="utf-8")
    return tmp_path / "port"


@pytest.mark.parametrize(
    "words", [["--source", "port"], ["--adapter", "command", "--source", "port"], ["--source", "port/inference.py"]]
)
def test_a_scripts_own_options_are_the_words_of_its_command(
    words: list[str], tmp_path: Path, port: Path, init: Callable[..., Any], run_harness: RunHarness
) -> None:
    assert port.is_dir()
    asked = init(*words)
    told = asked["model"]["command"]["words"]
    assert told[:2] == ["{python}", "inference.py"]
    assert dict(zip(told[2::2], told[3::2], strict=True)) == {
        "--prompt": "{prompt}",
        "--seed": "{seed}",
        "--out": "{output}",
        "--height": "{height}",
        "--width": "{width}",
        "--num-inference-steps": "{steps}",
        "--guidance_scale": "{guidance_scale}",
    }
    assert (asked["width"], asked["height"], asked["steps"], asked["guidance_scale"]) == (64, 96, 7, 3.5)
    refused(run_harness("check", "scenarios/port.yaml"), "--allow-command")
    ended = run_harness("check", "scenarios/port.yaml", "--allow-command")
    assert ended.code == 0, ended.out + ended.err
    workflow = (tmp_path / ".github/workflows/accuracy.yml").read_text(encoding="utf-8")
    assert "harness check scenarios/*.yaml --retries 1 --allow-command" in workflow


def test_an_option_that_is_required_and_unknown_is_said(
    port: Path, init: Callable[..., Any], run_harness: RunHarness
) -> None:
    script = port / "inference.py"
    script.write_text(
        SCRIPT.replace('"--seed"', '"--weights", required=True)\noptions.add_argument("--seed"'), encoding="utf-8"
    )
    init("--source", "port")
    assert "inference.py also asks for --weights" in run_harness("init", "other", "--source", "port").err
    text = (port.parent / "scenarios" / "port.yaml").read_text(encoding="utf-8")
    assert "# --weights is required as well" in text


def test_a_script_whose_options_cannot_be_read_gets_the_usual_ones_and_a_note(
    port: Path, init: Callable[..., Any], run_harness: RunHarness
) -> None:
    (port / "inference.py").write_text("import sys\n", encoding="utf-8")
    asked = init("--source", "port")
    assert "--output_image" in asked["model"]["command"]["words"]
    assert "no options could be read in inference.py" in run_harness("init", "other", "--source", "port").err


def test_a_script_that_is_not_told_a_size_is_said(port: Path, run_harness: RunHarness) -> None:
    (port / "inference.py").write_text(SCRIPT.replace("--width", "--breadth"), encoding="utf-8")
    ended = run_harness("init", "other", "--source", "port")
    assert "is not told width: set width and height to what it makes" in ended.err
    assert one_scenario(port.parent / "other")["width"] == 96


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("--seed", "--luck"), ["no option that is known to tell seed", "--luck", "Call the right one --seed"]),
        (("import argparse", "import"), ["cannot be read as Python"]),
    ],
)
def test_a_script_that_cannot_be_told_what_it_must_be_is_refused(
    change: tuple[str, str], says: list[str], port: Path, run_harness: RunHarness
) -> None:
    (port / "inference.py").write_text(SCRIPT.replace(*change), encoding="utf-8")
    refused(run_harness("init", "project", "--source", "port"), *says)


def test_of_several_scripts_one_has_to_be_named(port: Path, init: Callable[..., Any], run_harness: RunHarness) -> None:
    (port / "generate.py").write_text(SCRIPT, encoding="utf-8")
    refused(run_harness("init", "project", "--source", "port"), "the scripts generate.py, inference.py; allowed is one")
    assert init("--source", "port/generate.py")["model"]["command"]["words"][1] == "generate.py"


# --- pictures --------------------------------------------------------------------------------------------------------


def put_picture(path: Path, side: int = 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # One picture for two questions would be an error, and so would two of an arm for one question.
    asked = re.sub(r".*/made/|(new|gpu|a|b)/|-p\dr\d", "", path.as_posix())
    level = zlib.crc32(asked.encode()) % 50
    slope = np.mgrid[:side, :side].sum(axis=0)[..., np.newaxis].repeat(3, axis=2)
    write_picture(path, np.minimum(slope + level, 255).astype(np.uint8))


LAYOUTS = {
    "arms": (["new/cat/1.png", "gpu/cat/1.png"], "{arm}/{case}/{seed}.png", {"new": None, "gpu": "reference"}),
    "flat arms": (["a/cat-1.png", "b/cat-1.png"], "{arm}/{case}-{seed}.png", {"a": None, "b": "reference"}),
    "cases": (["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"], "{case}/{seed}.png", {"candidate": None}),
    "flat": (["a-cat_1.png", "dog_1.png"], "{case}_{seed}.png", {"candidate": None}),
    "repeats": (
        [f"cat/1-p{process}r{repeat}.png" for process in (0, 1) for repeat in (0, 1, 2)],
        "{case}/{seed}-p{process}r{repeat}.png",
        {"candidate": None},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pictures_say_cases_seeds_arms_and_repeats_by_their_names(
    layout: str, tmp_path: Path, init: Callable[..., Any], run_harness: RunHarness
) -> None:
    names, template, arms = LAYOUTS[layout]
    for name in names:
        put_picture(tmp_path / "made" / name)
    asked = init("--source", "made")
    assert asked["model"] == {"adapter": "images", "source": "../made", "pictures": template}
    assert {arm["name"]: arm.get("role") for arm in asked["arms"]} == arms
    assert (asked["width"], asked["height"]) == (64, 64)
    repeats = {"in_process": 3, "processes": 2} if layout == "repeats" else {"in_process": 1, "processes": 1}
    assert asked["repeats"] == repeats
    nothing_to_compare = layout in {"cases", "flat"}
    ended = run_harness("check", "scenarios/made.yaml")
    assert ended.code == (5 if nothing_to_compare else 0), ended.out + ended.err
    other = run_harness("init", "other", "--source", "made").err
    assert ("there is nothing to compare" in other) == nothing_to_compare
    assert ("was taken as the reference" in other) == (len(arms) > 1)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["cat.png", "dog.png"], ["found 2 pictures, such as cat.png", "harness compare MINE THEIRS"]),
        (["Cat/1.png"], ["in lower case"]),
        (["a/cat/1.png", "b/dog/1.png"], ["for every arm the same"]),
        (["cat/1.png", "cat/2.png", "dog/1.png"], ["found 3 pictures"]),
        (["cat/1.png", "cat/2.jpg"], ["of one kind of file"]),
        (["cat/1-p0r0.png", "cat/1-p0r2.png"], ["found 2 pictures"]),
        (["cat/007.png"], ["found 1 pictures"]),
    ],
)
def test_pictures_whose_names_say_too_little_are_refused(
    names: list[str], says: list[str], tmp_path: Path, run_harness: RunHarness
) -> None:
    for name in names:
        put_picture((tmp_path / "made" / name).with_suffix(".png"))
        if name.endswith(".jpg"):
            (tmp_path / "made" / name).with_suffix(".png").rename(tmp_path / "made" / name)
    refused(run_harness("init", "project", "--adapter", "images", "--source", "made"), *says)
    assert not (tmp_path / "project").exists()


def test_pictures_of_a_size_that_no_scenario_has_are_refused(tmp_path: Path, run_harness: RunHarness) -> None:
    put_picture(tmp_path / "made" / "cat" / "1.png", side=60)
    refused(run_harness("init", "project", "--source", "made"), "60 x 60 pixels", "multiples of 32")
