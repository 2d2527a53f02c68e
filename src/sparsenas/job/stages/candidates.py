"""Scores the candidates of a search and keeps the scores in files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from sparsenas.core.arch import Arch
from sparsenas.core.canonical import Canonicalizer
from sparsenas.core.choice import Choices
from sparsenas.costs import Limits
from sparsenas.costs.layer import as_number
from sparsenas.job.task import Task
from sparsenas.objectives import Metrics
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.records import ARCHS, RANDOM, Scored
from sparsenas.searching.config import Scoring
from sparsenas.searching.evolution import MOST_ENUMERATED, Search, SearchProblem
from sparsenas.searching.population_evaluator import Scorer
from sparsenas.searching.precision import imprecise


def architectures(limits: Limits) -> SearchProblem:
    """What a search may propose: legal architectures, one of all that are the same when trained."""
    canonicalizer = Canonicalizer(limits.table.net)

    def canonical(arch: Arch) -> Arch:
        same = canonicalizer.representative(arch)
        return arch if canonicalizer.has_a_rule and not limits.legal([same])[0] else same

    return SearchProblem(
        limits.choices,
        limits.draw,
        lambda archs: [bool(x) for x in limits.legal(archs)],
        lru_cache(MOST_ENUMERATED)(canonical),
    )


def run_search(
    run: Run,
    task: Task,
    scorer: Scorer,
    strategy: Search,
    scoring: Scoring,
    cached: Mapping[Arch, Metrics],
    file: str = ARCHS,
) -> dict[Arch, Metrics]:
    """Scores the candidates of ``strategy`` until it has no more, and keeps their metrics in a file.

    Returns the metrics of all candidates. Those in ``cached`` are not computed again: after a kill the same search is
    replayed up to where it was.
    """
    logger, passes, title, by = RunLogger(run), 0, strategy.title, scoring.by or task.objective.score
    known, listed = dict(cached), set(scored([run], task.choices, [file]))
    examples = min(scoring.val or len(task.data.val), len(task.data.val))
    if file == ARCHS and (doubt := imprecise(by, examples, strategy.planned)):
        logger.say(f"{title}: {doubt}")
    with logger.stage(title) as counts, logger.bar(title, strategy.planned) as bar:
        while archs := strategy.ask():
            bar.expect(strategy.planned)
            new = [arch for arch in archs if arch not in known]
            known.update(zip(new, scorer(new, bar.within) if new else [], strict=True))
            passes += bool(new)
            run.append(file, _lines(task, strategy.generation, [a for a in archs if a not in listed], known))
            strategy.tell(archs, [scoring.score(task.objective, known[arch]) for arch in archs])
            facts = f"{strategy.best_is} {by} {known[strategy.best][by]:.4f}"
            bar.advance(facts, len(archs))
            counts.data_passes = passes
            if new:
                counts.keep()
        if 0 < bar.done < bar.total:  # fewer than planned
            bar.expect(bar.done)
            bar.advance(facts, 0)
        counts.evaluations, counts.data_passes = bar.done, passes
    return {arch: known[arch] for arch in strategy.scores}


def tell_known(
    run: Run, task: Task, strategy: Search, scoring: Scoring, known: Mapping[Arch, Metrics]
) -> dict[Arch, Metrics]:
    """Adds architectures that an earlier search has scored to a search that is over, and to its file.

    Returns the metrics of those that meet the budgets and were not proposed.
    """
    others = [arch for arch in known if arch not in strategy.scores]
    legal = [arch for arch, ok in zip(others, task.limits.legal(others), strict=True) if ok] if others else []
    listed = set(scored([run], task.choices, [ARCHS]))
    run.append(ARCHS, _lines(task, strategy.generation, [arch for arch in legal if arch not in listed], known))
    strategy.tell(legal, [scoring.score(task.objective, known[arch]) for arch in legal])
    return {arch: known[arch] for arch in legal}


def scored(runs: Iterable[Run], choices: Choices, files: Iterable[str] = (ARCHS, RANDOM)) -> dict[Arch, Metrics]:
    """The metrics of candidates that run folders have, in order."""
    lines = [line for run in runs for file in files for line in run.lines(file, Scored)]
    return {Arch.from_json(choices, line.arch): line.metrics for line in lines}


def _lines(task: Task, generation: int, archs: list[Arch], known: Mapping[Arch, Metrics]) -> list[Scored]:
    if not archs:
        return []
    costs = task.limits.table(archs)
    return [
        Scored(
            generation=generation,
            arch=arch.to_json(),
            text=arch.text(),
            metrics=known[arch],
            costs={cost: as_number(cost, values[i]) for cost, values in costs.items()},
        )
        for i, arch in enumerate(archs)
    ]
