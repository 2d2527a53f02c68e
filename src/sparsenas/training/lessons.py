"""What a network learns from in a step: the targets, a teacher, or a larger architecture of the same supernet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from sparsenas.core.gate import Gates, set_gates
from sparsenas.data import Target
from sparsenas.nn.tree import Tree, map_tensors
from sparsenas.training.loss import distillation, main_output
from sparsenas.training.trainer import Lesson, Trainer


def from_targets(trainer: Trainer) -> Lesson:
    """The network learns from the targets."""

    def losses(x: Tree, target: Target, same_step: bool) -> Iterator[Tensor]:
        yield trainer.epoch.loss(trainer.output(x), target, same_step=same_step)

    return losses


def from_teacher(trainer: Trainer, teacher: Callable[[Tree], Tree]) -> Lesson:
    """The network learns from the targets and from a teacher, a function from inputs to outputs."""

    def losses(x: Tree, target: Target, same_step: bool) -> Iterator[Tensor]:
        with torch.no_grad():
            taught = teacher(x)
        yield trainer.epoch.loss(trainer.output(x), target, taught, same_step)

    return losses


def sandwich(trainer: Trainer, paths: Sequence[Gates]) -> Lesson:
    """The sandwich rule (Yu and Huang, ICCV 2019) with distillation in place.

    The first path, that of the largest architecture, learns from the targets, the others from its outputs. All
    gradients are added up.
    """

    def losses(x: Tree, target: Target, same_step: bool) -> Iterator[Tensor]:
        first, *others = paths
        set_gates(trainer.net, first)
        output: Any = trainer.output(x)
        taught = map_tensors(Tensor.detach, main_output(output))
        yield trainer.epoch.loss(output, target, same_step=same_step)
        for path in others:
            set_gates(trainer.net, path)
            yield distillation(trainer.objective, trainer.recipe, trainer.output(x), taught)

    return losses
