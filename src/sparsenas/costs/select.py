"""The selector: which strategy serves which cost of a space. A new strategy is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable

from sparsenas.costs.candidates import candidate_sums
from sparsenas.costs.count_costs import CountCosts, count_costs
from sparsenas.costs.dag_costs import dag_costs
from sparsenas.costs.layer_tables import layer_tables
from sparsenas.costs.model import CostModel
from sparsenas.costs.neighbours import neighbour_differences
from sparsenas.costs.space import TracedSpace
from sparsenas.costs.traced import TracedCosts

EXACT: tuple[Callable[[TracedSpace], CostModel | None], ...] = (dag_costs, count_costs, layer_tables, TracedCosts)
"""Exact for every cost, or not applicable: ``None``. The first that applies is used; the last always does."""
LOOKUPS: tuple[Callable[[TracedSpace, CostModel], CostModel | None], ...] = (candidate_sums, neighbour_differences)
"""Faster, and exact for some costs only, or not applicable. They are checked, cost by cost, on random architectures."""


def exact_model(space: TracedSpace) -> CostModel:
    """A model that is exact for every cost."""
    return next(model for model in (strategy(space) for strategy in EXACT) if model is not None)


def select_models(space: TracedSpace, exact: CostModel) -> dict[str, CostModel]:
    """For each cost the first look-up that agrees with ``exact`` on random architectures, else ``exact`` itself."""
    if isinstance(exact, CountCosts):
        return dict.fromkeys(space.costs, exact)  # no cost adds up over thousands of options
    chosen: dict[str, CostModel] = {}
    for strategy in LOOKUPS:
        model = strategy(space, exact)
        if model is not None:
            for name, agrees in zip(space.costs, space.agreement(model, exact), strict=True):
                if agrees:
                    chosen.setdefault(name, model)
        if len(chosen) == len(space.costs):
            break
    return {name: chosen.get(name, exact) for name in space.costs}
