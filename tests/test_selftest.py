"""``harness selftest``: right on this machine, and wrong by name as soon as anything it asks is wrong."""

from __future__ import annotations

import json
import math
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import skimage.metrics

from harness.compare import selftest
from harness.contracts import Measured
from tests.command_line import PLANTED, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command_line import RunHarness


def wrong() -> list[str]:
    return [check.name for check in selftest.checks() if not check.ok]


def test_every_answer_is_right_here() -> None:
    assert [check for check in selftest.checks() if not check.ok] == []


@pytest.mark.parametrize("pair", selftest.PAIRS)
def test_the_pins_are_those_of_scikit_image(pair: str) -> None:
    actual, mean, tile = selftest.PAIRS[pair]
    _, full = skimage.metrics.structural_similarity(  # type: ignore[no-untyped-call]
        actual(),
        selftest.picture(),
        data_range=255,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    inner = full[5:-5, 5:-5].mean(axis=2)
    assert inner.mean() == pytest.approx(mean, abs=1e-12)
    starts = [{*range(0, side - 32, 4), side - 32} for side in inner.shape]
    assert min(inner[y : y + 32, x : x + 32].mean() for y in starts[0] for x in starts[1]) == pytest.approx(tile)


def test_without_scikit_image_only_its_own_answers_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    every = [check.name for check in selftest.checks()]
    monkeypatch.setattr(selftest, "find_spec", lambda _name: None)
    fewer = selftest.checks()
    assert all(check.ok for check in fewer)
    assert [name for name in every if name not in {check.name for check in fewer}] == [
        "ssim: rough, scikit-image here",
        "ssim: last rows broken, scikit-image here",
        "ssim: shifted by 1 px, scikit-image here",
        "ssim: channels swapped, scikit-image here",
        "psnr_db: published by IPOL",
        "ssim: published by IPOL",
    ]


# --- planted faults --------------------------------------------------------------------------------------------------


def wrapped(actual: Any, expected: Any, data_range: float) -> Measured:
    error = float(np.mean((actual - expected) ** 2))
    return Measured(value=10 * math.log10(data_range**2 / error) if error else math.inf)


def grey(actual: Any, expected: Any, data_range: float) -> Measured:
    means = [np.dstack([each.mean(axis=2)] * 3) for each in (actual, expected)]
    found: Measured = GOOD["ssim"](*means, data_range=data_range)
    return found


def broken(_actual: Any, _expected: Any, _data_range: float) -> Measured:
    raise ZeroDivisionError("planted")


def altered(metric: str, change: Callable[[Measured], float]) -> Callable[[Any, Any, float], Measured]:
    def measure(actual: Any, expected: Any, data_range: float) -> Measured:
        found = GOOD[metric](actual, expected, data_range=data_range)
        return Measured(value=change(found), where=found.where)

    return measure


METRICS = ("identical", "max_abs_diff", "mean_abs_diff", "mse", "p99_abs_diff", "psnr_db", "signed_mean_diff", "ssim")
GOOD = {name: import_module(f"harness.metrics.{name}").measure for name in (*METRICS, "ssim_tile_min")}
FAULTS: dict[str, tuple[str, Callable[[Any, Any, float], Measured], str]] = {
    # fault: (metric, what it does instead, the answer that must be wrong)
    "wraps around": ("psnr_db", wrapped, "psnr_db: the negative, no wrap-around"),
    "another base": ("psnr_db", altered("psnr_db", lambda it: it.value / math.log(10)), "psnr_db: the example of"),
    "only grey": ("ssim", grey, "ssim: channels swapped"),
    "a little off": ("ssim", altered("ssim", lambda it: it.value - 2e-9), "ssim: rough"),
    "a mean for the worst": ("ssim_tile_min", altered("ssim", lambda it: it.value), "ssim_tile_min: last rows broken"),
    "squared": ("mean_abs_diff", altered("mse", lambda it: it.value), "mean_abs_diff: 7 levels brighter"),
    "rooted": ("mse", altered("mse", lambda it: math.sqrt(it.value)), "mse: 7 levels brighter"),
    "the other way": ("signed_mean_diff", altered("signed_mean_diff", lambda it: -it.value), "signed_mean_diff: 7 lev"),
    "the largest": ("p99_abs_diff", altered("max_abs_diff", lambda it: it.value), "p99_abs_diff: 368 of 36864"),
    "within a level": ("identical", altered("max_abs_diff", lambda it: it.value <= 1), "identical: one value one lev"),
    "no place": ("max_abs_diff", lambda *_: Measured(value=250.0), "max_abs_diff: where it is"),
    "raises": ("mse", broken, "mse: 7 levels brighter"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_metric_is_named(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    metric, instead, question = FAULTS[fault]

    def measure(actual: Any, expected: Any, *, data_range: float) -> Measured:
        return instead(actual, expected, data_range)

    monkeypatch.setattr(import_module(f"harness.metrics.{metric}"), "measure", measure)
    found = [check for check in selftest.checks() if not check.ok]
    assert any(check.name.startswith(question) for check in found), found
    named = {check.name.partition(":")[0] for check in found if check.name.partition(":")[0] in GOOD}
    assert named == {metric}


def test_a_limit_that_nan_keeps_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "holds", lambda limit, value: not value < limit.at_least)
    assert wrong() == ["limits: at least 40"]


def test_a_hint_that_never_comes_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "hints", lambda _actual, _expected: [])
    assert wrong() == [f"hints: {name}" for name in ("shift", "channels", "negative", "offset", "truncation")] + [
        "hints: border",
        "hints: flat",
    ]


def test_a_reader_that_converts_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "read_picture", lambda _path: np.zeros((2, 2, 3), np.uint8))
    assert wrong() == [
        "files: a picture written and read",
        "files: transparency",
        "files: 16 bits",
        "files: a file cut off",
    ]


# --- the command -----------------------------------------------------------------------------------------------------

FLATTERER = '''
"""A metric that likes everything."""
from harness.contracts import Measured
UNIT, BETTER, IDENTICAL, SPEC, SUBJECTS = "", "higher", 1.0, "flatterer:1", ("image",)
def measure(actual, expected, *, data_range):
    return Measured(value=1.0)
'''


def install(folder: Path) -> str:
    """Put the metric where Python finds packages; gives the search path."""
    information = folder / "flatterer-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: flatterer\nVersion: 1\n", encoding="utf-8")
    (information / "entry_points.txt").write_text("[harness.metrics]\nflatterer = flatterer\n", encoding="utf-8")
    (folder / "flatterer.py").write_text(FLATTERER, encoding="utf-8")
    return os.pathsep.join(map(str, [folder, PLANTED, ROOT]))


def test_the_command_shows_every_answer_and_writes_nothing(run_harness: RunHarness, tmp_path: Path) -> None:
    ended = run_harness("selftest")
    assert ended.code == 0, ended.err
    count = len(selftest.checks())
    assert f"{count} of {count} answers are right" in ended.out
    assert sum(line.startswith("ok ") for line in ended.out.splitlines()) == count
    assert max(map(len, ended.out.splitlines()[:-1])) <= 80
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_metric_of_another_package_fails_the_command_by_name(run_harness: RunHarness, tmp_path: Path) -> None:
    path = install(tmp_path / "site")
    ended = run_harness("selftest", PYTHONPATH=path)
    assert ended.code == 3, ended.out
    assert "wrong: black and white: metrics at their best" in ended.out
    told = json.loads(run_harness("selftest", "--json", PYTHONPATH=path).out)
    assert {each["name"]: each["found"] for each in told if not each["ok"]} == {
        "black and white: metrics at their best": "flatterer",
        "not a number: metrics with a value": "flatterer, identical",
        "another width: metrics with a value": "flatterer",
        "one pixel to spread: metrics with a value": "flatterer",
    }
