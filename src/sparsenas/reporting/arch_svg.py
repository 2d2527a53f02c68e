"""Graphs of cells and blocks as drawings: lines and boxes with their places, of which a template makes SVG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sparsenas.core.graph import Graph, GraphEdge
from sparsenas.reporting.numbers import cut

_LETTER = 6.7
"""Width of a letter."""
_TITLE, _OPERATION, _GAP = 34, 20, 4
"""Height of the title, of an operation, and between operations."""
_NODE, _ROOM = 26, 46
"""Distance of the nodes of a column, and of columns."""


class Box(NamedTuple):
    """A rectangle with a text in its middle, or above it where ``kind`` is frame.

    ``kind`` decides its colours; ``title`` is the text in full.
    """

    kind: str
    x: float
    y: float
    width: float
    height: float
    label: str
    title: str


@dataclass
class Svg:
    """One drawing; ``told`` says in words what it shows."""

    width: float
    height: float
    told: str
    title: str
    lines: list[str] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)


class _Layout(NamedTuple):
    """Where the nodes of a graph are."""

    lefts: list[float]
    tops: list[float]
    heights: list[float]
    width: float
    stairs: bool

    def enters(self, node: int) -> tuple[float, float]:
        """Where a line reaches a node."""
        return self.lefts[node], self.tops[node] + self.heights[node] / 2

    def leaves(self, node: int) -> tuple[float, float]:
        """Where a line leaves a node."""
        return self.lefts[node] + self.width, self.tops[node] + self.heights[node] / 2


def graph(drawn: Graph) -> Svg:
    """A graph of a cell or block: columns from left to right; where each has one node, a staircase.

    A node whose edges have operations is a frame around these; another node is one box. On a staircase a line runs
    level above the nodes that it passes, so that it goes through none.
    """
    into = [[edge for edge in drawn.edges if edge.target == i] for i in range(len(drawn.nodes))]
    at, title = _layout(drawn, into), cut(drawn.title, 60) or "all blocks"
    width = max(max(at.lefts) + at.width + 1, len(title) * _LETTER + 8)
    height = max(map(sum, zip(at.tops, at.heights, strict=True))) + 4
    svg = Svg(width, height, f"{title}: {'; '.join(_words(drawn, edge) for edge in drawn.edges)}", title)
    for i, node in enumerate(drawn.nodes):
        framed = any(edge.operation for edge in into[i])
        kind = "frame" if framed else "end" if node.column in (0, drawn.nodes[-1].column) else "kept"
        label = cut(node.name, int((at.width - 6) / _LETTER))
        svg.boxes.append(Box(kind, at.lefts[i], at.tops[i], at.width, at.heights[i], label, node.name))
        for place, edge in enumerate(into[i]):
            start, end = at.leaves(edge.source), at.enters(i)
            if framed:
                end = end[0] + 4, at.tops[i] + _GAP + place * (_OPERATION + _GAP) + _OPERATION / 2
                label = cut(edge.operation, int((at.width - 14) / _LETTER))
                left, top = end[0], end[1] - _OPERATION / 2
                if edge.operation:
                    svg.boxes.append(Box("kept", left, top, at.width - 8, _OPERATION, label, _words(drawn, edge)))
            elif at.stairs:
                end = end[0], start[1]
            svg.lines.append(_level(start, end) if at.stairs else _bent(start, end))
    return svg


def _words(drawn: Graph, edge: GraphEdge) -> str:
    through = f" through {edge.operation}" if edge.operation else ""
    return f"{drawn.nodes[edge.target].name} reads {drawn.nodes[edge.source].name}{through}"


def _width(labels: Sequence[str]) -> float:
    return min(max(round(max(map(len, labels)) * _LETTER) + 18, 58), 130)


def _layout(drawn: Graph, into: Sequence[Sequence[GraphEdge]]) -> _Layout:
    nodes = drawn.nodes
    width = _width([node.name for node in nodes] + [edge.operation for edge in drawn.edges])
    lefts = [1 + node.column * (width + _ROOM) for node in nodes]
    framed = [any(edge.operation for edge in edges) for edges in into]
    heights: list[float] = [
        _GAP + (_OPERATION + _GAP) * len(e) if f else _OPERATION for e, f in zip(into, framed, strict=True)
    ]
    inner = [node.column for node in nodes[:-1] if node.column > 0]
    if not len(set(inner)) == len(inner) > 1:
        columns = Counter(node.column for node in nodes)
        tall = max((h for node, h in zip(nodes, heights, strict=True) if columns[node.column] > 1), default=_OPERATION)
        tops = [node.row * (tall + _NODE) - height / 2 for node, height in zip(nodes, heights, strict=True)]
        return _Layout(lefts, [_TITLE + top - min(tops) for top in tops], heights, width, stairs=False)
    inputs = len(nodes) - 1 - len(inner)
    steps = [height + (8 if i < inputs else 22) for i, height in enumerate(heights[:-1])]
    tops = [_TITLE + sum(steps[:i]) + (14 if i >= inputs else 0) for i in range(len(steps))]
    output = max(heights[-1], tops[-1] + heights[-2] - tops[inputs])  # the output stands beside all nodes
    return _Layout(lefts, [*tops, tops[inputs]], [*heights[:-1], output], width, stairs=True)


def _level(start: tuple[float, float], end: tuple[float, float]) -> str:
    """A line that runs level and bends in front of its end."""
    (x, y), (to_x, to_y) = start, end
    return f"M{x:g} {y:g}H{to_x - 36:g}C{to_x - 12:g} {y:g} {to_x - 24:g} {to_y:g} {to_x:g} {to_y:g}"


def _bent(start: tuple[float, float], end: tuple[float, float]) -> str:
    """A line that bends at both ends; one that would run level behind other nodes makes a bow."""
    (x, y), (to_x, to_y) = start, end
    bow = 24 if y == to_y and to_x - x > _ROOM + 5 else 0
    bend = (to_x - x) / 3 if bow else min(_ROOM, (to_x - x) / 2)
    return f"M{x:g} {y:g}C{x + bend:g} {y - bow:g} {to_x - bend:g} {to_y - bow:g} {to_x:g} {to_y:g}"
