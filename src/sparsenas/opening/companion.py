"""Companions: a tensor of channel numbers for every tensor of a graph, of the same shape.

Along at most one dimension the numbers of a companion vary; along the others it is expanded, so it takes little memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sparsenas.opening.numbers import FIXED, ChannelNumbers


def fixed(shape: Sequence[int]) -> Tensor:
    """The companion of a tensor that cannot be cut anywhere; a single number where the shape is not known."""
    known = tuple(shape) if all(isinstance(size, int) for size in shape) else ()
    return torch.full((), FIXED).expand(known)


def along(vector: Tensor, dim: int, shape: Sequence[int]) -> Tensor:
    """The companion of this shape whose numbers along one dimension are ``vector``."""
    sizes = [1] * len(shape)
    sizes[dim] = -1
    return vector.view(sizes).expand(*shape)


def vector(ids: Tensor, dim: int) -> Tensor:
    """The numbers along one dimension, at the first position of the others."""
    for other in range(ids.ndim):
        if other != dim % ids.ndim:
            ids = ids.narrow(other, 0, 1)
    return ids.reshape(-1)


def thin(ids: Tensor) -> Tensor:
    """The companion with one position of each dimension along which it was expanded."""
    for dim in range(ids.ndim):
        if ids.stride(dim) == 0 and ids.shape[dim] > 1:
            ids = ids.narrow(dim, 0, 1)
    return ids


def varying(numbers: ChannelNumbers, ids: Tensor) -> list[int]:
    """The dimensions along which the labels differ."""
    small = numbers.of(thin(ids))
    return [d for d in range(ids.ndim) if small.shape[d] > 1 and not bool((small == small.narrow(d, 0, 1)).all())]


def channels(numbers: ChannelNumbers, ids: Tensor) -> int | None:
    """The one dimension along which the labels differ; ``None`` where they are all alike."""
    dims = varying(numbers, ids)
    return dims[0] if dims else None


def settled(numbers: ChannelNumbers, ids: Tensor, dim: int | None) -> Tensor:
    """The companion with its numbers united along all dimensions but ``dim``, or along all of them."""
    for other in varying(numbers, ids):
        if other != dim:
            small = thin(ids)
            numbers.unite(small, small.narrow(other, 0, 1))
    small = numbers.of(thin(ids))
    for other in varying(numbers, small):
        assert other == dim
    kept = vector(small, dim) if dim is not None and ids.ndim else small.reshape(-1)[:1]
    return along(kept, dim if dim is not None and ids.ndim else 0, ids.shape) if ids.ndim else small


def meet(numbers: ChannelNumbers, one: Tensor, other: Tensor, where: str) -> Tensor:
    """The companion of an operation on each element of two tensors, which broadcast."""
    shape = torch.broadcast_shapes(one.shape, other.shape)
    one, other = (ids.view(*(1,) * (len(shape) - ids.ndim), *ids.shape) for ids in (one, other))
    first, second = channels(numbers, one), channels(numbers, other)
    if first is not None and first == second:
        numbers.unite(vector(one, first), vector(other, first))
        return along(vector(one, first), first, shape)
    if first is not None and other.shape[first] > 1:
        numbers.close(vector(one, first), f"meets a fixed size in {where}")
        first = None
    if second is not None and one.shape[second] > 1:
        numbers.close(vector(other, second), f"meets a fixed size in {where}")
        second = None
    if first is not None and second is not None:
        numbers.close(vector(one, first), f"crossed in {where}")
        numbers.close(vector(other, second), f"crossed in {where}")
        return fixed(shape)
    return (other if first is None else one).expand(*shape)
