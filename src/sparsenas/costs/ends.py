"""The smallest and the largest architecture of a space, whatever the budgets."""

from __future__ import annotations

from collections.abc import Sequence

from sparsenas.core.arch import Arch
from sparsenas.costs.budget import Bound, Budget, join_bounds
from sparsenas.costs.local_search import local_search, neighbours
from sparsenas.costs.table import CostTable

SIZES = ("flops", "params", "bitops")
"""The costs that decide, each where those before it are equal."""


def smallest_and_largest(table: CostTable) -> tuple[Arch, Arch]:
    """The architectures of the fewest and of the most multiply-adds; of equal ones, of parameters, then of bitops.

    The multiply-adds are extreme as far as ``CostTable.extremes`` finds them; ties are decided by local search.
    """
    low, high = table.extremes(SIZES[0])
    return _among_equals(table, low, 1), _among_equals(table, high, -1)


def budgets_at(table: CostTable, bounds: Sequence[Bound]) -> list[Budget]:
    """Bounds as budgets; percentages are of the costs of the largest architecture of the table's space.

    Raises ``UserError`` for bounds that contradict each other.
    """
    if not any(bound.percent for bound in bounds):
        return join_bounds(bounds)
    return join_bounds(bounds, table.exact(smallest_and_largest(table)[1]))


def _among_equals(table: CostTable, arch: Arch, sign: int) -> Arch:
    def evaluate(archs: Sequence[Arch]) -> list[tuple[float, ...]]:
        costs = table(archs)
        columns = [(sign * costs[name]).tolist() for name in SIZES if name in costs]
        return list(zip(*columns, strict=True))

    return local_search(arch, evaluate([arch])[0], [neighbours], evaluate)[0]
