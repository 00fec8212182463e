"""The commands of training that others, and other programs, rely on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from training.__main__ import app, register_process

if TYPE_CHECKING:
    from pathlib import Path


def test_the_list_of_processes_holds_the_living_once(tmp_path: Path) -> None:
    (tmp_path / "pids").write_text(f"{os.getpid()}\n999999999\n1\n")
    register_process(tmp_path)
    register_process(tmp_path)
    assert (tmp_path / "pids").read_text().split() == ["1", str(os.getpid())]


def test_finish_asks_and_going_on_without_a_tail_is_refused(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["finish", "denoiser", "--state", str(tmp_path)]).exit_code == 0
    assert (tmp_path / "denoiser" / "finish").exists()
    assert isinstance(runner.invoke(app, ["go-on", "denoiser", "--state", str(tmp_path)]).exception, FileNotFoundError)
    assert (tmp_path / "denoiser" / "finish").exists()


def test_the_denoiser_waits_for_the_stages_before_it(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["export", str(tmp_path / "out"), "--state", str(tmp_path)])
    assert isinstance(ended.exception, FileNotFoundError)
    assert not (tmp_path / "out").exists()
