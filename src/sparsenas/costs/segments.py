"""Costs of a sequential network, piece by piece: no piece is traced twice under the same answers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Picks
from sparsenas.core.gate import choices, set_gates
from sparsenas.costs.layer import Cost, Shape, total
from sparsenas.costs.trace import trace_through


class SegmentCosts:
    """The parts of an ``nn.Sequential`` that share no parameters; any other network is one piece.

    A block with 4 operations in 8 widths is traced 32 times at most, whatever the other blocks are, and such a trace is
    as much shorter as the block is. Costs are the same as those of the whole network, but for the order of summation.
    """

    def __init__(self, net: nn.Module, shape: Shape, costs: Mapping[str, Cost]) -> None:
        parts = list(net) if isinstance(net, nn.Sequential) and type(net).forward is nn.Sequential.forward else [net]
        parameters = [p for part in parts for p in {id(p) for p in part.parameters()}]
        apart = len(set(parameters)) == len(parameters)
        self.parts = [(part, tuple(choices(part))) for part in (parts if apart else [net])]
        self.shape = shape
        self.costs = costs
        self._known: dict[tuple[int, Shape, tuple[Picks, ...]], tuple[NDArray[np.float64], Shape]] = {}

    def __call__(self, arch: Arch) -> NDArray[np.float64]:
        """Every cost of an architecture. Raises ``UserError`` when a piece cannot run on what comes before it."""
        shape: Shape = (1, *self.shape)
        sum_of_parts = np.zeros(len(self.costs))
        for i, (part, names) in enumerate(self.parts):
            key = i, shape, tuple(arch[name] for name in names)
            if key not in self._known:
                set_gates(part, arch.gates())
                layers, output = trace_through(part, shape)
                self._known[key] = np.array([float(total(cost, layers)) for cost in self.costs.values()]), output
            values, shape = self._known[key]
            sum_of_parts += values
        return sum_of_parts
