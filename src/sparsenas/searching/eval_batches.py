"""The images that every candidate of a search is scored on."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sparsenas.data import Data, Images
from sparsenas.data.dataset import order_of


@dataclass(frozen=True)
class EvalBatches:
    """Fixed images, already normalised, in batches."""

    calibration: tuple[Tensor, ...]
    """Batches of equal size on which batch norm is recalibrated; none = it keeps the supernet's statistics."""
    val_batches: tuple[tuple[Tensor, Tensor], ...]
    """Batches of validation images with their labels."""

    @property
    def images(self) -> int:
        """The number of validation images."""
        return sum(len(labels) for _, labels in self.val_batches)

    def part(self, share: slice) -> EvalBatches:
        """Some of the batches."""
        return EvalBatches(self.calibration[share], self.val_batches[share])


def make_eval_batches(data: Data, calibration: int, val: int, batch: int, seed: int) -> EvalBatches:
    """Picks images by the seed: ``calibration`` of the train split, ``val`` (0 = all) of the validation split.

    Calibration images are used in whole batches.
    """
    chosen = _subset(data.train, calibration, seed)
    size = max(1, min(batch, len(chosen)))
    equal = [part for part in chosen.batches(size) if len(part) == size]
    return EvalBatches(
        tuple(data.inputs(part.images) for part in equal),
        tuple(
            (data.inputs(part.images), part.labels)
            for part in _subset(data.val, val or len(data.val), seed).batches(batch)
        ),
    )


def _subset(split: Images, count: int, seed: int) -> Images:
    order = order_of(len(split), seed)[:count]
    return split.subset(order.sort().values.to(split.labels.device))
