"""How layers with weights carry channel numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from sparsenas.opening.capture import owner, shape
from sparsenas.opening.companion import along, channels, fixed, meet, vector
from sparsenas.opening.computed import note_sources
from sparsenas.opening.flow import Flow, Products, argument, name_of
from sparsenas.opening.numbers import FIXED


def convolution(flow: Flow, node: fx.Node) -> Tensor:
    """Outputs get new numbers; those of a depthwise or grouped convolution are tied to the inputs."""
    x, weight, bias = argument(node, 0, "input"), argument(node, 1, "weight"), argument(node, 2, "bias")
    groups = argument(node, 6, "groups", 1)
    ids = flow.channels_at(node, flow.ids(x), 1)
    sizes = shape(node)
    macs = math.prod(sizes) * math.prod(shape(weight)[1:])
    if flow.named(weight) is None and weight not in flow.sources:
        flow.close(ids, node, "the weight of a convolution is computed")
        flow.products.append(Products(owner(node), macs, ids))
        return fixed(sizes)
    out = _grouped(flow, node, weight, ids, groups, sizes[1]) if groups > 1 else flow.numbers.fresh(sizes[1])
    if groups == 1:
        _note(flow, weight, 1, ids, reads=True)
    _note(flow, weight, 0, out)
    flow.note_all((bias,), 0, out)
    flow.products.append(Products(owner(node), macs, torch.cat([ids, out])))
    return along(out, 1, sizes)


def _note(flow: Flow, weight: fx.Node, dim: int, ids: Tensor, reads: bool = False) -> None:
    """The numbers along a dimension of a weight, or of the parameters that it is computed from."""
    name = flow.named(weight)
    if name is None:
        note_sources(flow, weight, dim, ids, reads)
    else:
        flow.note(name, dim, ids, reads)


def _grouped(flow: Flow, node: fx.Node, weight: fx.Node, ids: Tensor, groups: int, outputs: int) -> Tensor:
    """Cuts whole groups where there are many; else the same channels of each group."""
    rows = ids.view(groups, -1)
    if groups >= rows.shape[1] and not bool((flow.numbers.of(ids) == FIXED).any()):
        flow.numbers.unite(rows, rows[:, :1])
        flow.whole_groups[owner(node)] = groups
        return rows[:, :1].expand(groups, outputs // groups).reshape(-1)
    flow.numbers.unite(rows, rows[:1])
    _note(flow, weight, 1, rows[0], reads=True)
    return flow.numbers.fresh(outputs // groups).expand(groups, -1).reshape(-1)


def transposed(flow: Flow, node: fx.Node) -> Tensor:
    """As ``convolution``; a weight has its inputs first."""
    name, groups = flow.named(node.args[1]), argument(node, 6, "groups", 1)
    ids = flow.channels_at(node, flow.ids(node.args[0]), 1)
    sizes = shape(node)
    if name is None or groups > 1:
        flow.close(ids, node, "a transposed convolution with groups")
        return fixed(sizes)
    out = flow.numbers.fresh(sizes[1])
    flow.note(name, 0, ids, reads=True)
    flow.note(name, 1, out)
    flow.note_all((argument(node, 2, "bias"),), 0, out)
    macs = math.prod(shape(node.args[0])) * math.prod(shape(node.args[1])[1:])
    flow.products.append(Products(owner(node), macs, torch.cat([ids, out])))
    return along(out, 1, sizes)


def linear(flow: Flow, node: fx.Node) -> Tensor:
    """Outputs get new numbers."""
    return _product(flow, node, node.args[0], node.args[1], argument(node, 2, "bias"), (1, 0))


def _product(flow: Flow, node: fx.Node, x: Any, weight: Any, bias: Any, dims: tuple[int, int]) -> Tensor:
    """A product with a matrix of parameters, whose inputs and outputs are along ``dims``."""
    name, sizes = flow.named(weight), shape(node)
    ids = flow.channels_at(node, flow.ids(x), -1)
    if name is None:
        flow.close(ids, node, "the weight of a linear layer is computed")
        return fixed(sizes)
    flow.note(name, dims[0], ids, reads=True)
    if (name, dims[1]) not in flow.dims:
        flow.note(name, dims[1], flow.numbers.fresh(sizes[-1]))
    out = flow.dims[name, dims[1]]
    flow.note_all((bias,), 0, out)
    flow.products.append(Products(owner(node), math.prod(sizes) * len(ids), torch.cat([ids, out])))
    return along(out, -1, sizes)


def added_product(flow: Flow, node: fx.Node) -> Tensor:
    """``addmm``: a linear layer whose weight has its inputs first."""
    return _product(flow, node, node.args[1], node.args[2], node.args[0], (0, 1))


def matmul(flow: Flow, node: fx.Node) -> Any:
    """A product of two tensors: what is summed over is united; a matrix of parameters is a linear layer."""
    one, other = node.args[:2]
    if flow.named(other) is not None and len(shape(other)) == 2:
        return _product(flow, node, one, other, None, (0, 1))
    a, b, sizes = flow.ids(one), flow.ids(other), shape(node)
    if min(a.ndim, b.ndim) < 2:
        return unknown(flow, node)
    first, second = channels(flow.numbers, a), channels(flow.numbers, b)
    batch = len(sizes) - 2
    a, b = (ids.view(*(1,) * (len(sizes) - ids.ndim), *ids.shape) for ids in (a, b))
    first = None if first is None else first + len(sizes) - flow.ids(one).ndim
    second = None if second is None else second + len(sizes) - flow.ids(other).ndim
    summed_a, summed_b = vector(a, -1), vector(b, -2)
    if first == batch + 1 or second == batch:
        flow.numbers.unite(
            summed_a if first == batch + 1 else torch.full((1,), FIXED),
            summed_b if second == batch else torch.full((1,), FIXED),
        )
    flow.products.append(
        Products(owner(node), math.prod(sizes) * a.shape[-1], torch.cat([thinned(a, first), thinned(b, second)]))
    )
    shared = [dim for dim in (first, second) if dim is not None and dim < batch]
    if first is not None and first == second and first < batch:
        flow.numbers.unite(vector(a, first), vector(b, first))
    elif shared and any(ids.shape[dim] > 1 for dim in shared for ids in (a, b) if channels(flow.numbers, ids) is None):
        for ids, dim in ((a, first), (b, second)):
            if dim in shared:
                flow.close(vector(ids, dim), node, "meets a fixed size in a product")
        return fixed(sizes)
    kept = [(a, first)] if first is not None and first <= batch else []
    kept += [(b, second)] if second is not None and second != batch else []
    if len({dim for _, dim in kept}) > 1:
        for ids, dim in kept:
            flow.close(vector(ids, dim), node, "crossed in a product")
        return fixed(sizes)
    return along(vector(*kept[0]), kept[0][1], sizes) if kept else fixed(sizes)


def thinned(ids: Tensor, dim: int | None) -> Tensor:
    """The numbers along a dimension; the first one if there is none."""
    return ids.reshape(-1)[:1] if dim is None else vector(ids, dim)


def attention(flow: Flow, node: fx.Node) -> Tensor:
    """``scaled_dot_product_attention``: queries and keys have the same channels, all three the same heads."""
    query, key, value = (flow.ids(part) for part in node.args[:3])
    numbers, sizes = flow.numbers, shape(node)
    dims = [channels(numbers, ids) for ids in (query, key, value)]
    last = query.ndim - 1
    if dims[0] == last or dims[1] == last:
        numbers.unite(vector(query, -1), vector(key, -1))
    if any(dim is not None and dim < last - 1 for dim in dims):
        found = next(dim for dim in dims if dim is not None and dim < last - 1)
        if len({ids.shape[found] for ids in (query, key, value)}) == 1:
            numbers.unite(vector(query, found), vector(key, found))
            numbers.unite(vector(query, found), vector(value, found))
        else:
            flow.close(torch.cat([vector(ids, found) for ids in (query, key, value)]), node, "heads in unequal numbers")
    macs = math.prod(query.shape) * key.shape[-2] + math.prod(sizes) * key.shape[-2]
    flow.products.append(Products(owner(node), macs, torch.cat([thinned(query, dims[0]), thinned(value, dims[2])])))
    mask = argument(node, 3, "attn_mask")
    if mask is not None:
        dim = channels(numbers, query)
        scores = (*query.shape[:-1], key.shape[-2])
        heads = fixed(scores) if dim is None or dim == last else along(vector(query, dim), dim, scores)
        meet(numbers, heads, flow.ids(mask), "a mask of attention")
    found_value = channels(numbers, value)
    return fixed(sizes) if found_value is None else along(vector(value, found_value), found_value, sizes)


def channel_norm(flow: Flow, node: fx.Node) -> Tensor:
    """Batch or instance norm, and PReLU: one parameter for each channel."""
    ids = flow.ids(node.args[0])
    out = flow.channels_at(node, ids, min(1, ids.ndim - 1))
    for parameter in node.args[1:5]:
        if flow.named(parameter) is not None and shape(parameter) == (len(out),):
            flow.note_all((parameter,), 0, out)
    return along(out, min(1, ids.ndim - 1), ids.shape)


def group_norm(flow: Flow, node: fx.Node) -> Tensor:
    """Whole groups are cut."""
    ids, groups = flow.ids(node.args[0]), node.args[1]
    assert isinstance(groups, int)
    out = flow.channels_at(node, ids, 1)
    if groups > 1:
        rows = out.view(groups, -1)
        flow.numbers.unite(rows, rows[:, :1])
        flow.whole_groups[owner(node)] = groups
    flow.note_all((argument(node, 2, "weight"), argument(node, 3, "bias")), 0, out)
    return along(out, 1, ids.shape)


def layer_norm(flow: Flow, node: fx.Node) -> Tensor:
    """The parameters have the numbers of the dimensions that are normalized."""
    ids, normalized = flow.ids(node.args[0]), node.args[1]
    assert isinstance(normalized, list | tuple)
    dim = channels(flow.numbers, ids)
    own = -1 if dim is None else dim - (ids.ndim - len(normalized))
    if dim is not None and own >= 0:
        out = vector(ids, dim)
        flow.note_all((argument(node, 2, "weight"), argument(node, 3, "bias")), own, out)
        key = owner(node), own
        if key in flow.normalized:
            flow.numbers.unite(flow.normalized[key], out)
        flow.normalized[key] = out
    return ids


def embedding(flow: Flow, node: fx.Node) -> Any:
    """Each entry of the table has new numbers."""
    name, sizes = flow.named(node.args[0]), shape(node)
    if name is None:
        return unknown(flow, node)
    if (name, 1) not in flow.dims:
        flow.note(name, 1, flow.numbers.fresh(sizes[-1]))
    return along(flow.dims[name, 1], -1, sizes)


def recurrent(flow: Flow, node: fx.Node) -> Any:
    """LSTM, GRU and the plain one: all their layers and directions have the same hidden channels.

    The number of a hidden channel stands for a row of each gate. Projections (``proj_size``) are not followed.
    """
    x, states = node.args[:2]
    weights, layers = argument(node, 2, "params"), argument(node, 4, "num_layers")
    directions, each = 1 + argument(node, 7, "bidirectional"), 4 if argument(node, 3, "has_biases") else 2
    packed = getattr(node.target, "_overloadname", "") != "input"
    if packed or len(weights) != layers * directions * each:
        return unknown(flow, node)
    hidden = flow.numbers.fresh(shape(weights[1])[1])
    read, steps = flow.channels_at(node, flow.ids(x), -1), math.prod(shape(x)[:-1])
    for i in range(0, len(weights), each):
        inputs = read if i < directions * each else hidden.repeat(directions)
        _gated(flow, node, weights[i : i + each], inputs, hidden, steps)
    _first_states(flow, node, states, hidden)
    sizes = [part.shape for part in node.meta["val"]]
    return (along(hidden.repeat(directions), -1, sizes[0]), *(along(hidden, -1, size) for size in sizes[1:]))


def cell(flow: Flow, node: fx.Node) -> Any:
    """One step of a recurrent layer."""
    (x, states), weights = node.args[:2], node.args[2:]
    hidden = flow.numbers.fresh(shape(weights[1])[1])
    read, steps = flow.channels_at(node, flow.ids(x), -1), math.prod(shape(x)[:-1])
    _gated(flow, node, weights, read, hidden, steps)
    _first_states(flow, node, states, hidden)
    results = node.meta["val"]
    if isinstance(results, Tensor):
        return along(hidden, -1, results.shape)
    return tuple(along(hidden, -1, result.shape) for result in results)


def _gated(flow: Flow, node: fx.Node, weights: Sequence[Any], read: Tensor, hidden: Tensor, steps: int) -> None:
    """The weights of the inputs and of the hidden channels, and the biases, with the rows of all gates."""
    rows, size = shape(weights[1])
    flow.note_all(weights, 0, hidden.repeat(rows // size))
    for weight, ids in zip(weights[:2], (read, hidden), strict=True):
        _note(flow, weight, 1, ids, reads=True)
    flow.products.append(Products(owner(node), steps * rows * (len(read) + size), torch.cat([read, hidden])))


def _first_states(flow: Flow, node: fx.Node, states: Any, hidden: Tensor) -> None:
    """The states with which a recurrent layer begins have its hidden channels, unless they are constants."""
    for state in states if isinstance(states, list | tuple) else (states,):
        ids = flow.ids(state)
        if channels(flow.numbers, ids) is not None:
            flow.numbers.unite(flow.channels_at(node, ids, -1), hidden)


def asserted(flow: Flow, node: fx.Node) -> None:
    """A statement about a tensor, such as its type: it carries nothing on."""


def unknown(flow: Flow, node: fx.Node) -> Any:
    """Closes whatever an operation reads; its results are fixed."""
    for part in flow.tensors(node):
        flow.close(flow.ids(part), node, f"{name_of(node)} is not known")
    value = node.meta.get("val")
    if isinstance(value, tuple | list):
        return tuple(fixed(part.shape) if isinstance(part, Tensor) else part for part in value)
    return fixed(value.shape) if isinstance(value, Tensor) else value
