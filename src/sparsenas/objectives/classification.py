"""Classification: one class for each example, or any number of labels."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from sparsenas.errors import UserError
from sparsenas.nn.tree import Tree
from sparsenas.objectives.checks import check_class_numbers, check_output
from sparsenas.objectives.objective import Metrics, Objective

MOST_CLASSES = 100
"""With more classes there is no confusion matrix."""


def pairs(labels: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """Counts by true and predicted class: a tensor (classes, classes). Other labels are not counted.

    It never waits for a device, as ``torch.bincount`` would.
    """
    legal = (labels >= 0) & (labels < classes)
    cells = torch.where(legal, labels.long() * classes + predicted, classes**2).flatten()
    counts = cells.new_zeros(classes**2 + 1).scatter_add_(0, cells, torch.ones_like(cells))
    return counts[:-1].view(classes, classes)


class Classification(Objective):
    """One class for each example. Outputs are logits (examples, classes); targets class numbers (examples)."""

    score: ClassVar[str] = "accuracy"
    higher: ClassVar[frozenset[str]] = frozenset({"accuracy"})
    shares: ClassVar[frozenset[str]] = higher

    def __init__(self, classes: int = 0) -> None:
        self.outputs = classes

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The cross-entropy."""
        return functional.cross_entropy(output, target.long())

    def training_loss(self, output: Tensor, target: Tensor, smoothing: float) -> Tensor:
        """The cross-entropy with smoothed labels."""
        return functional.cross_entropy(output, target.long(), label_smoothing=smoothing)

    def summed_loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The summed cross-entropy, of logits in single precision at least."""
        return functional.cross_entropy(_single(output.detach()), target.long(), reduction="sum")

    def counts(self, output: Tensor, target: Tensor) -> Tensor:
        """The examples whose largest logit is that of their class."""
        return (output.detach().argmax(1) == target).sum()[None]

    def metrics(self, counts: Tensor, examples: float) -> Metrics:
        """The accuracy: the share of correct predictions."""
        return {"accuracy": float(counts[0]) / examples}

    def check(self, output: Tree, target: Tree) -> None:
        """Raises ``UserError`` unless the network gives one logit per class."""
        self.check_targets(target)
        check_output("classification", output, (len(target), self.outputs), "examples, classes")

    def check_targets(self, targets: Tree) -> None:
        """Raises ``UserError`` unless targets are one class number per example."""
        if isinstance(targets, Tensor) and targets.dim() == 2:
            raise UserError(
                f"--objective classification: expected one class number per example, got targets of shape "
                f"(examples, {targets.shape[1]}); use argmax(1) for one-hot labels, --objective multilabel for several"
            )
        check_class_numbers("classification", targets, 1, self.outputs)

    def same(self, output: Tree, other: Tree) -> int:
        """The number of examples of which both predict the same class."""
        return int((output.argmax(1) == other.argmax(1)).sum())

    def distillation(self, output: Tensor, teacher: Tensor) -> Tensor:
        """The cross-entropy against the class probabilities of the teacher."""
        return functional.cross_entropy(output, teacher.softmax(1))

    def confusion(self, output: Tensor, target: Tensor) -> Tensor | None:
        """The examples by true and predicted class, up to 100 classes."""
        return pairs(target, output.argmax(1), self.outputs) if self.outputs <= MOST_CLASSES else None


class Multilabel(Objective):
    """Any number of labels for each example. Outputs are logits (examples, labels); targets the same shape, 0 or 1."""

    score: ClassVar[str] = "f1"
    higher: ClassVar[frozenset[str]] = frozenset({"f1", "exact"})
    shares: ClassVar[frozenset[str]] = higher

    def __init__(self, outputs: int = 0) -> None:
        self.outputs = outputs

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The binary cross-entropy, averaged over labels."""
        return functional.binary_cross_entropy_with_logits(output, target.to(output.dtype))

    def training_loss(self, output: Tensor, target: Tensor, smoothing: float) -> Tensor:
        """The binary cross-entropy with targets moved toward one half."""
        return self.loss(output, target.to(output.dtype) * (1 - smoothing) + smoothing / 2)

    def counts(self, output: Tensor, target: Tensor) -> Tensor:
        """True positives, predicted and true labels, and examples whose labels are all right."""
        predicted, true = output.detach() > 0, target > 0.5
        exact = (predicted == true).flatten(1).all(1)
        return torch.stack([(predicted & true).sum(), predicted.sum(), true.sum(), exact.sum()])

    def metrics(self, counts: Tensor, examples: float) -> Metrics:
        """The F1 of all labels together (micro-averaged), and the share of examples whose labels are all right."""
        hits, predicted, true, exact = counts.tolist()
        return {"f1": 2 * hits / max(1.0, predicted + true), "exact": exact / examples}

    def check(self, output: Tree, target: Tree) -> None:
        """Raises ``UserError`` unless the network gives one logit per label."""
        self.check_targets(target)
        check_output("multilabel", output, tuple(target.shape), "examples, labels")

    def check_targets(self, targets: Tree) -> None:
        """Raises ``UserError`` unless targets are zeros and ones (examples, labels)."""
        if not isinstance(targets, Tensor) or targets.dim() != 2:
            got = tuple(targets.shape) if isinstance(targets, Tensor) else type(targets).__name__
            raise UserError(f"--objective multilabel: expected targets of shape (examples, labels), got {got}")
        if bool(((targets != 0) & (targets != 1)).any()):
            wrong = targets[(targets != 0) & (targets != 1)][0]
            raise UserError(f"--objective multilabel: expected targets 0 or 1, got {wrong.item():g}")

    def same(self, output: Tree, other: Tree) -> int:
        """The number of examples of which both predict the same labels."""
        return int(((output > 0) == (other > 0)).all(1).sum())

    def distillation(self, output: Tensor, teacher: Tensor) -> Tensor:
        """The binary cross-entropy against the probabilities of the teacher."""
        return functional.binary_cross_entropy_with_logits(output, teacher.sigmoid())


def _single(logits: Tensor) -> Tensor:
    """Logits in single precision, or in double precision where they are."""
    return logits if logits.dtype == torch.float64 else logits.float()
