"""The size at which the found network is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sparsenas.errors import UserError
from sparsenas.job.task import Task, found
from sparsenas.job.width_fit import WIDTH, fitted


def recount(task: Task, how: Mapping[str, Any]) -> None:
    """Notes how the size came about, if it was asked for, and what the found network costs there.

    Raises ``UserError`` when it breaks a budget.
    """
    costs = task.costs(found(task))
    for budget in task.limits.budgets:
        if not budget.allows(costs[budget.cost]):
            raise UserError(f"--target: the found network would have {costs[budget.cost]} {budget.cost}, not {budget}")
    if how:
        best = {name: value for name, value in task.run.read_json("best.json").items() if name != "fit"}
        fit = {"fit": how["fit"]} if "fit" in how else {}
        task.run.write_json("net.json", how)
        task.run.write_json("best.json", {**best, "costs": costs, **fit})


def fit_stage(task: Task, fit: Sequence[str]) -> Task:
    """The task at the width at which the found network fits; net.json and best.json note it. Raises ``UserError``."""
    fits = fitted(task, found(task), fit)
    flags = fits.target.flags
    changed = {name: value for name, value in flags.items() if (name, value) not in task.space.flags.items()}
    recount(fits, {"target": {**changed, WIDTH: flags[WIDTH]}, "fit": list(fit)})
    task.logger.say(f"fit: width {flags[WIDTH]}")
    return fits
