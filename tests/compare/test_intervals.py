"""Intervals hold what they promise: against their definitions, by counting every outcome, and by seeded draws."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.compare.intervals import (
    mean_interval,
    paired_interval,
    paired_mean_interval,
    pairs_needed,
    share_interval,
)

Z90 = 1.6448536269514722
Z95 = 1.959963984540054
MARGIN = 0.01


@given(total=st.integers(1, 2000), share=st.floats(0, 1))
def test_ends_of_a_share_are_where_the_score_test_turns(total: int, share: float) -> None:
    right = round(share * total)
    low, high = share_interval(right, total)
    assert 0 <= low <= right / total <= high <= 1
    for end in (low, high):
        if 1e-9 < end < 1 - 1e-9:
            assert abs(right / total - end) == pytest.approx(Z95 * math.sqrt(end * (1 - end) / total), rel=1e-6)


def likeliest(only_first: int, only_second: int, pairs: int, difference: float) -> float:
    """Share of pairs in which just the second is right, of all that fit the difference: by trying, not by formula."""
    low, high = max(0.0, -difference), (1 - difference) / 2
    for _ in range(6):
        tried = np.linspace(low, high, 2001)
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = (tried + difference, tried, 1 - 2 * tried - difference)
            counts = (only_first, only_second, pairs - only_first - only_second)
            fit = sum(
                np.where(share > 0, count * np.log(share), -np.inf) if count else 0 * share
                for share, count in zip(shares, counts, strict=True)
            )
        best = int(np.argmax(fit))
        low, high = float(tried[max(best - 1, 0)]), float(tried[min(best + 1, 2000)])
    return (low + high) / 2


@pytest.mark.parametrize(("b", "c", "n"), [(0, 0, 44), (0, 1, 44), (3, 1, 60), (9, 2, 50), (12, 40, 100), (0, 30, 30)])
def test_ends_of_a_paired_difference_are_where_the_score_test_turns(b: int, c: int, n: int) -> None:
    for end in paired_interval(b, c, n):
        if abs(end) < 1 - 1e-6:
            q = likeliest(b, c, n, end)
            assert abs(b - c - n * end) == pytest.approx(Z90 * math.sqrt(n * (2 * q + end * (1 - end))), rel=1e-3)


@given(n=st.integers(1, 500), b=st.integers(0, 500), c=st.integers(0, 500))
def test_a_paired_interval_holds_what_was_seen_mirrors_and_has_a_width(n: int, b: int, c: int) -> None:
    b, c = b % (n + 1), c % (n + 1)
    if b + c > n:
        b, c = n - b, n - c
    low, high = paired_interval(b, c, n)
    assert -1 <= low <= (b - c) / n + 1e-9
    assert (b - c) / n - 1e-9 <= high <= 1
    assert high - low > 1 / (n + 3)
    assert paired_interval(c, b, n) == pytest.approx((-high, -low), abs=1e-9)


def test_no_differing_pair_leaves_a_width() -> None:
    assert paired_interval(0, 0, 600) == pytest.approx((-(Z90**2) / (600 + Z90**2), Z90**2 / (600 + Z90**2)))


# --- how often equivalence is claimed --------------------------------------------------------------------------------


def wald(b: int, c: int, n: int) -> tuple[float, float]:
    """The planted fault: an interval without a width where no pair differs."""
    reach = Z90 * math.sqrt(b + c - (b - c) ** 2 / n) / n
    return (b - c) / n - reach, (b - c) / n + reach


@cache
def claims(n: int, most: int = 30) -> frozenset[tuple[int, int]]:
    """Numbers of differing pairs from which equivalence follows."""
    counts = [(b, c) for b in range(most) for c in range(most)]
    return frozenset(each for each in counts if within(paired_interval(*each, n)))


def within(interval: tuple[float, float]) -> bool:
    return interval[0] > -MARGIN and interval[1] < MARGIN


def chance(n: int, p: float, q: float, b: int, c: int) -> float:
    """Chance of exactly ``b`` and ``c`` differing pairs of each kind."""
    rest = n - b - c
    ways = math.lgamma(n + 1) - math.lgamma(b + 1) - math.lgamma(c + 1) - math.lgamma(rest + 1)
    if (c and not q) or (b and not p):
        return 0.0
    return math.exp(ways + b * math.log(p or 1) + c * math.log(q or 1) + rest * math.log(1 - p - q))


def wrong_claims(n: int, q: float) -> float:
    """Chance of claiming equivalence where the true difference is the margin itself; every outcome is counted."""
    return sum(chance(n, MARGIN + q, q, b, c) for b, c in claims(n))


@pytest.mark.parametrize("q", [0, 0.002, 0.005])
@pytest.mark.parametrize("n", [300, 600, 1000])
def test_wrong_claims_are_rarer_than_five_in_a_hundred(n: int, q: float) -> None:
    assert wrong_claims(n, q) <= 0.05


def test_the_worst_is_the_smallest_number_of_pairs_that_can_show_anything() -> None:
    assert not claims(267)
    assert wrong_claims(268, 0) == pytest.approx(0.99**268)
    assert 0.05 < 0.99**268 < 0.07


def test_the_interval_of_wald_would_claim_too_much() -> None:
    claimed = [b for b in range(30) if within(wald(b, 0, 300))]
    assert sum(chance(300, MARGIN, 0, b, 0) for b in claimed) > 0.15


# --- scores that know degrees ----------------------------------------------------------------------------------------


def claims_of_rare_falls(size: float, n: int, *, added: bool) -> float:
    """How often equivalence is claimed where one of some pairs falls by ``size`` and the mean is the margin itself."""
    draws = -size * (np.random.default_rng(7).random((1000, n)) < MARGIN / size)
    if added:
        return float(np.mean([within(paired_mean_interval(list(row))) for row in draws]))
    middles = [mean_interval(list(row), confidence=0.90) for row in draws]
    return float(np.mean([within((mean - reach, mean + reach)) for mean, reach in middles if reach is not None]))


@pytest.mark.parametrize("size", [0.2, 0.5])
def test_rare_falls_are_seldom_called_equal(size: float) -> None:
    assert claims_of_rare_falls(size, 300, added=True) <= 0.05


def test_the_interval_of_student_alone_would_call_rare_falls_equal() -> None:
    assert claims_of_rare_falls(0.5, 300, added=False) > 0.1


@given(values=st.lists(st.floats(-1, 1), min_size=1, max_size=50))
def test_an_interval_of_paired_values_holds_their_mean_mirrors_and_has_a_width(values: list[float]) -> None:
    low, high = paired_mean_interval(values)
    assert -1 <= low <= np.mean(values) + 1e-9
    assert np.mean(values) - 1e-9 <= high <= 1
    assert high - low > 1 / (len(values) + 3)
    assert paired_mean_interval([-value for value in values]) == pytest.approx((-high, -low), abs=1e-9)


@pytest.mark.parametrize(("p", "q", "n"), [(0.1, 0.05, 100), (0.02, 0.02, 300), (0.3, 0.1, 40)])
def test_nine_of_ten_intervals_hold_the_true_difference(p: float, q: float, n: int) -> None:
    draws = np.random.default_rng(7).multinomial(n, [p, q, 1 - p - q], size=1500)
    ends = [paired_interval(int(b), int(c), n) for b, c, _ in draws]
    assert 0.88 < np.mean([low <= p - q <= high for low, high in ends]) < 0.94


@pytest.mark.parametrize("differing", [0, 0.002, 0.01, 0.05])
def test_so_many_pairs_show_equivalence_in_four_of_five_tries(differing: float) -> None:
    n = pairs_needed(differing, MARGIN)
    draws = np.random.default_rng(7).multinomial(n, [differing / 2, differing / 2, 1 - differing], size=400)
    assert np.mean([within(paired_interval(int(b), int(c), n)) for b, c, _ in draws]) > 0.78


def test_more_pairs_are_needed_for_a_smaller_margin_and_for_more_differences() -> None:
    assert pairs_needed(0.01, 0.005) > pairs_needed(0.01, 0.01) > pairs_needed(0.001, 0.01)
