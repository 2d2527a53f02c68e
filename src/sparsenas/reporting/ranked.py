"""How well the supernet's scores rank architectures of known accuracy, from rank.json and rank.jsonl."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import plotly.graph_objects as go

from sparsenas.reporting.canvas import BLUE, FOUND, canvas, plain, thinned
from sparsenas.reporting.markup import Html, element, glue, table
from sparsenas.reporting.numbers import NONE, count, number, percent, points
from sparsenas.reporting.read import Json, RunFiles, objects, section

GROUPS = {"all": "all rows", "distinct": "distinct networks"}


class Point(NamedTuple):
    """An architecture's score on inherited weights beside its true accuracy."""

    text: str
    score: float
    truth: float


def measures(run: RunFiles) -> list[Json]:
    """The rankings that were compared with the truth: the supernet's in every setting, and costs alone."""
    return objects(run.rank.get("measures"))


def main_measure(run: RunFiles, by: str = "accuracy") -> Json:
    """Such a score on inherited weights, recalibrated as in the run's search if that was compared, else the last."""
    known = [measure for measure in measures(run) if measure.get("by") == by]
    own = section(run.config, "score").get("calibration")
    return next((measure for measure in known if measure.get("calibration") == own), known[-1] if known else {})


def deciding_measure(run: RunFiles) -> Json:
    """The score by which the run's search compares candidates, if it was compared with the truth, else accuracy."""
    score = section(run.config, "score")
    by, share = str(score.get("by")), number(score.get("shrink"))
    return main_measure(run, f"{by}, shrunk" if share else by) or main_measure(run)


def scatter(run: RunFiles) -> go.Figure | None:
    """The supernet's score against the true accuracy of every architecture scored; tau and rho in the title."""
    measure = main_measure(run)
    known = list(_points(run, measure))
    if not known:
        return None
    agreed = section(measure, "all")
    title = f"Kendall tau {_value(agreed.get('tau'))}, Spearman rho {_value(agreed.get('rho'))}"
    title += f" ({count(number(agreed.get('rows')))} architectures)"
    figure = canvas("accuracy on inherited weights", "true accuracy", height=420, title=title)
    found = [point for point in known if point.text == section(run.rank, "found").get("text")]
    for name, some, marker in (
        ("architectures", known[:: thinned(len(known))], {"size": 6, "color": BLUE, "opacity": 0.55}),
        ("found", found, {"size": 16, "color": FOUND, "symbol": "star", "line": {"color": "white", "width": 1}}),
    ):
        _add_points(figure, name, some, marker)
    figure.update_layout(showlegend=False)
    figure.update_xaxes(tickformat=".3~p")
    figure.update_yaxes(tickformat=".3~p")
    return figure


def _add_points(figure: go.Figure, name: str, some: list[Point], marker: dict[str, Any]) -> None:
    figure.add_scatter(
        x=[point.score for point in some],
        y=[point.truth for point in some],
        text=[plain(point.text) for point in some],
        mode="markers",
        name=name,
        marker=marker,
        hovertemplate="%{text}<br>score %{x:.2%}<br>true accuracy %{y:.2%}<extra></extra>",
    )


def _points(run: RunFiles, measure: Json) -> Iterator[Point]:
    truth, setting = section(run.rank, "truth"), ("calibration", "val")
    scored = (line for line in run.ranked if measure and all(line.get(key) == measure.get(key) for key in setting))
    for text, line in {str(line.get("text")): line for line in scored}.items():
        score, true = number(line.get("accuracy")), number(truth.get(text))
        if score is not None and true is not None:
            yield Point(text, score, true)


def agreements(run: RunFiles) -> Html:
    """Tau and rho of every ranking, over all rows and over distinct networks."""
    head = [
        "ranked by",
        "calibration images",
        *(f"{name}, {group}" for group in GROUPS.values() for name in ("rows", "tau", "rho")),
    ]
    rows = []
    for measure in measures(run):
        cells = [section(measure, group) for group in GROUPS]
        values = [[count(number(cell.get("rows"))), _value(cell.get("tau")), _value(cell.get("rho"))] for cell in cells]
        images = number(measure.get("images"))
        rows.append([str(measure.get("by")), "none" if images == 0 else count(images), *values[0], *values[1]])
    return table(head, rows)


def _value(value: object) -> str:
    known = number(value)
    return NONE if known is None else f"{known:.3f}"


def words(run: RunFiles) -> Html:
    """Whether the supernet is better than counting multiply-adds, and where the found network stands."""
    costs = [number(section(m, "distinct").get("tau")) for m in measures(run) if m.get("by") == "flops"]
    ours, counted = number(section(deciding_measure(run), "distinct").get("tau")), costs[0] if costs else None
    told = f"Of {count(number(run.rank.get('rows')))} architectures in {run.rank.get('table')} the accuracy is known."
    if ours is not None and counted is not None:
        better = "better" if ours > counted else "no better"
        told += f" The supernet ranks them {better} than counting multiply-adds does: tau {ours:.3f} by "
        told += f"{deciding_measure(run)['by']} against "
        told += f"{counted:.3f} over distinct networks."
    return glue([element("p", {}, told), *([element("p", {}, _standing(run))] if section(run.rank, "found") else [])])


def _standing(run: RunFiles) -> str:
    found = section(run.rank, "found")
    places = []
    for name, among in (("within_budget", "architectures within the budget"), ("distinct", "distinct networks")):
        place = section(found, name)
        if not place:
            continue
        gap, rank = number(place.get("gap")), count(number(place.get("rank")))
        below = f"{points(gap)} points below the best" if gap else "the best"
        places.append(f"{below} (rank {rank} of {count(number(place.get('of')))} {among})")
    return (
        f"The true accuracy of the found network is {percent(number(found.get('accuracy')))}: {', and '.join(places)}."
    )
