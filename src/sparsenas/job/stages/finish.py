"""The end of a run: evaluate, export, measure, report."""

from __future__ import annotations

import statistics

from rich.table import Table

from sparsenas.costs.layer import format_cost
from sparsenas.distributed.collectives import rank
from sparsenas.job.stages.evaluate import evaluate_stage
from sparsenas.job.stages.export import export_stage
from sparsenas.job.stages.latency import latency_stage
from sparsenas.job.task import Task
from sparsenas.reporting import report
from sparsenas.rundir.results import results
from sparsenas.searching.config import Scoring


def finish(task: Task, scoring: Scoring) -> None:
    """Tests, exports and reports, in the first process."""
    if rank() > 0:
        return
    task = task.alone()
    evaluate_stage(task, scoring)
    export_stage(task)
    latency_stage(task)
    page = report(task.run.path)
    task.logger.console.print(summary(task))
    task.logger.say(f"report: {page}")


def summary(task: Task) -> Table:
    """The closing table: what was found and how good it is."""
    best, tested = task.run.read_json("best.json"), results(task.run)
    table = Table(title=f"Found {best['text']} in {task.run.path}", show_header=False, title_justify="left")
    for cost, value in best["costs"].items():
        limits = [str(budget) for budget in task.limits.budgets if budget.cost == cost]
        table.add_row(cost, format_cost(value) + (f"  (budget {limits[0]})" if limits else ""))
    latency = tested.get("latency", {})
    if latency.get("measured_ms") is not None:
        whole = format_cost(latency["measured_ms"]), format_cost(latency["spread"])
        table.add_row("latency_ms, measured whole", " +- ".join(whole))
    if "inherited" in tested and "val" in best:
        table.add_row("held-out accuracy, inherited weights", f"{best['val']['accuracy']:.2%}")
        table.add_row("test accuracy, inherited weights", f"{tested['inherited']['accuracy']:.2%}")
    how = "trained in one stage" if tested["retrained"].get("one_stage") else "retrained"
    table.add_row(f"test accuracy, {how}", f"{tested['retrained']['accuracy']:.2%}")
    others = [entry["accuracy"] for entry in tested.get("baselines", [])]
    if others:
        mean, spread = statistics.mean(others), statistics.stdev(others) if len(others) > 1 else 0.0
        verdict = "beaten" if tested["retrained"]["accuracy"] > mean else "NOT beaten"
        table.add_row(f"mean of {len(others)} random networks", f"{mean:.2%} +- {spread:.2%}: {verdict}")
    for entry in tested.get("compared", []):
        table.add_row(f"test accuracy, {entry['name']}", f"{entry['accuracy']:.2%}")
    return table
