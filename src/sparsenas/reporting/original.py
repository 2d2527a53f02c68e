"""The found network beside the one that was opened. A row has a name, the original, the found one, and their ratio."""

from __future__ import annotations

from sparsenas.costs.layer import shown_costs
from sparsenas.objectives.objective import LOSS
from sparsenas.reporting.loading import LoadedRun
from sparsenas.reporting.numbers import count, percent
from sparsenas.rundir.results import Compared

Row = tuple[str, str, str, str]


def measured(run: LoadedRun, original: Compared) -> list[Row]:
    """Test metrics, costs and measured latency."""
    tested, latency = run.results.retrained, run.results.latency
    names, values = dict.fromkeys([run.score.name, "loss"]), run.told(original.metrics)
    found = run.told(tested.metrics) if tested else [""] * len(values)
    rows = [(f"test {name}", *pair, "") for name, *pair in zip(names, values, found, strict=True)]
    rows += [_row(cost, original.costs[cost], run.costs.get(cost)) for cost in shown_costs([original.costs])]
    if latency and latency.original_ms:
        rows.append(_row("latency in ms, measured whole", latency.original_ms, latency.measured_ms))
    return rows  # type: ignore[return-value]


def smoothing(run: LoadedRun) -> float:
    """The label smoothing of the recipe of the found network, where its loss is of classes; else 0."""
    value = run.recipe.get("smoothing") if run.results.retrained and run.score.name != LOSS else 0
    return float(value) if isinstance(value, int | float) else 0


def decisions(run: LoadedRun, original: Compared) -> list[Row]:
    """How much of every layer is left: channels, kernels, blocks; 0 in a block that is left out."""
    arch = run.best.arch if run.best else {}
    gone = tuple(name.removesuffix("depth") for name, label in arch.items() if label == "skip")
    rows = []
    for name, before in original.arch.items():
        after = arch.get(name, "")
        if before == "keep":
            rows.append((name, str(before), str(after), ""))
        else:
            rows.append(_row(name, _size(before), 0 if name.startswith(gone) else _size(after)))
    return rows


def _size(label: str | list[str]) -> int:
    """Channels, or the side of a kernel; of a list of groups of channels, how many there are."""
    return len(label) if isinstance(label, list) else int(label) if label.isdecimal() else 1


def _row(name: str, original: float, found: float | None) -> Row:
    return name, count(original), count(found), percent(None if found is None else found / (original or 1))
