"""Images that show nothing never pass, equal or not; images that show little do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from harness.compare.comparator import compare_repeats, compare_runs
from harness.compare.fitness import unfit_images
from harness.compare.gates import judge
from harness.fitness import shows_nothing
from harness.images import array_digest, read_picture, write_picture
from harness.records import Case, CaseKey, Limit, Scope, Status, Unfitness
from harness.render._cases import judged_cases
from tests.command_line import ROOT
from tests.compare.stored_runs import TODAY, processes, stored_run

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.compare.comparator import StoredRun

SIDE = 96
CUP, CAT = CaseKey(case="cup", seed=42), CaseKey(case="cat", seed=42)
SAME = Limit(metric="identical", scope=Scope.REPEAT, equals=1, reason="Only for this test.")
RANDOM = np.random.default_rng(0)


def plain(*colour: int) -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE, 3), colour, np.uint8)


def noisy(level: int, sigma: float) -> NDArray[np.uint8]:
    values = level + np.random.default_rng(1).normal(0, sigma, (SIDE, SIDE, 3))
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def with_spot(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    image = image.copy()
    image[20 : 20 + side, 30 : 30 + side] = 255 - image[0, 0]
    return image


NOTHING = {
    "black": plain(0, 0, 0),
    "white": plain(255, 255, 255),
    "grey": plain(127, 127, 127),
    "one colour": plain(12, 200, 31),
    **{f"grey with noise of {sigma} levels": noisy(127, sigma) for sigma in (0.3, 0.7, 1.5, 2.5, 3.5)},
    "black with noise": noisy(0, 2.0),
    "white with noise": noisy(255, 2.0),
}
ROWS, COLUMNS = np.mgrid[0:SIDE, 0:SIDE]
SOMETHING = {
    "a spot of 4 pixels on black": with_spot(plain(0, 0, 0), 4),
    "a spot on noise": with_spot(noisy(60, 1.0), 6),
    "a faint ramp of 8 levels": np.stack([100 + COLUMNS * 8 // SIDE] * 3, axis=-1).astype(np.uint8),
    "a faint disc of 3 levels": (100 + 3 * ((ROWS - 48) ** 2 + (COLUMNS - 48) ** 2 < 900))[..., None]
    .repeat(3, axis=2)
    .astype(np.uint8),
    "a night sky": with_spot(with_spot(plain(2, 2, 8), 3), 2),
    "noise of 12 levels, which hints and references judge": noisy(127, 12.0),
}


@pytest.mark.parametrize("name", NOTHING)
def test_an_image_that_shows_nothing_is_known(name: str) -> None:
    assert shows_nothing(NOTHING[name])


@pytest.mark.parametrize("name", SOMETHING)
def test_an_image_that_shows_little_shows_something(name: str) -> None:
    assert shows_nothing(SOMETHING[name]) == ""


def test_every_image_of_the_project_shows_something() -> None:
    folders = ("baselines", "docs/pictures", "scenarios/inputs")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.png")]
    assert len(paths) > 15
    assert [path.name for path in paths if shows_nothing(np.asarray(Image.open(path).convert("RGB")))] == []


# --- in comparisons --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """What a case says of itself."""

    prompt: str
    expect: dict[Unfitness, str] | None = None


def run_of(folder: Path, cup: str, cat: str, *asked: Asked, **changes: Any) -> StoredRun:
    of_cup, of_cat = asked or (Asked("a red cup"), Asked("a black cat"))
    cases = [
        Case(id="cup", prompt=of_cup.prompt, expect=of_cup.expect),
        Case(id="cat", prompt=of_cat.prompt, expect=of_cat.expect),
    ]
    return stored_run(folder, {CUP: processes(cup), CAT: processes(cat)}, planned={"cases": cases}, **changes)


def blackened(stored: StoredRun) -> StoredRun:
    """The run with a black image in the place of each of the cup's."""
    return with_image(stored, plain(0, 0, 0)[:32, :32])


def with_image(stored: StoredRun, image: NDArray[np.uint8]) -> StoredRun:
    """The run with this image in the place of each of the cup's."""
    for sample in stored.run.samples_of(CUP):
        write_picture(stored.folder / sample.image.path, image)
    samples = [
        sample.model_copy(update={"image": sample.image.model_copy(update={"digest": array_digest(image)})})
        if sample.key == CUP
        else sample
        for sample in stored.run.samples
    ]
    return type(stored)(run=stored.run.model_copy(update={"samples": samples}), folder=stored.folder)


def test_a_healthy_run_has_nothing_unfit(tmp_path: Path) -> None:
    stored = run_of(tmp_path / "arm", "AA", "BB")
    assert unfit_images(stored.run, stored.folder) == []
    assert judge(compare_repeats(stored, limits=[SAME], base=tmp_path), today=TODAY).outcome is Status.IDENTICAL


def test_equal_repeats_of_an_image_that_shows_nothing_are_an_error_of_that_row(tmp_path: Path) -> None:
    stored = blackened(run_of(tmp_path / "arm", "AA", "BB"))
    judged = judge(compare_repeats(stored, limits=[SAME], base=tmp_path), today=TODAY)
    assert judged.outcome is Status.ERROR
    assert judged.message == "the image of cup, seed 42 (p0r0) shows nothing: every pixel is 0, 0, 0"
    rows = {row.name: (row.status, row.reason) for row in judged_cases(judged)}
    assert rows["cup, seed 42"] == (Status.ERROR, judged.message)
    assert rows["cat, seed 42"][0] is Status.IDENTICAL


def test_two_black_sides_are_an_error_and_so_is_a_black_reference(tmp_path: Path) -> None:
    near = Limit(metric="psnr_db", scope=Scope.REFERENCE, at_least=10, reason="Only for this test.")
    for actual_is_black, expected_is_black in ((True, True), (False, True), (True, False), (False, False)):
        place = tmp_path / f"{actual_is_black}-{expected_is_black}"
        sides = []
        for arm, is_black in (("actual", actual_is_black), ("expected", expected_is_black)):
            stored = run_of(place / arm, "AA", "BB")
            sides.append(blackened(stored) if is_black else stored)
        judged = judge(compare_runs(*sides, limits=[near], base=place), today=TODAY)
        assert (judged.outcome is Status.ERROR) == (actual_is_black or expected_is_black)
        assert len(judged.unfit) == actual_is_black + expected_is_black


NOISE = np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8)
RAMP = np.arange(32)
SMOOTH = np.stack([np.add.outer(RAMP * 3, RAMP * weight) for weight in (4, 2, 1)], -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("actual_image", "expected_image", "unfit"),
    [
        (NOISE, SMOOTH, [Unfitness.NOISE]),
        (NOISE, NOISE[::-1], []),
        (SMOOTH, NOISE, []),
        (SMOOTH, SMOOTH // 2, []),
    ],
    ids=["noise for an image", "both are noise", "an image for noise", "two images"],
)
def test_noise_is_an_error_where_the_reference_shows_something(
    actual_image: NDArray[np.uint8], expected_image: NDArray[np.uint8], unfit: list[Unfitness], tmp_path: Path
) -> None:
    near = Limit(metric="psnr_db", scope=Scope.REFERENCE, at_least=1, reason="Only for this test.")
    sides = [
        with_image(run_of(tmp_path / arm, "AA", "BB"), image)
        for arm, image in (("actual", actual_image), ("expected", expected_image))
    ]
    judged = judge(compare_runs(*sides, limits=[near], base=tmp_path), today=TODAY)
    assert [found.kind for found in judged.unfit] == unfit
    assert (judged.outcome is Status.ERROR) == bool(unfit)


def test_a_case_may_expect_noise_with_a_reason(tmp_path: Path) -> None:
    noisy = Asked("television noise", {Unfitness.NOISE: "Noise is what was asked for."})
    sides = [
        with_image(run_of(tmp_path / arm, "AA", "BB", noisy, Asked("a black cat")), image)
        for arm, image in (("actual", NOISE), ("expected", SMOOTH))
    ]
    assert compare_runs(*sides, limits=[], base=tmp_path).unfit == []


def test_one_image_for_several_questions_is_an_error(tmp_path: Path) -> None:
    stored = run_of(tmp_path / "arm", "AA", "AA")
    judged = judge(compare_repeats(stored, limits=[SAME], base=tmp_path), today=TODAY)
    assert judged.outcome is Status.ERROR
    assert (
        judged.message
        == "cup, seed 42 and cat, seed 42 gave the same image, byte for byte, though they ask for different ones"
    )


def test_one_question_under_two_names_may_have_one_image(tmp_path: Path) -> None:
    stored = run_of(tmp_path / "arm", "AA", "AA", Asked("a red cup"), Asked("a red cup"))
    assert unfit_images(stored.run, stored.folder) == []


def test_a_case_may_expect_it_with_a_reason(tmp_path: Path) -> None:
    black = Asked("a black square", {Unfitness.FLAT: "A black square is what was asked for."})
    stored = blackened(run_of(tmp_path / "flat", "AA", "BB", black, Asked("a black cat")))
    assert unfit_images(stored.run, stored.folder) == []
    same = Asked("a cat", {Unfitness.SAME_IMAGE: "This model knows one image only."})
    stored = run_of(tmp_path / "same", "AA", "AA", Asked("a red cup"), same)
    assert unfit_images(stored.run, stored.folder) == []
    wrong = Asked("a cat", {Unfitness.FLAT: "This excuses something else."})
    stored = run_of(tmp_path / "wrong", "AA", "AA", Asked("a red cup"), wrong)
    assert [unfit.kind for unfit in unfit_images(stored.run, stored.folder)] == [Unfitness.SAME_IMAGE]


def test_images_are_read_as_they_are_stored(tmp_path: Path) -> None:
    write_picture(tmp_path / "image.png", NOTHING["grey with noise of 1.5 levels"])
    assert "nearly every pixel is 127, 127, 127" in shows_nothing(read_picture(tmp_path / "image.png"))
