"""Joining candidates: layer choices, edges, nodes of cells and blocks, and optional depth.

A candidate is an operation on one of the sources. One source and k operations make a layer choice; m sources and
identities are the edges into a node; m x k is a node of a DARTS cell; an operation and an identity make depth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from torch import Tensor, nn

from sparsenas.choice import Choice, Gated, Gates, Picks, set_gates
from sparsenas.derive import Derivable, answers
from sparsenas.errors import UserError
from sparsenas.fold import Scaled
from sparsenas.layers import Concat, Sum
from sparsenas.mix import Known, add_values, mix_values, times
from sparsenas.prune import forget_unknown, let_go


class Join(Gated, Derivable):
    """Adds up the picked candidates, each times its weight.

    Args:
        choice: whose option i is candidate i.
        ops: one operation a candidate.
        sources: which input candidate i reads; all read the first unless told.
        drop: share of the drop path's rate at which the candidates are dropped when the derived network trains; a
            source that is read alone and as it is never is.
    """

    def __init__(
        self, choice: Choice, ops: Iterable[nn.Module], sources: Sequence[int] | None = None, drop: float = 0.0
    ) -> None:
        super().__init__(choice)
        self.drop = drop
        self.ops = nn.ModuleList(ops)
        self.sources = tuple(sources) if sources is not None else (0,) * len(self.ops)
        if not len(self.ops) == len(self.sources) == len(choice.options):
            raise UserError(
                f"choice {choice.name!r}: expected {len(choice.options)} operations and sources, one an option, "
                f"got {len(self.ops)} and {len(self.sources)}"
            )
        self.register_load_state_dict_pre_hook(forget_unknown)  # type: ignore[no-untyped-call]

    @classmethod
    def of(cls, name: str, ops: Mapping[str, nn.Module], least: int = 1, most: int = 1) -> Join:
        """A choice among operations on one input, by label."""
        return cls(Choice(name, tuple(ops), least, most), ops.values())

    def reads(self) -> tuple[int, ...]:
        """Which inputs the picked candidates read."""
        return tuple(self.sources[pick] for pick in self.gate.picks)

    def forward(self, *inputs: Tensor | None) -> Tensor:
        """Maps the inputs to one sum. Only a ``Dag`` passes ``None``, for a source that nothing feeds."""
        picks, weights = self.gate
        total: Tensor | None = None
        for i, pick in enumerate(picks):
            source = inputs[self.sources[pick]]
            if source is not None:
                term = self.ops[pick](source) if weights is None else times(weights[i], self.ops[pick], source)
                total = term if total is None else total + term
        if total is None:
            raise RuntimeError(f"choice {self.choice.name!r} keeps nothing; only a node of a Dag may be empty")
        return total

    def adds(self) -> bool:
        """Whether the picked candidates are the sources themselves."""
        return all(type(self.ops[pick]) is nn.Identity for pick in self.gate.picks)

    def forget(self, picks: Picks) -> None:
        """Lets go of all candidates but ``picks``, for good."""
        let_go(self.ops, picks)

    def answers(self) -> Iterator[tuple[str, Picks]]:
        """This choice and the choices inside the picked candidates."""
        yield from self.answers_of(self.gate.picks)

    def answers_of(self, picks: Picks) -> Iterator[tuple[str, Picks]]:
        """As ``answers``, when of this choice only ``picks`` matter."""
        yield self.choice.name, picks
        for pick in picks:
            yield from answers(self.ops[pick])

    def derived(self) -> nn.Module:
        """The one picked operation itself, or the sum of several."""
        fixed = self.fixed({source: source for source in self.sources})
        # A join of several sources is called with all of them, which an operation would not understand.
        alone = len(fixed.ops) == 1 and not any(self.sources) and fixed.drop.share == 0
        return fixed.ops[0] if alone else fixed

    def fixed(self, position: Mapping[int, int]) -> Sum:
        """The sum of the picked candidates; inputs are renumbered by ``position``, others count as nothing."""
        picks, weights = self.gate
        kept = [(i, pick) for i, pick in enumerate(picks) if self.sources[pick] in position]
        ops = [self.ops[pick] if weights is None else Scaled(self.ops[pick], weights[i].item()) for i, pick in kept]
        drop = self.drop if len(kept) > 1 or not self.adds() else 0.0
        return Sum(ops, [position[self.sources[pick]] for _, pick in kept], drop)


class Dag(Derivable):
    """Nodes in order, each reading the inputs and the nodes before it; nodes nobody feeds or uses do not run.

    Positions: the inputs are 0..inputs-1, node i is inputs+i. Node i computes ``ops[i](joins[i](*positions))``;
    ``output`` reads positions likewise. A join that is a ``Sum`` asks nothing and may read inputs only.
    """

    def __init__(
        self,
        inputs: int,
        joins: Sequence[Join | Sum],
        output: Join | Sum | Concat,
        ops: Sequence[nn.Module] | None = None,
    ) -> None:
        """Raises ``UserError`` when a node reads a later one, or the operations are not one a node."""
        super().__init__()
        self.inputs = inputs
        self.joins = nn.ModuleList(joins)
        self.ops = nn.ModuleList(ops if ops is not None else [nn.Identity() for _ in joins])
        if len(self.ops) != len(self.joins):
            raise UserError(f"Dag: expected {len(self.joins)} operations, one a node, got {len(self.ops)}")
        for i, reader in enumerate((*joins, output)):
            if not all(0 <= source < inputs + i for source in reader.sources):
                raise UserError(f"Dag: node {i} may read positions 0 to {inputs + i - 1}, got {reader.sources}")
        self.output = output
        self.levels = _levels(inputs, joins)
        self.register_load_state_dict_pre_hook(forget_unknown)  # type: ignore[no-untyped-call]

    def live(self) -> list[int]:
        """The nodes that something feeds and something uses, in order."""
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
        """Maps the inputs to the output, or to ``None`` when nothing reaches it."""
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

    def forget(self) -> None:
        """Lets go, for good, of all that does not run under the running answer."""
        alive = self._positions()
        for i, reader in enumerate((*self.joins, self.output)):
            runs = i == len(self.joins) or self.inputs + i in alive
            if isinstance(reader, Join):
                picks = reader.gate.picks if runs else ()
                reader.forget(tuple(pick for pick in picks if reader.sources[pick] in alive))
        let_go(self.ops, self.live())

    def answers(self) -> Iterator[tuple[str, Picks]]:
        """The choices of live nodes, with the picks whose sources are live."""
        alive = self._positions()
        for i in self.live():
            yield from _live_answers(self.joins[i], alive)
            yield from answers(self.ops[i])
        yield from _live_answers(self.output, alive)

    def derived(self) -> nn.Module:
        """The live nodes with fixed wiring."""
        position = self._positions()
        joins = [_fixed(self.joins[i], position) for i in self.live()]
        ops = [self.ops[i] for i in self.live()]
        return Wiring(joins, _fixed(self.output, position), ops)

    def _positions(self) -> dict[int, int]:
        alive = [*range(self.inputs), *(self.inputs + i for i in self.live())]
        return {old: new for new, old in enumerate(alive)}


class Wiring(nn.Module):
    """A ``Dag`` whose questions are answered: every node runs, in order."""

    def __init__(self, joins: Iterable[nn.Module], output: Sum | Concat, ops: Iterable[nn.Module]) -> None:
        super().__init__()
        self.joins = nn.ModuleList(joins)
        self.ops = nn.ModuleList(ops)
        self.output = output

    def forward(self, *inputs: Tensor) -> Tensor | None:
        """Maps the inputs to the output, or to ``None`` when nothing reaches it."""
        values = list(inputs)
        for join, op in zip(self.joins, self.ops, strict=True):
            values.append(op(join(*values)))
        result: Tensor | None = self.output(*values) if self.output.reads() else None
        return result


def _levels(inputs: int, joins: Sequence[Join | Sum]) -> list[range]:
    """Runs of nodes that do not read one another, so that their sums can be had at once."""
    starts = [0]
    for i, join in enumerate(joins):
        if any(source >= inputs + starts[-1] for source in join.sources):
            starts.append(i)
    return [range(start, end) for start, end in pairwise([*starts, len(joins)])]


def _sums(joins: Sequence[nn.Module], values: Sequence[Tensor | None], known: Known) -> list[Tensor]:
    """What each of some nodes that do not read one another is to work on."""
    adding = [join for join in joins if isinstance(join, Join) and join.adds()]
    weighted = {join: join.gate.weights for join in adding if join.gate.weights is not None}
    if weighted:
        found = dict(
            zip(weighted, mix_values([j.reads() for j in weighted], [*weighted.values()], values), strict=True)
        )
    else:
        found = {join: add_values(join.reads(), values, known) for join in adding}
    return [found[join] if join in found else join(*values) for join in joins]


def forget(net: nn.Module, gates: Gates) -> bool:
    """Lets go, for good, of every operation in ``net`` that does not run under ``gates``; says if there was any.

    What runs gives the same results as before. A network of full size that loads the state of such a network forgets
    the same operations.
    """
    set_gates(net, gates)
    before = sum(1 for _ in net.parameters())
    dags = [module for module in net.modules() if isinstance(module, Dag)]
    wired = {join for dag in dags for join in (*dag.joins, dag.output)}
    for dag in dags:
        dag.forget()
    for module in net.modules():
        if isinstance(module, Join) and module not in wired:
            module.forget(module.gate.picks)
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


def _live_answers(reader: nn.Module, alive: Mapping[int, int]) -> Iterator[tuple[str, Picks]]:
    if isinstance(reader, Join):
        yield from reader.answers_of(tuple(p for p in reader.gate.picks if reader.sources[p] in alive))
    else:
        yield from answers(reader)
