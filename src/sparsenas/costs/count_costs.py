"""Strategy: costs by how many options of each choice are kept. For opened networks whose units are cut one by one.

Which options are kept does not matter there, and every number of a layer is a sum over choices of a factor times a
count. The factors are found from traces.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice, Picks
from sparsenas.core.derive import Replacements
from sparsenas.core.gate import Gated
from sparsenas.core.join import Join
from sparsenas.costs.layer import totals
from sparsenas.costs.model import CostModel
from sparsenas.costs.observed import LayerKey, Seen, as_layer, columns, observe
from sparsenas.costs.space import TracedSpace
from sparsenas.errors import UserError

Matrix = NDArray[np.float64]
Integers = NDArray[np.int64]

TRACES = 16
"""Architectures that are traced at first; where a number follows several choices, a few more than there are choices."""
CHECKS = 8
"""Random architectures on which the costs are compared with those of traces."""
MOST_KEPT = 1_000_000
"""Costs of layers that are kept in memory."""


def count_costs(space: TracedSpace) -> CountCosts | None:
    """The costs of a space by counts of options, checked on random architectures.

    ``None`` unless all choices keep any number of options, those of no join, and the same layers always run.
    """
    every = list(space.choices.values())
    joins = any(isinstance(module, Join) for module in space.net.modules())
    gated = any(isinstance(module, Gated) for module in space.net.modules())
    if joins or not gated or not all(0 < choice.least < choice.most == len(choice.options) for choice in every):
        return None
    try:
        found = _layers(space)
    except UserError:
        return None
    if found is None:
        return None
    model = CountCosts(space, *found)
    archs = [space.fullest, *map(space.encoding.decode, space.samples[:CHECKS])]
    traced = np.stack([space.trace(arch) for arch in archs])
    return model if space.close(model(space.encoding.encode(archs)), traced).all() else None


class CountCosts(CostModel):
    """Costs of encoded architectures from the numbers of their layers, each an affine function of the counts.

    A choice that must keep something counts as if it did where a row keeps too little.
    """

    def __init__(self, space: TracedSpace, keys: Sequence[LayerKey], factors: Sequence[Matrix]) -> None:
        """``factors`` has for each layer a row for each of its numbers: one factor for each choice, then a constant."""
        choices = list(space.choices.values())
        self.encoding, self._costs = space.encoding, space.costs
        self._firsts = np.array(list(space.encoding.columns.values()), dtype=np.int64)
        self._least = np.array([choice.least for choice in choices])
        self.full = np.array([len(choice.options) for choice in choices])
        """The number of options of each choice."""
        self._keys, self._factors = list(keys), np.concatenate(factors)
        self._ends = np.cumsum([len(own) for own in factors])
        self.decided = np.stack([(own[:, :-1] != 0).any(axis=0) for own in factors])
        """Of shape (layers, choices): which choices decide a layer."""
        self._known: dict[tuple[int, bytes], Matrix] = {}

    def __call__(self, rows: Matrix) -> Matrix:
        """The costs of encoded architectures, of shape (architectures, costs)."""
        return np.stack([layers.sum(axis=0) for layers in map(self.layers, self.counts(rows))])

    def counts(self, rows: Matrix) -> Integers:
        """How many options of each choice are kept, of shape (architectures, choices)."""
        kept = np.add.reduceat(rows, self._firsts, axis=1).astype(np.int64)
        counts: Integers = np.maximum(kept, self._least)
        return counts

    def layers(self, counts: Integers) -> Matrix:
        """The costs of every layer for these counts, of shape (layers, costs)."""
        numbers = np.split(self._factors @ np.append(counts, 1), self._ends[:-1])
        return np.stack([self._layer(i, own.astype(np.int64)) for i, own in enumerate(numbers)])

    def savings(self, counts: Integers) -> Matrix:
        """What one option less of each choice saves, of shape (choices, costs); nothing where none may go."""
        whole, saved = self.layers(counts), []
        for i, count in enumerate(counts):
            less = counts.copy()
            less[i] = max(count - 1, self._least[i])
            saved.append((whole - self.layers(less)).sum(axis=0))
        return np.stack(saved)

    def cheapest(self, cost: int, sign: int) -> Arch:
        """As few options as may be kept, or all of them: a layer never costs less where it is larger."""
        choices = self.encoding.choices
        return Arch(choices, {n: _first(choice, sign) for n, choice in choices.items()})

    def _layer(self, i: int, numbers: Integers) -> Matrix:
        key = i, numbers.tobytes()
        if key not in self._known:
            if len(self._known) >= MOST_KEPT:
                self._known.clear()
            self._known[key] = totals(self._costs, [as_layer(self._keys[i], numbers.tolist())])
        return self._known[key]


def _first(choice: Choice, sign: int) -> Picks:
    return tuple(range(choice.least if sign > 0 else choice.most))


def _layers(space: TracedSpace) -> tuple[list[LayerKey], list[Matrix]] | None:
    """The layers, and for each the factors of its numbers; ``None`` where some number is no sum over the counts."""
    rng, seen, derived = np.random.default_rng(space.seed), Seen(), Replacements()
    counts = np.zeros((0, len(space.choices)), dtype=np.int64)
    for traces in (TRACES, len(space.choices) + TRACES // 2):
        for number in range(len(counts), traces):
            picks = {n: tuple(range(int(rng.integers(c.least, c.most + 1)))) for n, c in space.choices.items()}
            observe(space, picks, number, seen, derived)
            counts = np.vstack([counts, [len(own) for own in picks.values()]])
        if any(len(rows) < len(counts) for rows in seen.values()):
            return None  # a layer that does not always run
        found = [_solve(counts, columns(rows, len(counts))[0]) for rows in seen.values()]
        solved = [own for own in found if own is not None]
        if len(solved) == len(found):
            return list(seen), solved
    return None


def _solve(counts: Integers, values: Integers) -> Matrix | None:
    """For each column of ``values`` the factors of the counts and a constant; ``None`` where there are none."""
    solved = [_one(counts, column) for column in values.T]
    return np.stack([own for own in solved if own is not None]) if all(own is not None for own in solved) else None


def _one(counts: Integers, values: Integers) -> Matrix | None:
    """A constant, else a multiple of one count and a constant, else a sum over all counts where there are enough."""
    width = counts.shape[1]
    if (values == values[0]).all():
        return np.append(np.zeros(width), values[0])
    for i in range(width):
        spread = np.ptp(counts[:, i])
        if spread:
            low, high = counts[:, i].argmin(), counts[:, i].argmax()
            factor, rest = divmod(int(values[high] - values[low]), int(spread))
            constant = values[low] - factor * counts[low, i]
            if not rest and (factor * counts[:, i] + constant == values).all():
                return np.append(factor * np.eye(width)[i], constant)
    if len(counts) <= width + 1:
        return None
    inputs = np.column_stack([counts, np.ones(len(counts))])
    found = np.asarray(np.round(np.linalg.lstsq(inputs, values.astype(float), rcond=None)[0]), dtype=float)
    return found if (inputs @ found == values).all() else None
