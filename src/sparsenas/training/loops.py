"""The two training loops: a supernet under a method, and one plain network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sparsenas.core.gate import Gates, set_gates
from sparsenas.costs.ends import smallest_and_largest
from sparsenas.data import Data, Examples
from sparsenas.methods import Method
from sparsenas.nn.recalibration import recalibrate
from sparsenas.nn.tree import Tree
from sparsenas.objectives import Objective
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.logger import RunLogger
from sparsenas.training.arch_optimizer import ArchOptimizer
from sparsenas.training.lessons import from_targets, from_teacher, sandwich
from sparsenas.training.recipe import Recipe
from sparsenas.training.step import overrides
from sparsenas.training.trainer import Trainer

if TYPE_CHECKING:
    from lightning_fabric import Fabric

VAL_ORDER = "held-out order"
"""Purpose of the seed of the order of validation images. Another word would give another order."""


def train_supernet(
    fabric: Fabric,
    net: nn.Module,
    method: Method,
    data: Data,
    objective: Objective,
    recipe: Recipe,
    seed: int,
    logger: RunLogger,
    checkpoint: Checkpoint,
) -> None:
    """Trains the shared weights, each step under the gates that ``method`` proposes, and the method's parameters.

    Weights that the gates leave out get no gradient, so optimizers leave them and their state alone. A one-stage method
    trains on the validation images too, since nothing is selected by them. All processes run the same path, with the
    batch norm statistics of the whole batch, unless the recipe gives each its own. With distillation, a step trains
    the largest and the smallest architecture of the space, and those that ``method`` proposes.
    Raises ``UserError`` when the loss is no longer finite.
    """
    arch, ends, drawn = ArchOptimizer(fabric, method), list[Gates](), 1
    if recipe.distill:
        smallest, largest = smallest_and_largest(method.limits.table)
        ends, drawn = [largest.gates(), smallest.gates()], recipe.distill_random
    split = data.train_val if method.one_stage else data.train
    trainer = Trainer(fabric, net, data, objective, split, recipe, seed, logger, checkpoint)
    with trainer.resumed({"method": method, **arch.parts()}):
        for epoch in trainer.epochs():
            since, state, start = arch.begin_epoch(net, recipe.epochs), trainer.epoch, method.search_starts_at()
            if epoch == start > 0 == state.steps:
                trainer.restart_optimizer()
            val = arch.batches(data.val, recipe.batch, trainer.seed_of(VAL_ORDER, epoch), state.val_steps)
            for step, batch in trainer.batches(since):
                if arch.bilevel and method.takes_arch_step(epoch, step):
                    set_gates(net, method.gates())
                    arch.bilevel_step(trainer.loss(next(val)))
                    state.val_steps += 1
                paths = [*ends, *(arch.set_gates(net, recipe.own_paths) for _ in range(drawn))]
                state.paths.append(paths[0])
                trainer.step(
                    batch, sandwich(trainer, paths) if ends else from_targets(trainer), pretraining=epoch < start
                )
                arch.joint_step()
            record = state.end()
            converged = arch.end_epoch(epoch, trainer.prunable)
            told = {"figures": method.figures(), "summary": method.summary()}
            trainer.end_epoch({**record, **told}, method.facts(), converged)
    net.float()  # a precision such as 64-true is that of the training alone


def train_network(
    fabric: Fabric,
    net: nn.Module,
    data: Data,
    objective: Objective,
    split: Examples,
    recipe: Recipe,
    seed: int,
    logger: RunLogger,
    checkpoint: Checkpoint,
    teacher: Callable[[Tree], Tree] | None = None,
) -> None:
    """Trains one plain network on ``split``; its weights are the moving average's where the recipe has one.

    It learns from the outputs of a ``teacher`` as well, a function from inputs to outputs. Last, its batch norms are
    recalibrated where the recipe says so.

    Raises ``UserError`` when the loss is no longer finite.
    """
    trainer = Trainer(fabric, net, data, objective, split, recipe, seed, logger, checkpoint)
    average = None
    if recipe.ema > 0:
        average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
    lesson = from_targets(trainer) if teacher is None else from_teacher(trainer, teacher)
    with trainer.resumed({} if average is None else {"average": average}):
        for _ in trainer.epochs():
            for _, batch in trainer.batches():
                trainer.step(batch, lesson)
                if average is not None:
                    average.update_parameters(net)
            trainer.end_epoch(trainer.epoch.end())
    net.float()  # a precision such as 64-true is that of the training alone
    if average is not None:
        net.load_state_dict(average.module.state_dict())
    if recipe.recalibrate > 0:
        with overrides(split.device, recipe):
            recalibrate(net, trainer.calibration())
    net.eval()
