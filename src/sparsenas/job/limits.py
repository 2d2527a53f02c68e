"""The costs that are counted, and the limits on them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import wraps
from math import isfinite
from typing import Any

from sparsenas.core.choice import Choices
from sparsenas.core.gate import choices
from sparsenas.costs import COSTS, ON_REQUEST, Cost, CostTable, Limits
from sparsenas.costs.budget import Bound
from sparsenas.costs.ends import budgets_at
from sparsenas.costs.latency import LATENCY, LatencyTable
from sparsenas.data import Data
from sparsenas.errors import UserError, told
from sparsenas.job.build import build_space
from sparsenas.job.plugin import Plugin
from sparsenas.job.space_facts import space_words
from sparsenas.opening.importing import import_callable


def limits_at(
    target: Plugin,
    data: Data,
    outputs: int,
    searched: Choices,
    bounds: Sequence[Bound],
    latency: LatencyTable | None,
    own: Mapping[str, Cost] | None = None,
    check: bool = True,
) -> Limits:
    """Budgets over the costs of the space at the target's size; percentages are of its largest network.

    ``check`` as in ``Limits``. Raises ``UserError`` when the choices of the space at that size are others.
    """
    net = build_space(target, data, outputs)
    if choices(net) != searched:
        raise UserError("--target: expected flags that leave the choices of the space as they are, such as its depth")
    flags = space_words(target, data.shape, classes=outputs)
    table = CostTable(net, data.shape, {**costs_with(latency, flags), **(own or {})})
    return Limits(table, budgets_at(table, bounds), check=check)


def more_costs(asked: str | Cost | Sequence[str | Cost], budgets: Sequence[str] = ()) -> dict[str, Cost]:
    """The costs that flags name, beside those that are always counted, by name. Raises ``UserError``.

    Args:
        asked: of ``--cost``: a shipped cost, ``package.module:callable``, or the callable itself; one, or several.
        budgets: as text; a shipped cost that they name is counted too.
    """
    found = {name: cost for name, cost in ON_REQUEST.items() if any(text.lstrip().startswith(name) for text in budgets)}
    for one in cost_list(asked):
        if isinstance(one, str) and one in ON_REQUEST:
            found[one] = ON_REQUEST[one]
            continue
        cost = _imported(one) if isinstance(one, str) else one
        name = one.rpartition(":")[2] if isinstance(one, str) else getattr(one, "__name__", type(one).__name__)
        _check_cost(name, cost, found)
        found[name] = _counted(name, cost)
    return found


def _counted(name: str, cost: Cost) -> Cost:
    """A cost of the user's, whose mistakes are ``UserError``."""

    @wraps(cost)
    def counted(layers: Any) -> float:
        try:
            value = float(cost(layers))
        except Exception as error:  # any code may run here
            raise UserError(f"--cost {name}: expected a number, got {told(error)}") from error
        if not isfinite(value):
            raise UserError(f"--cost {name}: expected a finite number, got {value}")
        return value

    return counted


def cost_list(asked: str | Cost | Sequence[str | Cost]) -> list[str | Cost]:
    """One cost, or several, as a list."""
    return [asked] if isinstance(asked, str) or callable(asked) else list(asked)


def _imported(name: str) -> Cost:
    module, colon, attribute = name.partition(":")
    if not colon:
        known = ", ".join(["package.module:callable", *ON_REQUEST])
        raise UserError(f"--cost: expected one of {known}, got {name!r}")
    return import_callable("cost", name, module, attribute)


def _check_cost(name: str, cost: Cost, known: Mapping[str, Cost]) -> None:
    if name in COSTS or name in ON_REQUEST or name == LATENCY or name in known:
        raise UserError(f"--cost {name}: expected another name than that of a cost that is there already")
    if not name.isidentifier() or not callable(cost):
        raise UserError(f"--cost {name}: expected a function with a name, which budgets can write")
    required = [p for p in inspect.signature(cost).parameters.values() if p.default is p.empty]
    if len(required) != 1:
        raise UserError(
            f"--cost {name}: expected a function of one layer, or of a list called layers, "
            f"got one of {len(required)} arguments"
        )


def costs_with(table: LatencyTable | None, flags: str) -> Mapping[str, Cost]:
    """The costs by name, with measured latency where there is a table of it; ``flags`` name the space."""
    if table is None:
        return COSTS
    return {**COSTS, LATENCY: table.cost(f"`sparsenas latency {flags} --out {table.source}` adds it")}
