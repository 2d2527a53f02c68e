"""The closing lines of a job: the found architecture, and the next commands."""

from __future__ import annotations

from collections.abc import Mapping

from sparsenas.costs.layer import format_cost
from sparsenas.job.lookup import OBJECT
from sparsenas.job.stages.original import share_told
from sparsenas.job.task import Task
from sparsenas.objectives.words import score_told
from sparsenas.rundir.config import read_config
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.networks import NET
from sparsenas.rundir.records import Best


def say_next(run: Run) -> None:
    """The commands that make something of what a search has found; none where they lack the objects of the run."""
    parts = [part for part in read_config(run).values() if isinstance(part, Mapping)]
    if any(str(part.get("name")).startswith(f"{OBJECT}:") for part in parts):
        return
    commands = ["export", "report"] if run.has(NET) else ["retrain", "export", "report"]
    RunLogger(run).say(f"next: {', '.join(f'sparsenas {command} {run.path}' for command in commands)}")


def say_found(run: Run, task: Task) -> None:
    """The found architecture, its score and its size."""
    best = run.read(Best)
    original = task.costs(task.largest()) if task.opened else None
    named = [budget.cost for budget in task.limits.budgets] or ["flops"]
    costs = ", ".join(f"{format_cost(best.costs[cost])} {cost}" for cost in named)
    size = share_told(best.costs, original) if original else costs
    told = f"{score_told(task.objective, best.val)} on validation examples, " if best.val else ""
    RunLogger(run).say(f"found {best.text}: {told}{size}")
