"""While a worker starts, young objects are collected and never all."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from harness.run.worker.collector import without_full_collections

COUNTED = """
import gc
from contextlib import nullcontext
from harness.run.worker.collector import without_full_collections

generations = set()
gc.callbacks.append(lambda phase, details: generations.add(details["generation"]))
kept = []
with {context}():
    for _ in range(200_000):
        kept.append([])
print(sorted(generations))
"""


@pytest.mark.parametrize(
    ("context", "generations"), [("without_full_collections", "[0, 1]"), ("nullcontext", "[0, 1, 2]")]
)
def test_no_pass_goes_over_all_objects(context: str, generations: str) -> None:
    words = [sys.executable, "-c", COUNTED.format(context=context)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == generations


def test_the_thresholds_are_those_of_before_also_after_an_error() -> None:
    before = gc.get_threshold()
    with without_full_collections():
        inside = gc.get_threshold()
    assert (inside[:2], inside[2] > before[2]) == (before[:2], True)
    context = without_full_collections()
    context.__enter__()
    with pytest.raises(KeyError, match="planted"):
        context.gen.throw(KeyError("planted"))
    assert gc.get_threshold() == before
