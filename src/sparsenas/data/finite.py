"""Which example has numbers that are not finite."""

from __future__ import annotations

from torch import Tensor

from sparsenas.data.dataset import Examples
from sparsenas.nn.tree import Tree, map_tensors, tensors

BATCH = 256


def first_not_finite(tree: Tree) -> int | None:
    """The first example of a batch that has NaN or infinity; ``None`` where there is none."""

    def wrong(leaf: Tensor) -> Tensor:
        rows = ~leaf.isfinite()
        return rows.flatten(1).any(1) if rows.dim() > 1 else rows

    rows = [found for leaf in tensors(map_tensors(wrong, tree)) if len(found := leaf.nonzero()) > 0]
    return min((int(found[0, 0]) for found in rows), default=None)


def not_finite(examples: Examples) -> str:
    """Which example has NaN or infinity, as input or as target, in words; empty where none has."""
    done = 0
    for batch in examples.batches(BATCH):
        for what, tree in (("input", batch.inputs), ("target", batch.targets)):
            row = first_not_finite(tree)
            if row is not None:
                return f"the {what} of example {done + row} has NaN or infinity"
        done += len(batch)
    return ""
