"""The networks of several runs on one chart: test score against a cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sparsenas.reporting.canvas import Chart, Trace, axis, chart, plain, span, trace
from sparsenas.reporting.colours import SERIES, SHAPES
from sparsenas.reporting.loading import LoadedRun
from sparsenas.reporting.seeds import Named, seed_groups

_SIZES: dict[str, dict[str, Any]] = {
    "random": {"size": 8, "opacity": 0.55},
    "compared": {"size": 10},
    "original": {"size": 12},
    "found": {"size": 16, "opacity": 0.8, "line": {"color": "#1b2330", "width": 1}},
}
"""By the kind of network; later ones are drawn above earlier ones."""


class Look(NamedTuple):
    """How a group of runs is drawn: its colour, the symbols of its networks by kind, and a character."""

    colour: str
    symbols: dict[str, str]
    character: str


class Point(NamedTuple):
    """A tested network in words, its cost and its score; its gain is higher where it is better."""

    kind: str
    told: str
    cost: float
    score: float
    gain: float
    colour: str
    symbol: str


class Scatter(NamedTuple):
    """The chart of a score, and the networks that are outside its axis, worst first."""

    figure: Chart
    outside: list[str]


def looks(groups: int) -> list[Look]:
    """The looks of so many groups: they differ in colour, or in symbols where there are more groups than colours."""
    return [Look(SERIES[i % len(SERIES)], *SHAPES[i // len(SERIES) % len(SHAPES)]) for i in range(groups)]


def scatters(runs: Sequence[Named]) -> dict[str, Scatter]:
    """A chart for each score: found networks, random ones and originals of every run, a look for each group."""
    groups, of_score = seed_groups(runs), dict[str, list[tuple[Named, Look]]]()
    for group, look in zip(groups, looks(len(groups)), strict=True):
        of_score.setdefault(group.runs[0].run.score.name, []).extend((one, look) for one in group.runs)
    return {name: figure for name, looked in of_score.items() if (figure := _scatter(looked))}


def _scatter(runs: Sequence[tuple[Named, Look]]) -> Scatter | None:
    cost, score = _cost([one.run for one, _ in runs]), runs[0][0].run.score
    points = sorted((point for one, look in runs for point in _points(one, look, cost)), key=lambda point: point.gain)
    if not points:
        return None
    few = tail([point.gain for point in points], [p.gain for p in points if p.kind in ("found", "original")])
    along = axis(cost, range=span([point.cost for point in points]))
    up = score.axis(f"test {score.name}", [point.score for point in points[few:]], ".3~p")
    (low, high), higher = up["range"], score.info.higher_is_better
    edge, arrow = 0.03 * (high - low), "triangle-down" if higher else "triangle-up"
    outside = [point._replace(score=low + edge if higher else high - edge, symbol=arrow) for point in points[:few]]
    every = outside + points[few:]
    traces = [_trace(some, cost) for kind in _SIZES if (some := [point for point in every if point.kind == kind])]
    return Scatter(chart(traces, along, up, showlegend=False), [point.told for point in outside])


def _trace(points: Sequence[Point], cost: str) -> Trace:
    """The networks of one kind."""
    kind, told, costs, scores, _, colours, symbols = (list(column) for column in zip(*points, strict=True))
    marker = {"color": colours, "symbol": symbols, **_SIZES[kind[0]]}
    return trace(costs, scores, f"%{{text}}<br>{plain(cost)} %{{x:,}}", mode="markers", text=told, marker=marker)


def tail(values: Sequence[float], shown: Sequence[float]) -> int:
    """How many of the ascending values are so far below the others that these would fill half of an axis at most.

    They are a third of the values at most, and below all that is to be shown in any case.
    """
    for few in range(len(values) // 3, 0, -1):
        low, rest = values[few - 1], values[few:]
        if low < min(shown, default=math.inf) and rest[0] - low > rest[-1] - rest[0] > 0:
            return few
    return 0


def _points(one: Named, look: Look, cost: str) -> Iterator[Point]:
    """The tested networks of a run of which cost and score are known."""
    results, best, score = one.run.results, one.run.best, one.run.score
    found = [(best.text, best.costs, results.retrained.metrics)] if best and results.retrained else []
    original = [results.original] if results.original else []
    others = {"random": results.baselines, "compared": results.compared, "original": original}
    listed = {kind: [(it.name or it.text, it.costs, it.metrics) for it in some] for kind, some in others.items()}
    for kind, some in {**listed, "found": found}.items():
        for text, costs, metrics in some:
            if cost in costs and score.known(metrics):
                told, value = f"{one.name}, {kind} {text}: {score.text(metrics)}", score.of(metrics)
                gain = score.gain(value, 0.0)
                yield Point(kind, told, costs[cost], value, gain, look.colour, look.symbols[kind])


def _cost(runs: Sequence[LoadedRun]) -> str:
    """The cost of the chart: a budgeted one that all found networks have, else multiply-adds."""
    known = [run.costs for run in runs if run.costs]
    budgeted = [budget.cost for run in runs for budget in run.budgets]
    return next((cost for cost in budgeted if all(cost in costs for costs in known)), "flops")
