"""How many bytes of activations are alive while a network runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils import _pytree as pytree


class Memory:
    """The activations of one run: an activation is alive from the operation that makes it to the last that reads it.

    Views share the memory of what they show; an operation in place makes nothing. Parameters and buffers do not count,
    nor does what nobody reads. The input is alive from the start, the output to the end.
    """

    def __init__(self, net: nn.Module) -> None:
        self._kept = [*net.parameters(), *net.buffers()]  # all tensors are kept, so that no two storages look alike
        self._own = {_key(tensor) for tensor in self._kept}
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._bytes: dict[int, int] = {}
        self.steps = 0
        """The number of operations so far."""

    def read(self, values: Any) -> None:
        """Notes what the next operation reads."""
        for tensor in self._tensors(values):
            self._first.setdefault(_key(tensor), self.steps)
            self._last[_key(tensor)] = self.steps

    def wrote(self, values: Any) -> None:
        """Notes what the operation made, and goes on to the next one."""
        for tensor in self._tensors(values):
            self._first.setdefault(_key(tensor), self.steps)
        self.steps += 1

    def alive(self, output: Any) -> NDArray[np.int64]:
        """The bytes that are alive during each operation, and at the end, for the output of the network."""
        self.read(output)
        change = np.zeros(self.steps + 2, dtype=np.int64)
        for key, last in self._last.items():
            change[self._first[key]] += self._bytes[key]
            change[last + 1] -= self._bytes[key]
        return np.cumsum(change)[:-1]

    def _tensors(self, values: Any) -> Iterable[Tensor]:
        for tensor in pytree.tree_leaves(values):
            if isinstance(tensor, Tensor) and _key(tensor) not in self._own:
                self._kept.append(tensor)
                self._bytes[_key(tensor)] = tensor.untyped_storage().nbytes()
                yield tensor


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
