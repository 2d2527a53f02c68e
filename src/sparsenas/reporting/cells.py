"""Cells of a found network as drawings: nodes from left to right, each with the operations it keeps."""

from __future__ import annotations

from sparsenas.errors import UserError
from sparsenas.reporting.markup import Html, code, element, folded, glue
from sparsenas.reporting.read import RunFiles, section
from sparsenas.spaces.genotype import KINDS, NODES, Connections, Genotype, node_name

_WIDTH, _HEIGHT, _GAP, _ROOM = 112, 20, 6, 48
"""Of a box, an operation in it, between operations, and between the columns."""
_INPUTS = (40.0, 72.0)
"""Heights of the inputs; nodes stand below them like stairs, so that no line runs through another node."""


def cells(run: RunFiles) -> Html | None:
    """The normal and the reduction cell of a genotype, and its usual notation; ``None`` where no cells were found."""
    answers = section(run.best, "arch")
    if not all(node_name(kind, node) in answers for kind in KINDS for node in range(NODES)):
        return None
    try:
        genotype = Genotype.of(answers)
        genotype.labels()
    except (AssertionError, ValueError, UserError):
        return None
    titles = ("Normal cell", "Reduction cell")
    drawn = [_cell(title, cell) for title, cell in zip(titles, genotype, strict=True)]
    return glue([element("div", {"class": "chain"}, *drawn), folded("As a genotype", code(str(genotype)))])


def _cell(title: str, cell: Connections) -> Html:
    """Two inputs, the nodes, and what joins them, as one drawing; ``cell`` has the connections node after node."""
    kept = len(cell) // NODES
    tall = kept * (_HEIGHT + _GAP) + _GAP
    ends = [(float(_WIDTH), y) for y in _INPUTS]
    lines: list[Html] = []
    boxes = [_box(f"input {i + 1}", 0, y - 13, 26, "end") for i, (_, y) in enumerate(ends)]
    for node in range(NODES):
        left, top = (node + 1) * (_WIDTH + _ROOM), 106 + node * (tall + 22)
        boxes.append(_box("", left, top, tall, "frame"))
        boxes.append(_text(f"node {node + 1}", left + _WIDTH / 2, top - 5, "name"))
        for i, (op, source) in enumerate(cell[kept * node : kept * (node + 1)]):
            y = top + _GAP + i * (_HEIGHT + _GAP)
            lines.append(_curve(ends[source], (left + 4, y + _HEIGHT / 2)))
            pill = _box(op, left + 4, y, _HEIGHT, "", _WIDTH - 8)
            boxes.append(element("g", {"class": "kept"}, element("title", {}, f"{op} of {_place(source)}"), pill))
        ends.append((left + _WIDTH, top + tall / 2))
    right, height = (NODES + 1) * (_WIDTH + _ROOM), ends[-1][1] + tall / 2 + 6
    lines += [_curve(end, (right, end[1])) for end in ends[2:]]
    boxes.append(_box("output", right, ends[2][1] - 13, ends[-1][1] - ends[2][1] + 26, "end", 70))
    told = "; ".join(f"node {i // kept + 1}: {op} of {_place(source)}" for i, (op, source) in enumerate(cell))
    width = right + 72
    size = {"width": f"{width:g}", "height": f"{height:g}", "viewBox": f"0 0 {width:g} {height:g}"}
    heading = _text(title, 60, 18, "name")
    return element("svg", {**size, "role": "img", "aria-label": f"{title}: {told}"}, heading, *lines, *boxes)


def _place(source: int) -> str:
    return f"input {source + 1}" if source < 2 else f"node {source - 1}"


def _curve(start: tuple[float, float], end: tuple[float, float]) -> Html:
    """A line that runs level above the nodes it passes and goes down in front of the one it ends at."""
    (x, y), (to_x, to_y) = start, end
    path = f"M{x:g} {y:g}H{to_x - 36:g}C{to_x - 12:g} {y:g} {to_x - 24:g} {to_y:g} {to_x:g} {to_y:g}"
    return element("path", {"class": "line", "d": path})


def _box(label: str, x: float, y: float, height: float, kind: str, width: float = _WIDTH) -> Html:
    at = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{width:g}", "height": f"{height:g}", "rx": "8"}
    rect = element("rect", {**at, **({"class": kind} if kind else {})})
    text = [_text(label, x + width / 2, y + height / 2 + 4, kind)] if label else []
    return glue([rect, *text])


def _text(label: str, x: float, y: float, kind: str) -> Html:
    return element("text", {"x": f"{x:g}", "y": f"{y:g}", **({"class": kind} if kind else {})}, label)
