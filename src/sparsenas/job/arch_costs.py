"""What architectures cost, in any space."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sparsenas.core.arch import Arch
from sparsenas.costs import Cost, CostTable
from sparsenas.costs.latency import LatencyTable
from sparsenas.costs.layer import as_number
from sparsenas.errors import UserError
from sparsenas.job.limits import costs_with, more_costs
from sparsenas.job.named_archs import named_arch
from sparsenas.job.plugin import Plugin, space_of
from sparsenas.job.space_facts import sized_space, space_words

FEW = 30
"""Up to this many architectures are traced one by one; more are worth a table."""
Counted = tuple[Arch, dict[str, float]]


def costs_of(
    archs: Sequence[str], space: Plugin | None, latency: LatencyTable | None = None, cost: Sequence[str] = ()
) -> list[Counted]:
    """Architectures in any notation, read, with their costs. Raises ``UserError``.

    Each is of the space that its published name carries, else of ``space``, else of the space of another's name.
    """
    groups: dict[str, list[int]] = {}
    spaces = _spaces(archs, space)
    for i, one in enumerate(spaces):
        groups.setdefault(repr(one), []).append(i)
    counted: dict[int, Counted] = {}
    for members in groups.values():
        group = _count([archs[i] for i in members], spaces[members[0]], latency, more_costs(cost))
        counted.update(zip(members, group, strict=True))
    return [counted[i] for i in range(len(archs))]


def read_archs(path: str) -> list[str]:
    """The lines of a file, or of standard input (``-``). Raises ``UserError``."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--archs {path}: expected a file with one architecture per line, got: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _spaces(archs: Sequence[str], space: Plugin | None) -> list[Plugin]:
    carried = [space_of(text, space) for text in archs]
    others = next((found for found in carried if found is not None), Plugin("tiny"))
    return [others if found is None else found for found in carried]


def _count(archs: Sequence[str], space: Plugin, latency: LatencyTable | None, own: Mapping[str, Cost]) -> list[Counted]:
    """Architectures of one space; it is built once."""
    net, shape = sized_space(space, None)
    table = CostTable(net, shape, {**costs_with(latency, space_words(space, shape)), **own})
    found = [named_arch(table, text) for text in archs]
    if len(found) <= FEW:
        return [(arch, table.exact(arch)) for arch in found]
    columns = table(found)
    rows = ({name: as_number(name, values[row]) for name, values in columns.items()} for row in range(len(found)))
    return list(zip(found, rows, strict=True))
