"""Families of pipelines through the command, and what they showed of the adapter."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from harness.adapters import _pipelines  # noqa: E402
from harness.adapters import diffusers as adapter  # noqa: E402
from harness.backends import cpu  # noqa: E402
from harness.contracts import Picture, Request  # noqa: E402
from harness.errors import RunError, ScenarioError  # noqa: E402
from harness.records import ModelRef, NoiseMode, SwitchMode  # noqa: E402
from harness.records.arguments import with_images  # noqa: E402
from harness.run.worker.draws import watched_draws  # noqa: E402
from harness.run.worker.guards import BadOutput, require_output  # noqa: E402
from harness.run.worker.recorder import Recorder  # noqa: E402
from harness.scenario import load  # noqa: E402
from tests.command_line import ROOT  # noqa: E402
from tests.families.families import FAMILIES  # noqa: E402
from tests.families.table import HEAD, draws, page  # noqa: E402
from tests.families.trial import Trial, saved, tried, write_images  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.command_line import MadeOnce, WriteScenario

pytestmark = [
    # diffusers' own schedulers hand tensors to numpy in a way that numpy 2 warns of.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # Combined pipelines of diffusers call their parts by arguments that it has given up.
    pytest.mark.filterwarnings("ignore:.* is deprecated and will be removed:FutureWarning"),
    # HiDream's asks its Llama for attentions, which the fused kernel does not give.
    pytest.mark.filterwarnings("ignore:`output_attentions=True` is not supported:UserWarning"),
]

DEVICE = cpu.open(0, SwitchMode.AS_SHIPPED)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def folder_of(made_once: MadeOnce) -> Callable[[str], Path]:
    """Folder with a family's pipeline in ``model`` and the images that its case is given."""

    def fill(name: str, place: Path) -> None:
        saved(FAMILIES[name], place / "model")
        write_images(place)

    return lambda name: made_once(f"family {name}", lambda place: fill(name, place))


def loaded(name: str, folder: Path, dtype: Any = "float32") -> adapter.Diffusers:
    model = ModelRef(
        adapter="diffusers", source=str(folder / "model"), dtype=dtype, trust_remote_code=FAMILIES[name].own_code
    )
    return adapter.load(folder / "model", model, DEVICE)


def request(name: str, folder: Path, **changes: Any) -> Request:
    family = FAMILIES[name]

    def read(written: str) -> Image.Image:
        return Image.open(folder / written).convert("RGB")

    asked: dict[str, Any] = {
        "prompt": "a cup",
        "negative_prompt": "a red square" if family.negative_prompt else None,
        "input_image": folder / "start.png" if family.input_image else None,
        "width": family.side,
        "height": family.side,
        "steps": 2,
        "guidance_scale": 4.0,
        "seed": 42,
        "arguments": {key: with_images(value, read) for key, value in family.arguments.items()},
    }
    return Request(**asked | changes)


def made(pipeline: adapter.Diffusers, wanted: Request) -> tuple[Picture, Recorder]:
    recorder = Recorder(DEVICE, lambda _: None)
    DEVICE.seed(wanted.seed)
    with watched_draws(NoiseMode.PORTABLE, wanted.seed, DEVICE) as log:
        recorder.given = log.give
        picture = pipeline.generate(wanted, recorder)
    require_output(picture, wanted)
    return picture, recorder


# --- through the command line ----------------------------------------------------------------------------------------


UNLIKE = {"ddpm", "ldm3d", "omnigen"}
"""No prompt; an image and its depth; torchvision, which the tests have not."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly) for name in FAMILIES if name not in UNLIKE]
)
def test_a_family_passes_check(name: str, tmp_path: Path) -> None:
    trial = tried(name, FAMILIES[name], tmp_path)
    assert (trial.code, trial.error) == (0, ""), trial
    assert trial.met_noise
    assert trial.repeats == "4 runs in 2 processes, 1 outcome"
    assert trial.draws
    assert trial.returns.startswith("9 frames of 64x64x3 uint8" if FAMILIES[name].frames else ("64x", "128x", "256x"))
    assert trial.psnr_db is not None
    assert 20 < trial.psnr_db < 100


@pytest.mark.slow
@pytest.mark.nightly
def test_what_cannot_be_asked_for_a_case_fails_in_words(tmp_path: Path) -> None:
    trial = tried("ddpm", FAMILIES["ddpm"], tmp_path)
    assert (trial.code, trial.verdict) == (3, "error")
    assert trial.error.startswith("load: RunError: DDPMPipeline does not take prompt (only batch_size, generator,")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "part", "words"),
    [
        pytest.param("kandinsky-3", "movq", "in the output of movq are NaN", marks=pytest.mark.nightly),
        pytest.param("pixart-sigma", "transformer", "in the latents after step 1 are NaN", marks=pytest.mark.nightly),
        pytest.param("sana", "vae", "in the output of vae are NaN", marks=pytest.mark.nightly),
        pytest.param("ltx", "vae", "in the output of vae are NaN", marks=pytest.mark.nightly),
        pytest.param("wan", "vae", "in the output of vae are NaN", marks=pytest.mark.nightly),
    ],
)
def test_planted_nan_is_a_failure_of_the_check(name: str, part: str, words: str, tmp_path: Path) -> None:
    """The healthy pipelines pass the check above."""

    family = FAMILIES[name]

    def broken(folder: Path) -> None:
        family.save(folder)
        pipe = diffusers.DiffusionPipeline.from_pretrained(folder)
        module = getattr(pipe, part)
        next((module.decoder if hasattr(module, "decoder") else module).parameters()).data.fill_(float("nan"))
        module.save_pretrained(folder / part)

    trial = tried(name, dataclasses.replace(family, save=broken), tmp_path)
    assert (trial.code, trial.verdict) == (3, "error")
    assert words in trial.error


# --- in this process -------------------------------------------------------------------------------------------------


QUICK = ("kandinsky-2.2", "own-class", "flux-control")
TRIED = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.nightly)
    for name, family in FAMILIES.items()
    if name not in UNLIKE and not family.frames  # tests/adapters/test_videos.py has those of videos
]


@pytest.mark.parametrize("name", TRIED)
def test_a_picture_repeats_itself_and_follows_its_seed(name: str, folder_of: Callable[[str], Path]) -> None:
    folder = folder_of(name)
    pipeline = loaded(name, folder, "bfloat16")
    first, again, other = (made(pipeline, request(name, folder, seed=seed))[0] for seed in (42, 42, 7))
    assert first.image.tobytes() == again.image.tobytes() != other.image.tobytes()
    assert len(np.unique(first.image)) > 16, "a flat picture would prove nothing"


def images_of(name: str) -> list[str]:
    """Files of the images that a family's case is given."""
    given = "input_image" if FAMILIES[name].input_image else ""
    return [file for file in ("start.png", "mask.png", "control.png") if file in str(FAMILIES[name].arguments)] + [
        given
    ]


WITH_IMAGES = [(name, file) for name in FAMILIES if name not in UNLIKE for file in images_of(name) if file]


@pytest.mark.parametrize(
    ("name", "file"),
    [pytest.param(*pair, marks=() if pair[0] in QUICK else pytest.mark.nightly) for pair in WITH_IMAGES],
)
def test_each_image_reaches_the_pipeline(
    name: str, file: str, folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    pipeline = loaded(name, folder_of(name))
    write_images(tmp_path)
    before = made(pipeline, request(name, tmp_path))[0].image.tobytes()
    changed = tmp_path / (file if file.endswith(".png") else "start.png")
    with Image.open(changed) as image:
        image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).crop((0, 8, 64, 72)).save(changed)
    assert made(pipeline, request(name, tmp_path))[0].image.tobytes() != before


@pytest.mark.parametrize("name", ["kandinsky-2.2", pytest.param("kandinsky-3", marks=pytest.mark.nightly)])
def test_a_decoder_of_another_name_is_seen(name: str, folder_of: Callable[[str], Path]) -> None:
    pipeline = loaded(name, folder_of(name))
    picture, recorder = made(pipeline, request(name, folder_of(name)))
    assert picture.float_image is not None
    levels = np.clip(picture.float_image * 0.5 + 0.5, 0, 1) * 255
    assert np.abs(levels - picture.image).max() < 1
    assert "vae_decode" in recorder.seconds
    assert pipeline.components["vae_decode"] == "movq"
    assert "movq.decode" in {joint.path for joint in pipeline.joints}
    if name == "kandinsky-2.2":
        assert {"prior_text_encoding", "prior_image_encoding"} <= set(recorder.seconds)
        assert pipeline.components["prior_text_encoding"] == "prior_text_encoder"


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.parametrize(
    ("name", "part", "place"),
    [("kandinsky-2.2", "movq", "the output of movq"), ("own-class", "unet", "the latents after step 1")],
)
def test_planted_nan_is_found_where_it_begins(
    name: str, part: str, place: str, folder_of: Callable[[str], Path]
) -> None:
    pipeline = loaded(name, folder_of(name))
    wanted = request(name, folder_of(name))
    assert made(pipeline, wanted)[1].not_finite() is None
    module = pipeline.modules[part]
    next(getattr(module, "decoder", module).parameters()).data.fill_(float("nan"))
    recorder = Recorder(DEVICE, lambda _: None)
    with watched_draws(NoiseMode.PORTABLE, 42, DEVICE) as log:
        recorder.given = log.give
        pipeline.generate(wanted, recorder)
    broken = recorder.not_finite()
    assert broken is not None
    assert broken.place == place


def test_a_pipeline_that_returns_a_tuple_or_a_list_is_understood(folder_of: Callable[[str], Path]) -> None:
    pipeline = loaded("own-class", folder_of("own-class"))
    picture, _ = made(pipeline, request("own-class", folder_of("own-class")))
    assert picture.image.shape == (64, 64, 3)
    assert pipeline.substitutions == ["OwnPipeline does not take guidance_scale, so it uses its own"]
    image = Image.new("RGB", (2, 3), (9, 8, 7))
    for returned in (([image], None), [image]):
        assert _pipelines.pictures(returned, [])[0].image.tolist() == [[[9, 8, 7]] * 2] * 3


def test_a_class_beside_the_weights_is_no_component(folder_of: Callable[[str], Path]) -> None:
    folder = folder_of("own-class") / "model"
    model = ModelRef(adapter="diffusers", source=str(folder))
    adapter.check(folder, model)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"own_pipeline.py", "unet/config.json"} <= adapter.reads(folder, names, model)
    assert adapter.parameters(folder) == [*OWN_WORDS, "sharpness"]


OWN_WORDS = ("prompt", "num_inference_steps", "height", "width", "generator")


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (Image.new("RGBA", (2, 2)), "Image RGBA"),
        ([Image.new("RGB", (2, 2))], "list"),
        (np.zeros((2, 2, 3)), r"ndarray \(2, 2, 3\)"),
    ],
)
def test_an_image_of_another_kind_is_refused_by_what_it_is(first: Any, words: str) -> None:
    with pytest.raises(RunError, match=f"returned {words} as an image; expected a PIL image with mode RGB"):
        _pipelines.pictures(([first], None), [])


def test_a_size_that_the_pipeline_chose_is_refused_with_what_to_write() -> None:
    wanted = Request(
        prompt="a cup", negative_prompt=None, input_image=None, width=64, height=64, steps=2, guidance_scale=4, seed=1
    )

    def picture(*shape: int) -> Picture:
        return Picture(image=np.zeros(shape, dtype=np.uint8), float_image=None, float_image_dtype=None)

    require_output(picture(64, 64, 3), wanted)
    said = r"returned uint8\[96, 128, 3\]; expected uint8\[64, 64, 3\].*write 'width: 128' and 'height: 96' in the sce"
    with pytest.raises(BadOutput, match=said):
        require_output(picture(96, 128, 3), wanted)
    with pytest.raises(BadOutput, match=r"returned uint8\[64, 64\]; expected uint8\[64, 64, 3\]\.$"):
        require_output(picture(64, 64), wanted)


class OfSeveralImages:
    """A pipeline that takes images by a name of its own."""

    components: dict[str, Any] = {}  # noqa: RUF012 - never changed

    def __call__(self, prompt: str, input_images: Any = None, image_embeds: Any = None, generator: Any = None) -> None:
        """Make anything."""


def test_an_input_image_that_is_taken_by_another_name_is_refused_with_that_name(tmp_path: Path) -> None:
    write_images(tmp_path)
    pipeline = adapter.Diffusers(OfSeveralImages(), ModelRef(source="here"), DEVICE)
    wanted = request("ddpm", tmp_path, input_image=tmp_path / "start.png")
    said = r"does not take image; .*other names for stand under 'arguments:', as in 'input_images: \{image: FILE\}'\. "
    with pytest.raises(RunError, match=said):
        pipeline.check_request(wanted)
    pipeline.check_request(request("ddpm", tmp_path, arguments={"input_images": [[Image.new("RGB", (8, 8))]]}))


def test_an_image_in_a_list_of_lists_is_found_before_anything_runs(
    write_scenario: WriteScenario, tmp_path: Path
) -> None:
    """As pipelines take them that make several pictures, each from several images."""
    write_images(tmp_path)
    model = {"adapter": "diffusers", "source": "model", "trust_remote_code": False}
    path = write_scenario(model=model, arguments={"input_images": [[{"image": "start.png"}, {"image": "mask.png"}]]})
    assert load(path).argument_images == {name: tmp_path / name for name in ("start.png", "mask.png")}
    (tmp_path / "mask.png").unlink()
    with pytest.raises(ScenarioError, match=r"arguments\.input_images: there is no file 'mask\.png'"):
        load(path)


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_has_a_row_for_what_ran_and_one_for_what_failed() -> None:
    ran = Trial(
        name="a", title="A", pipeline="APipeline", takes=["prompt", "width"], lacks=["steps"], draws=["randn 1x4"] * 2,
        arguments={"strength": 0.5}, returns="64x64x3 uint8", met_noise=True, repeats="4 runs", psnr_db=40.04,
        verdict="within_limits", code=0, seconds=9.0, told=["A does not take steps"],
    )  # fmt: skip
    failed = Trial(name="b", title="B", pipeline="BPipeline", code=3, error="takes a | b")
    text = page([ran, failed])
    assert "1 of 2 families passed" in text
    assert "| A | `APipeline` | prompt, ~~negative_prompt~~, ~~input_image~~, width, ~~height~~" in text
    assert "| `strength: 0.5` | 2 x randn 1x4 | 64x64x3 uint8 | yes | 4 runs | 40.0 | within limits | 9 |" in text
    assert "- A: A does not take steps." in text
    assert "| B | `BPipeline` | 3 | takes a \\| b |" in text
    assert draws([]) == "-"


def test_the_document_has_every_family() -> None:
    text = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
    titles = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")]
    assert {family.title for family in FAMILIES.values()} <= set(titles)
    ran = [line for line in text.splitlines() if line.startswith("| ") and "Pipeline`" in line and "~~" in line]
    assert len(ran) >= 12
    for family in FAMILIES.values():
        if family.frames:
            (row,) = (line for line in ran if line.startswith(f"| {family.title} | "))
            assert f"| {family.frames} frames of {family.side}x{family.side}x3 uint8, decoder output in " in row
    assert text.startswith(HEAD.partition("{")[0])
