"""The end of a run: evaluate, export, measure, report."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from sparsenas.costs import Budget
from sparsenas.costs.latency import LATENCY
from sparsenas.costs.layer import format_cost, shown_costs
from sparsenas.distributed.collectives import rank
from sparsenas.errors import UserError
from sparsenas.job.closing import say_if_worse
from sparsenas.job.stages.evaluate import evaluate_stage
from sparsenas.job.stages.export import export_stage
from sparsenas.job.stages.int8 import int8_stage
from sparsenas.job.stages.latency import latency_stage
from sparsenas.job.stages.original import share_told
from sparsenas.job.task import Task
from sparsenas.job.trained import trained
from sparsenas.objectives import Metrics, Objective
from sparsenas.objectives.words import metric_words, told
from sparsenas.reporting import report
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.records import Best, DataInfo
from sparsenas.rundir.results import results
from sparsenas.searching.chance import ENOUGH, Comparison, against_random
from sparsenas.searching.config import Scoring


def finish(run: Run, task: Task, scoring: Scoring, int8: bool = False) -> None:
    """Tests, exports and reports, in the first process. A network that cannot be exported is told in a line.

    With ``int8`` it is exported with 8 bits as well.
    """
    if rank() > 0:
        return
    run = Run(run.path)  # the other processes have nothing more to do
    evaluate_stage(run, task, scoring)
    logger, net = RunLogger(run), trained(run, task)
    try:
        export_stage(run, task, net)
        if int8:
            int8_stage(run, task, scoring)
    except UserError as error:  # the trained network and its results are good without
        logger.say(str(error))
    latency_stage(run, task)
    page = report(run.path)
    logger.console.print(summary(run, task.limits.budgets, task.objective))
    say_if_worse(run, task.objective)
    logger.say(f"report: {page}")


def summary(run: Run, budgets: Sequence[Budget], objective: Objective) -> Table:
    """The closing table: the found architecture, its costs and its scores."""
    best, tested, name = run.read(Best), results(run), metric_words(objective.score)

    def score(metrics: Metrics) -> str:
        if objective.score not in metrics:
            raise UserError(f"{run.path}: expected {name} among the metrics of best.json and results.json, found none")
        return told(objective, objective.score, metrics[objective.score])

    flops = f": {share_told(best.costs, tested.original.costs, budgets)}" if tested.original else ""
    table = Table(title=f"Found {best.text} in {run.path}{flops}", show_header=False, title_justify="left")
    for cost in shown_costs([best.costs]):
        value = best.costs[cost]
        limits = [str(budget) for budget in budgets if budget.cost == cost]
        table.add_row(cost, format_cost(value) + (f"  (budget {limits[0]})" if limits else ""))
    latency = tested.latency
    if latency is not None and latency.measured_ms is not None and latency.spread_ms is not None:
        whole = format_cost(latency.measured_ms), format_cost(latency.spread_ms)
        most = f"  (budget {LATENCY}<={tested.table_error.budget_ms:.4g})" if tested.table_error else ""
        table.add_row(f"{LATENCY}, measured whole", " +- ".join(whole) + most)
    if tested.inherited is not None and best.val is not None:
        table.add_row(f"validation {name}, inherited weights", score(best.val))
        table.add_row(f"test {name}, inherited weights", score(tested.inherited.metrics))
    if tested.retrained is not None:
        how = "trained in one stage" if tested.retrained.one_stage else "retrained"
        table.add_row(f"test {name}, {how}", score(tested.retrained.metrics))
        if others := [other.metrics[objective.score] for other in tested.baselines]:
            data, found = run.find(DataInfo), tested.retrained.metrics[objective.score]
            examples = data.test_examples if data else None
            _add_random(table, against_random(found, others, objective.score in objective.higher, examples), objective)
    for other in [*tested.compared, *([tested.original] if tested.original else [])]:
        table.add_row(f"test {name}, {other.name}", score(other.metrics))
    return table


def _add_random(table: Table, compared: Comparison, objective: Objective) -> None:
    """Adds the mean score of random networks, and whether the found network is better."""
    n, spread = len(compared.others), [] if compared.deviation is None else [compared.deviation]
    values = [told(objective, objective.score, value) for value in (compared.mean, *spread)]
    title = f"mean of {n} random networks" if spread else "one random network"
    table.add_row(title, f"{' +- '.join(values)}: {_verdict(compared)}")


def _verdict(compared: Comparison) -> str:
    """Whether the found network is better than the random ones, in a few words."""
    if len(compared.others) < ENOUGH:
        return "too few to tell; --baselines 8 tells more"
    if compared.better is not None:
        return "beaten" if compared.better else "NOT beaten"
    return "too close to tell" + (f" with {compared.examples:,} test examples" if compared.few_examples else "")
