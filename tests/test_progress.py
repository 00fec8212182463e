"""Long work speaks: a line in a log whenever it was silent for a while, a bar on a terminal, and nothing stays."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

import pytest

from harness.progress import Task, counted, observed_by, task
from harness.terminal.progress import Lines, duration, line_of
from tests.command_line import environment
from tests.test_terminal import COLOUR, on_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_line import RunHarness, WriteScenario


class Witness:
    """Writes down what it is shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int]] = []

    def began(self, task: Task) -> None:
        self.seen.append(("began", task.what, task.done))

    def changed(self, task: Task) -> None:
        self.seen.append(("changed", task.what, task.done))

    def ended(self, task: Task) -> None:
        self.seen.append(("ended", task.what, task.done))


# --- tasks ------------------------------------------------------------------------------------------------------------


def test_an_observer_sees_tasks_begin_go_on_and_end() -> None:
    witness = Witness()
    with observed_by(witness):
        assert list(counted("ab", "comparing", 2, "images")) == ["a", "b"]
    with task("unseen"):
        pass
    assert witness.seen == [
        ("began", "comparing", 0),
        ("changed", "comparing", 1),
        ("changed", "comparing", 2),
        ("ended", "comparing", 2),
    ]


def test_a_task_that_fails_has_ended() -> None:
    witness = Witness()
    with observed_by(witness), pytest.raises(ZeroDivisionError), task("dividing"):
        1 / 0  # noqa: B018 - planted
    assert witness.seen[-1] == ("ended", "dividing", 0)


def test_what_is_left_follows_from_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    times = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: times[-1])
    work = Task("making", total=10, unit="images")
    left = [work.seconds_left]
    for moment in (130.0, 132.0):  # the first image waits for the model
        times.append(moment)
        work.advance()
        left.append(work.seconds_left)
    for moment in (133.0, 999.0):
        times.append(moment)
        left.append(work.seconds_left)
    assert left == [None, None, 16.0, 15.0, 0.0]


def test_a_task_in_one_line() -> None:
    assert line_of(Task("hashing", total=5_000_000, unit="bytes", done=2_000_000)) == "hashing: 2 of 5 MB"
    assert re.fullmatch(r"fetching: working for \d+ s", line_of(Task("fetching")))
    assert duration(89.5) == "90 s"
    assert duration(91) == "2 min"
    assert duration(3601) == "1 h 1 min"


# --- in a log ---------------------------------------------------------------------------------------------------------


def test_a_log_gets_a_line_of_the_innermost_task_while_work_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines("harness check", longest_silence_seconds=0.2)
    lines.start()
    with observed_by(lines), task("small/candidate", 4, "images") as work:
        work.advance()
        time.sleep(0.5)
        with task("comparing", 2, "pairs"):
            time.sleep(0.5)
    time.sleep(0.5)
    lines.stop()
    after = capsys.readouterr().err.splitlines()
    assert "small/candidate: 1 of 4 images" in after
    assert "comparing: 0 of 2 pairs" in after
    assert after[-1].startswith("harness check: working for")
    time.sleep(0.5)
    assert capsys.readouterr().err == "", "it is over"


def test_quick_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines("harness check", longest_silence_seconds=60)
    lines.start()
    with observed_by(lines), task("small/candidate", 4, "images") as work:
        work.advance()
    lines.stop()
    assert capsys.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["check", pytest.param("run", marks=pytest.mark.nightly)])  # one call serves all
def test_a_command_in_a_log_is_never_silent_for_long(
    verb: str, run_harness: RunHarness, write_scenario: WriteScenario, tmp_path: Path
) -> None:
    # The same command with a shorter silence, so that the test need not take minutes.
    (tmp_path / "sitecustomize.py").write_text(
        "import harness.terminal.progress as shown; shown.LONGEST_SILENCE_SECONDS = 0.8", encoding="utf-8"
    )
    path = write_scenario(model={"adapter": "planted-slow"}, repeats={"in_process": 2, "processes": 1})
    places = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    ended = run_harness(verb, path, "--device", "cpu", PYTHONPATH=places)
    assert ended.code == 0, ended.err
    assert re.search(r"^small/candidate: 1 of 2 images, .*repeat 2", ended.err, re.MULTILINE), ended.err
    assert not re.search(r"of 2 images", ended.out), "what a machine reads stays as it is"


# --- on a terminal ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_terminal_gets_bars_with_what_is_done_and_what_is_left_and_they_go_away(
    tmp_path: Path, write_scenario: WriteScenario
) -> None:
    path = write_scenario(model={"adapter": "planted-slow"}, repeats={"in_process": 3, "processes": 1})
    ended = on_terminal(tmp_path, "check", path, "--device", "cpu", columns=100)
    assert ended.code == 0, ended.out
    shown = COLOUR.sub("", ended.out)
    for words in ("hashing the model", "0 of 3 images", "writing the report"):
        assert words in shown, words
    assert re.search(r"2 of 3 images, \d+ s left", shown)
    assert "of 6 formats" not in shown.rpartition("verdict")[2], "no bar is drawn into the summary"
