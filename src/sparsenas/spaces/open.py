"""A network of the user's own, or of somebody else's, opened."""

from __future__ import annotations

import inspect
from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sparsenas.errors import UserError, told
from sparsenas.nn.tree import Tree
from sparsenas.opening.importing import import_callable
from sparsenas.opening.opened import OpenedNetwork
from sparsenas.opening.opening import SHARES, Options, opened_with
from sparsenas.opening.weights import load_weights


@dataclass(frozen=True, kw_only=True)
class OpeningFlags(ABC):
    """Flags of every space that opens a plain network."""

    args: dict[str, Any] = field(default_factory=dict)
    """Arguments of what makes the network, such as {depth: 18}; those that follow from the data need none"""
    weights: Path | None = None
    """Its trained weights: a .safetensors file, a .pt file of a state dict, or a folder of the Hugging Face hub"""
    shares: tuple[float, ...] = SHARES
    """Shares of a layer's channels that may be kept"""
    multiple: int = 0
    """Channel numbers are multiples of it; 0 = the largest of 8, 4, 2, 1 that is at most an eighth of the layer's"""
    depth: bool = True
    """Whether residual blocks may be left out"""
    kernels: bool = True
    """Whether kernels of 5 and more may be cut to their middle"""
    groups: bool = False
    """Whether each channel may be cut by itself, as dso needs, instead of choosing among numbers of channels;
    kernels and residual blocks then stay whole"""
    freeze: list[str] = field(default_factory=list)
    """Modules that stay as they are, such as layer1 or 'layer1.*'; may be repeated"""

    def __post_init__(self) -> None:
        self.options()

    def options(self) -> Options:
        """What may vary. Raises ``UserError``."""
        return Options(self.shares, self.multiple, self.depth, self.kernels, self.groups, tuple(self.freeze))


@dataclass(frozen=True, kw_only=True)
class OpenFlags(OpeningFlags):
    """Flags of the space ``open``."""

    net: str = ""
    """The network: package.module:callable, a function or class that returns an nn.Module"""


def open_space(
    shape: tuple[int, ...] | Tree = (3, 32, 32),
    classes: int = 10,
    flags: OpenFlags = OpenFlags(),  # noqa: B008
) -> OpenedNetwork:
    """Opens a plain network: channels, kernels and residual blocks may be cut.

    Args:
        shape: of one input without the batch, or an example.
        classes: number of outputs, for a callable with an argument classes or num_classes.
        flags: the network, its weights, and what may vary.

    Raises ``UserError`` for a network that cannot be built or opened.
    """
    net = _built(flags, shape, classes)
    if flags.weights:
        load_weights(net, str(flags.weights))
    return opened_for(net, shape, flags)


def opened_for(net: nn.Module, shape: tuple[int, ...] | Tree, flags: OpeningFlags) -> OpenedNetwork:
    """A network opened on inputs of a shape, or on an example. Raises ``UserError``."""
    plain = isinstance(shape, tuple | list) and all(isinstance(size, int) for size in shape)
    return opened_with(net, torch.zeros((1, *shape)) if plain else shape, flags.options())


def imported(net: str) -> Callable[..., Any]:
    """What makes the network, by the name that the flag gives. Raises ``UserError``."""
    module, colon, attribute = net.partition(":")
    if not colon:
        raise UserError(f"--space.net: expected package.module:callable, got {net!r}")
    return import_callable("space.net", net, module, attribute)


def _built(flags: OpenFlags, shape: Any, classes: int) -> nn.Module:
    make = imported(flags.net)
    given: Mapping[str, Any] = {"classes": classes, "num_classes": classes, "shape": shape}
    takes = inspect.signature(make).parameters
    try:
        net = make(**{**{name: value for name, value in given.items() if name in takes}, **flags.args})
    except Exception as error:  # the user's code may raise anything
        raise UserError(f"--space.net {flags.net}: cannot be built: {told(error)}") from error
    if not isinstance(net, nn.Module):
        raise UserError(f"--space.net {flags.net}: expected an nn.Module, got an object of class {type(net).__name__}")
    return net
