"""Known answers and traps for the comparator, asked on this machine: published values, sums by hand, and pins.

Pictures are made from whole numbers, so they are the same everywhere. Pinned values were computed once with
scikit-image 0.26.0; where scikit-image is installed it is asked again, on pictures of its own too.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from harness import plugins
from harness.compare.gates import holds
from harness.compare.hints import hints
from harness.contracts import DATA_RANGE
from harness.errors import ImageError, UndefinedMetric
from harness.images import array_digest, read_picture, write_picture
from harness.records import Limit, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Answer = float | str

_EXACT = 1e-9
_SIZE = (96, 128, 3)
_WHITE = 255
_BY_EXPECTED_SIDE = "mean_relative_error, relative_l1, relative_l2, share_over_1_percent"
"""Metrics that divide by the expected side."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question with a known answer."""

    name: str
    """What was asked, the metric first where it is about one."""
    expected: str
    """The known answer."""
    found: str
    """The answer on this machine."""
    ok: bool
    """Whether they agree."""


@dataclass(frozen=True)
class _Question:
    name: str
    expected: Answer
    ask: Callable[[], Answer]
    tolerance: float = _EXACT


def checks() -> list[Check]:
    """Ask everything; a part that raises fails its question and no other."""
    # One by one: the files are there only until the next question is called for.
    return [_asked(question) for question in chain(_oracles(), _pins(), _traps(), _laws(), _files(), _live())]


def _asked(question: _Question) -> Check:
    try:
        answer = question.ask()
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is what was to be found out
        answer = f"{type(error).__name__}: {error}"
    if isinstance(answer, str) or isinstance(question.expected, str):
        ok = answer == question.expected
    else:
        ok = answer == question.expected or abs(answer - question.expected) <= question.tolerance
    return Check(name=question.name, expected=_shown(question.expected), found=_shown(answer), ok=ok)


def _shown(answer: Answer) -> str:
    return (answer or "none") if isinstance(answer, str) else f"{answer:.10g}"


# --- pictures --------------------------------------------------------------------------------------------------------


def picture() -> Picture:
    """Waves that differ in every channel: ``uint8[96, 128, 3]``."""
    y, x, channel = np.indices(_SIZE)
    return np.asarray((x * y * (channel + 1) // 24 + 3 * x + 5 * y) % 256, dtype=np.uint8)


def rough() -> Picture:
    """The picture with up to eight levels more or less."""
    y, x, channel = np.indices(_SIZE)
    return np.asarray(np.clip(picture() + (7 * x + 13 * y + 5 * channel) % 17 - 8, 0, _WHITE), dtype=np.uint8)


def patched() -> Picture:
    """The picture with its last eight rows broken."""
    y, x, channel = np.indices(_SIZE)
    return np.where(y < _SIZE[0] - 8, picture(), (x * x + 31 * y * x + 57 * channel) % 256).astype(np.uint8)


def _full(level: int) -> Picture:
    return np.full(_SIZE, level, np.uint8)


def _changed(to: int) -> Picture:
    """A black picture with the red of one pixel changed."""
    changed = _full(0)
    changed[60, 100, 0] = to
    return changed


def _found(metric: str, actual: NDArray[Any], expected: NDArray[Any], data_range: float = DATA_RANGE["image"]) -> float:
    return plugins.load("metrics", metric).measure(actual, expected, data_range=data_range).value


def _where(metric: str, actual: NDArray[Any], expected: NDArray[Any]) -> str:
    return plugins.load("metrics", metric).measure(actual, expected, data_range=DATA_RANGE["image"]).where


# --- sums by hand ----------------------------------------------------------------------------------------------------


def _oracles() -> Iterator[_Question]:
    values = math.prod(_SIZE)
    three, four = (np.dstack([np.array(rows, np.uint8)] * 3) for rows in ([[0, 1], [2, 3]], [[3, 2], [1, 0]]))
    yield _Question(
        "psnr_db: the example of torchmetrics", 10 * math.log10(9 / 5), partial(_found, "psnr_db", three, four, 3)
    )
    darker, brighter = (picture() // 2 + np.uint8(more) for more in (0, 7))
    yield _Question("mse: 7 levels brighter", 49, partial(_found, "mse", brighter, darker))
    yield _Question("mean_abs_diff: 7 levels brighter", 7, partial(_found, "mean_abs_diff", brighter, darker))
    yield _Question("signed_mean_diff: 7 levels darker", -7, partial(_found, "signed_mean_diff", darker, brighter))
    yield _Question("identical: one value one level off", 0, partial(_found, "identical", _changed(1), _full(0)))
    off_by_one = 10 * math.log10(_WHITE**2 * values)
    yield _Question("psnr_db: one value one level off", off_by_one, partial(_found, "psnr_db", _changed(1), _full(0)))
    yield _Question("max_abs_diff: one red pixel", 250, partial(_found, "max_abs_diff", _changed(250), _full(0)))
    place = "x=100 y=60 channel=r"
    yield _Question("max_abs_diff: where it is", place, partial(_where, "max_abs_diff", _changed(250), _full(0)))
    for damaged, percentile in ((values // 100, 0), (values // 100 + 1, 9)):
        broken = _full(0)
        broken.reshape(-1)[:damaged] = 9
        yield _Question(
            f"p99_abs_diff: {damaged} of {values} values broken",
            percentile,
            partial(_found, "p99_abs_diff", broken, _full(0)),
        )
    c1 = (0.01 * _WHITE) ** 2
    grey_white = (2 * 128 * _WHITE + c1) / (128**2 + _WHITE**2 + c1)
    for metric in ("ssim", "ssim_tile_min"):
        yield _Question(
            f"{metric}: grey against white",
            grey_white,
            partial(_found, metric, _full(128), _full(_WHITE)),
        )
    yield _Question("psnr_db: black against white", 0, partial(_found, "psnr_db", _full(0), _full(_WHITE)))


# --- values pinned with scikit-image ---------------------------------------------------------------------------------

PAIRS: dict[str, tuple[Callable[[], Picture], float, float]] = {
    # pair: (the actual picture, SSIM, mean of the worst tile of the map)
    "rough": (rough, 0.9738033320646353, 0.9482543073414919),
    "last rows broken": (patched, 0.9510420825251439, 0.8593811083311073),
    "shifted by 1 px": (lambda: np.roll(picture(), 1, axis=1), 0.8281292471345199, 0.7594553548499733),
    "channels swapped": (lambda: picture()[..., ::-1], 0.4912214401825903, 0.38829502479501465),
}


def _pins() -> Iterator[_Question]:
    for pair, (actual, mean, tile) in PAIRS.items():
        for metric, value in (("ssim", mean), ("ssim_tile_min", tile)):
            yield _Question(
                f"{metric}: {pair}",
                value,
                partial(_found, metric, actual(), picture()),
            )


# --- traps -----------------------------------------------------------------------------------------------------------


def _traps() -> Iterator[_Question]:
    squares = sum((_WHITE - 2 * value) ** 2 for value in picture().ravel().tolist())
    negative = 10 * math.log10(_WHITE**2 * picture().size / squares)
    yield _Question(
        "psnr_db: the negative, no wrap-around", negative, partial(_found, "psnr_db", ~picture(), picture())
    )
    exact = np.arange(math.prod(_SIZE)).reshape(_SIZE) % 500
    cut, rounded = (exact // 2).astype(np.uint8), ((exact + 1) // 2).astype(np.uint8)
    yield _Question("signed_mean_diff: truncated", -0.5, partial(_found, "signed_mean_diff", cut, rounded), 0.01)
    place = "tile x=17..48 y=59..90"
    yield _Question("ssim_tile_min: broken last rows", place, partial(_where, "ssim_tile_min", patched(), picture()))
    limit = Limit(metric="psnr_db", scope=Scope.REFERENCE, at_least=40, reason="A limit to be tried.")
    kept = "40, inf"
    tried = (40.0, 39.9, math.inf, -math.inf, math.nan)
    yield _Question(
        "limits: at least 40", kept, lambda: ", ".join(f"{value:g}" for value in tried if holds(limit, value))
    )
    for name, actual in {
        "shift": np.roll(picture(), 2, axis=1),
        "channels": picture()[..., ::-1],
        "negative": ~picture(),
        "offset": picture() // 2 + np.uint8(5),
        "truncation": cut,
        "border": patched(),
        "flat": _full(0),
        "": rough(),
    }.items():
        expected = {"offset": picture() // 2, "truncation": rounded}.get(name, picture())
        yield _Question(
            f"hints: {name or 'none for noise'}",
            name,
            partial(_hinted, actual, expected),
        )


def _hinted(actual: Picture, expected: Picture) -> str:
    return ", ".join(hint.name for hint in hints(actual, expected))


def _laws() -> Iterator[_Question]:
    """Laws of every metric there is, those of other packages too; the answer names the metrics that break one."""
    yield _Question("equal pictures: metrics not at their best", "", partial(_names, _not_best))
    yield _Question("black and white: metrics at their best", "", partial(_names, _best_for_opposites))
    yield _Question("sides exchanged: metrics of another size", _BY_EXPECTED_SIDE, partial(_names, _lopsided))
    nan = np.full(_SIZE, math.nan, np.float32)
    yield _Question("not a number: metrics with a value", "identical", partial(_answering, nan, nan))
    yield _Question("another width: metrics with a value", "", partial(_answering, picture()[:, 1:], picture()))
    yield _Question("one pixel to spread: metrics with a value", "", partial(_answering, picture()[:1, :1], picture()))


def _names(breaks: Callable[[str], bool]) -> str:
    names = []
    for name in plugins.names("metrics"):
        try:
            broken = "image" in plugins.load("metrics", name).SUBJECTS and breaks(name)
        except Exception as error:  # noqa: BLE001 - one broken metric must not hide the others
            names.append(f"{name} ({type(error).__name__}: {error})")
        else:
            names += [name] if broken else []
    return ", ".join(names)


def _not_best(name: str) -> bool:
    return _found(name, picture(), picture()) != plugins.load("metrics", name).IDENTICAL


def _best_for_opposites(name: str) -> bool:
    return _found(name, _full(0), _full(_WHITE)) == plugins.load("metrics", name).IDENTICAL


def _lopsided(name: str) -> bool:
    value, other = _found(name, rough(), picture()), _found(name, picture(), rough())
    return not math.isclose(abs(value), abs(other), rel_tol=_EXACT)


def _answering(actual: NDArray[Any], expected: NDArray[Any]) -> str:
    """Metrics that give a value for what has none."""

    def answers(name: str) -> bool:
        try:
            _found(name, actual, expected)
        except (ImageError, UndefinedMetric):
            return False
        return True

    return _names(answers)


# --- files -----------------------------------------------------------------------------------------------------------


def _files() -> Iterator[_Question]:
    digest = "d58427453ec105d3"
    yield _Question("digest: six zeros", digest, lambda: array_digest(np.zeros((2, 3), np.uint8))[:16])
    with tempfile.TemporaryDirectory(prefix="harness-selftest-") as scratch:
        path = Path(scratch) / "picture.png"
        yield _Question("files: a picture written and read", array_digest(picture())[:16], partial(_round_trip, path))
        clear = np.dstack([picture(), _full(0)[..., :1]])
        files = {
            "transparency": lambda: Image.fromarray(clear).save(path),
            "16 bits": lambda: cv2.imwrite(str(path), picture().astype(np.uint16) << 8),
            "a file cut off": lambda: path.write_bytes(path.read_bytes()[:-100]),
        }
        for name, write in files.items():
            yield _Question(f"files: {name}", "refused", partial(_read, path, write))


def _round_trip(path: Path) -> str:
    write_picture(path, picture())
    return array_digest(read_picture(path))[:16]


def _read(path: Path, write: Callable[[], object]) -> str:
    write_picture(path, picture())
    write()
    try:
        return f"read as {list(read_picture(path).shape)}"
    except ImageError:
        return "refused"


# --- scikit-image, where it is installed -----------------------------------------------------------------------------


def _live() -> Iterator[_Question]:
    if find_spec("skimage") is None:
        return
    import skimage.data
    from skimage.metrics import structural_similarity

    for pair, (actual, _, _) in PAIRS.items():
        value = structural_similarity(  # type: ignore[no-untyped-call]
            actual(),
            picture(),
            data_range=_WHITE,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        yield _Question(
            f"ssim: {pair}, scikit-image here",
            float(value),
            partial(_found, "ssim", actual(), picture()),
        )
    grey = skimage.data.camera()  # type: ignore[no-untyped-call]
    noise = 20 * np.random.RandomState(5).randn(*grey.shape)
    camera, noisy = (np.dstack([levels.astype(np.uint8)] * 3) for levels in (grey, np.clip(grey + noise, 0, _WHITE)))
    yield _Question("psnr_db: published by IPOL", 22.409353363576034, partial(_found, "psnr_db", noisy, camera), 5e-5)
    yield _Question("ssim: published by IPOL", 0.357959091663361, partial(_found, "ssim", noisy, camera), 5e-4)
