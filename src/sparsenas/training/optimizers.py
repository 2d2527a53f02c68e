"""The optimizer of a network's weights, and which of them decay."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD, Optimizer

from sparsenas.core.elastic import SliceBatchNorm2d
from sparsenas.core.quant_choice import alphas
from sparsenas.training.optimizer_names import optimizer_class, plain
from sparsenas.training.recipe import Recipe


def make_optimizer(recipe: Recipe, net: nn.Module) -> Optimizer:
    """The optimizer of a network, which must be on its device by now.

    Parameters without gradient are not touched by a step.
    """
    decaying = {id(p) for p in _decaying(net, recipe)}
    decayed = [p for p in net.parameters() if id(p) in decaying]
    others = [p for p in net.parameters() if id(p) not in decaying]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    fusible = all(p.device.type == "cpu" and not p.is_complex() for p in net.parameters())
    make, momentum = optimizer_class(recipe.optimizer), recipe.momentum
    if make is not SGD:
        fused = {"fused": True} if fusible and "fused" in inspect.signature(make).parameters else {}
        return make(groups, lr=recipe.lr, **fused, **plain(recipe.optimizer_args))
    nesterov = recipe.nesterov and momentum > 0
    optimizer = SGD(groups, lr=recipe.lr, momentum=momentum, nesterov=nesterov, fused=fusible, foreach=not fusible)
    if momentum > 0:
        # The buffers that SGD makes at a weight's first gradient. Fused SGD needs those of all weights or of none.
        optimizer.state.update({p: {"momentum_buffer": torch.zeros_like(p)} for p in net.parameters()})
    return optimizer


def _decaying(net: nn.Module, recipe: Recipe) -> Iterator[Tensor]:
    """The parameters that decay; the clipping levels of activation quantizers always do, as in PACT."""
    yield from alphas(net)
    for module in net.modules():
        scales = isinstance(module, _BatchNorm | SliceBatchNorm2d) and recipe.decay == "scales"
        for name, parameter in module.named_parameters(recurse=False):
            if recipe.decay == "all" or parameter.dim() > 1 or (scales and name == "weight"):
                yield parameter
