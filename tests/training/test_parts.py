"""What is trained is what runs: tokenizer, conditioning, store and checkpoint agree with the product's pipeline."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open

from harness.adapters import deepgen
from harness.records import ModelRef
from harness.scores.shapes_prompt_score.drawing import draw_scene
from harness.scores.shapes_prompt_score.world import Scene, Sign, Thing
from training.batches import pixels
from training.export import write_checkpoint
from training.language import FIELDS, conditioning_states, labels_of
from training.score import held_out_examples, load_pipeline, score_checkpoint, table
from training.stored import Store
from training.vocabulary import train_tokenizer
from training.world import Example, draw_example

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

SMALLEST_PACKAGE = 5_000_000
ROUNDED = 0.1


@pytest.fixture(scope="session")
def folder(untrained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    write_checkpoint(untrained, folder)
    return folder


def test_each_letter_of_a_sign_is_a_token_of_its_own(untrained: Any) -> None:
    tokens = (
        untrained.tokenizer.tokenize('a sign that says "NPU"'),
        untrained.tokenizer.tokenize("a sign that says NPU"),
    )
    for words in tokens:
        assert "".join(words).count("NPU") == 1
        assert {"N", "P", "U"} <= set(words)


def test_the_tokenizer_is_the_same_each_time(tokenizer_folder: Path, tmp_path: Path) -> None:
    train_tokenizer(tmp_path)
    for path in tokenizer_folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", ["position", "replace"])
def test_conditioning_is_what_the_pipeline_computes(untrained: Any, kind: str) -> None:
    example = draw_example(kind, Random("conditioning"))
    sources = [] if example.source is None else [Image.fromarray(draw_scene(example.source))]
    with torch.no_grad():
        expected = untrained._encode([example.prompt, ""], untrained._reference_pixels(sources or None, 128, 128))
        states = conditioning_states(untrained, [example, example], [example.prompt, ""])
        actual = untrained.connector_module.llm2dit(states)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


def test_what_the_language_model_is_asked() -> None:
    star, ring = Thing("red", "star", 92, 64, 20), Thing("blue", "ring", 36, 64, 20)
    scenes = [Scene("grey", (star, ring)), Scene("white", sign=Sign("AC", "green", frame_named=False))]
    labels = labels_of([Example("any", "", scene) for scene in scenes])
    answers = [dict(zip([name for name, _, _ in FIELDS], row, strict=True)) for row in labels.answers.tolist()]
    assert [answers[0][name] for name in ("colour 0", "colour 1", "shape 0", "ground", "frame")] == [3, 1, 5, 9, 0]
    assert [answers[1][name] for name in ("frame", "letter 0", "letter 1", "letter 2")] == [-1, 1, 3, 0]
    assert labels.there.tolist() == [[1, 1, 0, 0], [0, 0, 0, 0]]
    assert labels.geometry[0, 0].tolist() == pytest.approx([36 / 64 - 1, 0, 0.5])


def test_the_store_holds_what_the_pipeline_would_compute(untrained: Any, tmp_path: Path) -> None:
    store = Store(tmp_path, untrained, group_size=3)
    group = store.group(0, "edit", 3)
    assert group.reference is not None
    assert group.states.shape[::2] == (3, 192)
    assert group.latents.shape == (3, 16, 16, 16)
    assert group.reference.shape == (3, 2, 16, 16, 16)
    before = (tmp_path / "00000.safetensors").read_bytes()
    again = Store(tmp_path / "again", untrained, group_size=3).group(0, "edit", 3)
    assert torch.equal(again.states, group.states)
    assert (tmp_path / "again" / "00000.safetensors").read_bytes() == before
    assert store.group(0, "text", 0).reference is None


def test_references_are_the_pipelines_latents_and_changed_cells_those_that_differ(
    untrained: Any, tmp_path: Path
) -> None:
    heart = Thing("red", "heart", 40, 40, 20)
    source, scene = Scene("white", (heart,)), Scene("white", (replace(heart, colour="blue"),))
    example = Example("recolour", "make the heart blue", scene, source)
    with torch.no_grad():
        group = Store(tmp_path, untrained)._group([example], [""])
        before = pixels([draw_scene(source)])
        expected = untrained.vae.encode(before).latent_dist.mean
        shift, scale = untrained.vae.config.shift_factor, untrained.vae.config.scaling_factor
    torch.testing.assert_close(group["reference"][:, 0].float(), (expected - shift) * scale, rtol=1e-2, atol=1e-3)
    rows, columns = group["changed"][0].nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 7, 2, 7)


def test_the_checkpoint_loads_through_the_adapter_and_is_small(folder: Path) -> None:
    deepgen.check(folder, ModelRef(source=str(folder), dtype="float32"))
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < SMALLEST_PACKAGE
    assert len(list((folder / "vlm").glob("model-*-of-00002.safetensors"))) == 2
    dtypes = {}
    for path in folder.rglob("*.safetensors"):
        with safe_open(path, framework="np") as stored:
            dtypes[path.parent.name] = {stored.get_slice(name).get_dtype() for name in stored.keys()}  # noqa: SIM118
    assert dtypes == {"transformer": {"BF16"}, "vae": {"BF16"}, "vlm": {"BF16"}, "connector": {"F32"}}


@pytest.mark.parametrize("kind", ["position", "replace"])
def test_a_loaded_checkpoint_reads_prompts_and_pictures_as_the_trained_one_did(
    untrained: Any, folder: Path, kind: str
) -> None:
    example = draw_example(kind, Random("loaded"))
    sources = [] if example.source is None else [Image.fromarray(draw_scene(example.source))]
    found = load_pipeline(folder)
    found._load_extras()
    with torch.no_grad():
        actual, expected = (
            pipe._encode([example.prompt], pipe._reference_pixels(sources or None, 128, 128))[1]
            for pipe in (found, untrained)
        )
    relative = float((actual - expected).norm() / expected.norm())
    assert relative < ROUNDED, "weights that were rounded to bfloat16 may differ so much, and nothing else"


def test_a_checkpoint_is_scored_and_an_untrained_one_knows_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.score.STEPS", 2)
    scores = score_checkpoint(folder, prompts=2, seeds=1)
    assert len(scores) == 12
    assert max(score.right for score in scores) == 0
    written = table(scores)
    assert "| text | 0.0 ± 0.0 | 2 x 1 |" in written
    assert "mean of edits" in written


def test_scores_need_two_prompts(folder: Path) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        score_checkpoint(folder, prompts=1, seeds=1)


def test_a_perfect_painter_scores_full_marks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def paint(_: Any, example: Example, prompt: str, seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        del seed
        return draw_scene(example.scene if prompt else Scene("white"))

    monkeypatch.setattr("training.score.draw", paint)
    scores = score_checkpoint(folder, prompts=5, seeds=2)
    assert {score.right for score in scores} == {1.0}
    assert max(score.prompt_ignored for score in scores) == 0
    assert max(score.prompt_swapped for score in scores) < 0.5


def test_scored_prompts_are_the_same_each_time_and_differ() -> None:
    first, again = held_out_examples("text", 20), held_out_examples("text", 20)
    assert first == again
    assert len({example.prompt for example in first}) > 15
