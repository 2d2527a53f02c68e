"""``truth.json``: how good the found architecture is, by a table of known accuracies."""

from __future__ import annotations

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
    most_expensive: KnownRow
    """The most expensive row within the budgets, the best one among equals: what one would take without a search."""
    equal_cost: list[float]
    """True accuracies of the rows that cost about the same, which a random choice of that cost would find."""


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
