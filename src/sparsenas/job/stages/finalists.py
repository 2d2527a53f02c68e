"""The finalists of a search: its best candidates, trained on their own for a while; the best of them is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.errors import UserError
from sparsenas.job.distillation import learns
from sparsenas.job.flag_groups import Finalists
from sparsenas.job.task import Task
from sparsenas.job.trained import inherited
from sparsenas.methods import Method
from sparsenas.objectives import Metrics
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.records import FINALISTS, Finalist
from sparsenas.rundir.stage_clock import StageClock
from sparsenas.searching.config import Scoring
from sparsenas.training.evaluation import evaluate
from sparsenas.training.loops import train_network
from sparsenas.training.recipe import Recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric

TITLE = "finalist"
"""Beginning of the names of the trainings. Another word would give other initial weights."""


def check_finalists(flags: Finalists, task: Task, method: Method, name: str, pareto: str = "") -> None:
    """Raises ``UserError`` where no finalists can be trained."""
    if flags.count == 0:
        return
    if learns(method):
        raise UserError(f"--finalists: expected 0, since {name} learns one architecture, got {flags.count}")
    if pareto:
        raise UserError(f"--finalists: expected 0 with --pareto, which finds many, got {flags.count}")
    if flags.inherit and task.target != task.space:
        raise UserError("--finalists.inherit: expected false, since the supernet's weights are of its own size")


@dataclass(frozen=True)
class FinalistTrainer:
    """Trains the best candidates of a search on the training examples, all in the same way."""

    run: Run
    task: Task
    fabric: Fabric
    flags: Finalists
    recipe: Recipe
    """Of the supernet."""
    checkpoint_seconds: float = 10.0

    def best(self, order: Sequence[Arch], known: Mapping[Arch, Metrics], scoring: Scoring) -> Arch:
        """The architecture to be found: the first of ``order``, or the best of its first ones after their training.

        Args:
            order: scored architectures, best first.
            known: their metrics with inherited weights.
            scoring: how metrics are compared.
        """
        if self.flags.count == 0:
            return order[0]
        first = order[: self.flags.count]
        with RunLogger(self.run).stage("finalist trainings") as counts:
            trained = {arch: self._metrics(i, arch, known[arch], counts) for i, arch in enumerate(first)}
            counts.evaluations = len(first)
        return max(trained, key=lambda arch: scoring.score(self.task.objective, trained[arch]))

    def _metrics(self, index: int, arch: Arch, before: Metrics, clock: StageClock) -> Metrics:
        """The metrics on validation examples after the training, from finalists.jsonl if they are there."""
        for line in self.run.lines(FINALISTS, Finalist):
            if Arch.from_json(self.task.choices, line.arch) == arch:
                return line.metrics
        task, stage = self.task, f"{TITLE}{index + 1}"
        checkpoint = Checkpoint(self.run, stage, self.checkpoint_seconds, kept=clock.keep)
        net = self._start(arch, stage)
        epochs, split = self.flags.retrain, task.data.train
        recipe = replace(self.recipe, epochs=epochs, distill="")
        logger = RunLogger(self.run)
        train_network(self.fabric, net, task.data, task.objective, split, recipe, task.seed, logger, checkpoint)
        metrics = evaluate(net, task.data, task.data.val, task.objective).metrics
        line = Finalist(
            arch=arch.to_json(),
            text=arch.text(),
            epochs=epochs,
            examples=len(split),
            inherited=before,
            metrics=metrics,
            costs=task.costs(arch),
        )
        self.run.append(FINALISTS, [line])
        clock.keep()
        checkpoint.finish()
        return metrics

    def _start(self, arch: Arch, stage: str) -> nn.Module:
        task = self.task
        own_size = task.target == task.space
        inherit = task.opened is not None and own_size if self.flags.inherit is None else self.flags.inherit
        return inherited(self.run, task, arch) if inherit else task.plain(arch, stage)
