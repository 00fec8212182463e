"""Values of the transformer: hashed noise around a designed flow from noise to soft coloured shapes.

Noise alone would leave the latents as noisy as they began and hardly hear the prompt.  The design, in words:

- The width is split.  The two thirds of the channels in which the position table is almost constant carry the latent
  patch (16 latents at each of 4 places); the other third keeps the fast sines, so a token knows where it is.
- A direct path from patch to velocity makes the flow take the patch's own content away.
- In the image-only attention, heads that compare positions put a local average back (of the target and, in an edit, of
  the references at the same place), a wider head takes some off, and a head that sees all tokens alike removes the
  overall mean.  What survives is smooth and differs by seed; everything else, driven by the text, is hashed noise.
- The four places of a patch get the same value from every hashed layer, else each patch would show the same pattern.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from harness.models.tiny_deepgen_random.draws import bell
from harness.models.tiny_deepgen_random.layout import config, transformer_shapes
from harness.models.tiny_deepgen_random.position_table import position_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.models.tiny_deepgen_random.draws import Doubles

_SETTINGS = config("transformer")
_HEAD = _SETTINGS["attention_head_dim"]
_WIDTH = _SETTINGS["num_attention_heads"] * _HEAD
_LATENTS = _SETTINGS["in_channels"]
_PATCH = _SETTINGS["patch_size"]
_PLACES = _PATCH**2
_GRID = _SETTINGS["pos_embed_max_size"]

_FREQUENCIES = _WIDTH // 4
_FAST = 8  # frequencies of the position table that stay free of content; the other 16 are below 0.05 radian a step

_PATCH_GAIN = 1.4
_CLEARING = 1.6
_COLOURING = 0.4
_LOCAL_AVERAGE = 1.1
_WIDE_AVERAGE = -0.4
_OVERALL_MEAN = -1.0

_STRENGTHS = (
    ("text_embedder.linear_1", 1.2),
    ("text_embedder.linear_2", 1.2),
    ("timestep_embedder.linear_2", 0.5),
    ("norm1", 0.1),
    ("norm_out", 0.07),
    ("context_embedder", 2.0),
    ("to_out", 0.6),
    ("to_add_out", 0.6),
    ("net.2", 0.5),
    ("pos_embed.proj", 0.05),
    ("proj_out", 0.02),
    ("", 1.0),
)
"""Standard deviation of a layer's output for inputs of standard deviation 1, by the first fragment in its name."""

_JOINT_SHARPNESS = 1.3
_IMAGE_SHARPNESS = 2.0
_BIAS = 0.05
_NORM_SPREAD = 0.05

_TIED = ("to_out.0", ".ff.net.2", "norm1.linear", "norm_out.linear", "pos_embed.proj")


def transformer_tensors() -> dict[str, Doubles]:
    """Values of ``layout.transformer_shapes``."""
    tensors = {name: _noise(name, shape) for name, shape in transformer_shapes().items()}
    tensors["pos_embed.pos_embed"] = position_table(_WIDTH, _GRID, _SETTINGS["sample_size"] // _PATCH)
    for name, values in tensors.items():
        if name.rsplit(".", 1)[0].endswith(_TIED):
            _tie_places(values)
        if ".norm1" in name and name.endswith("linear.bias"):
            _open_gates(values)
    _open_direct_path(tensors)
    for k in _SETTINGS["dual_attention_layers"]:
        _average_by_position(tensors, f"transformer_blocks.{k}.attn2")
    return tensors


def _noise(name: str, shape: tuple[int, ...]) -> Doubles:
    key = f"transformer/{name}"
    if name.endswith(".bias"):
        return bell(key, shape, _BIAS)
    if len(shape) == 1:
        # Scales of the query and key norms: their product is the height of the attention logits.
        sharpness = _IMAGE_SHARPNESS if ".attn2." in name else _JOINT_SHARPNESS
        return sharpness * (1.0 + bell(key, shape, _NORM_SPREAD))
    strength = next(value for fragment, value in _STRENGTHS if fragment in name)
    return bell(key, shape, strength / math.sqrt(math.prod(shape[1:])))


def _content_channels() -> NDArray[np.intp]:
    """Channel of each (place, latent), in the order of ``proj_out``: place by place, [64]."""
    return np.flatnonzero(np.arange(_WIDTH) % _FREQUENCIES >= _FAST)


def _position_channels(first: int) -> NDArray[np.intp]:
    """Sines and cosines of four fast frequencies from ``first`` on, for both axes, [16]."""
    frequency = np.arange(_WIDTH) % _FREQUENCIES
    return np.flatnonzero((frequency >= first) & (frequency < first + _HEAD // 4))


def _tie_places(values: Doubles) -> None:
    content = _content_channels().reshape(_PLACES, _LATENTS)
    for chunk in range(0, len(values), _WIDTH):
        values[chunk + content[1:]] = values[chunk + content[0]]


def _open_gates(bias: Doubles) -> None:
    """Add one to every third chunk, the gates; the closing norm of the text has two chunks and no gate."""
    for chunk in range(2, len(bias) // _WIDTH, 3):
        bias[chunk * _WIDTH : (chunk + 1) * _WIDTH] += 1.0


def _open_direct_path(tensors: dict[str, Doubles]) -> None:
    content = _content_channels()
    table = tensors["pos_embed.pos_embed"].reshape(_GRID, _GRID, _WIDTH)
    tensors["pos_embed.proj.bias"][content] -= table[_GRID // 2, _GRID // 2, content]
    colouring = bell("transformer/proj_out/colouring", (_LATENTS, _WIDTH), _COLOURING / math.sqrt(_WIDTH))
    for k, channel in enumerate(content):
        place, latent = divmod(k, _LATENTS)
        tensors["pos_embed.proj.weight"][channel, latent, place // _PATCH, place % _PATCH] += _PATCH_GAIN
        tensors["proj_out.weight"][k] += colouring[latent]
        tensors["proj_out.weight"][k, channel] += _CLEARING


def _average_by_position(tensors: dict[str, Doubles], attention: str) -> None:
    _share_latents(tensors, attention, head=0, gain=_LOCAL_AVERAGE)
    _compare_positions(tensors, attention, head=0, first_frequency=0)
    _share_latents(tensors, attention, head=1, gain=_WIDE_AVERAGE)
    _compare_positions(tensors, attention, head=1, first_frequency=2)
    _share_latents(tensors, attention, head=2, gain=_OVERALL_MEAN)
    _see_all_alike(tensors, attention, head=2)


def _rows(head: int) -> slice:
    return slice(head * _HEAD, (head + 1) * _HEAD)


def _share_latents(tensors: dict[str, Doubles], attention: str, *, head: int, gain: float) -> None:
    """Let a head carry the mean of each latent over the places of a patch, and take ``gain`` of it off again."""
    value, out = tensors[f"{attention}.to_v.weight"], tensors[f"{attention}.to_out.0.weight"]
    value[_rows(head)] *= 0.1
    out[:, _rows(head)] *= 0.1
    for k, channel in enumerate(_content_channels()):
        row = head * _HEAD + k % _LATENTS
        value[row, channel] += 1.0 / _PLACES
        out[channel, row] -= gain


def _compare_positions(tensors: dict[str, Doubles], attention: str, *, head: int, first_frequency: int) -> None:
    for projection in ("to_q", "to_k"):
        weight = tensors[f"{attention}.{projection}.weight"]
        weight[_rows(head)] *= 0.1
        for j, channel in enumerate(_position_channels(first_frequency)):
            weight[head * _HEAD + j, channel] += 1.0


def _see_all_alike(tensors: dict[str, Doubles], attention: str, *, head: int) -> None:
    for projection in ("to_q", "to_k"):
        tensors[f"{attention}.{projection}.weight"][_rows(head)] = 0.0
        tensors[f"{attention}.{projection}.bias"][_rows(head)] = 0.0
