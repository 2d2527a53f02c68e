"""The data set, the objective and the space that plug-ins name."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from sparsenas.core.derive import check_derivable
from sparsenas.data import DATA, Data, as_data
from sparsenas.data.preprocessing import Preprocessing
from sparsenas.errors import UserError
from sparsenas.job.plugin import Plugin
from sparsenas.nn.clone import deep_copy
from sparsenas.nn.tree import shapes, tensors
from sparsenas.objectives import LossObjective, Objective, is_loss
from sparsenas.opening.opened import OpenedNetwork
from sparsenas.spaces import Bridge

ANY = Preprocessing()
"""Images that may be any."""


def build_data(data: Plugin, seed: int, wanted: Preprocessing = ANY) -> Data:
    """Calls the data set with the seed of its split; any data object may come back.

    A built-in one has the size of images that a trained network wants, unless another is given. Images that are
    normalised are so as it wants. Raises ``UserError``.
    """
    known = data.callable("data") in DATA.values()
    made = data.build("data", seed=seed, **(wanted.flags(data.flags) if known else {}))
    try:
        found = as_data(made, seed)
    except UserError as error:
        raise UserError(f"--data {data.name}: {error}") from error
    for name, part in (("training", found.train), ("validation", found.val), ("test", found.test)):
        if len(part) == 0:
            raise UserError(f"--data {data.name}: expected at least one {name} example, got none")
    return wanted.applied(found)


def preprocessing(space: Plugin) -> Preprocessing:
    """The images that a trained network of another library wants; those of any other space may be any."""
    make = space.callable("space")
    return make.preprocessing(space.flags.get("args", {})) if isinstance(make, Bridge) else ANY


def build_objective(objective: Plugin, data: Data) -> Objective:
    """Calls the objective, with the number of classes and of targets of the data where it takes them.

    A function of an output and a target is a loss. Raises ``UserError``.
    """
    given = {"classes": len(data.classes), "outputs": _numbers(data)}
    make = objective.callable("objective")
    built = LossObjective(make) if is_loss(make) else objective.build("objective", **given)
    built = LossObjective(built) if isinstance(built, nn.Module) and is_loss(built.forward) else built
    if not isinstance(built, Objective):
        raise UserError(
            f"--objective {objective.name}: expected a sparsenas.Objective, a function that returns one, "
            f"or a loss of output and target, got {type(built).__name__}"
        )
    if built.outputs == 0:
        built = copy.copy(built)
        built.outputs = given["classes"] or given["outputs"]
    return built


def _numbers(data: Data) -> int:
    """How many numbers the target of an example has."""
    known = data.train.targets
    targets = next(data.train.batches(1)).targets if known is None else known
    return sum(max(1, leaf[0].numel()) for leaf in tensors(targets)) or 1


def build_space(space: Plugin, data: Data, outputs: int) -> nn.Module:
    """Calls the space, with the shape of the data and the number of outputs where it takes them.

    The number of outputs is its argument ``classes``. Floating-point numbers become floats of
    32 bits. A plain network is opened once; later calls return copies. Raises ``UserError``.
    """
    key = f"{dict(space.flags)} {shapes(data.example)} {outputs}"
    if key not in space.opened:
        net = _checked(space, space.build("space", shape=data.shape, classes=outputs))
        if not isinstance(net, OpenedNetwork):
            return net
        space.opened[key] = net
    return deep_copy(space.opened[key])


def _checked(space: Plugin, net: Any) -> nn.Module:
    """What a space has built, as floats. Raises ``UserError`` where it is no network that can be searched."""
    if not isinstance(net, nn.Module):
        raise UserError(f"--space {space.name}: expected it to return an nn.Module, got {type(net).__name__}")
    try:
        check_derivable(net)
    except UserError as error:
        raise UserError(f"--space {space.name}: {error}") from error
    floats = {p.dtype for p in net.parameters() if p.is_floating_point()} - {torch.float32}
    return net.float() if floats else net
