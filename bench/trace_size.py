"""How large a trace of DeepGen-1.0 is, from the shapes of its published configurations, without its weights.

Modules are made and called with torch's fake tensors, which have shapes and no values, and what enters and leaves each
of them is counted as ``harness explain`` counts it before it keeps anything: all modules, and in brackets whole blocks
alone. Sizes of the parts are those of the published model: Qwen2.5-VL-3B, a connector of 6 layers, Stable Diffusion 3.5
medium and its autoencoder.
"""

from __future__ import annotations

import argparse
import runpy
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses import FakeTensorMode

from harness.run.sources import locate
from harness.run.worker.places import watched
from harness.run.worker.tracing import Counting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DTYPE = torch.bfloat16
PREDICTIONS = 2
"""Conditional and unconditional, in one call."""
QUERIES = 128
TEXT = 34
"""Tokens of a prompt with its template."""


def main() -> int:
    """Print a table."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--sides", type=int, nargs="+", default=[512, 1024], help="sides of the picture in pixels")
    words.add_argument("--steps", type=int, default=3, help="steps at which the inside of the denoiser is kept")
    options = words.parse_args()
    lines = ["GiB:", "", "| part | " + " | ".join(f"{side}x{side}" for side in options.sides) + " |"]
    lines.append("| --- |" + " ---: |" * len(options.sides))
    columns = [_sizes(side, options.steps) for side in options.sides]
    lines += [_row(name, [column[name] for column in columns]) for name in columns[0]]
    lines.append(_row("all", [_sum(column.values()) for column in columns]))
    print("\n".join(lines))  # noqa: T201 - what it is for
    return 0


def _row(name: str, sizes: list[tuple[int, int]]) -> str:
    cells = (f"{whole / 2**30:.1f} ({blocks / 2**30:.1f})" for whole, blocks in sizes)
    return f"| {name} | " + " | ".join(cells) + " |"


def _sum(sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    wholes, blocks = zip(*sizes, strict=True)
    return sum(wholes), sum(blocks)


def _sizes(side: int, steps: int) -> dict[str, tuple[int, int]]:
    with FakeTensorMode():
        torch.set_default_dtype(DTYPE)
        try:
            return {
                "text model": _counted(*_text_model()),
                "connector": _counted(*_connector()),
                f"transformer, {steps} steps": _sum([_counted(*_transformer(side))] * steps),
                "decoder": _counted(*_decoder(side)),
            }
        finally:
            torch.set_default_dtype(torch.float32)


def _counted(module: Any, call: Callable[[Any], Any]) -> tuple[int, int]:
    """Bytes that enter and leave a module and all modules in it in one call, and whole blocks alone."""
    counting = Counting("", [])
    pipeline: Any = SimpleNamespace(modules={"part": module}, components={}, joints=[])
    with torch.no_grad(), watched(pipeline, counting):
        call(module)
    return counting.bytes, counting.block_bytes


def _text_model() -> tuple[Any, Callable[[Any], Any]]:
    from transformers import Qwen2Config, Qwen2Model

    # The language model of Qwen2.5-VL has the modules and shapes of Qwen2 with these numbers.
    config = Qwen2Config(
        vocab_size=151936,
        hidden_size=2048,
        intermediate_size=11008,
        num_hidden_layers=36,
        num_attention_heads=16,
        num_key_value_heads=2,
        attn_implementation="sdpa",
    )
    entered = torch.empty(PREDICTIONS, TEXT + QUERIES, 2048)
    return Qwen2Model(config).eval(), lambda model: model(inputs_embeds=entered, use_cache=False)


def _connector() -> tuple[Any, Callable[[Any], Any]]:
    folder, _ = locate("builtin:tiny-deepgen")
    code: Any = runpy.run_path(str(folder / "deepgen_pipeline.py"))
    entered = torch.empty(PREDICTIONS, TEXT + QUERIES, 2048)
    return code["ConnectorEncoder"](2048, 11946, 6).eval(), lambda connector: connector(entered)


def _transformer(side: int) -> tuple[Any, Callable[[Any], Any]]:
    from diffusers import SD3Transformer2DModel

    module: Any = SD3Transformer2DModel(
        sample_size=128,
        patch_size=2,
        in_channels=16,
        num_layers=24,
        attention_head_dim=64,
        num_attention_heads=24,
        joint_attention_dim=4096,
        caption_projection_dim=1536,
        pooled_projection_dim=2048,
        out_channels=16,
        pos_embed_max_size=384,
        dual_attention_layers=tuple(range(13)),
        qk_norm="rms_norm",
    )
    entered = {
        "hidden_states": torch.empty(PREDICTIONS, 16, side // 8, side // 8),
        "encoder_hidden_states": torch.empty(PREDICTIONS, TEXT + QUERIES, 4096),
        "pooled_projections": torch.empty(PREDICTIONS, 2048),
        "timestep": torch.empty(PREDICTIONS),
    }
    return module.eval(), lambda transformer: transformer(**entered)


def _decoder(side: int) -> tuple[Any, Callable[[Any], Any]]:
    from diffusers import AutoencoderKL

    module: Any = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=16,
        norm_num_groups=32,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    latents = torch.empty(1, 16, side // 8, side // 8)
    return module.eval(), lambda decoder: decoder.decode(latents)


if __name__ == "__main__":
    raise SystemExit(main())
