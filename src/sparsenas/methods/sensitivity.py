"""Sensitivities: each decision changed alone, then the best architecture by the sum of the losses. Trains nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choices
from sparsenas.core.gate import Gates
from sparsenas.costs import Limits
from sparsenas.costs.least_sum import SumWithin, cost_factors, least_sum
from sparsenas.errors import UserError, check_at_least
from sparsenas.methods.base import Method
from sparsenas.methods.constrained_argmax import best_arch_within_budget
from sparsenas.searching.evolution import Parents, Score, Search, SearchProblem

Vector = NDArray[np.float64]
MOST_PAIRS = 30_000
"""So many changes of two decisions at once are compared by the model."""
LIKELY = 200
"""Best architectures by the sum of the losses, whose options are worth measuring again."""


@dataclass(frozen=True)
class SensitivityFlags:
    """Flags of the method ``sensitivity``."""

    rounds: int = 2
    """How often sensitivities are measured: around the complete network, then around the best architecture, there only
    of the options that the best sums of losses have"""
    proposals: int = 24
    """Best architectures by the sum of the losses that are scored after each round"""

    def __post_init__(self) -> None:
        check_at_least(vars(self), {"rounds": 1, "proposals": 1})


class Sensitivity(Method):
    """Searches a trained network without training it as a supernet. Trains the complete network, if anything.

    Every option of every decision is scored alone. The losses are added up, and the architectures of least sum within
    all budgets are scored; the best of these is the result. Further rounds measure around the best one, where options
    of good architectures matter otherwise than in the complete network.
    """

    def __init__(
        self,
        choices: Choices,
        limits: Limits,
        seed: int,
        flags: SensitivityFlags = SensitivityFlags(),  # noqa: B008
    ) -> None:
        """Raises ``UserError`` for choices that keep several options."""
        super().__init__(choices, limits, seed)
        self.flags = flags
        for name, choice in choices.items():
            if not choice.single:
                raise UserError(
                    f"--method sensitivity: expected one-of-n choices, choice {name!r} keeps {choice.least} to "
                    f"{choice.most} of {len(choice.options)} options; open a network without groups"
                )
        self.complete = limits.table.extremes(next(iter(limits.table.costs)))[1]

    def gates(self) -> Gates:
        """The complete network: that of the highest cost."""
        return self.complete.gates()

    def search(self, problem: SearchProblem, rng: np.random.Generator, choose: Parents | None = None) -> Search:
        """Measures, adds up and scores."""
        return SensitivitySearch(problem, rng, self.limits, self.complete, self.flags)


class SensitivitySearch(Search):
    """Rounds of two generations: one option changed alone, everywhere; then the best by the sum of the losses.

    Architectures over the budget are measured, but never the result.
    """

    title: ClassVar[str] = "sensitivity"

    def __init__(
        self, problem: SearchProblem, rng: np.random.Generator, limits: Limits, start: Arch, flags: SensitivityFlags
    ) -> None:
        super().__init__(problem, rng)
        self.limits, self.flags = limits, flags
        self.around = start
        """The architecture around which sensitivities are measured."""
        self.measured: dict[Arch, Score] = {}
        """All scores, also of architectures over the budget."""
        self.written: dict[Arch, Arch] = {}
        """By canonical architecture, what was proposed: it also tells the width of a block that does not run."""
        self.losses: dict[str, Vector] = {}
        """By decision, how much worse each option alone is than the one in the middle, as measured last."""

    @property
    def planned(self) -> int:
        """Those proposed so far, and as many as there may be in the generations to come."""
        options = sum(len(choice.options) - 1 for choice in self.problem.choices.values())
        rest = range(self.generation + 1, 2 * self.flags.rounds)
        return len(self._proposed) + sum(self.flags.proposals if i % 2 else options + (i == 0) for i in rest)

    @property
    def best(self) -> Arch:
        """The best within the budget; before there is one, the best of all."""
        scores = self.scores or self.measured
        return max(scores, key=lambda arch: scores[arch])

    @property
    def best_is(self) -> str:
        """Options are first measured in architectures over the budget."""
        return "best within the budget" if self.scores else "options one by one, all still over the budget: best"

    def ask(self) -> list[Arch]:
        """The changes of one decision, or the proposals."""
        while (generation := self.generation + 1) < 2 * self.flags.rounds:
            self.generation = generation
            if generation and generation % 2 == 0:
                self.around = self.written[self.best]
            for arch in self._changes() if generation % 2 == 0 else self._proposals():
                self.written.setdefault(self.problem.canonical(arch), arch)
            if archs := [arch for arch in self.written if arch not in self._proposed]:
                return [self._propose(arch) for arch in archs]
        return []

    def tell(self, archs: Sequence[Arch], scores: Sequence[Score]) -> None:
        """Takes the scores; those within the budget may be the result."""
        self.measured.update(zip(archs, scores, strict=True))
        legal = self.problem.legal(archs)
        self.scores.update({arch: score for arch, score, ok in zip(archs, scores, legal, strict=True) if ok})

    def _changes(self) -> list[Arch]:
        """The architecture in the middle, and those with one other option that is worth measuring."""
        options: dict[str, Sequence[int]] = {n: range(len(c.options)) for n, c in self.problem.choices.items()}
        if self.losses:
            good = self._best_near(self.around, LIKELY)
            options = {name: sorted({arch[name][0] for arch in good}) for name in options}
        others = [self._with(name, option) for name, some in options.items() for option in some]
        return list(dict.fromkeys([self.around, *others]))

    def _with(self, name: str, option: int) -> Arch:
        return self.around.replace({name: (option,)})

    def _learn(self) -> None:
        """Brings the losses up to date with what was measured around the architecture in the middle."""
        column = max((1, 0), key=lambda i: len({s[i] for s in self.measured.values()}))  # the finer one: the loss
        middle = self.problem.canonical(self.around)
        for name, choice in self.problem.choices.items():
            before = self.losses.get(name, np.zeros(len(choice.options)))
            self.losses[name] = before - before[self.around[name][0]]
            for option in range(len(choice.options)):
                arch = self.problem.canonical(self._with(name, option))
                if arch in self.measured:  # in a block that does not run all widths are alike, until it runs
                    self.losses[name][option] = self.measured[middle][column] - self.measured[arch][column]

    def _proposals(self) -> list[Arch]:
        """The best architecture by the sum of the losses, and the best of its neighbours, all within the budget."""
        self._learn()
        best = best_by_sum(self.limits, self.losses)
        while True:
            archs = self._best_near(best, self.flags.proposals)
            if not archs or self._sum(archs[0]) >= self._sum(best) - 1e-12:
                return [best, *archs][: self.flags.proposals]
            best = archs[0]

    def _sum(self, arch: Arch) -> float:
        return float(sum(losses[arch[name][0]] for name, losses in self.losses.items()))

    def _best_near(self, arch: Arch, count: int) -> list[Arch]:
        """The best by the sum of the losses among those with one or two other options, within the budget."""
        rows = self._near(self.limits.table.encoding.encode([arch])[0])
        return self._legal(rows[np.argsort(rows @ np.concatenate(list(self.losses.values())), kind="stable")], count)

    def _legal(self, rows: Vector, count: int) -> list[Arch]:
        """The first ``count`` architectures within the budget that are different networks."""
        archs: dict[Arch, Arch] = {}
        for start in range(0, len(rows), 1024):
            block = self.limits.table.encoding.decode_all(rows[start : start + 1024])
            for arch in (arch for arch, ok in zip(block, self.problem.legal(block), strict=True) if ok):
                archs.setdefault(self.problem.canonical(arch), arch)
                if len(archs) == count:
                    return list(archs.values())
        return list(archs.values())

    def _near(self, row: Vector) -> Vector:
        """The encoded architectures with one or two other options, of many pairs a random part."""
        encoding = self.limits.table.encoding
        owner = np.repeat(np.arange(len(encoding.choices)), [len(c.options) for c in encoding.choices.values()])
        picked = np.flatnonzero(row)
        moves = np.flatnonzero(row == 0)
        pairs = np.array(list(itertools.combinations(moves, 2)), dtype=np.int64).reshape(-1, 2)
        pairs = pairs[owner[pairs[:, 0]] != owner[pairs[:, 1]]]
        if len(pairs) > MOST_PAIRS:
            pairs = pairs[np.sort(self.rng.choice(len(pairs), MOST_PAIRS, replace=False))]
        both = np.concatenate([np.stack([moves, moves], axis=1), pairs])
        rows = np.repeat(row[None], len(both), axis=0)
        every = np.arange(len(both))
        for side in (0, 1):
            rows[every, picked[owner[both[:, side]]]] = 0
        for side in (0, 1):
            rows[every, both[:, side]] = 1
        return rows


def best_by_sum(limits: Limits, losses: dict[str, Vector]) -> Arch:
    """The architecture of the least sum of losses within all budgets.

    By elimination where costs are sums of small tables (``costs/least_sum.py``); else as ``best_arch_within_budget``.
    """
    factors = {budget.cost: cost_factors(limits.table, budget.cost) for budget in limits.budgets}
    bounds = [
        SumWithin(parts, budget.at_least, budget.at_most)
        for budget in limits.budgets
        if (parts := factors[budget.cost]) is not None
    ]
    found = least_sum(losses, bounds)
    if found is not None:
        arch = Arch(limits.choices, {name: (option,) for name, option in found.items()})
        if limits.legal([arch])[0]:
            return arch
    return best_arch_within_budget(limits, {name: loss.max() - loss for name, loss in losses.items()})
