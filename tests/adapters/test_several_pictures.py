"""One call of a real pipeline that makes several pictures: each with its own float picture and row of the latents."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness.adapters import _pipelines
from harness.adapters import diffusers as adapter
from harness.backends import cpu
from harness.contracts import Request
from harness.errors import RunError
from harness.records import ModelRef, NoiseMode, SwitchMode
from harness.run.worker.draws import watched_draws
from harness.run.worker.guards import BadOutput, require_count
from harness.run.worker.recorder import Recorder

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from tests.adapters.tiny_pipelines import saved  # noqa: E402 - it imports torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.adapters.diffusers import Diffusers
    from harness.contracts import Picture
    from harness.run.worker.draws import DrawLog
    from tests.command_line import MadeOnce

# diffusers' own schedulers hand tensors to numpy in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DEVICE = cpu.open(0, SwitchMode.AS_SHIPPED)
COUNT = 3
FAMILIES = ["sd15", "sd3", "flux", "qwen"]
"""Latents by channels, packed into rows of tokens, and a decoder of videos."""


@pytest.fixture
def pipeline_of(made_once: MadeOnce) -> Callable[[str], Diffusers]:
    """A small random pipeline, loaded."""

    def load(name: str) -> Diffusers:
        folder: Path = made_once(f"several pictures of {name}", lambda place: saved(name, place / "model")) / "model"
        return adapter.load(folder, ModelRef(adapter="diffusers", source=str(folder), dtype="float32"), DEVICE)

    return load


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def request(pictures: int = COUNT, **changes: Any) -> Request:
    wanted = {"prompt": "a blue circle", "negative_prompt": None, "input_image": None, "width": 64, "height": 64}
    return Request(**{**wanted, "steps": 2, "guidance_scale": 4.0, "seed": 42, "pictures": pictures, **changes})


def make(pipeline: Diffusers, wanted: Request) -> tuple[list[Picture], Recorder, DrawLog]:
    recorder = Recorder(DEVICE, lambda _: None)
    DEVICE.seed(wanted.seed)
    with watched_draws(NoiseMode.PORTABLE, wanted.seed, DEVICE) as draws:
        recorder.given = draws.give
        pictures = pipeline.generate_several(wanted, recorder)
    return pictures, recorder, draws


@pytest.mark.parametrize("name", FAMILIES)
def test_every_picture_has_its_own_float_picture_and_latents(
    name: str, pipeline_of: Callable[[str], Diffusers]
) -> None:
    pipeline = pipeline_of(name)
    pictures, recorder, draws = make(pipeline, request())
    again, same, _ = make(pipeline, request())
    assert len({picture.image.tobytes() for picture in pictures}) == COUNT
    assert [picture.image.tobytes() for picture in pictures] == [picture.image.tobytes() for picture in again]
    assert draws.draws[0].shape[0] == COUNT, "one draw for all of them"
    for number, picture in enumerate(pictures):
        assert picture.float_image is not None
        levels = np.round((picture.float_image * 0.5 + 0.5).clip(0, 1) * 255).astype(np.uint8)
        assert np.array_equal(levels, picture.image), "the float picture is that of this picture"
        steps = recorder.per_step(number, COUNT)
        last, kind = recorder.last_latents(number, COUNT) or (np.empty(0), "")
        assert (len(steps), kind, last.shape[0]) == (2, "float32", 1)
        assert [step.digest for step in steps] == [step.digest for step in same.per_step(number, COUNT)]
    assert len({recorder.per_step(number, COUNT)[-1].digest for number in range(COUNT)}) == COUNT


def test_what_one_prediction_for_each_picture_leaves_without_effect_is_named(
    pipeline_of: Callable[[str], Diffusers],
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = [
        ("qwen", {}),
        ("sd15", {"negative_prompt": "red", "guidance_scale": 1.0}),
    ]
    for name, wanted in asked:
        _, recorder, _ = make(pipeline_of(name), request(**wanted))
        assert any("changed nothing: each step made one prediction" in words for words in recorder.ignored), name
    _, recorder, _ = make(pipeline_of("sd15"), request())
    assert recorder.ignored == []


def test_a_decoder_that_is_called_for_each_picture_is_told_apart_too(pipeline_of: Callable[[str], Diffusers]) -> None:
    pipeline = pipeline_of("sd15")
    taps = _pipelines.Taps(Recorder(DEVICE, lambda _: None), COUNT)
    with taps:
        taps.decoder(pipeline._pipe.vae)
        for row in torch.randn(COUNT, 4, 32, 32).split(1):
            pipeline._pipe.vae.decode(row, return_dict=False)
    floats = _pipelines._float_images(taps.decoded, COUNT)
    assert len({array.tobytes() for array, _ in floats}) == COUNT
    assert _pipelines._float_images(list(taps.decoded)[1:], COUNT) == [(None, None)] * COUNT, "two are not three"


def test_more_pictures_than_one_are_never_left_out_without_a_word(
    pipeline_of: Callable[[str], Diffusers], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pipeline_of("sd3")
    kind = type(pipeline._pipe)
    own = kind.__call__

    @wraps(own)
    def two(self: Any, **options: Any) -> Any:
        return own(self, **options | {"num_images_per_prompt": 2})

    monkeypatch.setattr(kind, "__call__", two)
    with pytest.raises(RunError, match=r"returned 2 images; expected 1\. Write pictures_per_case: 2 where"):
        pipeline.generate(request(1), Recorder(DEVICE, lambda _: None))
    pictures, _, _ = make(pipeline, request(3))
    with pytest.raises(BadOutput, match=r"returned 2 images; expected 3, as pictures_per_case says"):
        require_count(pictures, request(3))
    require_count(pictures, request(2))


class One:
    """A pipeline that has no word for several images."""

    components: dict[str, Any] = {}  # noqa: RUF012 - never changed

    def __call__(self, prompt: str, generator: Any = None) -> None:
        """Make one image."""


def test_a_pipeline_without_the_parameter_is_refused_before_anything_is_made() -> None:
    pipeline = adapter.Diffusers(One(), ModelRef(source="here"), DEVICE)
    pipeline.check_request(request(1))
    with pytest.raises(RunError, match=r"found 4; allowed is 1, because One has no parameter num_images_per_prompt"):
        pipeline.check_request(request(4))
