"""One step of a training: forward pass, backward pass and update of the weights."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.optim import Optimizer

from sparsenas.data import Data, Split, Target, blended, cutout, erased, rand_augment
from sparsenas.distributed.collectives import average_gradients, world
from sparsenas.distributed.sync_batch_norm import SYNCED
from sparsenas.nn.cpu_conv import CPU_CONVOLUTIONS
from sparsenas.nn.function_overrides import FunctionOverrides
from sparsenas.nn.tree import Tree
from sparsenas.training.recipe import Recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def augmented(data: Data, recipe: Recipe) -> Data:
    """The data with what the recipe adds to their augmentation."""
    if recipe.rand_augment <= 0:
        return data
    own, more = data.augment, rand_augment(recipe.rand_augment, data.shape[0])
    return replace(data, augment=more if own is None else lambda x: more(own(x)))


def inputs(data: Data, batch: Split, recipe: Recipe, epoch: int) -> tuple[Tree, Target]:
    """The input for a batch of examples, augmented as the recipe says, and the targets of the output."""
    x = data.prepared(batch.inputs, recipe.augment, recipe.size_at(epoch))
    x = erased(x, recipe.erase) if recipe.erase > 0 else x
    x = cutout(x, recipe.cutout) if recipe.cutout > 0 else x
    x, target = blended(x, batch.targets, recipe.mixup, recipe.cutmix)
    return (x if target.others is None else data.laid_out(x)), target


def overrides(device: torch.device, recipe: Recipe) -> AbstractContextManager[object]:
    """Right, fast gradients on processors; several processes on the same path share the statistics of batch norms."""
    norms = SYNCED if world() > 1 and not recipe.own_paths else {}
    replaced = {**norms, **(CPU_CONVOLUTIONS if device.type == "cpu" else {})}
    return FunctionOverrides(replaced) if replaced else nullcontext()  # it takes every call through Python


def parts(batch: Split, size: int) -> list[Split]:
    """A batch in as few parts as possible that have at most ``size`` examples, about equally large."""
    chunks = torch.arange(len(batch), device=batch.device).tensor_split(max(1, -(-len(batch) // size)))
    return [batch] if len(chunks) == 1 else [batch.subset(chunk) for chunk in chunks]


def update(fabric: Fabric, model: nn.Module, optimizer: Optimizer, recipe: Recipe, clips_values: bool = True) -> None:
    """One step of the optimizer on the gradients that are there, averaged over processes and clipped."""
    average_gradients(model.parameters(), alike=not recipe.own_paths)
    if recipe.clip_value > 0 and clips_values:
        fabric.clip_gradients(model, optimizer, clip_val=recipe.clip_value)
    if recipe.clip > 0:
        fabric.clip_gradients(model, optimizer, max_norm=recipe.clip, error_if_nonfinite=False)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
