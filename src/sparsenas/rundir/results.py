"""results.json: what was measured of a run's networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sparsenas.rundir.folder import Run


def results(run: Run) -> dict[str, Any]:
    """results.json, or nothing yet."""
    return dict(run.read_json("results.json")) if run.has("results.json") else {}


def add_results(run: Run, new: Mapping[str, Any]) -> None:
    """Adds to results.json."""
    run.write_json("results.json", {**results(run), **new})


def drop_results(run: Run, *names: str) -> None:
    """Forgets results that no longer hold."""
    if run.has("results.json"):
        run.write_json("results.json", {n: value for n, value in results(run).items() if n not in names})
