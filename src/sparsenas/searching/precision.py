"""Whether the validation examples are enough to tell candidates apart."""

from __future__ import annotations

import math

SHARE = "accuracy"
"""The metric that is a share of the examples."""
COARSE = 0.02
"""Standard error of an accuracy above which it hardly orders candidates."""


def imprecise(metric: str, examples: int, candidates: int) -> str:
    """Why the accuracy on so few examples hardly orders so many candidates, in words; empty where nothing is to tell.

    The standard error of an accuracy is largest where that is one half: 0.5 / sqrt(examples).
    """
    error = 0.5 / math.sqrt(max(examples, 1))
    if metric != SHARE or error <= COARSE or candidates <= examples:
        return ""
    return (
        f"{candidates:,} candidates are compared on {examples:,} validation examples, on which an accuracy is known to "
        f"about {100 * error:.0f} points; more of them (--data.val_share) or --score.by loss order candidates better"
    )
