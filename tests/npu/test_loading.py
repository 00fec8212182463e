"""Where a pipeline's components are put on a card: images of one kind, whichever way they were moved there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.adapters.tiny_pipelines import saved
from tests.command_line import job_folder, read_json, run_command

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

WAYS: dict[str, dict[str, Any]] = {
    "model": {"offload": "model"},
    "sequential": {"offload": "sequential"},
    "map": {"device_map": "npu"},
    "balanced": {"device_map": "balanced"},
}


def test_offload_and_device_maps_change_no_byte_on_a_card(tmp_path: Path) -> None:
    saved("sd3", tmp_path / "model")
    arms = [{"name": name, "device": "npu", "load": load} for name, load in WAYS.items()]
    scenario = {
        "name": "port",
        "summary": "One pipeline, put on a card in several ways.",
        "task": "text_to_image",
        "model": {"adapter": "diffusers", "source": "model", "dtype": "float32"},
        "cases": [{"id": "cup", "prompt": "a cup"}],
        "seeds": [42],
        "width": 64,
        "height": 64,
        "steps": 2,
        "repeats": {"in_process": 1, "processes": 1},
        "limits": [{"metric": "psnr_db", "scope": "reference", "at_least": 60, "reason": "For this test only."}],
        "differs_in": {"load": "Where the components wait is the question."},
        "arms": [{"name": "plain", "role": "reference", "device": "npu"}, *arms],
    }
    (tmp_path / "port.yaml").write_text(json.dumps(scenario), encoding="utf-8")
    ended = run_command(tmp_path, "check", "port.yaml")
    assert ended.code == 0, ended.out + ended.err
    job = job_folder(tmp_path / "runs")
    for name in WAYS:
        compared = read_json(job / f"comparison-reference-{name}-against-plain.json")
        assert (compared["outcome"], compared["differing"]) == ("identical", ["load"])
