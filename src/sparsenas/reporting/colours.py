"""The colours of charts, by what they show."""

from __future__ import annotations

FOUND, OTHER, BLUE, GREEN, LIMIT = "#e8590c", "#8a94a6", "#4c7fe0", "#22a06b", "#e64980"
SERIES = (FOUND, BLUE, GREEN, OTHER, "#9c6ade", "#0c8599", "#b08900")
GENERATIONS = [[0.0, "#9aa3b5"], [0.5, BLUE], [1.0, GREEN]]
PARTS = {"train": BLUE, "val": GREEN, "test": OTHER}
STAR = {"size": 16, "color": FOUND, "symbol": "star", "line": {"color": "white", "width": 1}}
