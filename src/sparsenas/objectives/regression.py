"""Regression: one or several real numbers for each example."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from sparsenas.errors import UserError
from sparsenas.nn.tree import Tree
from sparsenas.objectives.checks import check_output
from sparsenas.objectives.objective import Metrics, Objective


class Regression(Objective):
    """Real numbers for each example. Outputs and targets have shape (examples, numbers), or (examples) for one number.

    Targets should be of a size around 1: standardise them, as networks learn large numbers slowly.
    """

    score: ClassVar[str] = "rmse"
    higher: ClassVar[frozenset[str]] = frozenset({"r2"})

    def __init__(self, outputs: int = 1) -> None:
        self.outputs = outputs

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The mean squared error."""
        return functional.mse_loss(_rows(output), _rows(target).to(output.dtype))

    def counts(self, output: Tensor, target: Tensor) -> Tensor:
        """Absolute errors, squared errors, targets and squared targets, each summed over examples, in a row."""
        true = _rows(target).double()
        error = _rows(output.detach()).double() - true
        return torch.cat([error.abs().sum(0), error.square().sum(0), true.sum(0), true.square().sum(0)])

    def metrics(self, counts: Tensor, examples: float) -> Metrics:
        """Root mean squared error, mean absolute error, and R2: the share of the targets' variance that is explained.

        R2 is averaged over the numbers, weighted by their variances. It is 0 where targets do not vary.
        """
        absolute, squared, total, squares = counts.view(4, -1)
        variance = float((squares - total.square() / examples).sum())
        numbers = examples * len(absolute)
        return {
            "rmse": (float(squared.sum()) / numbers) ** 0.5,
            "mae": float(absolute.sum()) / numbers,
            "r2": 1 - float(squared.sum()) / variance if variance > 0 else 0.0,
        }

    def check(self, output: Tree, target: Tree) -> None:
        """Raises ``UserError`` unless the network gives as many numbers as an example has."""
        self.check_targets(target)
        rows = _rows(output) if isinstance(output, Tensor) and output.dim() != 2 else output
        check_output("regression", rows, tuple(_rows(target).shape), "examples, numbers")

    def check_targets(self, targets: Tree) -> None:
        """Raises ``UserError`` unless targets are finite real numbers."""
        if not isinstance(targets, Tensor):
            raise UserError(f"--objective regression: expected a tensor of targets, got {type(targets).__name__}")
        if not targets.is_floating_point():
            raise UserError(f"--objective regression: expected targets of real numbers, got {targets.dtype}")
        if not bool(targets.isfinite().all()):
            raise UserError("--objective regression: expected finite targets, got NaN or infinity")


def _rows(numbers: Tensor) -> Tensor:
    """The numbers of each example in a row."""
    return numbers.reshape(len(numbers), -1)
