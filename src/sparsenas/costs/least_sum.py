"""The options of least sum of numbers within bounds on sums of tables: variable elimination over Pareto fronts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsenas.costs.factor import Factor, spread
from sparsenas.costs.table import CostTable

Matrix = NDArray[np.float64]

MOST_CELLS = 20_000
"""Combinations of options that one elimination may look at."""
MOST_POINTS = 512
"""A front is thinned where it has more points."""


class SumWithin(NamedTuple):
    """A cost as a sum of tables, and the bounds on it."""

    factors: Sequence[Factor]
    low: float
    high: float


@dataclass(frozen=True)
class _Front:
    """Partial choices: the sums of the costs, then that of the numbers, and the options that lead to them."""

    sums: Matrix
    options: NDArray[np.int16]
    """One column for each name, 0 where it is still open."""

    def plus(self, other: _Front) -> _Front:
        """Each point of one with each of the other."""
        sums = self.sums[:, None] + other.sums[None]
        options = self.options[:, None] + other.options[None]
        return _Front(sums.reshape(-1, sums.shape[-1]), options.reshape(-1, options.shape[-1]))


Cells = dict[tuple[int, ...], _Front]


def cost_factors(table: CostTable, cost: str) -> list[Factor] | None:
    """A cost as a sum of tables over the options of one-of-n choices; ``None`` where it is no such sum."""
    tables, terms, choices = table.tables(cost), table.additive_terms(cost), table.choices
    if tables is not None or terms is None:
        return tables
    span = table.encoding.span
    found = [Factor((), np.array(terms.base)), *(Factor((n,), terms.options[span(n)]) for n in choices)]
    if terms.pairs is not None:
        both = [((a, b), terms.pairs[span(a), span(b)]) for a in choices for b in choices]
        found += [Factor(names, values) for names, values in both if values.any()]
    return found


def least_sum(numbers: Mapping[str, Matrix], bounds: Sequence[SumWithin]) -> dict[str, int] | None:
    """The option of each choice, such that the sum of their ``numbers`` is least and every bound holds.

    Exact while no front has more than ``MOST_POINTS`` points; else near it, since fronts are thinned. ``None`` where
    too many choices meet, and where no options within the bounds are found.
    """
    names, tables = list(numbers), _joint(numbers, bounds)
    solver = _Elimination(names, bounds)
    fronts: list[tuple[tuple[str, ...], Cells]] = []
    left = set(names)
    while left:
        every = [t.names for t in tables] + [own for own, _ in fronts]
        near = {name: _near(every, name) for name in sorted(left)}
        sizes = {name: math.prod(len(numbers[n]) for n in (name, *others)) for name, others in near.items()}
        name = min(sorted(left), key=lambda n: sizes[n])
        if sizes[name] > MOST_CELLS:
            return None
        mine = [t for t in tables if name in t.names]
        own = [f for f in fronts if name in f[0]]
        cells = solver.eliminate(name, near[name], {n: len(numbers[n]) for n in (name, *near[name])}, mine, own)
        tables = [t for t in tables if name not in t.names]
        fronts = [f for f in fronts if name not in f[0]] + [(near[name], cells)]
        left.remove(name)
    total = solver.constant(tables)
    for _, cells in fronts:
        total = solver.thinned(total.plus(cells[()]))
    return solver.best(total)


def _joint(numbers: Mapping[str, Matrix], bounds: Sequence[SumWithin]) -> list[Factor]:
    """All tables, with a last axis for the costs and the numbers."""
    width, found = len(bounds) + 1, []
    parts = [(i, factor) for i, bound in enumerate(bounds) for factor in bound.factors]
    parts += [(width - 1, Factor((name,), np.asarray(values, float))) for name, values in numbers.items()]
    for place, factor in parts:
        values = np.zeros((*factor.values.shape, width))
        values[..., place] = factor.values
        found.append(Factor(factor.names, values))
    return found


def _near(every: Sequence[tuple[str, ...]], name: str) -> tuple[str, ...]:
    """The other names of the tables with this name."""
    return tuple(sorted({other for names in every if name in names for other in names} - {name}))


class _Elimination:
    """Eliminates choices one by one; what is left of each are fronts of partial choices."""

    def __init__(self, names: Sequence[str], bounds: Sequence[SumWithin]) -> None:
        self.names, self.bounds = list(names), bounds
        self._only_highs = all(bound.low <= 0 for bound in bounds)
        self._grows = all((factor.values >= 0).all() for bound in bounds for factor in bound.factors)

    def eliminate(
        self,
        name: str,
        near: tuple[str, ...],
        sizes: Mapping[str, int],
        tables: Sequence[Factor],
        fronts: Sequence[tuple[tuple[str, ...], Cells]],
    ) -> Cells:
        """For each combination of options of the names ``near`` the front over the options of ``name``."""
        order = (*near, name)
        shape = tuple(sizes[n] for n in order)
        joint = sum((spread(t, order) for t in tables), np.zeros((*shape, len(self.bounds) + 1)))
        cells: Cells = {}
        for at in itertools.product(*(range(size) for size in shape[:-1])):
            parts = []
            for option in range(shape[-1]):
                chosen = dict(zip(order, (*at, option), strict=True))
                front = self._point(joint[at][option], name, option)
                for own, others in fronts:
                    front = self.thinned(front.plus(others[tuple(chosen[n] for n in own)]))
                parts.append(front)
            joined = _Front(np.concatenate([p.sums for p in parts]), np.concatenate([p.options for p in parts]))
            cells[at] = self.thinned(joined)
        return cells

    def constant(self, tables: Sequence[Factor]) -> _Front:
        """What does not depend on any choice."""
        sums = sum((t.values for t in tables), np.zeros(len(self.bounds) + 1))
        return _Front(sums[None], np.zeros((1, len(self.names)), np.int16))

    def _point(self, sums: Matrix, name: str, option: int) -> _Front:
        options = np.zeros((1, len(self.names)), np.int16)
        options[0, self.names.index(name)] = option
        return _Front(sums[None], options)

    def thinned(self, front: _Front) -> _Front:
        """The front without points that cannot be best; a part of it where many are left."""
        sums = front.sums
        kept = np.arange(len(sums))
        if self._grows:
            kept = np.flatnonzero((sums[:, :-1] <= [bound.high for bound in self.bounds]).all(axis=1))
        kept = kept[np.lexsort(sums[kept][:, ::-1].T)]
        ordered = sums[kept]
        if len(self.bounds) == 1 and self._only_highs:
            best = np.minimum.accumulate(np.append(np.inf, ordered[:-1, -1]))[: len(ordered)]
            kept = kept[ordered[:, -1] < best]
        else:
            kept = kept[np.append(True, (ordered[1:, :-1] != ordered[:-1, :-1]).any(axis=1))[: len(kept)]]
        if len(kept) > MOST_POINTS:
            kept = self._part(sums, kept)
        return _Front(sums[kept], front.options[kept])

    def _part(self, sums: Matrix, kept: NDArray[np.int64]) -> NDArray[np.int64]:
        """The best point of each cell of a grid of costs."""
        kept = kept[np.argsort(sums[kept, -1], kind="stable")]
        costs = sums[kept, :-1]
        bins = int(MOST_POINTS ** (1 / costs.shape[1]))
        low, high = costs.min(axis=0), costs.max(axis=0)
        cell = ((costs - low) / np.maximum(high - low, 1e-300) * (bins - 1e-9)).astype(np.int64)
        _, first = np.unique(cell, axis=0, return_index=True)
        return kept[np.sort(first)]

    def best(self, front: _Front) -> dict[str, int] | None:
        """The options of least sum within the bounds."""
        within = np.ones(len(front.sums), bool)
        for i, bound in enumerate(self.bounds):
            within &= (front.sums[:, i] >= bound.low) & (front.sums[:, i] <= bound.high)
        if not within.any():
            return None
        best = np.flatnonzero(within)[front.sums[within, -1].argmin()]
        return dict(zip(self.names, map(int, front.options[best]), strict=True))
