"""Two picture files, or two folders of them, compared with each other: no run made them, no record tells how.

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
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from harness import plugins
from harness.compare.appearance import appearance
from harness.compare.comparator import measure
from harness.compare.gates import allowed, amount, keeps
from harness.compare.hints import explained
from harness.compare.hints.failed import ONLY_NOISE
from harness.compare.hints.pictures import Pictures
from harness.compare.names import text_of
from harness.errors import ImageError, RunError
from harness.fitness import shows_nothing
from harness.images import read_picture_as
from harness.language import recordable, recorded
from harness.message import joined, mapped, of_error
from harness.records import (
    FolderDiff,
    Limit,
    Measurement,
    PairStatistics,
    PicturePair,
    ReadAs,
    Status,
    Verdict,
    WorstPair,
    worst,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from harness.compare.names import Names
    from harness.images import Alpha

_AHEAD = 4
"""Pairs asked for before the first is done, for each child: enough that none waits, few enough to hold."""

_WHOLE = "identical"
"""Says yes or no, of which no mean is made."""

_BLANK = {
    "actual": recordable("the actual image shows nothing: {why}"),
    "expected": recordable("the expected image shows nothing: {why}"),
}

_ALONE = {
    "missing": recordable("there is no such picture on the actual side"),
    "unexpected": recordable("there is no such picture on the expected side"),
}

_READY = b"ready\n"

# One thread in each child: the pairs already fill the cores.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}


def compare_files(
    name: str, actual: Path, expected: Path, limits: Sequence[Limit], alpha: Alpha | None = None
) -> PicturePair:
    """All metrics of two picture files, judged by the limits there are; ``alpha`` as for ``read_picture``.

    Raises:
        ImageError: one cannot be read, or their sizes differ; sizes are never adapted.
    """
    actual_pixels, actual_as = read_picture_as(actual, alpha)
    same = _same_file(actual, expected)
    expected_pixels, expected_as = (actual_pixels, actual_as) if same else read_picture_as(expected, alpha)
    height, width, _ = actual_pixels.shape
    if actual_pixels.shape != expected_pixels.shape:
        raise ImageError(
            f"the pictures differ in size: {actual} is {width} x {height} pixels, {expected} is "
            f"{expected_pixels.shape[1]} x {expected_pixels.shape[0]}. Make both with the same width and height; "
            "nothing is resized."
        )
    return compare_arrays(name, actual_pixels, expected_pixels, limits, (actual_as, expected_as))


def compare_arrays(
    name: str,
    actual: NDArray[np.uint8],
    expected: NDArray[np.uint8],
    limits: Sequence[Limit],
    read_as: tuple[ReadAs, ReadAs] = (ReadAs.RGB, ReadAs.RGB),
) -> PicturePair:
    """The same for two pictures ``uint8[H, W, 3]`` of one size; ``read_as`` is how their pixels became that.

    Raises:
        ImageError: their sizes differ.
    """
    height, width, _ = actual.shape
    measurements = measure(actual, expected, subject="image", metrics=plugins.names("metrics"))
    identical = are_identical(measurements)
    verdicts = [_verdict(limit, measurements, identical=identical) for limit in limits]
    unjudged = Status.IDENTICAL if identical else Status.SKIPPED
    looked_at = Pictures(actual, expected)
    sides = {"actual": actual, "expected": expected}
    blank = [recorded(_BLANK[side], why=why) for side, image in sides.items() if (why := shows_nothing(image))]
    hints = [] if identical else explained(looked_at)
    if any(hint.name == ONLY_NOISE for hint in hints):
        blank.append(recorded("the actual image shows nothing but noise, and the expected one does not"))
    return PicturePair(
        name=name,
        width=width,
        height=height,
        differing_pixels=0 if identical else int(np.count_nonzero((actual != expected).any(axis=2))),
        actual_read_as=read_as[0],
        expected_read_as=read_as[1],
        measurements=measurements,
        hints=hints,
        appearance=appearance(measurements, None if identical else looked_at.structure),
        verdicts=verdicts,
        blank=blank,
        # Two images that show nothing keep every limit and prove nothing.
        outcome=Status.ERROR if blank and limits else worst([verdict.status for verdict in verdicts] or [unjudged]),
    )


def _same_file(actual: Path, expected: Path) -> bool:
    """Whether two files hold the same bytes, so that one decoding does for both: half the work of equal pictures."""
    try:
        return actual.stat().st_size == expected.stat().st_size and actual.read_bytes() == expected.read_bytes()
    except OSError:
        return False  # reading it as a picture says in words what is wrong


def are_identical(measurements: Sequence[Measurement]) -> bool:
    """Whether two pictures are equal byte for byte, by what was measured."""
    return any(measurement.metric == "identical" and measurement.value == 1 for measurement in measurements)


def compare_folders(
    names: Names, limits: Sequence[Limit], jobs: int, alpha: Alpha | None = None
) -> Generator[PicturePair, None, None]:
    """A record for each name of two folders in their order, however many ``jobs``.

    A pair that cannot be measured is a record that says why, and the rest goes on. When the generator is closed, by
    whatever way, the children are gone.

    Raises:
        RunError: no child process can be started.
    """
    order = {
        "actual": str(names.actual),
        "expected": str(names.expected),
        "limits": [limit.model_dump(mode="json") for limit in limits],
        "alpha": alpha,
    }
    waiting: deque[PicturePair | Future[PicturePair]] = deque()
    with _Children(jobs, json.dumps(order).encode() + b"\n") as children:
        for actual, expected in names.rows:
            waiting.append(children.ask(actual, expected) if actual and expected else _alone(actual, expected))
            if len(waiting) > jobs * _AHEAD:
                yield _answer(waiting.popleft())
        while waiting:
            yield _answer(waiting.popleft())


class Tally:
    """What is kept of the pairs while they go by: names, counts and the worst, never the pairs."""

    def __init__(self) -> None:
        self._statuses: dict[Status, None] = {}
        self._pairs = self._identical = self._differing = 0
        self._worst: dict[str, tuple[str, Measurement]] = {}
        self._values: dict[str, list[float]] = {}
        self._without_value: dict[str, int] = {}
        self._broken: list[str] = []
        self._problems: dict[str, str] = {}
        self._blank: dict[str, str] = {}
        self._alone: dict[str, list[str]] = {"missing": [], "unexpected": []}
        self._read_as: Counter[ReadAs] = Counter()

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
        if pair.blank:
            self._blank[pair.name] = joined(pair.blank)
        self._read_as.update([pair.actual_read_as, pair.expected_read_as])
        if any(verdict.status not in {Status.IDENTICAL, Status.WITHIN_LIMITS} for verdict in pair.verdicts):
            self._broken.append(pair.name)
        if are_identical(pair.measurements):
            self._identical += 1
            return
        self._differing += 1
        for measurement in pair.measurements:
            if measurement.value is None:
                self._without_value[measurement.metric] = self._without_value.get(measurement.metric, 0) + 1
                continue
            if (
                measurement.metric not in self._worst
                or measurement.badness > self._worst[measurement.metric][1].badness
            ):
                self._worst[measurement.metric] = (pair.name, measurement)
            if math.isfinite(measurement.value):
                self._values.setdefault(measurement.metric, []).append(measurement.value)

    def summary(self, names: Names, limits: Sequence[Limit], alpha: Alpha | None = None) -> FolderDiff:
        """The whole in one record."""
        outcome = worst(list(self._statuses))
        if outcome is Status.IDENTICAL and Status.SKIPPED in self._statuses:
            outcome = Status.SKIPPED  # some differ, and equal ones say nothing about them
        return FolderDiff(
            actual=text_of(str(names.actual)),
            expected=text_of(str(names.expected)),
            limits=list(limits),
            pairs=self._pairs,
            identical=self._identical,
            differing=self._differing,
            worst=[
                WorstPair(name=name, measurement=measurement) for _, (name, measurement) in sorted(self._worst.items())
            ],
            statistics=[
                _statistics(measurement, self._values[name])
                for name, (_, measurement) in sorted(self._worst.items())
                if name in self._values and name != _WHOLE
            ],
            without_value=self._without_value,
            broken=self._broken,
            blank=self._blank,
            problems=self._problems,
            missing=self._alone["missing"],
            unexpected=self._alone["unexpected"],
            paired=names.paired,
            pair=list(names.asked.pair),
            nearly=names.nearly,
            ignored=names.ignored,
            ignore=list(names.asked.ignore),
            not_images=names.others,
            read_as={read_as: count for read_as, count in sorted(self._read_as.items()) if read_as is not ReadAs.RGB},
            alpha=alpha,
            outcome=outcome,
            message=self._message(names),
        )

    def _message(self, names: Names) -> str:
        if self._statuses:
            sentences = [f"{self._identical} of {self._pairs} pairs are equal byte for byte"]
        else:
            sentences = ["there was nothing to compare: neither folder holds a picture"]
        if Status.SKIPPED in self._statuses:
            sentences.append(f"{self._differing} differ, and no limit judges it")
        sentences += [
            f"{len(paths)} {what}"
            for what, paths in (
                ("with a broken limit", self._broken),
                ("not measured", self._problems),
                ("with a side that shows nothing", self._blank),
                *self._alone.items(),
                ("not images", names.others),
            )
            if paths
        ]
        if names.asked.ignore:
            sentences.append(f"{len(names.ignored)} ignored by name")
        return "; ".join(sentences)


def _statistics(measurement: Measurement, values: list[float]) -> PairStatistics:
    ordered = sorted(values)

    def rank(share: float) -> float:
        return ordered[max(math.ceil(share * len(ordered)), 1) - 1]

    return PairStatistics(
        metric=measurement.metric,
        unit=measurement.unit,
        better=measurement.better,
        pairs=len(ordered),
        mean=math.fsum(ordered) / len(ordered),
        median=rank(0.5),
        percentile_5=rank(0.05),
        percentile_95=rank(0.95),
        lowest=ordered[0],
        highest=ordered[-1],
    )


def _verdict(limit: Limit, measurements: Sequence[Measurement], *, identical: bool) -> Verdict:
    measurement = next((candidate for candidate in measurements if candidate.metric == limit.metric), None)
    if measurement is None or measurement.value is None:
        why = measurement.problem if measurement else recorded("it is not defined on 8-bit pictures")
        message = recorded(
            "{metric:s} has no value: {why}; allowed: {limit}.", metric=limit.metric, why=why, limit=limit.rule
        )
        return Verdict(limit=limit, measured=None, status=Status.ERROR, message=message)
    value, rule = amount(measurement), allowed(limit, measurement.unit)
    message = (
        recorded("{value} at {place}; allowed: {limit}.", value=value, place=measurement.where, limit=rule)
        if measurement.where
        else recorded("{value}; allowed: {limit}.", value=value, limit=rule)
    )
    kept = Status.IDENTICAL if identical else Status.WITHIN_LIMITS
    return Verdict(
        limit=limit,
        measured=measurement.value,
        status=kept if keeps(measurement, limit) else Status.DRIFT,
        message=message,
    )


def _alone(actual: str | None, expected: str | None) -> PicturePair:
    presence: Literal["missing", "unexpected"] = "missing" if actual is None else "unexpected"
    return PicturePair(
        name=text_of(actual or expected or ""),
        presence=presence,
        problem=recorded(_ALONE[presence]),
        outcome=Status.ERROR,
    )


def _unmeasured(name: str, why: str) -> PicturePair:
    return PicturePair(name=name, problem=why, outcome=Status.ERROR)


def _answer(waited_for: PicturePair | Future[PicturePair]) -> PicturePair:
    return waited_for if isinstance(waited_for, PicturePair) else waited_for.result()


# --- children --------------------------------------------------------------------------------------------------------


class _Children:
    """Child processes, each with a thread that talks to it; the next pair goes to whichever is free."""

    def __init__(self, count: int, order: bytes) -> None:
        self._children = [_Child(order) for _ in range(count)]
        self._free: SimpleQueue[_Child] = SimpleQueue()
        for child in self._children:
            self._free.put(child)
        self._threads = ThreadPoolExecutor(count)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        # Twice: a thread may have been about to start a child that had crashed when the first round passed.
        for wait in (False, True):
            self._threads.shutdown(wait=wait, cancel_futures=True)
            for child in self._children:
                child.end()

    def ask(self, actual: str, expected: str) -> Future[PicturePair]:
        """Have the pair of two paths below the folders measured by whoever is free."""
        return self._threads.submit(self._measured, actual, expected)

    def _measured(self, actual: str, expected: str) -> PicturePair:
        child = self._free.get()
        try:
            pair = child.measured(actual, expected)
        finally:
            self._free.put(child)
        return pair if actual == expected else pair.model_copy(update={"expected_name": text_of(expected)})


class _Child:
    """A process that measures pairs, started when a pair is there for it, and again after a crash.

    It has a session of its own, so that Ctrl-C reaches only the parent, and it ends when the parent's end of its
    standard input closes, however that comes about.
    """

    def __init__(self, order: bytes) -> None:
        self._order = order
        self._process: subprocess.Popen[bytes] | None = None

    def measured(self, actual: str, expected: str) -> PicturePair:
        process = self._process or self._started()
        line = _exchange(process, json.dumps([actual, expected]).encode() + b"\n")
        if line.endswith(b"\n"):
            return PicturePair.model_validate_json(line)
        self.end()
        process.wait()
        code = process.returncode
        how = recorded("signal {number:d}", number=-code) if code < 0 else recorded("exit code {number:d}", number=code)
        why = recorded("the process that read it was ended by {how}; look at both files alone.", how=how)
        return _unmeasured(text_of(actual), why)

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
    """A child's life: the order in the first line, then two paths in each line and a record in answer."""
    order = json.loads(sys.stdin.buffer.readline())
    limits = [Limit.model_validate(limit) for limit in order["limits"]]
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not stand among the answers
    answers.write(_READY)
    answers.flush()
    for line in sys.stdin.buffer:
        actual, expected = json.loads(line)
        sides = Path(order["actual"], actual), Path(order["expected"], expected)
        pair = _measured_or_not(text_of(actual), *sides, limits, order["alpha"])
        answers.write(pair.model_dump_json().encode() + b"\n")
        answers.flush()


def _measured_or_not(
    name: str, actual: Path, expected: Path, limits: Sequence[Limit], alpha: Alpha | None
) -> PicturePair:
    try:
        return compare_files(name, actual, expected, limits, alpha)
    except ImageError as error:
        return _unmeasured(name, mapped(of_error(error), text_of))
    except Exception as error:  # noqa: BLE001 - a pair whose reading or measuring fails must not stop the others
        return _unmeasured(name, text_of(f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    _serve()
