"""Graphs of modules that wire several choices in a forward of their own, read from that forward by ``torch.fx``."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn

from sparsenas.core.graph import Graph, GraphEdge, GraphNode
from sparsenas.core.join import Join

_JOINED = {operator.add, operator.iadd, torch.add, torch.cat, torch.concat, "add", "add_"}
"""What makes one node of several values."""
Edge = tuple[int, str]
"""The node from which it comes, and the operation on it."""


class CellTracer(fx.Tracer):
    """Follows one forward; every module that it calls is one step."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Always."""
        return True


def wires_itself(module: nn.Module) -> bool:
    """Whether the forward of a module calls several choices of operations in an order of its own."""
    containers = (nn.ModuleList, nn.ModuleDict)
    if isinstance(module, (*containers, nn.Sequential, Join)):
        return False
    parts = list[nn.Module]()
    for child in module.children():
        parts += child.children() if isinstance(child, containers) else [child]
    return sum(isinstance(part, Join) for part in parts) > 1


def cell_graph(module: nn.Module, title: str) -> Graph | None:
    """The graph of a module under the gates that are set: its choices are edges, sums of them nodes.

    ``None`` where its forward cannot be followed, and for a plain chain, which needs no graph.
    """
    try:
        traced = CellTracer().trace(module)
    except Exception:  # a forward may do anything; it is only not drawn then
        return None
    cell = CellReader(module)
    for step in traced.nodes:
        cell.read(step)
    return cell.graph(title)


class CellReader:
    """Collects the nodes and edges of a graph from the steps of a forward."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.names: list[str] = []
        self.into: list[list[Edge]] = []
        self.edges_of: dict[fx.Node, list[Edge]] = {}
        """What each step adds up, until something reads it."""
        self.node_of: dict[fx.Node, int] = {}

    def read(self, step: fx.Node) -> None:
        """Takes up the next step."""
        if step.op == "placeholder":
            self.node_of[step] = self._node(step.name, [])
        elif step.op == "output":
            self._node("output", self._sum(step))
        elif step.op == "call_module" and isinstance(join := self.module.get_submodule(str(step.target)), Join):
            labels = join.choice.options
            self.edges_of[step] = [
                (self._position(step.args[join.sources[pick]]), labels[pick].partition(":")[2] or labels[pick])
                for pick in join.gate.picks
            ]
        elif step.target in _JOINED:
            self.edges_of[step] = self._sum(step)
        elif sources := self._sources(step):
            self.node_of[step] = self._node(_word(step), [(self._position(source), "") for source in sources])

    def graph(self, title: str) -> Graph | None:
        """The nodes that lead to the output, in columns."""
        output = len(self.names) - 1
        used = {output}
        for node in range(output, -1, -1):
            used |= {source for source, _ in self.into[node]} if node in used else set()
        alive = sorted(used)
        if all(len(self.into[node]) <= 1 for node in alive):
            return None
        column = [0] * len(self.names)
        for node in alive:
            column[node] = max((column[source] + 1 for source, _ in self.into[node]), default=0)
        alive.sort(key=lambda node: column[node])
        number = {node: i for i, node in enumerate(alive)}
        rows = {c: [node for node in alive if column[node] == c] for c in range(column[output] + 1)}
        nodes = tuple(
            GraphNode(self.names[n], column[n], rows[column[n]].index(n) - (len(rows[column[n]]) - 1) / 2)
            for n in alive
        )
        edges = tuple(GraphEdge(number[s], number[node], op) for node in alive for s, op in self.into[node])
        return Graph(title, nodes, edges)

    def _node(self, name: str, into: list[Edge]) -> int:
        self.names.append(name)
        self.into.append(into)
        return len(self.names) - 1

    def _position(self, step: Any) -> int:
        """The node of a value; a sum becomes one when it is read for the first time."""
        if step not in self.node_of:
            inner = sum(name.startswith("node ") for name in self.names)
            self.node_of[step] = self._node(f"node {inner + 1}", self.edges_of[step])
        return self.node_of[step]

    def _sum(self, step: fx.Node) -> list[Edge]:
        """The edges of all values that a step puts together; one that is a node already is an edge of its own."""
        edges: list[Edge] = []
        for source in self._sources(step):
            edges += [(self.node_of[source], "")] if source in self.node_of else self.edges_of[source]
        return edges

    def _sources(self, step: fx.Node) -> list[fx.Node]:
        """The values that a step reads and that come from the inputs."""
        return [source for source in step.all_input_nodes if source in self.node_of or source in self.edges_of]


def _word(step: fx.Node) -> str:
    """The name of an operation that is no choice."""
    target = step.target
    return str(target).rpartition(".")[2] if isinstance(target, str) else str(getattr(target, "__name__", target))
