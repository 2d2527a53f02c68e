"""The retrain stage: net.pt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.derive import derive
from sparsenas.errors import UserError
from sparsenas.job.flags.saved import flatten, plain
from sparsenas.job.task import Task
from sparsenas.job.trained import found, inherited
from sparsenas.nn.tree import Tree
from sparsenas.rundir.checkpoint import EVERY, Checkpoint
from sparsenas.rundir.flag_names import spelled
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.networks import NET, provenance, save_net
from sparsenas.rundir.progress import Following
from sparsenas.rundir.records import ARCHS, Provenance, Trainings
from sparsenas.rundir.results import update_results
from sparsenas.rundir.stage_clock import StageClock, forget
from sparsenas.training.loops import train_network
from sparsenas.training.recipe import Recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric

RETRAIN = "retrain"
"""Name of the stage."""


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
    inherit: bool = False
    """Whether they start from the weights of the supernet."""

    def start(self, arch: Arch, purpose: str) -> nn.Module:
        """The network of an architecture before its training; fresh weights follow from the purpose.

        Where the search learned one architecture, the supernet has no weights for others: those inherit the weights
        that its training began with.
        """
        run, task = self.run, self.task
        if not self.inherit:
            return task.plain(arch, purpose)
        if arch == found(run, task.choices) or run.has(ARCHS):
            return inherited(run, task, arch)
        return derive(task.network("supernet"), arch.gates())

    @property
    def settings(self) -> dict[str, Any]:
        """What a training depends on, by flag."""
        given = {"retrain": plain(self.recipe), "target": plain(self.task.target.flags), "inherit": self.inherit}
        return flatten({**given, "arch": found(self.run, self.task.choices).text()})

    def check_interrupted(self, restart: bool) -> None:
        """Raises ``UserError`` where a retraining was interrupted that had other settings, or drops it to restart."""
        if restart:
            Checkpoint(self.run, RETRAIN).finish()
            forget(self.run, [RETRAIN])
        before, now = Checkpoint(self.run, RETRAIN).interrupted(), self.settings
        for name in before:
            if before[name] != now.get(name):
                files = self.run / EVERY
                raise UserError(
                    f"{spelled(name)}: expected {before[name]}, as the interrupted training in {files} has, got "
                    f"{now.get(name)}; --restart begins anew"
                )

    def record(self, no_training: bool) -> Trainings:
        """The settings of all networks to come, as a file keeps them; ``no_training`` is of the found one."""
        settings = {**self.settings, "no_training": no_training}
        return Trainings(settings=msgspec.json.decode(msgspec.json.encode(settings)))

    def train(self, net: nn.Module, stage: str, following: Following, clock: StageClock) -> Checkpoint:
        """Trains on all examples but those of the test split; ``following`` trainings come after it.

        Returns the checkpoint, to be finished when the result is written.

        The architecture is decided, so the validation examples may be learned from.
        """
        checkpoint = Checkpoint(self.run, stage, self.checkpoint_seconds, self.settings, clock.keep)
        task, data = self.task, self.task.data
        train_network(
            self.fabric,
            net,
            data,
            task.objective,
            data.train_val,
            self.recipe,
            task.seed,
            RunLogger(self.run, following=following),
            checkpoint,
            self.teacher,
        )
        return checkpoint


def retrain_stage(trainer: NetworkTrainer, following: Following, no_training: bool = False) -> None:
    """Makes net.pt, unless it is there; ``following`` trainings come after it."""
    task, run = trainer.task, trainer.run
    arch = found(run, task.choices)
    if run.has(NET):
        return
    if no_training:
        save_net(run, inherited(run, task, arch), Provenance(one_stage=True))
        return
    net, how = trainer.start(arch, RETRAIN), replace(provenance(run), one_stage=False, inherit=trainer.inherit)
    with RunLogger(run).stage(RETRAIN) as clock:
        checkpoint = trainer.train(net, RETRAIN, following, clock)
    save_net(run, net, how)
    checkpoint.finish()
    update_results(run, retrained=None)
