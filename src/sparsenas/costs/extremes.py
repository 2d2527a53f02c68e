"""The answers at which a sum of small tables is least."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice, Choices, Picks
from sparsenas.core.derive import Derivable
from sparsenas.core.gate import Gated

MOST_ENTRIES = 2_000_000


class Factor(NamedTuple):
    """A number for every combination of answers to the choices ``names``, one array axis each."""

    names: tuple[str, ...]
    values: NDArray[np.float64]


def minimise(factors: Sequence[Factor]) -> dict[str, int] | None:
    """The index for every name at which the factors add up to least, or ``None`` where that takes too much memory.

    Variable elimination: a name is taken out by minimising over it the sum of the factors that it is in, for every
    combination of the names it meets; so a chain of widths of any length takes no time at all.
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
                joint = joint + _spread(factor, tuple(shape))
        eliminated.append(Factor(tuple(shape), joint))
        factors = [factor for factor in factors if name not in factor.names]
        factors += [Factor(tuple(others), joint.min(axis=-1))] if others else []
        names.remove(name)
    answer: dict[str, int] = {}
    for factor in reversed(eliminated):
        *known, name = factor.names
        answer[name] = int(np.argmin(factor.values[tuple(answer[other] for other in known)]))
    return answer


def cheapest(choice: Choice, values: NDArray[np.float64]) -> Picks:
    """The answer of least summed value."""
    order = [int(option) for option in np.argsort(values, kind="stable")]
    helping = sum(1 for option in order if values[option] < 0)
    return tuple(sorted(order[: min(max(helping, choice.least), choice.most)]))


def _near(factors: Sequence[Factor], name: str) -> dict[str, int]:
    """The names that share a factor with ``name`` and how many answers each has; ``name`` is last."""
    sizes = {n: s for f in factors if name in f.names for n, s in zip(f.names, f.values.shape, strict=True)}
    return {**{n: sizes[n] for n in sorted(sizes) if n != name}, name: sizes[name]}


def _spread(factor: Factor, names: tuple[str, ...]) -> NDArray[np.float64]:
    """The factor with its axes in the order of ``names``, length 1 where it has none."""
    order = sorted(range(len(factor.names)), key=lambda axis: names.index(factor.names[axis]))
    present = tuple(slice(None) if name in factor.names else None for name in names)
    spread: NDArray[np.float64] = factor.values.transpose(order)[present]
    return spread


def neighbours(choice: Choice, kept: Picks) -> list[tuple[int, Picks, int, int | None]]:
    """For each option a legal answer that differs from ``kept`` by it: option, picks, sign of c, and whose c to add.

    cost(picks) - cost(kept) = sign * (c[option] - c[relative]); options come after those they are relative to.
    Where all answers are equally large only differences count: then c of the first option kept is 0.
    """
    first, outside = kept[0], [option for option in range(len(choice.options)) if option not in kept]
    found: list[tuple[int, Picks, int, int | None]] = []
    if len(kept) > choice.least:
        found += [(option, tuple(pick for pick in kept if pick != option), -1, None) for option in kept]
    found += [(option, tuple(sorted((*kept[1:], option))), 1, first) for option in outside]
    if len(kept) == choice.least and outside:
        swapped = outside[0]
        found += [(o, tuple(sorted((*(p for p in kept if p != o), swapped))), -1, swapped) for o in kept[1:]]
    return found


def sparse(choices: Choices, rng: np.random.Generator) -> Arch:
    """A random architecture whose choices keep any number of options with equal probability."""
    picks = {}
    for name, choice in choices.items():
        kept = rng.permutation(len(choice.options))[: rng.integers(choice.least, choice.most + 1)]
        picks[name] = tuple(sorted(int(pick) for pick in kept))
    return Arch(choices, picks)


def landmarks(reference: Arch, rng: np.random.Generator, count: int) -> list[Arch]:
    """Architectures among which extremes of a cost that does not add up are sought, ``count`` of them random."""
    choices = reference.choices
    uniform = [
        {n: (min(i, len(c.options) - 1),) if c.single else c.first() for n, c in choices.items()}
        for i in range(max((len(choice.options) for choice in choices.values()), default=0))
    ]
    drawn = [Arch.sample(choices, rng) for _ in range(count)]
    return [reference, *(Arch(choices, picks) for picks in uniform), *drawn]


def meeting(net: nn.Module, choices: Choices) -> list[tuple[str, str]]:
    """Pairs of one-of-n choices that occur in or below one mechanism, in the order of ``choices``."""
    order = {name: i for i, (name, choice) in enumerate(choices.items()) if choice.single}
    pairs: set[tuple[str, str]] = set()
    for module in net.modules():
        if isinstance(module, Derivable):
            names = {m.choice.name for m in module.modules() if isinstance(m, Gated)} & order.keys()
            pairs.update(itertools.combinations(sorted(names, key=order.__getitem__), 2))
    return sorted(pairs, key=lambda pair: (order[pair[0]], order[pair[1]]))
