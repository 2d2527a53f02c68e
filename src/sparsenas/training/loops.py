"""The two training loops: a supernet under a method, and one plain network."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sparsenas.core.gate import set_gates
from sparsenas.data import Data, Images, Split, Target, blended, cutout
from sparsenas.distributed.collectives import average_gradients, rank, rank_slice, world
from sparsenas.distributed.sync_batch_norm import SYNCED
from sparsenas.errors import UserError
from sparsenas.methods import Method
from sparsenas.nn.auxiliary_head import Output, WithAuxiliary
from sparsenas.nn.blocks import set_drop_path
from sparsenas.nn.depthwise_grad import DEPTHWISE
from sparsenas.nn.function_overrides import FunctionOverrides
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.logger import Bar, RunLogger
from sparsenas.rundir.seeds import seed_of
from sparsenas.training.arch_optimizer import ArchOptimizer, Follower
from sparsenas.training.metrics import Epoch
from sparsenas.training.recipe import Recipe

VAL_ORDER = "held-out order"


def _tell(logger: RunLogger, bar: Bar, stage: str, step: int, optimizer: Optimizer, record: Mapping[str, Any]) -> None:
    """Keeps and shows the figures of an epoch."""
    logger.record(stage, step=step, lr=optimizer.param_groups[0]["lr"], **record)
    rate = f"{record['images_per_s']:,.0f} images/s"
    bar.advance(f"loss {record['loss']:.3f}  accuracy {record['accuracy']:.3f}  {rate}")


def _step(fabric: Fabric, model: Any, optimizer: Optimizer, loss: Tensor, recipe: Recipe) -> None:
    fabric.backward(loss)
    average_gradients(model.parameters(), alike=not recipe.own_paths)
    if recipe.clip_value > 0:
        fabric.clip_gradients(model, optimizer, clip_val=recipe.clip_value)
    if recipe.clip > 0:
        fabric.clip_gradients(model, optimizer, max_norm=recipe.clip, error_if_nonfinite=False)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _set_lr(optimizer: Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def _output(model: nn.Module, data: Data, batch: Split, recipe: Recipe, epoch: int) -> tuple[Output, Target]:
    x = data.inputs(batch.images, recipe.augment, recipe.size_at(epoch))
    x = cutout(x, recipe.cutout) if recipe.cutout > 0 else x
    x, target = blended(x, batch.labels, recipe.mixup, recipe.cutmix)
    norms = SYNCED if world() > 1 and not recipe.own_paths else {}
    replaced = {**norms, **(DEPTHWISE if x.device.type == "cpu" else {})}
    with FunctionOverrides(replaced) if replaced else nullcontext():  # it takes every call through Python
        return model(x), target


def _steps(split: Images, recipe: Recipe) -> int:
    """The steps of an epoch. Raises ``UserError`` when the processes cannot share a batch evenly."""
    size = min(recipe.batch, len(split))
    if size % world() > 0:
        raise UserError(f"recipe: expected a batch that {world()} processes can share evenly, got {size}")
    return len(split) // size


def _trainee(fabric: Fabric, net: nn.Module, recipe: Recipe) -> tuple[nn.Module, nn.Module, Optimizer]:
    """What is trained (the network, with an auxiliary head if asked for), as Fabric runs it, and its optimizer."""
    whole = net
    if recipe.auxiliary > 0:
        whole = WithAuxiliary(net).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model = fabric.setup_module(whole)  # before the optimizer, whose state is of the type and on the device of weights
    return whole.train(), model, cast(Optimizer, fabric.setup_optimizers(recipe.optimizer(whole)))


def _loss(model: nn.Module, data: Data, batch: Split, recipe: Recipe, epoch: int) -> Tensor:
    output, target = _output(model, data, batch, recipe, epoch)
    return recipe.loss(output, *target)


def train_supernet(
    fabric: Fabric,
    net: nn.Module,
    method: Method,
    data: Data,
    recipe: Recipe,
    seed: int,
    logger: RunLogger,
    checkpoint: Checkpoint,
) -> None:
    """Trains the shared weights, each step under the gates that ``method`` proposes, and what the method itself learns.

    Weights the gates leave out get no gradient, so SGD leaves them and their momentum alone. All randomness of a step
    follows from the seed and the numbers of the step and the process; the method's own is in its state. A method in one
    stage trains on the held-out images too: nothing is selected by them. Several processes share every batch, under the
    same path and with the batch norm statistics of the whole batch.
    Raises ``UserError`` when the loss is no longer finite.
    """
    stage, learning = checkpoint.stage, ArchOptimizer(fabric, method)
    split = data.train_val if method.one_stage else data.train
    whole, model, optimizer = _trainee(fabric, net, recipe)
    epoch, follower, steps = Epoch(stage, recipe), Follower(optimizer, whole), _steps(split, recipe)
    parts = {"net": whole, "optimizer": follower, "method": method, "epoch": epoch, **learning.parts()}
    checkpoint.restore(parts)
    logger.rewind(stage, epoch.number)
    with logger.bar(stage, recipe.epochs, epoch.number) as bar:
        while (number := epoch.number) < recipe.epochs:
            first, since = number * steps, learning.settle(net, recipe.epochs)
            set_drop_path(net, recipe.drop_path_at(number, since))
            asked = learning.batches(data.val, recipe.batch, seed_of(seed, stage, VAL_ORDER, number), epoch.asked)
            batches = split.shuffled(recipe.batch, seed_of(seed, stage, "order", number), rank_slice(), epoch.steps)
            for step, batch in enumerate(batches, first + epoch.steps):
                torch.manual_seed(seed_of(seed, stage, step) + rank())
                _set_lr(optimizer, recipe.lr_at(step, recipe.epochs * steps, since * steps))
                if learning.apart and method.takes_arch_step(number, step):
                    set_gates(net, method.gates())
                    learning.bilevel_step(_loss(model, data, next(asked), recipe, number))
                    epoch.asked += 1
                epoch.paths.append(learning.run(net, recipe.own_paths))
                loss = epoch.loss(*_output(model, data, batch, recipe, number))
                _step(fabric, model, optimizer, loss, recipe)
                learning.joint_step()
                checkpoint.save_within(step, parts)
            record = epoch.end()
            if learning.end_epoch(number, follower):
                epoch.number = recipe.epochs  # so that nothing more is trained after a kill either
            _tell(logger, bar, stage, first + steps, optimizer, {**record, **method.facts()})
            checkpoint.save(parts)


def train_network(
    fabric: Fabric,
    net: nn.Module,
    data: Data,
    split: Images,
    recipe: Recipe,
    seed: int,
    logger: RunLogger,
    checkpoint: Checkpoint,
) -> None:
    """Trains one plain network on ``split``; its weights are the moving average's where the recipe has one.

    Raises ``UserError`` when the loss is no longer finite.
    """
    stage = checkpoint.stage
    whole, model, optimizer = _trainee(fabric, net, recipe)
    decay = get_ema_multi_avg_fn(recipe.ema)
    average = AveragedModel(net, multi_avg_fn=decay, use_buffers=True) if recipe.ema > 0 else None
    epoch = Epoch(stage, recipe)
    parts = {"net": whole, "optimizer": optimizer, "epoch": epoch} | ({} if average is None else {"average": average})
    checkpoint.restore(parts)
    steps = _steps(split, recipe)
    logger.rewind(stage, epoch.number)
    with logger.bar(stage, recipe.epochs, epoch.number) as bar:
        while (number := epoch.number) < recipe.epochs:
            first = number * steps
            set_drop_path(net, recipe.drop_path_at(number))
            batches = split.shuffled(recipe.batch, seed_of(seed, stage, "order", number), rank_slice(), epoch.steps)
            for step, batch in enumerate(batches, first + epoch.steps):
                torch.manual_seed(seed_of(seed, stage, step) + rank())
                _set_lr(optimizer, recipe.lr_at(step, recipe.epochs * steps))
                loss = epoch.loss(*_output(model, data, batch, recipe, number))
                _step(fabric, model, optimizer, loss, recipe)
                if average is not None:
                    average.update_parameters(net)
                checkpoint.save_within(step, parts)
            _tell(logger, bar, stage, first + steps, optimizer, epoch.end())
            checkpoint.save(parts)
    if average is not None:
        net.load_state_dict(average.module.state_dict())
    net.eval()
