"""``sparsenas cost``: what architectures cost."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sparsenas.args import read_arch
from sparsenas.choice import Arch, choices
from sparsenas.costs import CostTable, Shape
from sparsenas.errors import UserError
from sparsenas.plugin import Plugin


def cost(
    space: str | Plugin = "tiny",
    arch: list[str] | None = None,
    archs: str | None = None,
    json: bool = False,
) -> None:
    """Prints multiply-adds, parameters, memory access and bit operations of architectures.

    Args:
        space: the search space.
        arch: an architecture: compact text, JSON by labels, uniform:LABEL or full; may be given several times.
        archs: a file with one architecture a line; - is standard input.
        json: print one JSON object a line.
    """
    space = Plugin.of(space)
    asked = (arch or []) + (_read_lines(archs) if archs is not None else [])
    if not asked:
        raise UserError("cost: expected --arch ARCH or --archs FILE, got neither")
    net = space.build("space")
    questions = choices(net)
    found = [_read(questions, text) for text in asked]
    costs = CostTable(net, input_shape(space))(found)
    rows = [{name: int(values[i]) for name, values in costs.items()} for i in range(len(found))]
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


def _read(questions: dict[str, Any], text: str) -> Arch:
    return read_arch(questions, text)
