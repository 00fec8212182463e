"""Laws that every adapter keeps that makes its pictures in the worker, on a real model; one load for all of them.

A new file in ``harness/adapters`` is under them with one edit: the line in ``MODELS`` that says on which model. Those
whose pictures come from outside have laws of their own.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from harness import plugins
from harness.adapters import deepgen
from harness.adapters.deepgen import DeepGen
from harness.backends import cpu
from harness.contracts import Request, is_outside
from harness.errors import ModelError, RunError
from harness.records import DrawnFrom, ModelRef, NoiseMode, SwitchMode
from harness.run.sources import prepare
from harness.run.worker.draws import DrawLog, watched_draws
from harness.run.worker.recorder import Recorder

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.contracts import Device, Picture, Pipeline

ADAPTERS = [name for name in plugins.names("adapters") if not is_outside(plugins.load("adapters", name))]
MODELS = {"deepgen": "builtin:tiny-deepgen-random"}
"""Model that each adapter is held to the laws on."""
HELD_ELSEWHERE = {"diffusers": "adapters/test_diffusers.py"}
"""Adapters whose stages depend on the pipeline: they have laws of their own."""
STEPS = 2
GENERATION_STAGES = {"text_encoding", "conditioning", "denoising", "vae_decode"}
EDITING_STAGES = GENERATION_STAGES | {"vae_encode", "image_encoding"}


def test_every_adapter_has_a_model_to_be_held_to_the_laws_on() -> None:
    assert sorted([*MODELS, *HELD_ELSEWHERE]) == ADAPTERS
    assert all((Path(__file__).parents[1] / place).is_file() for place in HELD_ELSEWHERE.values())


class Loaded:
    """An adapter's pipeline, ready to make pictures as a worker does."""

    def __init__(self, name: str, folder: Path, model: ModelRef, device: Device, input_image: Path) -> None:
        self.pipeline: Pipeline = plugins.load("adapters", name).load(folder, model, device)
        self.device = device
        self.folder = folder
        self.model = model
        self._input_image = input_image

    def request(self, *, edit: bool = False, **changes: Any) -> Request:
        wanted: dict[str, Any] = {
            "prompt": "a blue circle",
            "negative_prompt": None,
            "input_image": self._input_image if edit else None,
            "width": 64,
            "height": 64,
            "steps": STEPS,
            "guidance_scale": 4.0,
            "seed": 42,
            **changes,
        }
        return Request(**wanted)

    def make(
        self, request: Request, on_step: Callable[[int], None] = lambda _: None
    ) -> tuple[Picture, Recorder, DrawLog]:
        recorder = Recorder(self.device, on_step)
        self.device.seed(request.seed)
        with watched_draws(NoiseMode.PORTABLE, request.seed, self.device) as draws:
            recorder.given = draws.give
            picture = self.pipeline.generate(request, recorder)
        return picture, recorder, draws


@pytest.fixture(scope="module", params=sorted(MODELS))
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """Small tensors gain nothing from threads; the modules' cache is keyed by file name only, so it is a fresh one."""
    place = tmp_path_factory.mktemp("laws")
    picture = Image.new("RGB", (96, 64), (240, 240, 230))
    ImageDraw.Draw(picture).ellipse((20, 10, 60, 50), fill=(20, 60, 220))
    picture.save(place / "input.png")
    model = ModelRef(adapter=request.param, source=MODELS[request.param], trust_remote_code=True)
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diffusers.utils.dynamic_modules_utils.HF_MODULES_CACHE", str(place / "modules"))
        patch.setenv("HARNESS_CACHE_DIR", str(place / "cache"))
        torch.set_num_threads(1)
        folder = prepare(model.source, model, place / "model").folder
        yield Loaded(request.param, folder, model, cpu.open(0, SwitchMode.AS_SHIPPED), place / "input.png")
        torch.set_num_threads(threads)


both_paths = pytest.mark.parametrize("edit", [False, True], ids=["generate", "edit"])


# --- pictures --------------------------------------------------------------------------------------------------------


@both_paths
def test_the_same_request_gives_the_same_bytes(loaded: Loaded, *, edit: bool) -> None:
    request = loaded.request(edit=edit)
    (first, _, first_draws), (second, _, second_draws) = loaded.make(request), loaded.make(request)
    assert first.image.tobytes() == second.image.tobytes()
    assert first.float_image is not None
    assert second.float_image is not None
    assert first.float_image.tobytes() == second.float_image.tobytes()
    assert first_draws.digest == second_draws.digest


def test_another_seed_gives_another_picture(loaded: Loaded) -> None:
    pictures = [loaded.make(loaded.request(seed=seed))[0].image for seed in (1, 2)]
    assert pictures[0].tobytes() != pictures[1].tobytes()


@both_paths
def test_every_draw_is_logged_and_none_is_hidden(loaded: Loaded, *, edit: bool) -> None:
    _, _, draws = loaded.make(loaded.request(edit=edit))
    assert draws.draws
    assert draws.hidden == []
    assert {draw.drawn_from for draw in draws.draws} <= {None, DrawnFrom.GIVEN}, "no given generator is passed over"


@both_paths
def test_the_picture_has_the_form_that_was_asked_for(loaded: Loaded, *, edit: bool) -> None:
    picture, _, _ = loaded.make(loaded.request(edit=edit, width=96, height=64))
    assert (str(picture.image.dtype), picture.image.shape) == ("uint8", (64, 96, 3))
    assert picture.float_image is not None
    assert (str(picture.float_image.dtype), picture.float_image.shape) == ("float32", (64, 96, 3))


@both_paths
def test_the_float_picture_becomes_the_8_bit_one_by_the_pipelines_own_formula(loaded: Loaded, *, edit: bool) -> None:
    picture, _, _ = loaded.make(loaded.request(edit=edit))
    assert picture.float_image_dtype == loaded.model.dtype
    computed = torch.from_numpy(picture.float_image).to(getattr(torch, picture.float_image_dtype))
    assert torch.equal(computed.float(), torch.from_numpy(picture.float_image)), "the float picture is an exact upcast"
    levels = (127.5 * computed + 128).clamp(0, 255).trunc()  # in the decoder's type, as the pipeline does
    assert np.array_equal(levels.to(torch.uint8).numpy(), picture.image)
    assert len(np.unique(picture.image)) > 16, "a flat picture would prove nothing"


# --- stages and steps ------------------------------------------------------------------------------------------------


@both_paths
def test_every_stage_is_told_and_takes_no_less_than_no_time(loaded: Loaded, *, edit: bool) -> None:
    _, recorder, _ = loaded.make(loaded.request(edit=edit))
    assert set(recorder.seconds) == (EDITING_STAGES if edit else GENERATION_STAGES)
    assert min(recorder.seconds.values()) > 0


@both_paths
@pytest.mark.parametrize("steps", [1, 3])
def test_there_are_as_many_steps_as_were_asked_for(loaded: Loaded, steps: int, *, edit: bool) -> None:
    told: list[int] = []
    _, recorder, _ = loaded.make(loaded.request(edit=edit, steps=steps), told.append)
    assert told == list(range(1, steps + 1))
    assert len({step.digest for step in recorder.per_step()}) == steps


class Nesting(Recorder):
    """Notes which stages were open when each one began."""

    def __init__(self, device: Device) -> None:
        super().__init__(device, lambda _: None)
        self.open: list[str] = []
        self.around: dict[str, list[str]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.around[name] = list(self.open)
        self.open.append(name)
        with super().stage(name):
            yield
        self.open.remove(name)


def test_no_stage_is_counted_inside_another(loaded: Loaded) -> None:
    nesting = Nesting(loaded.device)
    loaded.pipeline.generate(loaded.request(edit=True), nesting)
    assert nesting.around == {stage: [] for stage in EDITING_STAGES}


def test_the_components_are_named_and_weigh_something(loaded: Loaded) -> None:
    memory = loaded.device.memory(loaded.pipeline.modules)
    assert {"transformer", "vae"} <= set(loaded.pipeline.modules)
    assert min(memory[name].allocated_bytes for name in loaded.pipeline.modules) > 0
    assert {memory[name].device for name in loaded.pipeline.modules} == {loaded.device.torch_device}


def test_every_stage_has_a_component_that_works_in_it(loaded: Loaded) -> None:
    assert set(loaded.pipeline.components) == EDITING_STAGES
    assert set(loaded.pipeline.components.values()) == set(loaded.pipeline.modules)


def test_padded_rows_of_the_text_are_traced_apart_from_the_real_ones(loaded: Loaded) -> None:
    _, recorder, _ = loaded.make(loaded.request(prompt="a blue circle beside a red square on a green table"))
    assert set(recorder.traces()) == {"text_encoding/real_rows", "text_encoding/padded_rows"}
    _, unguided, _ = loaded.make(loaded.request(guidance_scale=1.0))
    assert set(unguided.traces()) == {"text_encoding/real_rows"}, "one text alone is not padded"


@pytest.mark.parametrize(
    ("device", "asked", "runs", "words"),
    [
        ("cpu", "sdpa", "sdpa", ""),
        ("cpu", "flash_attention_2", "sdpa", "flash_attention_2 was asked for and sdpa runs on cpu"),
        ("npu:1", "flash_attention_2", "sdpa", "flash_attention_2 was asked for and sdpa runs on npu"),
        ("npu:1", "eager", "eager", ""),
        ("cuda:0", "flash_attention_2", "flash_attention_2", ""),
    ],
)
def test_flash_attention_is_replaced_in_words_where_it_cannot_run(
    device: str, asked: str, runs: str, words: str
) -> None:
    implementation, substitutions = deepgen.attention_on(device, asked)
    assert implementation == runs
    assert " ".join(substitutions).startswith(words)
    assert bool(substitutions) == bool(words)


# --- nothing is left behind ------------------------------------------------------------------------------------------


def taps(loaded: Loaded) -> dict[str, Any]:
    """What stands on the instances in the place of the methods that the adapter wraps."""
    pipe: Any = vars(loaded.pipeline)["_pipe"]
    owners = {
        "transformer.forward": (pipe.transformer, "forward"),
        "scheduler.step": (pipe.scheduler, "step"),
        "vae.decode": (pipe.vae, "decode"),
        "vae.encode": (pipe.vae, "encode"),
        "lmm.visual.forward": (pipe.lmm.visual, "forward"),
        "lmm.language_model.forward": (pipe.lmm.language_model, "forward"),
    }
    return {place: vars(owner).get(name) for place, (owner, name) in owners.items()}


@both_paths
def test_wrapped_methods_are_there_during_the_call_and_gone_after_it(loaded: Loaded, *, edit: bool) -> None:
    before = taps(loaded)
    during: list[dict[str, Any]] = []
    loaded.make(loaded.request(edit=edit), lambda _: during.append(taps(loaded)))
    assert all(wrapper is not None for wrapper in during[0].values())
    assert taps(loaded) == before


@both_paths
def test_wrapped_methods_are_gone_after_an_exception(loaded: Loaded, *, edit: bool) -> None:
    def planted(_: int) -> None:
        raise ZeroDivisionError

    before = taps(loaded)
    with pytest.raises(ZeroDivisionError):
        loaded.make(loaded.request(edit=edit), planted)
    assert taps(loaded) == before
    assert loaded.make(loaded.request())[0].image.shape == (64, 64, 3), "the pipeline can be used afterwards"


def test_a_wrapper_that_others_put_there_is_put_back(loaded: Loaded) -> None:
    pipe: Any = vars(loaded.pipeline)["_pipe"]
    calls: list[int] = []
    original = pipe.vae.decode

    def others(*words: Any, **options: Any) -> Any:
        calls.append(1)
        return original(*words, **options)

    pipe.vae.decode = others
    try:
        loaded.make(loaded.request())
        assert pipe.vae.decode is others
        assert calls == [1]
    finally:
        del pipe.vae.decode


# --- folders that cannot be a model ----------------------------------------------------------------------------------


def test_a_complete_folder_passes_and_one_without_a_part_is_refused(loaded: Loaded, tmp_path: Path) -> None:
    adapter = plugins.load("adapters", loaded.model.adapter)
    adapter.check(loaded.folder, loaded.model)
    for part in ("vlm", "connector", "transformer"):
        broken = tmp_path / part
        shutil.copytree(loaded.folder, broken, symlinks=True)
        shutil.rmtree(broken / part)
        with pytest.raises(ModelError, match=rf"lacks {part}, {part}/\*\.safetensors"):
            adapter.check(broken, loaded.model)


# --- signatures ------------------------------------------------------------------------------------------------------


class Stub:
    """The attributes that are looked at before a call; subclasses bring the signature."""

    def __init__(self) -> None:
        self.transformer = self.vae = SimpleNamespace()
        self.scheduler = SimpleNamespace(config={"shift": 3.0})
        self.given: dict[str, Any] = {}

    def answer(self, given: dict[str, Any], mode: str = "RGB") -> SimpleNamespace:
        self.given = {name: value for name, value in given.items() if name != "self"}
        return SimpleNamespace(images=[Image.new(mode, (64, 64))])


class WithGenerator(Stub):
    def __call__(  # noqa: PLR0913, PLR0917 - a pipeline's signature
        self, prompt: str, height: int, width: int, num_inference_steps: int, guidance_scale: float, generator: Any
    ) -> SimpleNamespace:
        return self.answer(locals())


class WithSeed(Stub):
    def __call__(  # noqa: PLR0913, PLR0917 - a pipeline's signature
        self, prompt: str, height: int, width: int, num_inference_steps: int, guidance_scale: float, seed: int
    ) -> SimpleNamespace:
        return self.answer(locals())


class WithBoth(Stub):
    def __call__(  # noqa: PLR0913, PLR0917 - a pipeline's signature
        self,
        prompt: str,
        height: int,
        width: int,
        num_inference_steps: int,
        guidance_scale: float,
        seed: int,
        generator: Any = None,
    ) -> SimpleNamespace:
        return self.answer(locals())


class WithNegativePrompt(Stub):
    def __call__(  # noqa: PLR0913, PLR0917 - a pipeline's signature
        self,
        prompt: str,
        height: int,
        width: int,
        num_inference_steps: int,
        guidance_scale: float,
        seed: int,
        negative_prompt: str = "the pipeline's own",
    ) -> SimpleNamespace:
        return self.answer(locals())


class WithNeither(Stub):
    def __call__(self, prompt: str, height: int, width: int) -> SimpleNamespace:
        return self.answer(locals())


class Greyscale(WithSeed):
    def answer(self, given: dict[str, Any], mode: str = "L") -> SimpleNamespace:
        return super().answer(given, mode)


def generate(pipe: Stub, told: list[Any] | None = None, **changes: Any) -> Picture:
    device = cpu.open(0, SwitchMode.AS_SHIPPED)
    wanted: dict[str, Any] = {
        "prompt": "a cup",
        "negative_prompt": None,
        "input_image": None,
        "width": 64,
        "height": 64,
        "steps": STEPS,
        "guidance_scale": 4.0,
        "seed": 7,
        **changes,
    }
    recorder = Recorder(device, lambda _: None)
    recorder.given = [].append if told is None else told.append
    return DeepGen(pipe, device).generate(Request(**wanted), recorder)


def test_a_pipeline_that_takes_a_generator_gets_one_that_is_seeded() -> None:
    pipe = WithGenerator()
    told: list[Any] = []
    generate(pipe, told)
    generator = pipe.given.pop("generator")
    assert told == [generator], "and the log of draws is told which"
    assert (generator.initial_seed(), generator.device.type) == (7, "cpu")
    assert generator.get_state().tolist() == torch.Generator().manual_seed(7).get_state().tolist()
    assert pipe.given == {
        "prompt": "a cup",
        "height": 64,
        "width": 64,
        "num_inference_steps": STEPS,
        "guidance_scale": 4.0,
    }


@pytest.mark.parametrize("kind", [WithSeed, WithBoth])
def test_a_pipeline_that_takes_a_seed_gets_the_seed(kind: type[Stub]) -> None:
    pipe = kind()
    told: list[Any] = []
    generate(pipe, told)
    assert told == []
    assert pipe.given["seed"] == 7
    assert pipe.given.get("generator") is None


def test_a_pipeline_that_takes_neither_is_refused_with_what_it_takes() -> None:
    with pytest.raises(
        RunError, match=r"WithNeither takes neither seed nor generator \(only height, prompt, width\), so no two"
    ):
        generate(WithNeither())


def test_what_a_pipeline_does_not_take_is_refused_by_name(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "input.png")
    message = (
        "WithSeed does not take image, negative_prompt; "
        "it takes guidance_scale, height, num_inference_steps, prompt, seed, width."
    )
    with pytest.raises(RunError) as caught:
        generate(WithSeed(), negative_prompt="blur", input_image=tmp_path / "input.png")
    assert str(caught.value) == message


def test_a_negative_prompt_is_passed_on_only_where_there_is_one() -> None:
    for text in (None, "", "blur"):
        pipe = WithNegativePrompt()
        generate(pipe, negative_prompt=text)
        assert pipe.given["negative_prompt"] == ("the pipeline's own" if text is None else text)


def test_a_negative_prompt_reaches_the_model(loaded: Loaded) -> None:
    without, given = (
        loaded.make(loaded.request(negative_prompt=text))[0].image.tobytes() for text in (None, "a red square")
    )
    assert given != without


def test_a_picture_that_is_not_rgb_is_refused() -> None:
    with pytest.raises(RunError, match=r"returned Image L as an image; expected a PIL image with mode RGB"):
        generate(Greyscale())


def test_without_a_decoder_that_is_seen_there_is_no_float_picture() -> None:
    picture = generate(WithSeed())
    assert (picture.float_image, picture.float_image_dtype) == (None, None)
