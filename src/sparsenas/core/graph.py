"""A graph of a cell or block as plain data: nodes in columns, and edges with operations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GraphNode:
    """A box of a graph."""

    name: str
    column: int
    """Inputs are in column 0; edges go to the right."""
    row: float
    """Place within the column, in rows below its middle."""


@dataclass(frozen=True)
class GraphEdge:
    """A line between two nodes, given by their numbers, with the operation on it, if it has one."""

    source: int
    target: int
    operation: str = ""


@dataclass(frozen=True)
class Graph:
    """A cell or block; edges go from left to right. The first node is an input, the last one the output."""

    title: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]

    def __post_init__(self) -> None:
        """Raises ``ValueError`` for an edge that does not lead from a node to a later one."""
        for edge in self.edges:
            if not 0 <= edge.source < edge.target < len(self.nodes):
                raise ValueError(f"expected edges between {len(self.nodes)} nodes, to later ones, got {edge}")
