"""Flags of scoring: images, and the order of candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sparsenas.errors import UserError, check_at_least
from sparsenas.searching.additive_smoothing import best_shrunk
from sparsenas.searching.evolution import Parents, ScoreKey, by_accuracy, by_loss


@dataclass(frozen=True)
class Scoring:
    """The images that candidates are scored on, and how scores are compared."""

    calibration: int = 256
    """Training images on which batch norm is recalibrated for each candidate; 0 = the supernet's statistics are used"""
    val: int = 0
    """Validation images that each candidate is scored on; 0 = all"""
    batch: int = 256
    """Images per batch"""
    by: Literal["accuracy", "loss"] = "accuracy"
    """Candidates are compared by this; the other one decides ties"""
    finalists: int = 0
    """Number of best candidates that are scored once more on all validation images; 0 = none"""
    shrink: float = 0.0
    """Shrinks scores toward a ridge regression fitted to all scores before they are compared; 0 = not, 1 = fully"""
    cache_memory: int = 1024
    """MiB for activations shared with candidates scored before; 0 = none. Scores do not depend on it"""

    @property
    def score_key(self) -> ScoreKey:
        """The sort key of scores."""
        return by_loss if self.by == "loss" else by_accuracy

    @property
    def choose(self) -> Parents:
        """The choice of the best candidates."""
        return best_shrunk(self.shrink, self.score_key)

    def __post_init__(self) -> None:
        check_at_least(vars(self), {"calibration": 0, "val": 0, "batch": 1, "finalists": 0, "cache_memory": 0})
        if not 0 <= self.shrink <= 1:
            raise UserError(f"shrink: expected 0 <= shrink <= 1, got {self.shrink}")
