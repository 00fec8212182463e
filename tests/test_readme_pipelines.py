"""The examples of README's section Other pipelines run as they stand there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from harness import plugins
from harness.images import write_picture

if TYPE_CHECKING:
    from tests.command_line import RunHarness, WriteScenario

pytestmark = pytest.mark.slow

README = Path(__file__).parents[1] / "README.md"
SCRIPT = """
import argparse
from PIL import Image
reader = argparse.ArgumentParser()
for name in ("prompt", "output_image", "device"):
    reader.add_argument(f"--{name}", required=True)
for name in ("seed", "height", "width", "num_inference_steps"):
    reader.add_argument(f"--{name}", type=int, required=True)
reader.add_argument("--guidance_scale", type=float, required=True)
told = reader.parse_args()
image = Image.new("RGB", (told.width, told.height), (told.seed % 256, 0, 0))
image.paste("white", (8, 8, 24, 24))
image.save(told.output_image)
"""


def examples() -> dict[str, dict[str, Any]]:
    """The YAML blocks of the section, by adapter."""
    section = README.read_text(encoding="utf-8").partition("\n## Other pipelines\n")[2].partition("\n## ")[0]
    blocks = [block.partition("\n```")[0] for block in section.split("```yaml\n")[1:]]
    found = [YAML(typ="safe", pure=True).load(block) for block in blocks]
    return {example["model"]["adapter"]: example for example in found}


def test_every_adapter_but_the_first_has_an_example() -> None:
    assert sorted([*examples(), "deepgen"]) == plugins.names("adapters")


def test_pictures(run_harness: RunHarness, write_scenario: WriteScenario, tmp_path: Path) -> None:
    (tmp_path / "pictures" / "candidate" / "circle").mkdir(parents=True)
    write_picture(
        tmp_path / "pictures" / "candidate" / "circle" / "42.png",
        np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3),
    )
    path = written(write_scenario, examples()["images"])
    assert run_harness("run", path).code == 0
    (tmp_path / "pictures" / "candidate" / "circle" / "42.png").unlink()
    assert run_harness("run", path).code == 2


def test_a_script(run_harness: RunHarness, write_scenario: WriteScenario, tmp_path: Path) -> None:
    (tmp_path / "port").mkdir()
    (tmp_path / "port" / "inference.py").write_text(SCRIPT, encoding="utf-8")
    path = written(write_scenario, examples()["command"])
    ended = run_harness("check", path, "--allow-command")
    assert ended.code == 0, ended.err
    assert run_harness("check", path).code == 2


def test_a_pipeline_of_diffusers(run_harness: RunHarness, write_scenario: WriteScenario, tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    from tests.adapters.tiny_pipelines import saved

    path = written(write_scenario, examples()["diffusers"])
    ended = run_harness("check", path, PIPELINE=str(saved("sd3", tmp_path / "sd3")))
    assert ended.code == 0, ended.err
    assert run_harness("check", path).code == 2, "the variable is not set"


def written(write: WriteScenario, example: dict[str, Any]) -> Path:
    """The example as a scenario of a project, its own words alone under ``model``."""
    model = {"trust_remote_code": False, **example.pop("model")}
    path = write(model=model, **example)
    (path.parent / "scenarios").mkdir()
    return path.rename(path.parent / "scenarios" / path.name)
