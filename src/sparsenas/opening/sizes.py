"""Attributes of modules that hold a number of channels, and follow when channels are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.parametrize import is_parametrized

from sparsenas.opening.decisions import COMPUTED
from sparsenas.opening.flow import Flow
from sparsenas.opening.numbers import FIXED
from sparsenas.opening.positions import Positions, State


@dataclass(frozen=True)
class Size:
    """An attribute of a module: ``factor`` times what is kept, plus ``offset``, for each of some dimensions."""

    path: str
    attribute: str
    of: tuple[Positions, ...]
    factor: Fraction = Fraction(1)
    offset: int = 0
    several: bool = False
    """Whether the attribute is a tuple."""

    def value(self, states: Sequence[State]) -> int | tuple[int, ...]:
        """The attribute for these units."""
        kept = (positions.kept(states) for positions in self.of)
        counts = [len(p.unit) if k is None else len(k) for p, k in zip(self.of, kept, strict=True)]
        values = tuple(int(count * self.factor) + self.offset for count in counts)
        return values if self.several else values[0]


Find = Callable[[str, int], Positions | None]


def layer_sizes(flow: Flow, net: nn.Module, place: Callable[[Tensor], Positions], names: dict[int, str]) -> list[Size]:
    """The attributes of PyTorch's layers. ``names`` has the name of every parameter by its ``id``."""
    sizes: list[Size] = []
    for path, module in net.named_modules():

        def find(attribute: str, dim: int, module: nn.Module = module) -> Positions | None:
            known = [flow.dims.get((names.get(id(tensor), ""), dim)) for tensor in _held(module, attribute)]
            return next((place(ids) for ids in known if ids is not None), None)

        sizes += _sizes(flow, path, module, find)
        normalized = [ids for (owner, _), ids in sorted(flow.normalized.items(), key=lambda kv: kv[0]) if owner == path]
        if normalized and len(normalized) == len(vars(module).get("normalized_shape", ())):
            sizes.append(Size(path, "normalized_shape", tuple(map(place, normalized)), several=True))
        if isinstance(module, nn.Unflatten):
            sizes += _unflattened(flow, path, module.unflattened_size, place)
    return sizes


def _unflattened(flow: Flow, path: str, shape: Sequence[Any], place: Callable[[Tensor], Positions]) -> Iterator[Size]:
    """The shape into which channels are unflattened, of which one number is that of the channels."""
    if all(type(size) is int and size > 0 for size in shape):
        here = [counted.parts[0] for counted in flow.counted if counted.owner == path]
        for ids in (ids for ids in here if len(ids) in shape):
            parts = [torch.full((size,), FIXED) for size in shape]
            parts[[*shape].index(len(ids))] = ids
            yield Size(path, "unflattened_size", tuple(map(place, parts)), several=True)


def _held(module: nn.Module, attribute: str) -> list[Tensor]:
    """The parameter or buffer behind an attribute of a layer, or those that it is computed from, as by weight norm."""
    if is_parametrized(module, attribute):
        computed: nn.Module = module.parametrizations[attribute]  # type: ignore[index, assignment]
        return list(computed.parameters(recurse=False))
    every = {**module._parameters, **module._buffers}
    found = (every.get(attribute + end) for end in ("", *COMPUTED))
    return [tensor for tensor in found if tensor is not None]


def _sizes(flow: Flow, path: str, module: nn.Module, find: Find) -> Iterator[Size]:
    if isinstance(module, _ConvNd):
        yield from _convolution_sizes(flow, path, module, find)
    elif isinstance(module, nn.Linear):
        yield from _named(path, ("out_features", find("weight", 0)), ("in_features", find("weight", 1)))
    elif isinstance(module, _NormBase):
        yield from _named(path, ("num_features", find("weight", 0) or find("running_mean", 0)))
    elif isinstance(module, nn.GroupNorm):
        channels = find("weight", 0)
        yield from _named(path, ("num_channels", channels))
        if path in flow.whole_groups and channels is not None:
            yield Size(path, "num_groups", (channels,), Fraction(module.num_groups, module.num_channels))
    elif isinstance(module, nn.Embedding):
        yield from _named(path, ("embedding_dim", find("weight", 1)))
    elif isinstance(module, nn.RNNBase):
        yield from _named(path, ("input_size", find("weight_ih_l0", 1)), ("hidden_size", find("weight_hh_l0", 1)))
    elif isinstance(module, nn.RNNCellBase):
        yield from _named(path, ("input_size", find("weight_ih", 1)), ("hidden_size", find("weight_hh", 1)))
    elif isinstance(module, nn.PReLU):
        yield from _named(path, ("num_parameters", find("weight", 0)))


def _convolution_sizes(flow: Flow, path: str, conv: _ConvNd, find: Find) -> Iterator[Size]:
    first, second = find("weight", 0), find("weight", 1)
    outputs, inputs = (second, first) if isinstance(conv, _ConvTransposeNd) else (first, second)
    yield from _named(path, ("out_channels", outputs))
    if path in flow.whole_groups and outputs is not None:
        yield Size(path, "groups", (outputs,), Fraction(conv.groups, conv.out_channels))
        yield Size(path, "in_channels", (outputs,), Fraction(conv.in_channels, conv.out_channels))
    elif inputs is not None:
        yield Size(path, "in_channels", (inputs,), Fraction(conv.groups))


def _named(path: str, *found: tuple[str, Positions | None]) -> Iterator[Size]:
    for attribute, positions in found:
        if positions is not None:
            yield Size(path, attribute, (positions,))
