"""The closing lines of a job: the found architecture, and the next commands."""

from __future__ import annotations

from sparsenas.costs.layer import format_cost
from sparsenas.job.flags.plugins import code_of
from sparsenas.job.flags.sources import GivenFlags
from sparsenas.job.lookup import OBJECT, trust_flags
from sparsenas.job.run_flags import SavedFlags
from sparsenas.job.stages.original import share_told
from sparsenas.job.task import Task
from sparsenas.objectives import Objective
from sparsenas.objectives.words import score_told, told
from sparsenas.rundir.config import read_config
from sparsenas.rundir.flag_names import spelled
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.networks import NET
from sparsenas.rundir.records import Best, DataInfo
from sparsenas.rundir.results import results
from sparsenas.searching.chance import against_random


def say_next(run: Run) -> None:
    """The commands that make something of what a search has found; none where they lack the objects of the run."""
    code = code_of(SavedFlags, GivenFlags(read_config(run)))
    if any(str(name).startswith(f"{OBJECT}:") for _, name in code):
        return
    trust = f" {trust_flags(code)}".rstrip()
    commands = [
        f"sparsenas {command} {run.path}{trust}" for command in ([] if run.has(NET) else ["retrain"]) + ["export"]
    ]
    RunLogger(run).say(f"next: {', '.join([*commands, f'sparsenas report {run.path}'])}")


def say_if_worse(run: Run, objective: Objective) -> None:
    """Says where training has made the found network worse than with inherited weights, as far as the test can tell."""
    tested, name = results(run), objective.score
    before, after = (one.metrics.get(name) if one else None for one in (tested.inherited, tested.retrained))
    if before is None or after is None:
        return
    data = run.find(DataInfo)
    compared = against_random(before, [after], name in objective.higher, data.test_examples if data else None)
    if compared.margin <= compared.known_to:
        return
    RunLogger(run).say(
        f"the retrained network is worse than with inherited weights, {told(objective, name, after)} instead of "
        f"{told(objective, name, before)}: another {spelled('retrain.lr')}, or more {spelled('retrain.epochs')}, may "
        "help; sparsenas retrain --no-training keeps the inherited weights"
    )


def say_found(run: Run, task: Task) -> None:
    """The found architecture, its score and its size."""
    best = run.read(Best)
    original = task.costs(task.largest()) if task.opened else None
    named = [budget.cost for budget in task.limits.budgets] or ["flops"]
    costs = ", ".join(f"{format_cost(best.costs[cost])} {cost}" for cost in named)
    size = share_told(best.costs, original, task.limits.budgets) if original else costs
    told = f"{score_told(task.objective, best.val)} on validation examples, " if best.val else ""
    RunLogger(run).say(f"found {best.text}: {told}{size}")
