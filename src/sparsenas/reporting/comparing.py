"""Several runs on one page: their results, costs, searches and architectures side by side."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sparsenas.costs.layer import shown_costs
from sparsenas.reporting.canvas import Chart, Trace, axis, chart, plain, span, trace, values
from sparsenas.reporting.colours import SERIES
from sparsenas.reporting.findings import Mark, comparison
from sparsenas.reporting.loading import LoadedRun
from sparsenas.reporting.numbers import NONE, count
from sparsenas.reporting.trainings import training_warnings
from sparsenas.rundir.records import Metrics


class Named(NamedTuple):
    """A run with the name by which the page tells it from the others."""

    name: str
    run: LoadedRun


@dataclass(frozen=True)
class SameChoices:
    """Runs whose spaces have the same choices, with a row for each choice: its name and what each run keeps."""

    runs: list[Named]
    rows: list[tuple[str, list[str]]]

    @property
    def different(self) -> list[tuple[str, list[str]]]:
        """The rows in which the runs differ."""
        return [(name, kept) for name, kept in self.rows if len(set(kept)) > 1]


def named(runs: Sequence[LoadedRun]) -> list[Named]:
    """The runs by the names of their folders; with as many folders above as tell them apart."""
    parts = [run.folder.resolve().parts for run in runs]
    depth = 1
    while len({path[-depth:] for path in parts}) < len(set(parts)):
        depth += 1
    return [Named("/".join(path[-depth:]), run) for path, run in zip(parts, runs, strict=True)]


def costs(runs: Sequence[Named]) -> list[str]:
    """The costs that some found network has."""
    return shown_costs([one.run.costs for one in runs])


def scores(run: LoadedRun) -> list[float]:
    """The score of the found network, mean and best of the random ones, original, inherited; NaN where not known."""
    score, results, best = run.score, run.results, run.best
    random = [score.of(one.metrics) for one in results.baselines if score.known(one.metrics)] or [math.nan]
    found, original = (one.metrics if one else {} for one in (results.retrained, results.original))
    inherited = best.val if best and best.val else {}
    return [score.of(found), statistics.fmean(random), score.best(random), score.of(original), score.of(inherited)]


def cells(run: LoadedRun) -> list[str]:
    """The scores of a run's networks for people; those of random ones with their deviation and number."""
    found, random, *others = map(run.score.number, scores(run))
    if (compared := comparison(run)) and compared.deviation is not None:
        random += f" \u00b1 {run.score.difference(compared.deviation)}"
    known = sum(run.score.known(one.metrics) for one in run.results.baselines)
    return [run.score.name, found, f"{random} ({count(known)})" if known else random, *others]


def mark(run: LoadedRun) -> Mark:
    """Whether a run found a network that is better than random ones; open until it was compared with them."""
    compared = comparison(run)
    return "open" if compared is None else "good" if compared.margin > 0 else "bad"


class Effort(NamedTuple):
    """What a run took: seconds of the search and of everything, candidates scored, most memory in MiB."""

    search: float | None
    whole: float | None
    candidates: int
    memory: float | None


def effort(run: LoadedRun) -> Effort:
    """What the stages of a run took; the search is all before the first network is trained."""
    before = []
    for stage in run.done:
        if stage.stage == "retrain":
            break
        before.append(stage.seconds)
    memory = [stage.peak_memory_mib for stage in run.done if stage.peak_memory_mib is not None]
    whole = sum(stage.seconds for stage in run.done)
    return Effort(
        sum(before) if before else None, whole if run.done else None, len(run.candidates), max(memory, default=None)
    )


def warnings(runs: Sequence[Named]) -> list[str]:
    """Why the scores of some runs are not to be compared."""
    scores = {one.run.score.name for one in runs}
    told = [f"The runs have different scores: {', '.join(sorted(scores))}."] if len(scores) > 1 else []
    facts = {_data_of(one.run) for one in runs}
    if len(facts) > 1:
        told.append("The runs are not of the same examples, so their scores are not of the same test.")
    methods = {one.run.flag("method") for one in runs}
    if len(methods) > 1 and not any(one.run.results.retrained for one in runs):
        told.append(
            "No found network has been trained and tested yet. Scores on inherited weights are not comparable between "
            "methods, whose supernets differ; sparsenas retrain trains and tests what a search found."
        )
    if len({one.run.info.weights_sha256 for one in runs if one.run.info and one.run.info.weights_sha256}) > 1:
        told.append("The opened networks are not of the same original weights, so a better one may have begun better.")
    return told + training_warnings({one.name: one.run for one in runs if one.run.results.retrained})


def _data_of(run: LoadedRun) -> str:
    parts = run.data and (run.data.classes, run.data.shape, run.data.parts.get("test"))
    return json.dumps([run.flag("data"), parts], default=str)


def groups(runs: Sequence[Named]) -> list[SameChoices]:
    """The found architectures, of runs of the same choices together."""
    found: dict[str, list[Named]] = {}
    for one in runs:
        if one.run.best and one.run.space:
            choices = json.dumps([[choice.name, choice.options] for choice in one.run.space.choices])
            found.setdefault(choices, []).append(one)
    return [SameChoices(some, _rows(some)) for some in found.values()]


def _rows(runs: Sequence[Named]) -> list[tuple[str, list[str]]]:
    first = runs[0].run.space
    archs = [one.run.best.arch for one in runs if one.run.best]
    return [
        (each.name, [_kept(arch.get(each.name, "")) for arch in archs]) for each in (first.choices if first else ())
    ]


def _kept(label: str | list[str]) -> str:
    return label if isinstance(label, str) else ", ".join(label) or NONE


def scatters(runs: Sequence[Named]) -> dict[str, Chart]:
    """Test score against a cost, a chart for each score: found networks, random ones and originals of every run."""
    names = dict.fromkeys(one.run.score.name for one in runs)
    drawn = {name: _scatter([one for one in runs if one.run.score.name == name], runs) for name in names}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _scatter(runs: Sequence[Named], every: Sequence[Named]) -> Chart | None:
    cost, score = _cost(runs), runs[0].run.score
    traces: list[Trace] = []
    for one in runs:
        colour = SERIES[list(every).index(one) % len(SERIES)]
        for kind, points in _points(one.run).items():
            known = [(text, costs[cost], score.of(m)) for text, costs, m in points if cost in costs and score.known(m)]
            if known:
                look = {"marker": {"color": colour, **_LOOKS[kind]}, "legendgroup": one.name}
                texts, xs, ys = zip(*known, strict=True)
                hover = f"{kind} %{{text}}<br>{plain(score.name)} %{{y:{score.hover}}}<br>{plain(cost)} %{{x:,}}"
                shown = not any(each.get("legendgroup") == one.name for each in traces)
                traces.append(trace(xs, ys, hover, one.name, "markers", text=texts, showlegend=shown, **look))
    if not traces:
        return None
    along, up = axis(cost, range=span(values(traces, "x"))), score.axis(f"test {score.name}", values(traces), ".3~p")
    return chart(traces, along, up, showlegend=True)


_LOOKS: dict[str, dict[str, Any]] = {
    "found": {"size": 16, "symbol": "star", "line": {"color": "white", "width": 1}},
    "random": {"size": 8, "opacity": 0.5},
    "compared": {"size": 10, "symbol": "square"},
    "original": {"size": 12, "symbol": "diamond"},
}


def _points(run: LoadedRun) -> dict[str, list[tuple[str, Any, Metrics]]]:
    """The tested networks of a run by kind: text, costs and metrics."""
    results, best = run.results, run.best
    found = [(best.text, best.costs, results.retrained.metrics)] if best and results.retrained else []
    original = [results.original] if results.original else []
    others = {"random": results.baselines, "compared": results.compared, "original": original}
    listed = {kind: [(one.name or one.text, one.costs, one.metrics) for one in some] for kind, some in others.items()}
    return {"found": found, **listed}


def _cost(runs: Sequence[Named]) -> str:
    """The cost of the chart: a budgeted one that all found networks have, else multiply-adds."""
    budgeted = [budget.cost for one in runs for budget in one.run.budgets]
    known = [one.run.costs for one in runs if one.run.costs]
    return next((cost for cost in budgeted if all(cost in costs for costs in known)), "flops")
