"""Costs as sums of tables, each over a few choices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice, Picks
from sparsenas.costs.encoding import Encoding
from sparsenas.costs.extremes import minimise
from sparsenas.costs.factor import Factor, spread
from sparsenas.costs.model import CostModel

Matrix = NDArray[np.float64]

CHUNK = 2**20
"""Entries that are looked up at once."""


def settings(choice: Choice) -> int:
    """How many settings a choice has for a table: its options, or where several are picked how many of them are."""
    return len(choice.options) if choice.single else choice.most + 1


def setting(choice: Choice, picks: Picks) -> int:
    """The index of picks in a table."""
    return picks[0] if choice.single else len(picks)


class FactorCosts(CostModel):
    """A sum of tables. The last axis of each is that of the costs, the others are those of its choices."""

    def __init__(self, encoding: Encoding, factors: Sequence[Factor]) -> None:
        self.encoding = encoding
        self.factors = list(_merged(factors))
        self._steps = np.zeros((encoding.width, len(self.factors)))
        for column, factor in enumerate(self.factors):
            for axis, name in enumerate(factor.names):
                choice, step = encoding.choices[name], math.prod(factor.values.shape[axis + 1 : -1])
                each = np.arange(len(choice.options)) if choice.single else np.ones(len(choice.options))
                self._steps[encoding.span(name), column] = step * each
        tables = [factor.values.reshape(-1, factor.values.shape[-1]) for factor in self.factors]
        self._starts = np.cumsum([0, *map(len, tables)])[:-1]
        self._table = np.concatenate(tables)

    def __call__(self, rows: Matrix) -> Matrix:
        """The costs of encoded architectures, of shape (architectures, costs)."""
        places = (rows @ self._steps).astype(np.int64) + self._starts
        chunk = max(1, CHUNK // max(1, len(self._starts)))
        parts = [self._table[places[i : i + chunk]].sum(axis=1) for i in range(0, max(1, len(rows)), chunk)]
        return np.concatenate(parts)

    def cheapest(self, cost: int, sign: int) -> Arch | None:
        """The architecture at which ``sign`` times a cost is least; ``None`` where too many choices meet."""
        tables, choices = self.tables(cost), self.encoding.choices
        if tables is None:
            return None
        found = minimise([Factor(names, sign * values) for names, values in tables if names and values.any()])
        return None if found is None else Arch(choices, {name: (found.get(name, 0),) for name in choices})

    def tables(self, cost: int) -> list[Factor] | None:
        """A cost as a sum of tables; ``None`` where a choice keeps several options."""
        if not all(choice.single for choice in self.encoding.choices.values()):
            return None
        return [Factor(factor.names, factor.values[..., cost]) for factor in self.factors]


def _merged(factors: Iterable[Factor]) -> Iterable[Factor]:
    """The same sum with fewer tables: one over some choices of another is added to that."""
    kept: dict[frozenset[str], Factor] = {}
    for factor in sorted(factors, key=lambda factor: -len(factor.names)):
        names = frozenset(factor.names)
        around = names if names in kept else next((other for other in kept if names < other), names)
        if around in kept:
            old = kept[around]
            kept[around] = Factor(old.names, old.values + spread(factor, old.names))
        else:
            kept[names] = factor
    return kept.values()


def joined(one: Factor, other: Factor, sizes: Mapping[str, int], add: bool) -> Factor:
    """The sum or the product of two tables."""
    names = tuple(dict.fromkeys(one.names + other.names))
    a, b = spread(one, names), spread(other, names)
    shape = tuple(sizes[name] for name in names)
    return Factor(names, np.broadcast_to(a + b if add else a * b, shape))
