"""Any pipeline of diffusers: five real ones in small, through real workers, and an adapter's laws in this process."""

from __future__ import annotations

import ast
import logging
import re
import shutil
from functools import wraps
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from harness.adapters import _parts, _pipelines
from harness.adapters import diffusers as adapter
from harness.backends import cpu
from harness.contracts import Request
from harness.errors import ModelError, RunError
from harness.metrics import psnr_db
from harness.records import DrawnFrom, ModelRef, NoiseMode, SwitchMode
from harness.run.sources import prepare
from harness.run.worker.draws import DrawLog, watched_draws
from harness.run.worker.recorder import Recorder

torch = pytest.importorskip("torch")
diffusers: Any = pytest.importorskip("diffusers")

from transformers.activations import ACT2FN  # noqa: E402

from tests.adapters.tiny_pipelines import PIPELINES, saved  # noqa: E402 - it imports torch
from tests.command_line import read_json  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.adapters.diffusers import Diffusers
    from harness.contracts import Picture
    from tests.command_line import RunHarness, WriteScenario

# diffusers' own schedulers hand tensors to numpy in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

STEPS = 2
NIGHTLY = {"sd15", "sdxl", "flux", "qwen"}
"""In each landing one pipeline goes through workers; the laws below hold all of them."""
MEASURED = [pytest.param(name, marks=pytest.mark.nightly if name in NIGHTLY else ()) for name in PIPELINES]
DENOISERS = {"sd15": "unet", "sdxl": "unet", "sd3": "transformer", "flux": "transformer", "qwen": "transformer"}
ENCODERS = {"sd15": 1, "sdxl": 2, "sd3": 3, "flux": 2, "qwen": 1}
LIMITS = [
    {"metric": "identical", "scope": "repeat", "equals": 1, "reason": "The test says so, and nothing else."},
    {"metric": "psnr_db", "scope": "reference", "at_least": 20, "reason": "Only for this test."},
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a pipeline, made when it is first asked for."""
    place = tmp_path_factory.mktemp("pipelines")
    return lambda name: place / name if (place / name).is_dir() else saved(name, place / name)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def _deterministic() -> Iterator[None]:
    """As a worker is with switches: deterministic."""
    torch.set_deterministic_debug_mode("error")
    yield
    torch.set_deterministic_debug_mode("default")


# --- through the command line ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_picture_can_be_made_with_another_adapter(
    folders: Callable[[str], Path], run_harness: RunHarness, tmp_path: Path
) -> None:
    small = ["--device", "cpu", "--height", "64", "--width", "64", "--num_inference_steps", "2"]
    as_deepgen = run_harness("generate", "--model_path", folders("sd15"), *small)
    assert as_deepgen.code == 2, as_deepgen.out
    assert not (tmp_path / "output_deepgen.png").exists()
    ended = run_harness("generate", "--model_path", folders("sd15"), *small, "--adapter", "diffusers")
    assert ended.code == 0, ended.err
    with Image.open(tmp_path / "output_deepgen.png") as picture:
        assert picture.size == (64, 64)


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURED)
def test_a_pipeline_repeats_itself_and_is_measured_against_float32(
    name: str,
    folders: Callable[[str], Path],
    run_harness: RunHarness,
    write_scenario: WriteScenario,
    only_job: Callable[[], Path],
) -> None:
    once = {"in_process": 1, "processes": 1}
    arms = [
        {"name": "bfloat16", "device": "cpu", "dtype": "bfloat16"},
        {"name": "float32", "device": "cpu", "role": "reference", "dtype": "float32", "repeats": once},
    ]
    model = {"adapter": "diffusers", "source": str(folders(name)), "trust_remote_code": False}
    ended = run_harness("check", write_scenario(model=model, arms=arms, limits=LIMITS))
    assert ended.code == 0, ended.err
    (repetition,) = comparison(only_job(), "repeat-bfloat16")["repetitions"]
    assert (repetition["runs"], len(repetition["outcomes"])) == (2, 1)
    found = comparison(only_job(), "reference-bfloat16-against-float32")
    assert (found["outcome"], found["differences"], found["notes"]) == ("within_limits", [], [])
    (pair,) = found["pairs"]
    measured = {(each["metric"], each["subject"]): each["value"] for each in pair["measurements"]}
    assert 20 < measured["psnr_db", "image"] < 100
    assert 0 < measured["relative_l2", "latents"] < 0.5
    assert measured["max_abs_diff", "float_image"] > 0
    assert pair["first_differing_step"] == 1
    run = read_json(only_job() / "bfloat16" / "run.json")
    assert run["samples"][0]["hidden_draws"] == []
    assert {draw["drawn_from"] for draw in run["samples"][0]["draws"]} == {"given"}
    assert len(run["samples"][0]["per_step"]) == STEPS
    assert run["loaded"]["components"]["denoising"] == DENOISERS[name]


@pytest.mark.slow
def test_a_planted_fault_behind_a_pipeline_is_seen(
    folders: Callable[[str], Path],
    run_harness: RunHarness,
    write_scenario: WriteScenario,
    only_job: Callable[[], Path],
) -> None:
    model = {"adapter": "planted-diffusers-drift", "source": str(folders("sd3")), "trust_remote_code": False}
    ended = run_harness("check", write_scenario(model=model))
    assert ended.code == 6, ended.err
    assert comparison(only_job(), "repeat-candidate")["outcome"] == "unstable"


def comparison(job: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(job / f"comparison-{name}.json")
    return found


# --- laws ------------------------------------------------------------------------------------------------------------


DEVICE = cpu.open(0, SwitchMode.AS_SHIPPED)


def loaded(folder: Path, dtype: Any = "float32", **changes: Any) -> Diffusers:
    model = ModelRef(adapter="diffusers", source=str(folder), dtype=dtype, **changes)
    return adapter.load(folder, model, DEVICE)


def request(**changes: Any) -> Request:
    wanted: dict[str, Any] = {
        "prompt": "a blue circle",
        "negative_prompt": None,
        "input_image": None,
        "width": 64,
        "height": 64,
        "steps": STEPS,
        "guidance_scale": 4.0,
        "seed": 42,
        **changes,
    }
    return Request(**wanted)


def make(
    pipeline: Diffusers, wanted: Request, mode: NoiseMode = NoiseMode.PORTABLE
) -> tuple[Picture, Recorder, DrawLog]:
    recorder = Recorder(DEVICE, lambda _: None)
    DEVICE.seed(wanted.seed)
    with watched_draws(mode, wanted.seed, DEVICE) as draws:
        recorder.given = draws.give
        picture = pipeline.generate(wanted, recorder)
    return picture, recorder, draws


def test_an_image_that_a_pipeline_cannot_take_is_refused_in_words(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    """That such a refusal becomes a failure of the run, test_arguments.py tells."""
    Image.new("RGB", (64, 64)).save(tmp_path / "input.png")
    with pytest.raises(RunError, match=r"StableDiffusionPipeline does not take image; it takes prompt, height, width"):
        loaded(folders("sd15")).check_request(request(input_image=tmp_path / "input.png"))


@pytest.mark.usefixtures("_deterministic")
@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_keeps_the_laws(name: str, folders: Callable[[str], Path]) -> None:
    pipeline = loaded(folders(name), "bfloat16")
    first, recorder, draws = make(pipeline, request(width=96))
    again, _, same = make(pipeline, request(width=96))
    other, _, _ = make(pipeline, request(width=96, seed=7))
    assert first.float_image is not None
    assert again.float_image is not None
    assert first.image.shape == first.float_image.shape == (64, 96, 3)
    assert first.image.tobytes() == again.image.tobytes() != other.image.tobytes()
    assert first.float_image.tobytes() == again.float_image.tobytes()
    assert (draws.digest, draws.hidden) == (same.digest, [])
    assert {draw.drawn_from for draw in draws.draws} == {DrawnFrom.GIVEN}
    assert len({step.digest for step in recorder.per_step()}) == STEPS
    encoders = {f"text_encoding{which}" for which in ("", "_2", "_3")[: ENCODERS[name]]}
    assert set(recorder.seconds) == encoders | {"denoising", "vae_decode"}
    assert set(pipeline.components.values()) == set(pipeline.modules)
    assert pipeline.components["denoising"] == DENOISERS[name]
    precise, exact, drawn = make(loaded(folders(name)), request(width=96))
    assert drawn.digest == draws.digest
    assert precise.float_image is not None
    assert 20 < psnr_db.measure(first.image, precise.image, data_range=255).value < 100
    assert np.abs(first.float_image - precise.float_image).max() > 0
    assert exact.per_step()[0].digest != recorder.per_step()[0].digest
    assert not any("forward" in vars(module) or "decode" in vars(module) for module in pipeline.modules.values())


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("name", PIPELINES)
def test_values_that_are_no_numbers_are_found_where_they_begin(name: str, folders: Callable[[str], Path]) -> None:
    pipeline = loaded(folders(name))
    assert make(pipeline, request())[1].not_finite() is None
    for module, place in (("vae", "the output of vae"), (DENOISERS[name], "the latents after step 1")):
        part = pipeline.modules[module]
        next((part.decoder if module == "vae" else part).parameters()).data.fill_(float("nan"))
        broken = make(pipeline, request())[1].not_finite()
        assert broken is not None
        assert broken.place == place


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_float_picture_becomes_the_8_bit_one_by_the_pipelines_own_formula(
    dtype: str, folders: Callable[[str], Path]
) -> None:
    picture, _, _ = make(loaded(folders("sd3"), dtype), request())
    assert picture.float_image_dtype == dtype
    computed = torch.from_numpy(picture.float_image).to(getattr(torch, dtype))
    levels = ((computed * 0.5 + 0.5).clamp(0, 1).float() * 255).round()
    assert np.array_equal(levels.to(torch.uint8).numpy(), picture.image)
    assert len(np.unique(picture.image)) > 16, "a flat picture would prove nothing"


@pytest.mark.parametrize("mode", [NoiseMode.PORTABLE, NoiseMode.DEVICE])
def test_a_scheduler_that_draws_at_every_step_is_logged_and_repeats_itself(
    mode: NoiseMode, folders: Callable[[str], Path]
) -> None:
    pipeline = loaded(folders("sd15"))
    (first, _, draws), (second, _, again) = make(pipeline, request(), mode), make(pipeline, request(), mode)
    assert len(draws.draws) == 1 + STEPS, "the first latents, and one draw at each ancestral step"
    assert len({draw.digest for draw in draws.draws}) == 1 + STEPS
    assert draws.hidden == []
    assert draws.digest == again.digest
    assert first.image.tobytes() == second.image.tobytes()


def test_a_pipeline_that_ignores_the_generator_it_is_given_is_seen(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = loaded(folders("sd3"))
    _, _, healthy = make(pipeline, request())
    kind = type(pipeline._pipe)
    original = kind.__call__

    @wraps(original)
    def ignoring(self: Any, *words: Any, generator: Any, **options: Any) -> Any:
        del generator
        return original(self, *words, **options)

    monkeypatch.setattr(kind, "__call__", ignoring)
    _, _, draws = make(pipeline, request())
    assert draws.digest == healthy.digest, "injected noise alone does not tell the two apart"
    assert [draw.drawn_from for draw in healthy.draws] == [DrawnFrom.GIVEN]
    assert [draw.drawn_from for draw in draws.draws] == [DrawnFrom.GLOBAL]
    assert draws.hidden == [], "what it draws is known"


def test_a_scheduler_that_passes_over_the_generator_is_seen(folders: Callable[[str], Path]) -> None:
    pipeline = loaded(folders("sd3"))
    pipe = pipeline._pipe
    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, stochastic_sampling=True)
    (first, _, draws), (second, _, _) = make(pipeline, request()), make(pipeline, request())
    assert [draw.drawn_from for draw in draws.draws] == [DrawnFrom.GIVEN, *[DrawnFrom.GLOBAL] * STEPS]
    assert first.image.tobytes() == second.image.tobytes()


@pytest.mark.filterwarnings("ignore:Should have t[ab][<>]=t[01]:UserWarning")  # rounded bounds of a Brownian tree
def test_a_sampler_of_a_brownian_tree_draws_from_generators_of_its_own(folders: Callable[[str], Path]) -> None:
    pipeline = loaded(folders("sd15"))
    pipe = pipeline._pipe
    pipe.scheduler = diffusers.DPMSolverSDEScheduler.from_config(pipe.scheduler.config, noise_sampler_seed=7)
    (first, _, draws), (second, _, again) = make(pipeline, request()), make(pipeline, request())
    origins = [draw.drawn_from for draw in draws.draws]
    assert (origins[0], set(origins[1:])) == (DrawnFrom.GIVEN, {DrawnFrom.OTHER})
    assert (draws.hidden, again.hidden) == ([], [])
    assert len({draw.digest for draw in draws.draws}) < len(origins), "nodes are drawn again"
    assert first.image.tobytes() == second.image.tobytes()


def test_the_noise_of_both_modes_differs(folders: Callable[[str], Path]) -> None:
    pipeline = loaded(folders("sd15"))
    logs = [make(pipeline, request(), mode)[2] for mode in (NoiseMode.PORTABLE, NoiseMode.DEVICE)]
    assert logs[0].digest != logs[1].digest


def test_without_a_callback_the_scheduler_tells_the_steps(folders: Callable[[str], Path]) -> None:
    pipeline = loaded(folders("sdxl"))
    _, told, _ = make(pipeline, request())
    without = {name: each for name, each in pipeline._parameters.items() if name != "callback_on_step_end"}
    pipeline._parameters = MappingProxyType(without)
    _, tapped, _ = make(pipeline, request())
    assert [step.digest for step in tapped.per_step()] == [step.digest for step in told.per_step()]
    assert "step" not in vars(pipeline._pipe.scheduler)


def test_a_picture_to_begin_with_reaches_the_pipeline_and_its_draws_are_logged(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    pipeline = loaded(folders("image to image"))
    pictures = []
    for number, level in enumerate((0, 200)):
        Image.new("RGB", (64, 64), (level, 90, 20)).save(tmp_path / f"{number}.png")
        picture, recorder, draws = make(pipeline, request(input_image=tmp_path / f"{number}.png", steps=4))
        pictures.append(picture.image.tobytes())
        assert "vae_encode" in recorder.seconds
        assert (len(draws.draws), draws.hidden) == (2, []), "the posterior sample and the noise"
    assert pictures[0] != pictures[1]
    assert pipeline.substitutions == ["StableDiffusionImg2ImgPipeline does not take height, width, so it uses its own"]
    assert any(note.startswith("strength: 0.8") for note in pipeline.notes)
    with pytest.raises(ValueError, match="Input is in incorrect format"):
        make(pipeline, request())  # the pipeline's own words, which become those of the failure


def test_a_negative_prompt_reaches_the_pipeline_or_is_refused(folders: Callable[[str], Path]) -> None:
    pipeline = loaded(folders("sd3"))
    texts = [make(pipeline, request(negative_prompt=text))[0].image.tobytes() for text in (None, "a red square")]
    assert texts[0] != texts[1]
    with pytest.raises(RunError, match=r"FluxPipeline ignores a negative prompt unless true_cfg_scale is above 1"):
        make(loaded(folders("flux")), request(negative_prompt="a red square"))


def ignored(pipeline: Any, **changes: Any) -> list[str]:
    return make(pipeline, request(**changes))[1].ignored


@pytest.mark.parametrize("name", [name for name in PIPELINES if name != "qwen"])
def test_settings_that_a_pipeline_uses_are_not_said_to_be_without_effect(
    name: str, folders: Callable[[str], Path]
) -> None:
    pipeline = loaded(folders(name))
    for changes in ({"guidance_scale": 4.0}, {"guidance_scale": 1.0}, {"guidance_scale": 1.0, "steps": 3}):
        assert ignored(pipeline, **changes) == []


def test_what_qwen_image_does_not_use_is_named_by_what_it_does_and_by_its_own_words(
    folders: Callable[[str], Path],
) -> None:
    pipeline = loaded(folders("qwen"))
    alone = ignored(pipeline, guidance_scale=4.0)
    assert any(words.startswith("guidance_scale: 4 was asked for and changed nothing") for words in alone)
    assert any("ignored since the model is not guidance-distilled" in words for words in alone)
    with_negative = ignored(pipeline, guidance_scale=4.0, negative_prompt="a red square")
    assert [words for words in with_negative if "negative_prompt was given" in words] == []
    assert any("guidance_scale is passed" in words for words in with_negative)


def test_guidance_that_changes_nothing_is_named(folders: Callable[[str], Path]) -> None:
    pipeline = loaded(folders("flux"))
    transformer = pipeline.modules["transformer"]
    transformer.register_to_config(guidance_embeds=False)
    embedding = transformer.time_text_embed
    told = embedding.forward  # as Flux schnell, which is told no scale
    embedding.forward = lambda timestep, pooled: told(timestep, torch.ones_like(timestep), pooled)
    weak, strong = (make(pipeline, request(guidance_scale=scale)) for scale in (4.0, 30.0))
    assert weak[0].image.tobytes() == strong[0].image.tobytes()
    (words,) = strong[1].ignored
    assert words.startswith("guidance_scale: 30 was asked for and changed nothing")


def test_a_negative_prompt_without_guidance_is_named(folders: Callable[[str], Path]) -> None:
    pipeline = loaded(folders("sd15"))
    assert ignored(pipeline, negative_prompt="a red square", guidance_scale=4.0) == []
    (words,) = ignored(pipeline, negative_prompt="a red square", guidance_scale=1.0)
    assert words.startswith("negative_prompt was given and changed nothing")


def test_steps_that_the_scheduler_does_not_make_are_named(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = loaded(folders("sd3"))
    scheduler = pipeline._pipe.scheduler
    own = scheduler.set_timesteps

    def always_four(*_words: Any, **options: Any) -> Any:
        return own(4, **{name: value for name, value in options.items() if name != "num_inference_steps"})

    monkeypatch.setattr(scheduler, "set_timesteps", wraps(own)(always_four))
    assert ignored(pipeline, steps=4) == []
    (words,) = ignored(pipeline, steps=2)
    assert words == "steps: 2 were asked for, and the scheduler's table has 4"


def test_what_a_pipeline_warns_of_is_kept_and_only_while_it_is_called(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = loaded(folders("sd3"))
    logger = logging.getLogger("diffusers.pipelines.stable_diffusion_3")
    own = pipeline._pipe.check_inputs

    def warns(*words: Any, **options: Any) -> Any:
        logger.info("nothing to see")
        logger.warning("guidance_scale is passed as 4, but ignored")
        return own(*words, **options)

    monkeypatch.setattr(pipeline._pipe, "check_inputs", warns)
    assert ignored(pipeline) == ["the pipeline warns: guidance_scale is passed as 4, but ignored"]
    logger.warning("after the call")
    kept = logging.getLogger("diffusers.pipelines").handlers
    assert not any(isinstance(handler, _pipelines.Warned) for handler in kept)


def test_another_attention_is_named_where_it_is_not_used(folders: Callable[[str], Path]) -> None:
    (words,) = loaded(folders("sd15"), attention="eager").substitutions
    assert words.startswith("attention: eager was asked for")


def test_the_form_of_gelu_in_text_encoders_is_known_for_explain(folders: Callable[[str], Path]) -> None:
    pipeline = loaded(folders("sdxl"))
    layers = [f"{encoder}.text_model.encoder.layers.{number}.mlp" for encoder in ENCODERS_OF_SDXL for number in (0, 1)]
    assert pipeline.activations == dict.fromkeys(layers, "erf")
    assert {type(ACT2FN[name]).__name__ for name in ("gelu", "quick_gelu", "gelu_new", "gelu_pytorch_tanh")} == set(
        _parts._GELUS
    )


ENCODERS_OF_SDXL = ("text_encoder", "text_encoder_2")


class Unconditional:
    """A pipeline that is told no prompt."""

    components: dict[str, Any] = {}  # noqa: RUF012 - never changed

    def __call__(self, batch_size: int = 1, generator: Any = None) -> None:
        """Make anything."""


def test_a_pipeline_that_returns_frames_is_refused_where_pictures_are_asked_for() -> None:
    parts = dict.fromkeys(["tokenizer", "text_encoder", "vae", "scheduler", "transformer"])
    pipeline = adapter.Diffusers(diffusers.LTXPipeline(**parts), ModelRef(source="here"), DEVICE)
    with pytest.raises(RunError, match=r"LTXPipeline takes num_frames, num_videos_per_prompt, so it returns frames"):
        pipeline.check_request(request())
    pipeline.check_request(request(frames=9))


def test_a_pipeline_of_pictures_is_refused_where_frames_are_asked_for(folders: Callable[[str], Path]) -> None:
    pipeline = loaded(folders("sd15"))
    pipeline.check_request(request())
    with pytest.raises(RunError, match=r"frames: found 9; allowed is no such key, because StableDiffusionPipeline has"):
        pipeline.check_request(request(frames=9))


def test_every_pipeline_of_diffusers_that_returns_frames_is_known_by_what_it_takes() -> None:
    frames: dict[str, set[str]] = {}
    pictures: dict[str, set[str]] = {}
    for path in (Path(diffusers.__file__).parent / "pipelines").rglob("pipeline_*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            calls = [part for part in getattr(node, "body", []) if getattr(part, "name", "") == "__call__"]
            if isinstance(node, ast.ClassDef) and calls:
                takes = {argument.arg for argument in (*calls[0].args.args, *calls[0].args.kwonlyargs)}
                returns_frames = re.search(r"\bframes=", ast.unparse(calls[0].body[-1])) is not None
                (frames if returns_frames else pictures)[node.name] = takes
    assert len(frames) > 15
    assert len(pictures) > 100
    known = set(_pipelines._FRAMES)
    assert {name for name, takes in frames.items() if not takes & known} == set()
    assert {name for name, takes in pictures.items() if takes & known} == {
        "TextToVideoZeroPipeline",
        "TextToVideoZeroSDXLPipeline",
    }, "these two call their frames images"


def test_a_pipeline_that_returns_no_images_fails_in_words() -> None:
    with pytest.raises(RunError, match=r"returned SimpleNamespace with audios; expected images"):
        _pipelines.pictures(SimpleNamespace(audios=[1]), [])
    with pytest.raises(RunError, match=r"expected images"):
        _pipelines.pictures(SimpleNamespace(images=[]), [])


def test_a_pipeline_without_a_prompt_is_refused() -> None:
    with pytest.raises(RunError, match=r"Unconditional does not take prompt \(only batch_size, generator\)"):
        adapter.Diffusers(Unconditional(), ModelRef(source="here"), DEVICE)


# --- folders that cannot be a model ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "words"), [("unet", "unet, "), ("tokenizer", "tokenizer"), ("scheduler", "sched")])
def test_a_folder_without_a_component_is_refused(
    part: str, words: str, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    model = ModelRef(adapter="diffusers", source="here")
    shutil.copytree(folders("sd15"), tmp_path / "model")
    adapter.check(tmp_path / "model", model)
    shutil.rmtree(tmp_path / "model" / part)
    with pytest.raises(ModelError, match=f"lacks {words.rstrip(', ')}"):
        adapter.check(tmp_path / "model", model)


def test_a_model_without_weights_is_refused(folders: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(folders("sd15"), tmp_path / "model")
    (tmp_path / "model" / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lacks vae/\*\.safetensors"):
        adapter.check(tmp_path / "model", ModelRef(adapter="diffusers", source="here"))


def test_a_broken_index_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("[1", encoding="utf-8")
    with pytest.raises(ModelError, match=r"model_index\.json cannot be read"):
        adapter.check(tmp_path, ModelRef(adapter="diffusers", source="here"))


def test_code_of_a_folder_needs_trust(folders: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(folders("sd15"), tmp_path / "model")
    (tmp_path / "model" / "pipeline.py").write_text("raise SystemExit\n", encoding="utf-8")
    model = ModelRef(adapter="diffusers", source=str(tmp_path / "model"))
    with pytest.raises(ModelError, match="brings its own code"):
        prepare(model.source, model, tmp_path / "copy")


def test_an_image_that_a_safety_checker_replaced_is_refused_by_name() -> None:
    from diffusers.pipelines.stable_diffusion.pipeline_output import StableDiffusionPipelineOutput

    for flags in (None, [False]):
        adapter._refuse_replaced(StableDiffusionPipelineOutput(images=[], nsfw_content_detected=flags))
    with pytest.raises(RunError, match="safety checker replaced the image"):
        adapter._refuse_replaced(StableDiffusionPipelineOutput(images=[], nsfw_content_detected=[True]))
