"""The optimizers of torch.optim by name, and their arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Optimizer

from sparsenas.errors import UserError, first_line

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
            make([weight], lr=0.1, **plain(arguments)).step()
    except ERRORS as error:
        raise UserError(f"optimizer_args: {name} does not take {dict(arguments)}: {first_line(error)}") from error


def plain(value: Any) -> Any:
    """Values as optimizers take them: tuples for lists; ``1e-6`` is text in YAML."""
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
