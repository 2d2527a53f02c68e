"""What all charts of a report share: colours, an empty figure, and text that stays text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

from sparsenas.reporting.numbers import SPACE

FOUND, OTHER, BLUE, GREEN, LIMIT = "#e8590c", "#8a94a6", "#4c7fe0", "#22a06b", "#e64980"
MOST_POINTS = 5000
"""A chart of more points than this shows every second, third, ... only."""


def canvas(x: str, y: str, height: int = 340, title: str = "") -> go.Figure:
    """An empty figure with named axes."""
    figure = go.Figure()
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 60, "r": 16, "t": 40 if title else 16, "b": 48},
        separators=f".{SPACE}",
        hovermode="closest",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    )
    if title:
        figure.update_layout(title={"text": plain(title), "font": {"size": 14}, "x": 0.01, "y": 0.97})
    figure.update_xaxes(title={"text": plain(x), "font": {"size": 13}}, automargin=True, zeroline=False)
    figure.update_yaxes(title={"text": plain(y), "font": {"size": 13}}, automargin=True, zeroline=False)
    return figure


def thinned(count: int) -> int:
    """The step at which so many points are shown."""
    return max(1, -(-count // MOST_POINTS))


def span(values: Sequence[float]) -> list[float]:
    """The range of an axis that shows all values with a little room at both ends."""
    low, high = min(values), max(values)
    edge = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return [low - edge, high + edge]


def cut(text: str, most: int) -> str:
    """The beginning of a text that is too long."""
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def plain(text: str) -> str:
    """Text as it is: charts read some markup in labels, and ``%{`` in hover text; half characters cannot be drawn."""
    whole = text.encode("utf-8", "replace").decode()
    return escape(whole, quote=False).replace("%{", "%\u200b{")
