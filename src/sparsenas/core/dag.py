"""Directed acyclic graphs of operations: cells and completely connected blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from torch import Tensor, nn

from sparsenas.core.choice import Picks
from sparsenas.core.derive import Derivable, active_choices
from sparsenas.core.gate import Gates, set_gates
from sparsenas.core.join import Join
from sparsenas.errors import UserError
from sparsenas.nn.blocks import Concat, Sum
from sparsenas.nn.pruned import prune_ops, prune_unknown
from sparsenas.nn.weighted_sum import Known, add_values, weighted_sum


class Dag(Derivable):
    """Nodes in order, each reading inputs and earlier nodes. Nodes without input and nodes without use do not run.

    Positions: the inputs are 0..inputs-1, node i is inputs+i. Node i computes ``ops[i](joins[i](*positions))``;
    ``output`` reads positions likewise. A join that is a ``Sum`` has no choice and may read inputs only.
    """

    def __init__(
        self,
        inputs: int,
        joins: Sequence[Join | Sum],
        output: Join | Sum | Concat,
        ops: Sequence[nn.Module] | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        """``labels`` name the nodes in drawings.

        Raises ``UserError`` when a node reads a later one, or there is not one operation and label per node.
        """
        super().__init__()
        self.inputs = inputs
        self.joins = nn.ModuleList(joins)
        self.ops = nn.ModuleList(ops if ops is not None else [nn.Identity() for _ in joins])
        if len(self.ops) != len(self.joins):
            raise UserError(f"Dag: expected {len(self.joins)} operations, one per node, got {len(self.ops)}")
        self.labels = tuple(labels)
        if self.labels and len(self.labels) != len(self.joins):
            raise UserError(f"Dag: expected {len(self.joins)} labels, one per node, got {len(self.labels)}")
        for i, reader in enumerate((*joins, output)):
            if not all(0 <= source < inputs + i for source in reader.sources):
                raise UserError(f"Dag: node {i} may read positions 0 to {inputs + i - 1}, got {reader.sources}")
        self.output = output
        self.levels = _levels(inputs, joins)
        self.register_load_state_dict_pre_hook(prune_unknown)  # type: ignore[no-untyped-call]

    def live(self) -> list[int]:
        """The nodes that run, in order: those with a path from an input and a path to the output."""
        fed = set(range(self.inputs))
        for i, join in enumerate(self.joins):
            if fed.intersection(_reads(join)):
                fed.add(self.inputs + i)
        used = set(self.output.reads())
        for i in reversed(range(len(self.joins))):
            if self.inputs + i in used:
                used.update(_reads(self.joins[i]))
        return [i for i in range(len(self.joins)) if self.inputs + i in used & fed]

    def forward(self, *inputs: Tensor) -> Tensor | None:
        """Maps the inputs to the output, or to ``None`` when no node leads to it."""
        values: list[Tensor | None] = [*inputs, *[None] * len(self.joins)]
        live, known = set(self.live()), Known()
        for level in self.levels:
            nodes = [i for i in level if i in live]
            for i, total in zip(nodes, _sums([self.joins[i] for i in nodes], values, known), strict=True):
                values[self.inputs + i] = self.ops[i](total)
        if all(values[source] is None for source in self.output.reads()):
            return None
        result: Tensor = self.output(*values)
        return result

    def prune(self) -> None:
        """Removes, for good, the weights of everything that does not run under the gates that are set."""
        alive = self._positions()
        for i, reader in enumerate((*self.joins, self.output)):
            runs = i == len(self.joins) or self.inputs + i in alive
            if isinstance(reader, Join):
                picks = reader.gate.picks if runs else ()
                reader.prune(tuple(pick for pick in picks if reader.sources[pick] in alive))
        prune_ops(self.ops, self.live())

    def active_choices(self) -> Iterator[tuple[str, Picks]]:
        """The choices of nodes that run, with the picks whose sources run."""
        alive = self._positions()
        for i in self.live():
            yield from _live_choices(self.joins[i], alive)
            yield from active_choices(self.ops[i])
        yield from _live_choices(self.output, alive)

    def derived(self) -> nn.Module:
        """The nodes that run, with fixed wiring."""
        position = self._positions()
        joins = [_fixed(self.joins[i], position) for i in self.live()]
        ops = [self.ops[i] for i in self.live()]
        return Wiring(joins, _fixed(self.output, position), ops)

    def _positions(self) -> dict[int, int]:
        alive = [*range(self.inputs), *(self.inputs + i for i in self.live())]
        return {old: new for new, old in enumerate(alive)}


class Wiring(nn.Module):
    """A ``Dag`` in a derived network: every node runs, in order."""

    def __init__(self, joins: Iterable[nn.Module], output: Sum | Concat, ops: Iterable[nn.Module]) -> None:
        super().__init__()
        self.joins = nn.ModuleList(joins)
        self.ops = nn.ModuleList(ops)
        self.output = output

    def forward(self, *inputs: Tensor) -> Tensor | None:
        """Maps the inputs to the output, or to ``None`` when no node leads to it."""
        values = list(inputs)
        for join, op in zip(self.joins, self.ops, strict=True):
            values.append(op(join(*values)))
        result: Tensor | None = self.output(*values) if self.output.reads() else None
        return result


def _levels(inputs: int, joins: Sequence[Join | Sum]) -> list[range]:
    """Groups of consecutive nodes that do not read one another, so that their sums can be computed at once."""
    starts = [0]
    for i, join in enumerate(joins):
        if any(source >= inputs + starts[-1] for source in join.sources):
            starts.append(i)
    return [range(start, end) for start, end in pairwise([*starts, len(joins)])]


def _sums(joins: Sequence[nn.Module], values: Sequence[Tensor | None], known: Known) -> list[Tensor]:
    """The inputs of nodes that do not read one another."""
    adding = [join for join in joins if isinstance(join, Join) and join.adds()]
    weighted = {join: join.gate.weights for join in adding if join.gate.weights is not None}
    if weighted:
        found = dict(
            zip(weighted, weighted_sum([j.reads() for j in weighted], [*weighted.values()], values), strict=True)
        )
    else:
        found = {join: add_values(join.reads(), values, known) for join in adding}
    return [found[join] if join in found else join(*values) for join in joins]


def prune(net: nn.Module, gates: Gates) -> bool:
    """Removes, for good, the weights of every operation that does not run under ``gates``; says if there was any.

    The results of the others do not change. A complete network that loads the state of a pruned one removes the same
    operations.
    """
    set_gates(net, gates)
    before = sum(1 for _ in net.parameters())
    dags = [module for module in net.modules() if isinstance(module, Dag)]
    wired = {join for dag in dags for join in (*dag.joins, dag.output)}
    for dag in dags:
        dag.prune()
    for module in net.modules():
        if isinstance(module, Join) and module not in wired:
            module.prune(module.gate.picks)
    return sum(1 for _ in net.parameters()) < before


def _reads(reader: nn.Module) -> tuple[int, ...]:
    assert isinstance(reader, Join | Sum | Concat)
    return reader.reads()


def _fixed(reader: nn.Module, position: Mapping[int, int]) -> Sum | Concat:
    if isinstance(reader, Join):
        return reader.fixed(position)
    if isinstance(reader, Sum):
        kept = [(op, s) for op, s in zip(reader.ops, reader.sources, strict=True) if s in position]
        return Sum([op for op, _ in kept], [position[s] for _, s in kept], reader.drop.share)
    assert isinstance(reader, Concat)
    return Concat([position[s] for s in reader.sources if s in position])


def _live_choices(reader: nn.Module, alive: Mapping[int, int]) -> Iterator[tuple[str, Picks]]:
    if isinstance(reader, Join):
        yield from reader.active_picks(tuple(p for p in reader.gate.picks if reader.sources[p] in alive))
    else:
        yield from active_choices(reader)
