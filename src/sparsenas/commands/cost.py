"""``sparsenas cost``: what architectures cost."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sparsenas.core.arch import Arch
from sparsenas.core.gate import choices
from sparsenas.costs import CostTable
from sparsenas.costs.latency import LatencyTable
from sparsenas.costs.layer import as_number, format_cost
from sparsenas.errors import UserError
from sparsenas.job.plugin import Plugin, space_of
from sparsenas.job.space_facts import input_shape
from sparsenas.job.task import costs_with
from sparsenas.spaces.published import read_arch
from sparsenas.timing import read_table

FEW = 30
"""Up to this many architectures are traced one by one; more are worth a table."""


def cost(
    space: str | Plugin | None = None,
    arch: list[str] | None = None,
    archs: str | None = None,
    latency: str = "",
    json: bool = False,
) -> None:
    """Prints multiply-adds, parameters, memory access, bit operations and measured latency of architectures.

    Args:
        space: the search space; unless given, the one that a published architecture is of, else tiny.
        arch: an architecture: a published name such as spos_b, compact text, JSON by labels, uniform:LABEL or full;
            may be given several times.
        archs: a file with one architecture a line; - is standard input.
        latency: a latency table of a device, made by sparsenas latency; gives the cost latency_ms.
        json: print one JSON object a line.
    """
    asked = (arch or []) + (_read_lines(archs) if archs is not None else [])
    if not asked:
        raise UserError("cost: expected --arch ARCH or --archs FILE, got neither")
    measured = read_table(latency) if latency else None
    counted = _count(asked, _spaces(asked, None if space is None else Plugin.of(space)), measured)
    if json:
        for text, (found, row) in zip(asked, counted, strict=True):
            label = found.to_json() if text.lstrip().startswith("{") else text
            print(json_module.dumps({"arch": label, **row}))
        return
    table = Table("arch", *(name.replace("_", " ") for name in counted[0][1]))
    for found, row in counted:
        table.add_row(found.text(), *map(format_cost, row.values()))
    Console().print(table)


def _spaces(asked: Sequence[str], space: Plugin | None) -> list[Plugin]:
    """The space of each architecture: carried by its name, or given, or else carried by another's name."""
    carried = [space_of(text, space) for text in asked]
    others = next((found for found in carried if found is not None), Plugin("tiny"))
    return [others if found is None else found for found in carried]


def _count(
    asked: Sequence[str], spaces: Sequence[Plugin], measured: LatencyTable | None
) -> list[tuple[Arch, dict[str, float]]]:
    """The architectures and their costs, in order; each space is built once."""
    groups: dict[str, list[int]] = {}
    for i, space in enumerate(spaces):
        groups.setdefault(repr(space), []).append(i)
    counted: dict[int, tuple[Arch, dict[str, float]]] = {}
    for members in groups.values():
        space = spaces[members[0]]
        net, shape = space.build("space"), input_shape(space)
        questions = choices(net)
        archs = [read_arch(questions, asked[i]) for i in members]
        table = CostTable(net, shape, costs_with(measured, space.words("space", shape=shape)))
        counted.update(zip(members, zip(archs, _costs(table, archs), strict=True), strict=True))
    return [counted[i] for i in range(len(asked))]


def _costs(table: CostTable, archs: Sequence[Arch]) -> list[dict[str, float]]:
    if len(archs) <= FEW:
        return [table.exact(arch) for arch in archs]
    columns = table(archs)
    return [{name: as_number(name, values[row]) for name, values in columns.items()} for row in range(len(archs))]


def _read_lines(path: str) -> list[str]:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--archs {path}: expected a file with one architecture a line, got: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
