"""Strategy: the sum over the parts that run. Exact for networks whose choices only leave parts out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sparsenas.core.dag import Dag
from sparsenas.core.derive import Derivable
from sparsenas.core.gate import Gate, Gated, set_gates
from sparsenas.core.join import Join
from sparsenas.costs.layer import totals
from sparsenas.costs.model import CostModel
from sparsenas.costs.space import TracedSpace, sample_sizes
from sparsenas.costs.trace import batch_of_one, trace_modules
from sparsenas.errors import UserError
from sparsenas.nn.blocks import Concat, Sum

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]


def dag_costs(space: TracedSpace) -> DagCosts | None:
    """The costs of a space by its parts, checked on three architectures; ``None`` where a choice changes sizes."""
    if not _only_leaves_out(space.net):
        return None
    try:
        model = DagCosts(space)
    except UserError:  # its candidates cannot all run at once, as their outputs differ in size
        return None
    archs = [space.fullest, space.sparsest, sample_sizes(space.choices, np.random.default_rng(space.seed))]
    traced = np.stack([space.trace(arch) for arch in archs])
    return model if space.close(model(space.encoding.encode(archs)), traced).all() else None


class DagCosts(CostModel):
    """Costs of architectures of a network in which choices decide what runs, and never how large it is.

    Each candidate of a join, each node of a ``Dag`` and all other parts are traced once, in the network that has all
    of them. The picks of a population say which of them run, for all its architectures at once.
    """

    def __init__(self, space: TracedSpace) -> None:
        self.net, self.encoding, self.count = space.net, space.encoding, len(space.costs)
        self._open = {module for module in self.net.modules() if any(isinstance(m, Gated) for m in module.modules())}
        set_gates(self.net, {name: Gate(tuple(range(len(c.options)))) for name, c in space.choices.items()})
        self._own: dict[nn.Module, Matrix] = {}
        for module, layer in trace_modules(self.net, batch_of_one(space.shape)):
            self._own[module] = self._own.get(module, np.zeros(self.count)) + totals(space.costs, [layer])
        self._costly = {module for module in self.net.modules() if any(part in self._own for part in module.modules())}
        self.whole = {module: self._sum(module) for module in self.net.modules()}
        """The costs of each module of which everything runs."""

    def __call__(self, rows: Matrix) -> Matrix:
        """The costs of encoded architectures, of shape (architectures, costs)."""
        return self.of_modules([self.net], rows)

    def of_modules(self, modules: Sequence[nn.Module], rows: Matrix) -> Matrix:
        """The costs of some modules together in encoded architectures, of shape (architectures, costs)."""
        alive = np.ones(len(rows), dtype=bool)
        parts = [part for module in modules for part in self._running(module, rows > 0, alive)]
        runs = np.stack([mask for mask, _ in parts], axis=1).astype(float)
        costs: Matrix = runs @ np.stack([values for _, values in parts])
        return costs

    def _running(self, module: nn.Module, picked: Mask, alive: Mask) -> Iterator[tuple[Mask, Matrix]]:
        """For each part of a module that runs in the architectures ``alive``: where the part runs, and its costs."""
        if module not in self._open:
            yield alive, self.whole[module]
        elif isinstance(module, Dag):
            yield from self._running_nodes(module, picked, alive)
        elif isinstance(module, Join):
            span = self.encoding.span(module.choice.name)
            yield from self._running_candidates(module, picked[:, span].T & alive, picked)
        else:
            yield alive, self._own.get(module, np.zeros(self.count))
            for child in module.children():
                yield from self._running(child, picked, alive)

    def _running_nodes(self, dag: Dag, picked: Mask, alive: Mask) -> Iterator[tuple[Mask, Matrix]]:
        """As ``Dag.live`` and ``Dag.active_choices``, for a population: nodes run that are fed and used."""
        readers = [*dag.joins, dag.output]
        reads = [self._reads(reader, picked) for reader in readers]
        fed = np.zeros((dag.inputs + len(dag.joins), len(alive)), dtype=bool)
        fed[: dag.inputs] = alive
        for i, (sources, mask) in enumerate(reads[:-1], dag.inputs):
            fed[i] = (fed[sources] & mask).any(axis=0)
        used = np.zeros_like(fed)
        used[: dag.inputs] = True
        for i, (sources, mask) in reversed(list(enumerate(reads, dag.inputs))):
            np.logical_or.at(used, sources, mask & (used[i] if i < len(used) else alive))
        live = fed & used
        runs = [*live[dag.inputs :], alive]
        for reader, (sources, mask), now in zip(readers, reads, runs, strict=True):
            yield from self._running_candidates(reader, live[sources] & mask & now, picked)
        for op, now in zip(dag.ops, runs[:-1], strict=True):
            yield from self._running(op, picked, now)

    def _running_candidates(self, reader: nn.Module, kept: Mask, picked: Mask) -> Iterator[tuple[Mask, Matrix]]:
        if isinstance(reader, Join | Sum):
            for op, mask in zip(reader.ops, kept, strict=True):
                if op in self._costly:
                    yield from self._running(op, picked, mask)

    def _reads(self, reader: nn.Module, picked: Mask) -> tuple[list[int], Mask]:
        """The sources of a reader, and for each the architectures in which it is read."""
        assert isinstance(reader, Join | Sum | Concat)
        if isinstance(reader, Join):
            return list(reader.sources), picked[:, self.encoding.span(reader.choice.name)].T
        return list(reader.sources), np.ones((len(reader.sources), len(picked)), dtype=bool)

    def _sum(self, module: nn.Module) -> Matrix:
        return sum((self._own[part] for part in module.modules() if part in self._own), np.zeros(self.count))


def _only_leaves_out(net: nn.Module) -> bool:
    """Whether all choices are those of joins and DAGs, and no parameter counts for two modules."""
    owners: dict[nn.Parameter, nn.Module] = {}
    for module in net.modules():
        for parameter in module.parameters(recurse=False):
            if owners.setdefault(parameter, module) is not module:
                return False
    seen: set[nn.Module] = set()
    for _, module in net.named_modules(remove_duplicate=False):
        if isinstance(module, Gated | Derivable) and not isinstance(module, Join | Dag):
            return False
        if module in seen and list(module.parameters()):
            return False
        seen.add(module)
    return True
