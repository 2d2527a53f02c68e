"""Blocks of a found network as drawings: levels from left to right, with the operations and edges they keep."""

from __future__ import annotations

from collections.abc import Mapping

from sparsenas.reporting.markup import Html, element, glue
from sparsenas.reporting.read import RunFiles, section
from sparsenas.spaces.dso import LEVELS, OPERATIONS

_WIDTH, _HEIGHT, _GAP, _ROOM, _TOP = 58, 20, 26, 46, 34
"""Of an operation, between operations, between levels, and above them."""

Answers = Mapping[str, list[str]]
Point = tuple[float, float]


def blocks(run: RunFiles) -> Html | None:
    """Every block of connected levels; ``None`` where there is none."""
    answers = {name: kept for name, kept in section(run.best, "arch").items() if isinstance(kept, list)}
    names = [name.removesuffix("output") for name in answers if name == "output" or name.endswith(".output")]
    drawn = [_block(prefix, answers) for prefix in names if f"{prefix}level2.{OPERATIONS[0]}" in answers]
    return element("div", {"class": "chain"}, *drawn) if drawn else None


def _block(prefix: str, answers: Answers) -> Html:
    places: dict[str, Point] = {"input": (0.0, _middle())}
    for level in range(1, LEVELS + 1):
        for i, op in enumerate(OPERATIONS):
            places[f"level{level}.{op}"] = level * (_WIDTH + _ROOM), _TOP + i * (_HEIGHT + _GAP)
    places["output"] = (LEVELS + 1) * (_WIDTH + _ROOM), _middle()
    edges = [(source, target) for target in places for source in answers.get(prefix + target, [])]
    used = {place for edge in edges for place in edge}
    firsts = [name for name in used if name.startswith("level1.") and prefix + name not in answers]
    edges += [("input", name) for name in sorted(firsts)]
    shown = ["input", "output", *sorted(used - {"input", "output"})]
    lines = [_curve(places[source], places[target]) for source, target in edges if source in places]
    boxes = [_box(name.rpartition(".")[2], places[name], name.startswith("level")) for name in shown]
    title = prefix.removesuffix(".") or "every block"
    width, height = places["output"][0] + _WIDTH + 4, _TOP + len(OPERATIONS) * (_HEIGHT + _GAP)
    size = {"width": f"{width}", "height": f"{height}", "viewBox": f"0 0 {width} {height}"}
    told = f"{title}: {len(edges)} edges, {len(shown) - 2} operations"
    heading = element("text", {"x": "60", "y": "18", "class": "name"}, told)
    return element("svg", {**size, "role": "img", "aria-label": told}, heading, *lines, *boxes)


def _middle() -> float:
    return _TOP + (len(OPERATIONS) - 1) * (_HEIGHT + _GAP) / 2


def _curve(source: Point, target: Point) -> Html:
    (x, y), (to_x, to_y) = (source[0] + _WIDTH, source[1] + _HEIGHT / 2), (target[0], target[1] + _HEIGHT / 2)
    bend = min(_ROOM, (to_x - x) / 2)
    path = f"M{x:g} {y:g}C{x + bend:g} {y:g} {to_x - bend:g} {to_y:g} {to_x:g} {to_y:g}"
    return element("path", {"class": "line", "d": path})


def _box(label: str, at: Point, kept: bool) -> Html:
    (x, y), end = at, {} if kept else {"class": "end"}
    rect = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{_WIDTH}", "height": f"{_HEIGHT}", "rx": "8", **end}
    text = {"x": f"{x + _WIDTH / 2:g}", "y": f"{y + _HEIGHT / 2 + 4:g}", **end}
    parts = glue([element("rect", rect), element("text", text, label)])
    return element("g", {"class": "kept"}, parts) if kept else parts
