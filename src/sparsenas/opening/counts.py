"""Attributes of a user's own modules that hold numbers of channels or of heads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from torch import Tensor, nn

from sparsenas.opening.flow import Counted, Flow
from sparsenas.opening.positions import Positions
from sparsenas.opening.sizes import Size


@dataclass
class Guesses:
    """What attributes of the modules of one class may stand for."""

    exact: list[Size] = field(default_factory=list)
    """A number of channels or heads itself."""
    multiple: list[Size] = field(default_factory=list)
    """All channels of some heads, or three times as many."""
    last: dict[tuple[str, str], Size] = field(default_factory=dict)
    """Of each attribute the last that fits: the outputs of a layer may be as many as its inputs."""

    def ways(self) -> list[list[Size]]:
        """What to try, the likeliest first."""
        return [self.exact + self.multiple, self.exact, self.multiple, [], [*self.last.values()]]


def guess_sizes(flow: Flow, net: nn.Module, place: Callable[[Tensor], Positions]) -> list[Guesses]:
    """Ways to tell modules how many channels are left, by the class of the modules.

    Whole numbers among a module's attributes that equal a number of channels, where its code splits or reshapes them,
    follow that number; so do those that equal a multiple of all channels of its heads, and lists of the sizes of parts.
    Which of them do cannot be known, so it has to be tried.
    """
    found: defaultdict[type, Guesses] = defaultdict(Guesses)
    # Heads first: their attributes are rarely anything else.
    for counted in sorted(flow.counted, key=lambda counted: -counted.each):
        module, parts = net.get_submodule(counted.owner), tuple(map(place, counted.parts))
        if not any(positions.decisions() for positions in parts):
            continue
        for size, exact in _sizes(counted, parts, module):
            guesses, key = found[type(module)], (counted.owner, size.attribute)
            if key not in guesses.last:
                (guesses.exact if exact else guesses.multiple).append(size)
            guesses.last[key] = size
    return list(found.values())


def _sizes(counted: Counted, parts: tuple[Positions, ...], module: nn.Module) -> Iterator[tuple[Size, bool]]:
    """The attributes that match, and whether they are the number itself."""
    sizes = [len(ids) for ids in counted.parts]
    for name, value in vars(module).items():
        if len(parts) > 1:
            if isinstance(value, list | tuple) and list(value) == sizes:
                yield Size(counted.owner, name, parts, several=True), True
        elif type(value) is int and value > 1:
            heads = sizes[0] if counted.each > 1 else 0
            if value == sizes[0]:
                yield Size(counted.owner, name, parts), True
            elif heads > 1 and value in (heads * counted.each, 3 * heads * counted.each):
                yield Size(counted.owner, name, parts, Fraction(value, heads)), False
