"""Other architectures trained like the found one, to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from lightning_fabric import Fabric

from sparsenas.core.arch import Arch
from sparsenas.core.canonical import canonicalize
from sparsenas.costs import Limits
from sparsenas.job.stages.retrain import train_alike
from sparsenas.job.task import Task, found
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.results import add_results, results
from sparsenas.rundir.seeds import seed_of
from sparsenas.spaces.published import read_arch
from sparsenas.training.evaluation import evaluate
from sparsenas.training.recipe import Recipe

COST_TOLERANCE = 0.1
"""Random baselines cost at most this share less than the found network, in every budgeted cost."""


SIZE = "params"
"""The cost that random baselines share where there is no budget."""


def compare_stages(
    task: Task, fabric: Fabric, recipe: Recipe, every: float, baselines: int, compare: Sequence[str]
) -> None:
    """Trains other architectures alike: so many random ones, and those named."""
    baselines_stage(task, fabric, recipe, every, baselines)
    named_stage(task, fabric, recipe, every, compare)


def baselines_stage(task: Task, fabric: Fabric, recipe: Recipe, every: float, count: int) -> None:
    """Trains random architectures of the found one's budget band alike and tests them; results.json keeps them."""
    archs = random_band(task, found(task), count)
    with task.logger.stage("baselines"):
        _train_each(task, fabric, recipe, every, "baselines", archs)


def named_stage(task: Task, fabric: Fabric, recipe: Recipe, every: float, names: Sequence[str]) -> None:
    """Trains named architectures alike and tests them; results.json keeps them.

    Raises ``UserError`` when one is not of the space; a budget is no reason, for its costs are shown.
    """
    if names:
        with task.logger.stage("compare"):
            _train_each(task, fabric, recipe, every, "compared", named(task, names), names)


def named(task: Task, names: Sequence[str]) -> list[Arch]:
    """Architectures as the command line names them. Raises ``UserError`` for one that is not of the space."""
    return [canonicalize(task.limits.table.net, read_arch(task.choices, name)) for name in names]


def _train_each(
    task: Task, fabric: Fabric, recipe: Recipe, every: float, key: str, archs: Sequence[Arch], names: Sequence[str] = ()
) -> None:
    """Trains and tests architectures one after another, but those that results.json already has under ``key``."""
    for i, arch in enumerate(archs):
        known = results(task.run).get(key, [])
        if i < len(known) and known[i]["text"] == arch.text():
            continue
        stage = f"{key.removesuffix('s')}{i + 1}"
        net, checkpoint = task.plain(arch, stage), Checkpoint(task.run, stage, every)
        train_alike(task, fabric, net, recipe, checkpoint)
        entry: dict[str, Any] = {"name": names[i]} if names else {}
        entry |= {"text": arch.text(), "arch": arch.to_json(), "costs": task.costs(arch)}
        entry |= evaluate(net, task.data, task.data.test)
        add_results(task.run, {key: [*known[:i], entry]})
        checkpoint.finish()


def random_band(task: Task, best: Arch, count: int) -> list[Arch]:
    """Random architectures that cost about what ``best`` costs: legal, and within ``COST_TOLERANCE`` below it.

    Without a budget: with about as many parameters, within ``COST_TOLERANCE`` below and above.
    """
    rng = np.random.default_rng(seed_of(task.seed, "baselines"))
    costs = task.costs(best)
    lows = {cost: costs[cost] * (1 - COST_TOLERANCE) for cost in [b.cost for b in task.limits.budgets] or [SIZE]}
    highs = {} if task.limits.budgets else {SIZE: costs[SIZE] * (1 + COST_TOLERANCE)}
    chosen: list[Arch] = []
    for _ in range(count):
        arch = task.limits.draw(rng, lambda a: _in_band(task.limits, a, lows, highs) and a not in {best, *chosen})
        if arch is not None:
            chosen.append(canonicalize(task.limits.table.net, arch))
    return chosen


def _in_band(limits: Limits, arch: Arch, lows: Mapping[str, float], highs: Mapping[str, float]) -> bool:
    costs = {cost: float(values[0]) for cost, values in limits.table([arch]).items()}
    above = all(costs[cost] >= low for cost, low in lows.items())
    return above and all(costs[cost] <= high for cost, high in highs.items())
