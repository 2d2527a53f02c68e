"""Flags of scoring: examples, and the order of candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sparsenas.core.arch import Arch
from sparsenas.errors import UserError, check_at_least
from sparsenas.objectives import Metrics, Objective
from sparsenas.objectives.objective import LOSS
from sparsenas.searching.additive_smoothing import shrinkage
from sparsenas.searching.evolution import Parents, Score, best_first
from sparsenas.searching.prior import Prior, no_prior, with_prior


@dataclass(frozen=True)
class Scoring:
    """The examples that candidates are scored on, and how scores are compared."""

    calibration: int = 256
    """Training examples on which batch norm is recalibrated for each candidate; 0 = the supernet's statistics"""
    val: int = 0
    """Validation examples that each candidate is scored on; 0 = all"""
    batch: int = 256
    """Examples per batch"""
    by: str = ""
    """Metric by which candidates are compared, such as accuracy or loss; by default the score of the objective. Ties
    are decided by the loss, or by the score where this is the loss"""
    finalists: int = 0
    """Number of best candidates that are scored once more on all validation examples; 0 = none"""
    shrink: float = 0.0
    """Shrinks scores toward a ridge regression fitted to all scores before they are compared; 0 = not, 1 = fully"""
    prior: float = 0.0
    """Weight of a prior: candidates are compared by the logarithms of their ranks by score and, times this, by
    multiply-adds and by expressivity (AZ-NAS), which need no training. 0 = by score alone"""
    expressivity: bool = True
    """Whether the prior has expressivity as well as multiply-adds; it does not tell good networks apart"""
    cache_memory: int = 1024
    """MiB for activations shared with candidates scored before; 0 = none. Scores do not depend on it"""

    def chooses(self, prior: Prior = no_prior) -> Parents:
        """The choice of the best candidates."""
        return lambda scores, count: best_first(self.adjusted(scores, prior), count)

    def adjusted(
        self, scores: Mapping[Arch, Score], prior: Prior = no_prior, among: Mapping[Arch, Score] | None = None
    ) -> dict[Arch, Score]:
        """Scores as they are compared: shrunk toward the additive model of ``among``, by default of all of them, then
        ranked together with the prior.
        """
        shrunk = shrinkage(scores if among is None else among, self.shrink)(scores)
        return with_prior(shrunk, prior, self.prior) if self.prior > 0 else shrunk

    def score(self, objective: Objective, metrics: Metrics) -> Score:
        """The score of a candidate with these metrics; NaN is the worst. Raises ``UserError`` for an unknown metric."""
        by = self.by or objective.score
        if by not in metrics:
            raise UserError(f"--score.by: expected one of {', '.join(metrics)}, got {by}")
        tie = objective.score if by == LOSS else LOSS
        values = (objective.oriented(name, metrics[name]) for name in (by, tie))
        return Score(*(-math.inf if math.isnan(value) else value for value in values))

    def __post_init__(self) -> None:
        check_at_least(vars(self), {"calibration": 0, "val": 0, "batch": 1, "finalists": 0, "cache_memory": 0})
        if not 0 <= self.prior < math.inf:
            raise UserError(f"prior: expected 0 <= prior < infinity, got {self.prior}")
        if not 0 <= self.shrink <= 1:
            raise UserError(f"shrink: expected 0 <= shrink <= 1, got {self.shrink}")
