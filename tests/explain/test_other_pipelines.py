"""``harness explain`` on small random pipelines of diffusers, whose modules it has never seen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

from tests.adapters.tiny_pipelines import saved
from tests.command_line import run_command

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

pytestmark = [
    pytest.mark.slow,
    # diffusers' own schedulers hand tensors to numpy in a way that numpy 2 warns of.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def scenario(folder: Path, name: str, **mine: Any) -> None:
    saved(name, folder / "model")
    described = {
        "name": "port",
        "summary": "One pipeline in two arms.",
        "task": "text_to_image",
        "model": {"adapter": "diffusers", "source": "model", "dtype": "float32", "trust_remote_code": False},
        "cases": [{"id": "cup", "prompt": "a cup"}],
        "seeds": [42],
        "width": 64,
        "height": 64,
        "steps": 2,
        "switches": "as_shipped",
        "repeats": {"in_process": 1, "processes": 1},
        "arms": [{"name": "mine", "device": "cpu", **mine}, {"name": "right", "role": "reference", "device": "cpu"}],
        "limits": [{"metric": "psnr_db", "scope": "reference", "at_least": 30, "reason": "For this test only."}],
    }
    (folder / "port.yaml").write_text(json.dumps(described), encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["qwen", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("sd15", "sdxl", "sd3", "flux"))]
)
def test_two_equal_arms_are_equal_in_every_module(name: str, tmp_path: Path) -> None:
    scenario(tmp_path, name)
    ended = run_command(tmp_path, "explain", "port.yaml", "--arm", "mine", "--against", "right", "--json")
    assert ended.code == 0, ended.err
    said = json.loads(ended.out)
    assert (said["trouble"], said["culprits"], said["causes"]) == ("equal", [], [])
    assert said["places"] > 50


def test_arms_that_are_not_called_alike_are_refused(tmp_path: Path) -> None:
    scenario(tmp_path, "sd3", arguments={"max_sequence_length": 32})
    ended = run_command(tmp_path, "explain", "port.yaml", "--arm", "mine", "--against", "right")
    assert ended.code == 2, ended.out
    assert "the argument max_sequence_length: actual 32, expected default (case cup)" in ended.err
