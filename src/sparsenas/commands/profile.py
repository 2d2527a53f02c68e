"""``sparsenas profile``: what a space offers, before any training."""

from __future__ import annotations

import json as json_module
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from sparsenas.costs.layer import format_cost, shown_costs
from sparsenas.job.api.profile import profile_space
from sparsenas.job.plugin import Plugin
from sparsenas.job.profile import Profile
from sparsenas.job.space_facts import named_example

TINY = Plugin("tiny")


def profile(
    space: Plugin = TINY,
    budget: list[str] | None = None,
    cost: list[str] | None = None,
    latency: str = "",
    example: str = "",
    samples: int = 1000,
    seed: int = 0,
    json: bool = False,
) -> None:
    """Lists the decisions of a space, the range of every cost, and which budgets can be met. Nothing is trained.

    Args:
        space: search space, with the flags and the image shape of the search.
        budget: limit to check, such as flops<=330e6, or flops<=50% of the largest network's. Repeatable.
        cost: cost to count as well: peak_memory, bytes, or a function as package.module:callable. Repeatable.
        latency: latency table, made by sparsenas latency. It adds the cost latency_ms.
        example: batch of inputs of a network that takes more than one image, as package.module:callable, a function
            that returns it.
        samples: number of random architectures, 1 or more, for the middle costs and the shares within a budget.
        seed: seed of these architectures, 0 or more.
        json: print one JSON object.
    """
    found = profile_space(
        space, budget or [], named_example(example) if example else None, cost or [], latency, samples, seed
    )
    if json:
        print(json_module.dumps({"space": space.to_config(), **found.to_json()}))
        return
    console = Console(highlight=False)
    for table in (_decisions(space, found), _costs(found), _budgets(found)):
        if table.row_count:
            console.print(table)
    if found.coverage is not None:
        console.print(f"under choice: {found.coverage.share:.1%} of the multiply-adds")
        for part, reason in found.coverage.closed.items():
            console.print(f"not opened: {part}: {reason}", markup=False, soft_wrap=True)


def _decisions(space: Plugin, found: Profile) -> Table:
    title = f"{space.name}: {len(found.choices)} decisions, {Decimal(found.architectures):.3g} architectures"
    table = Table("decision", "options", "kept", title=title, title_justify="left")
    for name, choice in found.choices.items():
        kept = str(choice.least) if choice.least == choice.most else f"{choice.least} to {choice.most}"
        table.add_row(name, ", ".join(choice.options), kept)
    return table


def _costs(found: Profile) -> Table:
    table = Table("cost", "lowest", f"middle of {found.samples} random ones", "highest")
    for name in shown_costs([{name: cost.high for name, cost in found.costs.items()}]):
        cost = found.costs[name]
        table.add_row(name, *map(format_cost, (cost.low, cost.middle, cost.high)))
    return table


def _budgets(found: Profile) -> Table:
    table = Table("budget", "in numbers", "can be met", "random ones that meet it")
    for one in found.budgets:
        table.add_row(one.given, one.budget, "yes" if one.met else f"no: {one.reason}", f"{one.share:.1%}")
    return table
