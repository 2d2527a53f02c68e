"""The charts of a report. The page, which knows light from dark, colours text and grid."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from sparsenas.reporting.canvas import Chart, Trace, axis, chart, plain, span, thinned, trace, upright, values
from sparsenas.reporting.colours import BLUE, FOUND, GENERATIONS, GREEN, LIMIT, OTHER, PARTS, SERIES, STAR
from sparsenas.reporting.findings import limit
from sparsenas.reporting.loading import LoadedRun
from sparsenas.reporting.numbers import cut
from sparsenas.rundir.records import FrontPoint, Scored
from sparsenas.rundir.results import Compared

_MOST_BARS = 200


def tested(run: LoadedRun) -> Chart | None:
    """Scores side by side: with inherited weights, retrained, and every random architecture."""
    val, inherited, retrained = run.best and run.best.val, run.results.inherited, run.results.retrained
    score = run.score
    named = [
        ("validation, inherited", val),
        ("test, inherited", inherited and inherited.metrics),
        (f"test, {run.how_trained}", retrained and retrained.metrics),
    ]
    known = [(name, score.of(metrics)) for name, metrics in named if metrics and score.known(metrics)]
    random = [one for one in run.results.baselines if score.known(one.metrics)]
    if not known and not random:
        return None
    rows = [name for name, _ in known] + ["test, random"] * bool(random)
    places = list(range(len(rows) - 1, -1, -1))
    colours = [BLUE if "inherited" in name else FOUND for name, _ in known]
    marker = {"size": 15, "color": colours, "symbol": "diamond"}
    xs, ys = [x for _, x in known], places[: len(known)]
    traces = [trace(xs, ys, f"%{{x:{score.hover}}}", mode="markers", marker=marker)]
    traces += _random_scores(run, random) if random else []
    return chart(
        traces,
        score.axis(score.name, values(traces, "x"), ".3~p", nticks=5),
        axis("", tickvals=places, ticktext=rows, range=[-0.6, len(rows) - 0.4]),
        height=110 + 55 * len(rows),
        showlegend=False,
        shapes=[upright(known[-1][1], FOUND, "dot")] if retrained and known and random else [],
    )


def _random_scores(run: LoadedRun, random: Sequence[Compared]) -> list[Trace]:
    """A point for each random architecture, and below them their mean and standard deviation."""
    score, scores = run.score, [run.score.of(one.metrics) for one in random]
    spread = [0.16 * ((i * 5) % 7 - 3) / 3 for i in range(len(scores))]
    look: dict[str, Any] = {"mode": "markers", "marker": {"size": 9, "color": OTHER, "opacity": 0.75}}
    hover, texts = f"%{{text}}<br>%{{x:{score.hover}}}", [one.text for one in random]
    traces = [trace(scores, spread, hover, text=texts, **look)]
    if len(scores) > 1:
        mean, deviation = statistics.fmean(scores), statistics.stdev(scores)
        bar = {"type": "data", "array": [deviation], "color": OTHER, "thickness": 1.5}
        look = {"marker": {"size": 8, "color": OTHER, "symbol": "line-ns-open"}, "error_x": bar}
        told = f"mean {score.number(mean)}, standard deviation {score.difference(deviation)}"
        traces.append(trace([mean], [-0.36], told, mode="markers", **look))
    return traces


def search_costs(run: LoadedRun) -> list[str]:
    """The costs against which candidates are drawn: that of the front, then the budgeted ones, else multiply-adds."""
    budgeted = [budget.cost for budget in run.search_budgets]
    return list(dict.fromkeys([run.front.cost, *budgeted] if run.front else budgeted or ["flops"]))[:3]


def search_history(run: LoadedRun, cost: str) -> Chart | None:
    """Score against cost of every candidate, and the front, the found network and the budget where there is one."""
    known = [line for line in run.candidates if cost in line.costs and run.score.known(line.metrics)]
    if not known:
        return None
    score = run.score
    hover = f"{plain(score.name)} %{{y:{score.hover}}}<br>{plain(cost)} %{{x:,}}"

    def points(scored: Sequence[Scored] | Sequence[FrontPoint], name: str, **look: Any) -> Trace:
        xs, ys = [one.costs[cost] for one in scored], [score.of(one.metrics) for one in scored]
        return trace(xs, ys, "%{text}<br>" + hover, name, text=[one.text for one in scored], **look)

    shown = known[:: thinned(len(known))]
    traces = [points(shown, "candidates", mode="markers", marker=_by_generation([one.generation for one in shown]))]
    if run.front and run.front.cost == cost:
        steps = {"line": {"color": GREEN, "shape": "hv"}, "marker": {"size": 8, "color": GREEN}}
        traces.append(points(run.front.points, "front", mode="lines+markers", **steps))
    if run.best and run.best.val and cost in run.costs:
        found = score.of(run.best.val)
        traces.append(trace([run.costs[cost]], [found], hover, "found", "markers", marker=STAR))
    bounds = [limit(budget)[1] for budget in run.search_budgets if budget.cost == cost]
    where = {"y": 1, "yref": "paper", "xanchor": "right", "yanchor": "bottom", "showarrow": False}
    return chart(
        traces,
        axis(cost, range=span(values(traces, "x") + bounds)),
        score.axis(f"{score.name} on validation examples", values(traces)),
        shapes=[upright(bound, LIMIT, "dash") for bound in bounds],
        annotations=[{**where, "x": bound, "text": "budget", "font": {"color": LIMIT}} for bound in bounds],
    )


def _by_generation(generations: Sequence[int]) -> dict[str, Any]:
    """Markers coloured by generation, with a scale where there are several."""
    step = max(1, math.ceil((max(generations) - min(generations)) / 6))
    title = {"text": "generation", "side": "right", "font": {"size": 13}}
    bar = {"title": title, "thickness": 10, "outlinewidth": 0, "dtick": step}
    shown = max(generations) > min(generations)
    scale = {"color": list(generations), "colorscale": GENERATIONS, "showscale": shown, "colorbar": bar}
    return {"size": 6, "opacity": 0.8, **scale}


def search_progress(run: LoadedRun) -> Chart | None:
    """The best score after so many candidates, of the search and of random search where there was one."""
    searches, traces = [(run.flag("method"), BLUE, run.candidates), ("random search", OTHER, run.random)], []
    for name, colour, candidates in searches:
        best = best_so_far(run, candidates)
        steps = [i for i, score in enumerate(best) if i in (0, len(best) - 1) or score != best[i - 1]]
        look: dict[str, Any] = {"line": {"color": colour, "shape": "hv"}, "showlegend": bool(run.random)}
        xs, ys, hover = [i + 1 for i in steps], [best[i] for i in steps], f"after %{{x}}: %{{y:{run.score.hover}}}"
        traces.append(trace(xs, ys, hover, name, **look))
    if not values(traces):
        return None
    up = run.score.axis(f"best {run.score.name} so far", values(traces), ".1%")
    return chart(traces, axis("candidates scored"), up)


def best_so_far(run: LoadedRun, candidates: Sequence[Scored]) -> list[float]:
    """The best score after every candidate."""
    better = max if run.score.info.higher_is_better else min
    return list(itertools.accumulate((run.score.of(line.metrics) for line in candidates), better))


def training_metrics(run: LoadedRun) -> list[str]:
    """The loss and the score."""
    return list(dict.fromkeys(["loss", run.score.info.name]))


def training_curves(run: LoadedRun, metric: str) -> Chart:
    """A metric of every training by epoch; random architectures share a legend entry."""
    colours, traces = {"supernet": BLUE, "retrain": FOUND}, list[Trace]()
    more = itertools.cycle(SERIES[2:])
    for stage, epochs in run.training.items():
        random = stage.startswith("baseline")
        colour = OTHER if random else colours.get(stage) or next(more)
        points = [(line.epoch + 1, line.metrics[metric]) for line in epochs if metric in line.metrics]
        traces.append(_by_epoch(points, "random" if random else stage, colour, 1 if random else 2))
        traces[-1] |= {"showlegend": not random or stage == "baseline1"} | ({"legendgroup": "random"} if random else {})
    title = f"{metric.replace('_', ' ')} on training examples"
    scale = run.score.axis(title, values(traces)) if metric == run.score.info.name else axis(title)
    return chart(traces, _epochs(traces), scale)


def _by_epoch(points: Sequence[tuple[int, float]], name: str, colour: str, width: float = 2) -> Trace:
    shown = points[:: thinned(len(points))]
    look: dict[str, Any] = {"line": {"color": colour, "width": width}, "showlegend": True}
    return trace([epoch for epoch, _ in shown], [y for _, y in shown], "epoch %{x}: %{y:.4~g}", name, **look)


def _epochs(traces: Sequence[Trace]) -> dict[str, Any]:
    return axis("epoch", **({"dtick": 1} if max(values(traces, "x"), default=0) <= 10 else {}))


def method_figures(run: LoadedRun) -> dict[str, Chart]:
    """A chart for each quantity that the method has logged by epoch; logarithmic where it spans two decades."""
    figures: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for line in (line for lines in run.training.values() for line in lines):
        for quantity, named in line.figures.items():
            for name, value in named.items():
                figures.setdefault(quantity, {}).setdefault(name, []).append((line.epoch + 1, value))
    return {quantity: _figure(quantity, named) for quantity, named in figures.items()}


def _figure(quantity: str, named: Mapping[str, Sequence[tuple[int, float]]]) -> Chart:
    traces = [_by_epoch(points, name, colour) for (name, points), colour in zip(named.items(), itertools.cycle(SERIES))]
    lowest, highest = min(values(traces), default=0), max(values(traces), default=0)
    wide = lowest > 0 and highest >= 100 * lowest
    scale = {"type": "log", "exponentformat": "power"} if wide else {"rangemode": "tozero"}
    return chart(traces, _epochs(traces), axis(quantity, **scale))


def summary(run: LoadedRun) -> str:
    """What the method says of its last epoch."""
    return next((told for lines in run.training.values() for line in reversed(lines) if (told := line.summary)), "")


def balance(run: LoadedRun) -> Chart | None:
    """Examples of each class, by part."""
    if run.data is None or not 1 < len(run.data.classes) <= _MOST_BARS:
        return None
    bars = []
    for part, counts in run.data.parts.items():
        look = {
            "marker": {"color": PARTS.get(part, OTHER)},
            "hovertemplate": f"%{{x}}: %{{y:,}}<extra>{plain(part)}</extra>",
        }
        bars.append({"type": "bar", "x": list(range(len(counts))), "y": counts, "name": plain(part), **look})
    names = [plain(cut(name, 24)) for name in run.data.classes]
    ticks = {"tickvals": list(range(len(names))), "ticktext": names} if len(names) <= 30 else {}
    return chart(bars, axis("", **ticks), axis("examples"), height=260, barmode="stack")
