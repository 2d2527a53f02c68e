"""Makes the found network as wide as limits allow (the global width multiplier of DSO-NAS)."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.gate import set_gates
from sparsenas.costs import Budget, Cost, CostTable, parse_budgets
from sparsenas.costs.budget import read_bounds
from sparsenas.costs.layer import as_number, format_cost, total
from sparsenas.costs.trace import batch_of_one, trace_through
from sparsenas.errors import UserError
from sparsenas.job.build import build_space
from sparsenas.job.limits import limits_at
from sparsenas.job.plugin import Plugin
from sparsenas.job.task import Task
from sparsenas.nn.function_overrides import FunctionOverrides

WIDTH = "width"
"""The flag of a space that is a number of channels; all other channel numbers are proportional to it."""
NARROW, WIDE = 64, 1 << 14
"""The narrowest network of a space must be narrower than ``NARROW``; none is made wider than ``WIDE``."""
UNFILLED = dict.fromkeys((Tensor.uniform_, Tensor.normal_), lambda x, *args, **flags: x)
"""No initial weights are drawn on the meta device, where that takes most of the time of building a network."""


def check_target(target: Mapping[str, Any]) -> None:
    """Raises ``UserError`` when the flags of the final network have a width already."""
    if WIDTH in target:
        raise UserError(f"--target.width: expected none beside --scale-to, which finds the width, got {target[WIDTH]}")


def check_scale_to(task: Task, scale_to: Sequence[str]) -> None:
    """Raises ``UserError`` for limits that no architecture of the space keeps at any width."""
    budgets, least = _budgets(task, scale_to), _narrowest(task)
    table = CostTable(_network(task, least), task.data.shape, _bounded(task, budgets))
    for budget in budgets:
        _refuse_above(budget, least, table.exact(table.extremes(budget.cost)[0]))


def fitted(task: Task, arch: Arch, scale_to: Sequence[str]) -> Task:
    """The task with its target as wide as the limits of ``scale_to`` allow for ``arch``; these become its budgets.

    Raises ``UserError`` when even the narrowest network breaks a limit, or the widest is below one.
    """
    budgets, least = _budgets(task, scale_to), _narrowest(task)
    uppers = [replace(budget, at_least=0.0) for budget in budgets]
    counted = _bounded(task, budgets)
    costs_at = cache(lambda width: _costs(task, arch, width, counted))
    for budget in uppers:
        _refuse_above(budget, least, costs_at(least))
    width = widest(lambda width: _keeps(uppers, costs_at(width)), least)
    if width is None:
        raise UserError(
            f"--scale-to: expected limits that grow with the width, a width of {WIDE} keeps {_names(budgets)}"
        )
    costs = costs_at(width)
    for budget in budgets:
        if not budget.allows(costs[budget.cost]):
            raise UserError(
                f"--scale-to {budget}: the widest network that keeps the upper limits, of width {width}, has "
                f"{format_cost(costs[budget.cost])} {budget.cost}"
            )
    final = _at(task, width)
    bounds = read_bounds(scale_to, task.limits.table.costs)
    limits = limits_at(final, task.data, task.objective.outputs, task.choices, bounds, task.latency)
    return replace(task, target=final, limits=limits)


def widest(fits: Callable[[int], bool], least: int) -> int | None:
    """The largest number that ``fits``, by bisection: ``least`` does, and nothing above one that does not.

    ``None`` when all up to ``WIDE`` do.
    """
    low, high = least, 2 * least
    while fits(high):
        low, high = high, 2 * high
        if low > WIDE:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _budgets(task: Task, scale_to: Sequence[str]) -> list[Budget]:
    takes = inspect.signature(task.space.callable("space")).parameters
    if WIDTH not in takes:
        raise UserError(
            f"--scale-to: expected a space with a flag --space.width, {task.space.name} has {', '.join(takes)}"
        )
    budgets = parse_budgets(scale_to, task.limits.table.costs, "--scale-to")
    if all(budget.at_most == math.inf for budget in budgets):
        raise UserError(f"--scale-to: expected an upper limit, as in params<=3e6, got {_names(budgets)}")
    return budgets


def _narrowest(task: Task) -> int:
    """The least width at which the space can be built."""
    for width in range(1, NARROW):
        try:
            _network(task, width)
        except UserError:
            continue
        return width
    raise UserError(f"--scale-to: expected a space that can have a width below {NARROW}, {task.space.name} cannot")


def _at(task: Task, width: int) -> Plugin:
    return replace(task.target, flags={**task.target.flags, WIDTH: width})


def _network(task: Task, width: int) -> nn.Module:
    """The space at another width, on the meta device, for it may be very large."""
    with torch.device("meta"), FunctionOverrides(UNFILLED):
        return build_space(_at(task, width), task.data, task.objective.outputs)


def _bounded(task: Task, budgets: Sequence[Budget]) -> dict[str, Cost]:
    """The costs that are bounded. Others, such as measured latency, are unknown at most widths."""
    return {budget.cost: task.limits.table.costs[budget.cost] for budget in budgets}


def _costs(task: Task, arch: Arch, width: int, counted: Mapping[str, Cost]) -> dict[str, float]:
    """The exact costs of the derived network."""
    net = _network(task, width)
    set_gates(net, arch.gates())
    layers, _ = trace_through(net, batch_of_one(task.data.shape))
    return {name: as_number(name, total(cost, layers)) for name, cost in counted.items()}


def _keeps(budgets: Sequence[Budget], costs: Mapping[str, float]) -> bool:
    return all(budget.allows(costs[budget.cost]) for budget in budgets)


def _refuse_above(budget: Budget, width: int, costs: Mapping[str, float]) -> None:
    if costs[budget.cost] > budget.at_most:
        told = f"{format_cost(costs[budget.cost])} {budget.cost}"
        raise UserError(f"--scale-to {budget}: even the narrowest network, of width {width}, has {told}")


def _names(budgets: Sequence[Budget]) -> str:
    return ", ".join(map(str, budgets))
