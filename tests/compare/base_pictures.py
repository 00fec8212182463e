"""Pictures to damage: made from formulas, drawn by the embedded model, or photographs, in several sizes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Make = Callable[[np.random.Generator], Picture]

ROOT = Path(__file__).parents[2]


def levels(values: NDArray[Any]) -> Picture:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def spectrum(random: np.random.Generator, height: int, width: int, power: float) -> NDArray[np.float64]:
    """Waves of all lengths with random phases, from 0 to 1; photographs have a power of about 1."""
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    # The mean has no wave; any length does for it.
    strength = np.maximum(np.hypot(down, across), 1 / max(height, width)) ** -power
    return scaled(np.fft.irfft2(strength * np.exp(2j * np.pi * random.random(strength.shape)), s=(height, width)))


def scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.percentile(values, [0.5, 99.5])
    return np.asarray(np.clip((values - low) / (high - low), 0, 1), dtype=np.float64)


def grid(height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    down, across = np.mgrid[:height, :width]
    return down / height, across / width


def gradients(random: np.random.Generator, height: int = 256, width: int = 384) -> Picture:
    down, across = grid(height, width)
    phase = random.random(6)
    waves = [
        np.sin(2.1 * across + 3.7 * down + 6 * phase[0]) + 0.6 * np.sin(7 * across - 4 * down + 6 * phase[1]),
        np.sin(3.3 * across - 2.9 * down + 6 * phase[2]) + 0.6 * np.sin(5 * across + 8 * down + 6 * phase[3]),
        np.sin(1.4 * across + 5.1 * down + 6 * phase[4]) + 0.6 * np.sin(9 * across + 2 * down + 6 * phase[5]),
    ]
    return levels(127 + np.dstack(waves) * 75)


def texture(random: np.random.Generator, height: int = 256, width: int = 256) -> Picture:
    """A woven cloth in two colours, worn here and there."""
    down, across = grid(height, width)
    wear = spectrum(random, height, width, 1.2)
    weave = np.sin(2 * np.pi * (23 * across + 1.2 * wear)) * np.sin(2 * np.pi * (31 * down + 0.9 * wear))
    warm, cold = random.uniform([150, 90, 40], [230, 150, 90]), random.uniform([20, 60, 90], [70, 120, 160])
    share = np.clip(0.5 + 0.4 * weave + 0.5 * (wear - 0.5), 0, 1)[..., None]
    return levels(share * warm + (1 - share) * cold + random.normal(0, 3, (height, width, 1)))


def shapes(random: np.random.Generator, height: int = 320, width: int = 320) -> Picture:
    """Discs of any colour over a gradient, as small models draw them."""
    down, across = np.mgrid[:height, :width]
    picture = np.dstack(
        [255 * across / width, 255 * down / height, 90 + 80 * np.sin(across / width * 3 + down / height)]
    )
    for _ in range(22):
        y, x, radius = random.uniform(0, height), random.uniform(0, width), random.uniform(0.04, 0.15) * height
        inside = np.clip(radius - np.hypot(down - y, across - x) + 0.5, 0, 1)[..., None]
        picture = picture * (1 - inside) + inside * random.uniform(0, 255, 3)
    return levels(picture)


def text(random: np.random.Generator, height: int = 288, width: int = 512) -> Picture:
    """Lines of strokes in ink on warm paper, with a coloured heading."""
    paper = np.array([246, 238, 220.0]) + 6 * (spectrum(random, height, width, 1.5)[..., None] - 0.5)
    ink = np.zeros((height, width))
    for top in range(14, height - 16, 18):
        x = 16
        while x < width - 30:
            for _ in range(int(random.integers(2, 9))):
                for _ in range(int(random.integers(2, 4))):
                    y, long = top + int(random.integers(0, 8)), int(random.integers(3, 8))
                    if random.random() < 0.5:
                        ink[y : y + long, x : x + 2] = 1
                    else:
                        ink[y : y + 2, x : x + long] = 1
                x += 8
                if x > width - 30:
                    break
            x += 7
    colour = np.where(np.arange(height)[:, None, None] < height // 6, [150.0, 30, 40], [35.0, 40, 60])
    return levels(paper * (1 - 0.93 * ink[..., None]) + 0.93 * ink[..., None] * colour)


def night(random: np.random.Generator, height: int = 256, width: int = 384) -> Picture:
    """A dark sky over a darker ground with lit windows."""
    down, across = np.mgrid[:height, :width]
    sky = np.dstack([10 + 14 * down / height, 12 + 18 * down / height, 26 + 40 * down / height])
    picture = sky + 9 * spectrum(random, height, width, 1.3)[..., None] * [0.7, 0.8, 1.2]
    roofs = height * (0.45 + 0.3 * np.repeat(random.random(-(-width // 16)), 16)[:width])
    picture[down > roofs] *= 0.45
    for _ in range(90):
        y, x = int(random.uniform(0.5, 0.97) * height), int(random.integers(0, width - 6))
        picture[y : y + 5, x : x + 4] = random.uniform([150, 110, 30], [255, 230, 140])
    glow = np.exp(-np.hypot(down - height * 0.2, across - width * random.uniform(0.2, 0.8)) / 12)
    return levels(picture + 220 * glow[..., None] * [1, 0.97, 0.85])


def photograph(random: np.random.Generator, height: int = 512, width: int = 512) -> Picture:
    """What photographs have in common: power falls with frequency, edges, channels that go together, some grain."""
    luma = spectrum(random, height, width, 1.1)
    far = spectrum(random, height, width, 1.6)
    luma = np.where(far > np.median(far), 0.75 * luma + 0.25, 0.7 * luma)
    warmth, tint = spectrum(random, height, width, 1.5) - 0.5, spectrum(random, height, width, 1.7) - 0.5
    picture = np.dstack([luma + 0.4 * warmth, luma + 0.2 * tint, luma - 0.4 * warmth - 0.1 * tint])
    return levels(20 + 215 * picture + random.normal(0, 2, (height, width, 3)))


def portrait(random: np.random.Generator, height: int = 448, width: int = 320) -> Picture:
    """A subject in the middle of a soft ground, which is in most pictures of one prompt."""
    down, across = grid(height, width)
    x, y, size = random.uniform([0.42, 0.4, 0.2], [0.58, 0.55, 0.3])
    inside = 1 / (1 + np.exp((np.hypot((across - x) * width / height * 1.1, down - y) - size) * 60))
    ground = np.dstack([110 + 60 * down, 130 + 50 * across, 160 - 40 * down])
    skin = spectrum(random, height, width, 1.2)[..., None] * [120, 90, 70] + [110, 70, 50]
    fine = 22 * (spectrum(random, height, width, 0.7)[..., None] - 0.5)
    return levels(ground * (1 - inside[..., None]) + skin * inside[..., None] + fine)


def foliage(random: np.random.Generator, height: int = 256, width: int = 320) -> Picture:
    """Fine leaves in light and shade."""
    fine, light = spectrum(random, height, width, 0.75), spectrum(random, height, width, 1.6)
    share = np.clip(0.7 * fine + 0.5 * light - 0.1, 0, 1)
    hue = spectrum(random, height, width, 1.2)
    return levels(np.dstack([30 + 170 * share * hue + 20 * light, 40 + 190 * share, 20 + 90 * share * (1 - hue)]))


def stored(path: str) -> Make:
    return lambda _: np.asarray(Image.open(ROOT / path).convert("RGB"), dtype=np.uint8)


def part(path: str, left: int, top: int, width: int, height: int) -> Make:
    return lambda random: stored(path)(random)[top : top + height, left : left + width]


BASES: Mapping[str, Make] = {
    "gradients": gradients,
    "texture": texture,
    "shapes": shapes,
    "text": text,
    "night": night,
    "photo-like": photograph,
    "portrait": portrait,
    "foliage": foliage,
    "model: valentine": stored("docs/pictures/world/valentine.png"),
    "model: three rings": stored("docs/pictures/world/three-rings.png"),
    "astronaut": stored("scenarios/inputs/astronaut.png"),
    "chelsea, a part": part("scenarios/inputs/chelsea.png", 32, 16, 200, 160),
    "coffee": stored("scenarios/inputs/coffee.png"),
}
"""Names, and what makes the picture of a draw."""

DRAWN = ("gradients", "texture", "shapes", "night", "photo-like", "portrait", "foliage")
"""Those that look different from draw to draw."""


@cache
def base(name: str, draw: int = 0) -> Picture:
    """One picture; another draw is what other noise would have given."""
    seed = [draw, *name.encode()]
    return np.ascontiguousarray(BASES[name](np.random.default_rng(seed)))
