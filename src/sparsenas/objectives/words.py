"""Metrics in words."""

from __future__ import annotations

from sparsenas.objectives.objective import Metrics, Objective

WORDS = {"mean_iou": "mean IoU"}


def metric_words(name: str) -> str:
    """The name of a metric in print."""
    return WORDS.get(name, name.replace("_", " "))


def told(objective: Objective, metric: str, value: float) -> str:
    """A metric's value for people: shares as percentages."""
    return f"{value:.2%}" if metric in objective.shares else f"{value:.4g}"


def score_told(objective: Objective, metrics: Metrics) -> str:
    """The score of an objective with its name."""
    name = objective.score
    return f"{metric_words(name)} {told(objective, name, metrics[name])}"
