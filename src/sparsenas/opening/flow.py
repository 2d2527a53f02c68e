"""Channel numbers carried through every operation of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from sparsenas.opening.capture import Captured, owner, shape
from sparsenas.opening.companion import along, channels, fixed, vector
from sparsenas.opening.numbers import ChannelNumbers

Dims = dict[tuple[str, int], Tensor]
MAX_BUFFER = 1 << 22
"""Buffers of more elements than this are never cut."""


@dataclass(frozen=True)
class Products:
    """The multiply-adds of one operation, and the channel numbers that it reads and writes."""

    owner: str
    flops: int
    ids: Tensor


@dataclass(frozen=True)
class Counted:
    """Channels whose number a module's code may hold: where it splits, slices or reshapes them."""

    owner: str
    parts: tuple[Tensor, ...]
    """The channel numbers of each part."""
    each: int = 1
    """Channels that stand for each of them, as those of a head do."""


@dataclass
class Flow:
    """What was found so far."""

    captured: Captured
    sources: dict[fx.Node, list[fx.Node]] = field(default_factory=dict)
    """The parameters behind each weight that is computed."""
    numbers: ChannelNumbers = field(default_factory=ChannelNumbers)
    dims: Dims = field(default_factory=dict)
    """The numbers along a dimension of a parameter or buffer, by its name."""
    inputs: set[tuple[str, int]] = field(default_factory=set)
    """Those dimensions of weights along which a layer reads its input."""
    loose: set[tuple[str, int]] = field(default_factory=set)
    """Those dimensions of parameters and buffers that are used outside a layer."""
    whole_groups: dict[str, int] = field(default_factory=dict)
    """Layers whose groups are cut as a whole: the number of their groups, by the path of the module."""
    normalized: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    """The numbers along each normalized dimension of a layer norm, by the path of its module."""
    counted: list[Counted] = field(default_factory=list)
    """Where numbers of channels may stand in the code."""
    products: list[Products] = field(default_factory=list)
    env: dict[fx.Node, Any] = field(default_factory=dict)
    concrete: dict[fx.Node, Any] = field(default_factory=dict)
    """The values of integer tensors that depend on no input."""

    def named(self, argument: object) -> str | None:
        """The name of the parameter or buffer that an argument is; ``None`` for any other."""
        return self.captured.parameters.get(argument.name) if isinstance(argument, fx.Node) else None

    def ids(self, argument: object) -> Tensor:
        """The companion of an argument that is a tensor."""
        assert isinstance(argument, fx.Node)
        found = self.env[argument]
        assert isinstance(found, Tensor)
        return found

    def tensors(self, node: fx.Node) -> list[fx.Node]:
        """The arguments of an operation that are single tensors."""
        return [node_ for node_ in node.all_input_nodes if isinstance(self.env.get(node_), Tensor)]

    def note(self, name: str, dim: int, ids: Tensor, reads: bool = False) -> None:
        """The numbers along a dimension of a parameter; where it is used twice, both uses are united."""
        if (name, dim) in self.dims:
            self.numbers.unite(self.dims[name, dim], ids)
        else:
            self.dims[name, dim] = ids
        if reads:
            self.inputs.add((name, dim))

    def note_all(self, arguments: Sequence[object], dim: int, ids: Tensor) -> None:
        """As ``note``, for those arguments that are parameters."""
        for argument in arguments:
            name = self.named(argument)
            if name is not None:
                self.note(name, dim, ids)

    def close(self, ids: Tensor, node: fx.Node, reason: str) -> None:
        """Closes what a companion has, with the place."""
        self.numbers.close(ids, f"{reason} ({owner(node) or 'forward'})")

    def channels_at(self, node: fx.Node, ids: Tensor, dim: int) -> Tensor:
        """The numbers along one dimension, where those along all others must be alike; else they are closed."""
        found = channels(self.numbers, ids)
        if found is not None and found != dim % ids.ndim:
            self.close(vector(ids, found), node, f"{name_of(node)} works along another dimension")
        return vector(ids, dim) if found == dim % ids.ndim else fixed((ids.shape[dim],))

    def raw(self, node: fx.Node, name: str) -> Tensor:
        """The companion of a parameter or buffer that is used outside a layer: its channels are along one dimension."""
        sizes = shape(node)
        tensor = self.captured.tensors.get(name)
        wide = [d for d, size in enumerate(sizes) if size > 1]
        floats = tensor is not None and tensor.is_floating_point() and tensor.numel() <= MAX_BUFFER
        if not wide or not floats:
            return fixed(sizes)
        dim = wide[0] if len(wide) == 1 else 1 if len(sizes) == 4 and sizes[1] > 1 else wide[-1]
        if (name, dim) not in self.dims:
            self.note(name, dim, self.numbers.fresh(sizes[dim]))
            self.loose.add((name, dim))
        return along(self.dims[name, dim], dim, sizes)


def name_of(node: fx.Node) -> str:
    """The operation's name, as in ``conv2d``."""
    target = node.target
    return target._opname if isinstance(target, torch._ops.OpOverload) else str(target)


def argument(node: fx.Node, index: int, name: str, default: Any = None) -> Any:
    """An argument of an operation, by place or by name."""
    return node.args[index] if len(node.args) > index else node.kwargs.get(name, default)
