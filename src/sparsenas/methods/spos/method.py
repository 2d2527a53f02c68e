"""Single path one-shot: one sampled path per step, then a search on inherited weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choices
from sparsenas.core.gate import Gates
from sparsenas.costs import Limits
from sparsenas.costs.budget import check_cost
from sparsenas.methods.base import Method
from sparsenas.methods.spos.flags import PathFlags, RandomFlags, SposFlags
from sparsenas.methods.spos.sampling import Bins, BinSampler, FairSampler
from sparsenas.searching.evolution import Evolution, Parents, RandomSearch, Search, SearchProblem

SPOS, RANDOM = SposFlags(), RandomFlags()


class Spos(Method):
    """Single path one-shot with uniform sampling (Guo et al., ECCV 2020) and its evolution.

    Only the weights of the sampled path take part in a step. The others get no gradient, weight decay or momentum.
    """

    def __init__(self, choices: Choices, limits: Limits, seed: int, flags: SposFlags = SPOS) -> None:
        """Raises ``UserError`` when some bin of constraint sampling has no path."""
        super().__init__(choices, limits, seed)
        self.paths, self.flags = Paths(choices, limits, seed, flags), flags

    def gates(self) -> Gates:
        """A newly sampled path."""
        return self.paths.draw().gates()

    def search(self, problem: SearchProblem, rng: np.random.Generator, choose: Parents | None = None) -> Search:
        """The published evolution."""
        f = self.flags
        return Evolution(
            problem, rng, f.population, f.generations, f.parents, f.mutants, f.crossovers, f.mutation, choose
        )


class Random(Method):
    """The paper's baseline: the same supernet training, then random search with the same number of evaluations."""

    def __init__(self, choices: Choices, limits: Limits, seed: int, flags: RandomFlags = RANDOM) -> None:
        """Raises ``UserError`` when some bin of constraint sampling has no path."""
        super().__init__(choices, limits, seed)
        self.paths, self.flags = Paths(choices, limits, seed, flags), flags

    def gates(self) -> Gates:
        """A newly sampled path."""
        return self.paths.draw().gates()

    def search(self, problem: SearchProblem, rng: np.random.Generator, choose: Parents | None = None) -> Search:
        """Random search, which has no parents."""
        return RandomSearch(problem, rng, self.flags.evaluations)


class Paths(nn.Module):
    """The paths on which a supernet is trained: uniform, uniform over the bins of a cost, or fair."""

    def __init__(self, choices: Choices, limits: Limits, seed: int, flags: PathFlags) -> None:
        super().__init__()
        self.choices = choices
        self.rng = np.random.default_rng([seed, 1])
        self.sampler: BinSampler | FairSampler | None = None
        if bins := bins_from_flags(limits, flags):
            self.sampler = BinSampler(limits.table, bins, self.rng)
        elif flags.fair:
            self.sampler = FairSampler(choices, self.rng)

    def draw(self) -> Arch:
        """The path of the next step."""
        return Arch.sample(self.choices, self.rng) if self.sampler is None else self.sampler.draw()

    def get_extra_state(self) -> dict[str, Any]:
        """Everything that decides the next paths, for ``state_dict``."""
        return {
            "rng": self.rng.bit_generator.state,
            "sampler": None if self.sampler is None else self.sampler.state(),
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Continues from ``state``."""
        self.rng.bit_generator.state = state["rng"]
        if self.sampler is not None:
            self.sampler.load(state["sampler"])


def bins_from_flags(limits: Limits, flags: PathFlags) -> Bins | None:
    """The bins of constraint sampling; ``None`` without it. Raises ``UserError`` for an unknown cost."""
    check_cost("--method.bin_cost", flags.bin_cost, limits.table.costs)
    if flags.bins == 0:
        return None
    return Bins(flags.bin_cost, *(flags.bin_range or default_range(limits, flags.bin_cost)), flags.bins)


def default_range(limits: Limits, cost: str) -> tuple[float, float]:
    """The range of constraint sampling by default, from the budget and the space.

    The published run has a limit of 330 M and bins up to 360 M: up to 12/11 of the upper budget. The ends are kept
    within the 0.5 % to 99.5 % quantiles of 4000 random architectures, so that uniform samples reach every bin.
    """
    rng = np.random.default_rng(0)
    sample = limits.table.of_rows(limits.table.encoding.draw(rng, 4000))[cost]
    low, high = (float(q) for q in np.quantile(sample, [0.005, 0.995]))
    for budget in limits.budgets:
        if budget.cost == cost:
            low, high = max(low, budget.at_least), min(high, budget.at_most * 12 / 11)
    return low, high
