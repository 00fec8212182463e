"""What ``harness explain`` costs before any swap, in pictures of the same process, by the size of the denoiser.

A small random Stable Diffusion 3 whose transformer has the given width and number of blocks is traced, and then forced
with its own trace, as the two sides of an explanation are. Loading is left out; digests of weights and the writing of
the trace are included. Printed are CPU seconds over those of an untouched picture, medians of rounds.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from harness.adapters import diffusers as adapter
from harness.backends import cpu
from harness.files import write_text
from harness.host import processor_name
from harness.records import SwitchMode
from harness.records.investigation import TRACE_FILE
from tests.adapters.tiny_pipelines import saved
from tests.faults.exam import KEY, Exam, Subject

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks-explain.md"
HEAD = 64
"""Width of a head, as Stable Diffusion 3.5 has it."""
STEPS = 6


def main() -> int:
    """Measure and print; with --write also to the docs."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rounds", type=int, default=3, help="how often each size is measured")
    words.add_argument("--heads", type=int, nargs="+", default=[1, 4], help="heads of 64 of the denoiser")
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
        subject = Subject(load=lambda _dtype, _device: pipeline, prompt="a cup", steps=STEPS, side=side)
        exam = Exam("float32", Path(scratch), subject)
        taken = [_round(exam, Path(scratch) / str(number)) for number in range(rounds)]
    return [heads * HEAD, *(statistics.median(column) for column in zip(*taken, strict=True))]


def _round(exam: Exam, folder: Path) -> tuple[float, float, float]:
    picture = statistics.median(_seconds(lambda: exam.made(exam.pipeline)) for _ in range(3))
    investigator = exam.investigator(exam.pipeline)
    words = ["first", "middle", "last"]
    folder.mkdir()
    reference = _seconds(lambda: investigator.trace(KEY, folder, words, 8 << 30))
    candidate = _seconds(lambda: investigator.force(folder, folder / TRACE_FILE, words))
    return picture, reference / picture, candidate / picture


def _seconds(work: Any) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _pipeline(folder: Path, heads: int, blocks: int) -> Any:
    import torch
    from diffusers import DiffusionPipeline, SD3Transformer2DModel

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
