"""What a person sees at the end of a check, on real terminals of several widths and encodings, and in a log."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from harness import store
from harness.records import EXIT_CODES, Failure, Status
from tests.command_line import Ended, environment, job_folder, patience_seconds
from tests.render.sample_reports import BUILDERS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_line import RunHarness, WriteScenario

ENDINGS = ("identical", "unstable", "drift", "within_limits", "not_comparable", "error", "skipped", "simulated")
WORDS = {
    status: (word.upper() if EXIT_CODES[status] else word)
    for status in Status
    for word in [status.value.replace("_", " ")]
}
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
BROKEN_HAND = "设备内存不足: 2 GiB ∞ 🙂"


def on_terminal(folder: Path, *words: str | Path, columns: int, encoding: str = "utf-8", **variables: str) -> Ended:
    """Run ``harness`` on a pseudo-terminal of so many columns; both streams are what the terminal got."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    surroundings = environment(PYTHONIOENCODING=f"{encoding}:strict", TERM="xterm-256color")
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        surroundings.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", *map(str, words)],
        cwd=folder,
        env={**surroundings, **variables},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    received = b"".join(iter(lambda: read(ours), b""))
    os.close(ours)
    text = received.decode(encoding).replace("\r\n", "\n")
    return Ended(code=process.wait(timeout=patience_seconds()), out=text, err=text)


def read(terminal: int) -> bytes:
    """What comes next; nothing when the last process has let go of the terminal."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""


def without_colours(text: str) -> list[str]:
    return COLOUR.sub("", text).splitlines()


def widest(text: str) -> int:
    return max(cell_len(line) for line in without_colours(text))


def verdicts(text: str) -> list[str]:
    """The words of outcomes in the order in which rows begin with them."""
    return [
        word
        for line in without_colours(text)
        for word in WORDS.values()
        if re.match(rf"{word}( {{2,}}|\s*\||$)", line.lstrip(" |"))
    ]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Comparisons with every kind of ending, and one whose failure speaks in many signs."""
    folder = tmp_path_factory.mktemp("stored")
    found = [each for name in ENDINGS for each in BUILDERS[name](folder / name).comparisons]
    failure = Failure(stage="generate", key=None, process=0, repeat=0, error="NpuError", message=BROKEN_HAND)
    found.append(found[0].model_copy(update={"failures": [failure]}))
    return [store.save(each, folder / f"comparison-{index}.json") for index, each in enumerate(found)]


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "ascii"])
def test_every_terminal_shows_every_verdict_failures_first(
    encoding: str, columns: int, stored: list[Path], tmp_path: Path
) -> None:
    ended = on_terminal(tmp_path, "gate", *stored, columns=columns, encoding=encoding)
    assert ended.code == 3
    assert "Error" not in ended.out.replace("NpuError", "").replace("OutOfMemoryError", "")
    assert widest(ended.out) <= columns
    shown = verdicts(ended.out)
    assert len(shown) == len(stored), "one row for each comparison"
    order = list(WORDS.values())
    ranks = [list(EXIT_CODES).index(list(WORDS)[order.index(word)]) for word in shown]
    assert ranks == sorted(ranks)
    assert {"ERROR", "DRIFT", "UNSTABLE", "SKIPPED", "identical", "within limits"} <= set(shown)
    assert "SIMULATED DEVICE" in " ".join(ended.out.split())


def test_a_narrow_terminal_is_used_for_other_lines_than_a_wide_one(stored: list[Path], tmp_path: Path) -> None:
    assert widest(on_terminal(tmp_path, "gate", *stored, columns=80).out) > 60
    assert widest(on_terminal(tmp_path, "gate", *stored, columns=80, COLUMNS="40").out) <= 40


@pytest.mark.parametrize(
    ("encoding", "says"),
    [
        ("utf-8", BROKEN_HAND),
        ("gbk", r"设备内存不足: 2 GiB ∞ \U0001f642"),
        ("ascii", r"\u8bbe\u5907\u5185\u5b58\u4e0d\u8db3: 2 GiB inf \U0001f642"),
    ],
)
def test_only_the_signs_that_an_encoding_lacks_are_replaced(
    encoding: str, says: str, stored: list[Path], tmp_path: Path
) -> None:
    ended = on_terminal(tmp_path, "gate", stored[-1], columns=200, encoding=encoding)
    assert says in ended.out
    assert ("─" in ended.out) is (encoding == "utf-8"), "rules that every font has where it is not known"


def test_colours_are_for_terminals_and_can_be_refused(
    stored: list[Path], tmp_path: Path, run_harness: RunHarness
) -> None:
    assert COLOUR.search(on_terminal(tmp_path, "gate", *stored, columns=80).out)
    assert "\x1b" not in on_terminal(tmp_path, "gate", *stored, columns=80, NO_COLOR="1").out
    assert "\x1b" not in run_harness("gate", *stored).out


def test_a_log_has_aligned_text_without_rules(stored: list[Path], run_harness: RunHarness) -> None:
    ended = run_harness("gate", *stored, PYTHONIOENCODING="ascii:strict", COLUMNS="80")
    assert ended.code == 3, ended.err
    heading, *rest = ended.out.splitlines()
    rows = rest[: next(index for index, line in enumerate(rest) if line.startswith("deepgen-t2i/"))]
    assert max(map(len, rows)) <= 80
    column = heading.index("arms")
    assert all(line[:column].strip() in {*WORDS.values(), ""} for line in rows)
    assert not set("|+─") & set("".join([heading, *rows]))
    assert len(verdicts(ended.out)) == len(stored)


def test_the_worst_value_is_named_with_its_limit_and_place(tmp_path: Path, run_harness: RunHarness) -> None:
    (*_, drifted) = BUILDERS["drift"](tmp_path).comparisons
    path = store.save(drifted, tmp_path / "comparison.json")
    ended = run_harness("gate", path, COLUMNS="200")
    assert ended.code == 1, ended.err
    row = ended.out.splitlines()[1]
    assert re.split(" {2,}", row) == [
        "DRIFT",
        "candidate against cpu-fp32",
        "0.9312; allowed: ssim_tile_min at least 0.98; 1 of 4 verdicts",
        "pizza, seed 42, tile x=32..63 y=32..63",
    ]


def test_of_several_pairs_the_worst_is_named(tmp_path: Path, run_harness: RunHarness) -> None:
    (*_, found) = BUILDERS["drift"](tmp_path).comparisons
    pairs = [with_value(pair, "ssim_tile_min", value) for pair, value in zip(found.pairs, (0.9, 0.5), strict=True)]
    path = store.save(found.model_copy(update={"pairs": pairs}), tmp_path / "comparison.json")
    row = run_harness("gate", path, COLUMNS="200").out.splitlines()[1]
    assert "0.5; allowed: ssim_tile_min at least 0.98; 2 of 4 verdicts  glove, seed 42" in row


def with_value(pair: Any, metric: str, value: float) -> Any:
    measured = [each.model_copy(update={"value": value} if each.metric == metric else {}) for each in pair.measurements]
    return pair.model_copy(update={"measurements": measured, "identical": False})


def test_json_is_the_same_on_a_terminal(stored: list[Path], tmp_path: Path, run_harness: RunHarness) -> None:
    ended = on_terminal(tmp_path, "gate", *stored, "--json", columns=40, encoding="ascii")
    assert ended.code == 3
    assert json.loads(ended.out) == json.loads(run_harness("gate", *stored, "--json").out)


@pytest.mark.slow
def test_a_check_ends_with_the_page_to_open(tmp_path: Path, write_scenario: WriteScenario) -> None:
    path = write_scenario(model={"adapter": "planted-drift"}, repeats={"in_process": 3, "processes": 1})
    ended = on_terminal(tmp_path, "check", path, columns=40, encoding="gbk")
    assert ended.code == 6, ended.out
    page = job_folder(tmp_path / "runs").relative_to(tmp_path) / "report" / "index.html"
    *summary, last = without_colours(ended.out)
    assert last.startswith("FAIL: 1 of 1 image of candidate not repeatable (circle, seed 42: 2 outcomes in 3 runs).")
    assert last.endswith(f" Open {page}"), "in one piece"
    begin = next(index for index, line in enumerate(summary) if line.endswith("UNSTABLE"))
    assert max(map(cell_len, summary[begin + 1 :])) <= 40
