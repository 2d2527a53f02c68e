"""Runs that differ in nothing but their seeds: their mean and deviation over the seeds."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from sparsenas.reporting.comparing import Named, scores
from sparsenas.reporting.numbers import NONE

INCIDENTAL = ("seed", "threads", "accelerator", "checkpoint_seconds")
"""Flags in which runs of one group may differ: besides the seed those that change a result by rounding at most."""


class SeedGroup(NamedTuple):
    """Runs of the same settings, one or more."""

    runs: list[Named]

    @property
    def seeds(self) -> list[str]:
        """The seed of each."""
        return [str(one.run.config.get("seed")) for one in self.runs]

    @property
    def summary(self) -> list[str]:
        """What stands under the rows of a group: its name, and for each column of scores mean and deviation.

        Empty for a single run, and where a seed occurs twice: the same run again says nothing of the deviation.
        """
        if len(self.runs) < 2 or len(set(self.seeds)) < len(self.runs):
            return []
        columns = zip(*(scores(one.run) for one in self.runs), strict=True)
        name = f"mean \u00b1 deviation over {len(self.runs)} seeds ({', '.join(self.seeds)})"
        return [name, self.runs[0].run.score.name, *map(self._told, columns)]

    def _told(self, column: Sequence[float]) -> str:
        """Mean and deviation of the values that are known, with their number where some are not."""
        score, known = self.runs[0].run.score, [value for value in column if math.isfinite(value)]
        if len(known) < 2:
            return NONE
        number = f" ({len(known)} seeds)" if len(known) < len(column) else ""
        return f"{score.number(statistics.fmean(known))} \u00b1 {score.difference(statistics.stdev(known))}{number}"


def seed_groups(runs: Sequence[Named]) -> list[SeedGroup]:
    """All runs, those of the same settings and the same score together, in the order of the first of each group."""
    found: dict[str, list[Named]] = {}
    for one in runs:
        settings = {name: value for name, value in one.run.settings.items() if name not in INCIDENTAL}
        key = json.dumps([settings, one.run.how_trained, one.run.score.name], sort_keys=True, default=str)
        found.setdefault(key, []).append(one)
    return [SeedGroup(some) for some in found.values()]
