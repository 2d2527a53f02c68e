"""Costs of whole populations by look-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.costs.count_costs import CountCosts
from sparsenas.costs.dag_costs import DagCosts
from sparsenas.costs.extremes import search_cheapest
from sparsenas.costs.factor import Factor
from sparsenas.costs.fit import check_fit
from sparsenas.costs.layer import COSTS, Cost, Shape, as_number, sees_trace
from sparsenas.costs.model import AdditiveTerms, CostModel, LinearTerms
from sparsenas.costs.select import exact_model, select_models
from sparsenas.costs.space import TracedSpace
from sparsenas.costs.traced import TracedCosts
from sparsenas.errors import UserError
from sparsenas.nn.tree import Tree

Matrix = NDArray[np.float64]


class CostTable:
    """Costs of the architectures of one space on one input shape, exact for every architecture.

    Each cost is looked up by the fastest strategy that is exact for it (see ``select``). Strategies are built when
    the first cost is looked up, and checked on random architectures against traces of the whole network.
    """

    def __init__(
        self, net: nn.Module, shape: Shape | Tree, costs: Mapping[str, Cost] = COSTS, checks: int = 24, seed: int = 0
    ) -> None:
        """Traces one architecture.

        Args:
            net: the search space.
            shape: of its input without batch, or an example: a tree of tensors whose first dimension is 1.
            costs: by name.
            checks: the number of random architectures on which a strategy is checked.
            seed: of these architectures.

        Raises ``UserError`` when the network cannot run on ``shape``.
        """
        parts = [{n: c for n, c in costs.items() if sees_trace(c) == whole} for whole in (False, True)]
        self._place = {name: i for part in parts for i, name in enumerate(part)}
        self._space = TracedSpace(net, shape, parts[0], checks, seed)
        self._whole = TracedSpace(net, shape, parts[1], checks, seed) if parts[1] else None
        self.net, self.shape, self.costs = self._space.net, shape, costs
        self.choices, self.encoding = self._space.choices, self._space.encoding
        self.fullest = self._space.fullest

    def __call__(self, archs: Sequence[Arch]) -> dict[str, Matrix]:
        """The costs of every architecture, by cost name, as vectors over ``archs``."""
        return self.of_rows(self.encoding.encode(archs))

    def of_rows(self, rows: Matrix) -> dict[str, Matrix]:
        """The costs of encoded architectures, by cost name, as vectors over the rows."""
        values = {model: model(rows) for model in set(self.models.values())}
        return {name: values[self.models[name]][:, self._place[name]] for name in self.costs}

    def exact(self, arch: Arch) -> dict[str, float]:
        """The costs of one architecture, counted by ``trace``."""
        values = self._space.trace(arch), () if self._whole is None else self._whole.trace(arch)
        spaces = {name: sees_trace(cost) for name, cost in self.costs.items()}
        return {name: as_number(name, values[whole][self._place[name]]) for name, whole in spaces.items()}

    @cached_property
    def models(self) -> dict[str, CostModel]:
        """The model that serves each cost. For costs of the whole trace, architectures are traced one by one."""
        try:
            summed = select_models(self._space, self._exact)
        except UserError as error:
            check_fit(self.net, self.shape, failure=error)
            raise
        if self._whole is None:
            return summed
        return summed | dict.fromkeys(self._whole.costs, TracedCosts(self._whole))

    @cached_property
    def _exact(self) -> CostModel:
        return exact_model(self._space)

    @property
    def dag_costs(self) -> DagCosts | None:
        """The costs as sums over the parts that run; ``None`` for a space whose choices do more than drop parts."""
        return self._exact if isinstance(self._exact, DagCosts) else None

    @property
    def count_costs(self) -> CountCosts | None:
        """The costs by how many options of each choice are kept; ``None`` where it matters which, or was not found."""
        return self._exact if isinstance(self._exact, CountCosts) else None

    def additive_terms(self, cost: str) -> AdditiveTerms | None:
        """A cost as a sum over the picked options and pairs of them; ``None`` when it is no such sum."""
        return self.models[cost].additive_terms(self._place[cost])

    def linear_terms(self, cost: str) -> LinearTerms | None:
        """A cost as a sum over the picked options; ``None`` when it is no such sum."""
        return self.models[cost].linear_terms(self._place[cost])

    def tables(self, cost: str) -> list[Factor] | None:
        """A cost as a sum of tables over one-of-n choices; ``None`` when it is given as another sum, or as none."""
        return self.models[cost].tables(self._place[cost])

    def extremes(self, cost: str) -> tuple[Arch, Arch]:
        """The cheapest and the most expensive architecture of the space.

        Exact where the cost adds up over options, save for spaces in which dozens of choices meet. Else the best
        of the fullest, the uniform and some random architectures, improved by local search.
        """
        return self._cheapest(cost, 1), self._cheapest(cost, -1)

    def extremes_are_exact(self, cost: str) -> bool:
        """Whether the model of a cost tells its extremes itself, without a search."""
        return self.models[cost].cheapest(self._place[cost], 1) is not None

    def _cheapest(self, cost: str, sign: int) -> Arch:
        found = self.models[cost].cheapest(self._place[cost], sign)
        return search_cheapest(self._space, lambda archs: sign * self(archs)[cost]) if found is None else found
