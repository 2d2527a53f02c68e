"""How a complete network was pruned, epoch by epoch: what DSO-NAS logs."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from sparsenas.reporting.canvas import BLUE, FOUND, GREEN, LIMIT, OTHER, canvas
from sparsenas.reporting.numbers import number, several
from sparsenas.reporting.read import Json, RunFiles, finished, numbers, objects, section


def prunings(run: RunFiles) -> list[Json]:
    """The training lines that tell of a pruning."""
    return [line for lines in run.training().values() for line in lines if section(line, "pruning")]


def survivors(lines: Sequence[Json]) -> go.Figure:
    """The edges and nodes that are left in every epoch: of all blocks, and of each."""
    figure = canvas("epoch", "left")
    epochs = [finished(line) for line in lines]
    blocks = [objects(section(line, "pruning").get("blocks")) for line in lines]
    for i in range(min(map(len, blocks), default=0)):
        edges = [number(each[i].get("edges")) for each in blocks]
        _line(figure, epochs, edges, f"edges of block {i + 1}", OTHER, 1, legend=i == 0)
    for kind, colour in (("edges", FOUND), ("nodes", GREEN)):
        totals = [sum(number(block.get(kind)) or 0 for block in each) for each in blocks]
        _line(figure, epochs, totals, f"all {kind}", colour, 2)
    return figure


def costs(run: RunFiles, lines: Sequence[Json]) -> go.Figure:
    """The costs that budgets bound, relative to the first; the budgets; and the weight of the penalty."""
    figure = canvas("epoch", "share of the complete network")
    epochs = [finished(line) for line in lines]
    every = [numbers(section(section(line, "pruning"), "costs")) for line in lines]
    for name, first in every[0].items():
        _line(figure, epochs, [each.get(name, 0) / first for each in every], name, FOUND, 2)
        for limit in run.search_limits:
            if limit.cost == name and limit.upper:
                figure.add_hline(limit.bound / first, line={"color": LIMIT, "dash": "dash"})
    gammas = [number(section(line, "pruning").get("gamma")) for line in lines]
    _line(figure, epochs, gammas, "gamma (right)", BLUE, 1, axis="y2")
    figure.update_layout(yaxis2={"overlaying": "y", "side": "right", "rangemode": "tozero", "showgrid": False})
    figure.update_yaxes(rangemode="tozero")
    return figure


def words(lines: Sequence[Json]) -> str:
    """The beginning and the end, in sentences."""
    first, last = (section(line, "pruning") for line in (lines[0], lines[-1]))
    before, left = (int(number(state.get("options")) or 0) for state in (first, last))
    told = (
        f"The complete network was pruned by a penalty on its scales: of {several(before, 'option')} {left} are left."
    )
    met = next((finished(line) for line in lines if section(line, "pruning").get("budget_met")), None)
    return told if met is None else f"{told} The budget was met in epoch {met}."


def _line(
    figure: go.Figure,
    epochs: Sequence[int],
    values: Sequence[float | None],
    name: str,
    colour: str,
    width: int,
    axis: str = "y",
    legend: bool = True,
) -> None:
    figure.add_scatter(
        x=list(epochs),
        y=list(values),
        name=name,
        mode="lines",
        yaxis=axis,
        showlegend=legend,
        line={"color": colour, "width": width},
        hovertemplate="epoch %{x}: %{y:.3~g}<extra>" + name + "</extra>",
    )
