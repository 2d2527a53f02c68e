"""``sparsenas retrain``: train the found network from scratch, and random ones beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.canonical import canonicalize
from sparsenas.core.derive import derive
from sparsenas.costs import Limits
from sparsenas.distributed.fabric import Device
from sparsenas.errors import UserError
from sparsenas.job.task import Task, found, inherited_gates, open_task
from sparsenas.job.width_fit import WIDTH, check_target, fitted
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.provenance import keep_trained, trained_as
from sparsenas.rundir.results import add_results, drop_results, results
from sparsenas.rundir.seeds import seed_of
from sparsenas.spaces.published import read_arch
from sparsenas.training.loops import evaluate, train_network
from sparsenas.training.recipe import Recipe

RETRAIN = Recipe(epochs=30, batch=64, lr=0.1, schedule="cosine", weight_decay=3e-4)
COST_TOLERANCE = 0.1
"""Random baselines cost at most this share less than the found network, in every budgeted cost."""
SIZE = "params"
"""The cost that random baselines share where there is no budget."""


def retrain(
    run: Path,
    retrain: Recipe = RETRAIN,
    baselines: int = 0,
    against: list[str] | None = None,
    inherit: bool = False,
    keep: bool = False,
    target: dict[str, Any] | None = None,
    fit: list[str] | None = None,
    accelerator: str = "auto",
    devices: str = "1",
    num_nodes: int = 1,
    precision: str = "32-true",
    threads: int = 0,
    checkpoint_seconds: float = 10.0,
) -> None:
    """Trains the found network on all images but the test images; leaves net.pt.

    Does again what was done before, but a retraining that was interrupted is continued.

    Args:
        run: the run folder of a search.
        retrain: how the network is trained.
        baselines: how many random architectures of the same budget band are trained the same way.
        against: an architecture trained the same way, to compare with, as in uniform:w2a4; may be given several times.
        inherit: start from the supernet's weights instead of fresh ones.
        keep: do not train at all: keep the weights of the search, with what it learned for the options folded in.
        target: flags of the space that differ in the network to be trained, as in --target.width 36; the flags that the
            search was given unless any is.
        fit: a limit, as in params<=3e6, that the found network is made as wide as it allows for, by the space's flag
            width; in place of the budgets of the search, which were met at its own size; may be given several times.
        accelerator: cpu, cuda, mps or auto.
        devices: how many devices.
        num_nodes: how many machines.
        precision: 32-true, bf16-mixed or another of Lightning Fabric's.
        threads: processor threads; 0 = PyTorch's choice. For very small networks 1 is as fast and disturbs nobody.
        checkpoint_seconds: least time between two checkpoints of training.
    """
    fabric = Device(accelerator, devices, num_nodes, precision, threads).fabric()
    task = _task(run, fabric.device, target or {}, fit or [], "keep" if keep else "inherit" if inherit else "")
    task.check_split()
    task.run.remove("net.pt")
    drop_results(task.run, "retrained", "baselines", "against")
    retrain_stage(task, fabric, retrain, checkpoint_seconds, inherit, keep)
    compare_stages(task, fabric, retrain, checkpoint_seconds, baselines, against or [])


def _task(run: Path, device: torch.device, target: Mapping[str, Any], fit: Sequence[str], inherits: str) -> Task:
    """The run's task at the size at which its network is to be trained; ``inherits`` is the flag that fixes that."""
    if inherits and fit:
        raise UserError(f"--{inherits}: expected no --fit, since the supernet's weights are of its own size")
    how = {"target": target} if target else {}
    if not fit:
        task, _ = open_task(run, device, how or None)
        if inherits and task.target != task.space:
            raise UserError(f"--{inherits}: expected no --target, since the supernet's weights are of its own size")
        recount(task, how)
        return task
    check_target(target)
    return fit_stage(open_task(run, device, {**how, "fit": []})[0], fit)


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


def retrain_stage(
    task: Task, fabric: Fabric, recipe: Recipe, every: float, inherit: bool = False, keep: bool = False
) -> None:
    """Makes net.pt and its test accuracy, unless they are there."""
    arch = found(task)
    if not task.run.has("net.pt"):
        net = _inherited(task, arch) if inherit or keep else task.plain(arch, "retrain")
        if keep:
            keep_trained(task.run, net, {"one_stage": True})
            return
        how = {name: value for name, value in trained_as(task.run).items() if name in ("target", "fit")}
        checkpoint = Checkpoint(task.run, "retrain", every)
        with task.logger.stage("retrain"):
            _train(task, fabric, net, recipe, checkpoint)
        keep_trained(task.run, net, how)
        checkpoint.finish()
        drop_results(task.run, "retrained")


def _inherited(task: Task, arch: Arch) -> nn.Module:
    net = task.network("supernet")
    task.run.restore("supernet.pt", net=net)
    return derive(net, inherited_gates(task, arch))


def compare_stages(
    task: Task, fabric: Fabric, recipe: Recipe, every: float, baselines: int, against: Sequence[str]
) -> None:
    """Trains other architectures alike: so many random ones, and those named."""
    baselines_stage(task, fabric, recipe, every, baselines)
    against_stage(task, fabric, recipe, every, against)


def baselines_stage(task: Task, fabric: Fabric, recipe: Recipe, every: float, count: int) -> None:
    """Trains random architectures of the found one's budget band alike and tests them; results.json keeps them."""
    archs = random_band(task, found(task), count)
    with task.logger.stage("baselines"):
        _train_each(task, fabric, recipe, every, "baselines", archs)


def against_stage(task: Task, fabric: Fabric, recipe: Recipe, every: float, names: Sequence[str]) -> None:
    """Trains named architectures alike and tests them; results.json keeps them.

    Raises ``UserError`` when one is not of the space; a budget is no reason, for its costs are shown.
    """
    if names:
        with task.logger.stage("against"):
            _train_each(task, fabric, recipe, every, "against", named(task, names), names)


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
        _train(task, fabric, net, recipe, checkpoint)
        entry: dict[str, Any] = {"name": names[i]} if names else {}
        entry |= {"text": arch.text(), "arch": arch.to_json(), "costs": task.costs(arch)}
        entry |= evaluate(net, task.data, task.data.test)
        add_results(task.run, {key: [*known[:i], entry]})
        checkpoint.finish()


def _train(task: Task, fabric: Fabric, net: nn.Module, recipe: Recipe, checkpoint: Checkpoint) -> None:
    """All images but the test images: the architecture is decided, so the held-out ones may be learned from."""
    train_network(fabric, net, task.data, task.data.train_val, recipe, task.seed, task.logger, checkpoint)


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
