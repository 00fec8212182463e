"""Kinds of damage, each with the hint that is due to it, or none; all are made the same each time."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from tests.compare.base_pictures import DRAWN, base, grid, levels, spectrum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Change = Callable[[Picture], Picture]


class Damage(NamedTuple):
    """A kind of damage."""

    name: str
    due: str
    """Name of the hint; empty where none is due."""
    change: Change
    square: bool = False
    """Whether it needs a square picture."""
    says: str = ""
    """What the message has to hold as well."""
    of_expected: bool = False
    """Whether the expected side is the damaged one."""


class Planted(NamedTuple):
    """A damaged picture."""

    damage: Damage
    base: str
    actual: Picture
    expected: Picture


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noisy(picture: Picture, sigma: float, seed: int = 1) -> Picture:
    return levels(picture + random(seed).normal(0, sigma, picture.shape))


def garbage(*shape: int) -> Picture:
    return random(7).integers(0, 256, shape, dtype=np.uint8)


def rolled(right: int, down: int) -> Change:
    return lambda it: np.roll(it, (down, right), axis=(0, 1))


def slid(right: int, down: int) -> Change:
    """Moved, with the last rows and columns repeated at the edge."""

    def change(it: Picture) -> Picture:
        rows = np.clip(np.arange(it.shape[0]) - down, 0, it.shape[0] - 1)
        columns = np.clip(np.arange(it.shape[1]) - right, 0, it.shape[1] - 1)
        return it[rows][:, columns]

    return change


def with_channel(channel: int, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Change:
    def changed(it: Picture) -> Picture:
        made = it.copy()
        made[..., channel] = levels(change(it[..., channel].astype(np.float64)))
        return made

    return changed


def mixed(matrix: NDArray[Any]) -> Change:
    return lambda it: levels(it @ matrix.T)


def ycbcr(red: float, green: float, blue: float) -> NDArray[np.float64]:
    """Luma and colour differences of a standard with these weights."""
    return np.array(
        [
            [red, green, blue],
            [-red / (2 - 2 * blue), -green / (2 - 2 * blue), 0.5],
            [0.5, -green / (2 - 2 * red), -blue / (2 - 2 * red)],
        ]
    )


BT_601, BT_709 = ycbcr(0.299, 0.587, 0.114), ycbcr(0.2126, 0.7152, 0.0722)


def hue(degrees: float) -> Change:
    turn = np.radians(degrees)
    around = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    return mixed(np.linalg.inv(BT_601) @ around @ BT_601)


def saturated(share: float) -> Change:
    return mixed(np.linalg.inv(BT_601) @ np.diag([1, share, share]) @ BT_601)


def jpeg(quality: int, subsampling: int = -1) -> Change:
    def change(it: Picture) -> Picture:
        file = BytesIO()
        Image.fromarray(it).save(file, "JPEG", quality=quality, subsampling=subsampling)
        return np.asarray(Image.open(file), dtype=np.uint8)

    return change


def by_pillow(change: Callable[[Image.Image], Image.Image]) -> Change:
    return lambda it: np.asarray(change(Image.fromarray(it)), dtype=np.uint8)


def resized(it: Image.Image) -> Image.Image:
    small = it.resize((it.width * 3 // 4, it.height * 3 // 4), Image.Resampling.BICUBIC)
    return small.resize(it.size, Image.Resampling.BICUBIC)


def board(it: Picture) -> NDArray[np.float64]:
    """1 and -1 like a checkerboard."""
    down, across = np.indices(it.shape[:2])
    return np.asarray(np.where((down + across) % 2, 1.0, -1.0)[..., None])


def every(it: Picture, step: int, axis: int) -> NDArray[np.float64]:
    """1 in every so many rows or columns, 0 elsewhere."""
    return np.asarray((np.indices(it.shape[:2])[axis] % step == 0)[..., None], dtype=np.float64)


def upsampled(it: Picture) -> Picture:
    """A transposed convolution whose kernel and stride do not go together: gains that repeat after 2 pixels."""
    gains = np.array([[1.05, 0.98], [0.98, 0.95]])
    height, width, _ = it.shape
    return levels(it * np.tile(gains, (height // 2 + 1, width // 2 + 1))[:height, :width, None])


def tiled(count: int, *, gain: float = 0.0, offset: float = 10.0) -> Change:
    def change(it: Picture) -> Picture:
        made, draws = it.astype(np.float64), random(count)
        for rows in np.array_split(np.arange(it.shape[0]), count):
            for columns in np.array_split(np.arange(it.shape[1]), count):
                part = np.ix_(rows, columns)
                made[part] = made[part] * (1 + gain * draws.uniform(-1, 1)) + offset * draws.uniform(-1, 1)
        return levels(made)

    return change


def with_part(rows: slice, columns: slice, values: int | None = None) -> Change:
    def change(it: Picture) -> Picture:
        made = it.copy()
        made[rows, columns] = garbage(*made[rows, columns].shape) if values is None else values
        return made

    return change


def framed(depth: int) -> Change:
    def change(it: Picture) -> Picture:
        made = np.zeros_like(it)
        made[depth:-depth, depth:-depth] = it[depth:-depth, depth:-depth]
        return made

    return change


def truncated(it: Picture) -> Picture:
    """Decimals cut off where the picture has them rounded."""
    exact = it + random(3).uniform(-0.5, 0.4999, it.shape)
    return np.asarray(np.clip(np.floor(exact), 0, 255), dtype=np.uint8)


def salted(it: Picture) -> Picture:
    made, where = it.copy(), random().random(it.shape[:2])
    made[where < 0.01] = 0
    made[where > 0.99] = 255
    return made


def dithered(it: Picture) -> Picture:
    return levels(np.floor(it / 8.0 + random().random(it.shape)) * 8)


def lower_half_black(it: Picture) -> Picture:
    return with_part(slice(it.shape[0] // 2, None), slice(None), 0)(it)


def middle_mirrored(it: Picture) -> Picture:
    made, (height, width, _) = it.copy(), it.shape
    part = (slice(height // 5, 4 * height // 5), slice(width // 5, 4 * width // 5))
    made[part] = it[part][:, ::-1]
    return made


def darker_corners(it: Picture) -> Picture:
    down, across = grid(*it.shape[:2])
    return levels(it * (1 - 0.3 * np.hypot(down - 0.5, across - 0.5) ** 2)[..., None])


def clouded(it: Picture) -> Picture:
    height, width, _ = it.shape
    return levels(it + 25 * (spectrum(random(4), height, width, 1.0)[..., None] - 0.5))


def zoomed(it: Image.Image) -> Image.Image:
    large = it.resize((it.width * 51 // 50, it.height * 51 // 50), Image.Resampling.BICUBIC)
    left, top = (large.width - it.width) // 2, (large.height - it.height) // 2
    return large.crop((left, top, left + it.width, top + it.height))


def turned_a_little(it: Picture) -> Picture:
    """With the edge repeated into the corners."""
    wide = np.pad(it, ((32, 32), (32, 32), (0, 0)), mode="edge")
    return np.asarray(Image.fromarray(wide).rotate(2, Image.Resampling.BICUBIC), dtype=np.uint8)[32:-32, 32:-32]


def coarse(it: Image.Image) -> Image.Image:
    small = it.resize((it.width // 4, it.height // 4), Image.Resampling.BOX)
    return small.resize(it.size, Image.Resampling.NEAREST)


def through(it: Image.Image, form: str, quality: int) -> Image.Image:
    file = BytesIO()
    it.save(file, form, quality=quality)
    return Image.open(file).convert("RGB")


def few_off(it: Picture) -> Picture:
    step = random().choice([-1, 1], it.shape) * (random(5).random(it.shape) < 0.01)
    return levels(it.astype(int) + step)


KINDS = (
    Damage("shift 1 px right", "shift", rolled(1, 0), says="1 px right:"),
    Damage("shift 3 px left, 2 down", "shift", slid(-3, 2), says="3 px left and 2 px down:"),
    Damage("shift 8 px right", "shift", rolled(8, 0), says="8 px right:"),
    Damage("shift 8 px up, with noise", "shift", lambda it: noisy(slid(0, -8)(it), 1), says="8 px up:"),
    Damage("shift 16 px down", "shift", slid(0, 16), says="16 px down:"),
    Damage("shift 16 px right and up", "shift", rolled(16, -16), says="16 px right and 16 px up:"),
    Damage("mirrored left for right", "mirrored", lambda it: it[:, ::-1], says="left for right"),
    Damage("mirrored top for bottom", "mirrored", lambda it: it[::-1], says="top for bottom"),
    Damage("mirrored, with noise", "mirrored", lambda it: noisy(it[:, ::-1], 2), says="left for right"),
    Damage("turned by 180", "turned", lambda it: it[::-1, ::-1], says="180 degrees"),
    Damage("turned by 90", "turned", lambda it: np.rot90(it, -1), square=True, says="90 degrees clockwise"),
    Damage("turned by 270", "turned", np.rot90, square=True, says="90 degrees anticlockwise"),
    Damage("transposed", "transposed", lambda it: it.swapaxes(0, 1), square=True, says="rows for columns: "),
    Damage("BGR", "channels", lambda it: it[..., ::-1], says="red holds blue, blue holds red;"),
    Damage("channels in a ring", "channels", lambda it: np.roll(it, 1, axis=2), says="red holds blue, green holds red"),
    Damage("red in green's place too", "channels", lambda it: it[..., [0, 0, 2]], says=": green holds red;"),
    Damage("blue missing", "missing-channel", with_channel(2, np.zeros_like), says="blue is 0"),
    Damage("red full", "missing-channel", with_channel(0, lambda it: np.full_like(it, 255)), says="red is 255"),
    Damage("green inverted", "inverted-channel", with_channel(1, lambda it: 255 - it), says="green;"),
    Damage("red moved by 3", "moved-channel", with_channel(0, lambda it: np.roll(it, 3, axis=1)), says="red, by 3 px"),
    Damage("blue moved by 8", "moved-channel", with_channel(2, lambda it: np.roll(it, 8, axis=0)), says="8 px down"),
    Damage("red scaled by 0.8", "scaled-channels", with_channel(0, lambda it: 0.8 * it), says="red by 0.8"),
    Damage("all scaled", "scaled-channels", lambda it: levels(it * [1.2, 0.9, 0.7]), says="blue by 0."),
    Damage("BT.601 read as BT.709", "colour-matrix", mixed(np.linalg.inv(BT_709) @ BT_601), says="matrix of BT.709"),
    Damage("BT.709 read as BT.601", "colour-matrix", mixed(np.linalg.inv(BT_601) @ BT_709), says="matrix of BT.601"),
    Damage("hue turned by 20", "colours", hue(20)),
    Damage("half saturation", "colours", saturated(0.5)),
    Damage("grey by BT.601", "grey", saturated(0), says="BT.601"),
    Damage("grey by the mean", "grey", mixed(np.full((3, 3), 1 / 3)), says="mean of the channels"),
    Damage("10 levels brighter", "offset", lambda it: levels(it + 10.0)),
    Damage("blue 6 levels darker", "offset", lambda it: levels(it - [0.0, 0, 6])),
    Damage("negative", "negative", lambda it: 255 - it),
    Damage("gamma 2.2", "tone", lambda it: levels(255 * (it / 255) ** (1 / 2.2))),
    Damage("gamma 0.8", "tone", lambda it: levels(255 * (it / 255) ** (1 / 0.8))),
    Damage("video range", "tone", lambda it: levels(16 + it * (219 / 255))),
    Damage("half contrast", "tone", lambda it: levels(64 + it / 2)),
    Damage("8 levels", "posterised", lambda it: levels(np.floor(it / 32.0) * 32 + 16)),
    Damage("16 levels, cut off", "posterised", lambda it: it & np.uint8(0xF0)),
    Damage("32 levels", "posterised", lambda it: levels(np.rint(it / 255 * 31) / 31 * 255)),
    Damage("truncated", "truncation", truncated),
    Damage("checkerboard of 3 levels", "pattern", lambda it: levels(it + 3 * board(it)), says="a checkerboard:"),
    Damage("checkerboard and noise", "pattern", lambda it: noisy(levels(it + 5 * board(it)), 2), says="2 px"),
    Damage("every second row", "pattern", lambda it: levels(it + 6 * every(it, 2, 0)), says="a pattern of rows:"),
    Damage("every eighth column", "pattern", lambda it: levels(it - 9 * every(it, 8, 1)), says="after 8 px"),
    Damage("uneven upsampler", "pattern", upsampled, says="2 px"),
    Damage("2 x 2 tiles", "tiles", tiled(2), says="4 tiles"),
    Damage("4 x 4 tiles", "tiles", tiled(4), says="16 tiles"),
    Damage("3 x 3 tiles with gains", "tiles", tiled(3, gain=0.1, offset=6), says="9 tiles"),
    Damage("last rows", "border", with_part(slice(-4, None), slice(None)), says="(bottom)"),
    Damage("black frame", "border", framed(3)),
    Damage("garbage in one place", "one-place", with_part(slice(40, 64), slice(60, 100)), says="40 x 24 px"),
    Damage("white spot", "one-place", with_part(slice(50, 66), slice(40, 56), 255)),
    Damage("JPEG 50", "lossy", jpeg(50), says="the actual side"),
    Damage("JPEG 75", "lossy", jpeg(75), says="the actual side"),
    Damage("JPEG 90", "lossy", jpeg(90), says="the actual side"),
    Damage("JPEG 95", "lossy", jpeg(95, 0), says="the actual side"),
    Damage("JPEG 85 expected", "lossy", jpeg(85), says="the expected side", of_expected=True),
    Damage("black", "flat", np.zeros_like),
    Damage("grey", "flat", lambda it: np.full_like(it, 128)),
    Damage("grey, faint noise", "faint", lambda it: noisy(np.full_like(it, 127), 1.2)),
    Damage("noise alone", "only-noise", lambda it: garbage(*it.shape)),
    Damage("grey, strong noise", "only-noise", lambda it: noisy(np.full_like(it, 128), 40)),
    Damage("noise of 20 levels", "noise", lambda it: noisy(it, 20)),
    Damage("noise of 40 levels", "noise", lambda it: noisy(it, 40)),
    Damage("nothing", "", lambda it: it.copy()),
    Damage("rounding in half precision", "", lambda it: noisy(it, 0.6)),
    Damage("noise of 2 levels", "", lambda it: noisy(it, 2)),
    Damage("noise of 5 levels", "", lambda it: noisy(it, 5)),
    Damage("one level either way", "", few_off),
    Damage("smooth noise", "", lambda it: noisy(it, 6) // 2 + noisy(it, 6, 2) // 2),
    Damage("blurred", "", by_pillow(lambda it: it.filter(ImageFilter.GaussianBlur(1.5)))),
    Damage("blurred much", "", by_pillow(lambda it: it.filter(ImageFilter.GaussianBlur(5)))),
    Damage("sharpened", "", by_pillow(lambda it: ImageEnhance.Sharpness(it).enhance(2))),
    Damage("resized and back", "", by_pillow(resized)),
    Damage("half a pixel", "", lambda it: levels((it.astype(float) + slid(1, 0)(it)) / 2)),
    Damage("salt and pepper", "", salted),
    Damage("dithered", "", dithered),
    Damage("lower half black", "", lower_half_black),
    Damage("middle mirrored", "", middle_mirrored),
    Damage("darker corners", "", darker_corners),
    Damage("clouds", "", clouded),
    Damage("zoomed by 2 %", "", by_pillow(zoomed)),
    Damage("turned by 2 degrees", "", turned_a_little),
    Damage("median of 5 x 5", "", by_pillow(lambda it: it.filter(ImageFilter.MedianFilter(5)))),
    Damage("coarse blocks", "", by_pillow(coarse)),
    Damage("WebP 80", "", by_pillow(lambda it: through(it, "WEBP", 80))),
)
"""What is done to one picture."""

OTHER_NOISE = Damage("other noise", "other-picture", lambda it: it)
OTHER_PROMPT = Damage("another prompt", "other-picture", lambda it: it)


def planted(names: Sequence[str], draw: int = 0) -> Iterator[Planted]:
    """Every kind of damage to every picture of a draw, and pictures that have nothing to do with each other.

    Left out is damage that changes nothing, such as mirroring what is symmetric, where a hint would be due.
    """
    for name in names:
        whole = base(name, draw)
        side = min(whole.shape[:2])
        for damage in KINDS:
            expected = np.ascontiguousarray(whole[:side, :side]) if damage.square else whole
            actual = np.ascontiguousarray(damage.change(expected), dtype=np.uint8)
            if damage.of_expected:
                actual, expected = expected, actual
            if not damage.due or not np.array_equal(actual, expected):
                yield Planted(damage, name, actual, expected)
        if name in DRAWN:
            yield Planted(OTHER_NOISE, name, base(name, draw + 1), whole)
            yield Planted(OTHER_NOISE, name, base(name, draw + 3), base(name, draw + 2))
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        one, two = base(name, draw), base(other, draw)
        height, width = (min(sides) for sides in zip(one.shape[:2], two.shape[:2], strict=True))
        mine, theirs = (np.ascontiguousarray(each[:height, :width]) for each in (two, one))
        yield Planted(OTHER_PROMPT, name, mine, theirs)
