"""Accuracy and loss of a network on a set of images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sparsenas.data import Data, Images
from sparsenas.nn.metrics import Classification, Confusion

BATCH = 500


def evaluate(net: nn.Module, data: Data, split: Images, confusion: Confusion | None = None) -> dict[str, float]:
    """The accuracy and the mean cross-entropy of a network in eval mode."""
    return evaluate_function(net.eval(), data, split, confusion)


@torch.no_grad()
def evaluate_function(
    forward: Callable[[Tensor], Tensor], data: Data, split: Images, confusion: Confusion | None = None
) -> dict[str, float]:
    """The accuracy and the mean cross-entropy of any function from inputs to logits.

    ``confusion`` counts the same predictions by class. Images that had to be skipped are not counted.
    """
    metric, sums = Classification(), torch.zeros(3, dtype=torch.double, device=split.labels.device)
    for part in split.batches(BATCH):
        logits = forward(data.inputs(part.images))
        sums += metric.sums(logits, part.labels)
        if confusion is not None:
            confusion.add(logits, part.labels)
    return metric.result(sums)._asdict()
