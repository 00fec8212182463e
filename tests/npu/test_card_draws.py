"""Draws on a card: portable noise follows the state of its generators, and reading a state asks no card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from harness.backends import npu
from harness.noise import portable_noise
from harness.records import DrawnFrom, NoiseMode, SwitchMode
from harness.run.worker.draws import watched_draws
from tests.ascend_sim.children import run_python

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.contracts import Device

SEED = 42
CARD = "npu:0"


@pytest.fixture(scope="module")
def device() -> Device:
    return npu.open(0, SwitchMode.AS_SHIPPED)


def own(seed: int = 7, place: str = CARD) -> Any:
    return torch.Generator(place).manual_seed(seed)


def drawn_from(generator: Any, place: str = CARD) -> Any:
    return torch.randn(4, generator=generator, device=place)


def of_both_kinds() -> list[Any]:
    """Draws from a card's generators and the CPU's, all seeded alike, and what is to come of them by their number."""
    return [drawn_from(own(SEED)), drawn_from(None), drawn_from(own(SEED, "cpu"), "cpu"), drawn_from(None, "cpu")]


WAYS: dict[str, tuple[Callable[[], list[Any]], list[int]]] = {
    "one after the other": (lambda: [drawn_from(once := own()), drawn_from(once)], [0, 1]),
    "seeded again": (lambda: [drawn_from(once := own()), drawn_from(once.manual_seed(7))], [0, 0]),
    "another generator with the same seed": (lambda: [drawn_from(own()), drawn_from(own())], [0, 0]),
    "the like of another": (lambda: [torch.randn_like(torch.zeros(4, device=CARD)) for _ in range(2)], [0, 1]),
    "in its place": (lambda: [torch.empty(4, device=CARD).normal_(generator=own()) for _ in range(2)], [0, 0]),
    "on the other card": (lambda: [drawn_from(own(7, "npu:1"), "npu:1"), drawn_from(own())], [0, 0]),
    "of every kind": (of_both_kinds, [0, 1, 2, 3]),
}


@pytest.mark.parametrize("way", WAYS)
def test_noise_on_a_card_follows_the_state_of_its_generators(way: str, device: Device) -> None:
    draw, streams = WAYS[way]
    device.seed(SEED)
    with watched_draws(NoiseMode.PORTABLE, SEED, device) as log:
        results = draw()
    assert [result.cpu().tolist() for result in results] == [
        portable_noise(SEED, stream, [4]).tolist() for stream in streams
    ]
    assert log.hidden == []


def as_a_pipeline_draws(place: str) -> list[Any]:
    """Two draws from one generator, one of it seeded again, in two types, and one from the global generator."""
    once = own(SEED, place)
    draws = [torch.randn(4, 16, generator=once, device=place) for _ in range(2)]
    draws.append(torch.randn(4, 16, generator=once.manual_seed(SEED), device=place, dtype=torch.bfloat16))
    return [*draws, torch.zeros(40, device=place).normal_(3.0, 2.0)]


@pytest.mark.parametrize("mode", [NoiseMode.TORCH_CPU, NoiseMode.DEVICE])
def test_a_card_gets_the_stream_of_the_cpu_and_only_where_that_is_asked_for(mode: NoiseMode, device: Device) -> None:
    device.seed(SEED)
    expected = [draw.float().tolist() for draw in as_a_pipeline_draws("cpu")]
    device.seed(SEED)
    with watched_draws(mode, SEED, device) as log:
        results = as_a_pipeline_draws(CARD)
    same = [result.cpu().float().tolist() == numbers for result, numbers in zip(results, expected, strict=True)]
    assert all(same) is (mode is NoiseMode.TORCH_CPU)
    assert {draw.source for draw in log.draws} == {mode}
    assert log.hidden == []


def test_a_generator_of_a_card_is_known_as_given_global_or_other(device: Device) -> None:
    given = own()
    with watched_draws(NoiseMode.PORTABLE, SEED, device) as log:
        log.give(given)
        for generator in (given, None, torch.npu.default_generators[0], own()):  # type: ignore[attr-defined]
            drawn_from(generator)
    origins = [DrawnFrom.GIVEN, DrawnFrom.GLOBAL, DrawnFrom.GLOBAL, DrawnFrom.OTHER]
    assert [draw.drawn_from for draw in log.draws] == origins


def test_a_draw_that_nobody_logged_is_still_seen_on_a_card(device: Device) -> None:
    with watched_draws(NoiseMode.PORTABLE, SEED, device) as log:
        drawn_from(None)
        torch.nn.functional.dropout(torch.ones(64, device=CARD))
        drawn_from(None)
    assert log.hidden == ["a global generator moved without a logged draw"]


def test_reading_the_states_asks_no_card() -> None:
    """So it waits for none: a card that does not answer would fail every launch, copy, allocation and wait."""
    code = """
import torch
from harness.backends import npu
from harness.records import SwitchMode
from harness.run.worker import draws
from tests.ascend_sim import cards
device = npu.open(0, SwitchMode.AS_SHIPPED)
generator = torch.Generator("npu:0").manual_seed(7)
shared = draws._global_generators("npu")[0]
read = {
    "a generator": lambda: draws._state(generator, is_global=False),
    "the card's own": lambda: draws._state(shared, is_global=True),
    "all of them": device.rng_state,
    "planted: a wait": device.synchronize,
}
def answers(call):
    try:
        call()
    except RuntimeError as error:
        return "507010" in str(error) and "lost"
    return "read"
with cards.lost(0):
    print([answers(call) for call in read.values()])
"""
    ended = run_python(code, {"TASK_QUEUE_ENABLE": "0"})
    assert ended.stdout.splitlines()[-1] == str(["read", "read", "read", "lost"])
