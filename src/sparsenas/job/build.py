"""The data set and the space that plug-ins name."""

from __future__ import annotations

from torch import nn

from sparsenas.data import Data
from sparsenas.errors import UserError
from sparsenas.job.plugin import Plugin


def build_data(data: Plugin, seed: int) -> Data:
    """Calls the data set with the seed of its split. Raises ``UserError``."""
    images = data.build("data", seed=seed)
    if not isinstance(images, Data):
        raise UserError(f"--data {data.name}: expected it to return a sparsenas.data.Data, got {type(images).__name__}")
    return images


def build_space(space: Plugin, data: Data) -> nn.Module:
    """Calls the space, with the shape and classes of the data where it takes them. Raises ``UserError``."""
    net = space.build("space", shape=data.shape, classes=len(data.classes))
    if not isinstance(net, nn.Module):
        raise UserError(f"--space {space.name}: expected it to return an nn.Module, got {type(net).__name__}")
    return net
