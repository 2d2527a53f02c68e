"""``sparsenas spaces``: the built-in search spaces."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Sequence
from decimal import Decimal
from functools import partial

from sparsenas.job.plugin import Plugin
from sparsenas.job.space_facts import describe
from sparsenas.reporting.numbers import SPACE, short
from sparsenas.rundir.progress import told_if_slow
from sparsenas.spaces import SPACES

WIDTHS = (14, 9, 7, 9, 18, 17)
"""Characters of the columns, which fit into 80."""


def spaces(space: Plugin | None = None, json: bool = False) -> None:
    """Lists the built-in spaces with their default flags: choices, number of architectures and range of costs.

    Costs are those of the input that the space is made for; --space with --space.shape C,H,W has those of another one.

    Args:
        space: the one space to list, with its flags. By default all.
        json: print one JSON object a line.
    """
    listed = [Plugin(name) for name in SPACES] if space is None else [space]
    if not json:
        _print("space", "input", "choices", "networks", "flops", "params")
    for number, one in enumerate(listed, 1):
        doing = f"counting the costs of {one.name} ({number} of {len(listed)}), which may take a minute"
        with told_if_slow(partial(print, file=sys.stderr), doing):
            entry = describe(one)
        if json:
            print(json_module.dumps(entry), flush=True)
            continue
        size = f"{Decimal(entry['size']):.3g}"  # a float has no room for the largest
        shape = "x".join(map(str, entry["shape"]))
        ranges = (_range(entry["range"][cost]) for cost in ("flops", "params"))
        _print(entry["name"], shape, str(len(entry["choices"])), size, *ranges)


def _print(*cells: str) -> None:
    print(" ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip(), flush=True)


def _range(ends: Sequence[float]) -> str:
    """The lowest and the highest cost; the one cost that all architectures have."""
    low, high = (short(end).replace(SPACE, " ") for end in ends)
    return f"{low} to {high}" if ends[0] < ends[1] else f"{low} (all)"
