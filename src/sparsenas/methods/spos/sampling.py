"""Sampling the path of a training step."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice, Choices, Picks
from sparsenas.costs import CostTable
from sparsenas.errors import UserError

BLOCK = 1024
"""Paths that are sampled at once."""
BLOCKS = 200
"""Blocks without a path for a bin that are an error."""
POOL = 256
"""Paths that are kept per bin."""


class Bins(NamedTuple):
    """A range of one cost, cut into equal bins."""

    cost: str
    low: float
    high: float
    number: int

    def of(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """The bin of each value; -1 outside the range. The upper end belongs to the last bin."""
        index = np.floor((values - self.low) / (self.high - self.low) * self.number).astype(np.int64)
        index[values == self.high] = self.number - 1
        return np.where((values >= self.low) & (values <= self.high), index, -1)

    def __str__(self) -> str:
        return f"{self.number} bins of {self.cost} over {self.low:,.0f} to {self.high:,.0f}"


class BinSampler:
    """Uniform constraint sampling: samples a bin of a cost uniformly, then uniformly a path in it.

    Paths are sampled uniformly in blocks and kept in a pool per bin, so that paths of other bins are used later. Within
    its bin every path is equally likely.
    """

    def __init__(self, table: CostTable, bins: Bins, rng: np.random.Generator) -> None:
        """Raises ``UserError`` when the range is empty or no architecture is found for some bin."""
        if not bins.low < bins.high:
            raise UserError(f"--method.bin_range: expected LOW,HIGH with LOW < HIGH, got {bins.low:g},{bins.high:g}")
        self.table, self.bins, self.rng = table, bins, rng
        self.pools: list[list[Arch]] = [[] for _ in range(bins.number)]
        self.drawn = 0
        """Paths sampled, rejected ones included."""
        self.accepted = 0
        """Paths returned."""
        for index in range(bins.number):
            self._fill(index)

    def draw(self) -> Arch:
        """One path."""
        index = int(self.rng.integers(self.bins.number))
        self._fill(index)
        self.accepted += 1
        return self.pools[index].pop()

    def _fill(self, index: int) -> None:
        """Samples until the pool of a bin has a path."""
        for _ in range(BLOCKS):
            if self.pools[index]:
                return
            rows = self.table.encoding.draw(self.rng, BLOCK)
            self.drawn += BLOCK
            bins = self.bins.of(self.table.of_rows(rows)[self.bins.cost])
            for pool_index, pool in enumerate(self.pools):
                kept = rows[bins == pool_index][: max(0, POOL - len(pool))]
                pool.extend(self.table.encoding.decode_all(kept))
        width = (self.bins.high - self.bins.low) / self.bins.number
        low, high = self.bins.low + width * index, self.bins.low + width * (index + 1)
        raise UserError(
            f"--method.bins: none of {BLOCK * BLOCKS:,} random architectures has {low:,.0f} to {high:,.0f} "
            f"{self.bins.cost}; use fewer bins or a narrower --method.bin_range, got {self.bins}"
        )

    def state(self) -> dict[str, Any]:
        """Everything that decides the next paths, as plain values."""
        pools = [[[list(picks) for picks in arch.values()] for arch in pool] for pool in self.pools]
        return {"pools": pools, "drawn": self.drawn, "accepted": self.accepted}

    def load(self, state: dict[str, Any]) -> None:
        """Continues from ``state``; the generator's own state is restored by its owner."""
        names = list(self.table.choices)
        self.pools = [
            [Arch(self.table.choices, dict(zip(names, arch, strict=True))) for arch in pool] for pool in state["pools"]
        ]
        self.drawn, self.accepted = state["drawn"], state["accepted"]


class FairSampler:
    """Strict fairness (FairNAS; Chu et al., ICCV 2021), one path per step.

    A round has one step per option of the largest choice. In a round, every choice runs each of its options once, in a
    random order of its own. A choice with fewer options continues with another random order. Choices that may keep
    several options are sampled uniformly.
    """

    def __init__(self, choices: Choices, rng: np.random.Generator) -> None:
        self.choices, self.rng = choices, rng
        self.round = max(len(choice.options) for choice in choices.values())
        self.waiting: list[Arch] = []

    def draw(self) -> Arch:
        """One path."""
        if not self.waiting:
            columns = {name: self._column(choice) for name, choice in self.choices.items()}
            rows = zip(*columns.values(), strict=True)
            self.waiting = [Arch(self.choices, dict(zip(columns, row, strict=True))) for row in rows]
        return self.waiting.pop()

    def _column(self, choice: Choice) -> list[Picks]:
        """The picks of one choice in a round."""
        if not choice.single:
            return [choice.sample(self.rng) for _ in range(self.round)]
        picks: list[Picks] = []
        while len(picks) < self.round:
            picks += [(int(i),) for i in self.rng.permutation(len(choice.options))]
        return picks[: self.round]

    def state(self) -> dict[str, Any]:
        """Everything that decides the next paths, as plain values."""
        return {"waiting": [[list(picks) for picks in arch.values()] for arch in self.waiting]}

    def load(self, state: dict[str, Any]) -> None:
        """Continues from ``state``; the generator's own state is restored by its owner."""
        self.waiting = [Arch(self.choices, dict(zip(self.choices, a, strict=True))) for a in state["waiting"]]
