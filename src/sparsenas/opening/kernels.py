"""Large kernels, which may be cut to their middle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from torch import nn

from sparsenas.opening.positions import Positions
from sparsenas.opening.sizes import Size

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
SMALLEST = 3


@dataclass(frozen=True)
class Kernel:
    """A convolution of a large odd kernel. Its units are rings: the middle, what is around it, and so on."""

    path: str
    size: int
    dims: int
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def rings(self) -> int:
        """The number of units."""
        return self.size // 2 + 1

    def options(self) -> dict[str, int]:
        """Rings by the kernel that they make."""
        return {f"{2 * rings - 1}": rings for rings in range(SMALLEST // 2 + 1, self.rings + 1)}

    def positions(self, decision: int) -> Positions:
        """The rings of the positions along one dimension of the kernel."""
        return Positions(np.full(self.size, decision), np.abs(np.arange(self.size) - self.size // 2))

    def sizes(self, decision: int) -> Iterator[Size]:
        """Kernel size and padding: a smaller kernel needs less of it for the same output."""
        middle = Positions(np.full(self.rings, decision), np.arange(self.rings))
        yield Size(self.path, "kernel_size", (middle,) * self.dims, Fraction(2), -1, several=True)
        dilation, offset = self.dilation[0], self.padding[0] - self.dilation[0] * self.rings
        yield Size(self.path, "padding", (middle,) * self.dims, Fraction(dilation), offset, several=True)


def large_kernels(net: nn.Module) -> list[Kernel]:
    """The convolutions whose kernels can be cut: odd, 5 and more, alike in all dimensions, with zeros around."""
    found: list[Kernel] = []
    uses: dict[int, int] = {}
    for _, module in net.named_modules():
        for parameter in module._parameters.values():
            uses[id(parameter)] = uses.get(id(parameter), 0) + 1
    for path, conv in net.named_modules():
        if type(conv) in CONVOLUTIONS and isinstance(conv, CONVOLUTIONS) and uses.get(id(conv.weight)) == 1:
            size, padding, dilation = conv.kernel_size, conv.padding, conv.dilation
            alike = all(len(set(values)) == 1 for values in (size, padding, dilation)) and not isinstance(padding, str)
            if alike and size[0] > SMALLEST and size[0] % 2 and conv.padding_mode == "zeros":
                kernel = Kernel(path, size[0], len(size), tuple(map(int, padding)), tuple(dilation))
                found += [kernel] if kernel.padding[0] >= kernel.dilation[0] * (kernel.rings - 2) else []
    return found
