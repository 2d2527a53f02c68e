"""The costs that are counted, and the limits on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sparsenas.core.choice import Choices
from sparsenas.core.gate import choices
from sparsenas.costs import COSTS, Budget, Cost, CostTable, Limits
from sparsenas.costs.latency import LATENCY, LatencyTable
from sparsenas.data import Data
from sparsenas.errors import UserError
from sparsenas.job.build import build_space
from sparsenas.job.plugin import Plugin


def limits_at(
    target: Plugin,
    data: Data,
    outputs: int,
    searched: Choices,
    budgets: Sequence[Budget],
    latency: LatencyTable | None,
) -> Limits:
    """Budgets over the costs of the space at the target's size. Raises ``UserError`` when its choices are others."""
    net = build_space(target, data, outputs)
    if choices(net) != searched:
        raise UserError("--target: expected flags that leave the choices of the space as they are, such as its depth")
    flags = target.words("space", shape=data.shape, classes=outputs)
    return Limits(CostTable(net, data.shape, costs_with(latency, flags)), budgets)


def costs_with(table: LatencyTable | None, flags: str) -> Mapping[str, Cost]:
    """The costs by name, with measured latency where there is a table of it; ``flags`` name the space."""
    if table is None:
        return COSTS
    return {**COSTS, LATENCY: table.cost(f"`sparsenas latency {flags} --out {table.source}` adds it")}
