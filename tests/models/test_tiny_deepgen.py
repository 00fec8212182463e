"""The embedded checkpoint: its bytes, its layout, its loading by the real libraries, and how its pictures behave."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from harness.models import tiny_deepgen, tiny_deepgen_random
from harness.models.tiny_deepgen_random import layout
from harness.models.tiny_deepgen_random.tensor_file import bfloat16_bytes

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")
safe_open = pytest.importorskip("safetensors").safe_open

if TYPE_CHECKING:
    from pathlib import Path

    Pixels = np.ndarray[Any, np.dtype[np.float64]]

PROMPT = "a photo of a blue circle and a yellow star"
EXPECTED_FILES = {
    "connector/model.safetensors",
    "deepgen_pipeline.py",
    "model_index.json",
    "prompt_template.json",
    "scheduler/scheduler_config.json",
    "tokenizer/added_tokens.json",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "vlm/config.json",
    "vlm/generation_config.json",
    "vlm/model-00001-of-00002.safetensors",
    "vlm/model-00002-of-00002.safetensors",
    "vlm/model.safetensors.index.json",
    "vlm/preprocessor_config.json",
}


def scene(*, flipped: bool = False) -> Image.Image:
    """A picture to edit; the two variants share no edge."""
    picture = Image.new("RGB", (160, 120), (240, 240, 230))
    draw = ImageDraw.Draw(picture)
    if flipped:
        draw.polygon([(20, 110), (80, 10), (140, 110)], fill=(20, 130, 40))
    else:
        draw.rectangle((10, 10, 70, 80), fill=(230, 40, 30))
        draw.ellipse((80, 40, 150, 110), fill=(20, 60, 220))
    return picture


def draw_picture(pipeline: Any, **changes: Any) -> Pixels:
    """One picture as float64 [h, w, 3]; the global generator is set first, as edits draw from it."""
    settings = {"prompt": PROMPT, "height": 96, "width": 96, "num_inference_steps": 10, "seed": 1, **changes}
    torch.manual_seed(0)
    return np.asarray(pipeline(**settings).images[0]).astype(np.float64)


def psnr(a: Pixels, b: Pixels) -> float:
    """Decibels; infinite for equal pictures."""
    error = float(np.mean((a - b) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def stored(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Dtype and shape of each tensor in a safetensors file, read by the library."""
    with safe_open(path, framework="pt") as file:
        parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        return {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in parts.items()}


# --- bytes and layout ------------------------------------------------------------------------------------------------


MODELS = pytest.mark.parametrize("model", [tiny_deepgen, tiny_deepgen_random], ids=["trained", "random"])


@MODELS
def test_every_build_has_the_pinned_bytes(model: Any, tmp_path: Path) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        model.build(folder)
        assert model.checkpoint_digest(folder) == model.DIGEST


@MODELS
@pytest.mark.parametrize("fault", ["byte", "name", "extra"])
def test_the_digest_sees_any_change(model: Any, tmp_path: Path, fault: str) -> None:
    model.build(tmp_path)
    victim = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    if fault == "byte":
        content = bytearray(victim.read_bytes())
        content[-1] ^= 1
        victim.write_bytes(content)
    elif fault == "name":
        victim.rename(victim.with_name("model.safetensors"))
    else:
        (tmp_path / "extra.txt").write_bytes(b"")
    assert model.checkpoint_digest(tmp_path) != model.DIGEST


def test_the_folder_has_the_layout_of_the_original(checkpoint: Path) -> None:
    files = {path.relative_to(checkpoint).as_posix() for path in checkpoint.rglob("*") if path.is_file()}
    assert files == EXPECTED_FILES
    assert not (checkpoint / "connector" / "config.json").exists()


@MODELS
def test_building_needs_no_torch(model: Any) -> None:
    code = f"import sys; import {model.__name__}; print('torch' in sys.modules, 'safetensors' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_dtypes_and_shards_are_those_of_the_original(checkpoint: Path) -> None:
    index = json.loads((checkpoint / "vlm" / "model.safetensors.index.json").read_text())
    shards = sorted(set(index["weight_map"].values()))
    vlm = {shard: stored(checkpoint / "vlm" / shard) for shard in shards}
    assert len(shards) == 2
    assert {name: shard for shard, tensors in vlm.items() for name in tensors} == index["weight_map"]
    assert "lm_head.weight" not in index["weight_map"]
    dtypes = {dtype for tensors in vlm.values() for dtype, _ in tensors.values()}
    for part in ("transformer", "vae"):
        tensors = stored(checkpoint / part / "diffusion_pytorch_model.safetensors")
        dtypes |= {dtype for dtype, _ in tensors.values()}
    assert dtypes == {"BF16"}
    assert {dtype for dtype, _ in stored(checkpoint / "connector" / "model.safetensors").values()} == {"F32"}


def test_bfloat16_rounds_as_torch_does() -> None:
    ties = np.array([1.0 + k / 256 for k in range(64)] + [-1.0 - k / 256 for k in range(64)])
    values = np.concatenate([ties, np.random.default_rng(0).normal(size=4096), [0.0, -0.0, 1e-30]])
    expected = torch.from_numpy(values).float().bfloat16().view(torch.int16).numpy().tobytes()
    assert bfloat16_bytes(values) == expected


# --- loading by the real libraries -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "class_name"), [("transformer", "SD3Transformer2DModel"), ("vae", "AutoencoderKL")])
def test_names_and_shapes_are_those_of_the_diffusers_class(part: str, class_name: str) -> None:
    with torch.device("meta"):
        model = getattr(diffusers, class_name).from_config(layout.config(part))
    expected = {name: tuple(values.shape) for name, values in model.state_dict().items()}
    assert getattr(layout, f"{part}_shapes")() == expected


@pytest.mark.parametrize(
    ("part", "library", "class_name"),
    [
        ("transformer", "diffusers", "SD3Transformer2DModel"),
        ("vae", "diffusers", "AutoencoderKL"),
        ("vlm", "transformers", "Qwen2_5_VLForConditionalGeneration"),
    ],
)
def test_every_tensor_finds_its_place(checkpoint: Path, part: str, library: str, class_name: str) -> None:
    loader = getattr({"diffusers": diffusers, "transformers": transformers}[library], class_name)
    _, info = loader.from_pretrained(checkpoint / part, output_loading_info=True)
    assert {key: list(value) for key, value in info.items()} == {key: [] for key in info}
    assert set(info) >= {"missing_keys", "unexpected_keys", "mismatched_keys"}


def test_the_untrained_one_stores_every_element_that_is_loaded(untrained: Path) -> None:
    loaders = {
        "transformer": diffusers.SD3Transformer2DModel,
        "vae": diffusers.AutoencoderKL,
        "vlm": transformers.Qwen2_5_VLForConditionalGeneration,
    }
    for part, loader in loaders.items():
        sizes = [int(np.prod(shape)) for shape in getattr(layout, f"{part}_shapes")().values()]
        state = loader.from_pretrained(untrained / part).state_dict()
        assert sum({values.data_ptr(): values.numel() for values in state.values()}.values()) == sum(sizes), part


def test_the_tokenizer_takes_any_text_and_knows_its_special_tokens(checkpoint: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint / "tokenizer")
    for text in ("a photo of three oranges", "\u6f22\u5b57 \U0001f600 Z\u00fcrich\n\ttabs  and\x00nul", "", "don't 42"):
        assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert len(tokenizer("Generate an image: a photo of a red").input_ids) < 12
    config = json.loads((checkpoint / "vlm" / "config.json").read_text(encoding="utf-8"))
    ids = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
        "bos_token_id": "<|endoftext|>",
        "eos_token_id": "<|im_end|>",
    }
    assert {key: config[key] for key in ids} == {
        key: tokenizer.convert_tokens_to_ids(token) for key, token in ids.items()
    }
    assert len(tokenizer) <= config["text_config"]["vocab_size"]
    assert tokenizer.pad_token_id == config["text_config"]["pad_token_id"]


def test_the_position_table_is_the_one_of_diffusers(untrained: Path) -> None:
    expected = diffusers.SD3Transformer2DModel.from_config(layout.config("transformer")).pos_embed.pos_embed
    with safe_open(untrained / "transformer" / "diffusion_pytorch_model.safetensors", framework="pt") as file:
        table = file.get_tensor("pos_embed.pos_embed")
    assert table.shape == expected.shape
    torch.testing.assert_close(table.float(), expected, rtol=2**-8, atol=1e-6)
    assert (table != expected.bfloat16()).float().mean() < 0.001


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_pipeline_loads_in_both_dtypes(checkpoint: Path, dtype: str) -> None:
    wanted = getattr(torch, dtype)
    pipe = diffusers.DiffusionPipeline.from_pretrained(checkpoint, trust_remote_code=True, torch_dtype=wanted)
    pipe.set_progress_bar_config(disable=True)
    picture = draw_picture(pipe, num_inference_steps=2)
    assert picture.shape == (96, 96, 3)
    assert type(pipe).__name__ == "DeepGenPipeline"
    modules = (pipe.transformer, pipe.vae, pipe.lmm, pipe.connector_module)
    assert {values.dtype for module in modules for values in module.parameters()} == {wanted}
    assert set(pipe.components) == {"transformer", "vae", "scheduler"}


# --- pictures --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference(pipeline: Any) -> Pixels:
    return draw_picture(pipeline)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a photo of three oranges"},
        {"negative_prompt": "blurry, low quality"},
        {"image": scene()},
        {"seed": 2},
        {"num_inference_steps": 5},
        {"guidance_scale": 3.0},
        {"guidance_scale": 1.0},
    ],
    ids="-".join,
)
def test_the_picture_follows_its_inputs(pipeline: Any, reference: Pixels, change: dict[str, Any]) -> None:
    assert psnr(draw_picture(pipeline, **change), reference) < 35


def test_one_changed_word_shows(pipeline: Any, reference: Pixels) -> None:
    assert psnr(draw_picture(pipeline, prompt=PROMPT.replace("blue", "red")), reference) < 35


def test_the_picture_follows_the_picture_to_edit(pipeline: Any) -> None:
    edits = [draw_picture(pipeline, image=picture) for picture in (scene(), scene(flipped=True))]
    both = draw_picture(pipeline, image=[scene(), scene(flipped=True)])
    assert psnr(*edits) < 30
    assert max(psnr(both, edit) for edit in edits) < 35


def test_equal_inputs_give_equal_pictures(pipeline: Any, reference: Pixels) -> None:
    assert np.array_equal(draw_picture(pipeline), reference)


@pytest.mark.parametrize("image", [None, scene()], ids=["text", "edit"])
def test_the_picture_is_neither_flat_nor_saturated_nor_noise(pipeline: Any, image: Image.Image | None) -> None:
    picture = draw_picture(pipeline, height=128, width=128, num_inference_steps=20, image=image)
    grey = picture.mean(axis=2)
    assert 15 < picture.std() < 100  # the scene to edit has 90, black and white in halves 127
    assert np.mean((picture == 0) | (picture == 255)) < 0.05
    assert np.corrcoef(grey[:, 1:].ravel(), grey[:, :-1].ravel())[0, 1] > 0.95
    assert np.corrcoef(grey[1:].ravel(), grey[:-1].ravel())[0, 1] > 0.95
    assert (picture - grey[..., None]).std() > 5


def test_bfloat16_rounding_moves_the_picture_less_than_a_word(
    checkpoint: Path, pipeline: Any, reference: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    rough = diffusers.DiffusionPipeline.from_pretrained(checkpoint, trust_remote_code=True, torch_dtype=torch.bfloat16)
    rough.set_progress_bar_config(disable=True)
    module = sys.modules[type(rough).__module__]
    exact = torch.randn((1, 16, 12, 12), generator=torch.Generator().manual_seed(1))

    def same_noise(shape: tuple[int, ...], *, dtype: Any, **_: Any) -> Any:
        return exact.reshape(shape).to(dtype)

    monkeypatch.setattr(module, "randn_tensor", same_noise)
    rounding = psnr(draw_picture(rough), reference)
    word = psnr(draw_picture(pipeline, prompt=PROMPT.replace("blue", "red")), reference)
    assert word + 6 < rounding < float("inf")


def test_only_edits_draw_from_the_global_generator(pipeline: Any) -> None:
    def edit(state: int) -> Pixels:
        torch.manual_seed(state)
        settings = {"height": 96, "width": 96, "num_inference_steps": 6, "seed": 1, "image": scene()}
        return np.asarray(pipeline(PROMPT, **settings).images[0]).astype(np.float64)

    assert np.array_equal(edit(1), edit(1))
    assert psnr(edit(1), edit(2)) < 50
    before = torch.get_rng_state()
    pipeline(PROMPT, height=64, width=64, num_inference_steps=1, seed=1)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("height", "width"), [(64, 160), (160, 64), (512, 32)])
@pytest.mark.parametrize("image", [None, scene()], ids=["text", "edit"])
def test_sizes_need_not_be_square(pipeline: Any, height: int, width: int, image: Image.Image | None) -> None:
    picture = draw_picture(pipeline, height=height, width=width, num_inference_steps=2, image=image)
    assert picture.shape == (height, width, 3)
    assert picture.std() > 5


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"height": 100}, "height is 100.*multiple of 32"),
        ({"width": 0}, "width is 0.*multiple of 32"),
        ({"width": 1056}, "width is 1056.*ends at {largest}"),
    ],
)
def test_impossible_sizes_are_refused(pipeline: Any, size: dict[str, int], message: str) -> None:
    largest = pipeline.transformer.config.pos_embed_max_size * pipeline.transformer.config.patch_size * 8
    with pytest.raises(ValueError, match=message.format(largest=largest)):
        draw_picture(pipeline, **size)


def test_several_prompts_give_several_pictures(pipeline: Any) -> None:
    prompts = ["a cat", "a red house by the sea"]
    images = pipeline(prompts, height=64, width=64, num_inference_steps=2, seed=1).images
    assert len(images) == 2
    assert not np.array_equal(np.asarray(images[0]), np.asarray(images[1]))


# --- inside the pipeline ---------------------------------------------------------------------------------------------


@pytest.fixture
def counted(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Calls of the attributes that the harness wraps on the instance."""
    calls: dict[str, int] = {}

    def count(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            calls[name] = calls.get(name, 0) + 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, wrapped, raising=False)

    for owner, name in (
        (pipeline.scheduler, "step"),
        (pipeline.vae, "encode"),
        (pipeline.vae, "decode"),
        (pipeline, "pixels_to_latents"),
        (pipeline, "latents_to_pixels"),
        (sys.modules[type(pipeline).__module__], "randn_tensor"),
    ):
        count(owner, name)
    return calls


def test_wrapped_attributes_are_honoured(pipeline: Any, counted: dict[str, int]) -> None:
    draw_picture(pipeline, num_inference_steps=3, image=[scene(), scene(flipped=True)])
    assert counted == {
        "step": 3,
        "encode": 2,
        "decode": 1,
        "pixels_to_latents": 2,
        "latents_to_pixels": 1,
        "randn_tensor": 1,
    }


def test_the_extras_load_in_the_order_of_the_original(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe: Any = diffusers.DiffusionPipeline.from_pretrained(checkpoint, trust_remote_code=True)
    assert (pipe.lmm, pipe.llm) == (None, None)
    lines: list[str] = []
    monkeypatch.setattr(sys.modules[type(pipe).__module__].logger, "info", lines.append)
    pipe._load_extras(attn_implementation="eager")
    assert lines == ["Loading VLM...", "Loading tokenizer...", "Loading connector...", "All components loaded."]
    assert pipe.num_queries == len(pipe.connector_module.meta_queries)
    assert pipe.llm.config._attn_implementation == "eager"
    assert pipe.prompt_template["GENERATION"].format(input="x") == "Generate an image: x"


def test_a_pipeline_without_its_folder_says_so(checkpoint: Path) -> None:
    loaded = diffusers.DiffusionPipeline.from_pretrained(checkpoint, trust_remote_code=True)
    homeless = type(loaded)(**loaded.components)
    with pytest.raises(FileNotFoundError, match="vlm"):
        homeless._load_extras()


def test_hidden_states_neither_vanish_nor_explode(untrained_pipeline: Any) -> None:
    draw_picture(untrained_pipeline, num_inference_steps=1)
    tokens = untrained_pipeline.prepare_text2image_prompts([PROMPT, ""])
    with torch.no_grad():
        queries = untrained_pipeline.connector_module.meta_queries[None].expand(2, -1, -1)
        inputs = untrained_pipeline.prepare_forward_input(query_embeds=queries, **tokens)
        states = untrained_pipeline.llm(**inputs, output_hidden_states=True).hidden_states
        pooled, sequence = untrained_pipeline.connector_module.llm2dit(
            torch.cat([states[k] for k in range(35, 0, -6)], dim=-1)
        )
        spreads = [float(state.std()) for state in states]
    assert len(states) == 37
    assert all(0.5 < spread < 5 for spread in spreads)
    assert pooled.shape == (2, 64)
    assert sequence.shape == (2, inputs["attention_mask"].shape[1], 64)
    assert float((pooled[0] - pooled[1]).std()) > 0.5
    assert not tokens["attention_mask"][1, 0]
    assert bool(tokens["attention_mask"][:, -1].all())


def _conditioning(batch: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(3)
    shapes = {"hidden_states": (16, 8, 12), "encoder_hidden_states": (9, 64), "pooled_projections": (64,)}
    inputs = {name: torch.randn(batch, *shape, generator=generator) for name, shape in shapes.items()}
    return {**inputs, "timestep": torch.full((batch,), 500.0)}


def test_without_references_the_transformer_is_the_stock_one(checkpoint: Path, pipeline: Any) -> None:
    stock = diffusers.SD3Transformer2DModel.from_pretrained(checkpoint / "transformer")
    with torch.no_grad():
        expected = stock(**_conditioning(2)).sample
        measured = pipeline.transformer(**_conditioning(2)).sample
        with_reference = pipeline.transformer(**_conditioning(2), cond_hidden_states=[[torch.ones(16, 8, 8)]] * 2)[0]
    torch.testing.assert_close(measured, expected, rtol=1e-5, atol=1e-5)
    assert float((with_reference - expected).abs().max()) > 0.1


def test_padding_of_references_is_hidden(pipeline: Any) -> None:
    long, short = torch.ones(16, 12, 8), torch.full((16, 4, 4), 0.5)
    inputs = _conditioning(2)
    with torch.no_grad():
        together = pipeline.transformer(**inputs, cond_hidden_states=[[long, short], [short]], return_dict=False)[0]
        alone = pipeline.transformer(
            **{name: values[1:] for name, values in inputs.items()}, cond_hidden_states=[[short]], return_dict=False
        )[0]
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-4)


def test_references_must_fit_the_batch(pipeline: Any) -> None:
    with pytest.raises(ValueError, match="1 samples, the batch has 2"):
        pipeline.transformer(**_conditioning(2), cond_hidden_states=[[torch.ones(16, 4, 4)]])
