"""Metrics in words."""

from __future__ import annotations

from sparsenas.objectives.objective import Metrics, Objective


def told(objective: Objective, metric: str, value: float) -> str:
    """A metric's value for people: shares as percentages."""
    return f"{value:.2%}" if metric in objective.shares else f"{value:.4g}"


def score_told(objective: Objective, metrics: Metrics) -> str:
    """The score of an objective with its name."""
    name = objective.score
    return f"{name.replace('_', ' ')} {told(objective, name, metrics[name])}"
