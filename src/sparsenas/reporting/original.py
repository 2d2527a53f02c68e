"""The found network beside the one that was opened."""

from __future__ import annotations

from typing import NamedTuple

from sparsenas.reporting.loading import LoadedRun
from sparsenas.reporting.numbers import NONE, count, percent
from sparsenas.reporting.tables import shown_costs


class Versus(NamedTuple):
    """One line: a quantity or a decision, in the original and in the found network."""

    name: str
    original: str
    found: str
    share: str
    """Found to original."""


def measured(run: LoadedRun) -> list[Versus]:
    """Test metrics, costs and measured latency; none where no network was opened."""
    original, tested, latency = run.results.original, run.results.retrained, run.results.latency
    if original is None or run.best is None:
        return []
    rows = []
    if tested is not None:
        pairs = zip(run.told(original.metrics), run.told(tested.metrics), strict=False)
        names = dict.fromkeys([run.score.name, "loss"])
        rows += [Versus(f"test {name}", *pair, "") for name, pair in zip(names, pairs, strict=False)]
    for cost in shown_costs([original.costs]):
        rows.append(_numbers(cost, original.costs[cost], run.costs.get(cost)))
    if latency is not None and latency.original_ms is not None:
        rows.append(_numbers("latency in ms, measured whole", latency.original_ms, latency.measured_ms))
    return rows


def decisions(run: LoadedRun) -> list[Versus]:
    """How much of every layer is left: channels, kernels, blocks."""
    original, best = run.results.original, run.best
    if original is None or best is None:
        return []
    gone = tuple(f"{name.removesuffix('depth')}" for name, label in best.arch.items() if label == "skip")
    rows = []
    for name, before in original.arch.items():
        after = best.arch.get(name)
        skipped = name.startswith(gone) and after != "skip" if gone else False
        if isinstance(before, list):
            kept = len(after) if isinstance(after, list) else 1
            rows.append(_numbers(name, len(before), 0 if skipped else kept))
        elif before.isdecimal() and isinstance(after, str) and after.isdecimal():
            rows.append(_numbers(name, int(before), 0 if skipped else int(after)))
        else:
            rows.append(Versus(name, before, str(after), ""))
    return rows


def _numbers(name: str, original: float, found: float | None) -> Versus:
    share = NONE if found is None or not original else percent(found / original)
    return Versus(name, count(original), count(found), share)
