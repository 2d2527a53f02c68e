"""``truth.json``: how good the found architecture is, by a table of known accuracies."""

from __future__ import annotations

import statistics
from typing import ClassVar

from msgspec import Struct

from sparsenas.searching.rank_correlation import Place


class KnownRow(Struct, frozen=True, kw_only=True):
    """An architecture of the table."""

    text: str
    """The architecture as compact text."""
    accuracy: float
    """True accuracy, 0 to 1."""
    cost: float


class MostExpensive(Struct, frozen=True, kw_only=True):
    """The most expensive rows within the budgets: one of them is what one would take without a search."""

    cost: float
    accuracies: list[float]
    """The true accuracy of each, 0 to 1."""

    @property
    def mean(self) -> float:
        """What one of them has on average."""
        return statistics.mean(self.accuracies)


class Standing(Struct, frozen=True, kw_only=True):
    """The found architecture by one column of the table."""

    column: str
    accuracy: float
    """True accuracy, 0 to 1."""
    all: Place
    """Among all rows."""
    distinct: Place
    """Among distinct networks."""
    legal: Place
    """Among rows within the budgets; among all rows where there are none."""
    best: KnownRow
    """The best row within the budgets."""
    most_expensive: MostExpensive
    equal_cost: list[float]
    """True accuracies of the rows that cost about the same, which a random choice of that cost would find.

    Without those whose outputs do not depend on their inputs.
    """


class Truth(Struct, frozen=True, kw_only=True):
    """``truth.json``."""

    FILE: ClassVar[str] = "truth.json"
    table: str
    """File name of the table."""
    rows: int
    """Architectures of the table."""
    networks: int
    """Distinct networks of the table."""
    text: str
    """The found architecture as compact text."""
    cost: str
    """The cost by which rows are compared: that of the first budget, or multiply-adds."""
    within: float
    """Rows of equal cost differ from the found one by at most this share."""
    standings: list[Standing]
    """One per column."""
