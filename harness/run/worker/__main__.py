"""Entry of the child process: ``python -m harness.run.worker EVENTS_FD LIFELINE_FD (ASSIGNMENT | --probe NAME...)``."""

from __future__ import annotations

import fcntl
import os
import sys
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness import plugins
from harness.contracts import Picture, Request, is_outside
from harness.errors import RunError
from harness.files import write_text
from harness.images import array_digest, read_array, write_arrays, write_picture
from harness.language import recorded
from harness.message import joined, mapped, of_error
from harness.noise import noise_digest
from harness.records import (
    ArrayRef,
    CaseKey,
    Draw,
    Environment,
    Failure,
    LoadedModel,
    NoiseMode,
    Sample,
    from_json,
    read_record,
    to_json,
)
from harness.run.events import (
    Assignment,
    Availabilities,
    Done,
    Event,
    Failed,
    Generating,
    Loaded,
    Sampled,
    Share,
    Started,
    Stepped,
)
from harness.run.worker import lifeline
from harness.run.worker.draws import DrawLog, Given, watched_draws
from harness.run.worker.environment import describe
from harness.run.worker.fused_operators import FusedOperators
from harness.run.worker.outside import UnopenedDevice, require_digest, require_undisturbed
from harness.run.worker.perturbation import Directions, perturbed
from harness.run.worker.recorder import NotFinite, Recorder
from harness.text import printable, redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from harness.contracts import Availability, Device, Pipeline


def main(words: list[str]) -> int:
    """Answer a probe or work an assignment; everything worth knowing goes through the event pipe."""
    events_fd, lifeline_fd, *rest = words
    pipe = Pipe(int(events_fd))
    os.set_inheritable(int(lifeline_fd), False)  # noqa: FBT003 - the function takes nothing else
    lifeline.hold(int(lifeline_fd))
    if rest[0] == "--probe":
        pipe.tell(probe(rest[1:]))
    else:
        text = Path(rest[0]).read_text(encoding="utf-8")
        Worker(from_json(Assignment, text, place=rest[0]), pipe).work()
    pipe.tell(Done())
    return 0


def probe(backends: list[str]) -> Availabilities:
    """Ask backends in turn, until one is available."""
    answers: dict[str, Availability] = {}
    for name in backends:
        answers[name] = plugins.load("backends", name).probe()
        if answers[name].available:
            break
    return Availabilities(
        available={name: each.available for name, each in answers.items()},
        reasons={name: each.reason for name, each in answers.items()},
        counts={name: each.device_count for name, each in answers.items()},
        facts={name: dict(each.facts) for name, each in answers.items()},
        memory_bytes={name: list(each.memory_bytes) for name, each in answers.items()},
        simulated={name: each.simulated for name, each in answers.items()},
    )


class Pipe:
    """The event pipe's writing end; one JSON line per event."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the function takes nothing else
        self._stream = os.fdopen(descriptor, "w", encoding="utf-8")

    def tell(self, event: Event) -> None:
        """Write an event at once."""
        self._stream.write(event.model_dump_json() + "\n")
        self._stream.flush()


class Worker:
    """One process: opens the device, loads the model, makes its share of pictures."""

    def __init__(self, assignment: Assignment, pipe: Pipe) -> None:
        self._assignment = assignment
        self._plan = assignment.plan
        self._pipe = pipe
        self._folder = Path(assignment.run_folder)
        self._operators = FusedOperators(assignment.backend, self._plan.arm.npu_ops)
        self._outside = is_outside(plugins.load("adapters", self._plan.model.adapter))

    def work(self) -> None:
        """Do the assignment; an error becomes a failure, and what can still be made is made."""
        stage = "start"
        try:
            device = self.open()
            stage = "load"
            pipeline = self.load(device)
        except Exception as error:  # noqa: BLE001 - the worker's border: a crash becomes a record
            self._fail(stage, error)
            return
        for share in self._assignment.shares:
            self.make_share(share, pipeline, device)

    def open(self) -> Device:
        """Open the device and tell what the worker runs on."""
        assignment, threads = self._assignment, self._plan.arm.threads
        if self._outside:
            unopened = UnopenedDevice(assignment.backend, self._plan)
            self._pipe.tell(Started(environment=describe(assignment.backend, unopened, None, threads)))
            return unopened
        self._operators.arrange()
        device = plugins.load("backends", assignment.backend).open(assignment.device_index, self._plan.switches)
        environment = describe(assignment.backend, device, self._operators.answered, threads)
        self._pipe.tell(Started(environment=environment))
        require_switches(environment)
        return device

    def load(self, device: Device) -> Pipeline:
        """Load the model and tell what was found."""
        begin = time.perf_counter()
        adapter = plugins.load("adapters", self._plan.model.adapter)
        folder = Path(self._assignment.model_folder)
        if is_outside(adapter):
            require_digest(adapter.digests(folder, self._plan.model), self._assignment.model_digest)
        pipeline = adapter.load(folder, self._plan.model, device)
        device.synchronize()
        loaded = LoadedModel(
            notes=list(pipeline.notes),
            memory=dict(device.memory(pipeline.modules)),
            seconds=time.perf_counter() - begin,
            components=dict(pipeline.components),
            substitutions=list(pipeline.substitutions),
        )
        self._pipe.tell(Loaded(loaded=loaded))
        return pipeline

    def make_share(self, share: Share, pipeline: Pipeline, device: Device) -> None:
        """Make one case and seed again and again; every sample is stored before the next is begun."""
        folder = self._folder / "samples" / share.key.case / str(share.key.seed)
        folder.mkdir(parents=True, exist_ok=True)
        shelf = Shelf(self._folder, folder)
        for repeat in range(share.first, share.first + share.repeats):
            self._pipe.tell(Generating(key=share.key, repeat=repeat))
            try:
                sample = self._make(share.key, repeat, pipeline, device, shelf)
            except Exception as error:  # noqa: BLE001 - the worker's border: a crash becomes a record
                stage = "output" if isinstance(error, BadOutput) else "generate"
                self._fail(stage, error, key=share.key, repeat=repeat)
                continue
            self._pipe.tell(Sampled(key=share.key, repeat=repeat, seconds=sample.seconds["total"]))

    def _make(self, key: CaseKey, repeat: int, pipeline: Pipeline, device: Device, shelf: Shelf) -> Sample:
        request = self._request(key, repeat)
        recorder = Recorder(device, lambda step: self._pipe.tell(Stepped(step=step)))
        # In device mode too: the edit path draws from the global generators, which a seed argument does not reach.
        device.seed(key.seed)
        self._operators.take_calls()
        picture, draws = self._generate(request, pipeline, device, recorder)
        require_numbers(recorder.not_finite())
        require_output(picture, request)
        if draws is not None:
            require_noise(draws)
        with shelf.alone():
            sample = self._sample(key, repeat, picture, draws, recorder, shelf)
            shelf.write(sample)
        return sample

    def _sample(  # noqa: PLR0913, PLR0917 - the parts of a record
        self, key: CaseKey, repeat: int, picture: Picture, draws: DrawLog | None, recorder: Recorder, shelf: Shelf
    ) -> Sample:
        """The record of a picture whose arrays are kept on the shelf."""
        refs = shelf.keep(f"p{self._assignment.process}r{repeat}", picture.image, _floats(picture, recorder))
        stored = {ref.name: ref for ref in refs}
        return Sample(
            key=key,
            process=self._assignment.process,
            repeat=repeat,
            image=stored[None],
            float_image=stored.get("float_image"),
            latents=stored.get("latents"),
            noise_digest=draws.digest if draws else None,
            noise_path=shelf.keep_noise(draws) if draws else None,
            draws=draws.draws if draws else [],
            hidden_draws=draws.hidden if draws else [],
            without_effect=recorder.ignored,
            schedule=recorder.table,
            per_step=recorder.per_step(),
            traces=recorder.traces(),
            npu_calls=self._operators.take_calls(),
            seconds=recorder.seconds,
            memory={"device": whole} if (whole := recorder.memory.get("total")) else {},
            stage_memory=recorder.memory,
        )

    def _generate(
        self, request: Request, pipeline: Pipeline, device: Device, recorder: Recorder
    ) -> tuple[Picture, DrawLog | None]:
        """Make one picture, and log its draws where they are made in this process."""
        if self._outside:
            require_undisturbed(self._plan)
            with recorder.stage("total"):
                return pipeline.generate(request, recorder), None
        directions = Directions(self._plan.perturbation, request.seed, request.process, request.repeat)
        with (
            watched_draws(self._plan.noise, request.seed, device, self._given(request)) as draws,
            recorder.stage("total"),
            perturbed(directions, pipeline, draws),
        ):
            recorder.given = draws.give
            picture = pipeline.generate(request, recorder)
        return picture, draws

    def _given(self, request: Request) -> Given | None:
        """The baseline's noise for a request; None where the arm has its own.

        Raises:
            RunError: the noise is not that of the baseline's record, or there is none for this case and seed.
        """
        if self._plan.noise is not NoiseMode.BASELINE:
            return None
        wanted = CaseKey(case=request.case, seed=request.seed)
        found = next((each for each in self._assignment.noise if each.key == wanted), None)
        if found is None:
            raise RunError(f"the baseline holds no noise for {wanted}; make and accept it again.")
        return [(draw, _drawn(found.path, number, draw)) for number, draw in enumerate(found.draws)]

    def _request(self, key: CaseKey, repeat: int) -> Request:
        case = next(case for case in self._plan.cases if case.id == key.case)
        picture = self._assignment.input_images.get(case.id)
        return Request(
            prompt=case.prompt,
            negative_prompt=case.negative_prompt,
            input_image=Path(picture) if picture else None,
            width=self._plan.width,
            height=self._plan.height,
            steps=self._plan.steps,
            guidance_scale=self._plan.guidance_scale,
            seed=key.seed,
            arm=self._plan.arm.name,
            case=case.id,
            process=self._assignment.process,
            repeat=repeat,
        )

    def _fail(self, stage: str, error: Exception, *, key: CaseKey | None = None, repeat: int | None = None) -> None:
        trace = "".join(traceback.format_exception(error))
        failure = Failure(
            stage=stage,
            key=key,
            process=self._assignment.process,
            repeat=repeat,
            error=type(error).__name__,
            message=mapped(of_error(error), lambda text: redact(printable(text))) or type(error).__name__,
            traceback=redact(printable(trace)),
        )
        self._pipe.tell(Failed(failure=failure))


def _drawn(path: str, number: int, draw: Draw) -> NDArray[np.float32]:
    values = read_array(Path(path), f"noise.{number}")
    if noise_digest(values) != draw.digest:
        raise RunError(f"{path}: noise.{number} is not what the baseline's record says; the file was changed.")
    return values


class BadOutput(RunError):
    """A pipeline returned something that is not a usable picture."""


def require_switches(environment: Environment) -> None:
    """Refuse to go on when a switch that was asked for is not in force.

    Raises:
        RunError: names the switch, what was asked for and what was read back.
    """
    for switch in environment.switches:
        if switch.requested is not None and switch.effective != switch.requested:
            raise RunError(
                recorded(
                    "the switch {name} was set to {requested!r} before the start but is {effective!r} in the worker; "
                    "something in this environment overrides it.",
                    name=switch.name,
                    requested=switch.requested,
                    effective=switch.effective,
                )
            )


def require_numbers(broken: NotFinite | None) -> None:
    """Refuse a picture on whose way a value was NaN or infinite, however it looks in 8 bits.

    Raises:
        BadOutput: says where that was first seen, and of how many values.
    """
    if broken is not None:
        raise BadOutput(
            recorded(
                "{count:d} of {total:d} values ({share:.1%}) in {place!s} are NaN or infinite; they were first seen "
                "there.",
                place=broken.place,
                count=broken.broken,
                total=broken.total,
                share=broken.broken / broken.total,
            )
        )


def require_output(picture: Picture, request: Request) -> None:
    """Refuse a picture of the wrong form or size, and numbers that are not finite.

    Raises:
        BadOutput: says what was found and what was expected.
    """
    expected = (request.height, request.width, 3)
    if picture.image.dtype != np.uint8 or picture.image.shape != expected:
        raise BadOutput(
            recorded(
                "the pipeline returned {actual}; expected {expected}.",
                actual=f"{picture.image.dtype}{list(picture.image.shape)}",
                expected=f"uint8{list(expected)}",
            )
        )
    if picture.float_image is not None and (broken := int((~np.isfinite(picture.float_image)).sum())):
        raise BadOutput(
            recorded(
                "the float output has {broken} of {total} values that are NaN or infinite, although the latents and "
                "what the decoders gave were finite.",
                broken=broken,
                total=picture.float_image.size,
            )
        )


def require_noise(draws: DrawLog) -> None:
    """Refuse a picture made without a single logged draw: its noise is unknown.

    Raises:
        BadOutput: says what was looked for.
    """
    if not draws.draws:
        signs = joined(draws.hidden) or recorded("no generator moved either")
        raise BadOutput(
            recorded(
                "the pipeline made a picture without a draw through torch.randn, torch.randn_like or Tensor.normal_ "
                "({signs}), so its noise can be neither injected nor logged.",
                signs=signs,
            )
        )


class Shelf:
    """Where the samples of one case and seed are kept; samples with the same bytes share files.

    Other processes may work on the same case and seed: a sample is kept and written while nobody else does so.
    """

    def __init__(self, run_folder: Path, folder: Path) -> None:
        self._run_folder = run_folder
        self._folder = folder
        self._read: set[Path] = set()
        self._known: dict[tuple[str, ...], list[ArrayRef]] = {}

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from the shelf, and learn what they have put there; their end frees it too."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for record in sorted(set(self._folder.glob("p*.json")) - self._read):
                sample = read_record(Sample, record)
                self._learn([ref for ref in (sample.image, sample.float_image, sample.latents) if ref is not None])
                self._read.add(record)
            yield
        finally:
            os.close(descriptor)

    def write(self, sample: Sample) -> None:
        """Write the record of a sample, which is what makes it one of the run."""
        record = self._folder / f"{sample.label}.json"
        write_text(record, to_json(sample))
        self._read.add(record)

    def keep(self, name: str, image: NDArray[np.uint8], floats: list[Kept]) -> list[ArrayRef]:
        """Keep a picture and its float arrays, unless the very same bytes are there already."""
        digests = (array_digest(image), *(array_digest(kept.array) for kept in floats))
        if digests not in self._known:
            picture, bundle = self._folder / f"{name}.png", self._folder / f"{name}.safetensors"
            write_picture(picture, image)
            write_arrays(bundle, {str(kept.name): kept.array for kept in floats}, {})
            self._learn(
                [
                    self._ref(picture, Kept(None, image, "uint8"), digests[0]),
                    *(self._ref(bundle, kept, digest) for kept, digest in zip(floats, digests[1:], strict=True)),
                ]
            )
        return self._known[digests]

    def keep_noise(self, draws: DrawLog) -> str:
        """Keep the drawn values once; returns the file, relative to the run folder."""
        path = self._folder / f"noise-{draws.digest[:16]}.safetensors"
        if not path.exists():
            write_arrays(path, draws.values, {})
        return path.relative_to(self._run_folder).as_posix()

    def _learn(self, refs: list[ArrayRef]) -> None:
        self._known[tuple(ref.digest for ref in refs)] = refs

    def _ref(self, path: Path, kept: Kept, digest: str) -> ArrayRef:
        return ArrayRef(
            digest=digest,
            path=path.relative_to(self._run_folder).as_posix(),
            name=kept.name,
            dtype=str(kept.array.dtype),
            computed_in=kept.computed_in,
            shape=list(kept.array.shape),
        )


class Kept(NamedTuple):
    """An array to keep: the picture, which has a file of its own, or a named array."""

    name: str | None
    array: NDArray[Any]
    computed_in: str


def _floats(picture: Picture, recorder: Recorder) -> list[Kept]:
    floats = []
    if picture.float_image is not None:
        floats.append(Kept("float_image", picture.float_image, picture.float_image_dtype or "float32"))
    if (latents := recorder.last_latents()) is not None:
        floats.append(Kept("latents", *latents))
    return floats


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
