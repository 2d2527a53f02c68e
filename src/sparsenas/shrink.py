"""Scores that borrow from one another: each moves towards what an additive model of all of them says.

An inherited score is the merit of a network plus the accidents of its weights and of the images asked. What choices
add up to is seen in many candidates, so its accidents cancel out; what a candidate has beyond it is mostly accident.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sparsenas.choice import Arch
from sparsenas.evolution import Parents, Score, Worth, best_first

RIDGES = np.logspace(-2, 3, 11)
"""Penalties to choose from, by leaving one out. The weights are those of answers that are there or not."""


def additive(scores: Mapping[Arch, Score]) -> dict[Arch, Score]:
    """What a sum over the answers says of every architecture scored: ridge regression, each part of a score apart."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import RidgeCV

    if len(scores) < 3:
        return dict(scores)
    answers = [{name: str(picks) for name, picks in arch.items()} for arch in scores]
    present = DictVectorizer(sparse=False).fit_transform(answers)
    values = np.array(list(scores.values()))
    fitted = RidgeCV(RIDGES, alpha_per_target=True).fit(present, values).predict(present)
    return {arch: Score(*row) for arch, row in zip(scores, fitted.tolist(), strict=True)}


def shrunk(scores: Mapping[Arch, Score], share: float, fitted: Mapping[Arch, Score]) -> dict[Arch, Score]:
    """Scores moved this share of the way to the fitted ones; 0 = as they are."""
    return {
        arch: Score(*((1 - share) * own + share * other for own, other in zip(score, fitted[arch], strict=True)))
        for arch, score in scores.items()
    }


def best_shrunk(share: float, worth: Worth) -> Parents:
    """The choice of the best by shrunk scores; ``evolution.best_first`` where the share is 0."""

    def choose(scores: Mapping[Arch, Score], count: int) -> list[Arch]:
        merits = shrunk(scores, share, additive(scores)) if share > 0 else scores
        return best_first(merits, count, worth)

    return choose
