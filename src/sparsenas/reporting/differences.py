"""Groups of runs against each other: which found the better networks."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from sparsenas.reporting.comparing import data_of
from sparsenas.reporting.findings import MARKS, Finding
from sparsenas.reporting.score import ShownScore
from sparsenas.reporting.seeds import SeedGroup
from sparsenas.reporting.side_by_side import found_scores, interval_told
from sparsenas.searching.chance import gap, paired_gap


class _Side(NamedTuple):
    """A group of several seeds: how good its networks are by seed, higher is better, and their mean multiply-adds."""

    label: str
    gains: dict[str, float]
    flops: float

    @property
    def mean(self) -> float:
        return statistics.fmean(self.gains.values())


def differences(groups: Sequence[SeedGroup], labels: Sequence[str]) -> list[Finding]:
    """Of groups of several seeds that solve the same task, the one with the best mean against each of the others.

    A sentence names those of one seed, which cannot be compared.
    """
    tasks, single = dict[str, list[_Side]](), []
    for group, label in zip(groups, labels, strict=True):
        runs = [one.run for one in group.runs]
        if group.several and len(scores := found_scores(runs)) == len(runs):
            gains = [runs[0].score.gain(value, 0.0) for value in scores]
            flops = statistics.fmean((run.best and run.best.costs.get("flops")) or float("nan") for run in runs)
            tasks.setdefault(_task(group), []).append(_Side(label, dict(zip(group.seeds, gains, strict=True)), flops))
        elif len(runs) == 1:
            single.append(label)
    score = groups[0].runs[0].run.score
    told = [finding for sides in tasks.values() for finding in _against_the_best(score, sides)]
    if single and len(groups) > 1:
        few = "One seed tells too little to compare methods"
        told.append(Finding("open", f"{few}: {', '.join(single)}."))
    return told


def _task(group: SeedGroup) -> str:
    """What must be the same for found networks to be compared."""
    run = group.runs[0].run
    facts = [run.score.name, data_of(run), run.budget_texts, run.how_trained, run.recipe]
    return json.dumps(facts, sort_keys=True, default=str)


def _against_the_best(score: ShownScore, sides: Sequence[_Side]) -> list[Finding]:
    first, *others = sorted(sides, key=lambda side: side.mean, reverse=True)
    return [_difference(score, first, other) for other in others]


def _difference(score: ShownScore, first: _Side, second: _Side) -> Finding:
    one, other = first.gains, second.gains
    same, more = one.keys() == other.keys(), first.flops / second.flops - 1
    found = paired_gap([*one.values()], [other[s] for s in one]) if same else gap([*one.values()], [*other.values()])
    if found.mean == 0:
        return Finding("open", f"{first.label} and {second.label} found equally good networks on average.")
    seeds = f"the same {len(one)} seeds" if same else f"{len(one)} and {len(other)} seeds"
    chance = ", which may be chance" if found.better is None else ""
    cost = f" They have {abs(more):.0%} {'more' if more > 0 else 'fewer'} multiply-adds." if abs(more) > 0.05 else ""
    told = f"{first.label} found better networks than {second.label}, by {score.difference(found.mean)} on average"
    return Finding(MARKS[found.better], f"{told} over {seeds} ({interval_told(score, found)}){chance}.{cost}")
