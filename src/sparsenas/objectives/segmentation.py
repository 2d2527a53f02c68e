"""Segmentation: a class for each pixel, or each element of any grid."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from sparsenas.nn.tree import Tree
from sparsenas.objectives.checks import check_class_numbers, check_output
from sparsenas.objectives.classification import MOST_CLASSES, pairs
from sparsenas.objectives.objective import Metrics, Objective


class Segmentation(Objective):
    """A class for each pixel. Outputs are logits (examples, classes, height, width); targets class numbers (examples,
    height, width). Grids of any number of dimensions are taken. Pixels of class ``ignore`` count nowhere.
    """

    score: ClassVar[str] = "mean_iou"
    higher: ClassVar[frozenset[str]] = frozenset({"mean_iou", "pixel_accuracy"})
    shares: ClassVar[frozenset[str]] = higher

    def __init__(self, classes: int = 0, ignore: int = 255) -> None:
        """``ignore`` is the target of pixels that count nowhere."""
        self.outputs, self.ignore = classes, ignore

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The cross-entropy, averaged over pixels."""
        return self.training_loss(output, target, 0.0)

    def training_loss(self, output: Tensor, target: Tensor, smoothing: float) -> Tensor:
        """The cross-entropy with smoothed labels."""
        labels = target.long()
        return functional.cross_entropy(output, labels, ignore_index=self.ignore, label_smoothing=smoothing)

    def weight(self, target: Tensor) -> Tensor:
        """The number of pixels that count."""
        return (target != self.ignore).sum()

    def summed_loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The summed cross-entropy."""
        return functional.cross_entropy(output.detach(), target.long(), ignore_index=self.ignore, reduction="sum")

    def counts(self, output: Tensor, target: Tensor) -> Tensor:
        """The pixels by true and predicted class, in a row."""
        return self._pairs(output, target).flatten()

    def metrics(self, counts: Tensor, examples: float) -> Metrics:
        """The mean intersection over union of the classes that occur or are predicted, and the share of right pixels.

        ``examples`` is the number of pixels.
        """
        table = counts.view(self.outputs, self.outputs)
        hits, unions = table.diagonal(), table.sum(0) + table.sum(1) - table.diagonal()
        there = unions > 0
        return {
            "mean_iou": float((hits[there] / unions[there]).mean()),
            "pixel_accuracy": float(hits.sum()) / examples,
        }

    def check(self, output: Tree, target: Tree) -> None:
        """Raises ``UserError`` unless the network gives one logit per pixel and class."""
        self.check_targets(target)
        count, *grid = target.shape
        check_output("segmentation", output, (count, self.outputs, *grid), "examples, classes, then the grid")

    def check_targets(self, targets: Tree) -> None:
        """Raises ``UserError`` unless targets are a class number per pixel."""
        check_class_numbers("segmentation", targets, 2, self.outputs, self.ignore)

    def same(self, output: Tree, other: Tree) -> int:
        """The number of examples in which both predict the same class for 99 % of the pixels."""
        return int(((output.argmax(1) == other.argmax(1)).flatten(1).double().mean(1) >= 0.99).sum())

    def distillation(self, output: Tensor, teacher: Tensor) -> Tensor:
        """The cross-entropy against the class probabilities of the teacher, averaged over pixels."""
        return functional.cross_entropy(output, teacher.softmax(1))

    def confusion(self, output: Tensor, target: Tensor) -> Tensor | None:
        """The pixels by true and predicted class, up to 100 classes."""
        return self._pairs(output, target) if self.outputs <= MOST_CLASSES else None

    def _pairs(self, output: Tensor, target: Tensor) -> Tensor:
        labels = target.long().masked_fill(target == self.ignore, -1)
        return pairs(labels, output.detach().argmax(1), self.outputs)
