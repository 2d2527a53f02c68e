"""How good the found architecture is, by a table of known accuracies."""

from __future__ import annotations

import statistics

from sparsenas.reporting.numbers import count, percent, points
from sparsenas.rundir.truth import Standing, Truth

HEAD = ["true accuracy by", "found", "place within the budget", "of the best", "best within the budget"]
HEAD += ["most expensive within the budget", "random at equal cost"]


def words(truth: Truth) -> str:
    """The table, and how good the found architecture is by its first column."""
    first = truth.standings[0]
    gap = f"{points(first.legal.gap)} points below the best" if first.legal.gap else "the best"
    return (
        f"{truth.table} has the true accuracies of {count(truth.rows)} architectures, {count(truth.networks)} distinct "
        f"networks. The search did not see it. The found one has {percent(first.accuracy)}: {gap} within the budget "
        f"(rank {count(first.legal.rank)} of {count(first.legal.of)}); among distinct networks of any cost rank "
        f"{count(first.distinct.rank)} of {count(first.distinct.of)}."
    )


def cells(one: Standing) -> list[str]:
    """A column of the table as a row of the report."""
    better = (one.legal.rank - 1) / one.legal.of
    return [
        one.column,
        percent2(one.accuracy),
        f"{count(one.legal.rank)} of {count(one.legal.of)} (top {percent(better)})",
        f"{points(one.legal.gap)} points below" if one.legal.gap else "the best",
        f"{percent2(one.best.accuracy)} ({one.best.text})",
        _mean(one.most_expensive.accuracies),
        _mean(one.equal_cost),
    ]


def percent2(share: float) -> str:
    """A true accuracy, whose differences are of hundredths of a percent."""
    return f"{100 * share:.2f}\u202f%"


def _mean(accuracies: list[float]) -> str:
    if not accuracies:
        return "none"
    spread = f" ± {100 * statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
    return f"{100 * statistics.mean(accuracies):.2f}{spread} (n {count(len(accuracies))})"
