"""Hooks show every module and function in order, and leave the pipeline as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.records.investigation import Side
from harness.run.worker.places import Seen, chosen_steps, watched
from harness.run.worker.values import Coins, distance, moved, named_tensors, replaced, tensors
from tests.explain.toy import STEPS, Toy


def seen_in(toy: Toy, inside: Any = lambda _: True) -> list[Seen]:
    seen: list[Seen] = []
    with watched(toy, seen.append, inside):  # type: ignore[arg-type]
        toy.picture()
    return seen


def test_places_come_in_order_of_execution_with_steps_and_callers() -> None:
    seen = seen_in(Toy())
    first = [(one.spot.path, one.spot.side, one.caller) for one in seen[:4]]
    assert first == [
        ("denoiser", Side.INPUT, ""),
        ("denoiser.first", Side.INPUT, "denoiser"),
        ("denoiser.first.norm", Side.INPUT, "denoiser.first"),
        ("denoiser.first.norm", Side.OUTPUT, "denoiser.first"),
    ]
    steps = [one.spot.step for one in seen if one.spot.path == "scheduler.step" and one.spot.side is Side.OUTPUT]
    assert steps == list(range(STEPS))
    assert len({one.spot for one in seen}) == len(seen), "a place is visited once"


def test_the_inside_of_the_denoiser_is_seen_at_chosen_steps_alone_and_the_whole_of_it_at_every_step() -> None:
    seen = seen_in(Toy(), lambda step: step == 2)
    assert {one.spot.step for one in seen if one.spot.path == "denoiser.first"} == {2}
    assert {one.spot.step for one in seen if one.spot.path == "denoiser"} == set(range(STEPS))


def test_two_passes_are_calls_of_their_own_within_a_step() -> None:
    seen = seen_in(Toy(((0,), (1,))))
    forwards = [one.spot.forward for one in seen if one.spot.path == "denoiser" and one.spot.side is Side.INPUT]
    assert forwards == [0, 1] * STEPS


def test_a_watched_picture_has_the_bytes_of_an_unwatched_one_and_nothing_stays_behind() -> None:
    toy = Toy()
    plain, functions = toy.picture(), dict(vars(toy.scheduler))
    seen_in(toy)
    assert torch.equal(toy.picture(), plain)
    assert vars(toy.scheduler) == functions
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in toy.denoiser.modules())


def test_what_a_visitor_gives_takes_the_place_of_values() -> None:
    toy = Toy()
    plain = toy.picture()

    def zero(one: Seen) -> Any:
        if one.spot.path != "denoiser.second" or one.spot.side is not Side.OUTPUT:
            return None
        return replaced(one.tree, [torch.zeros_like(value) for value in tensors(one.tree)])

    with watched(toy, zero):  # type: ignore[arg-type]
        changed = toy.picture()
    assert not torch.equal(changed, plain)
    assert torch.equal(changed, torch.randn(1, 8, 16, generator=torch.Generator().manual_seed(0))), (
        "nothing is taken away"
    )


@pytest.mark.parametrize("words", [["last", "20"], ["soon"], ["-1"]])
def test_steps_that_are_not_there_are_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"allowed are first, middle, last, all and 0 to 19"):
        chosen_steps(words, 20)


def test_tensors_of_any_tree_are_found_named_and_replaced() -> None:
    class Output(dict[str, Any]):
        pass

    tree = (({"a": torch.ones(1)}, 3), {"mask": Output(b=[torch.zeros(2), None])})
    names = [name for name, _ in named_tensors(tree, ["x", "y"])]
    assert names == ["x.a", "mask.b[0]"]
    other = replaced(tree, [torch.full((1,), 5.0), torch.full((2,), 6.0)])
    assert [value.sum().item() for value in tensors(other)] == [5.0, 12.0]
    assert other[0][1] == 3
    assert isinstance(other[1]["mask"], Output)


@pytest.mark.parametrize(
    ("actual", "expected", "error"),
    [
        (torch.tensor([1.0]), torch.tensor([1.0]), 0.0),
        (torch.tensor([3]), torch.tensor([2]), float("inf")),
        (torch.tensor([1.0]), torch.tensor([1.0, 1.0]), float("inf")),
        (torch.tensor([float("nan")]), torch.tensor([1.0]), float("inf")),
        (torch.tensor([float("nan"), 1.0]), torch.tensor([float("nan"), 1.0]), 0.0),
        (torch.tensor([1.0]), torch.tensor([0.0]), float("inf")),
        (torch.tensor([2], dtype=torch.uint8), torch.tensor([1], dtype=torch.uint8), 1.0),
        (torch.tensor([1 + 1j]), torch.tensor([1 + 1j]), 0.0),
    ],
)
def test_distance(actual: Any, expected: Any, error: float) -> None:
    assert distance(actual, expected) == error


def test_moved_values_are_neighbours_and_scalars_and_whole_numbers_stay() -> None:
    values = torch.linspace(1.0, 2.0, 50)
    other = moved(values, Coins(1))
    assert (values.view(torch.int32) - other.view(torch.int32)).abs().eq(1).all()
    for kept in (torch.tensor(937.5), torch.arange(3)):
        assert torch.equal(moved(kept, Coins(1)), kept)
