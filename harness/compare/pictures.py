"""Two picture files, or two folders of them, held against each other: no run made them, no record tells how.

A folder is worked on in child processes, one picture pair in each at a time. Threads would not do: what makes the
decoder strict is a setting of the whole process. A child also keeps a decoder that crashes on a damaged file from
taking the other pairs with it.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Self

from harness import plugins
from harness.compare.appearance import appearance
from harness.compare.comparator import measure
from harness.compare.gates import keeps
from harness.compare.hints import explained
from harness.compare.hints.pictures import Pictures
from harness.errors import ImageError, RunError, UsageError
from harness.images import read_picture
from harness.records import FolderDiff, Limit, Measurement, PicturePair, Status, Verdict, WorstPair, worst

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from concurrent.futures import Future

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
"""Endings of picture files, in lower case; other files of a folder are left alone."""

_AHEAD = 4
"""Pairs asked for before the first is done, for each child: enough that none waits, few enough to hold."""

_READY = b"ready\n"

# One thread in each child: the pairs already fill the cores.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}


def compare_files(name: str, actual: Path, expected: Path, limits: Sequence[Limit]) -> PicturePair:
    """All metrics of two picture files, judged by the limits there are.

    Raises:
        ImageError: one cannot be read, or their sizes differ; sizes are never adapted.
    """
    mine = read_picture(actual)
    theirs = mine if _same_file(actual, expected) else read_picture(expected)
    height, width, _ = mine.shape
    if mine.shape != theirs.shape:
        raise ImageError(
            f"the pictures differ in size: {actual} is {width} x {height} pixels, {expected} is "
            f"{theirs.shape[1]} x {theirs.shape[0]}. Make both with the same width and height; nothing is resized."
        )
    measurements = measure(mine, theirs, subject="image", metrics=plugins.names("metrics"))
    identical = are_identical(measurements)
    verdicts = [_verdict(limit, measurements, identical=identical) for limit in limits]
    unjudged = Status.IDENTICAL if identical else Status.SKIPPED
    looked_at = Pictures(mine, theirs)
    return PicturePair(
        name=name,
        width=width,
        height=height,
        measurements=measurements,
        hints=[] if identical else explained(looked_at),
        appearance=appearance(measurements, None if identical else looked_at.structure),
        verdicts=verdicts,
        outcome=worst([each.status for each in verdicts] or [unjudged]),
    )


def _same_file(actual: Path, expected: Path) -> bool:
    """Whether two files hold the same bytes, so that one decoding does for both: half the work of equal pictures."""
    try:
        return actual.stat().st_size == expected.stat().st_size and actual.read_bytes() == expected.read_bytes()
    except OSError:
        return False  # reading it as a picture says in words what is wrong


def are_identical(measurements: Sequence[Measurement]) -> bool:
    """Whether two pictures are equal byte for byte, by what was measured."""
    return any(each.metric == "identical" and each.value == 1 for each in measurements)


def compare_folders(
    actual: Path, expected: Path, limits: Sequence[Limit], jobs: int
) -> tuple[int, Generator[PicturePair, None, None]]:
    """How many names there are below the two folders, and a record for each in their order, however many ``jobs``.

    A pair that cannot be measured is a record that says why, and the rest goes on. When the generator is closed, by
    whatever way, the children are gone.

    Raises:
        UsageError: a link below a folder leads back above itself.
        OSError: a folder cannot be read.
        RunError: no child process can be started; raised by the generator.
    """
    found, wanted = picture_names(actual), picture_names(expected)
    names = {path: (path in found, path in wanted) for path in sorted(found | wanted, key=os.fsencode)}
    return len(names), _in_order(names, _Children(jobs, actual, expected, limits), jobs * _AHEAD)


def _in_order(
    names: Mapping[str, tuple[bool, bool]], children: _Children, ahead: int
) -> Generator[PicturePair, None, None]:
    waiting: deque[PicturePair | Future[PicturePair]] = deque()
    with children:
        for path, sides in names.items():
            waiting.append(children.ask(path) if all(sides) else _alone(path, missing=sides[1]))
            if len(waiting) > ahead:
                yield _answer(waiting.popleft())
        while waiting:
            yield _answer(waiting.popleft())


def picture_names(folder: Path) -> set[str]:
    """Relative paths of all picture files below a folder; hidden files and folders are left out, links are followed.

    Raises:
        UsageError: a link leads back to a folder above it, so that there would be no end.
        OSError: a folder cannot be read.
    """
    found = set()
    for base, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        folders[:] = [each for each in folders if not each.startswith(".")]
        above = Path(base).resolve()
        for each in folders:
            if Path(base, each).is_symlink() and above.is_relative_to(Path(base, each).resolve()):
                raise UsageError(f"{Path(base, each)} is a link to a folder above it; remove it to compare {folder}.")
        for each in files:
            if Path(each).suffix.lower() in SUFFIXES and not each.startswith("."):
                found.add(os.path.relpath(Path(base, each), folder))
    return found


class Tally:
    """What is kept of the pairs while they go by: names, counts and the worst, never the pairs."""

    def __init__(self) -> None:
        self._statuses: dict[Status, None] = {}
        self._pairs = self._identical = self._differing = 0
        self._worst: dict[str, tuple[str, Measurement]] = {}
        self._without_value: dict[str, int] = {}
        self._broken: list[str] = []
        self._problems: dict[str, str] = {}
        self._alone: dict[str, list[str]] = {"missing": [], "unexpected": []}

    def add(self, pair: PicturePair) -> None:
        """Count a pair in."""
        self._statuses[pair.outcome] = None
        if pair.presence != "both":
            self._alone[pair.presence].append(pair.name)
            return
        self._pairs += 1
        if pair.problem:
            self._problems[pair.name] = pair.problem
            return
        if any(each.status not in {Status.IDENTICAL, Status.WITHIN_LIMITS} for each in pair.verdicts):
            self._broken.append(pair.name)
        if are_identical(pair.measurements):
            self._identical += 1
            return
        self._differing += 1
        for each in pair.measurements:
            if each.value is None:
                self._without_value[each.metric] = self._without_value.get(each.metric, 0) + 1
            elif each.metric not in self._worst or _badness(each) > _badness(self._worst[each.metric][1]):
                self._worst[each.metric] = (pair.name, each)

    def summary(self, actual: Path, expected: Path, limits: Sequence[Limit]) -> FolderDiff:
        """The whole in one record."""
        outcome = worst(list(self._statuses))
        if outcome is Status.IDENTICAL and Status.SKIPPED in self._statuses:
            outcome = Status.SKIPPED  # some differ, and equal ones say nothing about them
        return FolderDiff(
            actual=_text(str(actual)),
            expected=_text(str(expected)),
            limits=list(limits),
            pairs=self._pairs,
            identical=self._identical,
            differing=self._differing,
            worst=[
                WorstPair(name=name, measurement=measurement) for _, (name, measurement) in sorted(self._worst.items())
            ],
            without_value=self._without_value,
            broken=self._broken,
            problems=self._problems,
            missing=self._alone["missing"],
            unexpected=self._alone["unexpected"],
            outcome=outcome,
            message=self._message(),
        )

    def _message(self) -> str:
        if not self._statuses:
            return f"there was nothing to compare: neither folder holds a picture ({', '.join(sorted(SUFFIXES))})"
        words = [f"{self._identical} of {self._pairs} pairs are equal byte for byte"]
        if Status.SKIPPED in self._statuses:
            words.append(f"{self._differing} differ, and no limit judges it")
        words += [
            f"{len(names)} {what}"
            for what, names in (
                ("with a broken limit", self._broken),
                ("not measured", self._problems),
                *self._alone.items(),
            )
            if names
        ]
        return "; ".join(words)


def _verdict(limit: Limit, measurements: Sequence[Measurement], *, identical: bool) -> Verdict:
    found = next((each for each in measurements if each.metric == limit.metric), None)
    unit = f" {found.unit}" if found and found.unit else ""
    if found is None or found.value is None:
        why = found.problem if found else "it is not defined on 8-bit pictures"
        return Verdict(
            limit=limit,
            measured=None,
            status=Status.ERROR,
            message=f"{limit.metric} has no value: {why}; allowed: {limit.rule}.",
        )
    kept = Status.IDENTICAL if identical else Status.WITHIN_LIMITS
    where = f" at {found.where}" if found.where else ""
    return Verdict(
        limit=limit,
        measured=found.value,
        status=kept if keeps(found, limit) else Status.DRIFT,
        message=f"{found.value:.6g}{unit}{where}; allowed: {limit.rule}{unit}.",
    )


def _badness(measurement: Measurement) -> float:
    value = math.nan if measurement.value is None else measurement.value
    if math.isnan(value):
        return math.inf
    return abs(value) if measurement.better == "lower" else -value


def _alone(path: str, *, missing: bool) -> PicturePair:
    return PicturePair(
        name=_text(path),
        presence="missing" if missing else "unexpected",
        problem=f"there is no such picture on the {'actual' if missing else 'expected'} side",
        outcome=Status.ERROR,
    )


def _unmeasured(name: str, why: str) -> PicturePair:
    return PicturePair(name=name, problem=why, outcome=Status.ERROR)


def _text(path: str) -> str:
    """A path as text that every file can hold; bytes that are not UTF-8 become escapes."""
    return os.fsencode(path.replace(os.sep, "/")).decode("utf-8", "backslashreplace")


def _raise(error: OSError) -> None:
    raise error


def _answer(waited_for: PicturePair | Future[PicturePair]) -> PicturePair:
    return waited_for if isinstance(waited_for, PicturePair) else waited_for.result()


# --- children --------------------------------------------------------------------------------------------------------


class _Children:
    """Child processes, each with a thread that talks to it; the next pair goes to whichever is free."""

    def __init__(self, count: int, actual: Path, expected: Path, limits: Sequence[Limit]) -> None:
        words = {
            "actual": str(actual),
            "expected": str(expected),
            "limits": [each.model_dump(mode="json") for each in limits],
        }
        self._children = [_Child(json.dumps(words).encode() + b"\n") for _ in range(count)]
        self._free: SimpleQueue[_Child] = SimpleQueue()
        for each in self._children:
            self._free.put(each)
        self._threads = ThreadPoolExecutor(count)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        # Twice: a thread may have been about to start a child that had crashed when the first round passed.
        for wait in (False, True):
            self._threads.shutdown(wait=wait, cancel_futures=True)
            for each in self._children:
                each.end()

    def ask(self, path: str) -> Future[PicturePair]:
        """Have a pair measured by whoever is free."""
        return self._threads.submit(self._measured, path)

    def _measured(self, path: str) -> PicturePair:
        child = self._free.get()
        try:
            return child.measured(path)
        finally:
            self._free.put(child)


class _Child:
    """A process that measures pairs, started when a pair is there for it, and again after a crash.

    It has a session of its own, so that Ctrl-C reaches only the parent, and it ends when the parent's end of its
    standard input closes, however that comes about.
    """

    def __init__(self, order: bytes) -> None:
        self._order = order
        self._process: subprocess.Popen[bytes] | None = None

    def measured(self, path: str) -> PicturePair:
        process = self._process or self._started()
        line = _exchange(process, json.dumps(path).encode() + b"\n")
        if line.endswith(b"\n"):
            return PicturePair.model_validate_json(line)
        self.end()
        process.wait()
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"exit code {process.returncode}"
        return _unmeasured(_text(path), f"the process that read it was ended by {how}; look at both files alone.")

    def end(self) -> None:
        process, self._process = self._process, None
        if process is None or process.stdin is None or process.stdout is None:
            return
        process.kill()
        process.wait()
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()

    def _started(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.compare.pictures"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, **_ONE_THREAD},
        )
        if _exchange(self._process, self._order) != _READY:
            raise RunError("a process that measures could not be started; what it wrote stands above.")
        return self._process


def _exchange(process: subprocess.Popen[bytes], line: bytes) -> bytes:
    """Send a line and wait for the answer; empty when the process is gone."""
    if process.stdin is None or process.stdout is None:
        return b""
    try:
        process.stdin.write(line)
        process.stdin.flush()
    except BrokenPipeError:
        return b""
    return process.stdout.readline()


def _serve() -> None:
    """A child's life: the order in the first line, then a path in each line and a record in answer."""
    order = json.loads(sys.stdin.buffer.readline())
    limits = [Limit.model_validate(each) for each in order["limits"]]
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not stand among the answers
    answers.write(_READY)
    answers.flush()
    for line in sys.stdin.buffer:
        path = json.loads(line)
        pair = _measured_or_not(path, Path(order["actual"], path), Path(order["expected"], path), limits)
        answers.write(pair.model_dump_json().encode() + b"\n")
        answers.flush()


def _measured_or_not(path: str, actual: Path, expected: Path, limits: Sequence[Limit]) -> PicturePair:
    try:
        return compare_files(_text(path), actual, expected, limits)
    except ImageError as error:
        return _unmeasured(_text(path), _text(str(error)))
    except Exception as error:  # noqa: BLE001 - a pair whose reading or measuring fails must not stop the others
        return _unmeasured(_text(path), _text(f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    _serve()
