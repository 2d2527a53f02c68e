"""The lasso solver against its optimality conditions, the slow reference and what compressed sensing promises."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard

from sparsenas.methods.ista.lasso import Matrix, Vector, active_set, ista, lasso, objective, soft_threshold, violation

Problem = tuple[Matrix, Vector, float]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Dictionaries of several kinds, dependent columns among them; b of any size, sometimes exactly sparse."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    m, n = draw(st.sampled_from([(7, 14), (7, 35), (14, 28), (3, 9), (7, 3), (5, 1)]))
    kind = draw(st.sampled_from(["uniform", "normal", "repeated", "integers"]))
    a = rng.random((m, n)) if kind == "uniform" else rng.standard_normal((m, n))
    if kind == "integers":
        a = rng.integers(-2, 3, (m, n)).astype(float)
    if kind == "repeated":
        a[:, n // 2] = a[:, 0]
    b = rng.standard_normal(m) * 10 ** rng.uniform(-4, 1)
    if draw(st.booleans()):
        b = a @ (rng.permutation(n) < 2)
    return a, b, float(10 ** rng.uniform(-6, -2))


@given(problems())
@settings(deadline=None, max_examples=300)
def test_solutions_are_optimal(problem: Problem) -> None:
    a, b, lam = problem
    z = lasso(a, b, lam)
    assert violation(a, b, lam, z) <= 1e-11 * max(1.0, float(np.abs(a.T @ b).max()))
    gradient = a.T @ (a @ z - b)
    assert np.abs(gradient).max(initial=0) <= lam + 1e-8
    np.testing.assert_allclose(gradient[z != 0], -lam * np.sign(z[z != 0]), atol=1e-8)


@given(problems())
@settings(deadline=None, max_examples=50)
def test_the_active_set_needs_no_good_start(problem: Problem) -> None:
    a, b, lam = problem
    z = active_set(a, b, lam, np.zeros(a.shape[1]), 1e-11 * float(np.abs(a.T @ b).max()))
    expected = objective(a, b, lam, lasso(a, b, lam))
    assert objective(a, b, lam, z) == pytest.approx(expected, rel=1e-7, abs=1e-14)


@given(st.integers(0, 2**32 - 1), st.sampled_from([(28, 14), (35, 7), (20, 9)]))
@settings(deadline=None, max_examples=25)
def test_ista_falls_at_every_step_and_ends_at_the_solution(seed: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    a, b, lam = rng.standard_normal(size), rng.standard_normal(size[0]), 0.3
    falling = [objective(a, b, lam, ista(a, b, lam, steps)) for steps in (0, 1, 2, 3, 5, 10, 30)]
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(falling))
    np.testing.assert_allclose(ista(a, b, lam, 3000), lasso(a, b, lam), atol=1e-6)


@given(st.lists(st.floats(-3, 3), min_size=1), st.floats(0, 2))
def test_soft_threshold_solves_the_lasso_of_one_number(numbers: list[float], by: float) -> None:
    x = np.array(numbers)
    shrunk = soft_threshold(x, by)
    around = shrunk + np.linspace(-1, 1, 41)[:, None]
    best = 0.5 * (shrunk - x) ** 2 + by * np.abs(shrunk)
    assert (best <= 0.5 * (around - x) ** 2 + by * np.abs(around) + 1e-12).all()


@given(problems(), st.floats(1, 10))
@settings(deadline=None)
def test_a_large_weight_gives_nothing(problem: Problem, factor: float) -> None:
    a, b, _ = problem
    top = float(np.abs(a.T @ b).max())
    if top > 1e-9:
        assert not lasso(a, b, top * factor * (1 + 1e-9)).any()


@given(st.integers(0, 15), st.integers(16, 31), st.floats(0.1, 2), st.floats(-2, -0.1))
@settings(deadline=None)
def test_an_incoherent_dictionary_recovers_every_pair(i: int, j: int, first: float, second: float) -> None:
    # Mutual coherence 1/4 < 1/(2s - 1) = 1/3 guarantees recovery of s = 2 (Donoho and Elad, 2003).
    a = np.hstack([np.eye(16), hadamard(16) / 4])
    z = np.zeros(32)
    z[[i, j]] = first, second
    found = lasso(a, a @ z, 1e-7)
    np.testing.assert_allclose(found, z, atol=1e-5)
    assert set(np.argsort(-np.abs(found))[:2]) == {i, j}


def test_a_random_dictionary_recovers_most_pairs_only() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(100):
        a, support = rng.random((7, 14)), rng.choice(14, 2, replace=False)
        z = np.zeros(14)
        z[support] = rng.standard_normal(2)
        hits += set(np.argsort(-np.abs(lasso(a, a @ z, 1e-7)))[:2]) == set(support)
    assert 80 <= hits < 100  # 92 % in many draws


def test_the_weight_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        lasso(np.eye(2), np.ones(2), 0.0)


def test_the_solution_is_found_where_least_angle_regression_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    # Seen once in thousands of problems, depending on rounding: "shapes (7,4) and (3,) not aligned".
    def fail(*args: object, **kwargs: object) -> None:
        raise ValueError("shapes not aligned")

    monkeypatch.setattr("sklearn.linear_model.lars_path", fail)
    rng = np.random.default_rng(0)
    for n in (14, 21, 28, 35):
        a, pair = rng.random((7, n)), rng.choice(n, 2, replace=False)
        b = a[:, pair] @ rng.standard_normal(2)
        assert violation(a, b, 1e-5, lasso(a, b, 1e-5)) <= 1e-9
