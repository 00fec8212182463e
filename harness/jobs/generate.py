"""Make one picture: the verb generate."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import plugins, scenario
from harness.contracts import is_outside
from harness.errors import UsageError
from harness.images import read_picture, write_picture
from harness.records import Run, Task
from harness.run.sources import prepare
from harness.run.supervisor import Order, choose_device, make_run

if TYPE_CHECKING:
    from pydantic import JsonValue

    from harness.jobs.progress import ProgressReporter
    from harness.scenario import LoadedScenario


@dataclass(frozen=True, kw_only=True)
class GenerateOptions:
    """One picture somebody wants, in the words of the command line."""

    model_path: str
    prompt: str
    input_image: Path | None
    output_image: Path
    height: int
    width: int
    seed: int
    steps: int
    guidance_scale: float
    device: str
    noise: str
    dtype: str
    trust_remote_code: bool
    adapter: str
    arguments: str = ""
    """Further arguments of the call as a JSON object; empty for none."""

    def loaded(self) -> LoadedScenario:
        """The options as a scenario of one case.

        Raises:
            UsageError: a value is out of its range, or the adapter makes no picture in a worker.
            UnknownName: there is no such adapter.
        """
        if is_outside(plugins.load("adapters", self.adapter)):
            raise UsageError(
                f"--adapter: found {self.adapter!r}, whose pictures are made outside the worker; allowed is one that "
                "loads a pipeline, such as deepgen or diffusers. Write a scenario for pictures from elsewhere."
            )
        task = Task.IMAGE_EDITING if self.input_image else Task.TEXT_TO_IMAGE
        trusted = self.trust_remote_code or self.model_path.startswith("builtin:")
        values = {
            "name": "generate",
            "summary": "One picture from the command line.",
            "task": task,
            "model": {
                "adapter": self.adapter,
                "source": self.model_path,
                "dtype": self.dtype,
                "trust_remote_code": trusted,
            },
            "cases": [{"id": "picture", "prompt": self.prompt}],
            "seeds": [self.seed],
            "width": self.width,
            "height": self.height,
            "steps": self.steps,
            "guidance_scale": self.guidance_scale,
            "arguments": self._arguments(),
            "arms": [{"name": "picture", "device": self.device, "noise": self.noise, "switches": "as_shipped"}],
            "repeats": {"in_process": 1, "processes": 1},
        }
        return scenario.of_options(values, self.input_image)

    def _arguments(self) -> dict[str, JsonValue]:
        """Further arguments of the call.

        Raises:
            UsageError: the text is no JSON object.
        """
        try:
            arguments = json.loads(self.arguments or "{}")
        except ValueError as error:
            raise UsageError(
                f"--arguments: found {self.arguments!r}, which is no JSON ({error}); allowed is an object. Write for "
                """example --arguments '{"max_sequence_length": 128}'."""
            ) from error
        if not isinstance(arguments, dict):
            raise UsageError(
                f"--arguments: found {self.arguments!r}; allowed is a JSON object. Write for example "
                """--arguments '{"max_sequence_length": 128}'."""
            )
        return arguments


def generate(options: GenerateOptions, reporter: ProgressReporter) -> Run:
    """Make one picture in a worker, as every run does, and keep only the picture."""
    loaded = options.loaded()
    plan = scenario.plan(loaded, loaded.scenario.arms[0])
    with tempfile.TemporaryDirectory(prefix="harness-generate-") as scratch:
        folder = Path(scratch)
        device = choose_device(options.device, folder)
        model = prepare(loaded.sources[plan.model.source], plan.model, folder / "model")
        reporter.on_run_start(plan, device)
        order = Order(
            plan=plan,
            device=device,
            model=model,
            input_images=loaded.input_images,
            argument_images=loaded.argument_images,
            folder=folder / "run",
            run_id="generate",
        )
        made = make_run(order, reporter.on_event)
        if made.samples:
            options.output_image.parent.mkdir(parents=True, exist_ok=True)
            write_picture(options.output_image, read_picture(order.folder / made.samples[0].image.path))
    return made
