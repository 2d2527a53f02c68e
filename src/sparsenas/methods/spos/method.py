"""Single path one-shot: one uniformly drawn path a step, then evolution on inherited weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choices
from sparsenas.core.gate import Gates
from sparsenas.costs import Limits
from sparsenas.costs.budget import check_cost
from sparsenas.errors import UserError
from sparsenas.methods.base import Method
from sparsenas.methods.spos.sampling import Bins, BinSampler, FairSampler
from sparsenas.searching.evolution import Evolution, Parents, RandomSearch, Search, SearchProblem


class Paths(nn.Module):
    """The paths of a single-path supernet's training: uniform, uniform over the bins of a cost, or fair."""

    def __init__(self, choices: Choices, limits: Limits, seed: int, bins: Bins | None, fair: bool = False) -> None:
        """Raises ``UserError`` for bins and fairness at once, which exclude each other."""
        super().__init__()
        if fair and bins is not None:
            raise UserError("--method: expected fair or bins, got both")
        self.choices = choices
        self.rng = np.random.default_rng([seed, 1])
        self.sampler = (
            BinSampler(limits.table, bins, self.rng) if bins else FairSampler(choices, self.rng) if fair else None
        )

    def draw(self) -> Arch:
        """The path of the next step."""
        return Arch.sample(self.choices, self.rng) if self.sampler is None else self.sampler.draw()

    def get_extra_state(self) -> dict[str, Any]:
        """Everything that decides the next paths; it is kept in ``state_dict``."""
        return {
            "rng": self.rng.bit_generator.state,
            "sampler": None if self.sampler is None else self.sampler.state(),
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Continues from ``state``."""
        self.rng.bit_generator.state = state["rng"]
        if self.sampler is not None:
            self.sampler.load(state["sampler"])


def default_range(limits: Limits, cost: str) -> tuple[float, float]:
    """The range of constraint sampling when none is given, from the budget and the space.

    The published run has a limit of 330 M and bins up to 360 M: up to 12/11 of the upper budget. The ends are kept
    within the 0.5 % to 99.5 % quantiles of 4000 random architectures, where uniform draws reach every bin.
    """
    rng = np.random.default_rng(0)
    sample = limits.table.of_rows(limits.table.encoding.draw(rng, 4000))[cost]
    low, high = (float(q) for q in np.quantile(sample, [0.005, 0.995]))
    for budget in limits.budgets:
        if budget.cost == cost:
            low, high = max(low, budget.at_least), min(high, budget.at_most * 12 / 11)
    return low, high


def bins_from_flags(limits: Limits, bins: int, bin_cost: str, bin_range: tuple[float, float] | None) -> Bins | None:
    """The bins that the flags ask for; ``None`` for plain uniform sampling. Raises ``UserError``."""
    check_cost("--method.bin_cost", bin_cost, limits.table.costs)
    if bins == 0:
        return None
    return Bins(bin_cost, *(bin_range or default_range(limits, bin_cost)), bins)


class Spos(Method):
    """Single path one-shot with uniform sampling (Guo et al., ECCV 2020) and its evolution.

    Only the weights of the drawn path take part in a step: the others get neither gradient, weight decay nor momentum.
    """

    def __init__(
        self,
        choices: Choices,
        limits: Limits,
        seed: int,
        fair: bool = False,
        bins: int = 0,
        bin_cost: str = "flops",
        bin_range: tuple[float, float] | None = None,
        population: int = 50,
        generations: int = 20,
        parents: int = 10,
        mutants: int = 25,
        crossovers: int = 25,
        mutation: float = 0.1,
    ) -> None:
        """Sets up sampling and evolution.

        Args:
            choices: the questions of the space.
            limits: the budgets over the cost table.
            seed: decides the sampled paths.
            fair: every few steps train each option of a choice equally often (FairNAS), one path a step still.
            bins: constraint sampling draws one of this many bins of a cost first; 0 = plain uniform sampling.
            bin_cost: the cost that is cut into bins.
            bin_range: lowest and highest cost sampled, as low,high; from the budget and the space unless given.
            population: architectures scored in a generation of the evolution.
            generations: generations after the first, random one.
            parents: how many of the best may have children.
            mutants: children by mutation in a generation.
            crossovers: children by crossover in a generation.
            mutation: probability that a mutant's choice is drawn anew.
        """
        super().__init__(choices, limits, seed)
        if mutants + crossovers > population or not 0 <= mutation <= 1 or parents < 1:
            raise UserError(
                "--method: expected mutants + crossovers <= population, parents >= 1 and mutation within 0..1, "
                f"got {mutants} + {crossovers}, {population}, {parents} and {mutation}"
            )
        self.paths = Paths(choices, limits, seed, bins_from_flags(limits, bins, bin_cost, bin_range), fair)
        self.evolution = (population, generations, parents, mutants, crossovers, mutation)

    def gates(self) -> Gates:
        """A newly drawn path."""
        return self.paths.draw().gates()

    def search(self, problem: SearchProblem, rng: np.random.Generator, choose: Parents | None = None) -> Search:
        """The published evolution."""
        return Evolution(problem, rng, *self.evolution, choose)


class Random(Method):
    """The paper's baseline: the same supernet training, then random search at as many evaluations."""

    def __init__(
        self,
        choices: Choices,
        limits: Limits,
        seed: int,
        fair: bool = False,
        bins: int = 0,
        bin_cost: str = "flops",
        bin_range: tuple[float, float] | None = None,
        evaluations: int = 1050,
    ) -> None:
        """Sets up sampling and random search.

        Args:
            choices: the questions of the space.
            limits: the budgets over the cost table.
            seed: decides the sampled paths.
            fair: every few steps train each option of a choice equally often (FairNAS), one path a step still.
            bins: constraint sampling draws one of this many bins of a cost first; 0 = plain uniform sampling.
            bin_cost: the cost that is cut into bins.
            bin_range: lowest and highest cost sampled, as low,high; from the budget and the space unless given.
            evaluations: how many random architectures are scored.
        """
        super().__init__(choices, limits, seed)
        self.paths = Paths(choices, limits, seed, bins_from_flags(limits, bins, bin_cost, bin_range), fair)
        self.evaluations = evaluations

    def gates(self) -> Gates:
        """A newly drawn path."""
        return self.paths.draw().gates()

    def search(self, problem: SearchProblem, rng: np.random.Generator, choose: Parents | None = None) -> Search:
        """Random search, which has no parents."""
        return RandomSearch(problem, rng, self.evaluations)
