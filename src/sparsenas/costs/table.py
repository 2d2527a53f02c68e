"""Costs of whole populations by look-up, exact or not used."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choices
from sparsenas.core.gate import choices, set_gates
from sparsenas.costs.candidates import candidate_costs
from sparsenas.costs.dag_costs import LiveCosts
from sparsenas.costs.extremes import Factor, cheapest, landmarks, meeting, minimise, neighbours, sparse
from sparsenas.costs.layer import COSTS, Cost, Shape, as_number, total
from sparsenas.costs.segments import SegmentCosts
from sparsenas.costs.trace import on_meta, trace_through
from sparsenas.errors import UserError

Matrix = NDArray[np.float64]

MOST_PAIRS = 4000
"""A space that needs more traces than this for its pair terms is not tabulated but traced."""
FEW_PAIRS = 300
"""Up to this many, pair terms are looked for even where the random architectures show none."""
TOLERANCE = 1e-12
"""Relative; between costs that are whole numbers it admits no difference."""


class CostTable:
    """Costs of the architectures of one space on one input shape.

    An architecture is a 0/1 vector x over all options; its cost is modelled as ``base + x.c + x.Q.x``, with pair
    terms Q only between one-of-n choices that meet in one module (a width inside a block choice, two widths of one
    convolution). The model is filled in by tracing when it is first needed (piece by piece, where the network is a
    sequence of them), and then checked against ``trace`` of the whole network on ``checks`` random architectures and
    the sparsest ones; costs that fail are traced for every architecture.
    """

    def __init__(
        self, net: nn.Module, shape: Shape, costs: Mapping[str, Cost] = COSTS, checks: int = 24, seed: int = 0
    ) -> None:
        """Raises ``UserError`` when the network cannot run on ``shape`` (channels, height, width)."""
        self.net = on_meta(net)
        self.shape = shape
        self.costs = costs
        self.checks = checks
        self.seed = seed
        self.choices: Choices = choices(net)
        self._traced: dict[Arch, Matrix] = {}
        self._largest: Matrix = np.zeros(len(costs))
        self._pieces = SegmentCosts(self.net, shape, costs)
        sizes = [len(choice.options) for choice in self.choices.values()]
        self.columns = dict(zip(self.choices, itertools.accumulate(sizes, initial=0), strict=False))
        self.options = sum(sizes)
        self.reference = Arch(self.choices, {name: tuple(range(c.most)) for name, c in self.choices.items()})
        """The architecture whose neighbours fill the table; as full as may be, so that every node of a cell is live."""
        self.base = self._trace(self.reference)
        self.linear = np.zeros((self.options, len(costs)))
        self.pairs = np.zeros((len(costs), self.options, self.options))

    def __call__(self, archs: Sequence[Arch]) -> dict[str, Matrix]:
        """The costs of every architecture, by cost name, as vectors over ``archs``."""
        return self.of_rows(self.encode(archs))

    def of_rows(self, rows: Matrix) -> dict[str, Matrix]:
        """The costs of encoded architectures, by cost name, as vectors over the rows."""
        additive = self.additive
        values = self._model(rows)
        if not additive.all() and len(rows):
            exact = self._count(rows)
            values[:, ~additive] = exact[:, ~additive]
        return {name: values[:, i] for i, name in enumerate(self.costs)}

    def exact(self, arch: Arch) -> dict[str, float]:
        """The costs of one architecture, counted by ``trace``."""
        return {name: as_number(name, value) for name, value in zip(self.costs, self._trace(arch), strict=True)}

    def encode(self, archs: Sequence[Arch]) -> Matrix:
        """Architectures as rows of zeros and ones over all options of all choices."""
        x = np.zeros((len(archs), self.options))
        for row, arch in zip(x, archs, strict=True):
            for name, first in self.columns.items():
                row[[first + pick for pick in arch[name]]] = 1
        return x

    def decode(self, row: Matrix) -> Arch:
        """The architecture of one encoded row."""
        return Arch(self.choices, {n: np.flatnonzero(row[self._span(n)]).tolist() for n in self.choices})

    def decode_all(self, rows: Matrix) -> list[Arch]:
        """The architectures of encoded rows, faster than one by one."""
        if not all(choice.single for choice in self.choices.values()):
            return [self.decode(row) for row in rows]
        picks = np.nonzero(rows)[1].reshape(len(rows), len(self.columns)) - list(self.columns.values())
        answers = [(option,) for option in range(self.options)]
        kept = ([answers[pick] for pick in row] for row in picks.tolist())
        return [Arch(self.choices, dict(zip(self.columns, row, strict=True))) for row in kept]

    def draw(self, rng: np.random.Generator, count: int) -> Matrix:
        """``count`` architectures drawn uniformly, encoded: as ``Arch.sample``, for many at once."""
        if not all(choice.single for choice in self.choices.values()):
            return self.encode([Arch.sample(self.choices, rng) for _ in range(count)])
        sizes = [len(choice.options) for choice in self.choices.values()]
        rows = np.zeros((count, self.options))
        picks = np.array(list(self.columns.values())) + rng.integers(sizes, size=(count, len(sizes)))
        rows[np.arange(count)[:, None], picks] = 1
        return rows

    @cached_property
    def additive(self) -> NDArray[np.bool_]:
        """For each cost in order, whether the model is exact. Fills the model."""
        if self._guessed():
            return np.ones(len(self.costs), dtype=bool)
        additive = self._fill_linear()
        if not self._hopeful(additive):
            return np.zeros(len(self.costs), dtype=bool)
        samples = self._samples()
        needed = self._pairs_needed()
        if needed <= FEW_PAIRS or (needed <= MOST_PAIRS and not self._agrees(samples).all()):
            self._fill_pairs()
        return self._agrees(samples)

    def _model(self, x: Matrix) -> Matrix:
        values: Matrix = self.base + x @ self.linear
        for i, pairs in enumerate(self.pairs):
            if pairs.any():
                values[:, i] += ((x @ pairs) * x).sum(axis=1)
        return values

    def _trace(self, arch: Arch) -> Matrix:
        if arch not in self._traced:
            set_gates(self.net, arch.gates())
            layers, _ = trace_through(self.net, (1, *self.shape))
            self._traced[arch] = self._seen(np.array([float(total(cost, layers)) for cost in self.costs.values()]))
        return self._traced[arch]

    @cached_property
    def live(self) -> LiveCosts | None:
        """The costs as a sum over what runs, of a space whose choices only leave parts out."""
        try:
            live = LiveCosts(self.net, self.shape, self.costs, self.choices, self.columns)
        except ValueError:
            return None
        first = Arch(self.choices, {name: choice.first() for name, choice in self.choices.items()})
        archs = [self.reference, first, sparse(self.choices, np.random.default_rng(self.seed))]
        off = np.abs(live(self.encode(archs)) - np.stack([self._trace(arch) for arch in archs]))
        return live if np.all(off <= TOLERANCE * self._largest) else None

    def _count(self, rows: Matrix) -> Matrix:
        """The costs of encoded architectures one by one, which is fast only where ``live`` is known."""
        if self.live is not None:
            return self.live(rows)
        return np.stack([self._trace(self.decode(row)) for row in rows])

    def _seen(self, values: Matrix) -> Matrix:
        """Notes ``values`` for the largest value seen of every cost."""
        self._largest = np.maximum(self._largest, values)
        return values

    def _quick(self, arch: Arch) -> Matrix:
        """As ``_trace``, but for the order of summation, and much faster for a network of many pieces."""
        if self.live is not None:
            values: Matrix = self.live(self.encode([arch]))[0]
            return values
        return self._seen(self._pieces(arch)) if self._in_pieces else self._trace(arch)

    @cached_property
    def _in_pieces(self) -> bool:
        """Whether the network is what its pieces are in a row; one whose pieces hand on more than a tensor is not."""
        try:
            off = np.abs(self._pieces(self.reference) - self._trace(self.reference))
        except UserError:
            return False
        return bool((off <= TOLERANCE * self._largest).all())

    def _agrees(self, archs: Sequence[Arch]) -> NDArray[np.bool_]:
        """For each cost, whether model and ``trace`` agree on all of ``archs``."""
        rows = self.encode(archs)
        close = np.abs(self._model(rows) - self._count(rows)) <= TOLERANCE * self._largest
        agrees: NDArray[np.bool_] = np.logical_and.reduce(close, axis=0)
        return agrees

    def _hopeful(self, additive: NDArray[np.bool_]) -> bool:
        """Whether any cost is additive yet, apart from those that are always 0."""
        return bool(additive.all() or (additive & (self._largest > 0)).any())

    def _samples(self) -> list[Arch]:
        """Random architectures, as many again with random numbers of picks where that may vary, and the sparsest."""
        rng = np.random.default_rng(self.seed)
        samples = [Arch.sample(self.choices, rng) for _ in range(self.checks)]
        if any(choice.least < choice.most for choice in self.choices.values()):
            samples += [sparse(self.choices, rng) for _ in range(self.checks)]
        return [Arch(self.choices, {name: c.first() for name, c in self.choices.items()}), *samples]

    def _guessed(self) -> bool:
        """Whether candidates cost what they cost alone, as in cells whose nodes keep a fixed number; fills c if so."""
        kept = {(choice.least, choice.most) for choice in self.choices.values()}
        if kept <= {(1, 1)} or any(least < most for least, most in kept):  # layer choices are as fast in pieces
            return False
        found = candidate_costs(self.net, self.shape, self.costs, self.reference.gates())
        if found is not None:
            self.linear = np.concatenate([found[name] for name in self.choices])
            self.base = self._trace(self.reference) - self.encode([self.reference])[0] @ self.linear
            if self._agrees(self._samples()).all():
                return True
            self.base, self.linear = self._trace(self.reference), np.zeros_like(self.linear)
        return False

    def _fill_linear(self) -> NDArray[np.bool_]:
        """Finds c from the reference's neighbours; returns which costs are additive in each choice alone.

        Stops as soon as none is: in large cells, where it would take many traces, that shows at the first nodes.
        """
        additive = np.ones(len(self.costs), dtype=bool)
        at_reference = self._quick(self.reference)
        for name, choice in self.choices.items():
            kept, first = self.reference[name], self.columns[name]
            for option, picks, sign, relative in neighbours(choice, kept):
                change = self._quick(self.reference.replace({name: picks})) - at_reference
                other = 0 if relative is None else self.linear[first + relative]
                self.linear[first + option] = sign * change + other
            self.base = self.base - self.linear[[first + pick for pick in kept]].sum(axis=0)
            if not choice.single:
                np.logical_and(additive, self._agrees([self.reference.replace({name: choice.first()})]), out=additive)
            if not self._hopeful(additive):
                break
        return additive

    @cached_property
    def _meeting(self) -> list[tuple[str, str]]:
        """Pairs of one-of-n choices that occur in or below one mechanism, in order of their first appearance."""
        return meeting(self.net, self.choices)

    def _pairs_needed(self) -> int:
        sizes = {name: len(choice.options) - 1 for name, choice in self.choices.items()}
        return sum(sizes[a] * sizes[b] for a, b in self._meeting)

    def _fill_pairs(self) -> None:
        """Finds Q from double neighbours of the reference, which picks option 0 of every one-of-n choice."""
        for a, b in self._meeting:
            for i, j in itertools.product(*(range(1, len(self.choices[name].options)) for name in (a, b))):
                arch = self.reference.replace({a: (i,), b: (j,)})
                alone = self.base + self.encode([arch])[0] @ self.linear
                self.pairs[:, self.columns[a] + i, self.columns[b] + j] = self._quick(arch) - alone

    def extremes(self, cost: str) -> tuple[Arch, Arch]:
        """The cheapest and the dearest architecture of the space.

        Exact where the cost is additive (but for spaces in which dozens of choices meet); else the best of the
        sparsest, the fullest, the uniform and some random architectures, improved one choice at a time.
        """
        return self._extreme(cost, 1), self._extreme(cost, -1)

    def _extreme(self, cost: str, sign: int) -> Arch:
        index = list(self.costs).index(cost)
        if self.additive[index]:
            single = {name: choice for name, choice in self.choices.items() if choice.single}
            picks = minimise(self._factors(single, index, sign))
            if picks is not None:
                strength = {n: sign * self.linear[self._span(n), index] for n in self.choices.keys() - single.keys()}
                several = {name: cheapest(self.choices[name], values) for name, values in strength.items()}
                return self.reference.replace({**{name: (pick,) for name, pick in picks.items()}, **several})
        known = landmarks(self.reference, np.random.default_rng(self.seed), self.checks)
        return self._descend(min(known, key=lambda a: self._signed(a, cost, sign)), cost, sign)

    def _factors(self, single: Choices, index: int, sign: int) -> list[Factor]:
        """The model of one cost as tables over one-of-n choices."""
        factors = [Factor((name,), sign * self.linear[self._span(name), index]) for name in single]
        blocks = {(a, b): self.pairs[index][self._span(a), self._span(b)] for a, b in self._meeting}
        return factors + [Factor(names, sign * block) for names, block in blocks.items() if block.any()]

    def _span(self, name: str) -> slice:
        return slice(self.columns[name], self.columns[name] + len(self.choices[name].options))

    def _signed(self, arch: Arch, cost: str, sign: int) -> tuple[float, str]:
        return sign * float(self([arch])[cost][0]), arch.text()

    def _descend(self, arch: Arch, cost: str, sign: int) -> Arch:
        """``arch`` improved one one-of-n choice at a time until nothing helps."""
        while True:
            before = arch
            for name, choice in self.choices.items():
                if choice.single:
                    moves = [arch.replace({name: picks}) for picks in choice.every()]
                    arch = min(moves, key=lambda a: self._signed(a, cost, sign))
            if arch == before:
                return arch
