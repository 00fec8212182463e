"""A command that the starter forks ends as one that is started from nothing, and finds the same world."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harness.images import write_picture
from tests.command_line import environment, patience_seconds, run_command, starter_of

if TYPE_CHECKING:
    from pathlib import Path

WORDS = {
    "passes": ["list", "metrics"],
    "fails": ["diff", "black.png", "white.png", "--at-least", "psnr_db=40"],
    "is refused": ["diff", "black.png", "gone.png"],
    "is misspelt": ["lits"],
    "has help": ["check", "--help"],
}


def from_nothing(folder: Path, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words],
        cwd=folder,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=patience_seconds(),
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("how", WORDS)
def test_code_and_output_are_those_of_a_start_from_nothing(how: str, tmp_path: Path) -> None:
    for name, value in {"black": 0, "white": 255}.items():
        write_picture(tmp_path / f"{name}.png", np.full((16, 16, 3), value, np.uint8))
    ended = run_command(tmp_path, *WORDS[how])
    assert (ended.code, ended.out, ended.err) == from_nothing(tmp_path, *WORDS[how])
    assert (ended.code == 0) is (how in {"passes", "has help"})


def test_variables_that_change_imports_get_a_start_from_nothing() -> None:
    starter = starter_of(os.getpid())
    assert starter.may_start(environment())
    assert starter.may_start(environment(COLUMNS="200", HARNESS_CACHE_DIR="elsewhere"))
    for name in ("PYTHONPATH", "PYTHONIOENCODING", "OMP_NUM_THREADS", "LC_ALL", "NEVER_HEARD_OF"):
        assert not starter.may_start(environment(**{name: "another"})), name


def test_harmless_variables_are_those_of_each_command(tmp_path: Path) -> None:
    wide, narrow = (run_command(tmp_path, "check", "--help", COLUMNS=columns).out for columns in ("200", "40"))
    assert wide != narrow


def test_a_command_that_takes_too_long_is_killed_and_the_next_one_works(tmp_path: Path) -> None:
    starter = starter_of(os.getpid())
    with pytest.raises(subprocess.TimeoutExpired):
        starter.run(["selftest"], tmp_path, environment(), 0.001)
    assert run_command(tmp_path, "list", "metrics").code == 0
