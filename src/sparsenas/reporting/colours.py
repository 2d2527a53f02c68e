"""The colours of charts, by what they show."""

from __future__ import annotations

FOUND, OTHER, BLUE, GREEN, LIMIT = "#e8590c", "#8a94a6", "#4c7fe0", "#22a06b", "#e64980"
SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Okabe and Ito's colours without black and yellow: the colour-blind tell them apart, on light and dark pages."""
_OTHERS = {"compared": "square", "original": "diamond"}
SHAPES = (
    ({"found": "star", "random": "circle", **_OTHERS}, "\u2605"),
    ({"found": "hexagram", "random": "triangle-up", **_OTHERS}, "\u2736"),
    ({"found": "star-diamond", "random": "cross", **_OTHERS}, "\u2726"),
)
"""Symbols of networks by kind, and a character like that of found ones: the next where all colours are taken."""
GENERATIONS = [[0.0, "#9aa3b5"], [0.5, BLUE], [1.0, GREEN]]
PARTS = {"train": BLUE, "val": GREEN, "test": OTHER}
STAR = {"size": 16, "color": FOUND, "symbol": "star", "line": {"color": "white", "width": 1}}
