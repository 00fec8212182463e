"""A dozen of the planted faults, and harmless changes, on the embedded model; ``nox -s faults`` runs all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.exam import Exam, is_caused, is_right
from tests.planted.port_faults import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

FIXED = [
    "eps-one-layer-norm",
    "gelu-erf-one",
    "softmax-float16",
    "rope-offset",
    "mask-ignored",
    "lora-twice",
    "timestep-bfloat16",
    "sigmas-bfloat16",
    "guidance-scale-slip",
    "scale-rounded",
    "nan-silent",
    "host-copy-stale",
]
HARMLESS = ["nothing", "two-passes-reversed", "channels-last", "last-bits"]


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exam]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HF_MODULES_CACHE", str(tmp_path_factory.mktemp("modules")))
        yield Exam("float32", tmp_path_factory.mktemp("exam"))


def test_the_trace_changes_no_byte(exam: Exam) -> None:
    assert exam.trace.changes_nothing
    assert len(exam.trace.places) > 2000


@pytest.mark.parametrize("name", FIXED)
def test_a_fault_is_found_where_it_is_and_its_cause_is_named_where_one_is_known(exam: Exam, name: str) -> None:
    change = catalogue.everything()[name]
    answer = exam.answer(change)
    assert not answer.error
    assert answer.found
    assert is_right(answer.named, change), answer.named
    assert is_caused(answer.causes, change) or not change.causes, answer.causes
    assert answer.caused or not answer.causes, "no wrong cause"


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_change_is_not_named(exam: Exam, name: str) -> None:
    answer = exam.answer(catalogue.everything()[name])
    assert not answer.error
    assert not answer.found, (answer.trouble, answer.named, answer.causes)


def test_every_change_says_what_it_is_and_what_it_stands_for() -> None:
    changes = catalogue.everything().values()
    assert all(change.about.endswith(".") and change.report for change in changes)
    assert sum(not change.is_benign for change in changes) >= 60
    assert sum(change.is_benign for change in changes) >= 14
    assert {change.name for change in changes if change.is_benign} >= set(HARMLESS)
