"""The scales of options, and which options are not pruned yet."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.canonical import Canonicalizer
from sparsenas.core.choice import Choices, Picks
from sparsenas.core.dag import Dag
from sparsenas.core.gate import Gate, Gates, set_gates
from sparsenas.core.join import Join
from sparsenas.costs import CostTable
from sparsenas.methods.dso.apg import ApgNag
from sparsenas.methods.dso.budget_controller import Mask, Matrix

FLOOR = 1e-3
"""The scale of an option that reached 0 and is kept since its choice must keep something."""


class ScaledOptions(nn.Module):
    """One scale per option, all 1 at first. Options that are pruned never come back.

    Rows are architectures as the cost table encodes them: a number per option, 1 for the options kept.
    """

    alive: Tensor
    """Which options are not pruned."""

    def __init__(self, table: CostTable, choices: Choices) -> None:
        super().__init__()
        self.table, self.choices = table, choices
        self.canonicalizer = Canonicalizer(table.net)
        self.scales = nn.Parameter(torch.ones(table.encoding.width))
        self.register_buffer("alive", torch.ones(table.encoding.width, dtype=torch.bool))
        self.before = self.scales.detach().clone()
        """The scales before the last step."""
        self.optimizer: ApgNag | None = None
        """The optimizer of the scales, once there is one."""

    def gates(self, scaled: bool) -> Gates:
        """The options that are not pruned, weighted by their scales or by 1."""
        alive = self.alive.cpu().numpy()
        first = self.table.encoding.columns
        return self.gates_of(
            {n: tuple(np.flatnonzero(alive[first[n] :][: len(c.options)]).tolist()) for n, c in self.choices.items()},
            scaled,
        )

    def gates_of(self, kept: Mapping[str, Picks], scaled: bool) -> Gates:
        """Some options of every choice, weighted by their scales or by 1."""
        first = self.table.encoding.columns
        return {
            name: Gate(picks, self.scales[[first[name] + pick for pick in picks]] if scaled else None)
            for name, picks in kept.items()
        }

    def kept(self) -> Matrix:
        """The row of the options of scales above 0."""
        kept: Matrix = (self.alive & (self.scales.detach() > 0)).cpu().numpy().astype(float)
        return kept

    def values(self) -> Matrix:
        """The scales."""
        values: Matrix = self.scales.detach().cpu().double().numpy()
        return values

    def arch(self, row: Matrix) -> Arch:
        """The architecture of a row, without isolated options."""
        return self.canonicalizer.canonicalize(self.table.encoding.decode(row))

    def begin_step(self) -> None:
        """Keeps the scales as they are before a step."""
        self.before = self.scales.detach().clone()

    def zeroed(self, kept: Matrix) -> Mask:
        """The options whose scales reached 0 in the last step."""
        zeroed: Mask = self.alive.cpu().numpy() & (kept == 0) & (self.before.cpu().numpy() > 0)
        return zeroed

    def revive(self, options: Mask) -> None:
        """Gives options back their scales from before the last step."""
        index = torch.from_numpy(np.flatnonzero(options)).to(self.scales.device)
        self.scales.data[index] = self.before[index]
        self._stop(index)

    @torch.no_grad()
    def prune(self, row: Matrix) -> None:
        """Prunes every option that is not in the row, or isolated in it."""
        alive = self.table.encoding.encode([self.arch(row)])[0] > 0
        self.alive.copy_(torch.from_numpy(alive))
        self.scales.data[~self.alive] = 0
        self.scales.data[self.alive & (self.scales == 0)] = FLOOR
        self._stop(torch.nonzero(~self.alive).flatten())

    def survivors(self, arch: Arch) -> list[dict[str, int]]:
        """The number of edges and of nodes left in each block; a block's output counts as a node."""
        net = self.canonicalizer.net
        set_gates(net, arch.gates())
        dags = [module for module in net.modules() if isinstance(module, Dag)]
        joins = [[join for join in dag.joins if isinstance(join, Join)] for dag in dags]
        edges = [sum(len(join.gate.picks) for join in each) for each in joins]
        return [{"edges": count, "nodes": len(dag.live())} for dag, count in zip(dags, edges, strict=True)]

    def _stop(self, index: Tensor) -> None:
        """Takes the velocity away."""
        if self.optimizer is not None:
            self.optimizer.velocity(self.scales)[index] = 0
