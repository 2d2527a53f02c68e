"""What a space offers before any training: its decisions, the range of every cost, and which budgets can be met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sparsenas.core.arch import space_size
from sparsenas.core.choice import Choices
from sparsenas.costs import Budget, Cost, CostTable, Limits
from sparsenas.costs.budget import AND, Bound, read_bounds
from sparsenas.costs.ends import budgets_at
from sparsenas.costs.layer import as_number
from sparsenas.errors import UserError, check_at_least
from sparsenas.nn.tree import Tree
from sparsenas.opening.coverage import Coverage
from sparsenas.opening.opened import OpenedNetwork

Sampled = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Range:
    """A cost over a space."""

    low: float
    """The lowest; exact where the cost adds up over options, else as far as a local search finds."""
    middle: float
    """The median of random architectures."""
    high: float
    """The highest, as the lowest."""


@dataclass(frozen=True)
class BudgetCheck:
    """Whether a budget can be met."""

    given: str
    """As it was written."""
    budget: str
    """In units of the cost."""
    met: bool
    """Whether an architecture that meets it was found."""
    share: float
    """Of random architectures, those that meet it."""
    reason: str = ""
    """Why none was found."""


@dataclass(frozen=True)
class Profile:
    """A space before any training."""

    choices: Choices
    """The decisions by name, each with its options."""
    architectures: int
    costs: Mapping[str, Range]
    """By cost."""
    budgets: Sequence[BudgetCheck]
    """Each one alone, and where there are several also all at once."""
    samples: int
    """Random architectures behind the medians and the shares."""
    coverage: Coverage | None = None
    """How much of a plain network was opened, and why the rest was not; of an opened network only."""

    def to_json(self) -> dict[str, Any]:
        """The profile as plain values."""
        return {
            "choices": [asdict(choice) for choice in self.choices.values()],
            "architectures": self.architectures,
            "costs": {name: asdict(found) for name, found in self.costs.items()},
            "budgets": [asdict(one) for one in self.budgets],
            "samples": self.samples,
            "under_choice": None if self.coverage is None else self.coverage.share,
            "closed": {} if self.coverage is None else dict(self.coverage.closed),
        }


def profile_of(
    net: nn.Module, shape: Tree, costs: Mapping[str, Cost], budgets: Sequence[str], samples: int, seed: int
) -> Profile:
    """The profile of a network with choices; nothing of it is computed but shapes.

    ``shape`` is that of one input, or an example. Raises ``UserError`` for a budget that cannot be read; one that
    cannot be met is told in the result.
    """
    check_at_least({"--samples": samples, "--seed": seed}, {"--samples": 1, "--seed": 0})
    bounds = read_bounds(budgets, costs)
    table = CostTable(net, shape, costs)
    if not table.choices:
        raise UserError("--space: expected a network with at least one choice, found none")
    sampled = table.of_rows(table.encoding.draw(np.random.default_rng(seed), samples))
    singles = [budgets_at(table, [bound]) for bound in bounds]
    checked = [_checked(table, [one], budget, sampled) for one, budget in zip(bounds, singles, strict=True)]
    if len(bounds) > 1:
        checked.append(_checked(table, bounds, [budget for one in singles for budget in one], sampled))
    coverage = net.coverage if isinstance(net, OpenedNetwork) else None
    ranges = {name: _range(table, name, sampled[name]) for name in costs}
    return Profile(table.choices, space_size(table.choices), ranges, checked, samples, coverage)


def _range(table: CostTable, name: str, sampled: NDArray[np.float64]) -> Range:
    low, high = (table.exact(arch)[name] for arch in table.extremes(name))
    return Range(low, as_number(name, float(np.quantile(sampled, 0.5, method="lower"))), high)


def _checked(table: CostTable, bounds: Sequence[Bound], budgets: Sequence[Budget], sampled: Sampled) -> BudgetCheck:
    """``budgets`` are the bounds, each alone, in units of their costs."""
    met = np.all([[b.allows(value) for value in sampled[b.cost]] for b in budgets], axis=0)
    reason = ""
    try:
        Limits(table, budgets_at(table, bounds))
    except UserError as error:
        reason = str(error)
    texts = AND.join(bound.text for bound in bounds), AND.join(map(str, budgets))
    return BudgetCheck(*texts, not reason, float(met.mean()), reason)
