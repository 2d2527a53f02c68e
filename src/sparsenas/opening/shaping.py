"""How operations without weights carry channel numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_map

from sparsenas.opening.capture import owner, shape
from sparsenas.opening.companion import along, channels, fixed, meet, settled, varying, vector
from sparsenas.opening.flow import Counted, Flow, argument, name_of
from sparsenas.opening.layers import unknown

KV, QKV = 2, 3
"""Parts of a fused projection of attention."""
UPSCALING = "pixel_shuffle"
"""Moves the elements of several channels to the positions of one."""


def pointwise(flow: Flow, node: fx.Node) -> Tensor:
    """An operation on each element: what meets is united."""
    sizes, where = shape(node), f"{name_of(node)} ({owner(node) or 'forward'})"
    parts = [flow.ids(part) for part in flow.tensors(node)]
    if not parts:
        return fixed(sizes)
    return reduce(lambda one, other: meet(flow.numbers, one, other, where), parts).expand(*sizes)


def same(flow: Flow, node: fx.Node) -> Tensor:
    """The companion of the first argument."""
    return flow.ids(argument(node, 0, "self"))


def made(flow: Flow, node: fx.Node) -> Tensor:
    """A new tensor of a fixed shape, which has nothing of the first argument but its kind of numbers and its device."""
    return fixed(shape(node))


def moved(flow: Flow, node: fx.Node) -> Any:
    """Views and other moves of elements: the operation itself, on the companion."""
    assert callable(node.target)
    target = torch.ops.aten.reshape.default if "view" in name_of(node) else node.target
    args, kwargs = (
        tree_map(lambda a: flow.env[a] if isinstance(a, fx.Node) else a, p) for p in (node.args, node.kwargs)
    )
    result = target(*args, **kwargs)
    if isinstance(result, tuple | list):
        return tuple(_settled(flow, node, part) for part in result)
    ids = _settled(flow, node, result)
    _count(flow, node, ids)
    return ids


def _settled(flow: Flow, node: fx.Node, ids: Tensor) -> Tensor:
    """Where channels are split into several dimensions, they are cut along one of them."""
    dims = varying(flow.numbers, ids)
    if len(dims) > 1:
        cut = _cut(node, dims)
        if not (_shuffled(node) or name_of(node) == UPSCALING):
            each = math.prod(ids.shape[dim] for dim in dims if dim > cut)
            flow.counted.append(Counted(owner(node), (vector(ids, cut),), each))
        return settled(flow.numbers, ids, cut)
    return settled(flow.numbers, ids, dims[0] if dims else None)


def _count(flow: Flow, node: fx.Node, ids: Tensor) -> None:
    """Notes channels that a view or a slice may hold the number of: all that it gives, or those before a bound."""
    before = flow.ids(argument(node, 0, "self"))
    dim = channels(flow.numbers, before)
    if name_of(node) == "slice" and dim is not None and argument(node, 1, "dim", 0) % before.ndim == dim:
        start, whole = argument(node, 2, "start") or 0, vector(before, dim)
        bounds = {start, start + ids.shape[dim]} - {0, len(whole)}
        flow.counted += [Counted(owner(node), (whole[:bound],)) for bound in sorted(bounds)]
    elif name_of(node) in ("view", "reshape", "expand", "unflatten"):
        dim = channels(flow.numbers, ids)
        flow.counted += [] if dim is None else [Counted(owner(node), (vector(ids, dim),))]


def _cut(node: fx.Node, dims: Sequence[int]) -> int:
    """Of a channel shuffle the channels of each group; of attention the heads; else the first dimension.

    A fused projection has queries, keys and values before the heads: three rows, or two of keys and values. PyTorch's
    own parts them first.
    """
    if _shuffled(node):
        return dims[-1]
    if name_of(node) == UPSCALING:  # the channels that it makes, each of several
        return dims[0]
    parts = shape(node)[dims[0]]
    fused = parts in (KV, QKV) if len(dims) > 2 else parts == QKV and name_of(node) == "unflatten"
    return dims[1] if fused else dims[0]


def _shuffled(node: fx.Node) -> bool:
    """Whether the dimensions that a view splits are swapped and merged at once."""
    swaps = [user for user in node.users if name_of(user) in ("transpose", "permute")]
    merged = {"view", "reshape", "flatten", "contiguous", "clone", "_unsafe_view"}
    return bool(swaps) and all(name_of(user) in merged for swap in swaps for user in swap.users)


def spatial(flow: Flow, node: fx.Node) -> Any:
    """Pools, resizing and padding: the channels stay, the other dimensions get new sizes."""
    ids, value = flow.ids(argument(node, 0, "self")), node.meta["val"]
    outputs = value if isinstance(value, tuple | list) else (value,)
    dim = channels(flow.numbers, ids)
    if dim is not None and outputs[0].shape[dim] != ids.shape[dim]:
        flow.close(vector(ids, dim), node, f"{name_of(node)} along the channels")
        dim = None
    found = tuple(fixed(o.shape) if dim is None else along(vector(ids, dim), dim, o.shape) for o in outputs)
    return found if isinstance(value, tuple | list) else found[0]


def reduced(flow: Flow, node: fx.Node) -> Any:
    """Sums, means and extremes over dimensions; over all channels no number is left."""
    ids, value = flow.ids(argument(node, 0, "self")), node.meta["val"]
    several = isinstance(value, tuple | list)
    sizes = tuple((value[0] if several else value).shape)
    over = argument(node, 1, "dim")
    if name_of(node) in ("linalg_vector_norm", "norm"):
        over = argument(node, 2, "dim")
    dims = [over] if isinstance(over, int) else list(over) if isinstance(over, list | tuple) else range(ids.ndim)
    gone = {d % ids.ndim for d in dims}
    dim = channels(flow.numbers, ids)
    if dim is None or dim in gone:
        result = fixed(sizes)
    else:
        place = dim if len(sizes) == ids.ndim else dim - sum(d < dim for d in gone)
        result = along(vector(ids, dim), place, sizes)
    return tuple(result for _ in value) if several else result


def concatenated(flow: Flow, node: fx.Node) -> Tensor:
    """One after the other along the channels; parts that are joined along another dimension are united."""
    parts = [flow.ids(part) for part in argument(node, 0, "tensors")]
    place = argument(node, 1, "dim", 0)
    sizes = shape(node)
    place %= len(sizes)
    parts = [part for part in parts if part.ndim == len(sizes)]
    found = {channels(flow.numbers, part) for part in parts} - {None}
    if found <= {place}:
        return (
            along(torch.cat([flow.numbers.of(vector(part, place)) for part in parts]), place, sizes)
            if found
            else fixed(sizes)
        )
    where = f"cat ({owner(node) or 'forward'})"
    met = reduce(lambda one, other: meet(flow.numbers, one, other, where), [part.narrow(place, 0, 1) for part in parts])
    return met.expand(*sizes)


def stacked(flow: Flow, node: fx.Node) -> Tensor:
    """Tensors side by side along a new dimension: their channels are united."""
    parts, sizes = [flow.ids(part) for part in argument(node, 0, "tensors")], shape(node)
    place = argument(node, 1, "dim", 0)
    met = reduce(lambda one, other: meet(flow.numbers, one, other, "stack"), parts)
    return met.unsqueeze(place % len(sizes)).expand(*sizes)


def parted(flow: Flow, node: fx.Node) -> Any:
    """Equal parts of the channels are cut alike, so that the network may halve what is left of them."""
    result = moved(flow, node)
    dims = {channels(flow.numbers, part) for part in result} - {None}
    place = argument(node, 2, "dim", 0)
    ids = flow.ids(argument(node, 0, "self"))
    if dims == {place % ids.ndim} and len({part.shape for part in result}) == 1:
        dim = place % ids.ndim
        for part in result[1:]:
            flow.numbers.unite(vector(result[0], dim), vector(part, dim))
    if place % ids.ndim in dims:
        flow.counted.append(Counted(owner(node), tuple(vector(part, place) for part in result)))
        flow.counted += [Counted(owner(node), (vector(part, place),)) for part in result]
    return result


def gated(flow: Flow, node: fx.Node) -> Tensor:
    """``glu``: the halves of the channels are cut alike."""
    ids, place = flow.ids(argument(node, 0, "self")), argument(node, 1, "dim", -1)
    first, second = ids.chunk(2, place)
    return meet(flow.numbers, first, second, f"glu ({owner(node) or 'forward'})")


def scattered(flow: Flow, node: fx.Node) -> Any:
    """Entries that are added or copied to places along a dimension without channels."""
    ids, place, source = flow.ids(node.args[0]), argument(node, 1, "dim"), flow.ids(node.args[3])
    if place % ids.ndim in {channels(flow.numbers, part) for part in (ids, source)}:
        return unknown(flow, node)
    one, other = (part.narrow(place, 0, 1) for part in (ids, source))
    return meet(flow.numbers, one, other, f"{name_of(node)} ({owner(node) or 'forward'})").expand(*shape(node))


def taken(flow: Flow, node: fx.Node) -> Any:
    """Entries by index: known indices are taken from the companion; others must not be along the channels."""
    ids, indices = flow.ids(argument(node, 0, "self")), argument(node, 1, "indices")
    dim = channels(flow.numbers, ids)
    known = [flow.concrete.get(i) if isinstance(i, fx.Node) else i for i in indices]
    if dim is None:
        return fixed(shape(node))
    places = [place for place, index in enumerate(indices) if index is not None]
    if len(places) == 1 and places[0] != dim and indices[places[0]].meta["val"].dtype != torch.bool:
        more = len(shape(indices[places[0]])) - 1
        return along(vector(ids, dim), dim + more * (dim > places[0]), shape(node))
    if all(i is None or isinstance(i, Tensor) for i in known) and all(
        k is not None for k, i in zip(known, indices, strict=True) if isinstance(i, fx.Node)
    ):
        return _settled(flow, node, torch.ops.aten.index.Tensor(ids, known))
    return unknown(flow, node)
