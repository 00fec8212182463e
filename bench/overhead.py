"""What the harness costs: N repeats through a worker against the same N calls of the pipeline in a bare loop.

Both loops run in turns in one process on one loaded pipeline, so that a machine that slows down slows both. The
recording of latents, digests, pictures and records is included. Printed are medians and the median of the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness import scenario
from harness.host import thread_variables
from harness.records import SwitchMode
from harness.run.events import Assignment, Share
from harness.run.sources import prepare

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.contracts import Pipeline

SCENARIO = Path(__file__).parents[1] / "scenarios" / "tiny-t2i.yaml"


def main() -> int:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rounds", type=int, default=41, help="how often both loops are run")
    words.add_argument("--calls", type=int, default=3, help="calls in one loop")
    options = words.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        measure(Path(scratch), rounds=options.rounds, calls=options.calls)
    return 0


def measure(scratch: Path, *, rounds: int, calls: int) -> None:
    """Run both loops in turns and print what they took."""
    question = scenario.load(SCENARIO)
    plan = scenario.plan(question, question.scenario.arms[0], cases=["blue-pizza"], seeds=[42])
    model = prepare(question.model_source, plan.model, scratch / "model")
    prepare_process(scratch, plan.arm.threads)

    from harness.run.worker.pipe import Pipe
    from harness.run.worker.worker import Worker

    (key,) = plan.keys
    share = Share(key=key, repeats=calls)
    assignment = Assignment(
        plan=plan,
        process=0,
        shares=[share],
        backend="cpu",
        device_index=0,
        model_folder=str(model.folder),
        model_digest=model.identity.digest,
        input_images={},
        run_folder=str(scratch / "run"),
    )
    worker = Worker(assignment, Pipe(os.open(os.devnull, os.O_WRONLY)))
    device = worker.open()
    pipeline = worker.load(device)
    bare = bare_loop(pipeline, calls)

    def harness_loop() -> None:
        worker.make_share(share, pipeline, device)

    bare()
    before = peak_megabytes()
    harness_loop()
    after = peak_megabytes()
    pairs = [(seconds(harness_loop), seconds(bare)) for _ in range(rounds)]
    report(pairs, calls, before, after)


def prepare_process(scratch: Path, threads: int | None) -> None:
    """Do to this process what a supervisor does to a worker before it starts."""
    from harness import plugins

    os.environ |= {
        **plugins.load("backends", "cpu").start_environment(SwitchMode.DETERMINISTIC),
        **thread_variables(threads),
        "HF_HUB_OFFLINE": "1",
        "HF_MODULES_CACHE": str(scratch / "modules"),
    }


def bare_loop(pipeline: Pipeline, calls: int) -> Callable[[], None]:
    """The same calls without the harness: what a user's own script would do."""
    pipe = vars(pipeline)["_pipe"]
    case = scenario.load(SCENARIO).scenario

    def loop() -> None:
        for _ in range(calls):
            pipe(
                prompt=case.cases[0].prompt,
                height=case.height,
                width=case.width,
                num_inference_steps=case.steps,
                guidance_scale=case.guidance_scale,
                seed=42,
            )

    return loop


def seconds(loop: Callable[[], None]) -> float:
    """Wall time of one loop."""
    begin = time.perf_counter()
    loop()
    return time.perf_counter() - begin


def peak_megabytes() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report(pairs: list[tuple[float, float]], calls: int, before: float, after: float) -> None:
    """Print medians, ratios and what they were measured on."""
    ratios = [harness / bare for harness, bare in pairs]
    found = {
        "harness seconds per call, median": round(statistics.median(harness for harness, _ in pairs) / calls, 4),
        "bare seconds per call, median": round(statistics.median(bare for _, bare in pairs) / calls, 4),
        "ratio, median of pairs": round(statistics.median(ratios), 4),
        "ratio, lowest and highest": [round(min(ratios), 4), round(max(ratios), 4)],
        "peak memory MiB, after a bare loop and after a harness loop": [round(before, 1), round(after, 1)],
        "loops": len(pairs),
        "calls in a loop": calls,
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}",
    }
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
