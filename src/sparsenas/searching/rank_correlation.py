"""How far two rankings of the same things agree, and where one thing stands among many; knows numbers only."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from sparsenas.core.arch import Arch


@runtime_checkable
class Canonical(Protocol):
    """A network some of whose architectures are equal although every answer counts."""

    def canonical(self, arch: Arch) -> Arch:
        """Equal networks made equal architectures."""
        ...


@dataclass(frozen=True)
class Agreement:
    """How far two rankings of the same rows agree; ``None`` where that is undefined, as when one side is all equal."""

    rows: int
    tau: float | None
    """Kendall's tau-b: pairs in the same order less pairs in the opposite one, as a share; ties count for neither."""
    rho: float | None
    """Spearman's rho: the correlation of the ranks, equal values sharing their mean rank."""


@dataclass(frozen=True)
class Place:
    """Where one stands among many."""

    rank: int
    """1 is the best; equals share a rank."""
    of: int
    best: float
    gap: float
    """How far it is below the best."""


def agreement(first: Sequence[float], second: Sequence[float]) -> Agreement:
    """Compares two rankings of the same rows."""
    from scipy import stats  # takes a second, which every command would wait for

    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if len(a) < 2 or np.isnan(a).any() or np.isnan(b).any() or (a == a[0]).all() or (b == b[0]).all():
        return Agreement(len(a), None, None)
    # Spearman's rho is Pearson's of the ranks; scipy's own spearmanr warns of tiny samples, as it tests them too.
    rho = np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1]
    return Agreement(len(a), float(stats.kendalltau(a, b).statistic), float(rho))


def place(value: float, among: Sequence[float]) -> Place:
    """Where ``value`` stands among these, of which it is one; greater is better."""
    best = max(among)
    return Place(1 + sum(other > value for other in among), len(among), best, best - value)


def one_of_each(rows: Sequence[Hashable], kinds: Sequence[Hashable]) -> list[int]:
    """The index of one row of every kind, in order: of the row that is its own kind, else of the first."""
    chosen: dict[Hashable, int] = {}
    for i, (row, kind) in enumerate(zip(rows, kinds, strict=True)):
        if kind not in chosen or row == kind:
            chosen[kind] = i
    return sorted(chosen.values())
