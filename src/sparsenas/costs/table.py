"""Costs of whole populations by look-up, exact or not used."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sparsenas.choice import Arch, Choice, Choices, Gated, Picks, choices, set_gates, space_size
from sparsenas.costs.layer import COSTS, Cost, Shape, total
from sparsenas.costs.trace import trace
from sparsenas.derive import Derivable

Matrix = NDArray[np.float64]

MOST_PAIRS = 4000
"""A space that needs more traces than this for its pair terms is not tabulated but traced."""
MOST_ENUMERATED = 200_000


class CostTable:
    """Costs of the architectures of one space on one input shape.

    An architecture is a 0/1 vector x over all options; its cost is modelled as ``base + x.c + x.Q.x``, with pair
    terms Q only between choices that meet in one module (a width inside a block choice, two widths of one
    convolution). The model is filled in by tracing and then checked against ``trace`` on random architectures;
    costs that fail the check are traced for every architecture asked for. So answers are always exact.
    """

    def __init__(
        self, net: nn.Module, shape: Shape, costs: Mapping[str, Cost] = COSTS, checks: int = 12, seed: int = 0
    ) -> None:
        """Raises ``UserError`` when the network cannot run on ``shape`` (channels, height, width)."""
        self.net = copy.deepcopy(net).to("meta")
        self.shape = shape
        self.costs = costs
        self.choices: Choices = choices(net)
        self._traced: dict[Arch, NDArray[np.float64]] = {}
        sizes = [len(choice.options) for choice in self.choices.values()]
        self.columns = dict(zip(self.choices, itertools.accumulate(sizes, initial=0), strict=False))
        self.options = sum(sizes)
        rng = np.random.default_rng(seed)
        samples = [Arch.sample(self.choices, rng) for _ in range(checks)]
        truth = np.stack([self._trace(arch) for arch in samples])
        self._fill_linear()
        self.pairs = np.zeros((len(costs), self.options, self.options))
        if not np.array_equal(self._model(self.encode(samples)), truth):
            self._fill_pairs()
        self.additive = (self._model(self.encode(samples)) == truth).all(axis=0)
        """For each cost in order, whether the model is exact."""

    def __call__(self, archs: Sequence[Arch]) -> dict[str, Matrix]:
        """The costs of every architecture, by cost name, as vectors over ``archs``."""
        values = self._model(self.encode(archs))
        if not self.additive.all() and len(archs):
            exact = np.stack([self._trace(arch) for arch in archs])
            values[:, ~self.additive] = exact[:, ~self.additive]
        return {name: values[:, i] for i, name in enumerate(self.costs)}

    def exact(self, arch: Arch) -> dict[str, int]:
        """The costs of one architecture, counted by ``trace``."""
        return {name: int(value) for name, value in zip(self.costs, self._trace(arch), strict=True)}

    def encode(self, archs: Sequence[Arch]) -> Matrix:
        """Architectures as rows of zeros and ones over all options of all choices."""
        x = np.zeros((len(archs), self.options))
        for row, arch in zip(x, archs, strict=True):
            for name, first in self.columns.items():
                row[[first + pick for pick in arch[name]]] = 1
        return x

    def _model(self, x: Matrix) -> Matrix:
        paired = [((x @ q) * x).sum(axis=1) if q.any() else np.zeros(len(x)) for q in self.pairs]
        return self.base + x @ self.linear + np.stack(paired, axis=1)

    def _trace(self, arch: Arch) -> NDArray[np.float64]:
        if arch not in self._traced:
            set_gates(self.net, arch.gates())
            layers = trace(self.net, self.shape)
            self._traced[arch] = np.array([float(total(cost, layers)) for cost in self.costs.values()])
        return self._traced[arch]

    @cached_property
    def reference(self) -> Arch:
        """The architecture whose neighbours fill the table."""
        picks = {n: c.first() if c.least else tuple(range(c.most)) for n, c in self.choices.items()}
        return Arch(self.choices, picks)

    def _fill_linear(self) -> None:
        """c from the reference's neighbours, one option swapped in or out; the reference's own first option is 0."""
        at_reference = self._trace(self.reference)
        self.linear = np.zeros((self.options, len(self.costs)))
        for name, choice in self.choices.items():
            kept = self.reference[name]
            for option in range(len(choice.options)):
                column = self.columns[name] + option
                picks, sign, relative = _neighbour(choice, kept, option)
                if picks is not None:
                    change = self._trace(self.reference.replace({name: picks})) - at_reference
                    other = 0 if relative is None else self.linear[self.columns[name] + relative]
                    self.linear[column] = sign * change + other
        self.base = at_reference - self.encode([self.reference])[0] @ self.linear

    def _fill_pairs(self) -> None:
        """Q from double neighbours, for pairs of one-of-n choices that meet in one module."""
        meeting = [pair for pair in _meeting(self.net) if all(self.choices[name].single for name in pair)]
        if sum((len(self.choices[a].options) - 1) * (len(self.choices[b].options) - 1) for a, b in meeting) > MOST_PAIRS:
            return
        for a, b in meeting:
            for i, j in itertools.product(*(range(1, len(self.choices[name].options)) for name in (a, b))):
                arch = self.reference.replace({a: (i,), b: (j,)})
                column_a, column_b = self.columns[a] + i, self.columns[b] + j
                alone = self.base + self.encode([arch])[0] @ self.linear
                self.pairs[:, column_a, column_b] = self._trace(arch) - alone

    def extremes(self, cost: str) -> tuple[Arch, Arch]:
        """The cheapest and the dearest architecture of the space.

        Exact where the cost is additive and the choices that meet are few; else the best found among the smallest,
        the largest, the uniform and some random architectures, improved choice by choice.
        """
        return self._extreme(cost, 1), self._extreme(cost, -1)

    def _extreme(self, cost: str, sign: int) -> Arch:
        index = list(self.costs).index(cost)
        if not self.additive[index]:
            return min(self._landmarks(), key=lambda arch: (sign * self._trace(arch)[index], arch.text()))
        arch = self.reference
        for group in self._groups(index):
            few = space_size({name: self.choices[name] for name in group}) <= MOST_ENUMERATED
            arch = self._best(arch, group, index, sign) if few else self._sweep(arch, group, index, sign)
        return arch

    def _best(self, arch: Arch, group: Sequence[str], index: int, sign: int) -> Arch:
        """``arch`` with the best of all answers to the choices of ``group``."""
        answers = [list(self.choices[name].every()) for name in group]
        candidates = [arch.replace(dict(zip(group, picks, strict=True))) for picks in itertools.product(*answers)]
        values = sign * self._model(self.encode(candidates))[:, index]
        return candidates[int(np.argmin(values))]

    def _sweep(self, arch: Arch, group: Sequence[str], index: int, sign: int) -> Arch:
        """``arch`` improved one choice at a time until nothing helps."""
        while True:
            before = arch
            for name in group:
                arch = self._best(arch, [name], index, sign)
            if arch == before:
                return arch

    def _groups(self, index: int) -> list[list[str]]:
        """Choices that must be decided together: connected by pair terms of this cost."""
        groups = [[name] for name in self.choices]
        for a, b in itertools.combinations(self.choices, 2):
            if self.pairs[index][self._span(a), self._span(b)].any() or self.pairs[index][self._span(b), self._span(a)].any():
                joined = [group for group in groups if a in group or b in group]
                groups = [group for group in groups if group not in joined] + [list(itertools.chain(*joined))]
        return groups

    def _span(self, name: str) -> slice:
        return slice(self.columns[name], self.columns[name] + len(self.choices[name].options))

    def _landmarks(self) -> list[Arch]:
        """Architectures among which extremes of a cost that does not add up are sought."""
        most = max(len(choice.options) for choice in self.choices.values())
        uniform = [
            {n: (min(i, len(c.options) - 1),) if c.single else c.first() for n, c in self.choices.items()}
            for i in range(most)
        ]
        full = {n: tuple(range(c.most)) for n, c in self.choices.items()}
        rng = np.random.default_rng(0)
        return [Arch(self.choices, picks) for picks in (*uniform, full)] + [
            Arch.sample(self.choices, rng) for _ in range(64)
        ]


def _neighbour(choice: Choice, kept: Picks, option: int) -> tuple[Picks | None, int, int | None]:
    """A legal answer that differs from ``kept`` by ``option``: the picks, the sign of c, and whose c to add.

    cost(picks) - cost(kept) = sign * (c[option] - c[relative]).
    """
    if option not in kept:
        if len(kept) < choice.most:
            return tuple(sorted((*kept, option))), 1, None
        return tuple(sorted((*kept[1:], option))), 1, kept[0]
    if len(kept) > choice.least:
        return tuple(pick for pick in kept if pick != option), -1, None
    outside = [other for other in range(len(choice.options)) if other not in kept]
    if option == kept[0] or not outside:
        return None, 1, None
    return tuple(sorted((*(p for p in kept if p != option), outside[0]))), -1, outside[0]


def _meeting(net: nn.Module) -> list[tuple[str, str]]:
    """Pairs of choices that occur in or below one mechanism, in order of their names' first appearance."""
    order = {name: i for i, name in enumerate(choices(net))}
    pairs: set[tuple[str, str]] = set()
    for module in net.modules():
        if isinstance(module, Derivable):
            names = {m.choice.name for m in module.modules() if isinstance(m, Gated)}
            pairs.update(itertools.combinations(sorted(names, key=order.__getitem__), 2))
    return sorted(pairs, key=lambda pair: (order[pair[0]], order[pair[1]]))
