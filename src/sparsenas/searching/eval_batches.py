"""The examples that every candidate of a search is scored on."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sparsenas.data import Data, Examples
from sparsenas.data.dataset import order_of
from sparsenas.nn.tree import Tree, count, map_tensors


@dataclass(frozen=True)
class EvalBatches:
    """Fixed inputs of the network, in batches."""

    calibration: tuple[Tree, ...]
    """Batches of equal size on which batch norm is recalibrated; none = it keeps the supernet's statistics."""
    val_batches: tuple[tuple[Tree, Tree], ...]
    """Batches of validation inputs with their targets."""

    @property
    def examples(self) -> int:
        """The number of validation examples."""
        return sum(count(targets) for _, targets in self.val_batches)

    def part(self, share: slice) -> EvalBatches:
        """Some of the batches."""
        return EvalBatches(self.calibration[share], self.val_batches[share])

    def first(self, batches: int, examples: int) -> EvalBatches:
        """At most so many examples of each of the first batches."""

        def few(x: Tree) -> Tree:
            return map_tensors(lambda leaf: leaf[:examples], x)

        part = self.part(slice(batches))
        return EvalBatches(
            tuple(few(x) for x in part.calibration), tuple((few(x), few(target)) for x, target in part.val_batches)
        )

    def to(self, dtype: torch.dtype) -> EvalBatches:
        """The same, with inputs of floating point in another precision."""

        def cast(x: Tree) -> Tree:
            return map_tensors(lambda leaf: leaf.to(dtype) if leaf.is_floating_point() else leaf, x)

        return EvalBatches(
            tuple(cast(x) for x in self.calibration), tuple((cast(x), target) for x, target in self.val_batches)
        )


def make_eval_batches(data: Data, calibration: int, val: int, batch: int, seed: int) -> EvalBatches:
    """Picks examples by the seed: ``calibration`` of the train split, ``val`` (0 = all) of the validation split.

    Calibration examples are used in whole batches.
    """
    chosen = _subset(data.train, calibration, seed)
    size = max(1, min(batch, len(chosen)))
    equal = [part for part in chosen.batches(size) if len(part) == size]
    return EvalBatches(
        tuple(data.prepared(part.inputs) for part in equal),
        tuple(
            (data.prepared(part.inputs), part.targets)
            for part in _subset(data.val, val or len(data.val), seed).batches(batch)
        ),
    )


def _subset(split: Examples, count: int, seed: int) -> Examples:
    order = order_of(len(split), seed)[:count]
    return split.subset(order.sort().values.to(split.device))
