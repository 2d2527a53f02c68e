"""The charts of a report as plotly figures. The page, which knows light from dark, colours text and grid."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Any, cast

import plotly.graph_objects as go

from sparsenas.reporting.canvas import BLUE, FOUND, GREEN, LIMIT, OTHER, canvas, cut, plain, span, thinned
from sparsenas.reporting.numbers import number, percent
from sparsenas.reporting.read import Json, Limit, RunFiles, finished, name_of, objects, section
from sparsenas.reporting.verdict import comparison

_GENERATIONS = [[0.0, "#9aa3b5"], [0.5, "#4c7fe0"], [1.0, "#22a06b"]]
_MOST_CLASSES = 100


def accuracies(run: RunFiles) -> go.Figure | None:
    """Accuracies side by side: inherited, retrained, and every random architecture."""
    bars = {
        "held-out, inherited": number(section(run.best, "val").get("accuracy")),
        "test, inherited": run.accuracy("inherited"),
        f"test, {run.how_trained}": run.accuracy("retrained"),
    }
    known = [(name, value) for name, value in bars.items() if value is not None]
    if not known and not run.baselines:
        return None
    rows = [name for name, _ in known] + ["test, random"] * bool(run.baselines)
    figure = canvas("accuracy", "", height=110 + 55 * len(rows))
    marker = {
        "size": 15,
        "color": [FOUND if "inherited" not in name else BLUE for name, _ in known],
        "symbol": "diamond",
    }
    hover = "%{x:.2%}<extra></extra>"
    places = {name: len(rows) - 1 - i for i, name in enumerate(rows)}
    figure.add_scatter(
        x=[value for _, value in known],
        y=[places[name] for name, _ in known],
        mode="markers",
        marker=marker,
        hovertemplate=hover,
    )
    if run.baselines:
        _add_random(figure, run.baselines)
    if (compared := comparison(run)) is not None:
        figure.add_vline(x=compared.found, line={"color": FOUND, "width": 1, "dash": "dot"})
    figure.update_layout(showlegend=False)
    figure.update_xaxes(tickformat=".3~p", nticks=5)
    figure.update_yaxes(tickvals=list(places.values()), ticktext=list(places), range=[-0.6, len(rows) - 0.4])
    return figure


def _add_random(figure: go.Figure, baselines: Sequence[Json]) -> None:
    values = [float(baseline["accuracy"]) for baseline in baselines]
    spread = [0.16 * ((i * 5) % 7 - 3) / 3 for i in range(len(values))]
    figure.add_scatter(
        x=values,
        y=spread,
        mode="markers",
        marker={"size": 9, "color": OTHER, "opacity": 0.75},
        text=[plain(str(baseline.get("text", ""))) for baseline in baselines],
        hovertemplate="%{text}<br>%{x:.2%}<extra></extra>",
    )
    if len(values) > 1:
        mean, deviation = statistics.fmean(values), statistics.stdev(values)
        figure.add_scatter(
            x=[mean],
            y=[-0.36],
            error_x={"array": [deviation], "color": OTHER, "thickness": 1.5},
            mode="markers",
            marker={"size": 8, "color": OTHER, "symbol": "line-ns-open"},
            hovertemplate=f"mean {percent(mean)}, standard deviation {percent(deviation)}<extra></extra>",
        )


def search_history(run: RunFiles, cost: str) -> go.Figure | None:
    """Every scored candidate: one cost against the score, coloured by generation, with limits, winner and front."""
    scored = [
        line
        for line in run.candidates
        if number(line.get("accuracy")) is not None and number(line.get(cost)) is not None
    ]
    if not scored:
        return None
    step = thinned(len(scored))
    figure = canvas(cost, "accuracy on held-out images")
    figure.add_scatter(
        x=[line[cost] for line in scored[::step]],
        y=[line["accuracy"] for line in scored[::step]],
        mode="markers",
        name="candidates",
        marker=_by_generation([number(line.get("generation")) or 0 for line in scored[::step]]),
        text=[plain(str(line.get("text", ""))) for line in scored[::step]],
        hovertemplate="%{text}<br>accuracy %{y:.2%}<br>" + plain(cost) + " %{x:,}<extra></extra>",
    )
    _add_front(figure, run, cost)
    _add_winner(figure, run, cost)
    limits = [limit for limit in run.search_limits if limit.cost == cost]
    _add_limits(figure, limits)
    figure.update_xaxes(range=span([float(line[cost]) for line in scored] + [limit.bound for limit in limits]))
    figure.update_yaxes(tickformat=".0%")
    return figure


def _by_generation(generations: Sequence[float]) -> dict[str, Any]:
    step = max(1, math.ceil((max(generations) - min(generations)) / 6))
    bar = {
        "title": {"text": "generation", "side": "right", "font": {"size": 13}},
        "thickness": 10,
        "outlinewidth": 0,
        "dtick": step,
    }
    return {
        "size": 6,
        "opacity": 0.8,
        "color": list(generations),
        "colorscale": _GENERATIONS,
        "showscale": max(generations) > min(generations),
        "colorbar": bar,
    }


def _add_front(figure: go.Figure, run: RunFiles, cost: str) -> None:
    """The front, if it is one of this cost, as the steps of what can be had for a cost."""
    front = objects(run.front.get("points")) if run.front.get("cost") == cost else []
    known = [p for p in front if number(p.get("accuracy")) is not None and number(p.get(cost)) is not None]
    if known:
        figure.add_scatter(
            x=[point[cost] for point in known],
            y=[point["accuracy"] for point in known],
            mode="lines+markers",
            name="front",
            line={"shape": "hv", "color": GREEN, "width": 2},
            marker={"size": 8, "color": GREEN},
            text=[plain(str(point.get("text", ""))) for point in known],
            hovertemplate="front: %{text}<br>accuracy %{y:.2%}<br>" + plain(cost) + " %{x:,}<extra></extra>",
        )


def _add_winner(figure: go.Figure, run: RunFiles, cost: str) -> None:
    score = number(section(run.best, "val").get("accuracy"))
    value = run.costs.get(cost)
    if score is None or value is None:
        return
    marker = {"size": 16, "color": FOUND, "symbol": "star", "line": {"color": "white", "width": 1}}
    hover = "found network<br>accuracy %{y:.2%}<br>" + plain(cost) + " %{x:,}<extra></extra>"
    figure.add_scatter(x=[value], y=[score], mode="markers", name="found", marker=marker, hovertemplate=hover)


def _add_limits(figure: go.Figure, limits: Sequence[Limit]) -> None:
    for limit in limits:
        label = {"text": "budget", "font": {"color": LIMIT}, "xanchor": "right", "yanchor": "bottom"}
        figure.add_vline(x=limit.bound, line={"color": LIMIT, "width": 1.5, "dash": "dash"})
        figure.add_annotation(x=limit.bound, y=1, yref="paper", showarrow=False, **cast(dict[str, Any], label))


def search_progress(run: RunFiles) -> go.Figure | None:
    """The best score so far against the number of evaluations, beside that of random search where there was one."""
    searches = [(name_of(run.config.get("method")), BLUE, best_so_far(run.candidates))]
    searches += [("random search", OTHER, best_so_far(run.random))] * bool(run.random)
    if not searches[0][2]:
        return None
    figure = canvas("candidates scored", "best accuracy so far")
    for name, colour, best in searches:
        steps = [i for i, score in enumerate(best) if i in (0, len(best) - 1) or score > best[i - 1]]
        figure.add_scatter(
            x=[i + 1 for i in steps],
            y=[best[i] for i in steps],
            mode="lines" if len(best) > 1 else "markers",
            name=plain(cut(name, 24)),
            line={"shape": "hv", "color": colour, "width": 2},
            hovertemplate="after %{x}: %{y:.2%}<extra>" + plain(cut(name, 24)) + "</extra>",
            showlegend=len(searches) > 1,
        )
    figure.update_yaxes(tickformat=".1%")
    return figure


def best_so_far(candidates: Sequence[Json]) -> list[float]:
    """The best score after every candidate."""
    scores = (score for line in candidates if (score := number(line.get("accuracy"))) is not None)
    return list(itertools.accumulate(scores, max))


def training_curves(run: RunFiles, quantity: str) -> go.Figure | None:
    """``loss`` or ``accuracy`` of every training against epochs; random architectures thin."""
    figure = canvas("epoch", f"{quantity} on training images")
    colours = {"supernet": BLUE, "retrain": FOUND}
    more = [GREEN, "#9c6ade", "#0c8599", "#b08900"]
    seen_random = False
    for stage, lines in run.training().items():
        random = stage.startswith("baseline")
        known = [line for line in lines if number(line.get(quantity)) is not None]
        if not known:
            continue
        colour = OTHER if random else colours.setdefault(stage, more[(len(colours) - 2) % len(more)])
        known = known[:: -(-len(known) // 1500)]
        figure.add_scatter(
            x=_epochs(known),
            y=[line[quantity] for line in known],
            mode="lines+markers" if len(known) == 1 else "lines",
            name="random" if random else plain(cut(stage, 24)),
            legendgroup="random" if random else plain(stage),
            showlegend=not (random and seen_random),
            line={"color": colour, "width": 1 if random else 2},
            opacity=0.6 if random else 1,
            hovertemplate="epoch %{x:.3~g}: %{y:.4~g}<extra>" + plain(stage) + "</extra>",
        )
        seen_random = seen_random or random
    if quantity == "accuracy":
        figure.update_yaxes(tickformat=".0%")
    if max((max(line.x) for line in figure.data), default=0) <= 10:
        figure.update_xaxes(dtick=1)
    return figure if figure.data else None


def _epochs(lines: Sequence[Json]) -> list[float]:
    """The epochs finished at every line; where an epoch has several lines, in fractions by steps."""
    epochs = [float(finished(line)) for line in lines]
    steps = [number(line.get("step")) for line in lines]
    last = steps[-1]
    if len(set(epochs)) == len(epochs) or not last or None in steps:
        return epochs
    return [float(step or 0) / last * epochs[-1] for step in steps]


def confusion(run: RunFiles) -> go.Figure | None:
    """Which class was taken for which, as shares of the true class."""
    counts = run.results.get("confusion")
    names = run.space.get("classes")
    if not isinstance(counts, list) or not isinstance(names, list) or not len(counts) == len(names) <= _MOST_CLASSES:
        return None
    told = [plain(str(name)) for name in names]
    figure = canvas("predicted", "true class", height=460)
    figure.add_heatmap(
        z=[[n / sum(row) if sum(row) else 0 for n in row] for row in counts],
        colorscale=[[0, "rgba(76,127,224,0)"], [0.15, "rgba(76,127,224,0.45)"], [1, "rgba(76,127,224,1)"]],
        zmin=0,
        zmax=1,
        showscale=False,
        text=[[n or "" for n in row] for row in counts] if len(names) <= 20 else None,
        texttemplate="%{text}" if len(names) <= 20 else None,
        xgap=1,
        ygap=1,
        hovertext=[
            [f"true {a}, predicted {b}: {counts[i][j]}" for j, b in enumerate(told)] for i, a in enumerate(told)
        ],
        hovertemplate="%{hovertext} (%{z:.1%})<extra></extra>",
    )
    shown = range(0, len(names), -(-len(names) // 25))
    ticks = {"tickvals": list(shown), "ticktext": [plain(cut(str(names[i]), 12)) for i in shown]}
    figure.update_xaxes(**ticks)
    figure.update_yaxes(**ticks, autorange="reversed")
    return figure
