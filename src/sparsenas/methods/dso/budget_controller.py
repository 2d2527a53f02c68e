"""The upper bounds of a search that prunes: whether they are met, and what to prune in the step that meets them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sparsenas.costs import Limits

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]
BAND = 0.05
"""Largest share by which a search ends below its budget, unless single options cost more."""


class BudgetController:
    """The upper bounds of a search. The ``reach`` of an architecture is its cost as a share of the tightest bound."""

    def __init__(self, limits: Limits, band: float = BAND) -> None:
        self.limits, self.band = limits, band
        self.bounds = {b.cost: b.at_most for b in limits.budgets if np.isfinite(b.at_most)}
        spans = [(limits.table.encoding.columns[n], len(c.options), c.least) for n, c in limits.choices.items()]
        self.demands = [(slice(first, first + count), least) for first, count, least in spans if least > 0]
        """The columns of choices that must keep something, and how many options those must keep."""
        self.floors = {b.cost: b.at_least for b in limits.budgets if b.at_least > 0}

    def reach(self, rows: Matrix) -> Matrix:
        """The largest ratio of cost and bound of each encoded architecture; 0 where there are no upper bounds."""
        costs = self.limits.table.of_rows(rows)
        ratios = [costs[cost] / bound for cost, bound in self.bounds.items()] or [np.zeros(len(rows))]
        largest: Matrix = np.max(ratios, axis=0)
        return largest

    def met(self, row: Matrix, ceiling: float = 1.0) -> bool:
        """Whether an encoded architecture keeps every upper bound, times ``ceiling``."""
        return bool(self.reach(row[None])[0] <= ceiling)

    def needed(self, row: Matrix, strengths: Matrix) -> float:
        """The distance to the bounds: the least threshold such that the options above it meet them.

        Args:
            row: the options kept, encoded.
            strengths: of all options.
        """
        levels = np.unique(strengths[row > 0])
        low, high = 0, len(levels)  # thresholds below levels[low] do not do, levels[high - 1] does
        while low < high:
            middle = (low + high) // 2
            if self.met(row * (strengths > levels[middle])):
                high = middle
            else:
                low = middle + 1
        return float(levels[min(low, len(levels) - 1)]) if len(levels) and not self.met(row) else 0.0

    def drop(self, row: Matrix, order: Sequence[int], band: float, ceiling: float = 1.0) -> Matrix:
        """``row`` without options of ``order``, the first ones first, until the bounds, times ``ceiling``, are met.

        An option is kept if without it the architecture would end further than ``band`` below the bounds, be below a
        lower bound, or keep too few options of a choice.
        """
        row, order = self._drop_all(row, order, ceiling)
        for option in order:
            if self.met(row, ceiling):
                break
            less = row.copy()
            less[option] = 0
            some = all(less[span].sum() >= least for span, least in self.demands)
            if some and self._high_enough(less) and self.reach(less[None])[0] >= (1 - band) * ceiling:
                row = less
        return row

    def _drop_all(self, row: Matrix, order: Sequence[int], ceiling: float) -> tuple[Matrix, Sequence[int]]:
        """``row`` without the first options of ``order`` that may go, as many as leave it over the bounds; the rest.

        As if one went after the other, in fewer looks at costs: fewer options never cost more.
        """
        free = {option: i for i, (span, least) in enumerate(self.demands) for option in range(span.start, span.stop)}
        left = [int(row[span].sum() - least) for span, least in self.demands]
        going = list[int]()
        for option in order:
            demand = free.get(option)
            if demand is None or left[demand] > 0:
                going.append(option)
                if demand is not None:
                    left[demand] -= 1
        low, high = 0, len(going)
        while low < high:
            middle = (low + high + 1) // 2
            less = self._without(row, going[:middle])
            low, high = (middle, high) if not self.met(less, ceiling) and self._high_enough(less) else (low, middle - 1)
        gone = set(going[:low])
        return self._without(row, going[:low]), [option for option in order if option not in gone]

    @staticmethod
    def _without(row: Matrix, options: Sequence[int]) -> Matrix:
        less: Matrix = row.copy()
        less[list(options)] = 0
        return less

    def drop_weakest(self, row: Matrix, strengths: Matrix, ceiling: float = 1.0) -> Matrix:
        """``row`` without its weakest options, as few as meet the bounds, times ``ceiling``.

        An operation goes with its last edge. Edges between operations that stay cost nothing, and stay as well.
        """
        order = [option for option in np.argsort(strengths, kind="stable").tolist() if row[option] > 0]
        row = self.drop(row, order, self.band, ceiling)
        if not self.met(row, ceiling):
            row = self.drop(row, self._least_wasteful(row, order, ceiling), 1.0, ceiling)
        if self.met(row, ceiling):
            row = self._put_back(row, order[::-1], ceiling)
        return row

    def _put_back(self, row: Matrix, order: Sequence[int], ceiling: float) -> Matrix:
        """``row`` with the options of ``order`` that cost nothing, and some more that fit, the first ones first."""
        row = self._add_free(row, order, ceiling)
        while (now := self.reach(row[None])[0]) < (1 - self.band) * ceiling:
            costs = self._costs_with_each(row, order)
            fitting = [option for option, cost in costs if now < cost <= ceiling]
            if not fitting:
                break
            row = self._add_free(self._with(row, fitting[:1]), order, ceiling)
        return row

    def _add_free(self, row: Matrix, order: Sequence[int], ceiling: float) -> Matrix:
        """``row`` with the options that cost nothing alone. Isolated ones may cost something together."""
        now = self.reach(row[None])[0]
        free = [option for option, cost in self._costs_with_each(row, order) if cost <= now]
        while free:
            low, high = 0, len(free)
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (middle, high) if self.met(self._with(row, free[:middle]), ceiling) else (low, middle - 1)
            row, free = self._with(row, free[:low]), free[low + 1 :]
        return row

    def _costs_with_each(self, row: Matrix, order: Sequence[int]) -> list[tuple[int, float]]:
        """The options of ``order`` that ``row`` lacks, and its reach with each one more."""
        gone = [option for option in order if row[option] == 0]
        return list(zip(gone, self.reach(row + np.eye(len(row))[gone]).tolist(), strict=True)) if gone else []

    @staticmethod
    def _with(row: Matrix, options: Sequence[int]) -> Matrix:
        more: Matrix = row.copy()
        more[list(options)] = 1
        return more

    def _least_wasteful(self, row: Matrix, order: Sequence[int], ceiling: float) -> Sequence[int]:
        """``order``; first the option without which the cost is nearest below the bounds, times ``ceiling``."""
        left = [option for option in order if row[option] > 0]
        reach = self.reach(row - np.eye(len(row))[left]) if left else np.zeros(0)
        best = int(np.where(reach <= ceiling, reach, -1.0).argmax()) if (reach <= ceiling).any() else None
        return left if best is None else [left[best], *left]

    def kept_alive(self, kept: Matrix, zeroed: Mask) -> Mask:
        """Which of the options that were just ``zeroed`` must stay; ``kept`` are all that are left without them."""
        kept_alive = np.zeros_like(zeroed)
        for span, least in self.demands:
            if kept[span].sum() < least:
                kept_alive[span] = zeroed[span]
        return kept_alive if self._high_enough(np.maximum(kept, kept_alive)) else zeroed

    def _high_enough(self, row: Matrix) -> bool:
        costs = self.limits.table.of_rows(row[None]) if self.floors else {}
        return all(costs[cost][0] >= floor for cost, floor in self.floors.items())
