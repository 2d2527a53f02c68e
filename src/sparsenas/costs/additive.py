"""Costs that add up over the picked options, with extra terms for pairs of options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice, Picks
from sparsenas.costs.encoding import Encoding
from sparsenas.costs.extremes import minimise
from sparsenas.costs.factor import Factor
from sparsenas.costs.model import AdditiveTerms, CostModel, LinearTerms

Matrix = NDArray[np.float64]


class AdditiveCosts(CostModel):
    """``base + x.c + x.Q.x`` for an encoded architecture x.

    Pair terms Q are only between one-of-n choices that meet in one module: a width inside a block choice, or the two
    widths of one convolution.
    """

    def __init__(
        self,
        encoding: Encoding,
        base: Matrix,
        linear: Matrix,
        pairs: Mapping[int, Matrix] | None = None,
        meeting: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Takes the terms.

        Args:
            encoding: the columns of the options.
            base: one number per cost.
            linear: c, of shape (options, costs).
            pairs: Q, of shape (options, options), of each cost (by index) that has one.
            meeting: the pairs of choices between which Q may differ from 0.
        """
        self.encoding, self.base, self.linear = encoding, base, linear
        self.pairs, self.meeting = pairs or {}, meeting

    def __call__(self, rows: Matrix) -> Matrix:
        """The costs of encoded architectures, of shape (architectures, costs)."""
        values: Matrix = self.base + rows @ self.linear
        for cost, pairs in self.pairs.items():
            values[:, cost] += ((rows @ pairs) * rows).sum(axis=1)
        return values

    def additive_terms(self, cost: int) -> AdditiveTerms | None:
        """A cost as a sum over options and pairs of options."""
        return AdditiveTerms(float(self.base[cost]), self.linear[:, cost], self.pairs.get(cost))

    def linear_terms(self, cost: int) -> LinearTerms | None:
        """A cost as a sum over options; ``None`` when it has pair terms."""
        return None if cost in self.pairs else LinearTerms(float(self.base[cost]), self.linear[:, cost])

    def cheapest(self, cost: int, sign: int) -> Arch | None:
        """The architecture at which ``sign`` times a cost is least; ``None`` where dozens of choices meet."""
        choices, span = self.encoding.choices, self.encoding.span
        weights = {name: sign * self.linear[span(name), cost] for name in choices}
        factors = [Factor((name,), weights[name]) for name, choice in choices.items() if choice.single]
        if cost in self.pairs:
            blocks = {(a, b): self.pairs[cost][span(a), span(b)] for a, b in self.meeting}
            factors += [Factor(names, sign * block) for names, block in blocks.items() if block.any()]
        found = minimise(factors)
        if found is None:
            return None
        several = {name: _least(c, weights[name]) for name, c in choices.items() if not c.single}
        return Arch(choices, {**{name: (pick,) for name, pick in found.items()}, **several})


def _least(choice: Choice, values: Matrix) -> Picks:
    """The picks of least summed value."""
    order = [int(option) for option in np.argsort(values, kind="stable")]
    helping = sum(1 for option in order if values[option] < 0)
    return tuple(sorted(order[: min(max(helping, choice.least), choice.most)]))
