"""What ``harness explain`` costs before any swap, in pictures of the same process, by the size of the denoiser.

A small random Stable Diffusion 3 whose transformer has the given width and number of blocks is traced, and then forced
with its own trace, as the two sides of an explanation are. Loading is left out; digests of weights and the writing of
the trace are included. Printed are CPU seconds over those of an untouched picture, medians of rounds.
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from harness.adapters import diffusers as adapter
from harness.backends import cpu
from harness.contracts import Request
from harness.files import write_text
from harness.host import processor_name
from harness.records import CaseKey, NoiseMode, SwitchMode
from harness.records.investigation import TRACE_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.run.worker.investigator import Investigator, Result

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks-explain.md"
KEY = CaseKey(case="cup", seed=42)
HEAD = 64
"""Width of a head, as Stable Diffusion 3.5 has it."""
STEPS = 6


def main() -> int:
    """Measure and print; the whole benchmark is written to the docs as well."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rounds", type=int, default=3, help="how often each size is measured")
    words.add_argument("--heads", type=int, nargs="+", default=[1, 4, 12], help="heads of 64 of the denoiser")
    words.add_argument("--blocks", type=int, default=4, help="its blocks")
    words.add_argument("--side", type=int, default=128, help="side of the picture in pixels")
    words.add_argument("--write", action="store_true", help="write docs/benchmarks-explain.md")
    options = words.parse_args()
    rows = [measured(heads, options.blocks, options.side, options.rounds) for heads in options.heads]
    text = _page(rows, options)
    print(text)  # noqa: T201 - what it is for
    if options.write:
        write_text(PAGE, text)
    return 0


def measured(heads: int, blocks: int, side: int, rounds: int) -> list[float]:
    """Width, seconds of a picture, and the costs of the reference and the candidate in pictures, medians."""
    with tempfile.TemporaryDirectory() as scratch:
        pipeline = _pipeline(Path(scratch) / "model", heads, blocks)
        taken = [_round(pipeline, Path(scratch) / str(number), side) for number in range(rounds)]
    return [heads * HEAD, *(statistics.median(column) for column in zip(*taken, strict=True))]


def _round(pipeline: Any, folder: Path, side: int) -> tuple[float, float, float]:
    picture = statistics.median(_seconds(lambda: _made(pipeline, side, 0)) for _ in range(3))
    investigator = _investigator(pipeline, side)
    words = ["first", "middle", "last"]
    folder.mkdir()
    gc.freeze()  # as a worker does
    reference = _seconds(lambda: investigator.trace(KEY, folder, words, 8 << 30))
    candidate = _seconds(lambda: investigator.force(folder, folder / TRACE_FILE, words))
    return picture, reference / picture, candidate / picture


def _seconds(work: Any) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _investigator(pipeline: Any, side: int) -> Investigator:
    from harness.run.worker.investigator import Investigator

    return Investigator(
        pipeline,
        lambda shift: _made(pipeline, side, shift),
        arm="bench",
        dtype="float32",
        backend="cpu",
        steps=STEPS,
        asked={"guidance_scale": 4.0},
    )


def _made(pipeline: Any, side: int, shift: int) -> Result:
    from harness.run.worker.draws import watched_draws
    from harness.run.worker.investigator import Result
    from harness.run.worker.recorder import Recorder

    device = cpu.open(0, SwitchMode.AS_SHIPPED)
    request = Request(
        prompt="a cup",
        negative_prompt=None,
        input_image=None,
        width=side,
        height=side,
        steps=STEPS,
        guidance_scale=4.0,
        seed=KEY.seed + shift,
    )
    recorder = Recorder(device, lambda _step: None)
    begin = time.perf_counter()
    with watched_draws(NoiseMode.PORTABLE, request.seed, device) as draws:
        picture = pipeline.generate(request, recorder)
    latents = recorder.last_latents()
    return Result(
        image=picture.image,
        float_image=picture.float_image,
        latents=latents[0] if latents else None,
        noise=[draw.digest for draw in draws.draws],
        schedule=recorder.table,
        seconds=time.perf_counter() - begin,
    )


def _pipeline(folder: Path, heads: int, blocks: int) -> Any:
    import torch
    from diffusers import DiffusionPipeline, SD3Transformer2DModel

    from tests.adapters.tiny_pipelines import saved

    torch.manual_seed(0)
    saved("sd3", folder)
    pipe: Any = DiffusionPipeline.from_pretrained(folder)
    known = dict(pipe.transformer.config)
    wider = {
        "num_layers": blocks,
        "attention_head_dim": HEAD,
        "num_attention_heads": heads,
        "caption_projection_dim": heads * HEAD,
    }
    names = ("sample_size", "patch_size", "in_channels", "out_channels", "joint_attention_dim", "pooled_projection_dim")
    kept = {name: known[name] for name in (*names, "pos_embed_max_size")}
    transformer: Any = SD3Transformer2DModel(**kept, **wider)
    pipe.transformer = transformer.eval()
    pipe.set_progress_bar_config(disable=True)
    model: Any = SimpleNamespace(dtype="float32", attention="sdpa", load=None)
    return adapter.Diffusers(pipe, model, cpu.open(0, SwitchMode.AS_SHIPPED))


def _page(rows: Sequence[Sequence[float]], options: argparse.Namespace) -> str:
    about = (
        "Written by `nox -s bench -- explain --write`; do not edit it. A random Stable Diffusion 3, whose transformer "
        f"has {options.blocks} blocks, makes a picture of {options.side}x{options.side} in {STEPS} steps in float32 on "
        "one thread. The reference is traced: an untouched picture, one with last bits moved, one whose values are "
        "kept, one for the floors. The candidate is forced with the trace: a watched picture, an untouched one, one "
        "with other noise, a forced one. Costs are CPU seconds over those of an untouched picture, with digests of "
        "weights and files, without loading and without swaps."
    )
    lines = [
        "# What explain costs",
        "",
        about,
        "",
        f"Machine: {processor_name()}, {platform.machine()}; medians of {options.rounds}.",
        "",
        "| width | seconds of a picture | reference, in pictures | candidate, in pictures | both |",
        "| ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {width:.0f} | {picture:.2f} | {reference:.1f} | {candidate:.1f} | {reference + candidate:.1f} |"
            for width, picture, reference, candidate in rows
        ),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
