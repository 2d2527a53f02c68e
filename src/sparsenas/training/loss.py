"""The training loss: that of the objective, of blended inputs, of an auxiliary head and of a teacher."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sparsenas.data import Target
from sparsenas.nn.auxiliary_head import Outputs
from sparsenas.nn.tree import Tree, map_tensors
from sparsenas.objectives import Objective
from sparsenas.training.recipe import Recipe


def main_output(output: Any) -> Any:
    """The output of the network, without its auxiliary head's."""
    return output.main if isinstance(output, Outputs) else output


def training_loss(
    objective: Objective, recipe: Recipe, output: Any, target: Target, teacher: Tree | None = None
) -> Tensor:
    """The mean loss of a batch, from the output of a network or from that and its auxiliary head's.

    Of blended inputs, ``targets`` have the weight ``share`` and ``others`` have the rest. With the output of a
    ``teacher``, the loss against it has the weight that the recipe says.
    """
    if isinstance(output, Outputs):
        main, auxiliary = (training_loss(objective, recipe, one, target, teacher) for one in output)
        return main + recipe.auxiliary * auxiliary
    targets, others, share = target
    loss = objective.training_loss(output, targets, recipe.smoothing)
    if others is not None:
        loss = share * loss + (1 - share) * objective.training_loss(output, others, recipe.smoothing)
    if teacher is None:
        return loss
    weight = recipe.distill_weight
    return (1 - weight) * loss + weight * distillation(objective, recipe, output, teacher)


def distillation(objective: Objective, recipe: Recipe, output: Tree, teacher: Tree) -> Tensor:
    """The mean loss of an output against that of a teacher, both divided by the recipe's temperature T.

    It is multiplied by T squared, so that the size of the gradients does not depend on T (Hinton et al., 2015).
    """
    temperature = recipe.distill_temperature
    output, teacher = (map_tensors(lambda leaf: leaf / temperature, main_output(one)) for one in (output, teacher))
    return temperature**2 * objective.distillation(output, teacher)
