"""Searching a trained supernet again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.errors import UserError
from sparsenas.job.flag_groups import ScoreOrder
from sparsenas.job.flags.saved import from_config
from sparsenas.job.stages.candidates import run_search, scored, tell_known
from sparsenas.job.stages.finalists import FinalistTrainer
from sparsenas.job.stages.measured import measured_first
from sparsenas.job.stages.search import ranked, search_randomly, searching, write_best
from sparsenas.job.task import Task
from sparsenas.methods import Method
from sparsenas.objectives import Metrics
from sparsenas.rundir.config import CONFIG, has_begun, read_config
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.records import ARCHS, Front, FrontPoint
from sparsenas.searching.config import Scoring
from sparsenas.searching.evolution import Score
from sparsenas.searching.pareto import CostOf, crowded, front, hypervolume, objectives


@dataclass(frozen=True)
class _Begun:
    """What ``config.yaml`` keeps of how candidates are scored."""

    score: Scoring = Scoring()


def scoring_again(run: Run, order: ScoreOrder, source: Scoring, pareto: str) -> Scoring:
    """How candidates are compared: as in the run that is searched again, but for what ``order`` changes.

    A search that goes on compares them as when it began. Raises ``UserError`` for what a front has no use for.
    """
    if pareto:
        for name in ("by", "prior", "expressivity"):
            if vars(order)[name] is not None:
                front = "the front compares by the objective's own score and the cost"
                raise UserError(f"--score.{name}: expected none with --pareto: {front}")
    begun = from_config(_Begun, read_config(run), str(run / CONFIG), ()).score if has_begun(run) else source
    return order.of(begun)


def search_again(
    run: Run,
    task: Task,
    net: nn.Module,
    method: Method,
    scoring: Scoring,
    source: Run,
    trainer: FinalistTrainer,
    pareto: str,
    random: int = 0,
) -> None:
    """Runs the search on the trained supernet ``net``; writes best.json, and front.json for a front.

    The candidates of ``source`` that meet the budgets count too: the best of all is found.
    """

    def cost_of(archs: Sequence[Arch]) -> NDArray[np.float64]:
        return task.limits.table(archs)[pareto]

    scoring = replace(scoring, by="", prior=0) if pareto else scoring
    prior = task.prior(scoring)
    choose = crowded(cost_of) if pareto else scoring.chooses(prior)
    strategy = searching(method, task, choose)
    net.to(task.data.device)
    scorer = task.scorer(net, scoring, RunLogger(run).say)
    known = run_search(run, task, scorer, strategy, scoring, scored([source, run], task.choices))
    known |= tell_known(run, task, strategy, scoring, scored([source], task.choices, [ARCHS]))
    search_randomly(run, task, scorer, scoring, random, [source, run])
    if pareto:
        write_front(run, task, strategy.scores, known, cost_of, pareto)
    order, scores = ranked(run, task, net, known, scoring, prior)
    order, warning = measured_first(run, task, trainer.flags, order, scores)
    best = trainer.best(order, scores, scoring)
    write_best(run, task, best, scores[best], warning=warning)


def write_front(
    run: Run,
    task: Task,
    scores: Mapping[Arch, Score],
    known: Mapping[Arch, Metrics],
    cost_of: CostOf,
    cost: str,
) -> None:
    """Writes front.json: the front of the score, cheapest first, and its hypervolume.

    That is counted from the worst score, 0 for a share, else that of the worst candidate, and the highest cost.
    """
    archs = front(scores, cost_of)
    worst = 0.0 if task.objective.score in task.objective.shares else min(score.value for score in scores.values())
    reference = (-worst, float(cost_of([task.limits.table.extremes(cost)[1]])[0]))
    points = [
        FrontPoint(
            arch=arch.to_json(),
            text=arch.text(),
            metrics=known[arch],
            costs=task.costs(arch),
        )
        for arch in archs
    ]
    area = hypervolume(objectives({arch: scores[arch] for arch in archs}, cost_of), reference)
    run.write(Front(cost=cost, hypervolume=area, reference=(abs(worst), reference[1]), points=points))
    RunLogger(run).say(f"front of {len(archs)} architectures, hypervolume {area / reference[1]:.4f}")
