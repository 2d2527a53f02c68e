"""A prior of candidates, which needs no training: what large and expressive networks are expected to be worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.arch import Arch
from sparsenas.searching.evolution import Score

Prior = Callable[[Sequence[Arch]], NDArray[np.float64]]
"""The estimates of architectures, of shape (estimates, architectures); more is better."""


def no_prior(archs: Sequence[Arch]) -> NDArray[np.float64]:
    """Nothing is estimated."""
    return np.zeros((0, len(archs)))


def log_ranks(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm of each value's rank divided by their number: 0 for the greatest; equals share their mean rank."""
    from scipy import stats  # its import takes a second

    ranks: NDArray[np.float64] = stats.rankdata(values)
    return np.log(ranks / len(ranks))


def with_prior(scores: Mapping[Arch, Score], prior: Prior, weight: float) -> dict[Arch, Score]:
    """Scores as sums of logarithms of ranks, as in AZ-NAS: of the score, and ``weight`` times of each estimate.

    Such a sum is low as soon as one rank is low, so that no bad estimate is made up for by good ones. It depends on
    what else is compared. The scores themselves decide between equals.
    """
    if not scores:
        return {}
    order = {score: i for i, score in enumerate(sorted(set(scores.values())))}
    total = log_ranks([order[score] for score in scores.values()])
    total = total + weight * sum(log_ranks(values) for values in prior(list(scores)))
    return {arch: Score(float(sum_), scores[arch].value) for arch, sum_ in zip(scores, total, strict=True)}
