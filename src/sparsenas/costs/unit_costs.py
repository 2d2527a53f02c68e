"""What units of an opened network cost: the adaptive penalties of DSO-NAS, where the layers of a choice are a block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparsenas.costs.count_costs import CountCosts

Matrix = NDArray[np.float64]


class UnitCosts:
    """Costs by choice: all options of a choice cost the same."""

    def __init__(self, costs: CountCosts) -> None:
        self._costs = costs

    def shares(self, row: Matrix, cost: int) -> Matrix:
        """For each option the share that is left of the cost of the layers that its choice decides."""
        decided = self._costs.decided
        now, full = (self._costs.layers(c)[:, cost] @ decided for c in (self._counts(row), self._costs.full))
        return self._spread(np.where(full > 0, now / np.maximum(full, 1e-300), 1.0))

    def operations(self, cost: int) -> Matrix:
        """What each option saves in the complete network, relative to the largest saving."""
        saved = self._costs.savings(self._costs.full)[:, cost]
        return self._spread(saved / max(saved.max(), 1e-300))

    def savings(self, row: Matrix, cost: int) -> Matrix:
        """What an encoded architecture saves without an option, for each option."""
        return self._spread(self._costs.savings(self._counts(row))[:, cost])

    def _counts(self, row: Matrix) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = self._costs.counts(row[None])[0]
        return counts

    def _spread(self, values: Matrix) -> Matrix:
        """A number for each choice as one for each of its options."""
        return np.repeat(values, self._costs.full)
