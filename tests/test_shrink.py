"""Scores that borrow from one another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from sparsenas.core.arch import Arch
from sparsenas.core.gate import choices
from sparsenas.searching.additive_smoothing import shrinkage
from sparsenas.searching.config import Scoring
from sparsenas.searching.evolution import Score, best_first
from sparsenas.spaces import nasbench_macro

QUESTIONS = choices(nasbench_macro())
seeds = st.integers(0, 1000)


def merits(seed: int, noise: float, count: int = 100) -> tuple[dict[Arch, Score], list[float]]:
    """Scores of random architectures whose answers add up, with accidents of this size; and without them."""
    rng = np.random.default_rng(seed)
    parts = {name: rng.normal(size=len(choice.options)) for name, choice in QUESTIONS.items()}
    archs = list(dict.fromkeys(Arch.sample(QUESTIONS, rng) for _ in range(count)))
    truth = [float(sum(parts[name][arch[name][0]] for name in arch)) for arch in archs]
    return {
        arch: Score(t + noise * rng.normal(), 2 * t + noise * rng.normal())
        for arch, t in zip(archs, truth, strict=True)
    }, truth


@settings(max_examples=20)
@given(seeds)
def test_scores_that_add_up_stay_as_they_are(seed: int) -> None:
    scores, _ = merits(seed, 0.0)
    moved = shrinkage(scores, 1.0)(scores)
    np.testing.assert_allclose(list(moved.values()), list(scores.values()), atol=0.02)


@settings(max_examples=20)
@given(seeds)
def test_accidents_cancel_out(seed: int) -> None:
    scores, truth = merits(seed, 3.0)
    moved = shrinkage(scores, 1.0)(scores)
    for part in range(2):
        before, after = ([row[part] for row in s.values()] for s in (scores, moved))
        assert kendalltau(after, truth).statistic > kendalltau(before, truth).statistic


def test_scores_of_anybody_move_by_the_share() -> None:
    scores, _ = merits(0, 1.0)
    others, _ = merits(7, 1.0, 20)
    fitted = shrinkage(scores, 1.0)(others)
    for share in (0.0, 0.25, 1.0):
        for arch, score in shrinkage(scores, share)(others).items():
            expected = [
                (1 - share) * own + share * other for own, other in zip(others[arch], fitted[arch], strict=True)
            ]
            assert score == pytest.approx(expected)


def test_without_a_share_the_best_are_those_of_the_paper() -> None:
    scores, _ = merits(1, 3.0)
    assert Scoring().chooses()(scores, 10) == best_first(scores, 10)
    assert Scoring(shrink=1.0).chooses()(scores, 10) != best_first(scores, 10)


def test_too_few_scores_stay() -> None:
    scores, _ = merits(0, 1.0, 2)
    assert shrinkage(scores, 1.0)(scores) == scores
    assert shrinkage({}, 1.0)({}) == {}
