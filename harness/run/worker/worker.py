"""The work of one process: device, model, and its share of the samples; all of it told through the event pipe."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness import plugins
from harness.contracts import Request, checks_requests, gives_frames, gives_several, is_outside, proofs_of
from harness.errors import RunError
from harness.images import array_digest, read_array, read_input_picture
from harness.message import mapped, of_error
from harness.noise import noise_digest
from harness.records import ArrayRef, CaseKey, Failure, LoadedModel, NoiseMode, Sample, Video, file_stem
from harness.records.arguments import with_images
from harness.run.events import Failed, Generating, Loaded, Sampled, Sized, Started, Stepped
from harness.run.worker.collector import without_full_collections
from harness.run.worker.cpu_streams import noise_notes
from harness.run.worker.draws import watched_draws
from harness.run.worker.environment import describe
from harness.run.worker.fused_operators import FusedOperators
from harness.run.worker.guards import (
    BadOutput,
    require_count,
    require_effect,
    require_frames,
    require_noise,
    require_numbers,
    require_output,
    require_switches,
)
from harness.run.worker.outside import UnopenedDevice, require_digest, require_undisturbed
from harness.run.worker.perturbation import Directions, perturbed
from harness.run.worker.recorder import Recorder
from harness.run.worker.sample_files import ArtifactStore, float_arrays
from harness.text import printable, redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from harness.contracts import Device, Picture, Pipeline, Watch
    from harness.records import Case, Draw, Step
    from harness.records.investigation import Investigation
    from harness.run.events import Assignment, Share
    from harness.run.worker.draws import DrawLog, Given
    from harness.run.worker.investigator import Result
    from harness.run.worker.pipe import Pipe


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
            with without_full_collections():
                device = self.open()
                stage = "load"
                pipeline = self.load(device)
        except Exception as error:  # noqa: BLE001 - the worker's border: a crash becomes a record
            self._fail(stage, error)
            return
        for order in self._assignment.investigations:
            self.investigate(order, pipeline, device)
        for share in self._assignment.shares:
            self.make_share(share, pipeline, device)

    def open(self) -> Device:
        """Open the device and tell what the worker runs on."""
        assignment, arm = self._assignment, self._plan.arm
        if self._outside:
            unopened = UnopenedDevice(assignment.backend, self._plan)
            self._pipe.tell(Started(environment=describe(assignment.backend, unopened, None, arm)))
            return unopened
        self._operators.arrange()
        device = plugins.load("backends", assignment.backend).open(assignment.device_index, self._plan.switches)
        environment = describe(assignment.backend, device, self._operators.answered, arm)
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
        if checks_requests(pipeline):
            for case in self._plan.cases:
                key = CaseKey(case=case.id, seed=self._plan.seeds[0])
                pipeline.check_request(self._request(key, 0))
        device.synchronize()
        loaded = LoadedModel(
            notes=[*pipeline.notes, *noise_notes(self._plan.noise)],
            memory=dict(device.memory(pipeline.modules)),
            seconds=time.perf_counter() - begin,
            components=dict(pipeline.components),
            substitutions=list(pipeline.substitutions),
        )
        self._pipe.tell(Loaded(loaded=loaded))
        return pipeline

    def investigate(self, order: Investigation, pipeline: Pipeline, device: Device) -> None:
        """Measure what is asked for ``harness explain``; an error becomes a failure."""
        from harness.run.worker.investigator import Investigator

        plan, key = self._plan, order.key
        investigator = Investigator(
            pipeline,
            lambda shift: self._result(key.model_copy(update={"seed": key.seed + shift}), pipeline, device),
            arm=plan.arm.name,
            dtype=plan.model.dtype,
            backend=self._assignment.backend,
            steps=plan.steps,
            asked={"guidance_scale": plan.guidance_scale},
            simulated=device.simulated,
            plan=plan,
            tell_size=lambda size: self._pipe.tell(Sized(bytes=size)),
        )
        try:
            investigator.work(order)
        except Exception as error:  # noqa: BLE001 - the worker's border: a crash becomes a record
            self._fail("generate", error, key=key)

    def _result(self, key: CaseKey, pipeline: Pipeline, device: Device) -> Result:
        """One picture that is not stored."""
        from harness.run.worker.investigator import Result

        recorder = Recorder(device, lambda step: self._pipe.tell(Stepped(step=step)))
        device.seed(key.seed)
        made, draws = self._generate(self._request(key, 0), pipeline, device, recorder)
        pictures = list(made)
        latents = recorder.last_latents()
        floats = [picture.float_image for picture in pictures if picture.float_image is not None]
        return Result(  # the images of one call below each other, so that none is left out
            image=np.concatenate([picture.image for picture in pictures]),
            float_image=np.concatenate(floats) if floats else None,
            latents=latents[0] if latents else None,
            noise=[draw.digest for draw in draws.draws] if draws else [],
            schedule=recorder.table,
            seconds=recorder.seconds["total"],
        )

    def make_share(self, share: Share, pipeline: Pipeline, device: Device) -> None:
        """Make one case and seed again and again; every call's samples are stored before the next is begun."""
        folder = self._folder / "samples" / share.key.case / str(share.key.seed)
        folder.mkdir(parents=True, exist_ok=True)
        artifacts = ArtifactStore(self._folder, folder)
        for repeat in range(share.first, share.first + share.repeats):
            self._pipe.tell(Generating(key=share.key, repeat=repeat))
            try:
                samples = self._make(share.key, repeat, pipeline, device, artifacts)
            except Exception as error:  # noqa: BLE001 - the worker's border: a crash becomes a record
                stage = "output" if isinstance(error, BadOutput) else "generate"
                self._fail(stage, error, key=share.key, repeat=repeat)
                continue
            for sample in samples:
                self._pipe.tell(Sampled(key=sample.key, repeat=repeat, seconds=sample.seconds["total"]))

    def _make(
        self, key: CaseKey, repeat: int, pipeline: Pipeline, device: Device, artifacts: ArtifactStore
    ) -> list[Sample]:
        """Make one call; its samples are written when the arrays of all of them are stored."""
        request = self._request(key, repeat)
        recorder = Recorder(device, lambda step: self._pipe.tell(Stepped(step=step)))
        # In device mode too: the edit path draws from the global generators, which a seed argument does not reach.
        device.seed(key.seed)
        self._operators.take_calls()
        before = dict(proofs_of(pipeline))
        pictures, draws = self._generate(request, pipeline, device, recorder)
        in_effect = {name: count - before.get(name, 0) for name, count in proofs_of(pipeline).items()}
        require_effect(in_effect)
        require_numbers(recorder.not_finite())
        if draws is not None:
            require_noise(draws)
        with artifacts.locked():
            made = self._kept(request, pictures, recorder, artifacts)
            samples = self._samples(repeat, made, draws, recorder, artifacts)
            samples = [sample.model_copy(update={"in_effect": in_effect}) for sample in samples]
            for sample in samples:
                artifacts.write(sample)
        return samples

    def _kept(
        self, request: Request, pictures: Iterable[Picture], recorder: Recorder, artifacts: ArtifactStore
    ) -> Made:
        """Store the arrays of a call: of each picture, or of a video's frames, one by one, those that are kept.

        Raises:
            BadOutput: there are more or fewer than was asked for, or one is no usable picture.
        """
        call = CaseKey(case=request.case, seed=request.seed)
        stored: dict[CaseKey, dict[str | None, ArrayRef]] = {}
        frames: list[str] = []
        if request.frames is None:
            pictures = list(pictures)
            require_count(pictures, request)
        wanted = {key.image or key.frame or 1: key for key in self._plan.keys_of(call)}
        for number, picture in enumerate(pictures, 1):
            require_output(picture, request)
            frames += [array_digest(picture.image)] if request.frames else []
            if number not in wanted:
                continue
            floats = float_arrays(picture, recorder, number - 1, request.pictures)
            if stored and request.frames:  # the latents are those of the whole video
                floats = [kept for kept in floats if kept.name != "latents"]
            stem = file_stem(wanted[number], request.process, request.repeat)
            stored[wanted[number]] = {ref.name: ref for ref in artifacts.save(stem, picture.image, floats)}
        if request.frames is not None:
            require_frames(len(frames), request.frames)
        return Made(stored, frames)

    def _samples(
        self,
        repeat: int,
        made: Made,
        draws: DrawLog | None,
        recorder: Recorder,
        artifacts: ArtifactStore,
    ) -> list[Sample]:
        """The records of one call, whose arrays are in the store."""
        of_the_call: dict[str, object] = {
            "process": self._assignment.process,
            "repeat": repeat,
            "noise_digest": draws.digest if draws else None,
            "noise_path": artifacts.save_noise(draws) if draws else None,
            "draws": draws.draws if draws else [],
            "hidden_draws": draws.hidden if draws else [],
            "without_effect": recorder.ignored,
            "schedule": recorder.table,
            "npu_calls": self._operators.take_calls(),
            "seconds": recorder.seconds,
            "memory": {"device": whole} if (whole := recorder.memory.get("total")) else {},
            "stage_memory": recorder.memory,
        }
        traces = recorder.traces()
        if made.frames:
            return self._frames(made, traces, recorder, of_the_call)
        return [
            Sample.model_validate(
                of_the_call
                | {
                    "key": key,
                    "image": refs[None],
                    "float_image": refs.get("float_image"),
                    "latents": refs.get("latents"),
                    "per_step": recorder.per_step(number, len(made.stored)),
                    "traces": traces,
                }
            )
            for number, (key, refs) in enumerate(made.stored.items())
        ]

    def _frames(
        self, made: Made, traces: dict[str, list[Step]], recorder: Recorder, of_the_call: dict[str, object]
    ) -> list[Sample]:
        """The records of the stored frames of a video; the first has what is known of all frames together."""
        first = next(iter(made.stored.values()))
        video = Video(frames=made.frames, latents=first.get("latents"), per_step=recorder.per_step())
        return [
            Sample.model_validate(
                of_the_call
                | {
                    "key": key,
                    "image": refs[None],
                    "float_image": refs.get("float_image"),
                    "latents": None,
                    "per_step": [],
                    "traces": traces if refs is first else {},
                    "video": video if refs is first else None,
                }
            )
            for key, refs in made.stored.items()
        ]

    def _generate(
        self, request: Request, pipeline: Pipeline, device: Device, recorder: Recorder
    ) -> tuple[Iterable[Picture], DrawLog | None]:
        """Make the pictures of one call, and log its draws where they are made in this process."""
        if self._outside:
            require_undisturbed(self._plan)
            with recorder.stage("total"):
                return _called(pipeline, request, recorder), None
        directions = Directions(self._plan.perturbation, request.seed, request.process, request.repeat)
        with (
            watched_draws(self._plan.noise, request.seed, device, self._given(request)) as draws,
            recorder.stage("total"),
            perturbed(directions, pipeline, draws),
        ):
            recorder.given = draws.give
            pictures = _called(pipeline, request, recorder)
        return pictures, draws

    def _given(self, request: Request) -> Given | None:
        """The baseline's noise for a request; None where the arm has its own.

        Raises:
            RunError: the noise is not that of the baseline's record, or there is none for this case and seed.
        """
        if self._plan.noise is not NoiseMode.BASELINE:
            return None
        wanted = CaseKey(case=request.case, seed=request.seed)
        noise = next((candidate for candidate in self._assignment.noise if candidate.key == wanted), None)
        if noise is None:
            raise RunError(f"the baseline holds no noise for {wanted}; make and accept it again.")
        return [(draw, _drawn(noise.path, number, draw)) for number, draw in enumerate(noise.draws)]

    def _request(self, key: CaseKey, repeat: int) -> Request:
        case = next(case for case in self._plan.cases if case.id == key.case)
        picture = self._assignment.input_images.get(case.id)
        width, height = self._plan.size_of(case)
        return Request(
            prompt=case.prompt,
            negative_prompt=case.negative_prompt,
            input_image=Path(picture) if picture else None,
            width=width,
            height=height,
            steps=self._plan.steps,
            guidance_scale=self._plan.guidance_scale,
            seed=key.seed,
            arguments=self._arguments(case),
            arm=self._plan.arm.name,
            case=case.id,
            process=self._assignment.process,
            repeat=repeat,
            pictures=self._plan.pictures_of(case),
            frames=self._plan.frames.count if self._plan.frames else None,
            kept_frames=tuple(self._plan.frames.kept) if self._plan.frames else (),
            python=self._assignment.python or "",
        )

    def _arguments(self, case: Case) -> dict[str, object]:
        """Arguments of the call for a case, with each image read."""
        read = {written: read_input_picture(Path(path)) for written, path in self._assignment.argument_images.items()}
        return {name: with_images(value, read.__getitem__) for name, value in self._plan.arguments_of(case).items()}

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


class Made(NamedTuple):
    """What is stored of one call."""

    stored: dict[CaseKey, dict[str | None, ArrayRef]]
    """Arrays of each picture by their names; the 8-bit picture has none."""
    frames: list[str]
    """Digests of all frames of a video; empty for pictures."""


def _called(pipeline: Pipeline, request: Request, watch: Watch) -> Iterable[Picture]:
    """The pictures of one call; frames of a video come one after the other."""
    if request.frames is not None and gives_frames(pipeline):
        return pipeline.generate_frames(request, watch)
    if request.pictures > 1 and gives_several(pipeline):
        return pipeline.generate_several(request, watch)
    return [pipeline.generate(request, watch)]


def _drawn(path: str, number: int, draw: Draw) -> NDArray[np.float32]:
    values = read_array(Path(path), f"noise.{number}")
    if noise_digest(values) != draw.digest:
        raise RunError(f"{path}: noise.{number} is not what the baseline's record says; the file was changed.")
    return values
