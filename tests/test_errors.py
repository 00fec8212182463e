"""Every expected failure has its exit code, and a wrong name brings the right one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from harness import cli, errors
from harness.errors import HarnessError, UndefinedMetric, UnknownName
from harness.records import EXIT_CODES

if TYPE_CHECKING:
    from collections.abc import Iterator

CODES = {
    "HarnessError": 3,
    "UsageError": 2,
    "ScenarioError": 2,
    "ModelError": 2,
    "ImageError": 2,
    "RecordError": 2,
    "TensorError": 2,
    "UnknownName": 2,
    "RunError": 3,
    "DeviceUnavailable": 3,
    "BaselineDamaged": 3,
    "NotAcceptable": 3,
    "NotCovered": 3,
    "BaselineMissing": 4,
    "NothingSelected": 5,
    "Interrupted": 130,
}


def family(kind: type[HarnessError]) -> Iterator[type[HarnessError]]:
    """An error and all that are more special, of the harness itself."""
    if kind.__module__ == errors.__name__:
        yield kind
        for each in kind.__subclasses__():
            yield from family(each)


def test_every_error_has_its_documented_exit_code() -> None:
    assert {each.__name__: each.exit_code for each in family(HarnessError)} == CODES


def test_the_tree_in_the_documentation_is_the_tree_in_the_code() -> None:
    named = re.findall(r"^ *[│ ]*[├└]── (\w+)", str(errors.__doc__), flags=re.MULTILINE)
    assert sorted([*named, "HarnessError"]) == sorted(CODES)
    coded = re.findall(r"[├└]── (\w+) +(\d+) ", str(errors.__doc__))
    assert {name: int(code) for name, code in coded} == {
        "UsageError": 2,
        "RunError": 3,
        "BaselineMissing": 4,
        "NothingSelected": 5,
        "Interrupted": 130,
    }


def test_an_undefined_metric_is_no_error_that_ends_a_command() -> None:
    assert not issubclass(UndefinedMetric, HarnessError)


def test_errors_and_verdicts_speak_of_the_same_codes() -> None:
    documented = {int(code) for code in re.findall(r"\b(\d+) [a-z]", str(cli.__doc__))}
    assert documented == {*EXIT_CODES.values(), *CODES.values()}


# Wrong name, and the hint it must bring; none where nothing is near.
WRONG = {
    "psnr": " Did you mean 'psnr_db'?",
    "psnr_bd": " Did you mean 'psnr_db'?",
    "sim": " Did you mean 'ssim'?",
    "mze": " Did you mean 'mse'?",
    "lpips": "",
    "": "",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_name_brings_the_nearest_and_all_there_are(name: str) -> None:
    text = str(UnknownName("metric", name, ["ssim", "psnr_db", "mse"]))
    assert text == f"no metric is called {name!r}.{WRONG[name]} There are: mse, psnr_db, ssim."


def test_a_wrong_name_among_none_says_that_there_are_none() -> None:
    assert str(UnknownName("metric", "mse", [])) == "no metric is called 'mse'. There are: none."


def test_a_name_is_quoted_so_that_it_cannot_act_on_a_terminal() -> None:
    assert "\x1b" not in str(UnknownName("metric", "\x1b[31mred", []))
