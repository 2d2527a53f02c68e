"""``sparsenas cost``: what architectures cost."""

from __future__ import annotations

import json as json_module

from rich.console import Console
from rich.table import Table

from sparsenas.costs.layer import format_cost, shown_costs
from sparsenas.errors import UserError
from sparsenas.job.arch_costs import costs_of, read_archs
from sparsenas.job.plugin import Plugin
from sparsenas.timing import read_table


def cost(
    space: Plugin | None = None,
    arch: list[str] | None = None,
    archs: str | None = None,
    latency: str = "",
    cost: list[str] | None = None,
    json: bool = False,
) -> None:
    """Prints multiply-adds, parameters, memory access, bit operations and measured latency of architectures.

    Args:
        space: search space (by default of the published architecture, else tiny)
        arch: architecture: published name (spos_b), compact text, JSON by labels, uniform:LABEL, or full (the largest,
            of an opened network the original). Repeatable. For found, which needs a run folder, see evaluate.
        archs: file with one architecture per line; - is standard input.
        latency: latency table, made by sparsenas latency. It adds the cost latency_ms.
        cost: cost to count as well: peak_memory, bytes, or a function of a layer or of the list of layers, as
            package.module:callable. Repeatable.
        json: print one JSON object per line.
    """
    asked = (arch or []) + (read_archs(archs) if archs is not None else [])
    if not asked:
        raise UserError("expected --arch ARCH or --archs FILE, got neither")
    counted = costs_of(asked, space, read_table(latency) if latency else None, cost or [])
    if json:
        for text, (found, row) in zip(asked, counted, strict=True):
            label = found.to_json() if text.lstrip().startswith("{") else text
            print(json_module.dumps({"arch": label, **row}))
        return
    names = shown_costs([row for _, row in counted])
    table = Table("arch", *(name.replace("_", " ") for name in names))
    for found, row in counted:
        table.add_row(found.text(), *(format_cost(row[name]) for name in names))
    Console().print(table)
