"""The work of one process: device, model, and its share of the samples; all of it told through the event pipe."""

from __future__ import annotations

import os
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from harness import plugins
from harness.contracts import Request, checks_requests, is_outside, proofs_of
from harness.errors import RunError
from harness.images import read_array, read_input_picture
from harness.message import mapped, of_error
from harness.noise import noise_digest
from harness.records import CaseKey, Failure, LoadedModel, NoiseMode, Sample
from harness.records.arguments import with_images
from harness.run.events import Failed, Generating, Loaded, Sampled, Started, Stepped
from harness.run.worker.cpu_streams import noise_notes
from harness.run.worker.draws import watched_draws
from harness.run.worker.environment import describe
from harness.run.worker.fused_operators import FusedOperators
from harness.run.worker.guards import (
    BadOutput,
    require_effect,
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
    import numpy as np
    from numpy.typing import NDArray

    from harness.contracts import Device, Picture, Pipeline
    from harness.records import Case, Draw
    from harness.records.investigation import Investigation
    from harness.run.events import Assignment, Event, Share
    from harness.run.worker.draws import DrawLog, Given
    from harness.run.worker.investigator import Result


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
        picture, draws = self._generate(self._request(key, 0), pipeline, device, recorder)
        latents = recorder.last_latents()
        return Result(
            image=picture.image,
            float_image=picture.float_image,
            latents=latents[0] if latents else None,
            noise=[draw.digest for draw in draws.draws] if draws else [],
            schedule=recorder.table,
            seconds=recorder.seconds["total"],
        )

    def make_share(self, share: Share, pipeline: Pipeline, device: Device) -> None:
        """Make one case and seed again and again; every sample is stored before the next is begun."""
        folder = self._folder / "samples" / share.key.case / str(share.key.seed)
        folder.mkdir(parents=True, exist_ok=True)
        artifacts = ArtifactStore(self._folder, folder)
        for repeat in range(share.first, share.first + share.repeats):
            self._pipe.tell(Generating(key=share.key, repeat=repeat))
            try:
                sample = self._make(share.key, repeat, pipeline, device, artifacts)
            except Exception as error:  # noqa: BLE001 - the worker's border: a crash becomes a record
                stage = "output" if isinstance(error, BadOutput) else "generate"
                self._fail(stage, error, key=share.key, repeat=repeat)
                continue
            self._pipe.tell(Sampled(key=share.key, repeat=repeat, seconds=sample.seconds["total"]))

    def _make(self, key: CaseKey, repeat: int, pipeline: Pipeline, device: Device, artifacts: ArtifactStore) -> Sample:
        request = self._request(key, repeat)
        recorder = Recorder(device, lambda step: self._pipe.tell(Stepped(step=step)))
        # In device mode too: the edit path draws from the global generators, which a seed argument does not reach.
        device.seed(key.seed)
        self._operators.take_calls()
        before = dict(proofs_of(pipeline))
        picture, draws = self._generate(request, pipeline, device, recorder)
        in_effect = {name: count - before.get(name, 0) for name, count in proofs_of(pipeline).items()}
        require_effect(in_effect)
        require_numbers(recorder.not_finite())
        require_output(picture, request)
        if draws is not None:
            require_noise(draws)
        with artifacts.locked():
            sample = self._sample(key, repeat, picture, draws, recorder, artifacts)
            sample = sample.model_copy(update={"in_effect": in_effect})
            artifacts.write(sample)
        return sample

    def _sample(  # noqa: PLR0913, PLR0917 - the parts of a record
        self,
        key: CaseKey,
        repeat: int,
        picture: Picture,
        draws: DrawLog | None,
        recorder: Recorder,
        artifacts: ArtifactStore,
    ) -> Sample:
        """The record of a picture whose arrays are in the store."""
        refs = artifacts.save(f"p{self._assignment.process}r{repeat}", picture.image, float_arrays(picture, recorder))
        stored = {ref.name: ref for ref in refs}
        return Sample(
            key=key,
            process=self._assignment.process,
            repeat=repeat,
            image=stored[None],
            float_image=stored.get("float_image"),
            latents=stored.get("latents"),
            noise_digest=draws.digest if draws else None,
            noise_path=artifacts.save_noise(draws) if draws else None,
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
        noise = next((candidate for candidate in self._assignment.noise if candidate.key == wanted), None)
        if noise is None:
            raise RunError(f"the baseline holds no noise for {wanted}; make and accept it again.")
        return [(draw, _drawn(noise.path, number, draw)) for number, draw in enumerate(noise.draws)]

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
            arguments=self._arguments(case),
            arm=self._plan.arm.name,
            case=case.id,
            process=self._assignment.process,
            repeat=repeat,
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


def _drawn(path: str, number: int, draw: Draw) -> NDArray[np.float32]:
    values = read_array(Path(path), f"noise.{number}")
    if noise_digest(values) != draw.digest:
        raise RunError(f"{path}: noise.{number} is not what the baseline's record says; the file was changed.")
    return values
