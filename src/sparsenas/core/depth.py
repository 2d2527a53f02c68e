"""Choosing how many blocks of a row run: the last ones may be left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from sparsenas.core.choice import Choice, Picks
from sparsenas.core.derive import Derivable, active_choices
from sparsenas.core.gate import Gated
from sparsenas.errors import UserError


class OptionalBlock(Gated, Derivable):
    """A block that only the deeper options of a choice of depth run; under the others it returns its input.

    All blocks of a row that may be left out have the same ``name`` and ``depths``, and so one choice.

    Args:
        name: of the choice.
        depths: numbers of blocks to choose from.
        number: of this block in the row, from 1.
        block: the block, which keeps the shape of its input.
    """

    def __init__(self, name: str, depths: Sequence[int], number: int, block: nn.Module) -> None:
        """Raises ``UserError`` unless ``depths`` are positive and increasing."""
        if not depths or list(depths) != sorted(set(depths)) or depths[0] < 1:
            raise UserError(f"depth {name!r}: expected increasing positive numbers of blocks, got {tuple(depths)}")
        super().__init__(Choice(name, tuple(map(str, depths))))
        self.depths, self.number, self.block = tuple(depths), number, block

    @property
    def runs(self) -> bool:
        """Whether the depth that is chosen now includes this block."""
        return self.number <= self.depths[self.gate.picks[0]]

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x) if self.runs else x
        return y

    def active_choices(self) -> Iterator[tuple[str, Picks]]:
        """This choice, and if the block runs those in it."""
        yield self.choice.name, self.gate.picks
        if self.runs:
            yield from active_choices(self.block)

    def derived(self) -> nn.Module:
        """The block, or the identity."""
        return self.block if self.runs else nn.Identity()
