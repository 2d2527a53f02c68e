"""Another architecture of the space in the place of the found one."""

from __future__ import annotations

from sparsenas.core.canonical import canonicalize
from sparsenas.errors import UserError
from sparsenas.job.named_archs import named_arch
from sparsenas.job.stages.candidates import scored
from sparsenas.job.stages.retrain import RETRAIN
from sparsenas.job.stages.search import write_best
from sparsenas.job.task import Task
from sparsenas.job.trained import found
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.networks import provenance
from sparsenas.rundir.records import ARCHS, Best
from sparsenas.rundir.results import update_results
from sparsenas.rundir.truth import Truth

CHOSEN = "The architecture was given by --arch; the search found "
"""Begins the warning of an architecture that was not found."""


def choose_stage(run: Run, task: Task, name: str, inherits: bool, restart: bool) -> None:
    """Writes best.json with the architecture of a name, which then counts as the found one; reports warn of it.

    Raises ``UserError``, before anything is written, where it is not of the space or breaks a budget, and where the
    network was made for the found one.
    """
    arch, old = canonicalize(task.limits.table.net, named_arch(task.limits.table, name)), run.read(Best, "search")
    if arch == found(run, task.choices):
        return
    how = provenance(run)
    if how.target or how.scale_to or task.target != task.space:
        raise UserError("--arch: expected none with another size, since that was made for the found network")
    if inherits and not run.has(ARCHS):
        raise UserError("--arch: expected a training from scratch, since the supernet has weights of one network alone")
    if Checkpoint(run, RETRAIN).interrupted() and not restart:
        raise UserError(f"--arch: expected {old.text}, whose retraining was interrupted; --restart begins anew")
    costs = task.costs(arch)
    for budget in task.limits.budgets:
        if not budget.allows(costs[budget.cost]):
            raise UserError(f"--arch {name}: has {costs[budget.cost]} {budget.cost}, not {budget}")
    first = (old.warning or "").removeprefix(CHOSEN) if (old.warning or "").startswith(CHOSEN) else old.text
    warning = "" if first == arch.text() else f"{CHOSEN}{first}"
    write_best(run, task, arch, scored([run], task.choices).get(arch), warning=warning)
    update_results(run, inherited=None, latency=None, retrained=None)
    run.remove(Truth.FILE)
    RunLogger(run).say(f"--arch: {arch.text()} in place of {old.text}, which the search found")
