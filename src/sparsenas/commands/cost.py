"""``sparsenas cost``: what architectures cost."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sparsenas.args import read_arch
from sparsenas.choice import Arch, choices
from sparsenas.costs import CostTable, Shape
from sparsenas.errors import UserError
from sparsenas.plugin import Plugin, space_of

FEW = 30
"""Up to this many architectures are traced one by one; more are worth a table."""


def cost(
    space: str | Plugin | None = None,
    arch: list[str] | None = None,
    archs: str | None = None,
    json: bool = False,
) -> None:
    """Prints multiply-adds, parameters, memory access and bit operations of architectures.

    Args:
        space: the search space; unless given, the one that a published architecture is of, else tiny.
        arch: an architecture: a published name such as spos_b, compact text, JSON by labels, uniform:LABEL or full;
            may be given several times.
        archs: a file with one architecture a line; - is standard input.
        json: print one JSON object a line.
    """
    asked = (arch or []) + (_read_lines(archs) if archs is not None else [])
    if not asked:
        raise UserError("cost: expected --arch ARCH or --archs FILE, got neither")
    found, rows = _count(asked, _spaces(asked, None if space is None else Plugin.of(space)))
    labels: list[Any] = [
        arch.to_json() if text.lstrip().startswith("{") else text for text, arch in zip(asked, found, strict=True)
    ]
    if json:
        sys.stdout.writelines(
            json_module.dumps({"arch": label, **row}) + "\n" for label, row in zip(labels, rows, strict=True)
        )
        return
    table = Table("arch", *(name.replace("_", " ") for name in costs))
    for arch_found, row in zip(found, rows, strict=True):
        table.add_row(arch_found.text(), *(f"{value:,}" for value in row.values()))
    Console().print(table)


def _spaces(asked: Sequence[str], space: Plugin | None) -> list[Plugin]:
    """The space of each architecture: the one given, or carried by its name or else by the first name that carries one."""
    carried = [space_of(text, space) for text in asked]
    others = next((found for found in carried if found is not None), Plugin("tiny"))
    return [others if found is None else found for found in carried]


def _count(asked: Sequence[str], spaces: Sequence[Plugin]) -> tuple[list[Arch], list[dict[str, int]]]:
    """The architectures and their costs, in order; each space is built once."""
    counted: dict[int, tuple[Arch, dict[str, int]]] = {}
    for space in spaces:
        mine = [i for i, other in enumerate(spaces) if other == space and i not in counted]
        if mine:
            net = space.build("space")
            questions = choices(net)
            archs, table = [read_arch(questions, asked[i]) for i in mine], CostTable(net, input_shape(space))
            costs = table(archs) if len(archs) > FEW else {}
            for row, (i, arch) in enumerate(zip(mine, archs, strict=True)):
                counted[i] = arch, {name: int(values[row]) for name, values in costs.items()} or table.exact(arch)
    return [counted[i][0] for i in range(len(asked))], [counted[i][1] for i in range(len(asked))]


def input_shape(space: Plugin) -> Shape:
    """The image shape a space is counted at: its flag, or the default of its parameter."""
    import inspect

    parameters = inspect.signature(space.callable("space")).parameters
    shape = space.flags.get("shape") or (parameters["shape"].default if "shape" in parameters else None)
    if shape is None:
        raise UserError(
            f"--space {space.name}: expected --space.shape CHANNELS,HEIGHT,WIDTH, since it has no shape of its own"
        )
    return tuple(shape)


def _read_lines(path: str) -> list[str]:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--archs {path}: expected a file with one architecture a line, got: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
