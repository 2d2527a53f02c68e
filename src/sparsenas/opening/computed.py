"""Weights that a network computes from its parameters, such as standardized, masked or binary ones."""

from __future__ import annotations

from torch import Tensor, fx

from sparsenas.opening.capture import Captured, shape
from sparsenas.opening.flow import Flow, argument, name_of

WEIGHTS = {"conv1d", "conv2d", "conv3d", "linear"}
"""Operations whose second argument is a weight."""
Sources = dict[fx.Node, list[fx.Node]]


def computed_weights(captured: Captured) -> Sources:
    """The parameters and buffers behind each weight that is computed from nothing else."""
    found: Sources = {}
    for node in captured.graph.nodes:
        weight = argument(node, 1, "weight") if node.op == "call_function" and name_of(node) in WEIGHTS else None
        if isinstance(weight, fx.Node) and weight.op != "placeholder" and weight not in found:
            sources = _sources(captured, weight)
            found |= {} if sources is None else {weight: sources}
    return found


def between(sources: Sources) -> set[fx.Node]:
    """All that computes these weights: their parameters and the operations on them."""
    inside: set[fx.Node] = set()
    left = list(sources)
    while left:
        node = left.pop()
        if node not in inside:
            inside.add(node)
            left += node.all_input_nodes
    return inside


def note_sources(flow: Flow, weight: fx.Node, dim: int, ids: Tensor, reads: bool = False) -> None:
    """The numbers along a dimension of a computed weight are those of the parameters that are as long there."""
    for source in flow.sources.get(weight, ()):
        sizes, name = shape(source), flow.named(source)
        if name is not None and len(sizes) == len(shape(weight)) and sizes[dim] == len(ids) > 1:
            flow.note(name, dim, ids, reads)


def _sources(captured: Captured, weight: fx.Node) -> list[fx.Node] | None:
    """The placeholders that a node depends on; ``None`` where one is an input of the network."""
    found = [node for node in between({weight: []}) if node.op == "placeholder"]
    return found if found and all(node.name in captured.parameters for node in found) else None
