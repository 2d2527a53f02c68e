"""Choices among operations: layers, edges, nodes of cells and blocks, and depth.

An option is an operation on one of the sources. One source and k operations are a choice of a layer. m sources with
identities are the edges into a node. m sources and k operations are a node of a DARTS cell. An operation and an
identity are a choice of depth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from sparsenas.core.choice import Choice, Picks
from sparsenas.core.derive import Derivable, active_choices
from sparsenas.core.gate import Gated
from sparsenas.errors import UserError
from sparsenas.nn.blocks import Sum
from sparsenas.nn.bn_folding import Scaled
from sparsenas.nn.pruned import prune_ops, prune_unknown
from sparsenas.nn.weighted_sum import times


class Join(Gated, Derivable):
    """Adds up the picked options, each times its weight.

    Args:
        choice: the choice.
        ops: the operation of each option.
        sources: the input that each option reads; by default the first one.
        drop: share of the drop-path rate at which options are dropped when the derived network trains. A single
            identity is never dropped.
    """

    takes_weights: ClassVar[bool] = True

    def __init__(
        self, choice: Choice, ops: Iterable[nn.Module], sources: Sequence[int] | None = None, drop: float = 0.0
    ) -> None:
        super().__init__(choice)
        self.drop = drop
        ops = list(ops)
        for label, op in zip(choice.options, ops, strict=False):
            if not isinstance(op, nn.Module):
                raise UserError(f"choice {choice.name!r}: expected a module as option {label}, got {type(op).__name__}")
        self.ops = nn.ModuleList(ops)
        self.sources = tuple(sources) if sources is not None else (0,) * len(self.ops)
        if not len(self.ops) == len(self.sources) == len(choice.options):
            raise UserError(
                f"choice {choice.name!r}: expected {len(choice.options)} operations and sources, one per option, "
                f"got {len(self.ops)} and {len(self.sources)}"
            )
        self.register_load_state_dict_pre_hook(prune_unknown)  # type: ignore[no-untyped-call]

    @classmethod
    def of(cls, name: str, ops: Mapping[str, nn.Module], least: int = 1, most: int = 1) -> Join:
        """A choice among operations on one input, by label."""
        return cls(Choice(name, tuple(ops), least, most), ops.values())

    def reads(self) -> tuple[int, ...]:
        """The inputs that the picked options read."""
        return tuple(self.sources[pick] for pick in self.gate.picks)

    def forward(self, *inputs: Tensor | None) -> Tensor:
        """Maps the inputs to one sum. Only a ``Dag`` passes ``None``, for a source that does not run."""
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
        """Whether the picked options are the sources themselves."""
        return all(type(self.ops[pick]) is nn.Identity for pick in self.gate.picks)

    def prune(self, picks: Picks) -> None:
        """Removes, for good, the weights of all options but ``picks``."""
        prune_ops(self.ops, picks)

    def active_choices(self) -> Iterator[tuple[str, Picks]]:
        """This choice and the choices inside the picked options."""
        yield from self.active_picks(self.gate.picks)

    def active_picks(self, picks: Picks) -> Iterator[tuple[str, Picks]]:
        """As ``active_choices`` if only ``picks`` of this choice have an effect."""
        yield self.choice.name, picks
        for pick in picks:
            yield from active_choices(self.ops[pick])

    def derived(self) -> nn.Module:
        """The one picked operation itself, or the sum of several."""
        fixed = self.fixed({source: source for source in self.sources})
        # A join of several sources is called with all of them; an operation takes one.
        alone = len(fixed.ops) == 1 and not any(self.sources) and fixed.drop.share == 0
        return fixed.ops[0] if alone else fixed

    def fixed(self, position: Mapping[int, int]) -> Sum:
        """The sum of the picked options. Inputs are renumbered by ``position``; those not in it are left out."""
        picks, weights = self.gate
        kept = [(i, pick) for i, pick in enumerate(picks) if self.sources[pick] in position]
        ops = [self.ops[pick] if weights is None else Scaled(self.ops[pick], weights[i].item()) for i, pick in kept]
        drop = self.drop if len(kept) > 1 or not self.adds() else 0.0
        return Sum(ops, [position[self.sources[pick]] for _, pick in kept], drop)
