"""Rank correlation of two lists of values, and the rank of one value."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Agreement:
    """Agreement of two rankings of the same rows; ``None`` where undefined, as when one side has one value only."""

    rows: int
    tau: float | None
    """Kendall's tau-b: share of pairs in the same order minus share in opposite order; ties count for neither."""
    rho: float | None
    """Spearman's rho: correlation of the ranks; equal values have their mean rank."""


@dataclass(frozen=True)
class Place:
    """The rank of one value among others."""

    rank: int
    """1 is the best; equal values have the same rank."""
    of: int
    best: float
    gap: float
    """Difference to the best."""


def agreement(first: Sequence[float], second: Sequence[float]) -> Agreement:
    """Compares two rankings of the same rows."""
    from scipy import stats  # its import takes a second

    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if len(a) < 2 or np.isnan(a).any() or np.isnan(b).any() or (a == a[0]).all() or (b == b[0]).all():
        return Agreement(len(a), None, None)
    # Spearman's rho is Pearson's of the ranks. scipy's spearmanr warns of tiny samples, as it tests significance.
    rho = np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1]
    return Agreement(len(a), float(stats.kendalltau(a, b).statistic), float(rho))


def place(value: float, among: Sequence[float]) -> Place:
    """The rank of ``value`` among values that include it; greater is better."""
    best = max(among)
    return Place(1 + sum(other > value for other in among), len(among), best, best - value)


def one_of_each(rows: Sequence[Hashable], kinds: Sequence[Hashable]) -> list[int]:
    """The index of one row of each kind, in order: the row that equals its kind, else the first one."""
    chosen: dict[Hashable, int] = {}
    for i, (row, kind) in enumerate(zip(rows, kinds, strict=True)):
        if kind not in chosen or row == kind:
            chosen[kind] = i
    return sorted(chosen.values())
