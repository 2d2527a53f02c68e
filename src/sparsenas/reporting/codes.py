"""How sparse codes were recovered, epoch by epoch: what ISTA-NAS logs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import plotly.graph_objects as go

from sparsenas.reporting.canvas import BLUE, FOUND, GREEN, OTHER, canvas
from sparsenas.reporting.numbers import number, percent, several
from sparsenas.reporting.read import Json, RunFiles, finished, numbers, section


def recoveries(run: RunFiles) -> list[Json]:
    """The training lines that tell of a recovery."""
    return [line for lines in run.training().values() for line in lines if section(line, "codes")]


def supports(lines: Sequence[Json]) -> go.Figure:
    """How many supports changed in every epoch, and how many choices were frozen."""
    figure = canvas("epoch", "choices")
    _add(figure, lines, "support changed", FOUND, lambda codes: number(codes.get("changed")))
    _add(figure, lines, "frozen", BLUE, lambda codes: float(len(_names(codes, "frozen"))))
    return figure


def fits(lines: Sequence[Json]) -> go.Figure:
    """How far z moved, the residual of the recovery, and the gap that is left by the support alone, on average."""
    figure = canvas("epoch", "distance")
    _add(figure, lines, "z moved", GREEN, lambda codes: _mean(section(codes, "moved")))
    _add(figure, lines, "residual", OTHER, lambda codes: _mean(section(codes, "residual")))
    _add(figure, lines, "gap", BLUE, lambda codes: _mean(section(codes, "gap")))
    figure.update_yaxes(type="log", exponentformat="power")
    return figure


def words(lines: Sequence[Json]) -> str:
    """The state after the last recovery, in sentences."""
    codes = section(lines[-1], "codes")
    choices, frozen, displaced = (len(names) for names in (section(codes, "kept"), *_lists(codes)))
    told = f"Every answer is learned as a sparse code: {several(choices, 'choice')}, of which {frozen} were frozen."
    last = max((finished(line) for line in lines if number(section(line, "codes").get("changed"))), default=0)
    told += f" The last support changed in epoch {last}."
    if (gap := _mean(section(codes, "gap"))) is not None:
        told += f" At the end A z on the supports alone missed b by {percent(gap)} of its length."
    if displaced:
        told += f" A budget forbids the strongest support of {several(displaced, 'choice')}; the strongest legal runs."
    return told


def _lists(codes: Json) -> tuple[list[str], list[str]]:
    return _names(codes, "frozen"), _names(codes, "displaced")


def _names(codes: Json, key: str) -> list[str]:
    found = codes.get(key)
    return [str(name) for name in found] if isinstance(found, list) else []


def _mean(values: Json) -> float | None:
    known = list(numbers(values).values())
    return statistics.fmean(known) if known else None


def _add(
    figure: go.Figure, lines: Sequence[Json], name: str, colour: str, value: Callable[[Json], float | None]
) -> None:
    points = [(finished(line), value(section(line, "codes"))) for line in lines]
    known = [(epoch, y) for epoch, y in points if y is not None]
    figure.add_scatter(
        x=[epoch for epoch, _ in known],
        y=[y for _, y in known],
        name=name,
        mode="lines+markers" if len(known) < 30 else "lines",
        line={"color": colour, "width": 2},
        hovertemplate="epoch %{x}: %{y:.3~g}<extra>" + name + "</extra>",
    )
