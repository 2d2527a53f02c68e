"""Budgets made operational: which architectures are legal, and how to draw them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.arch import Arch, space_size
from sparsenas.costs.budget import Budget
from sparsenas.costs.budget_sampler import BudgetSampler
from sparsenas.costs.latency import LATENCY
from sparsenas.costs.layer import format_cost
from sparsenas.costs.local_search import local_search, neighbours
from sparsenas.costs.table import CostTable
from sparsenas.costs.window import Listed, Window, find_window, list_window
from sparsenas.errors import UserError

BLOCK = 256
BLOCKS = 40
WALK = 20
"""Sweeps of the walk that draws legal architectures where uniform draws hardly ever are legal."""
OTHER_RANGES = "other spaces and sizes of inputs have other ranges, which `sparsenas profile` tells"
"""What helps where a space is too large or too small for a budget."""
TRIES, RARE = 4096, 0.3
"""Legal architectures are drawn by rejection where more than this share of some uniform draws is legal."""
MOST_LISTED = 20_000
"""So many architectures are tried one by one where none of some random ones is wanted."""


class Limits:
    """The budgets of one search over one cost table."""

    def __init__(self, table: CostTable, budgets: Sequence[Budget] = (), seed: int = 0, check: bool = True) -> None:
        """Raises ``UserError`` when the budgets cannot be met: it names the budget and the range of its cost.

        Without ``check`` the budgets are known to be met by some architecture, and no cost is counted before it is
        asked for.
        """
        self.table = table
        self.budgets = tuple(budgets)
        self.choices = table.choices
        self._seed = seed
        self.notes: list[str] = []
        """Tells of each budget that was checked, and that every architecture keeps."""
        if check:
            self.check()

    def check(self) -> None:
        """Raises ``UserError`` when the budgets cannot be met."""
        for budget in self.budgets:
            self._check_alone(budget)
        _ = self.start  # raises where there is none

    @cached_property
    def start(self) -> Arch:
        """An architecture that meets all budgets."""
        return self._find_legal(np.random.default_rng(self._seed))

    def legal(self, archs: Sequence[Arch]) -> NDArray[np.bool_]:
        """Whether each architecture meets every budget, by exact cost."""
        return self._violations(self.table(archs)) == 0 if self.budgets else np.ones(len(archs), dtype=bool)

    def draw(self, rng: np.random.Generator, wanted: Callable[[Arch], bool] = lambda arch: True) -> Arch | None:
        """Draws one legal architecture that is ``wanted``, or ``None`` where none is found.

        Uniform over the legal ones: by rejection, and after ten thousand tries from the sums of costs (``Window``).
        Where a cost is a sum of tables and rejection takes many tries, from the numbers of ways to keep the bounds
        (``BudgetSampler``). Else by a random walk among legal neighbours from a known legal architecture. Spaces whose
        choices may all keep everything have a way of their own under an upper bound: options are dropped from the
        fullest architecture in a random order, as few as possible. Uniform draws would keep about half of the options,
        and so nearly all cost the same.
        """
        seen_legal = self._thins
        if self._thins and (thin := self._thinned(rng, wanted)) is not None:
            return thin
        if self._sampler is not None and (sampled := self._sampled(self._sampler, rng, wanted)) is not None:
            return sampled
        for block in range(0 if self._thins or self._sampler is not None else BLOCKS):
            rows = self.table.encoding.draw(rng, BLOCK if block else 8)
            for row in rows[self._violations(self.table.of_rows(rows)) == 0]:
                seen_legal, arch = True, self.table.encoding.decode(row)
                if wanted(arch):
                    return arch
        if self.budgets and self._window is not None:
            return self._from_window(self._window, rng, wanted)
        return None if seen_legal else self._walk(rng, wanted)

    @cached_property
    def _sampler(self) -> BudgetSampler | None:
        """For the cost that keeps its bounds most rarely, if it is a sum of tables and legal draws are rare."""
        known = [(b, tables) for b in self.budgets if (tables := self.table.tables(b.cost)) is not None]
        if not known:
            return None
        costs = self.table.of_rows(self.table.encoding.draw(np.random.default_rng(self._seed), TRIES))
        kept = [np.count_nonzero([budget.allows(value) for value in costs[budget.cost]]) for budget, _ in known]
        if np.mean(self._violations(costs) == 0) > RARE:
            return None
        budget, tables = known[int(np.argmin(kept))]
        sampler = BudgetSampler(self.choices, tables, budget.at_least, budget.at_most)
        return sampler if sampler.fits else None

    def _sampled(self, sampler: BudgetSampler, rng: np.random.Generator, wanted: Callable[[Arch], bool]) -> Arch | None:
        for _ in range(BLOCK if sampler.size else 0):
            arch = sampler.draw(rng)
            if self.legal([arch])[0] and wanted(arch):
                return arch
        return None

    @cached_property
    def _window(self) -> Window | Listed | None:
        """The legal architectures by the sums of costs that add up, or listed; ``None`` where neither is possible."""
        costs = [(b, self.table.additive_terms(b.cost)) for b in self.budgets]
        known = [(b, terms) for b, terms in costs if terms is not None]
        if known:
            bounds = [(budget.at_least, budget.at_most) for budget, _ in known]
            return find_window(self.table.encoding, [terms for _, terms in known], bounds, self._seed)
        return list_window(self.choices, self.legal, MOST_LISTED)

    def _from_window(
        self, window: Window | Listed, rng: np.random.Generator, wanted: Callable[[Arch], bool]
    ) -> Arch | None:
        if not window.size:
            return None
        for _ in range(BLOCK):
            arch = window.draw(rng)
            if arch is not None and self.legal([arch])[0] and wanted(arch):
                return arch
        if window.size > MOST_LISTED:
            return None
        every = list(window.every())
        left = [arch for arch, meets in zip(every, self.legal(every), strict=True) if meets and wanted(arch)]
        return left[int(rng.integers(len(left)))] if left else None

    @cached_property
    def _thins(self) -> bool:
        bounded = any(np.isfinite(budget.at_most) for budget in self.budgets)
        wide = [choice for choice in self.choices.values() if choice.most == len(choice.options) > choice.least]
        return (
            bounded
            and len(wide) == len(self.choices)
            and (self.table.dag_costs is not None or self.table.count_costs is not None)
        )

    def _thinned(self, rng: np.random.Generator, wanted: Callable[[Arch], bool]) -> Arch | None:
        encoding = self.table.encoding
        for _ in range(BLOCK):
            row, needed = np.ones(encoding.width), set[int]()
            for name, choice in self.choices.items():
                kept = rng.permutation(len(choice.options))[: choice.least] + encoding.columns[name]
                needed.update(kept.tolist())
            order = [option for option in rng.permutation(encoding.width).tolist() if option not in needed]
            low, high = 0, len(order)
            while low < high:
                middle = (low + high) // 2
                low, high = (low, middle) if self._legal_without(row, order[:middle]) else (middle + 1, high)
            row[order[:low]] = 0
            arch = encoding.decode(row)
            if self.legal([arch])[0] and wanted(arch):
                return arch
        return None

    def _legal_without(self, row: NDArray[np.float64], options: Sequence[int]) -> bool:
        """Whether all upper bounds hold without some options; fewer options never cost more."""
        less = row.copy()
        less[list(options)] = 0
        costs = self.table.of_rows(less[None])
        return all(costs[budget.cost][0] <= budget.at_most for budget in self.budgets)

    def _walk(self, rng: np.random.Generator, wanted: Callable[[Arch], bool]) -> Arch | None:
        arch = self.start
        for sweep in range(10 * WALK):
            for name, choice in self.choices.items():
                moved = arch.replace({name: choice.sample(rng)})
                arch = moved if self.legal([moved])[0] else arch
            if sweep >= WALK and wanted(arch):
                return arch
        return None

    def _violations(self, costs: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """The sum over all budgets of the distance to the bound, relative to the bound; 0 = legal."""
        broken = np.zeros(len(next(iter(costs.values()))))
        for budget in self.budgets:
            value = costs[budget.cost]
            broken += np.maximum(0, value - budget.at_most) / max(budget.at_most, 1e-9)
            broken += np.maximum(0, budget.at_least - value) / max(budget.at_least, 1e-9)
        return broken

    def _check_alone(self, budget: Budget) -> None:
        exact = self.table.extremes_are_exact(budget.cost)
        lowest, highest = (self.table.exact(arch)[budget.cost] for arch in self.table.extremes(budget.cost))
        if budget.at_most < lowest or budget.at_least > highest:
            if not exact and space_size(self.choices) <= MOST_LISTED:
                return  # all architectures are looked at
            raise UserError(
                f"--budget {budget}: this space reaches {format_cost(lowest)} to {format_cost(highest)} {budget.cost}"
                f"{_at(self.table.shape)}{'' if exact else ', as far as a local search finds'}; "
                f"{_share_told(budget, lowest) or OTHER_RANGES}"
            )

        if exact and budget.at_least <= lowest and highest <= budget.at_most:
            by = " by the latency table" if budget.cost == LATENCY else ""
            self.notes.append(f"budget {budget}: it limits nothing, since every architecture keeps it{by}")

    def _find_legal(self, rng: np.random.Generator) -> Arch:
        """An architecture that meets all budgets: by local search on the violations, else from all sums of costs."""
        if not self.budgets:
            return Arch.sample(self.choices, rng)
        found = self._searched(rng)
        if found is None and self._sampler is not None:
            found = self._sampled(self._sampler, rng, lambda arch: True)
        if found is None and self._window is not None:
            found = self._from_window(self._window, rng, lambda arch: True)
        if found is not None:
            return found
        asked = ", ".join(map(str, self.budgets)) + (" at once" if len(self.budgets) > 1 else "")
        none = self._sampler is not None and not self._sampler.size
        if none or (self._window is not None and self._window.complete):
            raise UserError(f"--budget: no architecture of this space meets {asked}")
        raise UserError(f"--budget: no architecture was found that meets {asked}; whether there is one is not known")

    def _searched(self, rng: np.random.Generator) -> Arch | None:
        def evaluate(archs: Sequence[Arch]) -> list[float]:
            violations: list[float] = self._violations(self.table(archs)).tolist()
            return violations

        starts = [arch for budget in self.budgets for arch in self.table.extremes(budget.cost)]
        for arch, left in zip(starts, evaluate(starts), strict=True):
            if left == 0:
                return arch
        starts += [Arch.sample(self.choices, rng) for _ in range(BLOCK)]
        broken = evaluate(starts)
        for i in np.argsort(broken, kind="stable")[:16]:
            arch, left = local_search(starts[i], broken[i], [neighbours], evaluate, enough=0.0)
            if left == 0:
                return arch
        return None


def _at(shape: object) -> str:
    """The size of images, for a message."""
    image = isinstance(shape, tuple) and len(shape) == 3 and all(isinstance(n, int) for n in shape)
    return f" with inputs of {'x'.join(map(str, shape))}" if image else ""  # type: ignore[call-overload]


def _share_told(budget: Budget, lowest: float) -> str:
    """How to write a share of the largest network, where a bound between 0 and 1 can be nothing else."""
    share = 0 < budget.at_most < 1 < lowest
    return f"a share of the largest network is written {budget.cost}<={budget.at_most * 100:g}%" if share else ""
