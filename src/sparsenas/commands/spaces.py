"""``sparsenas spaces``: the built-in search spaces."""

from __future__ import annotations

import json as json_module
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from sparsenas.job.plugin import Plugin
from sparsenas.job.space_facts import describe
from sparsenas.spaces import SPACES


def spaces(json: bool = False) -> None:
    """Lists the built-in spaces with their default flags: choices, number of architectures and range of costs.

    Args:
        json: print one JSON object a line.
    """
    described = [describe(Plugin(name)) for name in SPACES]
    if json:
        for entry in described:
            print(json_module.dumps(entry))
        return
    table = Table("space", "input", "choices", "architectures", "flops", "params")
    for entry in described:
        ranges = (f"{low:,} to {high:,}" for low, high in (entry["range"]["flops"], entry["range"]["params"]))
        table.add_row(
            entry["name"],
            "x".join(map(str, entry["shape"])),
            str(len(entry["choices"])),
            f"{Decimal(entry['size']):.3g}",  # a float has no room for the largest
            *ranges,
        )
    Console().print(table)
