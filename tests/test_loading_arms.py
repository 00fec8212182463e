"""Ways of loading through the whole of ``check``: compared with the plain way, told apart, and seen at work."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_line import MadeOnce, job_folder, read_json, run_command

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from tests.adapters.test_loading import PREPARE  # noqa: E402 - it imports torch
from tests.adapters.tiny_pipelines import saved  # noqa: E402 - it imports torch

pytestmark = pytest.mark.slow

REASON = "That is the question here."
WAYS: dict[str, tuple[dict[str, Any], str]] = {
    "lora": ({"lora": [{"file": "style.safetensors", "scale": 0.8}]}, "lora style.safetensors"),
    "attention": ({"attention_backend": "_native_math"}, "attention_backend _native_math"),
    "int8": ({"prepare": "prepare.py:int8"}, "prepare int8 layers"),
    "traced": ({"compile": {"backend": "aot_eager"}}, "compile transformer"),
    "compiled": ({"compile": {}}, "compile transformer"),
}


@pytest.fixture
def place(made_once: MadeOnce, tmp_path: Path) -> Path:
    """A folder with a small random Flux pipeline, LoRA weights for it, and a function that prepares it."""
    kept = made_once("loading of flux", lambda folder: saved("flux", folder / "model"))
    shutil.copytree(kept / "model", tmp_path / "model")
    (tmp_path / "prepare.py").write_text(PREPARE, encoding="utf-8")
    return tmp_path


def lora(folder: Path) -> None:
    """LoRA weights beside the scenario."""
    import diffusers
    import peft

    pipe: Any = diffusers.FluxPipeline.from_pretrained(folder / "model")  # type: ignore[no-untyped-call]
    torch.manual_seed(1)
    pipe.transformer.add_adapter(peft.LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "to_out.0"]))
    weights = peft.utils.get_peft_model_state_dict(pipe.transformer)
    pipe.save_lora_weights(folder, weight_name="style.safetensors", transformer_lora_layers=weights)


@pytest.mark.parametrize(
    "ways",
    [
        ["lora"],
        pytest.param(["attention", "int8", "traced"], marks=pytest.mark.nightly),
        pytest.param(
            ["compiled"],
            marks=[
                pytest.mark.nightly,
                pytest.mark.skipif(not any(map(shutil.which, ["g++", "clang++"])), reason="no C++ compiler"),
            ],
        ),
    ],
    ids=" ".join,
)
def test_a_way_of_loading_is_compared_with_the_plain_one(ways: list[str], place: Path) -> None:
    lora(place)
    arms = [{"name": name, "device": "cpu", "load": WAYS[name][0]} for name in ways]
    arms.append({"name": "idle", "device": "cpu", "load": {"prepare": "prepare.py:idle"}})  # what never works
    scenario = {
        "name": "port",
        "summary": "One pipeline, loaded in several ways.",
        "task": "text_to_image",
        "model": {"adapter": "diffusers", "source": "model", "dtype": "float32"},
        "cases": [{"id": "cup", "prompt": "a cup"}],
        "seeds": [42],
        "width": 64,
        "height": 64,
        "steps": 2,
        "switches": "as_shipped",
        "repeats": {"in_process": 1, "processes": 1},
        "limits": [{"metric": "psnr_db", "scope": "reference", "at_least": 20, "reason": "For this test only."}],
        "differs_in": {"load": REASON},
        "arms": [{"name": "plain", "role": "reference", "device": "cpu"}, *arms],
    }
    (place / "port.yaml").write_text(json.dumps(scenario), encoding="utf-8")
    ended = run_command(place, "check", "port.yaml", "--allow-command")
    assert ended.code == 3, ended.out + ended.err
    job = job_folder(place / "runs")
    idle = read_json(job / "comparison-reference-idle-against-plain.json")
    assert (idle["outcome"], idle["pairs"]) == ("error", [])
    assert "prepare cache hits was asked for, and nothing of it ran" in idle["message"]
    for name in ways:
        compared = read_json(job / f"comparison-reference-{name}-against-plain.json")
        assert compared["outcome"] in {"within_limits", "identical"}
        assert compared["differing"] == ["load"]
        assert f"load differs on purpose ({REASON})" in compared["notes"][0]
        [sample] = read_json(job / name / "run.json")["samples"]
        assert list(sample["in_effect"]) == [WAYS[name][1]]
        assert sample["in_effect"][WAYS[name][1]] > 0
    page = (job / "report" / "report.md").read_text(encoding="utf-8")
    assert f"{WAYS[ways[0]][1]}: " in page
    assert "Seen at work, times in an image at least" in page
