"""What both training loops do: epochs, batches, steps, records and checkpoints."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sparsenas.data import Data, Examples, Split, Target
from sparsenas.data.finite import not_finite
from sparsenas.distributed.collectives import rank, rank_slice, world
from sparsenas.errors import UserError
from sparsenas.nn.auxiliary_head import Deep, WithAuxiliary
from sparsenas.nn.blocks import set_drop_path
from sparsenas.nn.tree import Tree, arguments, device_of
from sparsenas.objectives import Objective
from sparsenas.objectives.words import metric_words
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.log import EpochEnd
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.seeds import seed_of
from sparsenas.training.arch_optimizer import PrunableOptimizer
from sparsenas.training.epoch import Epoch
from sparsenas.training.loss import training_loss
from sparsenas.training.optimizers import make_optimizer
from sparsenas.training.recipe import Recipe
from sparsenas.training.step import augmented, inputs, overrides, parts, update

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Lesson: TypeAlias = Callable[[Tree, Target, bool], Iterator[Tensor]]
"""The losses of a batch, from its inputs and targets. The backward pass of each comes before the next one is computed,
so that one graph at a time is in memory. The last argument tells whether the batch belongs to the step of the last."""
SUPERNET = "supernet"
"""The stage whose flags are those of the search."""


class Trainer:
    """The training of the weights of one network, supernet or plain.

    All randomness of a step follows from the seed and the numbers of the step and the process. The examples of a
    batch are shared among the processes.
    """

    def __init__(
        self,
        fabric: Fabric,
        net: nn.Module,
        data: Data,
        objective: Objective,
        split: Examples,
        recipe: Recipe,
        seed: int,
        logger: RunLogger,
        checkpoint: Checkpoint,
    ) -> None:
        """Raises ``UserError`` when the recipe does not fit the network or the number of processes."""
        self.fabric, self.data, self.objective, self.split = fabric, augmented(data, recipe), objective, split
        self.recipe = recipe
        self.seed, self.logger, self.checkpoint, self.stage = seed, logger, checkpoint, checkpoint.stage
        self.net = net
        self.whole = net
        """What is trained: the network, with an auxiliary head if the recipe has one."""
        flag = f"--{'search' if self.stage == SUPERNET else 'retrain'}"
        if recipe.auxiliary > 0:
            if not isinstance(net, Deep):
                raise UserError(f"{flag}.auxiliary: expected 0 for {type(net).__name__}, got {recipe.auxiliary:g}")
            self.whole = data.laid_out_weights(WithAuxiliary(net))
        # Before the optimizer, whose state is of the type and on the device of the weights.
        self.model = fabric.setup_module(self.whole)
        self.optimizer = cast(Optimizer, fabric.setup_optimizers(make_optimizer(recipe, self.whole.train())))
        self.prunable = PrunableOptimizer(self.optimizer, self.whole)
        self.epoch, self.steps = (
            Epoch(self.stage, recipe, objective, partial(not_finite, split)),
            _steps(split, recipe, flag),
        )
        self.parts: dict[str, Any] = {"net": self.whole, "optimizer": self.prunable, "epoch": self.epoch}

    @contextmanager
    def resumed(self, parts: Mapping[str, Any]) -> Iterator[None]:
        """Continues from the checkpoint, if there is one, and shows progress; ``parts`` are checkpointed as well."""
        self.parts |= parts
        self.checkpoint.restore(self.parts)
        self.logger.rewind(self.stage, self.epoch.number)
        done = self.epoch.number + self.epoch.steps / self.steps
        with self.logger.bar(self.stage, self.recipe.epochs, done) as self.bar:
            yield

    def epochs(self) -> Iterator[int]:
        """The numbers of the epochs that are not done."""
        while self.epoch.number < self.recipe.epochs:
            yield self.epoch.number

    def batches(self, since: int = 0) -> Iterator[tuple[int, Split]]:
        """The rest of the epoch: number of the step, counted from the first epoch, and batch.

        Schedules begin in epoch ``since``.
        """
        number, recipe, steps = self.epoch.number, self.recipe, self.steps
        set_drop_path(self.net, recipe.drop_path_at(number, since))
        size = recipe.batch * recipe.accumulate
        batches = self.split.shuffled(size, self.seed_of("order", number), rank_slice(), self.epoch.steps)
        for step, batch in enumerate(batches, number * steps + self.epoch.steps):
            torch.manual_seed(self.seed_of(step) + rank())
            for group in self.optimizer.param_groups:
                group["lr"] = recipe.lr_at(step, recipe.epochs * steps, since * steps)
            yield step, batch
            self.checkpoint.save_within(step, self.parts)
            self.bar.within(self.epoch.steps / steps, lambda: self.epoch.progress(steps))

    def seed_of(self, *purpose: str | int) -> int:
        """A seed of this stage."""
        return seed_of(self.seed, self.stage, *purpose)

    def inputs(self, batch: Split) -> tuple[Tree, Target]:
        """The input for a batch, augmented as the recipe says, and the targets to compare the output with."""
        return inputs(self.data, batch, self.recipe, self.epoch.number)

    def output(self, x: Tree) -> Any:
        """The output of what is trained."""
        args, kwargs = arguments(self.whole, x)
        with overrides(device_of(x), self.recipe):
            return self.model(*args, **kwargs)

    def loss(self, batch: Split) -> Tensor:
        """The training loss of a batch, which is not counted."""
        x, target = self.inputs(batch)
        return training_loss(self.objective, self.recipe, self.output(x), target)

    def step(self, batch: Split, lesson: Lesson, pretraining: bool = False) -> None:
        """One step of the weights on the mean gradient of the parts of a batch."""
        pieces, weight = parts(batch, max(1, self.recipe.batch // world())), self.objective.weight
        for i, part in enumerate(pieces):
            x, target = self.inputs(part)
            share = 1 if part is batch else weight(part.targets) / weight(batch.targets)
            for loss in lesson(x, target, i > 0):
                # What the parts share, the gates, is kept for the next one.
                self.fabric.backward(share * loss, retain_graph=i < len(pieces) - 1)
        update(self.fabric, self.model, self.optimizer, self.recipe, clips_values=not pretraining)

    def calibration(self) -> Iterator[Tree]:
        """Inputs as in the last epoch, as many as the recipe recalibrates batch norm on, in whole batches."""
        size, rounds = min(self.recipe.batch, len(self.split)), itertools.count()
        batches = (
            batch
            for number in rounds
            for batch in self.split.shuffled(size, self.seed_of("recalibration", number), rank_slice())
        )
        for step in range(max(1, self.recipe.recalibrate // size)):
            torch.manual_seed(self.seed_of("recalibration", "step", step) + rank())
            yield inputs(self.data, next(batches), self.recipe, self.recipe.epochs - 1)[0]

    def restart_optimizer(self) -> None:
        """Lets the optimizer begin anew: no momentum, no moments."""
        state = self.optimizer.state
        state.clear()
        state.update(make_optimizer(self.recipe, self.whole).state)

    def end_epoch(
        self, record: Mapping[str, Any], method: Mapping[str, Any] | None = None, converged: bool = False
    ) -> None:
        """Records and shows the results of an epoch, with figures of the method; ``converged`` ends the training."""
        if converged:
            self.epoch.number = self.recipe.epochs  # so that nothing more is trained after a kill either
        step, lr = (record["epoch"] + 1) * self.steps, self.optimizer.param_groups[0]["lr"]
        self.logger.record(EpochEnd(stage=self.stage, step=step, lr=lr, method=dict(method or {}), **record))
        metrics = reversed(record["metrics"].items())
        told = "  ".join(f"training {metric_words(name)} {value:.3f}" for name, value in metrics)
        self.bar.advance(f"{told}  {record['examples_per_s']:,.0f} examples/s")
        self.checkpoint.save(self.parts)


def _steps(split: Examples, recipe: Recipe, flag: str) -> int:
    """The steps of an epoch. Raises ``UserError`` when the processes cannot share a batch evenly."""
    size = min(recipe.batch * recipe.accumulate, len(split))
    if size % world() > 0:
        raise UserError(f"{flag}.batch: expected a multiple of the number of processes, {world()}, got {size}")
    return len(split) // size
