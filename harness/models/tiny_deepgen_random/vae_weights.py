"""Values of the autoencoder: a soft-focus picture path in the first channels, hashed texture in the others.

Red, green and blue each run through the network as a pair of opposite channels.  The difference of SiLU(x) and SiLU(-x)
is x, and a pair has no mean that a group norm could take away, so the pairs pass both unbent.
"""

from __future__ import annotations

import math

import numpy as np

from harness.models.tiny_deepgen_random.draws import Doubles, bell
from harness.models.tiny_deepgen_random.layout import config, vae_shapes

_LATENTS = config("vae")["latent_channels"]

_SMOOTHING = np.array([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16.0
_PAIRS = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0], [0, 0, 1.0], [0, 0, -1.0]])
_PICTURE = len(_PAIRS)

# Brightness, orange against blue and green against purple: three latents of about equal size, exact in binary.
_LATENTS_OF_RGB = np.array([[0.25, 0.5, 0.25], [1.0, 0.0, -1.0], [-0.5, 1.0, -0.5]])
_RGB_OF_LATENTS = np.array([[1.0, 0.5, -0.5], [1.0, 0.0, 0.5], [1.0, -0.5, -0.5]])

_LATENT_GAIN = 2.0
_CONTRAST = 0.34
_LOG_VARIANCE = -3.5

_STRENGTHS = (
    ("attentions.0.to_out", 0.3),
    ("conv_shortcut", 0.2),
    ("samplers", 0.2),
    ("conv2", 0.35),
    ("decoder.conv_out", 0.3),
    ("encoder.conv_out", 0.3),
    ("attentions", 1.0),
    ("", 1.4),
)
"""Standard deviation of a layer's output for inputs of standard deviation 1, by the first fragment in its name."""

_SIDE_INPUTS = ("conv2", "attentions.0.to_out.0", "conv_shortcut", "samplers.0.conv")
_SIDE_INPUT_TO_PICTURE = 0.2
_SMALL = 0.05
_GRAIN = 0.02


def vae_tensors() -> dict[str, Doubles]:
    """Values of ``layout.vae_shapes``."""
    tensors = {name: _noise(name, shape) for name, shape in vae_shapes().items()}
    for name, values in tensors.items():
        layer = name.rsplit(".", 1)[0]
        if layer.endswith(_SIDE_INPUTS):
            values[:_PICTURE] *= _SIDE_INPUT_TO_PICTURE
        if name.endswith(("conv_shortcut.weight", "samplers.0.conv.weight")):
            _pass_through(values)
    _open_picture_path(tensors)
    tensors["encoder.conv_out.bias"][_LATENTS:] += _LOG_VARIANCE
    return tensors


def _noise(name: str, shape: tuple[int, ...]) -> Doubles:
    key = f"vae/{name}"
    if len(shape) == 1:
        around = 1.0 if "norm" in name and name.endswith(".weight") else 0.0
        return around + bell(key, shape, _SMALL)
    strength = next(value for fragment, value in _STRENGTHS if fragment in name)
    std = strength / math.sqrt(shape[1])
    if shape[2:] != _SMOOTHING.shape:
        return bell(key, shape, std)
    return bell(f"{key}/mix", (*shape[:2], 1, 1), std) * _SMOOTHING + bell(f"{key}/grain", shape, std * _GRAIN)


def _pass_through(weight: Doubles) -> None:
    """Add the identity, smoothed where the kernel has room for it."""
    kernel = _SMOOTHING if weight.shape[2:] == _SMOOTHING.shape else np.ones((1, 1))
    weight += np.eye(*weight.shape[:2])[:, :, None, None] * kernel


def _open_picture_path(tensors: dict[str, Doubles]) -> None:
    encode_in, encode_out = tensors["encoder.conv_in.weight"], tensors["encoder.conv_out.weight"]
    encode_in[:_PICTURE] = 0.0
    encode_in[:_PICTURE, :, 1, 1] = _PAIRS
    encode_out[:3] = 0.0
    encode_out[:3, :_PICTURE, 1, 1] = _LATENT_GAIN * (_LATENTS_OF_RGB @ _PAIRS.T)
    decode_in, decode_out = tensors["decoder.conv_in.weight"], tensors["decoder.conv_out.weight"]
    decode_in[:_PICTURE] = 0.0
    decode_in[:_PICTURE, :3] = (_PAIRS @ _RGB_OF_LATENTS)[:, :, None, None] * _SMOOTHING
    decode_out[:, :_PICTURE] = 0.0
    decode_out[:, :_PICTURE, 1, 1] = _CONTRAST * _PAIRS.T
