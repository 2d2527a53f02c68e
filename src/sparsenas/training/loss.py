"""The training loss: that of the objective, of blended inputs and of an auxiliary head too."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sparsenas.data import Target
from sparsenas.nn.auxiliary_head import Outputs
from sparsenas.objectives import Objective
from sparsenas.training.recipe import Recipe


def main_output(output: Any) -> Any:
    """The output of the network, without its auxiliary head's."""
    return output.main if isinstance(output, Outputs) else output


def training_loss(objective: Objective, recipe: Recipe, output: Any, target: Target) -> Tensor:
    """The mean loss of a batch, from the output of a network or from that and its auxiliary head's.

    Of blended inputs, ``targets`` have the weight ``share`` and ``others`` have the rest.
    """
    if isinstance(output, Outputs):
        main, auxiliary = (training_loss(objective, recipe, one, target) for one in output)
        return main + recipe.auxiliary * auxiliary
    targets, others, share = target
    loss = objective.training_loss(output, targets, recipe.smoothing)
    if others is None:
        return loss
    return share * loss + (1 - share) * objective.training_loss(output, others, recipe.smoothing)
