"""Laws that hypotheses about formulas keep: a new file in ``harness/hypotheses`` is under them without an edit here.

Each is planted into a module of a formula that it says something about, in the type in which the module works: the
coefficient is 1 there and 0 in the healthy module.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from harness import plugins
from harness.explain.causes import presence
from harness.formulas import Gelu, GroupNorm, LayerNorm, RmsNorm, rounded
from harness.records.explanation import Presence
from harness.records.investigation import Side
from harness.run.worker.filtering import Filter
from harness.run.worker.places import Seen, Spot

if TYPE_CHECKING:
    from harness.formulas import Formula
    from harness.records.investigation import Coefficient, Fit

ALL: dict[str, Any] = {name: plugins.load("hypotheses", name) for name in plugins.names("hypotheses")}
LOADED = {name: part for name, part in ALL.items() if hasattr(part, "changed")}
NAMES = list(LOADED)
WAYS = ("changed", "predicted", "replaced", "shown", "probed")
WIDTH = 64
WEIGHT = rounded(np.linspace(0.5, 1.5, WIDTH), "bfloat16")

FORMULAS: dict[str, Formula] = {
    "gelu by erf": Gelu("erf"),
    "gelu by tanh": Gelu("tanh"),
    "layer norm": LayerNorm(eps=1e-5),
    "group norm": GroupNorm(eps=1e-5, groups=4),
    "rms norm in float32": RmsNorm(eps=1e-5, weight=WEIGHT),
    "rms norm that rounds first": RmsNorm(eps=1e-5, weight=WEIGHT, dtype="bfloat16", rounds_first=True),
    "rms norm that rounds once": RmsNorm(eps=1e-5, weight=WEIGHT, dtype="bfloat16"),
}
CASES = [(name, formula) for name in NAMES for formula, value in FORMULAS.items() if LOADED[name].changed(value)]


def inputs(formula: Formula) -> Any:
    """Rows of unlike size, small ones among them, on which every cause shows."""
    source = np.random.default_rng(1)
    shape = (2, WIDTH, 512) if isinstance(formula, GroupNorm) else (4096, WIDTH)
    scale = source.uniform(0.003, 1.0, (*shape[:-1], 1)) if isinstance(formula, RmsNorm | LayerNorm) else 1.0
    scale = 0.01 if isinstance(formula, GroupNorm) else scale
    return source.standard_normal(shape) * scale + (0.3 * scale if isinstance(formula, LayerNorm) else 0.0)


def module_of(formula: Formula, dtype: torch.dtype) -> Any:
    """A module whose specification is the formula."""
    if isinstance(formula, Gelu):
        return torch.nn.GELU(approximate="none" if formula.form == "erf" else "tanh")
    if isinstance(formula, LayerNorm):
        return torch.nn.LayerNorm(WIDTH, eps=formula.eps, elementwise_affine=False)
    if isinstance(formula, GroupNorm):
        return torch.nn.GroupNorm(formula.groups, WIDTH, eps=formula.eps, affine=False)
    assert isinstance(formula, RmsNorm)
    kind = type("LlamaRMSNorm" if formula.rounds_first else "RMSNorm", (torch.nn.Module,), {})
    module = kind()
    module.weight = torch.nn.Parameter(torch.from_numpy(WEIGHT).to(torch.bfloat16).to(dtype))
    module.eps = formula.eps
    return module


def tried(formula: Formula, computed: Formula) -> Fit:
    """The fit of a module that ought to compute one formula and computes another, rounded to its type."""
    dtype = getattr(torch, formula.dtype if isinstance(formula, RmsNorm) else "bfloat16")
    pipeline: Any = SimpleNamespace(modules={"part": module_of(formula, dtype)}, components={}, joints=[])
    watch = Filter(pipeline)
    x = torch.from_numpy(inputs(formula)).to(dtype)
    y = torch.from_numpy(computed.exact(x.double().numpy())).to(dtype)
    for side, tree in ((Side.INPUT, ((x,), {})), (Side.OUTPUT, y)):
        watch(Seen(Spot("part", side, 0, 0, 0), "", None, tree))
    return next(fit for fit in watch.fits() if not fit.family)


def coefficient(fit: Fit, name: str) -> Coefficient:
    return next(c for c in fit.coefficients if c.hypothesis == name)


@pytest.mark.parametrize(("name", "formula"), CASES)
def test_a_planted_cause_is_present_and_no_other_one(name: str, formula: str) -> None:
    changed = LOADED[name].changed(FORMULAS[formula])
    assert changed is not None
    fit = tried(FORMULAS[formula], changed)
    said = {c.hypothesis: presence(c, fit) for c in fit.coefficients}
    assert said[name] is not Presence.ABSENT, coefficient(fit, name)
    assert [other for other, word in said.items() if word is Presence.PRESENT] in [[name], []]


@pytest.mark.parametrize("name", NAMES)
def test_every_hypothesis_is_shown_by_some_module(name: str) -> None:
    def is_present(formula: str) -> bool:
        changed = LOADED[name].changed(FORMULAS[formula])
        assert changed is not None
        fit = tried(FORMULAS[formula], changed)
        return presence(coefficient(fit, name), fit) is Presence.PRESENT

    assert any(is_present(formula) for own, formula in CASES if own == name)


@pytest.mark.parametrize("formula", FORMULAS)
def test_nothing_is_present_in_a_healthy_module(formula: str) -> None:
    fit = tried(FORMULAS[formula], FORMULAS[formula])
    assert fit.coefficients
    assert not [c for c in fit.coefficients if presence(c, fit) is Presence.PRESENT]


@pytest.mark.parametrize("name", ALL)
def test_a_hypothesis_says_what_it_is_and_where_it_is_known(name: str) -> None:
    hypothesis = ALL[name]
    assert sum(hasattr(hypothesis, way) for way in WAYS) == 1, "it is tried in one way"
    assert len(hypothesis.CAUSE) > 20
    assert not hypothesis.CAUSE.endswith(".")
    assert len(hypothesis.SOURCE) > 10


@pytest.mark.parametrize("name", NAMES)
def test_a_formula_that_is_so_already_is_not_changed_again(name: str) -> None:
    for own, formula in CASES:
        if own == name and name not in {"eps_tenfold", "eps_tenth"}:
            changed = LOADED[name].changed(FORMULAS[formula])
            assert changed is not None
            again = LOADED[name].changed(changed)
            x = inputs(FORMULAS[formula])
            assert again is None or np.array_equal(again.exact(x), changed.exact(x))


def test_inputs_that_cannot_show_a_cause_are_said_to_have_no_power() -> None:
    formula = replace(FORMULAS["rms norm that rounds first"], eps=1e-12)  # type: ignore[type-var]
    fit = tried(formula, formula)
    assert presence(coefficient(fit, "eps_tenfold"), fit) is Presence.NO_POWER
