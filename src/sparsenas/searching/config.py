"""How candidates are scored and compared: the flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sparsenas.errors import UserError
from sparsenas.searching.additive_smoothing import best_shrunk
from sparsenas.searching.evolution import Parents, ScoreKey, by_accuracy, by_loss


@dataclass(frozen=True)
class Scoring:
    """On which images candidates are scored, and how they are compared."""

    calibration: int = 256
    """Training images whose statistics batch norm takes for a candidate; 0 = it keeps the supernet's own"""
    val: int = 0
    """Held-out images a candidate is scored on; 0 = all"""
    batch: int = 256
    """Images in a batch"""
    by: Literal["accuracy", "loss"] = "accuracy"
    """By what candidates are compared"""
    finalists: int = 0
    """So many of the best are compared once more, on all held-out images; 0 = the best of the search is the answer"""
    shrink: float = 0.0
    """How far scores move to what an additive model of all of them says before they are compared, from 0 to 1"""
    cache_memory: int = 1024
    """MiB in which what candidates share with those scored before is kept; 0 = none. Scores do not depend on it"""

    @property
    def score_key(self) -> ScoreKey:
        """The order of scores."""
        return by_loss if self.by == "loss" else by_accuracy

    @property
    def choose(self) -> Parents:
        """How the best are chosen."""
        return best_shrunk(self.shrink, self.score_key)

    def __post_init__(self) -> None:
        for name, low in (("calibration", 0), ("val", 0), ("batch", 1), ("finalists", 0), ("cache_memory", 0)):
            if self.__dict__[name] < low:
                raise UserError(f"--score.{name}: expected at least {low}, got {self.__dict__[name]}")
        if not 0 <= self.shrink <= 1:
            raise UserError(f"--score.shrink: expected 0 to 1, got {self.shrink}")
