"""Pareto fronts of score and cost, their hypervolume, and NSGA-II's choice of parents.

Needs the ``pareto`` extra (pymoo, moocore).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.arch import Arch
from sparsenas.searching.evolution import Score

CostOf = Callable[[Sequence[Arch]], NDArray[np.float64]]


def objectives(scores: Mapping[Arch, Score], cost_of: CostOf) -> NDArray[np.float64]:
    """Minus the score, and the cost of every architecture, both to be minimised, as an array (architectures, 2)."""
    return np.column_stack([[-score.value for score in scores.values()], cost_of(list(scores))])


def front(scores: Mapping[Arch, Score], cost_of: CostOf) -> list[Arch]:
    """The Pareto front of score and cost, cheapest first."""
    import moocore

    points, archs = objectives(scores, cost_of), list(scores)
    kept = np.flatnonzero(moocore.is_nondominated(points, keep_weakly=False))
    return [archs[i] for i in sorted(kept, key=lambda i: float(points[i, 1]))]


def hypervolume(points: NDArray[np.float64], reference: Sequence[float]) -> float:
    """The area that a front dominates, up to a reference point (minus the score, cost)."""
    import moocore

    return float(moocore.hypervolume(points, ref=np.asarray(reference, dtype=float)))


def crowded(cost_of: CostOf) -> Callable[[Mapping[Arch, Score], int], list[Arch]]:
    """NSGA-II's survival (Deb et al. 2002) as a choice of parents: by front, then by crowding distance."""
    from pymoo.core.population import Population
    from pymoo.core.problem import Problem
    from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

    def choose(scores: Mapping[Arch, Score], count: int) -> list[Arch]:
        archs = list(scores)
        population = Population.new(F=objectives(scores, cost_of), index=np.arange(len(archs)))
        chosen = RankAndCrowding().do(Problem(n_obj=2), population, n_survive=min(count, len(archs)))
        return [archs[int(i)] for i in chosen.get("index")]

    return choose
