"""The metrics of a network on a set of examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sparsenas.data import Data, Examples
from sparsenas.nn.tree import Tree, call
from sparsenas.objectives import Metrics, Objective

BATCH = 500


class Evaluated(NamedTuple):
    """The result of an evaluation."""

    metrics: Metrics
    confusion: Tensor | None
    """Counts by true class (rows) and predicted class (columns), where the objective has them."""


def evaluate(net: nn.Module, data: Data, split: Examples, objective: Objective) -> Evaluated:
    """The metrics of a network in eval mode."""
    net.eval()
    return evaluate_function(lambda x: call(net, x), data, split, objective)


@torch.no_grad()
def evaluate_function(forward: Callable[[Tree], Tree], data: Data, split: Examples, objective: Objective) -> Evaluated:
    """The metrics of any function from inputs to outputs. Examples that had to be skipped are not counted."""
    sums: Tensor | None = None
    confusion: Tensor | None = None
    for part in split.batches(BATCH):
        output = forward(data.prepared(part.inputs))
        batch, counts = objective.sums(output, part.targets), objective.confusion(output, part.targets)
        sums = batch if sums is None else sums + batch
        confusion = counts if confusion is None or counts is None else confusion + counts
    assert sums is not None, "expected at least one example"
    return Evaluated(objective.result(sums), confusion)


@torch.no_grad()
def evaluate_batches(net: nn.Module, batches: Iterable[tuple[Tree, Tree]], objective: Objective) -> Metrics:
    """The metrics of a network in eval mode on batches of prepared inputs with their targets."""
    net.eval()
    return objective.result(sum((objective.sums(call(net, x), target) for x, target in batches), torch.zeros(())))
