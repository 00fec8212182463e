"""Two picture files or two folders of them: names, order, judging, and what is kept of the pairs."""

from __future__ import annotations

import math
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from harness.compare import pictures
from harness.compare.names import Asked, Names, names_of
from harness.compare.pictures import Tally, compare_files, compare_folders
from harness.errors import ImageError, RunError
from harness.images import read_picture_as, write_picture
from harness.records import FolderDiff, Limit, Measurement, PicturePair, ReadAs, Scope, Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from harness.images import Alpha


def picture(path: Path, *, size: int = 16, seed: int = 0, pixel: int | None = None) -> Path:
    """A picture of noise, with the first value set."""
    values = np.random.default_rng(seed).integers(0, 200, (size, size, 3), dtype=np.uint8)
    if pixel is not None:
        values[0, 0, 0] = pixel
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, values)
    return path


def at_most(metric: str, bound: float) -> Limit:
    return Limit(metric=metric, scope=Scope.REFERENCE, at_most=bound, reason="The test says so.")


def held(folder: Path, limits: Sequence[Limit] = (), jobs: int = 1) -> tuple[list[PicturePair], FolderDiff]:
    """All pairs of ``folder/a`` and ``folder/b`` and their summary."""
    tally, names = Tally(), names_of(folder / "a", folder / "b", Asked())
    pairs = compare_folders(names, limits, jobs)
    with closing(pairs):
        seen = list(pairs)
    for each in seen:
        tally.add(each)
    return seen, tally.summary(names, limits)


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pixel", "bound", "outcome"),
    [
        (7, 0, Status.IDENTICAL),
        (9, 2, Status.WITHIN_LIMITS),
        (9, 1, Status.DRIFT),
    ],
)
def test_a_limit_judges_two_files(pixel: int, bound: float, outcome: Status, tmp_path: Path) -> None:
    sides = picture(tmp_path / "a.png", pixel=pixel), picture(tmp_path / "b.png", pixel=7)
    found = compare_files("a.png", *sides, [at_most("max_abs_diff", bound)])
    assert found.outcome is outcome
    assert found.verdicts[0].measured == abs(pixel - 7)


def test_without_a_limit_a_difference_is_not_judged(tmp_path: Path) -> None:
    first, same, other = (picture(tmp_path / f"{number}.png", pixel=number // 2) for number in (2, 3, 4))
    assert compare_files("x", first, same, []).outcome is Status.IDENTICAL
    assert compare_files("x", first, other, []).outcome is Status.SKIPPED


def test_a_signed_distance_is_judged_by_its_size(tmp_path: Path) -> None:
    sides = picture(tmp_path / "a.png", pixel=0), picture(tmp_path / "b.png", pixel=200)
    found = compare_files("x", *sides, [at_most("signed_mean_diff", 0.1)])
    assert found.verdicts[0].measured is not None
    assert found.verdicts[0].measured < 0
    assert found.outcome is Status.DRIFT


def test_a_limit_on_what_has_no_value_is_an_error(tmp_path: Path) -> None:
    sides = picture(tmp_path / "a.png", size=8), picture(tmp_path / "b.png", size=8, seed=1)
    found = compare_files("x", *sides, [at_most("ssim", 1)])
    assert found.outcome is Status.ERROR
    assert "ssim has no value" in found.verdicts[0].message


def test_equal_files_are_decoded_once_and_equal_pixels_are_seen_in_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, copy = picture(tmp_path / "a.png"), picture(tmp_path / "b.png")
    Image.open(first).save(tmp_path / "c.bmp")
    decoded: list[Path] = []

    def counting(path: Path, alpha: Alpha | None) -> tuple[NDArray[np.uint8], ReadAs]:
        decoded.append(path)
        return read_picture_as(path, alpha)

    monkeypatch.setattr(pictures, "read_picture_as", counting)
    assert compare_files("x", first, copy, []).outcome is Status.IDENTICAL
    assert decoded == [first]
    assert compare_files("x", first, tmp_path / "c.bmp", []).outcome is Status.IDENTICAL
    assert decoded[1:] == [first, tmp_path / "c.bmp"]


def test_the_side_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.png: there is no such file"):
        compare_files("x", picture(tmp_path / "a.png"), tmp_path / "none.png", [])


def test_sizes_are_never_adapted(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"a\.png is 16 x 16 .*b\.png is 24 x 24"):
        compare_files("x", picture(tmp_path / "a.png"), picture(tmp_path / "b.png", size=24), [])


# --- names -----------------------------------------------------------------------------------------------------------


def test_a_name_that_is_not_utf8_is_kept_as_text(tmp_path: Path) -> None:
    for side in "ab":
        picture(tmp_path / side / "plain.png").rename(tmp_path / side / "odd\udcff.png")
    (pair,), _ = held(tmp_path)
    assert pair.name == "odd\\xff.png"
    assert pair.outcome is Status.IDENTICAL


# --- folders ---------------------------------------------------------------------------------------------------------


def test_pairs_come_in_the_order_of_names_with_those_that_are_alone(tmp_path: Path) -> None:
    for number in (3, 0, 7, 5):
        picture(tmp_path / "a" / f"{number}.png", seed=number)
        picture(tmp_path / "b" / f"{number}.png", seed=number)
    picture(tmp_path / "a" / "4.png")
    picture(tmp_path / "b" / "1.png")
    pairs, summary = held(tmp_path, jobs=3)
    assert [(each.name, each.presence) for each in pairs] == [
        ("0.png", "both"),
        ("1.png", "missing"),
        ("3.png", "both"),
        ("4.png", "unexpected"),
        ("5.png", "both"),
        ("7.png", "both"),
    ]
    assert (summary.missing, summary.unexpected) == (["1.png"], ["4.png"])
    assert (summary.pairs, summary.identical, summary.outcome) == (4, 4, Status.ERROR)


def test_a_pair_that_cannot_be_measured_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    for name in ("1.png", "2.png", "3.png"):
        for side in "ab":
            picture(tmp_path / side / name)
    whole = (tmp_path / "a" / "1.png").read_bytes()
    (tmp_path / "a" / "1.png").write_bytes(whole[:-20])
    picture(tmp_path / "b" / "2.png", size=24)
    pairs, summary = held(tmp_path)
    assert [each.outcome for each in pairs] == [Status.ERROR, Status.ERROR, Status.IDENTICAL]
    assert summary.problems["1.png"].startswith(f"picture {tmp_path}")
    assert "damaged or cut off" in summary.problems["1.png"]
    assert "16 x 16" in summary.problems["2.png"]
    assert "24 x 24" in summary.problems["2.png"]
    assert summary.outcome is Status.ERROR


def test_only_a_window_of_pairs_is_asked_for_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        picture(tmp_path / "a" / f"{number:02}.png")
        (tmp_path / "b").mkdir(exist_ok=True)
        (tmp_path / "b" / f"{number:02}.png").hardlink_to(tmp_path / "a" / f"{number:02}.png")
    asked: list[str] = []
    ask = pictures._Children.ask

    def listening(self: pictures._Children, actual: str, expected: str) -> Future[PicturePair]:
        asked.append(actual)
        return ask(self, actual, expected)

    monkeypatch.setattr(pictures._Children, "ask", listening)
    pairs = compare_folders(names_of(tmp_path / "a", tmp_path / "b", Asked()), [], 2)
    with closing(pairs):
        assert next(pairs).name == "00.png"
    assert len(asked) == 2 * 4 + 1


def test_nothing_to_compare_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    pairs, summary = held(tmp_path)
    assert pairs == []
    assert summary.outcome is Status.ERROR
    assert "nothing to compare" in summary.message


CRASH = """
import json, os, signal, sys
sys.stdin.buffer.readline()
print("ready", flush=True)
for line in sys.stdin:
    if "crash" in line:
        os.kill(os.getpid(), signal.SIGSEGV)
    print(json.dumps({"name": json.loads(line)[0], "outcome": "identical"}), flush=True)
"""


def play_child(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Have a script play the child processes."""
    script = folder / "child"
    script.write_text(f"#!{sys.executable} -I\n{text}", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def test_a_crash_costs_one_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("1.png", "2-crash.png", "3.png", "4-crash.png", "5.png"):
        for side in "ab":
            picture(tmp_path / side / name)
    play_child(tmp_path, monkeypatch, CRASH)
    pairs, summary = held(tmp_path)
    assert [each.outcome.value for each in pairs] == ["identical", "error", "identical", "error", "identical"]
    assert "signal 11" in summary.problems["2-crash.png"]


def test_a_child_that_cannot_start_ends_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in "ab":
        picture(tmp_path / side / "1.png")
    play_child(tmp_path, monkeypatch, "raise SystemExit(1)\n")
    with pytest.raises(RunError, match="could not be started"):
        held(tmp_path)


# --- what is kept ----------------------------------------------------------------------------------------------------


def pair(name: str, outcome: Status = Status.SKIPPED, **values: float | None) -> PicturePair:
    measurements = [
        Measurement(
            metric=metric,
            subject="image",
            value=value,
            unit="",
            better="higher" if metric in {"psnr_db", "identical"} else "lower",
            spec="test",
        )
        for metric, value in values.items()
    ]
    return PicturePair(name=name, measurements=measurements, outcome=outcome)


def tallied(*pairs: PicturePair) -> FolderDiff:
    tally = Tally()
    for each in pairs:
        tally.add(each)
    nothing = Names(
        actual=Path("a"), expected=Path("b"), asked=Asked(), rows=[], paired=[], nearly=[], ignored=[], others=[]
    )
    return tally.summary(nothing, [])


def test_the_worst_is_the_farthest_in_the_metric_s_own_direction_and_the_first_of_equals() -> None:
    found = tallied(
        pair("a", psnr_db=30, signed_mean_diff=2),
        pair("b", psnr_db=20, signed_mean_diff=-5),
        pair("c", psnr_db=20, signed_mean_diff=5),
        pair("d", psnr_db=None, signed_mean_diff=0),
        pair("e", Status.IDENTICAL, identical=1, psnr_db=math.inf, signed_mean_diff=0),
    )
    assert {each.measurement.metric: (each.name, each.measurement.value) for each in found.worst} == {
        "psnr_db": ("b", 20),
        "signed_mean_diff": ("b", -5),
    }
    assert found.without_value == {"psnr_db": 1}
    assert (found.pairs, found.identical, found.differing) == (5, 1, 4)


def test_a_number_that_is_none_is_worse_than_any() -> None:
    found = tallied(pair("a", mse=1), pair("b", mse=math.nan), pair("c", mse=5))
    assert [each.name for each in found.worst] == ["b"]


def test_equal_pairs_say_nothing_about_those_that_differ() -> None:
    found = tallied(pair("a", Status.IDENTICAL, identical=1), pair("b", identical=0))
    assert found.outcome is Status.SKIPPED
    assert "1 differ, and no limit judges it" in found.message


def test_how_pictures_were_read_is_counted_over_both_sides() -> None:
    grey = {"actual_read_as": ReadAs.GREY}
    found = tallied(
        pair("a", Status.IDENTICAL, identical=1).model_copy(update=grey),
        pair("b", mse=1).model_copy(update={**grey, "expected_read_as": ReadAs.PALETTE}),
        pair("c", mse=1),
    )
    assert found.read_as == {ReadAs.GREY: 2, ReadAs.PALETTE: 1}


def test_records_from_before_are_still_read() -> None:
    added = {"paired", "pair", "nearly", "ignored", "ignore", "not_images", "read_as", "alpha"}
    whole = tallied(pair("a", mse=1))
    assert FolderDiff.model_validate(whole.model_dump(mode="json", exclude=added)) == whole
    one = pair("a", mse=1)
    added = {"expected_name", "actual_read_as", "expected_read_as"}
    assert PicturePair.model_validate(one.model_dump(mode="json", exclude=added)) == one
