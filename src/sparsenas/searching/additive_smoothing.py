"""Shrinks scores toward an additive model of all scores: a ridge regression on the picks.

A score on inherited weights has noise from the shared weights and from the sample of examples. Its additive part is
estimated from many candidates, so that the noise averages out. The rest of a score is mostly noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sparsenas.core.arch import Arch
from sparsenas.searching.evolution import Score

RIDGES = np.logspace(-2, 3, 11)
"""Penalties of the regression; leave-one-out cross-validation chooses one."""
FEWEST = 3
"""Fewest scores that the model is fitted to."""

Shrinkage = Callable[[Mapping[Arch, Score]], dict[Arch, Score]]


def additive(scores: Mapping[Arch, Score]) -> Callable[[Sequence[Arch]], list[Score]]:
    """The additive model of scores, which predicts both numbers of a score by one regression each on one-hot picks."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import RidgeCV

    one_hot = DictVectorizer(sparse=False)
    inputs = one_hot.fit_transform([_picks(arch) for arch in scores])
    model = RidgeCV(RIDGES, alpha_per_target=True).fit(inputs, np.array(list(scores.values())))
    return lambda archs: [
        Score(*row) for row in model.predict(one_hot.transform([_picks(arch) for arch in archs])).tolist()
    ]


def _picks(arch: Arch) -> dict[str, str]:
    return {name: str(picks) for name, picks in arch.items()}


def shrinkage(scores: Mapping[Arch, Score], share: float) -> Shrinkage:
    """Moves scores by ``share`` of the way to the additive model of ``scores``; not where these are too few."""
    if share == 0 or len(scores) < FEWEST:
        return dict
    expected = additive(scores)

    def move(some: Mapping[Arch, Score]) -> dict[Arch, Score]:
        return {
            arch: Score(*((1 - share) * own + share * other for own, other in zip(some[arch], fitted, strict=True)))
            for arch, fitted in zip(some, expected(list(some)), strict=True)
        }

    return move
