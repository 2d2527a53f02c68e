"""``drawing.json``: the found architecture as graphs."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from sparsenas.core.graph import Graph


class ArchDrawing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``drawing.json``: what a report shows of the found architecture besides its choices."""

    FILE: ClassVar[str] = "drawing.json"
    graphs: list[Graph]
    """Cells and blocks."""
    notation: str = ""
    """The architecture as the field writes it, where the space has such a notation."""
