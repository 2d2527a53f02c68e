"""The contract of a task: its loss, its metrics, and what its outputs and targets look like."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from sparsenas.nn.tree import Tree, count, device_of, tensors

Metrics: TypeAlias = dict[str, float]
"""Metrics by name; the mean loss, ``loss``, is always among them."""
LOSS = "loss"


class Objective(ABC):
    """What a task is. Only ``loss`` must be given; without more, the loss on validation examples is the score.

    Metrics are computed from sums, so that they do not depend on how the examples are cut into batches.
    """

    score: ClassVar[str] = LOSS
    """Name of the metric by which networks are compared."""
    higher: ClassVar[frozenset[str]] = frozenset()
    """Names of the metrics of which more is better."""
    shares: ClassVar[frozenset[str]] = frozenset()
    """Names of the metrics that are shares from 0 to 1; reports show them as percentages."""
    outputs: int = 0
    """Number of outputs that a network should have; passed to spaces that take ``classes``. By default one for each
    class of the data, or where they have no classes one for each number of a target."""

    @abstractmethod
    def loss(self, output: Tree, target: Tree) -> Tensor:
        """The mean loss of a batch, a scalar."""

    def training_loss(self, output: Tree, target: Tree, smoothing: float) -> Tensor:
        """The loss that is trained; ``smoothing`` is label smoothing, for objectives that know it."""
        return self.loss(output, target)

    def weight(self, target: Tree) -> Tensor | float:
        """What the loss of a batch is a mean over: the number of examples, unless told otherwise."""
        return float(count(target))

    def summed_loss(self, output: Tree, target: Tree) -> Tensor:
        """The sum of the loss of a batch."""
        return self.loss(output, target) * self.weight(target)

    def counts(self, output: Tree, target: Tree) -> Tensor:
        """Sums of a batch from which ``metrics`` are computed: a tensor (numbers), without gradient."""
        return torch.zeros(0, device=device_of(output))

    def metrics(self, counts: Tensor, examples: float) -> Metrics:
        """The metrics besides the loss, from ``counts`` added up over all batches.

        ``examples`` is the sum of ``weight``.
        """
        return {}

    def sums(self, output: Tree, target: Tree) -> Tensor:
        """Loss, weight and counts of a batch: a tensor (2 + numbers) of doubles. It never waits for a device."""
        loss = self.summed_loss(output, target).detach().double()
        weight = torch.zeros_like(loss) + self.weight(target)
        return torch.cat([torch.stack([loss, weight]), self.counts(output, target).double()])

    def result(self, sums: Tensor) -> Metrics:
        """The metrics of sums that were added up."""
        sums = sums.cpu()
        loss, weight = sums[:2].tolist()
        found = {name: float(value) for name, value in self.metrics(sums[2:], weight).items()}
        return {**found, LOSS: loss / weight}

    def oriented(self, metric: str, value: float) -> float:
        """The value of a metric, with the opposite sign where less is better."""
        return value if metric in self.higher else -value

    def check(self, output: Tree, target: Tree) -> None:
        """Raises ``UserError`` where the output of a network or a target does not fit this task."""
        self.check_targets(target)

    def check_targets(self, targets: Tree) -> None:  # noqa: B027 - any target may be right
        """Raises ``UserError`` for targets that do not fit this task."""

    def same(self, output: Tree, other: Tree) -> int:
        """The number of examples for which two networks predict the same, for example a network and its ONNX file."""
        pairs = list(zip(tensors(output), tensors(other), strict=True))
        close = [torch.isclose(a, b, rtol=1e-2, atol=1e-3).flatten(1).all(1) if a.dim() > 1 else
                 torch.isclose(a, b, rtol=1e-2, atol=1e-3) for a, b in pairs]  # fmt: skip
        return int(torch.stack(close).all(0).sum())

    def distillation(self, output: Tree, teacher: Tree) -> Tensor:
        """The mean loss of a network's output against that of its teacher: here the mean squared difference."""
        pairs = zip(tensors(output), tensors(teacher), strict=True)
        return torch.stack([(a - b).square().mean() for a, b in pairs]).mean()

    def confusion(self, output: Tree, target: Tree) -> Tensor | None:
        """Counts by true class (rows) and predicted class (columns), for objectives that have classes."""
        return None
