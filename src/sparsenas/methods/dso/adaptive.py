"""Penalties that follow costs: adaptive FLOPs, memory access and latency (DSO-NAS)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparsenas.costs import CostTable
from sparsenas.costs.block_costs import BlockCosts
from sparsenas.costs.latency import LATENCY
from sparsenas.costs.unit_costs import UnitCosts
from sparsenas.errors import UserError
from sparsenas.methods.dso.flags import Adapt

Matrix = NDArray[np.float64]
LEAST = 1e-3
"""Smallest factor, so that every scale remains under a penalty."""


class Penalties:
    """The factors of the penalty's weight, one per option."""

    def __init__(self, table: CostTable, adapt: Adapt) -> None:
        """Raises ``UserError`` when the cost of ``adapt`` is not known, or not for each option."""
        self.table, self.adapt = table, adapt
        self.cost = {"flops": "flops", "memory_access": "memory_access", "latency": LATENCY}.get(adapt)
        self.every_step = adapt == "flops"
        """Whether they are renewed at every step of the scales; as in the released code, latencies are not."""
        self._row: Matrix | None = None
        self._factors: Matrix = np.ones(table.encoding.width)
        if self.cost is not None and self.cost not in table.costs:
            raise UserError(f"--method.adapt {adapt}: expected --latency TABLE as well; `sparsenas latency` makes one")
        self.blocks = self._blocks()
        if self.cost is not None and self.blocks is None:
            raise UserError(
                f"--method.adapt {adapt}: expected a space whose choices only leave parts out; use --method.adapt none"
            )

    def _blocks(self) -> BlockCosts | UnitCosts | None:
        if self.cost is None:
            return None
        dag, counts = self.table.dag_costs, self.table.count_costs
        if counts is not None:
            return UnitCosts(counts)
        return None if dag is None else BlockCosts(dag)

    def at(self, row: Matrix) -> Matrix:
        """The factors for an encoded architecture, within 0..1."""
        if self._row is None or not np.array_equal(row, self._row):
            self._row, self._factors = row, np.maximum(self._renewed(row), LEAST)
        return self._factors

    def _renewed(self, row: Matrix) -> Matrix:
        if self.cost is None or self.blocks is None:
            return np.ones(self.table.encoding.width)
        column = list(self.table.costs).index(self.cost)
        if self.adapt == "flops":
            return self.blocks.shares(row, column)
        return self.blocks.operations(column) if self.adapt == "memory_access" else self._by_saving(row)

    def _by_saving(self, row: Matrix) -> Matrix:
        """From 0.5 for the kept option that saves the least to 1 for the one that saves the most."""
        assert self.blocks is not None
        assert self.cost is not None
        factors, kept = np.ones(len(row)), np.flatnonzero(row)
        savings = self.blocks.savings(row, list(self.table.costs).index(self.cost))[kept]
        spread = np.ptp(savings) if len(kept) else 0.0
        if spread > 0:
            factors[kept] = 0.5 + 0.5 * (savings - savings.min()) / spread
        return factors
