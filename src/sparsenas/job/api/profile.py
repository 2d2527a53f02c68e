"""``sparsenas.profile``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from sparsenas.costs import COSTS, Cost
from sparsenas.costs.latency import LatencyTable
from sparsenas.errors import UserError
from sparsenas.job.api.objects import plugin
from sparsenas.job.limits import cost_list, costs_with, more_costs
from sparsenas.job.plugin import Plugin
from sparsenas.job.profile import Profile, profile_of
from sparsenas.job.space_facts import sized_space, space_words
from sparsenas.nn.tree import Tree
from sparsenas.opening.opened import OpenedNetwork
from sparsenas.timing import read_table


def profile(
    space: object = "tiny",
    budget: str | Sequence[str] = (),
    *,
    example: Tree | None = None,
    cost: str | Cost | Sequence[str | Cost] = (),
    latency: str = "",
    samples: int = 1000,
    seed: int = 0,
) -> Profile:
    """What a space offers, before any training.

    Args:
        space: a network with choices, a function or class that makes one, or a name, as for ``sparsenas.run``.
        budget: limits to check, such as ``"flops<=50%"``: one, or a list.
        example: a batch of inputs, or the shape of one input, by which costs are counted; by default the one on which
            the network was opened, else the flag ``shape`` of the space.
        cost: costs to count beside the built-in ones: one, or a list.
        latency: a latency table, which adds the cost ``latency_ms``.
        samples: random architectures behind the medians and the shares of those within a budget.
        seed: of these.

    Returns a ``Profile``: ``choices``, ``architectures``, ``costs`` (lowest, middle and highest by name), ``budgets``
    (whether each can be met, and the share of random architectures that do) and ``closed``. Raises ``UserError``.
    """
    if isinstance(space, OpenedNetwork) and example is None:
        example = space.example
    if isinstance(space, nn.Module) and example is None:
        raise UserError("example: expected a batch of inputs, or the shape of one input, by which costs are counted")
    texts = [budget] if isinstance(budget, str) else list(budget)
    return profile_space(plugin("space", space), texts, example, cost_list(cost), latency, samples, seed)


def profile_space(
    space: Plugin,
    budgets: Sequence[str],
    example: Tree | None,
    cost: Sequence[Any],
    latency: str,
    samples: int,
    seed: int,
) -> Profile:
    """The profile of a space by its plug-in. Raises ``UserError``."""
    table: LatencyTable | None = read_table(latency) if latency else None
    net, shape = sized_space(space, example)
    costs = {**COSTS, **costs_with(table, space_words(space, shape)), **more_costs(cost, budgets)}
    return profile_of(net, shape, costs, budgets, samples, seed)
