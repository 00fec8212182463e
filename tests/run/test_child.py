"""A child is listened to whatever it or its libraries do, and nothing of it is left when it is over.

The children are real workers that answer a probe; what goes wrong in them is a planted backend, which Python finds
through an entry point.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from harness.run.child import End, run_child
from harness.run.events import Availabilities, Done, Event
from tests.command_line import growing_limits, patience_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
PROBE = """
import os, signal, subprocess, sys, time
from pathlib import Path
from harness.contracts import Availability

AUTO_RANK = 99
EVENTS = int(sys.argv[1])
PLACE = Path(__file__).parent


def spawn(code, **options):
    "A grandchild that writes its number into a file before it goes on."
    words = "import os, sys, time; open({!r}, 'w').write(str(os.getpid())); {}".format(str(PLACE / "grandchild"), code)
    grandchild = subprocess.Popen([sys.executable, "-c", words], **options)
    while not (PLACE / "grandchild").exists() or not (PLACE / "grandchild").read_text():
        time.sleep(0.01)
    return grandchild


def hang():
    "Leaves a sign that the worker came so far."
    (PLACE / "hangs").touch()
    time.sleep(600)


def probe():
    misbehave()
    return Availability(available=True, reason="planted", device_count=1)


def misbehave():
"""


class Child:
    """Runs workers whose probe misbehaves as told, and remembers what they said."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.log = place / "child.log"
        self.heard: list[Event] = []
        self.listen: Callable[[Event], None] = self.heard.append
        metadata = place / "planted_probe-1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: planted-probe\nVersion: 1\n", encoding="utf-8")
        (metadata / "entry_points.txt").write_text(
            "[harness.backends]\nplanted-probe = planted_probe\n", encoding="utf-8"
        )

    def run(self, *lines: str, time_limit_seconds: float | Literal["patience"] | None = "patience") -> End:
        body = "".join(f"    {line}\n" for line in lines or ("pass",))
        (self.place / "planted_probe.py").write_text(PROBE + body, encoding="utf-8")
        return run_child(
            ["--probe", "planted-probe"],
            environment={**os.environ, "PYTHONPATH": f"{self.place}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"},
            log=self.log,
            listen=self.listen,
            time_limit_seconds=patience_seconds() if time_limit_seconds == "patience" else time_limit_seconds,
        )

    def hang(self, *lines: str) -> End:
        """Run a worker that hangs, with the first of growing limits within which it comes to that."""
        for seconds in growing_limits(starts=3):
            self.log.unlink(missing_ok=True)
            self.heard.clear()
            end = self.run(*lines, time_limit_seconds=seconds)
            if (self.place / "hangs").exists():
                return end
        pytest.fail("however long the limit was, the worker did not come to its hang")

    @property
    def answered(self) -> bool:
        """Whether both events of a probe that went well were heard, and nothing else."""
        return [type(event) for event in self.heard] == [Availabilities, Done]

    @property
    def grandchild(self) -> int:
        return int((self.place / "grandchild").read_text(encoding="utf-8"))


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    made = Child(tmp_path)
    yield made
    if (tmp_path / "grandchild").exists() and alive(made.grandchild):
        os.kill(made.grandchild, signal.SIGKILL)


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in {"Z", "X"}


def gone(process: int) -> bool:
    """Whether a process is gone, or goes before patience ends."""
    end = time.monotonic() + patience_seconds()
    while alive(process) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(process)


# --- events ----------------------------------------------------------------------------------------------------------


def test_a_child_that_does_its_work_is_heard_and_ends_well(child: Child) -> None:
    end = child.run()
    assert child.answered
    assert (end.done, end.exit_code, end.timed_out) == (True, 0, False)
    answer = child.heard[0]
    assert isinstance(answer, Availabilities)
    assert answer.reasons == {"planted-probe": "planted"}


def test_what_a_library_prints_goes_to_the_log_and_breaks_no_event(child: Child) -> None:
    end = child.run(
        'print(\'{"event": "done"}\')',
        "print('a half line', end='', flush=True)",
        "sys.stderr.write('half an error')",
        "os.write(1, b'\\xff\\xfe\\x00 not text\\n')",
        "os.system('echo from a shell; echo and its errors >&2')",
    )
    assert child.answered
    assert end.done
    log = child.log.read_bytes()
    for text in (b'{"event": "done"}', b"a half line", b"half an error", b"\xff\xfe\x00 not text", b"and its errors"):
        assert text in log


GARBAGE = [
    b"not JSON",
    b"\xff\xfe\x00",
    b"{}",
    b"[]",
    b'"done"',
    b"",
    b'{"event": "unknown"}',
    b'{"event": "done", "more": 1}',
    b'{"event": "stepped"}',
    b'{"event": "stepped", "step": "\\ud800"}',
    b"[" * 5000,
    b"x" * 200_000,
]


def test_garbage_in_the_event_pipe_is_passed_over(child: Child) -> None:
    (child.place / "garbage").write_bytes(b"\n".join([*GARBAGE, b'{"event": "stepped", "step": 7}', *GARBAGE, b""]))
    end = child.run("os.write(EVENTS, (PLACE / 'garbage').read_bytes())")
    assert [event.event for event in child.heard] == ["stepped", "availabilities", "done"]
    assert end.done


def test_an_event_may_come_in_pieces(child: Child) -> None:
    end = child.run(
        "for piece in (b'{\"event\": ', b'\"step', b'ped\", \"step\"', b': 7}', b'\\n'):",
        "    os.write(EVENTS, piece)",
        "    time.sleep(0.1)",
    )
    assert [event.event for event in child.heard] == ["stepped", "availabilities", "done"]
    assert end.done


def test_half_an_event_at_the_end_is_no_event(child: Child) -> None:
    end = child.run('os.write(EVENTS, b\'{"event": "done"}\')', "os._exit(0)")
    assert child.heard == []
    assert not end.done


def test_a_done_before_a_crash_is_told_with_the_exit_code(child: Child) -> None:
    end = child.run('os.write(EVENTS, b\'{"event": "done"}\\n\')', "os._exit(5)")
    assert (end.done, end.exit_code) == (True, 5)


def test_logs_are_added_to(child: Child) -> None:
    child.run("print('first')")
    child.run("print('second')")
    assert child.log.read_text(encoding="utf-8").split() == ["first", "second"]


# --- start and end ---------------------------------------------------------------------------------------------------


def test_a_probe_of_the_cpu_loads_neither_torch_nor_what_makes_pictures(child: Child) -> None:
    heavy = "{'torch', 'numpy', 'PIL', 'harness.run.worker.worker'}"
    child.run("from harness.backends import cpu", "cpu.probe()", f"print(sorted({heavy} & set(sys.modules)))")
    child.run("import harness.run.worker.worker", f"print(sorted({heavy} & set(sys.modules)))")
    assert child.log.read_text(encoding="utf-8").splitlines() == [
        "[]",
        "['PIL', 'harness.run.worker.worker', 'numpy']",
    ]


LATE = (
    "import atexit",
    "class Late:",
    "    def __del__(self): os.write(1, b'collected ')",
    "late = globals()['kept'] = Late()",
    "late.itself = late",
    "atexit.register(os.write, 1, b'at exit ')",
)


def test_a_child_looks_for_no_garbage_when_it_ends_and_does_what_was_registered(child: Child) -> None:
    child.run(*LATE)
    assert child.log.read_text(encoding="utf-8").split() == ["at", "exit"]


def test_garbage_that_is_looked_for_when_a_child_ends_would_be_seen(child: Child) -> None:
    child.run(*LATE, "import gc", "atexit.unregister(gc.freeze)")
    assert child.log.read_text(encoding="utf-8").split() == ["at", "exit", "collected"]


# --- grandchildren ---------------------------------------------------------------------------------------------------


def test_a_grandchild_that_keeps_the_pipe_open_does_not_hold_up_the_parent_and_is_ended(child: Child) -> None:
    late = child.place / "late"
    natural_end = f"time.sleep(600); open({str(late)!r}, 'w')"
    end = child.run(f"spawn({natural_end!r}, pass_fds=[EVENTS])", "time.sleep(0.5)")
    assert child.answered
    assert end.done
    assert gone(child.grandchild)
    assert not late.exists(), "the parent waited until the grandchild let go of the pipe"


def test_a_grandchild_that_fills_the_pipe_for_ever_does_not_hold_up_the_parent(child: Child) -> None:
    (child.place / "babble.py").write_text(
        "import os, sys\nwhile True: os.write(int(sys.argv[1]), b'garbage\\n' * 999)",
        encoding="utf-8",
    )
    end = child.run(
        "words = [sys.executable, str(PLACE / 'babble.py'), str(EVENTS)]",
        "number = subprocess.Popen(words, pass_fds=[EVENTS]).pid",
        "(PLACE / 'grandchild').write_text(str(number))",
        "time.sleep(0.5)",
    )
    assert child.answered
    assert end.done
    assert not end.timed_out
    assert gone(child.grandchild)


def test_a_grandchild_that_does_not_want_to_end_is_ended(child: Child) -> None:
    child.run("spawn('import signal; signal.signal(15, signal.SIG_IGN); time.sleep(600)')", "time.sleep(0.5)")
    assert child.answered
    assert gone(child.grandchild)


# --- time limit ------------------------------------------------------------------------------------------------------


def test_at_the_time_limit_the_child_and_its_grandchildren_are_ended(child: Child) -> None:
    end = child.hang("spawn('time.sleep(600)')", "print('hangs', flush=True)", "hang()")
    assert (end.done, end.timed_out) == (False, True)
    assert end.words == "ended at its time limit"
    assert child.log.read_text(encoding="utf-8") == "hangs\n"
    assert gone(child.grandchild)


def test_a_child_that_does_not_want_to_end_is_killed(child: Child) -> None:
    end = child.hang("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "hang()")
    assert end.timed_out
    assert end.exit_code == -signal.SIGKILL


def test_a_child_that_talks_for_ever_is_ended_at_its_time_limit(child: Child) -> None:
    line = '{"event": "stepped", "step": 1}\\n'
    end = child.hang("(PLACE / 'hangs').touch()", f"while True: os.write(EVENTS, b'{line}'), time.sleep(0.01)")
    assert end.timed_out
    assert child.heard


def test_the_time_limit_holds_for_a_child_that_closes_its_pipe_and_goes_on(child: Child) -> None:
    end = child.hang("os.close(EVENTS)", "hang()")
    assert (end.done, end.timed_out) == (False, True)


def test_a_child_that_hangs_after_its_work_is_ended_without_a_time_limit(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.run.child.EXIT_SECONDS", 1.0)
    end = child.run("import atexit", "atexit.register(time.sleep, 600)", time_limit_seconds=None)
    assert child.answered
    assert (end.done, end.exit_code, end.timed_out) == (True, -signal.SIGTERM, False)
    assert (end.error, end.words) == ("killed by signal 15", "killed by signal 15 (SIGTERM) after its work was done")


# --- leaving ---------------------------------------------------------------------------------------------------------


def test_when_the_listener_fails_the_child_and_its_grandchildren_are_ended(child: Child) -> None:
    def planted(_: Event) -> None:
        raise KeyboardInterrupt

    child.listen = planted
    with pytest.raises(KeyboardInterrupt):
        child.run("(PLACE / 'child').write_text(str(os.getpid()))", "spawn('time.sleep(600)')", "time.sleep(0.5)")
    assert gone(child.grandchild)
    assert gone(int((child.place / "child").read_text(encoding="utf-8")))


def test_no_descriptor_is_left_open(child: Child) -> None:
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough
    child.run()
    child.run("os._exit(3)")
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - names are enough


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (signal.SIGKILL, "SIGKILL"),
        (signal.SIGSEGV, "SIGSEGV"),
        (signal.SIGRTMIN + 1, "SIGRTMIN+1"),
    ],
)
def test_a_child_that_a_signal_killed_says_which(number: int, name: str, child: Child) -> None:
    end = child.run(
        "import resource", "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))", f"os.kill(os.getpid(), {number:d})"
    )
    assert (end.done, end.exit_code) == (False, -number)
    assert end.words == f"killed by signal {int(number)} ({name}) before its work was done"


@pytest.mark.parametrize("code", [0, 3])
def test_a_child_that_ends_early_says_with_which_exit_code(code: int, child: Child) -> None:
    end = child.run(f"os._exit({code})")
    assert (end.done, end.exit_code) == (False, code)
    assert end.words == f"ended with exit code {code} before its work was done"


def test_an_error_of_a_part_is_in_the_log(child: Child) -> None:
    end = child.run("raise ValueError('planted: a probe that breaks its contract')")
    assert (end.done, end.exit_code) == (False, 1)
    assert "ValueError: planted: a probe that breaks its contract" in child.log.read_text(encoding="utf-8")
