"""Several runs by name, those that differ in nothing but their seeds together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from sparsenas.reporting.loading import LoadedRun

INCIDENTAL = ("seed", "threads", "accelerator", "checkpoint_seconds")
"""Flags in which runs of one group may differ: besides the seed those that change a result by rounding at most."""


class Named(NamedTuple):
    """A run with the name by which the page tells it from the others."""

    name: str
    run: LoadedRun


class SeedGroup(NamedTuple):
    """Runs of the same settings, one or more."""

    runs: list[Named]

    @property
    def seeds(self) -> list[str]:
        """The seed of each."""
        return [str(one.run.config.get("seed")) for one in self.runs]

    @property
    def several(self) -> bool:
        """Whether there is a deviation over seeds: there is none where a seed occurs twice, the same run again."""
        return 1 < len(self.runs) == len(set(self.seeds))

    @property
    def settings(self) -> tuple[str, ...]:
        """Method, space, data and budgets."""
        run = self.runs[0].run
        budgets = map(str, run.budgets or run.budget_texts)
        return *map(run.flag, ("method", "space", "data")), ", ".join(budgets) or "no budget"


def named(runs: Sequence[LoadedRun]) -> list[Named]:
    """The runs by the names of their folders; with as many folders above as tell them apart."""
    parts = [run.folder.resolve().parts for run in runs]
    depth = 1
    while len({path[-depth:] for path in parts}) < len(set(parts)):
        depth += 1
    return [Named("/".join(path[-depth:]), run) for path, run in zip(parts, runs, strict=True)]


def seed_groups(runs: Sequence[Named]) -> list[SeedGroup]:
    """All runs, those of the same settings and the same score together, in the order of the first of each group."""
    found: dict[str, list[Named]] = {}
    for one in runs:
        settings = {name: value for name, value in one.run.settings.items() if name not in INCIDENTAL}
        key = json.dumps([settings, one.run.how_trained, one.run.score.name], sort_keys=True, default=str)
        found.setdefault(key, []).append(one)
    return [SeedGroup(some) for some in found.values()]


def shared(groups: Sequence[SeedGroup]) -> str:
    """The settings in which all groups are alike, save the method."""
    columns = [*zip(*(group.settings for group in groups), strict=True)][1:]
    return ", ".join(column[0] for column in columns if len(set(column)) == 1)


def labels(groups: Sequence[SeedGroup]) -> list[str]:
    """What tells each group from the others: its method, and those settings in which not all are alike.

    Where groups differ in other flags the names of their first runs do.
    """
    columns = [*zip(*(group.settings for group in groups), strict=True)]
    kept = [column for i, column in enumerate(columns) if i == 0 or len(set(column)) > 1]
    told = [", ".join(words) for words in zip(*kept, strict=True)]
    return [
        label if told.count(label) == 1 else f"{label} ({group.runs[0].name})"
        for label, group in zip(told, groups, strict=True)
    ]
