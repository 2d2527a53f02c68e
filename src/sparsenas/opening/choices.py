"""The choices of an opened network: how many units of a layer are kept, which ones, and whether a block runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsenas.core.choice import Choice, Picks
from sparsenas.core.gate import Gated
from sparsenas.opening.positions import State


class Units(Gated):
    """A choice of how many units of a layer are kept: channels, or rings of a kernel. The first of ``order`` are."""

    def __init__(self, name: str, counts: Sequence[int], labels: Sequence[str], order: Sequence[int]) -> None:
        super().__init__(Choice(name, tuple(labels)))
        self.counts, self.order = tuple(counts), tuple(order)

    @property
    def largest(self) -> Picks:
        """All units."""
        return (len(self.counts) - 1,)

    @property
    def smallest(self) -> Picks:
        """The fewest units."""
        return (0,)

    def state(self) -> State:
        """The units that are kept now."""
        count = self.counts[self.gate.picks[0]]
        return None if count == len(self.order) else tuple(sorted(self.order[:count]))


class Groups(Gated):
    """A choice of which units of a layer are kept: at least one. Each may have a weight, which scales what it gives."""

    takes_weights: ClassVar[bool] = True

    def __init__(self, name: str, units: int) -> None:
        super().__init__(Choice(name, tuple(map(str, range(units))), 1, units))

    @property
    def largest(self) -> Picks:
        """All units."""
        return tuple(range(len(self.choice.options)))

    @property
    def smallest(self) -> Picks:
        """One unit."""
        return (0,)

    def state(self) -> State:
        """The units that are kept now."""
        picks = self.gate.picks
        return None if len(picks) == len(self.choice.options) else picks

    def scales(self) -> Tensor | None:
        """The weight of every unit, 0 for those that are cut; ``None`` if none has one."""
        picks, weights = self.gate
        if weights is None:
            return None
        return weights.new_zeros(len(self.choice.options)).index_put(
            (torch.tensor(picks, device=weights.device),), weights
        )


class Block(Gated):
    """A choice of whether a residual block runs."""

    def __init__(self, name: str, path: str, identity: bool = True) -> None:
        """``identity`` tells whether an ``nn.Identity`` can be called as the block is."""
        super().__init__(Choice(name, ("keep", "skip")))
        self.path, self.identity = path, identity

    @property
    def largest(self) -> Picks:
        """The block."""
        return (0,)

    @property
    def smallest(self) -> Picks:
        """No block."""
        return (1,)

    def instead(self) -> nn.Module:
        """What stands in the place of a block that does not run."""
        return nn.Identity() if self.identity else Skipped()

    def state(self) -> State:
        """Nothing is cut where the block runs."""
        return None if self.runs else ()

    @property
    def runs(self) -> bool:
        """Whether the block runs now."""
        return self.gate.picks == (0,)


class Skipped(nn.Module):
    """In place of a block that is left out: returns its input, however it is called."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The first tensor of the arguments."""
        return next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))


Decider = Units | Groups | Block
"""Any choice of an opened network."""
