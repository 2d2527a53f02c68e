"""How good the found architecture is, by a table of known accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsenas.core.arch import Arch
from sparsenas.core.canonical import Canonicalizer, representative
from sparsenas.errors import UserError
from sparsenas.job.task import Task
from sparsenas.job.trained import found
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.records import Best
from sparsenas.rundir.truth import KnownRow, MostExpensive, Standing, Truth
from sparsenas.searching.benchmark_table import BenchmarkTable, load_benchmark_table
from sparsenas.searching.rank_correlation import one_of_each, place
from sparsenas.spaces.published import read_arch

EQUAL_COST = 0.05
"""Rows cost about as much as the found architecture if they differ from it by at most this share."""


@dataclass(frozen=True)
class Known:
    """Architectures of known accuracy, in the table's order."""

    table: str
    """File name of the table."""
    archs: tuple[Arch, ...]
    columns: dict[str, tuple[float, ...]]
    """Their true accuracies, by column."""
    networks: tuple[Arch, ...]
    """The representative of each: equal ones are one network."""

    def subset(self, rows: Sequence[int]) -> Known:
        """Some of the rows."""
        columns = {name: tuple(values[i] for i in rows) for name, values in self.columns.items()}
        archs, networks = (tuple(part[i] for i in rows) for part in (self.archs, self.networks))
        return Known(self.table, archs, columns, networks)

    def distinct(self) -> list[int]:
        """A row of every network."""
        return one_of_each(self.archs, self.networks)


def read_known(task: Task, path: Path, columns: Sequence[str] = ()) -> Known:
    """The rows of a table as architectures of the run's space. Raises ``UserError`` when they are not."""
    return known_archs(task, path, load_benchmark_table(path, columns))


def known_archs(task: Task, path: Path, table: BenchmarkTable) -> Known:
    """The rows of a table that was read from ``path``. Raises ``UserError`` for those of another space."""
    canonicalizer = Canonicalizer(task.limits.table.net)
    try:
        archs = tuple(read_arch(task.choices, text) for text in table.archs)
    except UserError as error:
        raise UserError(f"{path}: expected architectures of the run's space: {error}") from error
    return Known(path.name, archs, table.columns, tuple(canonicalizer.representative(arch) for arch in archs))


def table_of(task: Task, path: str, columns: Sequence[str]) -> Known | None:
    """The table of a run, if it was given one. Raises ``UserError``."""
    if columns and not path:
        raise UserError(f"--column: expected --table, the file that has it, got none; got {', '.join(columns)}")
    return read_known(task, Path(path), columns) if path else None


def tell_truth(run: Run, task: Task, known: Known | None) -> None:
    """Writes truth.json for the table of a run, if it was given one, and tells it."""
    truth = truth_stage(run, task, known) if known else None
    for line in truth_lines(truth) if truth else []:
        RunLogger(run).say(line)


def truth_stage(run: Run, task: Task, known: Known) -> Truth | None:
    """Writes truth.json; ``None`` when the table lacks the found architecture, or none was found yet."""
    if not run.has(Best.FILE):
        return None
    arch = found(run, task.choices)
    network = representative(task.limits.table.net, arch)
    same = [i for i, other in enumerate(known.networks) if other == network]
    if not same:
        return None
    row = next((i for i in same if known.archs[i] == arch), same[0])
    cost = task.limits.budgets[0].cost if task.limits.budgets else "flops"
    costs, legal = task.limits.table(known.archs)[cost], np.flatnonzero(task.limits.legal(known.archs))
    close = _random_choices(task, known, row, costs)
    truth = Truth(
        table=known.table,
        rows=len(known.archs),
        networks=len(known.distinct()),
        text=arch.text(),
        cost=cost,
        within=EQUAL_COST,
        standings=[
            _standing(known, column, row, costs, sorted({*legal.tolist(), row}), close) for column in known.columns
        ],
    )
    run.write(truth)
    return truth


def _random_choices(task: Task, known: Known, row: int, costs: NDArray[np.float64]) -> list[int]:
    """The other rows that cost what ``row`` costs, without networks whose outputs do not depend on their inputs."""
    close = [i for i in np.flatnonzero(np.abs(costs - costs[row]) <= EQUAL_COST * costs[row]).tolist() if i != row]
    connection = task.connection()
    connected = {network: connection(network) for network in {known.networks[i] for i in close}}
    return [i for i in close if connected[known.networks[i]]]


def _standing(
    known: Known,
    column: str,
    row: int,
    costs: NDArray[np.float64],
    legal: Sequence[int],
    close: Sequence[int],
) -> Standing:
    truth, network = known.columns[column], known.networks[row]
    others = [i for i in known.distinct() if known.networks[i] != network]
    best, most = max(legal, key=lambda i: truth[i]), max(costs[i] for i in legal)
    return Standing(
        column=column,
        accuracy=truth[row],
        all=place(truth[row], truth),
        distinct=place(truth[row], [truth[i] for i in (row, *others)]),
        legal=place(truth[row], [truth[i] for i in legal]),
        best=KnownRow(text=known.archs[best].text(), accuracy=truth[best], cost=float(costs[best])),
        most_expensive=MostExpensive(cost=float(most), accuracies=[truth[i] for i in legal if costs[i] == most]),
        equal_cost=[truth[i] for i in close],
    )


def truth_lines(truth: Truth) -> list[str]:
    """The true accuracy of the found architecture and its place, for the terminal: a line for each column."""
    lines = []
    for one in truth.standings:
        told = f"found {truth.text}: true accuracy {one.accuracy:.2%}"
        told += f" by {one.column}" if len(truth.standings) > 1 else ""
        groups = {"rows": one.all, "distinct networks": one.distinct, "rows within the budget": one.legal}
        for among, at in groups.items():
            told += f"; rank {at.rank:,} of {at.of:,} {among}, {100 * at.gap:.2f} points below their best"
        most = one.most_expensive
        other = f"have {most.mean:.2%} on average"
        lines.append(f"{told}; the most expensive within the budget ({len(most.accuracies):,}) {other}")
    return lines
