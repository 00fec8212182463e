"""What a path in a scenario is relative to: its own file; the current folder only where nothing else is there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness import scenario
from harness.images import write_picture
from tests.command_line import run_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.command_line import Ended

ONCE = {"in_process": 1, "processes": 1}
LIMIT = {"metric": "psnr_db", "scope": "reference", "at_least": 30, "reason": "Only for this test."}


def put_pictures(folder: Path, level: int) -> None:
    """Pictures of a slope by two arms, which differ by noise below ``level``."""
    slope = np.mgrid[:64, :64].sum(axis=0)[..., np.newaxis]
    for seed, arm in ((1, "candidate"), (2, "reference")):
        (folder / arm / "circle").mkdir(parents=True)
        noise = np.random.RandomState(seed * level).randint(0, level, (64, 64, 3))
        write_picture(folder / arm / "circle" / "42.png", (noise + slope).astype(np.uint8))


def write(path: Path, source: str, **changes: Any) -> Path:
    asked = {
        "name": path.stem,
        "summary": "Which folder is read?",
        "task": "text_to_image",
        "model": {"adapter": "images", "source": source, "pictures": "{arm}/{case}/{seed}.png"},
        "cases": [{"id": "circle", "prompt": "a blue circle"}],
        "seeds": [42],
        "width": 64,
        "height": 64,
        "arms": [{"name": "candidate"}, {"name": "reference", "role": "reference"}],
        "repeats": ONCE,
        "limits": [LIMIT],
        **changes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asked), encoding="utf-8")
    return path


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., Ended]:
    """Checks ``project/scenarios/port.yaml`` from a working folder; two levels of pictures tell folders apart."""

    def checked(working: Path, source: str) -> Ended:
        write(tmp_path / "project" / "scenarios" / "port.yaml", source)
        path = os.path.relpath(tmp_path / "project" / "scenarios" / "port.yaml", working)
        return run_command(working, "check", path)

    return checked


def test_a_source_is_relative_to_the_scenario_wherever_the_command_is_given(
    tmp_path: Path, check: Callable[..., Ended]
) -> None:
    put_pictures(tmp_path / "project" / "made", 2)
    (tmp_path / "elsewhere").mkdir()
    for working in (tmp_path / "project", tmp_path / "project" / "scenarios", tmp_path / "elsewhere"):
        ended = check(working, "../made")
        assert ended.code == 0, ended.err
        assert "model.source" not in ended.err


def test_a_folder_that_only_the_current_one_has_is_taken_and_said(tmp_path: Path, check: Callable[..., Ended]) -> None:
    put_pictures(tmp_path / "project" / "made", 2)
    ended = check(tmp_path / "project", "made")
    assert ended.code == 0, ended.err
    assert f"note: model.source: 'made' is {tmp_path}/project/made, relative to the current folder" in ended.err
    assert f"there is no {tmp_path}/project/scenarios/made" in ended.err
    assert "Write '../made'" in ended.err
    told = run_command(tmp_path / "project", "validate", "scenarios/port.yaml")
    assert told.code == 0
    assert "warning: model.source: 'made' is" in told.out
    again = check(tmp_path / "project", "../made")
    assert (again.code, "model.source" in again.err) == (0, False)


def test_where_both_have_it_that_of_the_scenario_is_taken_and_said(tmp_path: Path, check: Callable[..., Ended]) -> None:
    put_pictures(tmp_path / "project" / "scenarios" / "made", 2)
    put_pictures(tmp_path / "project" / "made", 100)
    ended = check(tmp_path / "project", "made")
    assert ended.code == 0, ended.err
    assert f"'made' is {tmp_path}/project/scenarios/made, relative to the scenario file" in ended.err
    assert f"{tmp_path}/project/made, relative to the current folder, is another and is not used" in ended.err
    # The other folder, asked for, breaks the limit: the two are told apart by their pictures.
    assert check(tmp_path / "project", "../made").code == 1


def test_a_folder_that_is_nowhere_is_named_whole(tmp_path: Path, check: Callable[..., Ended]) -> None:
    (tmp_path / "project").mkdir()
    ended = check(tmp_path / "project", "../lost")
    assert ended.code == 2
    assert f"the model folder {tmp_path}/project/lost does not exist" in ended.err
    assert "A folder in a scenario is relative to the scenario's file." in ended.err


def test_a_picture_to_edit_that_is_nowhere_is_named_whole(tmp_path: Path) -> None:
    cases = [{"id": "circle", "prompt": "make it red", "input_image": "lost.png"}]
    path = write(tmp_path / "scenarios" / "edit.yaml", "builtin:tiny-deepgen", task="image_editing", cases=cases)
    ended = run_command(tmp_path, "validate", path)
    assert ended.code == 2
    assert f"there is no file 'lost.png', which is '{tmp_path}/scenarios/lost.png'" in ended.err


@pytest.mark.parametrize("source", ["builtin:tiny-deepgen", "hf:org/name@main", "modelscope:org/name@v1", "a\0b"])
def test_what_is_no_folder_is_left_as_it_is(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / source.replace("\0", "")).mkdir(parents=True)
    assert scenario.located(source, tmp_path / "scenarios") == (source, "")


@pytest.mark.parametrize("source", ["x" * 5000, "loop", "~nobody-is-called-so/x", "a-file"])
def test_a_strange_name_is_a_folder_that_is_not_there(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "a-file").write_text("no folder", encoding="utf-8")
    assert scenario.located(source, tmp_path / "scenarios") == (str(tmp_path / "scenarios" / source), "")


def test_where_a_folder_lies_is_no_part_of_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "scenarios" / "port.yaml", "made")
    before = scenario.load(path)
    put_pictures(tmp_path / "made", 2)
    monkeypatch.chdir(tmp_path)
    after = scenario.load(path)
    assert before.digest == after.digest
    assert [Path(loaded.model_source) for loaded in (before, after)] == [tmp_path / "scenarios/made", tmp_path / "made"]
