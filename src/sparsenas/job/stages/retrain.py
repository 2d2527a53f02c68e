"""The retrain stage: net.pt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lightning_fabric import Fabric
from msgspec.structs import replace
from torch import nn

from sparsenas.job.task import Task
from sparsenas.job.trained import found, inherited
from sparsenas.nn.tree import Tree
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.networks import NET, provenance, save_net
from sparsenas.rundir.records import Provenance
from sparsenas.rundir.results import update_results
from sparsenas.training.loops import train_network
from sparsenas.training.recipe import Recipe


@dataclass(frozen=True)
class NetworkTrainer:
    """Trains plain networks of a task, all in the same way, with progress and checkpoints in the run folder."""

    task: Task
    run: Run
    fabric: Fabric
    recipe: Recipe
    checkpoint_seconds: float
    teacher: Callable[[Tree], Tree] | None = None
    """Of all of them: a function from inputs to outputs."""

    def train(self, net: nn.Module, stage: str) -> Checkpoint:
        """Trains on all examples but those of the test split.

        Returns the checkpoint, to be finished when the result is written.

        The architecture is decided, so the validation examples may be learned from.
        """
        checkpoint = Checkpoint(self.run, stage, self.checkpoint_seconds)
        task, data = self.task, self.task.data
        train_network(
            self.fabric,
            net,
            data,
            task.objective,
            data.train_val,
            self.recipe,
            task.seed,
            RunLogger(self.run),
            checkpoint,
            self.teacher,
        )
        return checkpoint


def retrain_stage(trainer: NetworkTrainer, inherit: bool = False, no_training: bool = False) -> None:
    """Makes net.pt, unless it is there."""
    task, run = trainer.task, trainer.run
    arch = found(run, task.choices)
    if run.has(NET):
        return
    net = inherited(run, task, arch) if inherit or no_training else task.plain(arch, "retrain")
    if no_training:
        save_net(run, net, Provenance(one_stage=True))
        return
    how = replace(provenance(run), one_stage=False)
    with RunLogger(run).stage("retrain"):
        checkpoint = trainer.train(net, "retrain")
    save_net(run, net, how)
    checkpoint.finish()
    update_results(run, retrained=None)
