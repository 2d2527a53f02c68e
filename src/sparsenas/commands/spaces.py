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
COSTS = ("flops", "params")
"""The last columns."""


def spaces(space: Plugin | None = None, costs: bool = False, json: bool = False) -> None:
    """Lists the built-in spaces with their default flags: choices and number of architectures, on request costs.

    Costs are those of the input that the space is made for; --space with --space.shape C,H,W has those of another one.

    Args:
        space: the one space to list, with its flags and its range of costs. By default all.
        costs: count the range of costs of all spaces, which takes about a minute.
        json: print one JSON object a line, with the range of costs.
    """
    listed = [Plugin(name) for name in SPACES] if space is None else [space]
    counted = costs or json or space is not None
    if not json:
        _print("space", "input", "choices", "networks", *(COSTS if counted else ()))
    for number, one in enumerate(listed, 1):
        doing = f"counting the costs of {one.name} ({number} of {len(listed)}), which may take a minute"
        with told_if_slow(partial(print, file=sys.stderr), doing if counted else f"building {one.name}"):
            entry = describe(one, counted)
        if json:
            print(json_module.dumps(entry), flush=True)
            continue
        size = f"{Decimal(entry['size']):.3g}"  # a float has no room for the largest
        shape = "x".join(map(str, entry["shape"]))
        ranges = [_range(entry["range"][cost]) for cost in COSTS] if counted else []
        _print(entry["name"], shape, str(len(entry["choices"])), size, *ranges)
    if not counted:
        told = "sparsenas spaces --costs adds the ranges of flops and params in about a minute"
        print(f"{told}; --space NAME lists one space with its own", file=sys.stderr)


def _print(*cells: str) -> None:
    print(" ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=False)).rstrip(), flush=True)


def _range(ends: Sequence[float]) -> str:
    """The lowest and the highest cost; the one cost that all architectures have."""
    low, high = (short(end).replace(SPACE, " ") for end in ends)
    return f"{low} to {high}" if ends[0] < ends[1] else f"{low} (all)"
