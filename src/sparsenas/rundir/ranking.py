"""``rank.json`` and ``rank.jsonl``: how well scores rank architectures of known accuracy."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from sparsenas.rundir.records import ArchLabels, Metrics
from sparsenas.searching.benchmark_table import ACCURACY
from sparsenas.searching.rank_correlation import Agreement


class Ranked(Struct, frozen=True, kw_only=True):
    """A line of ``rank.jsonl``: the score of an architecture of known accuracy."""

    calibration: int
    """Requested number of training examples to recalibrate batch norm."""
    images: int
    """Training examples used to recalibrate batch norm."""
    val: int
    """Validation examples."""
    arch: ArchLabels
    text: str
    """The architecture as compact text."""
    metrics: Metrics
    """On validation examples."""


class Measure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How well one score, or one cost, ranks the architectures."""

    column: str = ACCURACY
    """The column of true accuracies."""
    by: str
    """A metric such as accuracy, one that is shrunk ("accuracy, shrunk"), or the name of a cost."""
    all: Agreement
    """Over all rows."""
    distinct: Agreement
    """Over one row of each distinct network."""
    calibration: int | None = None
    """Requested number of training examples to recalibrate batch norm; null for a cost."""
    images: int | None = None
    """Training examples used to recalibrate batch norm; null for a cost."""
    val: int | None = None
    """Validation examples; null for a cost."""


class Ranking(Struct, frozen=True, kw_only=True):
    """``rank.json``."""

    FILE: ClassVar[str] = "rank.json"
    table: str
    """File name of the table."""
    rows: int
    """Architectures of the table."""
    networks: int
    """Distinct networks of the table."""
    measures: list[Measure]
    truth: dict[str, float]
    """True accuracy of the scored architectures by compact text, by the first column."""
