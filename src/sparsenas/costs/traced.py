"""Strategy: every architecture is traced. Always exact, and slow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparsenas.costs.model import CostModel
from sparsenas.costs.space import TracedSpace

Matrix = NDArray[np.float64]


class TracedCosts(CostModel):
    """Costs traced one architecture at a time; none is traced twice."""

    def __init__(self, space: TracedSpace) -> None:
        self.space = space

    def __call__(self, rows: Matrix) -> Matrix:
        """The costs of encoded architectures, of shape (architectures, costs)."""
        traced = [self.space.trace(self.space.encoding.decode(row)) for row in rows]
        return np.array(traced).reshape(len(rows), len(self.space.costs))
