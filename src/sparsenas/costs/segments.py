"""Costs of a sequential network, segment by segment: no segment is traced twice under the same picks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Picks
from sparsenas.core.gate import choices, set_gates
from sparsenas.costs.layer import Cost, Shape, totals
from sparsenas.costs.trace import batch_of_one, is_shape, trace_through
from sparsenas.nn.tree import Tree

Key = tuple[int, Shape, tuple[Picks, ...]]
"""All that the costs of a segment depend on: which one, the shape of its input, and the picks of its choices."""


class SegmentCosts:
    """The children of an ``nn.Sequential`` that share no parameters; any other network is one segment.

    A block with 4 operations in 8 widths is traced at most 32 times, whatever the picks of the other blocks, and each
    of these traces is shorter than one of the whole network. Costs equal those of the whole network, save for the
    order of summation.
    """

    def __init__(self, net: nn.Module, shape: Shape | Tree, costs: Mapping[str, Cost]) -> None:
        parts = list(net) if isinstance(net, nn.Sequential) and type(net).forward is nn.Sequential.forward else [net]
        parameters = [p for part in parts for p in {id(p) for p in part.parameters()}]
        apart = is_shape(shape) and len(set(parameters)) == len(parameters)
        self.segments = [(part, tuple(choices(part))) for part in (parts if apart else [net])]
        """Each segment with the names of its choices."""
        self.shape = shape
        self.costs = costs
        self._known: dict[Key, tuple[NDArray[np.float64], Shape]] = {}

    def __call__(self, arch: Arch) -> NDArray[np.float64]:
        """Every cost of an architecture. Raises ``UserError`` when a segment cannot run on the one before it."""
        inputs, shape = batch_of_one(self.shape), (1, *self.shape) if is_shape(self.shape) else ()
        summed = np.zeros(len(self.costs))
        for i, (segment, names) in enumerate(self.segments):
            key = i, shape, tuple(arch[name] for name in names)
            if key not in self._known:
                set_gates(segment, arch.gates())
                layers, output = trace_through(segment, inputs)
                self._known[key] = totals(self.costs, layers), output
            values, shape = self._known[key]
            inputs = shape
            summed += values
        return summed
