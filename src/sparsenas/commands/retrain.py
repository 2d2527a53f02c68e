"""``sparsenas retrain``: train the found network from scratch, and random ones beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sparsenas.distributed.fabric import Device
from sparsenas.errors import UserError
from sparsenas.job.stages.compare import compare_stages
from sparsenas.job.stages.retrain import retrain_stage
from sparsenas.job.stages.scale import recount, scale_stage
from sparsenas.job.task import Task, open_task
from sparsenas.job.width_fit import check_target
from sparsenas.rundir.provenance import NET
from sparsenas.rundir.records import Provenance
from sparsenas.rundir.results import update_results
from sparsenas.training.recipe import Recipe

RETRAIN = Recipe(epochs=30, batch=64, lr=0.1, schedule="cosine", weight_decay=3e-4)


def retrain(
    run: Path,
    retrain: Recipe = RETRAIN,
    baselines: int = 0,
    compare: list[str] | None = None,
    inherit: bool = False,
    no_training: bool = False,
    target: dict[str, Any] | None = None,
    scale_to: list[str] | None = None,
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
        compare: an architecture trained the same way, to compare with, as in uniform:w2a4; may be given several times.
        inherit: start from the supernet's weights instead of fresh ones.
        no_training: keep the weights of the search, with what it learned for the options folded in.
        target: flags of the space that differ in the network to be trained, as in --target.width 36; the flags that the
            search was given unless any is.
        scale_to: a limit, as in params<=3e6; the found network is made as wide as it allows; in place
            of the budgets of the search; may be given several times.
        accelerator: cpu, cuda, mps or auto.
        devices: how many devices.
        num_nodes: how many machines.
        precision: 32-true, bf16-mixed or another of Lightning Fabric's.
        threads: processor threads; 0 = PyTorch's choice. For very small networks 1 is as fast and disturbs nobody.
        checkpoint_seconds: least time between two checkpoints of training.
    """
    fabric = Device(accelerator, devices, num_nodes, precision, threads).fabric()
    task = _task(
        run, fabric.device, target or {}, scale_to or [], "no-training" if no_training else "inherit" if inherit else ""
    )
    task.check_split()
    task.run.remove(NET)
    update_results(task.run, retrained=None, baselines=[], compared=[])
    retrain_stage(task, fabric, retrain, checkpoint_seconds, inherit, no_training)
    compare_stages(task, fabric, retrain, checkpoint_seconds, baselines, compare or [])


def _task(run: Path, device: torch.device, target: Mapping[str, Any], scale_to: Sequence[str], inherits: str) -> Task:
    """The run's task at the size at which its network is to be trained; ``inherits`` is the flag that fixes that."""
    if inherits and scale_to:
        raise UserError(f"--{inherits}: expected no --scale-to, since the supernet's weights are of its own size")
    how = Provenance(target=dict(target)) if target else None
    if not scale_to:
        task, _ = open_task(run, device, how)
        if inherits and task.target != task.space:
            raise UserError(f"--{inherits}: expected no --target, since the supernet's weights are of its own size")
        recount(task, how or Provenance())
        return task
    check_target(target)
    return scale_stage(open_task(run, device, Provenance(target=how.target if how else None, scale_to=[]))[0], scale_to)
