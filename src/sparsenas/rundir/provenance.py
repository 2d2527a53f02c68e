"""How the trained network of a run folder came about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from sparsenas.rundir.folder import Run


def keep_trained(run: Run, net: nn.Module, how: Mapping[str, Any]) -> None:
    """Writes net.pt, and before it net.json, which says how it came about where there is something to say."""
    if how:
        run.write_json("net.json", how)
    else:
        run.remove("net.json")
    run.save("net.pt", net.state_dict())


def trained_as(run: Run) -> dict[str, Any]:
    """How ``net.pt`` came about: its target and what that was fitted to, and whether in one stage with the search."""
    return dict(run.read_json("net.json")) if run.has("net.json") else {}
