"""A checkpoint becomes the product's embedded model with its digest, and its card tells what was measured."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from harness.models import tiny_deepgen
from harness.models._deepgen import checkpoint_digest, copy_files
from training.__main__ import app
from training.embed import PACKAGE, card, embed
from training.export import write_checkpoint
from training.parity import PROMPTS_OF_EACH_KIND, scenario
from training.score import Score, table
from training.sheet import sheet

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(untrained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "checkpoint"
    write_checkpoint(untrained, folder)
    return folder


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the product's embedded model."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "tiny_deepgen", ignore=shutil.ignore_patterns("__pycache__")))


def pinned(package: Path) -> str:
    (found,) = re.findall(r'^DIGEST = "(\w+)"$', (package / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE)
    return str(found)


def test_an_embedded_checkpoint_is_built_again_with_its_digest(folder: Path, package: Path, tmp_path: Path) -> None:
    assert embed(folder, package) == pinned(package) == checkpoint_digest(folder) != tiny_deepgen.DIGEST
    assert not (package / "checkpoint" / "deepgen_pipeline.py").exists()
    built = tmp_path / "built"
    built.mkdir()
    copy_files(package / "checkpoint", built)
    assert (built / "connector" / "model.safetensors").exists()
    (package / "checkpoint" / "README.md").write_text("# words", encoding="utf-8")
    again = tmp_path / "again"
    again.mkdir()
    copy_files(package / "checkpoint", again)
    assert checkpoint_digest(again) == checkpoint_digest(built), "a model card is no part of the model"


def test_a_checkpoint_with_code_of_its_own_is_not_embedded(folder: Path, package: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    (other / "deepgen_pipeline.py").write_text("# another pipeline\n", encoding="utf-8")
    before = pinned(package)
    with pytest.raises(ValueError, match=r"has its own deepgen_pipeline\.py"):
        embed(other, package)
    assert pinned(package) == before
    assert (package / "checkpoint" / "connector" / "model.safetensors").exists()


def test_a_package_without_a_pinned_digest_is_left_alone(folder: Path, package: Path) -> None:
    (package / "__init__.py").write_text("DIGEST = None\n", encoding="utf-8")
    with pytest.raises(ValueError, match="0 lines that pin a digest"):
        embed(folder, package)
    assert (package / "checkpoint" / "connector" / "model.safetensors").exists()


def test_the_card_tells_sizes_steps_and_scores(folder: Path) -> None:
    scores = [Score("single", 4, 12, 0.75, 0.1, {"shapes": 0.8}, 0.0, 0.25), Score("remove", 4, 12, 0.5, 0.2, {}, 0, 0)]
    written = card(folder, {"autoencoder": 8000, "denoiser": 12345}, scores)
    assert table(scores).strip() in written
    assert "8 held-out" in written.replace("\n", " ")
    assert "24 pictures" in written
    assert "autoencoder 8,000, denoiser 12,345" in written
    assert checkpoint_digest(folder) in written
    for part in ("connector", "transformer", "vae", "vlm"):
        (row,) = re.findall(rf"^\| {part} \| .* \| ([\d,]+) \| (\w+) \| ([\d,]+) \|$", written, re.MULTILINE)
        parameters, kind, size = row
        per_value = {"BF16": 2, "F32": 4}[kind]
        assert 0 < int(size.replace(",", "")) - per_value * int(parameters.replace(",", "")) < 150_000, "names, shapes"


def test_the_card_in_the_product_is_that_of_its_checkpoint() -> None:
    written = (PACKAGE / "checkpoint" / "README.md").read_text(encoding="utf-8")
    assert tiny_deepgen.DIGEST in written


def test_the_sheet_has_a_row_for_each_kind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.score.STEPS", 1)
    page, words = sheet(folder, 1)
    assert len(words) == 7 + 2 * 5
    assert page.shape == (len(words) * 136, 136, 3)
    assert sum(line.endswith(", input") for line in words) == 5


# --- the scenario of many prompts -------------------------------------------------------------------------------------


def prompts() -> Iterator[str]:
    yield from re.findall(r"prompt: '(.*)'}", scenario())


def test_the_scenario_of_many_prompts_is_the_one_in_the_folder(tmp_path: Path) -> None:
    assert (ROOT / "scenarios" / "tiny-parity.yaml").read_text(encoding="utf-8") == scenario()
    assert CliRunner().invoke(app, ["parity", "--out", str(tmp_path / "written.yaml")]).exit_code == 0
    assert (tmp_path / "written.yaml").read_text(encoding="utf-8") == scenario()


def test_no_two_of_its_prompts_are_the_same() -> None:
    assert len(set(prompts())) == len(list(prompts())) == 7 * PROMPTS_OF_EACH_KIND
