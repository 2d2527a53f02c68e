"""A space whose architectures are traced one by one: what strategies are built from and checked against."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choices
from sparsenas.core.gate import choices, set_gates
from sparsenas.costs.encoding import Encoding
from sparsenas.costs.layer import Cost, Layer, Shape, sees_trace, totals
from sparsenas.costs.misfit import misfit
from sparsenas.costs.model import CostModel
from sparsenas.costs.trace import batch_of_one, check_traceable, trace_through
from sparsenas.errors import UserError
from sparsenas.nn.clone import on_meta
from sparsenas.nn.tree import Tree

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

TOLERANCE = 1e-12
"""Relative to the largest cost seen. It admits no difference between costs that are whole numbers."""


class TracedSpace:
    """A network, its choices, and the costs of the architectures traced so far."""

    def __init__(self, net: nn.Module, shape: Shape | Tree, costs: Mapping[str, Cost], checks: int, seed: int) -> None:
        """Raises ``UserError`` when the network cannot run on ``shape``."""
        check_traceable(net)
        self.net = on_meta(net)
        self.shape, self.costs, self.checks, self.seed = shape, costs, checks, seed
        self._whole = any(sees_trace(cost) for cost in costs.values())
        self.choices: Choices = choices(net)
        self.encoding = Encoding(self.choices)
        self.fullest = Arch(self.choices, {name: tuple(range(c.most)) for name, c in self.choices.items()})
        """As many options as each choice allows, so that every node of a cell runs."""
        self.sparsest = Arch(self.choices, {name: choice.first() for name, choice in self.choices.items()})
        self.traced: dict[Arch, Matrix] = {}
        self.largest: Matrix = np.zeros(len(costs))
        """The largest value of each cost seen so far."""
        self.trace(self.fullest)

    def trace(self, arch: Arch) -> Matrix:
        """Every cost of one architecture, counted on the whole network."""
        if arch not in self.traced:
            self.traced[arch] = self.note(totals(self.costs, self._layers(arch)))
        return self.traced[arch]

    def _layers(self, arch: Arch) -> list[Layer]:
        set_gates(self.net, arch.gates())
        inputs = batch_of_one(self.shape)
        try:
            return trace_through(self.net, inputs, memory=self._whole)[0]
        except UserError as error:
            raise UserError(misfit(self.net, arch, inputs) or str(error)) from error

    def note(self, values: Matrix) -> Matrix:
        """Returns the costs of one architecture; ``largest`` follows them."""
        self.largest = np.maximum(self.largest, values)
        return values

    def close(self, values: Matrix, expected: Matrix) -> Mask:
        """Where values are the expected ones; the last axis is that of the costs."""
        return np.asarray(np.abs(values - expected) <= TOLERANCE * self.largest)

    def agreement(self, model: CostModel, exact: CostModel, rows: Matrix | None = None) -> Mask:
        """For each cost, whether two models agree on some encoded architectures, those of ``samples`` by default."""
        rows = self.samples if rows is None else rows
        agreement: Mask = np.logical_and.reduce(self.close(model(rows), exact(rows)), axis=0)
        return agreement

    @cached_property
    def samples(self) -> Matrix:
        """The encoded architectures on which strategies are checked.

        The sparsest, random ones, and as many again with random numbers of picks where choices allow that.
        """
        rng = np.random.default_rng(self.seed)
        archs = [self.sparsest, *(Arch.sample(self.choices, rng) for _ in range(self.checks))]
        if any(choice.least < choice.most for choice in self.choices.values()):
            archs += [sample_sizes(self.choices, rng) for _ in range(self.checks)]
        return self.encoding.encode(archs)


def sample_sizes(choices: Choices, rng: np.random.Generator) -> Arch:
    """A random architecture whose choices keep any number of options with equal probability.

    ``Arch.sample`` is uniform over picks, nearly all of which keep about half of the options.
    """
    picks = {}
    for name, choice in choices.items():
        kept = rng.permutation(len(choice.options))[: rng.integers(choice.least, choice.most + 1)]
        picks[name] = tuple(sorted(int(pick) for pick in kept))
    return Arch(choices, picks)
