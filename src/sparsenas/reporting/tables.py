"""The rows of those tables that need more than one record."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sparsenas.costs.layer import shown_costs
from sparsenas.reporting.findings import limit
from sparsenas.reporting.loading import LoadedRun
from sparsenas.reporting.numbers import count
from sparsenas.rundir.flag_names import spelled
from sparsenas.rundir.log import EpochEnd
from sparsenas.rundir.results import Compared, Int8Result

SHAPE = "--space.shape"
_PARTS = {"baseline": "baselines", "compared": "compared", "finalist": "finalist trainings"}
"""Stages that train several networks, by the beginning of the names of these trainings."""


class Cost(NamedTuple):
    """A cost of the found network; ``place`` is where it is in the range of the space, 0 to 1."""

    name: str
    value: float
    limits: list[tuple[str, float]]
    range: tuple[float, float] | None
    place: float | None


class Stage(NamedTuple):
    """A stage and what it took; what was not counted is ``None``."""

    name: str
    seconds: float | None = None
    memory: float | None = None
    evaluations: int | None = None
    passes: int | None = None
    speed: float | None = None


def counts(costs: Mapping[str, float], names: Sequence[str]) -> list[str]:
    """Costs for people, in the order of their names."""
    return [count(costs.get(name)) for name in names]


def costs(run: LoadedRun) -> list[Cost]:
    """The costs of the found network."""
    rows = []
    for name in shown_costs([run.costs]):
        value, (low, high) = run.costs[name], run.space.range.get(name, (0, 0)) if run.space else (0, 0)
        limits = [limit(budget) for budget in run.budgets if budget.cost == name]
        place = min(max((value - low) / (high - low), 0), 1) if high > low else None
        rows.append(Cost(name, value, limits, (low, high) if high else None, place))
    return rows


def trained(run: LoadedRun) -> list[Compared]:
    """Every architecture that was trained for comparison and the found one, best first."""
    listed, best, tested = [*run.results.baselines, *run.results.compared], run.best, run.results.retrained
    if best and tested:
        found = Compared(text=best.text, arch=best.arch, costs=best.costs, name="found", metrics=tested.metrics)
        listed.append(found)
    return sorted(listed, key=lambda one: run.score.gain(run.score.of(one.metrics), 0.0), reverse=True)


def mean(some: Sequence[Compared]) -> dict[str, float]:
    """The mean of each metric over networks that all have it."""
    names = set.intersection(*(set(one.metrics) for one in some))
    return {name: statistics.fmean(one.metrics[name] for one in some) for name in names}


def best(run: LoadedRun, some: Sequence[Compared]) -> Compared:
    """The network of the best score."""
    return max(some, key=lambda one: run.score.gain(run.score.of(one.metrics), 0.0))


def settings(run: LoadedRun) -> list[tuple[str, Any]]:
    """The flags of the run as the command line spells them; the shape of the space is that of the inputs."""
    flags = {spelled(name): value for name, value in _flat(run.settings)}
    if run.data and SHAPE in flags:
        flags[SHAPE] = run.data.shape
    return list(flags.items())


def _flat(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values by dotted name."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def stages(run: LoadedRun) -> list[Stage]:
    """Every stage and what it took, then the unfinished ones, then the sum."""
    epochs: dict[str, list[EpochEnd]] = {}
    for name, lines in run.training.items():
        epochs.setdefault(_PARTS.get(name.rstrip("0123456789"), name), []).extend(lines)
    rows = [
        Stage(end.stage, end.seconds, end.peak_memory_mib, end.evaluations, end.data_passes, _speed(epochs, end.stage))
        for end in run.done
    ]
    for name in epochs.keys() - {line.stage for line in run.done}:
        last = epochs[name][-1]
        told = f"{last.stage} (not finished: epoch {last.epoch + 1} of {last.epochs})"
        rows.append(Stage(told, speed=_speed(epochs, name)))
    peaks = [row.memory for row in rows if row.memory is not None]
    total = Stage("all stages", sum(row.seconds or 0 for row in rows), max(peaks, default=None))
    return [*rows, total] if len(rows) > 1 else rows


def _speed(epochs: Mapping[str, Sequence[EpochEnd]], stage: str) -> float | None:
    return round(statistics.median(line.examples_per_s for line in epochs[stage])) if stage in epochs else None


def confusion_counts(run: LoadedRun) -> list[list[int]] | None:
    """Test examples by true and by predicted class, where they were counted."""
    counts = run.results.retrained.confusion if run.results.retrained else None
    classes = len(run.data.classes) if run.data else 0
    return counts if counts and len(counts) == classes and all(len(row) == classes for row in counts) else None


def deployed(run: LoadedRun, int8: Int8Result) -> list[list[str]]:
    """The ONNX files of 32-bit floats and of 8 bits: metrics, bytes, milliseconds and their spread."""
    return [
        [name, *run.told(file.metrics), count(file.bytes), f"{file.median_ms:.3g}", f"{file.spread_ms:.2g}"]
        for name, file in (("net.onnx", int8.float32), ("net.int8.onnx", int8.int8))
    ]


def mistakes(run: LoadedRun, most: int = 8) -> list[tuple[str, str, int]]:
    """The most frequent mistakes on the test examples: true class, predicted class, number."""
    names = run.data.classes if run.data else []
    counted = [
        (names[true], names[predicted], n)
        for true, row in enumerate(confusion_counts(run) or [])
        for predicted, n in enumerate(row)
        if n and predicted != true
    ]
    return sorted(counted, key=lambda mistake: -mistake[2])[:most]
