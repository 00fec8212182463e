"""All planted changes, explained one after the other in forked processes: ``python -m tests.faults.exam``.

The embedded model is loaded and traced once for each type. Each change is planted into a copy of the process, so that
none sees another one; the measurements and the judgement are those of ``harness explain``, without its swaps.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.adapters import deepgen
from harness.backends import cpu
from harness.contracts import Request
from harness.errors import RunError
from harness.explain.places import LIMIT
from harness.explain.verdict import explained
from harness.records import CaseKey, NoiseMode, SwitchMode, read_record
from harness.records.explanation import Explanation, InputKind, Trouble
from harness.records.investigation import (
    FORCED_FILE,
    TRACE_FILE,
    TRIED_FILE,
    Forced,
    Investigation,
    InvestigationTask,
    Tried,
)
from harness.run.sources import locate
from harness.run.worker.draws import watched_draws
from harness.run.worker.investigator import Investigator, Result
from harness.run.worker.recorder import Recorder
from tests.faults.gates import Shown, flagged
from tests.planted.port_faults import catalogue
from tests.planted.port_faults.adapter import Port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.planted.port_faults.catalogue import Change

SEED = 42
KEY = CaseKey(case="heart-and-square", seed=SEED)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A pipeline that changes are planted into, and what it is asked."""

    load: Callable[[str, Any], Any]
    """The loaded pipeline by type and device."""
    prompt: str
    steps: int
    side: int
    guidance: float = 4.0
    negative_prompt: str | None = None


def _deepgen(dtype: str, device: Any) -> Any:
    source, _ = locate("builtin:tiny-deepgen")
    model: Any = SimpleNamespace(dtype=dtype, trust_remote_code=True, attention="sdpa", load=None)
    return deepgen.load(source, model, device)


EMBEDDED = Subject(load=_deepgen, prompt="a photo of a blue heart left of a green square", steps=20, side=128)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was said of one change in one type."""

    name: str
    dtype: str
    benign: bool
    trouble: str
    named: str
    """What was named first; empty where nothing was."""
    right: bool
    """Whether that is where the change is."""
    causes: tuple[str, ...]
    """Hypotheses and constants that were named."""
    caused: bool
    """Whether the right cause is among them and no wrong one of the same module."""
    ratio: float
    """Error over floor at the first place that was named, or the largest of all places."""
    gap_floors: float
    """Difference of the results over its floor."""
    check: bool
    """Whether the results differ by more than eight floors, or do not repeat."""
    gates: dict[str, bool | None]
    """Whether gates of other projects flag the picture; None where they need a third side."""
    pictures: float
    """Picture times of the candidate, and of trying causes."""
    reference_pictures: float
    """Picture times of the reference's trace and floors, which are made once for each type."""
    error: str = ""
    """Why there is no answer."""

    @property
    def found(self) -> bool:
        """Whether ``explain`` says that something is wrong."""
        return self.trouble not in {"equal", "rounding", "nothing", ""} or bool(self.causes)


class Exam:
    """The loaded model in one type, with the reference's trace."""

    def __init__(self, dtype: str, folder: Path, subject: Subject = EMBEDDED) -> None:
        self.dtype = dtype
        self._subject = subject
        self.folder = folder / dtype
        self._device: Any = cpu.open(0, SwitchMode.AS_SHIPPED)
        self.pipeline = subject.load(dtype, self._device)
        self._made_shown: list[Shown] = []
        self.folder.mkdir(parents=True)
        gc.freeze()
        self.trace = self.investigator(self.pipeline).trace(KEY, self.folder, ["first", "middle", "last"], 1 << 33)
        self.made(self.pipeline)
        self.healthy = self._made_shown.pop()
        self.exact: Shown | None = None
        if dtype != "float32":
            self.made(subject.load("float32", self._device))
            self.exact = self._made_shown.pop()
        self._made_shown.clear()

    def made(self, pipeline: Any, shift: int = 0) -> Result:
        request = Request(
            prompt=self._subject.prompt,
            negative_prompt=self._subject.negative_prompt,
            input_image=None,
            width=self._subject.side,
            height=self._subject.side,
            steps=self._subject.steps,
            guidance_scale=self._subject.guidance,
            seed=SEED + shift,
        )
        recorder = Recorder(self._device, lambda _step: None)
        self._device.seed(SEED + shift)
        begin = time.perf_counter()
        with watched_draws(NoiseMode.PORTABLE, SEED + shift, self._device) as draws:
            picture = pipeline.generate(request, recorder)
        latents = recorder.last_latents()
        result = Result(
            image=picture.image,
            float_image=picture.float_image,
            latents=latents[0] if latents else None,
            noise=[draw.digest for draw in draws.draws],
            schedule=recorder.table,
            seconds=time.perf_counter() - begin,
        )
        self._made_shown.append(
            Shown(
                image=result.image,
                floats=np.asarray(result.float_image, dtype=np.float64),
                steps=[latents.cpu().float().numpy().astype(np.float64) for latents in recorder._latents],
            )
        )
        return result

    def investigator(self, pipeline: Any) -> Investigator:
        return Investigator(
            pipeline,
            lambda shift: self.made(pipeline, shift),
            arm="port",
            dtype=self.dtype,
            backend="cpu",
            steps=self._subject.steps,
            asked={"guidance_scale": self._subject.guidance},
        )

    def _force(self, change: Change) -> Any:
        """Plant a change for good and measure it; for a forked process."""
        self._made_shown.clear()
        folder = self.folder / change.name
        folder.mkdir()
        port = Port(self.pipeline, change)
        forced = self.investigator(port).force(folder, self.folder / TRACE_FILE, ["first", "middle", "last"])
        free = self._made_shown[0]  # the last one is forced, and so is nearly the reference's
        return {
            "gates": flagged(free, self.healthy, self.exact),
            "pictures": forced.seconds / forced.picture_seconds,
        }

    def _try(self, change: Change, said: Explanation) -> Any:
        """Try known causes at the first culprit, in a process without the change."""
        (self.folder / f"{change.name}-tried").mkdir()
        first = said.culprits[0]
        order = Investigation(
            task=InvestigationTask.TRY,
            key=KEY,
            folder=str(self.folder / f"{change.name}-tried"),
            trace_file=str(self.folder / TRACE_FILE),
            values_folder=str(self.folder / change.name),
            places=[first.place],
            path=first.path,
        )
        tried = self.investigator(self.pipeline).attempt(Path(order.folder), order)
        return {"pictures": tried.seconds / self.trace.picture_seconds}

    def answer(self, change: Change) -> Answer:
        """Explain a change, measured in a process of its own, its causes tried in another one."""
        try:
            judged = in_fork(lambda: self._force(change))
            forced = read_record(Forced, self.folder / change.name / FORCED_FILE)
            said = explained("exam", KEY, self.trace, forced)
            if said.trouble is Trouble.PLACE:
                more = in_fork(lambda: self._try(change, said))
                tried = read_record(Tried, self.folder / f"{change.name}-tried" / TRIED_FILE)
                said = explained("exam", KEY, self.trace, forced, tried)
                judged["pictures"] += more["pictures"]
            return self._answer(change, said, forced, judged)
        except RunError as error:
            return Answer(**{**asdict(self._failed(change)), "error": str(error)})
        finally:
            for folder in (change.name, f"{change.name}-tried"):
                shutil.rmtree(self.folder / folder, ignore_errors=True)

    def _failed(self, change: Change) -> Answer:
        return Answer(
            name=change.name, dtype=self.dtype, benign=change.is_benign, trouble="", named="", right=False, causes=(),
            caused=False, ratio=0.0, gap_floors=0.0, check=False, gates={}, pictures=0.0,
            reference_pictures=0.0,
        )  # fmt: skip

    def _answer(self, change: Change, said: Explanation, forced: Forced, judged: Any) -> Answer:
        gap = max(_over(said.gap, said.floor), _over(forced.second_gap, said.floor))
        named = named_by(said)
        causes = named_causes(said)
        ratios = [
            error / floor
            for traced, errors in zip(self.trace.places, forced.errors, strict=True)
            for error, floor in zip(errors.forced or [], traced.floors, strict=False)
        ]
        return Answer(
            name=change.name,
            dtype=self.dtype,
            benign=change.is_benign,
            trouble=said.trouble.value,
            named=named,
            right=is_right(named, change),
            causes=causes,
            caused=is_caused(causes, change),
            ratio=said.culprits[0].ratio if said.culprits else max(ratios, default=0.0),
            gap_floors=gap,
            check=gap > LIMIT or forced.outcome != forced.untraced_outcomes[0],
            reference_pictures=self.trace.seconds / self.trace.picture_seconds,
            **judged,
        )


def named_by(said: Explanation) -> str:
    """What an explanation names first."""
    if said.trouble is Trouble.INPUTS:
        first = next(check for check in said.checks if check.different_count)
        words = {InputKind.NOISE: "pipeline._draw_noise", InputKind.SCHEDULE: "scheduler"}
        return words.get(first.kind, first.different[0].rpartition(".")[0])
    if said.trouble in {Trouble.STATE, Trouble.NOT_REPEATABLE}:
        return "state"
    if said.culprits:
        return said.culprits[0].path
    if said.causes:
        return said.causes[0].path
    if said.wrong_constants:
        return said.wrong_constants[0].constant.path
    return ""


def named_causes(said: Explanation) -> tuple[str, ...]:
    """Hypotheses and constants that an explanation names, each once."""
    constants = [wrong.constant.name for wrong in said.wrong_constants]
    if said.trouble is Trouble.INPUTS and not said.causes:
        return (next(check.kind.value for check in said.checks if check.different_count),)
    return tuple(dict.fromkeys([cause.hypothesis for cause in said.causes] + constants))


def is_right(named: str, change: Change) -> bool:
    """Whether a name is that of a place where the change is."""
    return any(fnmatch(named, place) for place in change.places)


def is_caused(causes: Sequence[str], change: Change) -> bool:
    """Whether only right causes are named, and one at least."""
    return bool(causes) and set(causes) <= set(change.causes)


def in_fork(work: Any) -> Any:
    """What a child process gives, as JSON.

    Raises:
        RunError: it failed, with its words.
    """
    inlet, outlet = os.pipe()
    sys.stdout.flush()
    if (child := os.fork()) == 0:
        try:
            os.close(inlet)
            made = {"made": work()}
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent has to hear of it
            made = {"error": f"{type(error).__name__}: {error}"[:400]}
            if os.environ.get("EXAM_TRACEBACK"):
                traceback.print_exc()
        with os.fdopen(outlet, "w") as stream:
            json.dump(made, stream)
        os._exit(0)
    os.close(outlet)
    with os.fdopen(inlet) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    told = json.loads(text)
    if "error" in told:
        raise RunError(told["error"])
    return told["made"]


def read_answer(text: str) -> Answer:
    """An answer from a line of JSON."""
    values = json.loads(text)
    return Answer(**{**values, "causes": tuple(values["causes"])})


def _over(gap: Any, floor: Any) -> float:
    if gap is None or floor is None:
        return 0.0
    kinds = ("float_image", "latents")
    ratios = [getattr(gap, kind) / getattr(floor, kind) for kind in kinds if getattr(floor, kind) is not None]
    return max(ratios, default=0.0)


def answers(dtypes: Iterable[str], names: Sequence[str], folder: Path) -> list[Answer]:
    """All answers; progress goes to standard error."""
    made = []
    for dtype in dtypes:
        exam = Exam(dtype, folder)
        for change in catalogue.everything().values():
            if dtype in change.types and (not names or change.name in names):
                answer = exam.answer(change)
                made.append(answer)
                sys.stderr.write(f"{line(answer)}\n")
    return made


def line(answer: Answer) -> str:
    """What was said of a change, for whoever watches."""
    verdict = "ok " if (answer.right or (answer.benign and not answer.found)) else "BAD"
    why = ("cause ok" if answer.caused else "") + f" {','.join(answer.causes)}"
    return (
        f"{verdict} {answer.dtype} {answer.name} [{answer.trouble}] {answer.named} x{answer.ratio:.3g} "
        f"gap x{answer.gap_floors:.3g} {why} {answer.error}"
    )


def main() -> None:
    """Run the exam and write all answers as JSON lines, and the page where one is asked for."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="changes; all where none is named")
    parser.add_argument("--dtype", action="append", choices=["float32", "bfloat16"])
    parser.add_argument("--out", type=Path, help="file for the answers, JSON lines")
    parser.add_argument("--page", type=Path, help="file for the table, Markdown")
    words = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("HF_MODULES_CACHE", f"{scratch}/modules")
        made = answers(words.dtype or ["float32", "bfloat16"], words.names, Path(scratch))
    if words.out:
        words.out.write_text("".join(json.dumps(asdict(answer)) + "\n" for answer in made), encoding="utf-8")
    if words.page:
        from tests.faults.page import page

        words.page.write_text(page(made), encoding="utf-8")


if __name__ == "__main__":
    main()
