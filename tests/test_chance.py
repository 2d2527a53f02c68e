"""Whether a found network is better than random ones: the errors against simulations, and what follows from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sparsenas.searching.chance import ENOUGH, against_random, gap, paired_gap

shares = st.floats(0, 1)
some = st.lists(shares, min_size=1, max_size=8)


@pytest.mark.parametrize(("accuracy", "examples"), [(0.9, 360), (0.98, 500), (0.5, 100)])
def test_the_error_is_that_of_drawn_test_examples(accuracy: float, examples: int) -> None:
    """Two standard deviations of the margin over many draws of the test examples, for networks of equal accuracy."""
    rng = np.random.default_rng(0)
    right = rng.binomial(examples, accuracy, size=(4000, 9)) / examples
    drawn = 2 * np.std(right[:, 0] - right[:, 1:].mean(1))
    errors = [against_random(row[0], list(row[1:]), True, examples).error for row in right]
    assert np.mean(errors) == pytest.approx(drawn, rel=0.06)
    told = np.mean([against_random(row[0], list(row[1:]), True, examples).better is not None for row in right])
    assert told < 0.08, "equal networks are seldom told apart"


@given(shares, some, st.booleans(), st.integers(1, 10**6))
def test_better_is_the_opposite_of_worse(found: float, others: list[float], higher: bool, examples: int) -> None:
    compared = against_random(found, others, higher, examples)
    opposite = against_random(found, others, not higher, examples)
    assert compared.margin == -opposite.margin
    assert compared.error == opposite.error > 0
    if compared.better is None:
        assert opposite.better is None
    else:
        assert len(others) >= ENOUGH
        assert compared.better is not opposite.better
        assert compared.better == (compared.margin > 0)
    assert against_random(found, others, higher, None).error == 0


def test_intervals_are_those_of_the_t_tests() -> None:
    """Against the formulas: Welch's for two groups, and that of pairs."""
    first, second = np.array([0.93, 0.945, 0.935]), np.array([0.9, 0.91, 0.925])
    errors, n = np.array([first.var(ddof=1), second.var(ddof=1)]) / 3, 2
    pairs = first - second
    for found, error, freedom in (
        (gap(list(first), list(second)), errors.sum() ** 0.5, errors.sum() ** 2 / (errors**2 / n).sum()),
        (paired_gap(list(first), list(second)), pairs.std(ddof=1) / 3**0.5, n),
    ):
        half = stats.t.ppf(0.975, freedom) * error
        assert found[:3] == pytest.approx((pairs.mean(), pairs.mean() - half, pairs.mean() + half))
        assert found.p == pytest.approx(2 * stats.t.sf(pairs.mean() / error, freedom))
    assert paired_gap([0.5, 0.75], [0.25, 0.5])[1:] == paired_gap([0.5], [0.4])[1:] == (None, None, None)


def test_marks_of_a_gap() -> None:
    assert gap([0.93, 0.94, 0.935], [0.9, 0.91, 0.905]).better is True
    assert gap([0.9, 0.91, 0.905], [0.93, 0.94, 0.935]).better is False
    assert gap([0.9, 0.95], [0.91, 0.93]).better is None
    assert gap([0.9], [0.8, 0.7]).better is None
