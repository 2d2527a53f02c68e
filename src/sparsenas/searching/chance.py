"""Whether found networks are better than random ones by more than chance."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

ENOUGH = 3
"""Random networks behind a mean with which a found network is compared."""


class Comparison(NamedTuple):
    """A found network and random ones that were trained in the same way, by their scores."""

    found: float
    others: list[float]
    mean: float
    deviation: float | None
    """``None`` for a single random network."""
    margin: float
    """How much better the found network is than the mean."""
    examples: int | None = None
    """Test examples of which the scores are the shares that are right; ``None`` for any other score."""

    @property
    def known_to(self) -> float:
        """Two standard errors of the found network's score by the choice of the test examples; 0 for other scores."""
        if not self.examples:
            return 0.0
        # One more right and one more wrong, so that the error is not 0 at 100 %.
        share = (self.found * self.examples + 1) / (self.examples + 2)
        return 2 * math.sqrt(share * (1 - share) / self.examples)

    @property
    def error(self) -> float:
        """Two standard errors of the margin, for scores on test examples whose number is known; else 0.

        The random networks are tested on the same examples, so their deviation has their own errors in it.
        """
        mean = 2 * (self.deviation or 0.0) / math.sqrt(len(self.others))
        return math.hypot(self.known_to, mean) if self.examples else 0.0

    @property
    def few_examples(self) -> bool:
        """Whether the test examples alone are too few to tell the margin."""
        return abs(self.margin) <= self.known_to > 0

    @property
    def better(self) -> bool | None:
        """Whether the found network is better; ``None`` where that cannot be told.

        So it is with few random networks, and for a margin that is within ``error`` or within one deviation.
        """
        clear = abs(self.margin) > max(self.error, self.deviation or 0.0)
        return self.margin > 0 if clear and len(self.others) >= ENOUGH else None


def against_random(found: float, others: Sequence[float], higher: bool, examples: int | None) -> Comparison:
    """Compares the score of a found network with those of one random network or more.

    ``higher`` is whether a higher score is better, ``examples`` as in ``Comparison``.
    """
    mean, deviation = statistics.fmean(others), statistics.stdev(others) if len(others) > 1 else None
    return Comparison(found, [*others], mean, deviation, found - mean if higher else mean - found, examples)


class Gap(NamedTuple):
    """Found minus random: the difference of the means, its 95 % confidence interval, and p of Welch's t-test."""

    mean: float
    low: float | None
    high: float | None
    p: float | None

    @property
    def better(self) -> bool | None:
        """Whether the found are better, where higher is better; ``None`` where the interval has 0 in it, or is none."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return None
        return self.low > 0


def gap(found: Sequence[float], random: Sequence[float]) -> Gap:
    """Compares the found of several seeds with random ones. No interval for a single seed or random architecture."""
    mean = statistics.fmean(found) - statistics.fmean(random)
    if min(len(found), len(random)) < 2 or len({*found}) == len({*random}) == 1:
        return Gap(mean, None, None, None)
    return _tested(mean, lambda stats: stats.ttest_ind(found, random, equal_var=False))


def paired_gap(first: Sequence[float], second: Sequence[float]) -> Gap:
    """The mean difference of pairs, such as the scores of two methods with the same seed, by the paired t-test.

    No interval for a single pair, or where all pairs differ alike.
    """
    differences = [a - b for a, b in zip(first, second, strict=True)]
    mean = statistics.fmean(differences)
    if len({*differences}) == 1:
        return Gap(mean, None, None, None)
    return _tested(mean, lambda stats: stats.ttest_1samp(differences, 0.0))


def _tested(mean: float, test: Callable[[Any], Any]) -> Gap:
    """The mean with what a test of ``scipy.stats`` tells of it."""
    from scipy import stats  # its import takes a second

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's, of scores that are all alike on one side
        result = test(stats)
        low, high = result.confidence_interval(0.95)
    return Gap(mean, float(low), float(high), float(result.pvalue))
