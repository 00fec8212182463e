"""``import harness`` as programs meet it: what it offers, takes and refuses, and what it imports."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import html5lib
import numpy as np
import pytest
import torch
from PIL import Image

import harness
from harness import api, plugins
from harness.compare import objects
from harness.errors import ImageError, UnknownName, UsageError
from harness.images import write_picture
from harness.picture_objects import held
from tests.command_line import environment, patience_seconds
from tests.render.test_validity import problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tests.command_line import WriteScenario


def noise(seed: int = 0, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 250, (height, width, 3), dtype=np.uint8)


def in_a_fresh_interpreter(code: str) -> Any:
    """What a piece of code prints as JSON in its last line."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=patience_seconds(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# --- the package -----------------------------------------------------------------------------------------------------


def test_what_is_not_in_all_is_private() -> None:
    shown = in_a_fresh_interpreter("import harness, json; print(json.dumps([dir(harness), harness.__all__]))")
    assert shown[0] == sorted(shown[1])
    assert set(harness.__all__) == {*api.__all__, "__version__"}
    assert harness.__all__ == [
        "Compared",
        "HarnessError",
        "NotClose",
        "Report",
        "__version__",
        "assert_close",
        "check",
        "compare",
        "compare_tensors",
        "load_results",
        "trace",
    ], "another name is a promise to users: say it in CHANGELOG.md"


@pytest.mark.parametrize("name", harness.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    found = getattr(harness, name)
    assert inspect.getdoc(found)
    if inspect.isfunction(found):
        assert "Raises:" in (inspect.getdoc(found) or "")
        assert all(
            each.annotation is not inspect.Parameter.empty for each in inspect.signature(found).parameters.values()
        )


def test_another_name_is_none() -> None:
    with pytest.raises(AttributeError, match="module 'harness' has no attribute 'comprae'"):
        _ = harness.comprae
    with pytest.raises(AttributeError, match="module 'harness' has no attribute 'Path'"):
        _ = harness.Path  # the package has it, and lends it to nobody


def test_importing_it_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import harness, json\n"
    code += "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))"
    allowed = {"harness", "json", "typing", "__future__", "_json", "re", "collections", "functools", "operator"}
    loaded = set(in_a_fresh_interpreter(code))
    assert "harness" in loaded
    assert not loaded & {"numpy", "PIL", "pydantic", "numba", "cv2", "torch", "pandas", "jinja2"}
    assert {name for name in loaded if not name.startswith("_")} <= allowed | set(sys.stdlib_module_names)


def test_a_heavy_import_would_be_noticed() -> None:
    code = "import sys, json, harness; harness.assert_close; print(json.dumps('numpy' in sys.modules))"
    assert in_a_fresh_interpreter(code) is True


@pytest.mark.parametrize(
    "first", ["import harness", "import harness.compare.comparator", "from harness.compare.gates import keeps"]
)
def test_compare_is_the_same_whatever_was_imported_first(first: str) -> None:
    code = f"{first}\nimport harness, json, numpy as np\nfrom harness import compare\n"
    code += "one = np.arange(3072, dtype=np.uint8).reshape(32, 32, 3)\n"
    code += "print(json.dumps([compare(one, one).identical, harness.compare(one, 255 - one).identical]))"
    assert in_a_fresh_interpreter(code) == [True, False]


def test_the_package_that_is_called_takes_what_the_function_takes() -> None:
    assert inspect.signature(harness.compare) == inspect.signature(objects.compare)


# --- what is taken ---------------------------------------------------------------------------------------------------

HELD: dict[str, Callable[[NDArray[np.uint8], Path], Any]] = {
    "array": lambda picture, _: picture,
    "array that cannot be written to": lambda picture, _: np.frombuffer(picture.tobytes(), np.uint8).reshape(
        picture.shape
    ),
    "array in another order of memory": lambda picture, _: np.asfortranarray(picture),
    "channels first": lambda picture, _: picture.transpose(2, 0, 1),
    "tensor": lambda picture, _: torch.from_numpy(picture.copy()),
    "tensor, channels first": lambda picture, _: torch.from_numpy(picture.copy()).permute(2, 0, 1),
    "image of Pillow": lambda picture, _: Image.fromarray(picture),
    "opaque image": lambda picture, _: Image.fromarray(picture).convert("RGBA"),
    "path": lambda picture, folder: written(folder / "picture.png", picture),
    "path as a text": lambda picture, folder: str(written(folder / "picture.png", picture)),
    "floats": lambda picture, _: (picture / 255).astype(np.float32),
    "floats of a tensor that learns": lambda picture, _: torch.nn.Parameter(torch.from_numpy(picture / 255)),
    "half precision": lambda picture, _: torch.from_numpy(picture / 255).half(),
}


def written(path: Path, picture: NDArray[np.uint8]) -> Path:
    write_picture(path, picture)
    return path


@pytest.mark.parametrize("kind", HELD)
def test_every_kind_of_picture_is_the_same_picture(kind: str, tmp_path: Path) -> None:
    expected = noise()
    before = expected.copy()
    found = harness.compare(HELD[kind](expected, tmp_path), expected, data_range=(0, 1))
    assert found.identical
    assert (expected == before).all()
    other = expected.copy()
    other[7, 11, 2] += 5
    found = harness.compare(HELD[kind](other, tmp_path), expected, data_range=(0, 1))
    assert not found.identical
    assert found.metrics["max_abs_diff"].value == 5
    assert found.metrics["max_abs_diff"].where == "x=11 y=7 channel=b"


def test_bfloat16_keeps_its_values() -> None:
    levels = torch.from_numpy(noise()).to(torch.bfloat16) / 256
    assert held(levels, "actual", data_range=(0, 1)).floats is not None
    assert harness.compare(levels, levels.float(), data_range=(0, 1)).identical


def test_a_range_of_minus_one_to_one_is_what_a_decoder_gives() -> None:
    expected = noise()
    assert harness.compare((expected / 127.5 - 1).astype(np.float32), expected, data_range=(-1, 1)).identical


def test_both_layouts_are_taken_where_they_are_said() -> None:
    square = noise(height=3, width=3)
    assert harness.compare(square, square, layout="HWC").identical
    first = held(square.transpose(2, 0, 1), "actual", layout="CHW").pixels
    assert (first == square).all()
    assert not (held(square.transpose(2, 0, 1), "actual", layout="HWC").pixels == square).all()


def test_transparency_is_taken_as_it_is_said() -> None:
    clear = Image.fromarray(noise()).convert("RGBA")
    clear.putalpha(0)
    white = np.full((48, 64, 3), 255, np.uint8)
    assert harness.compare(clear, white, alpha="white").identical
    assert not harness.compare(clear, white, alpha="black").identical


def planted_jax() -> object:
    class Array:
        """Looks like an array, and is none."""

        shape = (48, 64, 3)

    return Array()


RGB = (48, 64, 3)
REFUSED: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "nothing": (lambda: None, {}, "of type NoneType.*numpy.asarray"),
    "list": (lambda: [[1, 2, 3]], {}, "of type list"),
    "another array": (planted_jax, {}, r"Array; allowed: a NumPy array"),
    "grey": (lambda: np.zeros((48, 64), np.uint8), {}, r"shape \[48, 64\]; allowed: \[H, W, 3\] or"),
    "one number": (lambda: np.uint8(3), {}, "of type numpy.uint8"),
    "batch": (lambda: np.zeros((1, 3, 48, 64), np.uint8), {}, r"shape \[1, 3, 48, 64\].*picture\[0\]"),
    "empty": (lambda: np.zeros((0, 64, 3), np.uint8), {}, "no pixel"),
    "alpha in an array": (lambda: np.zeros((48, 64, 4), np.uint8), {}, r"picture\[..., :3\]"),
    "two channels": (lambda: np.zeros((48, 64, 2), np.uint8), {}, "the RGB picture itself"),
    "two layouts": (lambda: np.zeros((3, 64, 3), np.uint8), {}, "read in two ways.*layout='HWC'"),
    "the other layout": (lambda: np.zeros(RGB, np.uint8), {"layout": "CHW"}, r"allowed: \[3, H, W\]"),
    "floats without a range": (lambda: np.zeros(RGB), {}, "between 0 and 0.*data_range"),
    "floats of levels": (lambda: np.full(RGB, 200.0), {"data_range": (0, 1)}, "between 200 and 200.*Clip"),
    "below the range": (lambda: np.full(RGB, -0.01, np.float32), {"data_range": (0, 1)}, "-0.01"),
    "NaN": (lambda: np.full(RGB, np.nan), {"data_range": (0, 1)}, "9216 of its 9216 values are NaN"),
    "infinity": (lambda: np.full(RGB, np.inf), {"data_range": (0, 1)}, "NaN or infinite"),
    "int64": (lambda: np.zeros(RGB, np.int64), {}, "of type int64.*uint8"),
    "bool": (lambda: np.zeros(RGB, bool), {}, "of type bool"),
    "uint16": (lambda: np.zeros(RGB, np.uint16), {}, "of type uint16"),
    "complex": (lambda: np.zeros(RGB, np.complex64), {}, "of type complex64"),
    "texts": (lambda: np.zeros(RGB, "U1"), {}, "of type <U1"),
    "objects": (lambda: np.zeros(RGB, object), {}, "of type object"),
    "masked": (lambda: np.ma.zeros(RGB, np.uint8), {}, "masked"),
    "tensor without values": (lambda: torch.empty(RGB, device="meta"), {"data_range": (0, 1)}, "tensor that cannot be"),
    "sparse tensor": (lambda: torch.zeros(RGB).to_sparse(), {"data_range": (0, 1)}, "tensor that cannot be read"),
    "transparent image": (lambda: Image.new("RGBA", (64, 48)), {}, "transparent in 100 %.*alpha='white'"),
    "printed image": (lambda: Image.new("CMYK", (64, 48)), {}, "CMYK"),
    "float image": (lambda: Image.new("F", (64, 48)), {}, "floating-point"),
    "deep image": (lambda: Image.new("I;16", (64, 48)), {}, "16 bits"),
    "empty image": (lambda: Image.new("RGB", (0, 0)), {}, "0 x 0 pixels; allowed: at least one"),
    "no file": (lambda: Path("no-such-picture.png"), {}, "no-such-picture.png: there is no such file"),
    "another size": (lambda: noise(height=32), {}, "64 x 32 pixels, expected is 64 x 48.*nothing is resized"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_picture_is_refused_with_the_next_step(what: str) -> None:
    make, options, words = REFUSED[what]
    with pytest.raises(ImageError, match=f"(?s){words}"):
        harness.compare(make(), noise(), **options)
    with pytest.raises(ImageError):
        harness.assert_close(noise(), make(), **options, psnr_db=1)


def test_the_message_says_which_side_it_is() -> None:
    with pytest.raises(ImageError, match="picture expected: "):
        harness.compare(noise(), None)


@pytest.mark.parametrize(
    "data_range", [(1, 0), (0, 0), (0,), 1, (0, float("nan")), (0, float("inf")), "01", (None, 1), (0, 1, 2)]
)
def test_a_range_that_is_none_is_refused(data_range: Any) -> None:
    with pytest.raises(UsageError, match="black and white"):
        harness.compare(np.zeros(RGB), np.zeros(RGB), data_range=data_range)


def test_options_that_are_none_bring_the_nearest_one() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'HWC'"):
        harness.compare(noise(), noise(), layout="HW")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="Did you mean 'white'"):
        harness.compare(noise(), noise(), alpha="wite")  # type: ignore[arg-type]


# --- what is found ---------------------------------------------------------------------------------------------------


def test_everything_about_a_pair_is_in_the_result() -> None:
    expected = noise()
    found = harness.compare(255 - expected, expected)
    assert set(found.metrics) == {
        name for name in plugins.names("metrics") if "image" in plugins.load("metrics", name).SUBJECTS
    }
    assert (found.metrics["psnr_db"].unit, found.metrics["psnr_db"].better) == ("dB", "higher")
    assert [each.name for each in found.hints] == ["negative"]
    assert found.appearance is not None
    assert found.worst_place.startswith(("tile x=", "x="))
    assert repr(found).startswith("<Compared 64 x 48 pixels: different, psnr_db ")
    text = str(found)
    assert all(
        part in text for part in ("The pictures differ (64 x 48 pixels)", "hint: ", "worst place: ", "ssim_tile_min")
    )


def test_equal_pictures_have_no_worst_place_and_no_hint() -> None:
    found = harness.compare(noise(), noise())
    assert (found.identical, found.worst_place, list(found.hints), list(found.blank)) == (True, "", [], [])
    assert repr(found) == "<Compared 64 x 48 pixels: identical>"
    assert str(found).startswith("The pictures are identical (64 x 48 pixels).\n")


def test_floats_that_eight_bits_hide_are_not_identical() -> None:
    expected = np.full(RGB, 0.5) + np.linspace(0, 0.001, 64)[:, None]
    actual = expected.copy()
    actual[3, 4, 1] += 1e-5
    found = harness.compare(actual, expected, data_range=(0, 1))
    assert found.metrics["identical"].value == 1
    assert not found.identical
    assert found.float_diff == pytest.approx(1e-5)
    assert "equal in 8 bits" in str(found)
    with pytest.raises(harness.NotClose):
        harness.assert_close(actual, expected, data_range=(0, 1))


def test_a_picture_that_shows_nothing_is_told() -> None:
    assert "expected image shows nothing" in str(harness.compare(noise(), np.zeros(RGB, np.uint8)))


def test_a_notebook_shows_both_pictures_and_the_difference() -> None:
    expected = noise()
    page = harness.compare(255 - expected, expected)._repr_html_()
    assert problems(f"<!DOCTYPE html><title>cell</title>{page}") == []
    root = html5lib.parseFragment(page, namespaceHTMLElements=False)
    images = list(root.iter("img"))
    assert [each.get("alt", "")[:8] for each in images] == ["Actual", "Expected", "Differen"]
    assert all(each.get("src", "").startswith("data:image/") for each in images)
    assert "PSNR" in page
    assert "Hint: " in page
    assert "<script" not in page


def test_a_large_picture_is_shown_smaller_and_says_so() -> None:
    large = noise(height=520, width=1100)
    page = harness.compare(large, large)._repr_html_()
    assert page.count("shown smaller") > 1
    assert 'width="512"' in page


# --- assertions ------------------------------------------------------------------------------------------------------


def test_limits_hold_in_the_direction_of_their_metric() -> None:
    expected = noise()
    actual = expected + np.uint8(2)
    found = harness.assert_close(actual, expected, psnr_db=40, ssim=0.98, max_abs_diff=2)
    assert found.metrics["max_abs_diff"].value == 2
    broken: list[Any] = [{"psnr_db": 50}, {"max_abs_diff": 1.9}, {"ssim": 1.0}, {"psnr_db": 40, "identical": 1}]
    for limits in broken:
        with pytest.raises(harness.NotClose):
            harness.assert_close(actual, expected, **limits)


def test_a_distance_with_a_sign_is_bounded_on_both_sides() -> None:
    expected = noise() // 2 + np.uint8(9)
    for actual in (expected + np.uint8(3), expected - np.uint8(3)):
        harness.assert_close(actual, expected, signed_mean_diff=3)
        with pytest.raises(harness.NotClose, match="signed_mean_diff"):
            harness.assert_close(actual, expected, signed_mean_diff=2)


def test_without_a_limit_the_pictures_have_to_be_identical() -> None:
    expected = noise()
    harness.assert_close(expected, expected.copy())
    actual = expected.copy()
    actual[0, 0, 0] += 1
    with pytest.raises(harness.NotClose, match=r"(?s)not identical, and no limit was given.*psnr_db: .* dB"):
        harness.assert_close(actual, expected)


def test_the_message_says_how_far_where_and_what_it_looks_like() -> None:
    expected = noise()
    with pytest.raises(AssertionError) as failed:
        harness.assert_close(255 - expected, expected, psnr_db=40, max_abs_diff=255)
    message = str(failed.value)
    assert message.startswith("the pictures are not close: 1 of 2 limits broken.\n  psnr_db: ")
    assert "allowed: psnr_db at least 40" in message
    assert "worst place: " in message
    assert "hint: " in message
    assert "visual similarity: different" in message
    assert isinstance(failed.value, harness.NotClose)
    assert failed.value.compared.metrics["max_abs_diff"].value == 255


@pytest.mark.parametrize("limits", [{}, {"psnr_db": 1}])
@pytest.mark.parametrize("side", ["both", "actual", "expected"])
def test_pictures_that_show_nothing_are_refused(limits: Any, side: str) -> None:
    black, shown = np.zeros(RGB, np.uint8), noise()
    actual = shown if side == "expected" else black
    expected = shown if side == "actual" else black
    with pytest.raises(harness.NotClose, match=r"^refused: .*shows nothing"):
        harness.assert_close(actual, expected, **limits)


def test_a_metric_without_a_value_does_not_pass() -> None:
    small = noise(height=4, width=4)
    with pytest.raises(harness.NotClose, match="ssim: ssim has no value"):
        harness.assert_close(small, small + np.uint8(1), ssim=0.1)


def test_limits_that_are_none_are_refused() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'psnr_db'"):
        harness.assert_close(noise(), noise(), psnr=40)
    with pytest.raises(UsageError, match="measured on latents"):
        harness.assert_close(noise(), noise(), cosine_distance=0.1)
    for bound in ("40", None, True, float("nan"), [1]):
        with pytest.raises(UsageError, match="is not a number; write it as psnr_db=30"):
            harness.assert_close(noise(), noise(), psnr_db=bound)  # type: ignore[arg-type]


# --- scenarios -------------------------------------------------------------------------------------------------------


def pictures_in(folder: Path) -> dict[str, str]:
    """A model of pictures that were made before, the same in two repeats."""
    folder.mkdir()
    for repeat in (0, 1):
        write_picture(folder / f"circle-42-{repeat}.png", noise(height=64))
    return {"adapter": "images", "source": str(folder), "pictures": "{case}-{seed}-{repeat}.png"}


@pytest.mark.slow
def test_a_scenario_is_checked_and_its_outcome_is_in_the_result(write_scenario: WriteScenario, tmp_path: Path) -> None:
    found = harness.check(
        write_scenario(model=pictures_in(tmp_path / "made")), runs_folder=tmp_path / "runs", repeats=2
    )
    assert isinstance(found.report, harness.Report)
    assert (found.outcome, found.exit_code) == ("identical", 0)
    assert [page.is_file() for page in found.pages] == [True]
    table = harness.load_results(found.folder)
    assert set(table["metric"]) >= {"psnr_db", "identical"}
    assert set(table["case"]) == {"circle"}


@pytest.mark.slow
def test_a_broken_limit_is_an_exit_code_and_no_exception(write_scenario: WriteScenario, tmp_path: Path) -> None:
    limit = {"metric": "psnr_db", "scope": "repeat", "at_most": 1, "reason": "A planted limit that none can keep."}
    path = write_scenario(model=pictures_in(tmp_path / "made"), limits=[limit])
    found = harness.check(path, runs_folder=str(tmp_path / "runs"))
    assert (found.outcome, found.exit_code) == ("unstable", 6)


def test_a_scenario_that_cannot_be_checked_is_an_error_of_ours(write_scenario: WriteScenario, tmp_path: Path) -> None:
    scenario = write_scenario()
    runs = tmp_path / "runs"
    with pytest.raises(harness.HarnessError, match="no such file"):
        harness.check(tmp_path / "none.yaml")
    with pytest.raises(harness.HarnessError, match="Did you mean 'candidate'"):
        harness.check(scenario, arms=["candidat"], runs_folder=runs)
    with pytest.raises(UsageError, match=r"give a list, arms=\['candidate'\]"):
        harness.check(scenario, arms="candidate", runs_folder=runs)
    with pytest.raises(UnknownName, match="language"):
        harness.check(scenario, language="fr", runs_folder=runs)
    assert not runs.exists()


def test_compared_cannot_be_changed() -> None:
    found = harness.compare(noise(), noise())
    with pytest.raises(AttributeError):
        found.float_diff = 0.0  # type: ignore[misc]
