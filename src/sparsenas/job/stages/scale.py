"""The size at which the found network is trained."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from sparsenas.errors import UserError
from sparsenas.job.task import Task
from sparsenas.job.trained import found
from sparsenas.job.width_fit import WIDTH, fitted
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.records import Best, Provenance


def recount(run: Run, task: Task, how: Provenance) -> None:
    """Records flags that change the size of the found network, and its costs at that size.

    Raises ``UserError`` when it breaks a budget.
    """
    costs = task.costs(found(run, task.choices))
    for budget in task.limits.budgets:
        if not budget.allows(costs[budget.cost]):
            raise UserError(f"--target: the found network would have {costs[budget.cost]} {budget.cost}, not {budget}")
    if how != Provenance():
        run.write(how)
        run.write(replace(run.read(Best), costs=costs, scale_to=how.scale_to))


def scale_stage(run: Run, task: Task, scale_to: Sequence[str]) -> Task:
    """The task at the largest width within the limits; net.json and best.json keep it. Raises ``UserError``."""
    fits = fitted(task, found(run, task.choices), scale_to)
    flags = fits.target.flags
    changed = {name: value for name, value in flags.items() if (name, value) not in task.space.flags.items()}
    recount(run, fits, Provenance(target={**changed, WIDTH: flags[WIDTH]}, scale_to=list(scale_to)))
    RunLogger(run).say(f"scale_to: width {flags[WIDTH]}")
    return fits
