"""``noise: torch_cpu`` meets pictures that plain scripts of diffusers made with ``torch.Generator("cpu")``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
diffusers: Any = pytest.importorskip("diffusers")

from harness.records import NoiseMode  # noqa: E402 - the others import torch
from tests.adapters.test_diffusers import loaded, make, request  # noqa: E402
from tests.adapters.tiny_pipelines import saved  # noqa: E402
from tests.command_line import read_json  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.contracts import Request
    from tests.command_line import RunHarness, WriteScenario

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def plain_picture(folder: Path, wanted: Request, dtype: Any) -> Any:
    """What a script without the harness gets, as public goldens are made."""
    pipe = diffusers.DiffusionPipeline.from_pretrained(str(folder), torch_dtype=dtype)
    torch.manual_seed(wanted.seed)
    made = pipe(
        wanted.prompt,
        height=wanted.height,
        width=wanted.width,
        num_inference_steps=wanted.steps,
        guidance_scale=wanted.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(wanted.seed),
    )
    return np.array(made.images[0])


@pytest.mark.slow
def test_a_run_meets_the_golden_that_a_plain_script_made(
    tmp_path: Path, run_harness: RunHarness, write_scenario: WriteScenario, only_job: Callable[[], Path]
) -> None:
    folder = saved("sd3", tmp_path / "sd3")
    golden = plain_picture(folder, request(), torch.bfloat16)
    model = {"adapter": "diffusers", "source": str(folder), "trust_remote_code": False, "dtype": "bfloat16"}
    path = write_scenario(model=model, noise="torch_cpu", guidance_scale=4.0, repeats={"in_process": 1, "processes": 1})
    ended = run_harness("run", path)
    assert ended.code == 0, ended.err
    (picture,) = (only_job() / "candidate" / "samples").glob("circle/42/*.png")
    with Image.open(picture) as image:
        assert np.array(image).tobytes() == golden.tobytes()
    run = read_json(only_job() / "candidate" / "run.json")
    assert {draw["source"] for draw in run["samples"][0]["draws"]} == {"torch_cpu"}
    assert any("torch.Generator('cpu')" in note and torch.__version__ in note for note in run["loaded"]["notes"])


@pytest.mark.parametrize("name", ["sd15", "flux"])
@pytest.mark.parametrize("mode", [NoiseMode.TORCH_CPU, NoiseMode.PORTABLE])
def test_other_families_meet_theirs_by_this_noise_alone(name: str, mode: NoiseMode, tmp_path: Path) -> None:
    """The scheduler of the first draws at every step."""
    folder = saved(name, tmp_path / name)
    wanted = request()
    golden = plain_picture(folder, wanted, torch.float32)
    picture, _, log = make(loaded(folder), wanted, mode)
    assert (picture.image.tobytes() == golden.tobytes()) is (mode is NoiseMode.TORCH_CPU)
    assert log.hidden == []
