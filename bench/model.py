"""What the embedded model costs: bytes in the package, loading after the imports, one picture of 128x128 in 20 steps.

Loading is what a worker does with a model folder: the first time in this process, and the median of later ones.
Pictures are made in turns of kind and type, so that a machine that slows down slows all of them; printed are medians,
and ratios to a prompt in float32.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import scenario
from harness.models import tiny_deepgen
from harness.run.sources import prepare

if TYPE_CHECKING:
    from collections.abc import Callable

SCENARIO = Path(__file__).parents[1] / "scenarios" / "tiny-t2i.yaml"
PICTURE = Path(__file__).parents[1] / "scenarios" / "inputs" / "heart.png"
CALL = {"height": 128, "width": 128, "num_inference_steps": 20, "guidance_scale": 4.0, "seed": 42}


def main() -> int:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rounds", type=int, default=15, help="how often each picture is made, and the model loaded")
    words.add_argument("--threads", type=int, default=0, help="of torch; 0 for what it takes by itself")
    options = words.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = measured(Path(scratch), options.rounds, options.threads)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 0


def measured(scratch: Path, rounds: int, threads: int) -> dict[str, Any]:
    """All figures, under the names that are printed."""
    model = scenario.load(SCENARIO).scenario.model
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(scratch / "modules")}
    folder = prepare(model.source, model, scratch / "model").folder

    import torch
    from diffusers import (  # noqa: F401 - a class is imported when it is first asked for: here, before the clock runs
        AutoencoderKL,
        DiffusionPipeline,
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
    )
    from PIL import Image
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration, Qwen2VLImageProcessor  # noqa: F401

    if threads:
        torch.set_num_threads(threads)

    def loaded(dtype: Any) -> Any:
        pipe = DiffusionPipeline.from_pretrained(
            str(folder), trust_remote_code=True, torch_dtype=dtype, use_safetensors=True, local_files_only=True
        )
        pipe._load_extras()  # noqa: SLF001 - the pipeline's only way to load them
        pipe.set_progress_bar_config(disable=True)
        return pipe

    first = seconds(lambda: loaded(torch.float32))
    later = statistics.median(seconds(lambda: loaded(torch.float32)) for _ in range(rounds))
    source = Image.open(PICTURE).convert("RGB")
    works: dict[str, Callable[[], Any]] = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        pipe = loaded(dtype)
        works[f"prompt, {name}"] = partial(pipe, "a photo of a red star", **CALL)
        works[f"edit, {name}"] = partial(pipe, "change the heart to green", image=source, **CALL)
    for work in works.values():
        work()
    turns = [{name: seconds(work) for name, work in works.items()} for _ in range(rounds)]
    times = {name: statistics.median(turn[name] for turn in turns) for name in works}
    ratios = {name: statistics.median(turn[name] / turn["prompt, float32"] for turn in turns) for name in works}
    return {
        "bytes of the checkpoint in the package": bytes_of(Path(tiny_deepgen.__file__).parent),
        "seconds to load after imports, first": round(first, 3),
        "seconds to load after imports, median of later ones": round(later, 3),
        "seconds a picture, median": {name: round(each, 3) for name, each in times.items()},
        "ratio to a prompt in float32, median": {name: round(ratio, 3) for name, ratio in ratios.items()},
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}",
    }


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def bytes_of(folder: Path) -> int:
    """Of all files below a folder but compiled ones."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")


if __name__ == "__main__":
    sys.exit(main())
