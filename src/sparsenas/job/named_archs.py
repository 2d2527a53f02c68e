"""Architectures as flags name them, in any notation."""

from __future__ import annotations

from sparsenas.core.arch import Arch
from sparsenas.costs import CostTable
from sparsenas.costs.ends import smallest_and_largest
from sparsenas.errors import UserError
from sparsenas.opening.opened import OpenedNetwork
from sparsenas.spaces.published import read_arch

FULL, FOUND = "full", "found"


def named_arch(table: CostTable, text: str) -> Arch:
    """Reads ``full``, or any notation of ``read_arch``, in the space of a cost table.

    Raises ``UserError`` for one that is not of the space, and for ``found``, which only a run folder has.
    """
    if text == FOUND:
        raise UserError(f"{FOUND}: expected an architecture; `sparsenas evaluate RUN --arch {FOUND}` has a run folder")
    return full(table) if text == FULL else read_arch(table.choices, text)


def full(table: CostTable) -> Arch:
    """The largest architecture of a space, of which budgets in percent are; the original of an opened network.

    A choice that may keep all its options keeps them, also those that cost nothing.
    """
    if isinstance(table.net, OpenedNetwork):
        return Arch(table.choices, table.net.largest())
    whole = {name: range(len(one.options)) for name, one in table.choices.items() if one.most == len(one.options)}
    if whole.keys() == table.choices.keys():
        return Arch(table.choices, whole)
    return smallest_and_largest(table)[1].replace(whole)
