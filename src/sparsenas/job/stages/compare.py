"""Other architectures trained like the found one, to compare with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from lightning_fabric import Fabric

from sparsenas.core.arch import Arch
from sparsenas.core.canonical import canonicalize
from sparsenas.costs import Limits
from sparsenas.job.stages.retrain import train_alike
from sparsenas.job.task import Task, found
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.results import Compared, results, update_results
from sparsenas.rundir.seeds import seed_of
from sparsenas.spaces.published import read_arch
from sparsenas.training.evaluation import evaluate
from sparsenas.training.recipe import Recipe

COST_TOLERANCE = 0.1
"""Random baselines cost at most this share less than the found network, in every budgeted cost."""


COMPARED = "against"
"""Beginning of the names of the trainings of named architectures. Another word would give other initial weights."""
SIZE = "params"
"""The cost that random baselines share where there is no budget."""


def compare_stages(
    task: Task, fabric: Fabric, recipe: Recipe, every: float, baselines: int, compare: Sequence[str]
) -> None:
    """Trains other architectures alike: so many random ones, and those named."""
    baselines_stage(task, fabric, recipe, every, baselines)
    named_stage(task, fabric, recipe, every, compare)


def baselines_stage(task: Task, fabric: Fabric, recipe: Recipe, every: float, count: int) -> None:
    """Trains random architectures of about the found one's cost like it and tests them; results.json keeps them."""
    archs, known = random_band(task, found(task), count), results(task.run).baselines
    with task.logger.stage("baselines"):
        for tested in _train_each(task, fabric, recipe, every, "baseline", archs, [""] * len(archs), known):
            update_results(task.run, baselines=tested)


def named_stage(task: Task, fabric: Fabric, recipe: Recipe, every: float, names: Sequence[str]) -> None:
    """Trains named architectures like the found one and tests them; results.json keeps them.

    Raises ``UserError`` when one is not of the space. One that breaks a budget is trained too; its costs are recorded.
    """
    if names:
        archs, known = named(task, names), results(task.run).compared
        with task.logger.stage("compare"):
            for tested in _train_each(task, fabric, recipe, every, COMPARED, archs, names, known):
                update_results(task.run, compared=tested)


def named(task: Task, names: Sequence[str]) -> list[Arch]:
    """Architectures as the command line names them. Raises ``UserError`` for one that is not of the space."""
    return [canonicalize(task.limits.table.net, read_arch(task.choices, name)) for name in names]


def _train_each(
    task: Task,
    fabric: Fabric,
    recipe: Recipe,
    every: float,
    stage: str,
    archs: Sequence[Arch],
    names: Sequence[str],
    known: Sequence[Compared],
) -> Iterator[list[Compared]]:
    """Trains and tests architectures in turn, save those that are known; yields all so far after each.

    The initial weights follow from the name of the stage.
    """  # fmt: skip
    done: list[Compared] = []
    for i, (arch, name) in enumerate(zip(archs, names, strict=True)):
        if i < len(known) and known[i].text == arch.text():
            done.append(known[i])
            continue
        purpose = f"{stage}{i + 1}"
        net, checkpoint = task.plain(arch, purpose), Checkpoint(task.run, purpose, every)
        train_alike(task, fabric, net, recipe, checkpoint)
        marks = evaluate(net, task.data, task.data.test)
        done.append(Compared(name=name, text=arch.text(), arch=arch.to_json(), costs=task.costs(arch), **marks))
        yield done
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
