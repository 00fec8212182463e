"""The pairs in ``examples/pairs``: each is a scenario that runs as it stands, on a pipeline that is small enough."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from tests.command_line import ROOT, MadeOnce, job_folder, read_json, run_command

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from tests.adapters.tiny_pipelines import saved  # noqa: E402 - it imports torch
from tests.test_arms_differ import SCRIPT  # noqa: E402 - beside the other imports from tests
from tests.test_loading_arms import lora  # noqa: E402 - it imports torch

PAIRS = sorted((ROOT / "examples" / "pairs").glob("*.yaml"))
SLOW = pytest.mark.nightly


@pytest.fixture
def variables(made_once: MadeOnce, tmp_path: Path) -> dict[str, str]:
    """What the variables of the scenarios stand for here."""
    kept = made_once("loading of flux", lambda folder: saved("flux", folder / "model"))
    shutil.copytree(kept / "model", tmp_path / "model")
    python = tmp_path / "other" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    (tmp_path / "port").mkdir()
    script = SCRIPT.replace('"--cards"', '"--num_gpus"').replace(
        'int(options["--width"]), int(options["--height"])', "64, 64"
    )
    (tmp_path / "port" / "inference.py").write_text(script, encoding="utf-8")
    lora(tmp_path)
    return {
        "PIPELINE": str(tmp_path / "model"),
        "PORT": str(tmp_path / "port"),
        "OTHER_PYTHON": str(python),
        "LORA": str(tmp_path / "style.safetensors"),
    }


def small(path: Path, folder: Path) -> Path:
    """The scenario with one case, small images, few steps and CPU arms, beside its functions."""
    shutil.copy(path.parent / "prepare.py", folder)
    scenario: dict[str, Any] = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    less = {"cases": scenario["cases"][:1], "seeds": [42], "width": 64, "height": 64, "steps": 8}
    arms = [{**arm, "device": "cpu"} for arm in scenario["arms"]]
    written = folder / path.name
    written.write_text(
        json.dumps({**scenario, **less, "arms": arms, "repeats": {"in_process": 1, "processes": 1}}), encoding="utf-8"
    )
    return written


def test_every_pair_is_valid_as_it_stands(variables: dict[str, str], tmp_path: Path) -> None:
    assert [path.stem for path in PAIRS] == ["attention", "cache", "cards", "compiled", "int8", "lora", "wheels"]
    ended = run_command(tmp_path, "validate", *PAIRS, **variables)
    assert ended.code == 0, ended.err


@pytest.mark.parametrize(
    "name",
    [
        "cards",
        *(pytest.param(name, marks=SLOW) for name in ("attention", "cache", "compiled", "int8", "lora", "wheels")),
    ],
)
def test_a_pair_is_compared_and_told_apart(name: str, variables: dict[str, str], tmp_path: Path) -> None:
    path = next(path for path in PAIRS if path.stem == name)
    ended = run_command(tmp_path, "check", small(path, tmp_path), "--allow-command", **variables)
    assert ended.code in {0, 1}, ended.out + ended.err  # how far random weights move is not the question
    [file] = job_folder(tmp_path / "runs").glob("comparison-reference-*.json")
    compared = read_json(file)
    assert compared["outcome"] in {"within_limits", "identical", "drift"}
    assert [*compared["differs_in"]] == compared["differing"]
