"""How well a network does on labelled images: sums that add up over batches and processes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Result(NamedTuple):
    """The result of the sums of some images."""

    accuracy: float
    """Share of the images whose largest logit is that of the label."""
    loss: float
    """Mean cross-entropy."""


class Classification:
    """Counts hits and cross-entropy where each image has one label.

    The sums of some images are one tensor (3): hits, summed cross-entropy and images, in double precision and on the
    device of the logits. Sums of several batches or processes are added up.
    """

    def sums(self, logits: Tensor, labels: Tensor, loss: Tensor | None = None) -> Tensor:
        """The sums of a batch. It never waits for a device.

        Args:
            logits: (images, classes).
            labels: (images).
            loss: the mean loss of the batch to count in place of the cross-entropy.
        """
        logits = logits.detach().float()
        hits = (logits.argmax(1) == labels).sum().double()
        mean = None if loss is None else loss.detach().double()
        total = functional.cross_entropy(logits, labels, reduction="sum") if mean is None else mean * len(labels)
        return torch.stack([hits, total.double(), torch.full_like(hits, len(labels))])

    def result(self, sums: Tensor) -> Result:
        """The accuracy and the mean loss."""
        hits, loss, images = sums.tolist()
        return Result(hits / images, loss / images)

    def same(self, logits: Tensor, others: Tensor) -> int:
        """The number of images for which two networks predict the same class."""
        return int((logits.argmax(1) == others.argmax(1)).sum())


class Confusion:
    """Counts images by label and by predicted class."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.pairs = torch.zeros(classes**2, dtype=torch.long)

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Counts a batch."""
        pairs = (labels * self.classes + logits.argmax(1)).cpu()
        self.pairs += torch.bincount(pairs, minlength=len(self.pairs))

    def rows(self) -> list[list[int]]:
        """A row per label, a column per predicted class."""
        rows: list[list[int]] = self.pairs.view(self.classes, self.classes).tolist()
        return rows
