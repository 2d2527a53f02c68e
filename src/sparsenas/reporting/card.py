"""The model card of a published network: Markdown with facts for the hub at its head."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import yaml

from sparsenas.objectives.objective import LOSS
from sparsenas.reporting.document import template
from sparsenas.reporting.loading import LoadedRun


def card(run: LoadedRun, files: Collection[str], license: str, prepared: Mapping[str, Any] | None) -> str:
    """The text of the card.

    Args:
        run: the run whose network is published.
        files: names of the published files.
        license: of the weights; empty where none was given, and then none is told.
        prepared: ``mean``, ``std`` and ``crop`` of the inputs; ``None`` where nobody knows how they are prepared.
    """
    tested = run.results.retrained or run.results.inherited
    facts: dict[str, Any] = {"license": license} if license else {}
    facts |= {"library_name": "pytorch", "tags": ["sparsenas", "neural-architecture-search", run.flag("objective")]}
    if metrics := [name for name in (tested.metrics if tested else ()) if name != LOSS]:
        facts["metrics"] = metrics
    head = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
    return template("card.md.j2").render(run=run, files=files, license=license, prepared=prepared, head=head)
