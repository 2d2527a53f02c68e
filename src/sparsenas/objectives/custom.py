"""An objective from a loss function alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from sparsenas.nn.tree import Tree
from sparsenas.objectives.objective import Objective


class LossObjective(Objective):
    """A user's loss, a function of output and target that returns the mean over a batch. Its value is the score."""

    def __init__(self, function: Callable[[Tree, Tree], Tensor], outputs: int = 0) -> None:
        self.function, self.outputs = function, outputs

    def loss(self, output: Tree, target: Tree) -> Tensor:
        """The user's loss."""
        return self.function(output, target)


def is_loss(make: Callable[..., Any]) -> bool:
    """Whether a callable is a loss, which needs an output and a target; not a class or function that makes one."""
    if inspect.isclass(make):
        return False
    return sum(p.default is p.empty for p in inspect.signature(make).parameters.values()) == 2
