"""The files that ``harness init`` writes work: their commands are run as they stand there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from tests.command_line import environment, patience_seconds

if TYPE_CHECKING:
    from tests.command_line import RunHarness

QUICKER = {"width: 128": "width: 64", "height: 128": "height: 64", "processes: 2": "processes: 1"}
FILES = {"scenarios/example.yaml", ".github/workflows/accuracy.yml", ".gitlab-ci.yml"}


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def github_commands(folder: Path) -> list[str]:
    steps = read_yaml(folder / ".github/workflows/accuracy.yml")["jobs"]["check"]["steps"]
    return [line for step in steps for line in step.get("run", "").splitlines()]


def gitlab_commands(folder: Path) -> list[str]:
    job = read_yaml(folder / ".gitlab-ci.yml")["accuracy"]
    return [*job["before_script"], *job["script"]]


def test_init_writes_a_scenario_that_is_valid_and_two_ci_files(tmp_path: Path, run_harness: RunHarness) -> None:
    ended = run_harness("init", "project")
    assert ended.code == 0, ended.err
    assert files_below(tmp_path / "project") == FILES
    assert {Path(line).relative_to("project").as_posix() for line in ended.out.splitlines()} == FILES
    assert "ok, 2 cases" in run_harness("validate", "project/scenarios/example.yaml").out
    assert github_commands(tmp_path / "project") == gitlab_commands(tmp_path / "project")


@pytest.mark.parametrize("name", sorted(FILES))
def test_init_overwrites_nothing_and_then_writes_nothing(name: str, tmp_path: Path, run_harness: RunHarness) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine", encoding="utf-8")
    ended = run_harness("init")
    assert ended.code == 2
    assert f"{name} is there already" in ended.err
    assert (tmp_path / name).read_text(encoding="utf-8") == "mine"
    assert files_below(tmp_path) == {name}


@pytest.fixture
def commands(tmp_path: Path) -> dict[str, str]:
    """Variables of a shell in which ``harness`` is the command under test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "harness").write_text(f'#!/bin/sh\nexec {sys.executable} -m harness "$@"\n', encoding="utf-8")
    (folder / "harness").chmod(0o755)
    return environment(PATH=f"{folder}:{os.environ['PATH']}")


@pytest.mark.slow
def test_the_commands_of_the_ci_files_work_and_make_what_the_files_keep(
    tmp_path: Path, run_harness: RunHarness, commands: dict[str, str]
) -> None:
    assert run_harness("init").code == 0
    install, *lines = github_commands(tmp_path)
    assert install == 'python -m pip install "$ACCURACY_HARNESS"'
    assert all(line.startswith("harness ") for line in lines)
    path = tmp_path / "scenarios" / "example.yaml"
    smaller = path.read_text(encoding="utf-8")
    for written, quicker in QUICKER.items():
        assert written in smaller
        smaller = smaller.replace(written, quicker)
    path.write_text(smaller, encoding="utf-8")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(lines)],
        cwd=tmp_path,
        env=commands,
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    job = read_yaml(tmp_path / ".gitlab-ci.yml")["accuracy"]
    kept = read_yaml(tmp_path / ".github/workflows/accuracy.yml")["jobs"]["check"]["steps"][-1]["with"]["path"]
    for pattern in (job["artifacts"]["reports"]["junit"], job["artifacts"]["paths"][0], kept):
        assert len(list(tmp_path.glob(pattern))) == 1


@pytest.mark.slow
def test_the_commands_fail_where_the_check_does(
    tmp_path: Path, run_harness: RunHarness, commands: dict[str, str]
) -> None:
    assert run_harness("init").code == 0
    path = tmp_path / "scenarios" / "example.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("metric: psnr_db", "metric: psnr"), encoding="utf-8")
    lines = "\n".join(github_commands(tmp_path)[1:])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines], cwd=tmp_path, env=commands, capture_output=True, check=False
    )
    assert done.returncode == 2
