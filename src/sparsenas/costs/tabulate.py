"""The costs of one layer in a table over the choices that decide it."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sparsenas.costs.factor import Factor, spread
from sparsenas.costs.factors import joined, settings
from sparsenas.costs.layer import Layer, totals
from sparsenas.costs.layer_numbers import Terms
from sparsenas.costs.observed import LayerKey, as_layer
from sparsenas.costs.space import TracedSpace

Matrix = NDArray[np.float64]
Conditions = tuple[tuple[str, int], ...]
"""Choices of joins with the option that must be picked for a module to run."""

MOST_ENTRIES = 4096
"""A layer's table is split into several where it would be larger."""


class NotFound(Exception):
    """What decides a layer is not found, or takes too large a table."""


class Tabulator:
    """Makes the tables of layers; the costs of equal layers are counted once."""

    def __init__(self, space: TracedSpace) -> None:
        self._costs, self._choices = space.costs, space.choices
        self._sizes = {name: settings(choice) for name, choice in space.choices.items()}
        self._counted: dict[Layer, Matrix] = {}

    def of(self, key: LayerKey, conditions: Conditions, terms: Sequence[Terms]) -> Iterator[Factor]:
        """One table over all choices that decide a layer, or several if a number is a sum over many choices.

        ``terms`` are those of whether the layer runs, then of its numbers.
        These are right for costs that add up over the terms of such a sum, as multiply-adds do over input channels.
        Raises ``NotFound`` if they were too large.
        """
        runs, *numbers = terms
        gate = functools.reduce(lambda a, b: joined(a, b, self._sizes, add=True), runs)
        for name, option in conditions:
            picked = Factor((name,), np.eye(self._sizes[name])[option])
            gate = joined(gate, picked, self._sizes, add=False)
        core = _names([gate, *(term for number in numbers if len(number) == 1 for term in number)])
        every = _names([Factor(core, gate.values), *(term for number in numbers for term in number)])
        if self._entries(every) <= MOST_ENTRIES:
            yield self._table(key, every, gate, numbers)
            return
        base = self._table(key, core, gate, numbers)
        yield base
        for name in every[len(core) :]:
            whole = self._table(key, (*core, name), gate, numbers)
            yield Factor(whole.names, whole.values - spread(base, whole.names))

    def _entries(self, names: Sequence[str]) -> int:
        return math.prod(self._sizes[name] for name in names)

    def _table(self, key: LayerKey, names: tuple[str, ...], gate: Factor, numbers: Sequence[Terms]) -> Factor:
        """The costs of a layer for all settings of some choices; all others have their last setting."""
        if self._entries(names) > MOST_ENTRIES:
            raise NotFound
        shape = tuple(self._sizes[name] for name in names)
        runs = np.broadcast_to(spread(gate, names), shape) > 0
        for axis, choice in enumerate(self._choices[name] for name in names):
            legal = np.arange(shape[axis]) >= (0 if choice.single else choice.least)
            runs = runs & legal.reshape(-1, *(1,) * (len(shape) - axis - 1))
        sums = [np.broadcast_to(sum(_at_last(term, names) for term in terms), shape)[runs] for terms in numbers]
        table = np.zeros((*shape, len(self._costs)))
        table[runs] = [self._count(as_layer(key, row)) for row in np.stack(sums, axis=1).astype(np.int64).tolist()]
        return Factor(names, table)

    def _count(self, layer: Layer) -> Matrix:
        if layer not in self._counted:
            self._counted[layer] = totals(self._costs, [layer])
        return self._counted[layer]


def _names(factors: Sequence[Factor]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for factor in factors for name in factor.names))


def _at_last(term: Factor, names: Sequence[str]) -> Matrix:
    """The term with its axes in the order of ``names``, at the last setting of all other choices."""
    own = tuple(slice(None) if name in names else -1 for name in term.names)
    return spread(Factor(tuple(name for name in term.names if name in names), term.values[own]), names)
