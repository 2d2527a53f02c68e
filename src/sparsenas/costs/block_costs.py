"""What the operations of a block cost, relative to the block: the adaptive penalties of DSO-NAS."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sparsenas.core.dag import Dag
from sparsenas.core.derive import Derivable
from sparsenas.core.gate import Gated
from sparsenas.core.join import Join
from sparsenas.costs.dag_costs import DagCosts

Matrix = NDArray[np.float64]


class BlockCosts:
    """Costs by block. A block is an outermost mechanism, or several of them that have a choice in common."""

    def __init__(self, costs: DagCosts) -> None:
        self._costs, self._encoding = costs, costs.encoding
        self.blocks = self._find_blocks()
        """The columns of the choices of each block, and its modules."""

    def shares(self, row: Matrix, cost: int) -> Matrix:
        """For each option the share of its block's cost that an encoded architecture keeps.

        Parts of the block that no choice leaves out do not count. With multiply-adds for the cost these are the
        adaptive FLOPs of DSO-NAS (eq. 9).
        """
        shares = np.ones(self._encoding.width)
        for columns, modules in self.blocks:
            empty, now, full = self._costs.of_modules(modules, np.stack([0 * row, row, 0 * row + 1]))[:, cost]
            shares[columns] = (now - empty) / (full - empty) if full > empty else 1.0
        return shares

    def operations(self, cost: int) -> Matrix:
        """The cost of each option: its operation and the node it leads into, relative to the largest of the block.

        With memory access for the cost this is the adaptive MAC of DSO-NAS (eq. 10).
        """
        values, whole = np.zeros(self._encoding.width), self._costs.whole
        for module in self._costs.net.modules():
            if isinstance(module, Join):
                values[self._encoding.span(module.choice.name)] += [whole[op][cost] for op in module.ops]
            elif isinstance(module, Dag):
                for join, op in zip(module.joins, module.ops, strict=True):
                    if isinstance(join, Join):
                        values[self._encoding.span(join.choice.name)] += whole[op][cost]
        for columns, _ in self.blocks:
            values[columns] /= max(values[columns].max(), 1e-300)
        return values

    def savings(self, row: Matrix, cost: int) -> Matrix:
        """What an encoded architecture saves without each option that it keeps."""
        kept = np.flatnonzero(row)
        without = np.tile(row, (len(kept), 1))
        without[np.arange(len(kept)), kept] = 0
        savings = np.zeros(len(row))
        savings[kept] = self._costs(row[None])[0, cost] - self._costs(without)[:, cost]
        return savings

    def _find_blocks(self) -> list[tuple[list[int], list[nn.Module]]]:
        found: list[tuple[set[str], list[nn.Module]]] = []
        for module in _outermost(self._costs.net):
            names = {part.choice.name for part in module.modules() if isinstance(part, Gated)}
            tied = [block for block in found if block[0] & names]
            found = [block for block in found if not block[0] & names]
            found.append((names.union(*(n for n, _ in tied)), [m for _, others in tied for m in others] + [module]))
        return [(self._columns_of(names), modules) for names, modules in found]

    def _columns_of(self, names: set[str]) -> list[int]:
        spans = [self._encoding.span(name) for name in self._encoding.choices if name in names]
        return [column for span in spans for column in range(span.start, span.stop)]


def _outermost(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, Derivable):
        if any(isinstance(part, Gated) for part in module.modules()):
            yield module
    else:
        for child in module.children():
            yield from _outermost(child)
