"""The results of several runs: of each run, and of those that differ in the seed alone together."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sparsenas.reporting.findings import MARKS, Finding, comparison, conclusion, over_budget, verdict
from sparsenas.reporting.loading import LoadedRun
from sparsenas.reporting.numbers import NONE, several
from sparsenas.reporting.score import ShownScore
from sparsenas.reporting.seeds import Named, SeedGroup
from sparsenas.rundir.records import Metrics
from sparsenas.searching.chance import ENOUGH, Gap, gap

HEAD = ("found", "random", "found against random", "original", "inherited")


class ResultCell(NamedTuple):
    """What stands below a head: a value for people, what belongs to it, and a mark as a finding has it."""

    text: str = NONE
    more: str = ""
    mark: str = ""


def cells(runs: Sequence[LoadedRun], member: bool = False) -> list[ResultCell]:
    """The scores of one run, or of several over their seeds, in the order of ``HEAD``.

    The verdict on a ``member`` of a group of seeds is that of the group.
    """
    score, random = runs[0].score, random_scores(runs)
    more = f"{several(len(random), 'network')}, best {score.number(score.best(random))}" if random else ""
    original = _known(runs, [run.results.original.metrics for run in runs if run.results.original])
    inherited = _known(runs, [run.best.val for run in runs if run.best and run.best.val])
    found, *others = (_over_seeds(runs, values) for values in (found_scores(runs), original, inherited))
    against = _against_random(runs[0]) if len(runs) == 1 else _gap(runs)
    against = ResultCell(against.text) if member else against
    return [found, ResultCell(_spread(runs[0], random), more), against, *others]


def columns(runs: Sequence[Named]) -> list[str]:
    """The heads, with the score where all have the same; empty for the original where no run has one."""
    scores = {one.run.score.name for one in runs}
    found = f"{HEAD[0]}, test {scores.pop()}" if len(scores) == 1 else HEAD[0]
    return [found, *HEAD[1:3], HEAD[3] if any(one.run.results.original for one in runs) else "", HEAD[4]]


def found_scores(runs: Sequence[LoadedRun]) -> list[float]:
    """The test scores of the found networks."""
    return _known(runs, [run.results.retrained.metrics for run in runs if run.results.retrained])


def random_scores(runs: Sequence[LoadedRun]) -> list[float]:
    """The test scores of the random networks; a network that several runs share counts once."""
    networks = {(one.text, *one.metrics.items()): one.metrics for run in runs for one in run.results.baselines}
    return _known(runs, networks.values())


def _known(runs: Sequence[LoadedRun], every: Iterable[Metrics]) -> list[float]:
    return [runs[0].score.of(metrics) for metrics in every if runs[0].score.known(metrics)]


def _over_seeds(runs: Sequence[LoadedRun], values: Sequence[float]) -> ResultCell:
    some = 0 < len(values) < len(runs)
    return ResultCell(_spread(runs[0], values), f"{len(values)} of {len(runs)} seeds" if some else "")


def _spread(run: LoadedRun, values: Sequence[float]) -> str:
    """The mean, with the deviation of several."""
    if len(values) < 2:
        return run.score.number(values[0] if values else None)
    return f"{run.score.number(statistics.fmean(values))} \u00b1 {run.score.difference(statistics.stdev(values))}"


def _against_random(run: LoadedRun) -> ResultCell:
    if (compared := comparison(run)) is None:
        return ResultCell()
    doubt = "too few to tell" if len(compared.others) < ENOUGH else "may be chance" if compared.better is None else ""
    return ResultCell(run.score.signed(compared.margin), doubt, MARKS[compared.better])


def seed_gap(runs: Sequence[LoadedRun]) -> Gap | None:
    """How much better the found networks are than random ones over the seeds; ``None`` where these are too few."""
    found, random = ([runs[0].score.gain(x, 0.0) for x in some] for some in (found_scores(runs), random_scores(runs)))
    return gap(found, random) if found and len(random) >= ENOUGH else None


def _gap(runs: Sequence[LoadedRun]) -> ResultCell:
    if (difference := seed_gap(runs)) is None:
        return ResultCell()
    chance = ", may be chance" if difference.better is None and difference.low is not None else ""
    interval = interval_told(runs[0].score, difference) + chance
    return ResultCell(runs[0].score.signed(difference.mean), interval, MARKS[difference.better])


def interval_told(score: ShownScore, difference: Gap) -> str:
    """Its 95 % confidence interval."""
    if difference.low is None or difference.high is None:
        return "too few to tell"
    low, high = (score.signed(value).removesuffix(" points") for value in (difference.low, difference.high))
    return f"95 %: {low} to {high}"


def told(group: SeedGroup, label: str) -> list[Finding]:
    """What the runs of a group found together, and which of them are over their budgets; or what its one run found."""
    each = [Finding(mark, f"{one.name}: {text}") for one in group.runs for mark, text in [_alone(one.run)]]
    over = [finding for finding, one in zip(each, group.runs, strict=True) if over_budget(one.run)]
    return [_together(group, label), *over] if group.several else each


def _alone(run: LoadedRun) -> Finding:
    """The headline, with the reason where the found network could not be compared with random ones."""
    (mark, text), compared = conclusion(run), comparison(run)
    few = mark == "open" and run.results.retrained and (compared is None or len(compared.others) < ENOUGH)
    return Finding(mark, f"{text}. {verdict(run).text}" if few else f"{text}.")


def _together(group: SeedGroup, label: str) -> Finding:
    runs = [one.run for one in group.runs]
    n, difference, start = len(random_scores(runs)), seed_gap(runs), f"{label}, {len(runs)} seeds: "
    if difference is None:
        few = f"{several(n, 'random architecture')} of all seeds are too few to compare with." if n else ""
        return Finding("open", start + (few or "not yet compared with random architectures."))
    how = f"{runs[0].score.difference(difference.mean)} {'better' if difference.mean > 0 else 'worse'}"
    chance = ", which may be chance" if difference.better is None else ""
    mean = f"than the mean of {n} random architectures ({interval_told(runs[0].score, difference)}){chance}."
    return Finding(MARKS[difference.better], f"{start}on average {how} {mean}")
