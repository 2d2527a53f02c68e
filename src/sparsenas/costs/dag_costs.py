"""Costs of networks whose choices only leave parts out: the sum over the parts that run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sparsenas.core.choice import Choices
from sparsenas.core.dag import Dag
from sparsenas.core.derive import Derivable
from sparsenas.core.gate import Gate, Gated, set_gates
from sparsenas.core.join import Join
from sparsenas.costs.layer import Cost, Shape
from sparsenas.costs.trace import trace_modules
from sparsenas.nn.blocks import Concat, Sum

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]


class LiveCosts:
    """Costs of architectures of a network in which choices decide what runs, and never how large it is.

    What each candidate of a join, each node of a ``Dag`` and all the rest cost is traced once, in the network that has
    all of them; which of them run follows, for a whole population at once, from what is picked.
    """

    def __init__(
        self, net: nn.Module, shape: Shape, costs: Mapping[str, Cost], choices: Choices, columns: Mapping[str, int]
    ) -> None:
        """Raises ``ValueError`` when some choice of ``net`` (on the meta device) is of another kind.

        ``columns`` is where the options of each choice begin in encoded architectures.
        """
        self.net, self.choices, self.columns, self.count = net, choices, columns, len(costs)
        self.options = sum(len(choice.options) for choice in choices.values())
        self._open = {module for module in net.modules() if any(isinstance(m, Gated) for m in module.modules())}
        _check(net)
        set_gates(net, {name: Gate(tuple(range(len(choice.options)))) for name, choice in choices.items()})
        self._own: dict[nn.Module, Matrix] = {}
        for module, layer in trace_modules(net, (1, *shape)):
            values = np.array([float(cost(layer)) for cost in costs.values()])
            self._own[module] = self._own.get(module, np.zeros(self.count)) + values
        self._costly = {module for module in net.modules() if any(part in self._own for part in module.modules())}
        self._whole = {module: self._sum(module) for module in net.modules()}
        self.blocks = self._find_blocks()

    def __call__(self, rows: Matrix) -> Matrix:
        """The costs of encoded architectures, of shape (architectures, costs)."""
        return self._cost_of([self.net], rows)

    def shares(self, row: Matrix, cost: int) -> Matrix:
        """For each option how much of its block's cost is left in an architecture, of what could be left out of it.

        Blocks are outermost mechanisms; those that have a choice in common are taken together. Adaptive FLOPs of
        DSO-NAS (eq. 9) with multiply-adds for the cost.
        """
        shares = np.ones(self.options)
        for columns, modules in self.blocks:
            empty, now, full = self._cost_of(modules, np.stack([0 * row, row, 0 * row + 1]))[:, cost]
            shares[columns] = (now - empty) / (full - empty) if full > empty else 1.0
        return shares

    def operations(self, cost: int) -> Matrix:
        """For each option what its operation and the node it leads into cost, relative to the dearest of its block.

        Adaptive MAC of DSO-NAS (eq. 10) with memory access for the cost.
        """
        values = np.zeros(self.options)
        for module in self._open:
            if isinstance(module, Join):
                values[self._span(module)] += [self._whole[op][cost] for op in module.ops]
            elif isinstance(module, Dag):
                for join, op in zip(module.joins, module.ops, strict=True):
                    if isinstance(join, Join):
                        values[self._span(join)] += self._whole[op][cost]
        for columns, _ in self.blocks:
            values[columns] /= max(values[columns].max(), 1e-300)
        return values

    def _cost_of(self, modules: Sequence[nn.Module], rows: Matrix) -> Matrix:
        alive = np.ones(len(rows), dtype=bool)
        parts = [part for module in modules for part in self._running(module, rows > 0, alive)]
        runs = np.stack([mask for mask, _ in parts], axis=1).astype(float)
        costs: Matrix = runs @ np.stack([values for _, values in parts])
        return costs

    def _running(self, module: nn.Module, picked: Mask, alive: Mask) -> Iterator[tuple[Mask, Matrix]]:
        """In which architectures each part of a module runs that itself runs in those ``alive``, and what it costs."""
        if module not in self._open:
            yield alive, self._whole[module]
        elif isinstance(module, Dag):
            yield from self._running_nodes(module, picked, alive)
        elif isinstance(module, Join):
            yield from self._running_candidates(module, picked[:, self._span(module)].T & alive, picked)
        else:
            yield alive, self._own.get(module, np.zeros(self.count))
            for child in module.children():
                yield from self._running(child, picked, alive)

    def _running_nodes(self, dag: Dag, picked: Mask, alive: Mask) -> Iterator[tuple[Mask, Matrix]]:
        """As ``Dag.live`` and ``Dag.answers``, for a population."""
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
        """The sources of a reader, and for each which architectures read it."""
        assert isinstance(reader, Join | Sum | Concat)
        if isinstance(reader, Join):
            return list(reader.sources), picked[:, self._span(reader)].T
        return list(reader.sources), np.ones((len(reader.sources), len(picked)), dtype=bool)

    def _span(self, join: Join) -> slice:
        first = self.columns[join.choice.name]
        return slice(first, first + len(join.choice.options))

    def _sum(self, module: nn.Module) -> Matrix:
        return sum((self._own[part] for part in module.modules() if part in self._own), np.zeros(self.count))

    def _find_blocks(self) -> list[tuple[list[int], list[nn.Module]]]:
        """The outermost mechanisms, those that share choices together, with the columns of their choices."""
        found: list[tuple[set[str], list[nn.Module]]] = []
        for module in _outermost(self.net):
            names = {part.choice.name for part in module.modules() if isinstance(part, Gated)}
            tied = [block for block in found if block[0] & names]
            found = [block for block in found if not block[0] & names]
            found.append((names.union(*(n for n, _ in tied)), [m for _, others in tied for m in others] + [module]))
        return [(self._columns_of(names), modules) for names, modules in found]

    def _columns_of(self, names: set[str]) -> list[int]:
        spans = [(self.columns[name], len(self.choices[name].options)) for name in self.choices if name in names]
        return [first + i for first, count in spans for i in range(count)]


def _check(net: nn.Module) -> None:
    owners: dict[nn.Parameter, nn.Module] = {}
    for module in net.modules():
        for parameter in module.parameters(recurse=False):
            if owners.setdefault(parameter, module) is not module:
                raise ValueError("two modules share a parameter, which is counted once")
    seen: set[nn.Module] = set()
    for _, module in net.named_modules(remove_duplicate=False):
        if isinstance(module, Gated | Derivable) and not isinstance(module, Join | Dag):
            raise ValueError(f"{type(module).__name__} may change how large things are")
        if module in seen and list(module.parameters()):
            raise ValueError("a module with parameters is used twice")
        seen.add(module)


def _outermost(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, Derivable):
        if any(isinstance(part, Gated) for part in module.modules()):
            yield module
    else:
        for child in module.children():
            yield from _outermost(child)
