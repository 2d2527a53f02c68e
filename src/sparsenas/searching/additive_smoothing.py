"""Scores that borrow from one another: each moves towards what an additive model of all of them says.

An inherited score is the merit of a network plus the accidents of its weights and of the images asked. What choices
add up to is seen in many candidates, so its accidents cancel out; what a candidate has beyond it is mostly accident.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sparsenas.core.arch import Arch
from sparsenas.searching.evolution import Parents, Score, ScoreKey, best_first

RIDGES = np.logspace(-2, 3, 11)
"""Penalties to choose from, by leaving one out. The weights are those of answers that are there or not."""
FEWEST = 3
"""Fewer scores say nothing about sums."""


def additive(scores: Mapping[Arch, Score]) -> Callable[[Sequence[Arch]], list[Score]]:
    """What a sum over the answers says of architectures: ridge regression, each part of a score apart."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import RidgeCV

    one_hot = DictVectorizer(sparse=False)
    answers = one_hot.fit_transform([_answers(arch) for arch in scores])
    model = RidgeCV(RIDGES, alpha_per_target=True).fit(answers, np.array(list(scores.values())))
    return lambda archs: [
        Score(*row) for row in model.predict(one_hot.transform([_answers(arch) for arch in archs])).tolist()
    ]


def _answers(arch: Arch) -> dict[str, str]:
    return {name: str(picks) for name, picks in arch.items()}


def shrinkage(scores: Mapping[Arch, Score], share: float) -> Callable[[Mapping[Arch, Score]], dict[Arch, Score]]:
    """Moves scores this share of the way to the additive model of these; 0 = not at all, and so do too few to fit."""
    if share == 0 or len(scores) < FEWEST:
        return dict
    expected = additive(scores)

    def move(some: Mapping[Arch, Score]) -> dict[Arch, Score]:
        return {
            arch: Score(*((1 - share) * own + share * other for own, other in zip(some[arch], fitted, strict=True)))
            for arch, fitted in zip(some, expected(list(some)), strict=True)
        }

    return move


def best_shrunk(share: float, score_key: ScoreKey) -> Parents:
    """The choice of the best by shrunk scores; ``evolution.best_first`` where the share is 0."""
    return lambda scores, count: best_first(shrinkage(scores, share)(scores), count, score_key)
