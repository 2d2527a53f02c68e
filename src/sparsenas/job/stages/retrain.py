"""The retrain stage: net.pt."""

from __future__ import annotations

from lightning_fabric import Fabric
from msgspec.structs import replace
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.derive import derive
from sparsenas.job.task import Task, found, inherited_gates
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.provenance import NET, provenance, save_net
from sparsenas.rundir.records import Provenance
from sparsenas.rundir.results import update_results
from sparsenas.training.loops import train_network
from sparsenas.training.recipe import Recipe


def retrain_stage(
    task: Task, fabric: Fabric, recipe: Recipe, every: float, inherit: bool = False, no_training: bool = False
) -> None:
    """Makes net.pt and its test accuracy, unless they are there."""
    arch = found(task)
    if not task.run.has(NET):
        net = _inherited(task, arch) if inherit or no_training else task.plain(arch, "retrain")
        if no_training:
            save_net(task.run, net, Provenance(one_stage=True))
            return
        how = replace(provenance(task.run), one_stage=False)
        checkpoint = Checkpoint(task.run, "retrain", every)
        with task.logger.stage("retrain"):
            train_alike(task, fabric, net, recipe, checkpoint)
        save_net(task.run, net, how)
        checkpoint.finish()
        update_results(task.run, retrained=None)


def _inherited(task: Task, arch: Arch) -> nn.Module:
    net = task.network("supernet")
    task.run.restore("supernet.pt", net=net)
    return derive(net, inherited_gates(task, arch))


def train_alike(task: Task, fabric: Fabric, net: nn.Module, recipe: Recipe, checkpoint: Checkpoint) -> None:
    """All images but the test images: the architecture is decided, so the held-out ones may be learned from."""
    train_network(fabric, net, task.data, task.data.train_val, recipe, task.seed, task.logger, checkpoint)
