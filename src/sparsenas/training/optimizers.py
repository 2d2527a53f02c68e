"""Optimizers: those of torch.optim by name, and which parameters decay."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD, Optimizer

from sparsenas.core.elastic import SliceBatchNorm2d
from sparsenas.core.quant_choice import alphas
from sparsenas.errors import UserError, first_line

if TYPE_CHECKING:
    from sparsenas.training.recipe import Recipe

Rule: TypeAlias = Literal["weights", "scales", "all"]
"""Which parameters decay."""
UNUSABLE = {
    "lbfgs": "it computes the loss several times in a step",
    "muon": "it takes matrices only",
    "rprop": "it needs the gradients of all examples",
    "sparseadam": "it takes sparse gradients only",
}
"""Optimizers that cannot train a network batch by batch."""
OWN = {"params", "lr", "weight_decay", "maximize", "foreach", "fused", "capturable", "differentiable"}
"""Parameters of optimizers that have flags of their own, or would change nothing but the speed."""
ERRORS = (ValueError, TypeError, RuntimeError, AttributeError, KeyError, AssertionError)


def optimizer_class(name: str) -> Callable[..., Optimizer]:
    """A class of torch.optim by its name, in small letters or not. Raises ``UserError``."""
    classes = [c for c in vars(torch.optim).values() if inspect.isclass(c) and issubclass(c, Optimizer)]
    known = {c.__name__.lower(): c for c in classes if c is not Optimizer}
    reason = UNUSABLE.get(name.lower())
    if reason is not None or name.lower() not in known:
        usable = ", ".join(sorted(known.keys() - UNUSABLE.keys()))
        raise UserError(f"optimizer: expected one of {usable}, got {name}" + (f": {reason}" if reason else ""))
    return known[name.lower()]


def check_optimizer(name: str, arguments: Mapping[str, Any]) -> None:
    """Raises ``UserError`` for an unknown optimizer, or arguments that it does not take."""
    make = optimizer_class(name)
    takes = [] if make is SGD else [n for n in inspect.signature(make).parameters if n not in OWN]
    for unknown in [given for given in arguments if given not in takes]:
        told = ", ".join(takes) or "none, whose flags are momentum and nesterov"
        raise UserError(f"optimizer_args: expected arguments of {name}, {told}, got {unknown}")
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.zeros(2)
    try:
        if arguments:
            make([weight], lr=0.1, **_plain(arguments)).step()
    except ERRORS as error:
        raise UserError(f"optimizer_args: {name} does not take {dict(arguments)}: {first_line(error)}") from error


def make_optimizer(recipe: Recipe, net: nn.Module) -> Optimizer:
    """The optimizer of a network, which must be on its device by now.

    Parameters without gradient are not touched by a step.
    """
    decaying = {id(p) for p in _decaying(net, recipe.decay)}
    decayed = [p for p in net.parameters() if id(p) in decaying]
    others = [p for p in net.parameters() if id(p) not in decaying]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    cpu = all(p.device.type == "cpu" for p in net.parameters())
    make, momentum = optimizer_class(recipe.optimizer), recipe.momentum
    if make is not SGD:
        fused = {"fused": True} if cpu and "fused" in inspect.signature(make).parameters else {}
        return make(groups, lr=recipe.lr, **fused, **_plain(recipe.optimizer_args))
    nesterov = recipe.nesterov and momentum > 0
    optimizer = SGD(groups, lr=recipe.lr, momentum=momentum, nesterov=nesterov, fused=cpu, foreach=not cpu)
    if momentum > 0:
        # The buffers that SGD makes at a weight's first gradient. Fused SGD needs those of all weights or of none.
        optimizer.state.update({p: {"momentum_buffer": torch.zeros_like(p)} for p in net.parameters()})
    return optimizer


def _decaying(net: nn.Module, decay: Rule) -> Iterator[Tensor]:
    """The parameters that decay; the clipping levels of activation quantizers always do, as in PACT."""
    yield from alphas(net)
    for module in net.modules():
        scales = isinstance(module, _BatchNorm | SliceBatchNorm2d) and decay == "scales"
        for name, parameter in module.named_parameters(recurse=False):
            if decay == "all" or parameter.dim() > 1 or (scales and name == "weight"):
                yield parameter


def _plain(value: Any) -> Any:
    """Values as optimizers take them: tuples for lists; ``1e-6`` is text in YAML."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
