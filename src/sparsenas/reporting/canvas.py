"""What all charts share: colours, axes, traces, and text that stays text. A chart is the JSON that plotly.js draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sparsenas.reporting.numbers import SPACE, cut, finite

Chart = dict[str, Any]
Trace = dict[str, Any]
MOST_POINTS = 5000
"""A trace of more points shows every second, third, ... point only."""


def chart(traces: Sequence[Trace], x: Mapping[str, Any], y: Mapping[str, Any], **layout: Any) -> Chart:
    """A chart of some traces with two axes."""
    margin = {"l": 60, "r": 16, "t": 16, "b": 48}
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    drawn = {"height": 340, "margin": margin, "separators": f".{SPACE}", "hovermode": "closest", "legend": legend}
    return {"data": list(traces), "layout": {**drawn, "xaxis": dict(x), "yaxis": dict(y), **layout}}


def axis(title: str, **settings: Any) -> dict[str, Any]:
    """An axis with a title."""
    return {"title": {"text": plain(title), "font": {"size": 13}}, "automargin": True, "zeroline": False, **settings}


def share_axis(title: str, values: Sequence[float], tickformat: str = ".0%", **settings: Any) -> dict[str, Any]:
    """An axis of shares of one, which ends at 100 % and at 0."""
    low, high = span(values)
    return axis(title, tickformat=tickformat, range=[max(low, 0.0), min(high, 1.0)], **settings)


def span(values: Sequence[float]) -> list[float]:
    """The range of an axis that shows all values with some room at both ends."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    edge = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return [low - edge, high + edge]


def trace(
    x: Sequence[float], y: Sequence[float], hover: str, name: str = "", mode: str = "lines", **more: Any
) -> Trace:
    """Points or a line. Its name and the ``text`` of its points are shown as they are, whatever they contain."""
    words = plain(cut(name, 24))
    texts = {"text": [plain(text) for text in more.pop("text")]} if "text" in more else {}
    where = {"x": list(map(finite, x)), "y": list(map(finite, y)), "cliponaxis": False}
    mode = "lines+markers" if len(x) == 1 and mode == "lines" else mode
    shown = {"name": words, "mode": mode, "hovertemplate": f"{hover}<extra>{words}</extra>"}
    return {"type": "scatter", **where, **shown, **texts, **more}


def values(traces: Sequence[Trace], axis: str = "y") -> list[float]:
    """All that traces show on an axis."""
    return [value for each in traces for value in each[axis] if value is not None]


def upright(x: float, colour: str, dash: str, width: float = 1.5) -> dict[str, Any]:
    """A vertical line through the whole chart."""
    ends = {"x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper"}
    return {"type": "line", **ends, "line": {"color": colour, "width": width, "dash": dash}}


def thinned(points: int) -> int:
    """The step at which so many points are shown."""
    return max(1, math.ceil(points / MOST_POINTS))


def plain(text: str) -> str:
    """Text that is drawn as it is: plotly.js reads some markup in labels, and ``%{`` in hover text."""
    whole = text.encode("utf-8", "replace").decode()
    return escape(whole, quote=False).replace("%{", "%\u200b{")
