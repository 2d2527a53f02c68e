"""What a network learns from in a step: the targets, a teacher, or a larger architecture of the same supernet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from sparsenas.core.gate import Gates, set_gates
from sparsenas.data import Target
from sparsenas.nn.tree import Tree, map_tensors
from sparsenas.training.loss import distillation, main_output

if TYPE_CHECKING:
    from sparsenas.training.trainer import Trainer

Lesson: TypeAlias = "Callable[[Trainer, Tree, Target, bool], Iterator[Tensor]]"
"""The losses of a batch, from its inputs and targets. The backward pass of each comes before the next one is computed,
so that one graph at a time is in memory. The last argument tells whether the batch belongs to the step of the last."""


def from_targets(trainer: Trainer, x: Tree, target: Target, same_step: bool) -> Iterator[Tensor]:
    """The network learns from the targets."""
    yield trainer.epoch.loss(trainer.output(x), target, same_step=same_step)


def from_teacher(teacher: Callable[[Tree], Tree]) -> Lesson:
    """The network learns from the targets and from a teacher, a function from inputs to outputs."""

    def losses(trainer: Trainer, x: Tree, target: Target, same_step: bool) -> Iterator[Tensor]:
        with torch.no_grad():
            taught = teacher(x)
        yield trainer.epoch.loss(trainer.output(x), target, taught, same_step)

    return losses


def sandwich(paths: Sequence[Gates]) -> Lesson:
    """The sandwich rule (Yu and Huang, ICCV 2019) with distillation in place.

    The first path, that of the largest architecture, learns from the targets, the others from its outputs. All
    gradients are added up.
    """

    def losses(trainer: Trainer, x: Tree, target: Target, same_step: bool) -> Iterator[Tensor]:
        first, *others = paths
        set_gates(trainer.net, first)
        output: Any = trainer.output(x)
        taught = map_tensors(Tensor.detach, main_output(output))
        yield trainer.epoch.loss(output, target, same_step=same_step)
        for path in others:
            set_gates(trainer.net, path)
            yield distillation(trainer.objective, trainer.recipe, trainer.output(x), taught)

    return losses
