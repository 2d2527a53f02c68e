"""Channel numbers: which channels of a network are kept or cut together."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

Labels = NDArray[np.int64]

FIXED = 0
"""The number of everything that cannot be cut."""


@dataclass
class ChannelNumbers:
    """Integers for channels, some of which are united. Those that are united with ``FIXED`` are closed."""

    count: int = 1
    reasons: list[str] = field(default_factory=list)
    """Why numbers were closed, in order."""
    _reason: Labels = field(default_factory=lambda: np.full(1, -1))
    """For every number the place of its reason in the list; -1 for those that have none of their own."""
    _pairs: list[Labels] = field(default_factory=list)
    _labels: Labels = field(default_factory=lambda: np.zeros(1, np.int64))

    def fresh(self, n: int) -> Tensor:
        """New numbers, as a vector."""
        self.count += n
        return torch.arange(self.count - n, self.count)

    def unite(self, one: Tensor, other: Tensor) -> None:
        """The numbers at the same positions of two tensors, which broadcast, are kept or cut together."""
        pairs = torch.stack([part.reshape(-1) for part in torch.broadcast_tensors(one, other)]).numpy()
        self._pairs.append(pairs[:, pairs[0] != pairs[1]])

    def close(self, numbers: Tensor, reason: str) -> None:
        """These numbers cannot be cut."""
        open_ones = np.unique(self.of(numbers).numpy())
        open_ones = open_ones[open_ones != FIXED]
        if len(open_ones):
            self._reason = np.concatenate([self._reason, np.full(self.count - len(self._reason), -1)])
            self._reason[np.isin(self.labels(), open_ones) & (self._reason < 0)] = len(self.reasons)
            self.reasons.append(reason)
            self._pairs.append(np.stack([open_ones, np.full_like(open_ones, FIXED)]))

    def labels(self) -> Labels:
        """For every number the least one that it is united with."""
        if self._pairs or len(self._labels) < self.count:
            grown = np.concatenate([self._labels, np.arange(len(self._labels), self.count)])
            one, other = grown[np.concatenate([np.zeros((2, 0), np.int64), *self._pairs], axis=1)]
            graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(self.count, self.count))
            parts, part = connected_components(graph, directed=False)
            least = np.full(parts, self.count)
            np.minimum.at(least, part, np.arange(self.count))
            # A label stands for all that carry it, also where it was united in an earlier call.
            self._labels, self._pairs = least[part][grown], []
        return self._labels

    def of(self, numbers: Tensor) -> Tensor:
        """The label of each number."""
        return torch.from_numpy(self.labels())[numbers]

    def reason(self, numbers: Tensor) -> str:
        """Why these numbers were closed: the first reason that one of them has of its own."""
        places = [place for place in self._reason[numbers[numbers < len(self._reason)].numpy()] if place >= 0]
        return self.reasons[min(places)] if places else "bound to something that cannot be cut"
