"""Laws of hypotheses tried at a wrong place: each is named where it is planted, and silent where another one is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from harness import plugins
from harness.explain.causes import tried_causes
from harness.observations import Behaviour, Observed
from harness.records.investigation import Side, Trial, Tried
from harness.run.worker.operators import Episode, predicted_by
from harness.run.worker.places import Spot
from harness.run.worker.values import distance

if TYPE_CHECKING:
    from collections.abc import Callable

ALL: dict[str, Any] = {name: plugins.load("hypotheses", name) for name in plugins.names("hypotheses")}
VALUES = {name: part for name, part in ALL.items() if hasattr(part, "predicted")}
OPERATORS = {name: part for name, part in ALL.items() if hasattr(part, "replaced")}
BEHAVIOURS = {name: part for name, part in ALL.items() if hasattr(part, "shown")}
FLOOR = 1e-7


def named(trials: list[Trial]) -> set[str]:
    """What is named of these trials."""
    return {cause.hypothesis for cause in tried_causes(Tried(path="part", calls=1, trials=trials, seconds=0.0))}


def trial(name: str, residual: float, without: float) -> Trial:
    return Trial(hypothesis=name, residual=residual, without=without, floor=FLOOR)


# --- values ----------------------------------------------------------------------------------------------------------

_SOURCE = np.random.default_rng(5)
PICTURE: Any = _SOURCE.standard_normal((2, 4, 6, 8)).astype(np.float32).astype(np.float64)
TOKENS: Any = _SOURCE.standard_normal((2, 16, 12)).astype(np.float32).astype(np.float64)
FLOATS: Any = _SOURCE.uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32).astype(np.float64)
LEVELS = np.rint(127.5 * FLOATS + 127.5).transpose(0, 2, 3, 1).reshape(8, 8, 3)
SIGMAS = np.linspace(1.0, 0.0, 21)[:-1]
POSITIONS = np.tile(np.arange(12.0), (2, 1))
TIMES = np.array([937.5, 937.5])


def bfloat16(values: Any) -> Any:
    return torch.from_numpy(values).bfloat16().double().numpy()


def changed(values: Any, change: Callable[[Any], None]) -> Any:
    copy = values.copy()
    change(copy)
    return copy


def dropped(values: Any) -> Any:
    return np.where(np.random.default_rng(1).random(values.shape) < 0.1, 0.0, values / 0.9)


def set_to(where: Any, value: Any) -> Callable[[Any], None]:
    return lambda values: values.__setitem__(where, value)


PLANTED: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "rounded_bfloat16": (PICTURE, bfloat16(PICTURE), {}),
    "rounded_float16": (PICTURE, PICTURE.astype(np.float16).astype(np.float64), {}),
    "whole_numbers": (TIMES, np.floor(TIMES), {}),
    "next_step": (TIMES, TIMES * 0.9, {"sigmas": (0.9375, 0.84375)}),
    "positions_shifted": (POSITIONS, POSITIONS + np.array([[3.0], [0.0]]) * (POSITIONS > 4), {"dtype": "int64"}),
    "scaled": (PICTURE, PICTURE * 1.25, {}),
    "shift_again": (SIGMAS, 3 * SIGMAS / (1 + 2 * SIGMAS), {}),
    "predictions_swapped": (PICTURE, PICTURE[::-1], {}),
    "shards_swapped": (TOKENS, np.concatenate(np.split(TOKENS, 2, axis=1)[::-1], axis=1), {}),
    "channels_reversed": (FLOATS, FLOATS[:, ::-1], {}),
    "layout_misread": (PICTURE, PICTURE.reshape(2, 6, 8, 4).transpose(0, 3, 1, 2), {}),
    "clipped": (PICTURE, np.clip(PICTURE, -0.8, 0.8), {}),
    "overflow": (PICTURE, np.where(np.abs(PICTURE) > 1.5, np.inf, PICTURE), {}),
    "not_a_number": (PICTURE, changed(PICTURE, set_to((0, 1, 2, 3), np.nan)), {}),
    "last_rows": (TOKENS, changed(TOKENS, set_to((slice(None), slice(-2, None)), 7.5)), {}),
    "index_wrapped": (TOKENS, changed(TOKENS, set_to((1, slice(8, None)), TOKENS[0, :8])), {}),
    "exchanged": (TOKENS, TOKENS**3, {"others": {"part.key": TOKENS**3}}),
    "old_result": (TOKENS, TOKENS**3, {"earlier": {"part.0.mlp": TOKENS**3}}),
    "dropout_active": (PICTURE, dropped(PICTURE), {}),
    "noise_of_numpy": (PICTURE, np.random.RandomState(7).standard_normal(PICTURE.shape), {"seed": 7}),
    "levels_cut": (
        LEVELS,
        np.trunc(127.5 * FLOATS + 127.5).transpose(0, 2, 3, 1).reshape(8, 8, 3),
        {"dtype": "uint8", "inputs": {"pixels": FLOATS}},
    ),
    "sigmas_of_half": (
        PICTURE + (0.7 - 0.8) * PICTURE**2,
        PICTURE + (float(np.float16(0.7)) - float(np.float16(0.8))) * PICTURE**2,
        {"sigmas": (0.8, 0.7), "inputs": {"velocity": PICTURE**2, "sample": PICTURE}},
    ),
}


def tried_values(expected: Any, actual: Any, known: dict[str, Any]) -> set[str]:
    """Hypotheses about values that are named."""
    observed = Observed(**{"actual": actual, "expected": expected, "dtype": "float32", "floor": FLOOR, **known})
    trials = []
    for name, part in VALUES.items():
        with np.errstate(all="ignore"):
            made = [torch.from_numpy(np.ascontiguousarray(p.values)) for p in part.predicted(observed)]
        left = [distance(torch.from_numpy(np.ascontiguousarray(actual)), values) for values in made]
        if left:
            whole = torch.from_numpy(np.ascontiguousarray(expected))
            trials.append(trial(name, min(left), distance(torch.from_numpy(np.ascontiguousarray(actual)), whole)))
    return named(trials)


@pytest.mark.parametrize("name", VALUES)
def test_what_is_planted_into_values_is_named_and_nothing_else(name: str) -> None:
    assert tried_values(*PLANTED[name]) == {name}


@pytest.mark.parametrize("name", VALUES)
def test_rounding_and_unknown_changes_of_values_have_no_cause(name: str) -> None:
    expected, _, known = PLANTED[name]
    source = np.random.default_rng(3)
    last_bits = expected * (1 + 1e-7 * source.choice([-1, 1], expected.shape))
    unknown = expected + 0.3 * source.standard_normal(expected.shape)
    assert not tried_values(expected, last_bits, known)
    assert not tried_values(expected, unknown, known | {"others": {}})


# --- operators -------------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    """Two texts with padding in front, and a causal mask, as a language model has them."""

    def forward(self, q: Any, k: Any, v: Any, mask: Any) -> Any:
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class Free(nn.Module):
    """Attention of a denoiser, without a mask."""

    def forward(self, q: Any, k: Any, v: Any) -> Any:
        return functional.scaled_dot_product_attention(q, k, v)


def apply_rotary_pos_emb(q: Any, k: Any, cos: Any, sin: Any) -> Any:
    """Halves are rotated."""

    def turned(x: Any) -> Any:
        one, two = x.chunk(2, dim=-1)
        return x * cos + torch.cat([-two, one], dim=-1) * sin

    return turned(q), turned(k)


class Rotary(nn.Module):
    """Tables from positions, and queries and keys that are turned by them."""

    def forward(self, q: Any, k: Any, positions: Any) -> Any:
        frequencies = 100.0 ** (-torch.arange(8.0) / 8)
        angle = (frequencies[:, None] @ positions[None, :]).T
        both = torch.cat([angle, angle], dim=-1)
        return apply_rotary_pos_emb(q, k, both.cos(), both.sin())


class Upsample(nn.Module):
    """Twice as large."""

    def forward(self, x: Any) -> Any:
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def drawn(*shape: int) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def padded_mask() -> Any:
    causal = torch.ones(24, 24, dtype=torch.bool).tril()
    padding = torch.stack([torch.arange(24) >= 10, torch.arange(24) >= 3])
    seen = causal & padding[:, None, None, :]
    return seen | (~seen.any(-1, keepdim=True))


def made(module: Any) -> Any:
    torch.manual_seed(2)
    return module().eval()


QKV = tuple(drawn(2, 4, 24, 16) + number for number in range(3))
MODULES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "masked": (Attention(), (*QKV, padded_mask())),
    "free": (Free(), QKV),
    "rotary": (Rotary(), (drawn(2, 4, 24, 16), drawn(2, 4, 24, 16) + 1, torch.arange(24.0))),
    "linear": (made(lambda: nn.Linear(32, 32)), (drawn(2, 24, 32),)),
    "conv": (made(lambda: nn.Conv2d(4, 4, 3, padding=1)), (drawn(2, 4, 8, 6),)),
    "group norm": (made(lambda: nn.GroupNorm(2, 4)), (drawn(2, 4, 8, 6) + drawn(4, 1, 1),)),
    "layer norm": (made(lambda: nn.LayerNorm(80)), (drawn(24, 80) * (1 + drawn(80).abs()),)),
    "upsample": (made(Upsample), (drawn(2, 4, 8, 6),)),
}
SPOT = Spot("part", Side.OUTPUT, 0, 0, 0)
TWINS = {
    "attention_scale_missing": {"attention_scale_padded"},
    "mask_of_first": {"mask_padding_missing"},
    "interpolation_mode": {"input_layout"},
}


def episode(module: str) -> Episode:
    part, given = MODULES[module]
    return Episode("part", part, (given, {}))


def outputs(module: str, name: str) -> list[Any]:
    """What a module gives with each form of a hypothesis that is at work there."""
    forms = (predicted_by(episode(module), operators, SPOT) for operators in OPERATORS[name].replaced())
    return [torch.cat([x.flatten() for x in form]) for form in forms if form is not None]


def right(module: str) -> Any:
    part, given = MODULES[module]
    with torch.no_grad():
        output = part(*given)
    return torch.cat([x.flatten() for x in output]) if isinstance(output, tuple) else output.flatten()


def tried_operators(module: str, actual: Any) -> set[str]:
    without = distance(actual, right(module))
    left = {name: [distance(actual, made) for made in outputs(module, name)] for name in OPERATORS}
    return named([trial(name, min(gaps), without) for name, gaps in left.items() if gaps])


SHOWN = [
    (name, module, number)
    for name in OPERATORS
    for module in MODULES
    for number, made_by in enumerate(outputs(module, name))
    if distance(made_by, right(module)) > 1e3 * FLOOR
]


@pytest.mark.parametrize("name", OPERATORS)
def test_every_hypothesis_about_operators_is_planted_somewhere(name: str) -> None:
    assert [case for case in SHOWN if case[0] == name]


@pytest.mark.parametrize(("name", "module", "form"), SHOWN)
def test_what_is_planted_into_operators_is_named(name: str, module: str, form: int) -> None:
    said = tried_operators(module, outputs(module, name)[form])
    assert name in said
    assert len(said) <= 3


@pytest.mark.parametrize("module", MODULES)
def test_rounding_and_unknown_changes_of_a_module_have_no_cause(module: str) -> None:
    healthy = right(module)
    noise = torch.randn(healthy.shape, generator=torch.Generator().manual_seed(1))
    assert not tried_operators(module, healthy * (1 + 1e-7 * noise.sign()))
    assert not tried_operators(module, healthy + 0.3 * noise)


def test_a_module_is_as_it_was_when_causes_were_tried() -> None:
    before = right("rotary")
    for name in OPERATORS:
        outputs("rotary", name)
    assert torch.equal(right("rotary"), before)
    assert apply_rotary_pos_emb.__name__ == "apply_rotary_pos_emb"


# --- behaviour -------------------------------------------------------------------------------------------------------


def behaviour(**other: bool) -> Behaviour:
    healthy = {
        "repeats": True,
        "first_equals_later": True,
        "first_is_right": True,
        "later_is_right": True,
        "right_when_forced": True,
        "right_before_another": False,
    }
    return Behaviour(**{**healthy, **other})


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (behaviour(), set()),
        (behaviour(first_equals_later=False, first_is_right=False), {"first_picture"}),
        (behaviour(repeats=False, first_equals_later=False), {"not_repeatable"}),
        (behaviour(first_is_right=False, later_is_right=False), {"stale_state"}),
        (behaviour(right_when_forced=False, right_before_another=True), {"stale_state"}),
        (
            behaviour(repeats=False, right_when_forced=False, right_before_another=True),
            {"stale_state", "not_repeatable"},
        ),
        (behaviour(right_when_forced=False, later_is_right=False, first_is_right=False), set()),
    ],
)
def test_how_pictures_relate_tells_state_from_races_and_first_pictures(seen: Behaviour, expected: set[str]) -> None:
    assert {name for name, part in BEHAVIOURS.items() if part.shown(seen)} == expected
