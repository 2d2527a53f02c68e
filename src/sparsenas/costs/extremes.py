"""The cheapest and the most expensive architecture: exact for sums of small tables, else by local search."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.arch import Arch
from sparsenas.costs.factor import Factor, spread
from sparsenas.costs.local_search import local_search, options_of
from sparsenas.costs.space import TracedSpace

Matrix = NDArray[np.float64]

MOST_ENTRIES = 2_000_000
"""The largest table that an elimination may make."""


def minimise(factors: Sequence[Factor]) -> dict[str, int] | None:
    """The index of every name at which the sum of the factors is least; ``None`` where that takes too much memory.

    Variable elimination: a name is eliminated by minimising the sum of its factors over it, for every combination of
    the names that share a factor with it. The time for a chain of widths is linear in its length.
    """
    factors = list(factors)
    names = {name for factor in factors for name in factor.names}
    eliminated: list[Factor] = []
    while names:
        shape = min((_near(factors, name) for name in sorted(names)), key=lambda sizes: math.prod(sizes.values()))
        if math.prod(shape.values()) > MOST_ENTRIES:
            return None
        *others, name = shape
        joint = np.zeros(tuple(shape.values()))
        for factor in factors:
            if name in factor.names:
                joint = joint + spread(factor, tuple(shape))
        eliminated.append(Factor(tuple(shape), joint))
        factors = [factor for factor in factors if name not in factor.names]
        factors += [Factor(tuple(others), joint.min(axis=-1))] if others else []
        names.remove(name)
    indices: dict[str, int] = {}
    for factor in reversed(eliminated):
        *known, name = factor.names
        indices[name] = int(np.argmin(factor.values[tuple(indices[other] for other in known)]))
    return indices


def _near(factors: Sequence[Factor], name: str) -> dict[str, int]:
    """The names that share a factor with ``name`` and the number of options of each; ``name`` is last."""
    sizes = {n: s for f in factors if name in f.names for n, s in zip(f.names, f.values.shape, strict=True)}
    return {**{n: sizes[n] for n in sorted(sizes) if n != name}, name: sizes[name]}


def search_cheapest(space: TracedSpace, cost_of: Callable[[Sequence[Arch]], Matrix]) -> Arch:
    """An architecture of low cost, where none is known to be the cheapest.

    The best of the fullest, the uniform and some random architectures, improved one one-of-n choice at a time.
    """

    def evaluate(archs: Sequence[Arch]) -> list[tuple[float, str]]:
        # Equal costs are common; the text decides between them, so that the order of the starts does not matter.
        return [(cost, arch.text()) for cost, arch in zip(cost_of(archs).tolist(), archs, strict=True)]

    starts = _starts(space)
    value, start = min(zip(evaluate(starts), starts, strict=True), key=lambda pair: pair[0])
    moves = [options_of(name) for name, choice in space.choices.items() if choice.single]
    return local_search(start, value, moves, evaluate)[0]


def _starts(space: TracedSpace) -> list[Arch]:
    choices, rng = space.choices, np.random.default_rng(space.seed)
    uniform = [
        {n: (min(i, len(c.options) - 1),) if c.single else c.first() for n, c in choices.items()}
        for i in range(max((len(choice.options) for choice in choices.values()), default=0))
    ]
    drawn = [Arch.sample(choices, rng) for _ in range(space.checks)]
    return [space.fullest, *(Arch(choices, picks) for picks in uniform), *drawn]
