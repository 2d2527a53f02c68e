"""The running epoch: its metrics and its progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsenas.core.gate import Gates
from sparsenas.data import Target
from sparsenas.distributed.collectives import all_reduce_sum, rank, world
from sparsenas.errors import UserError
from sparsenas.nn.tree import Tree, count
from sparsenas.objectives import Objective
from sparsenas.objectives.objective import LOSS
from sparsenas.training.loss import main_output, training_loss
from sparsenas.training.recipe import Recipe


class Epoch:
    """Counts losses and metrics on the device, and waits for the device only when they are read.

    Its state is of the whole job: where there are several processes, all of them call ``state_dict``, or none.
    """

    def __init__(self, stage: str, recipe: Recipe, objective: Objective, blame: Callable[[], str] = str) -> None:
        """``blame`` is called when a loss is not finite: what is wrong with the examples, in words."""
        self.stage, self.recipe, self.objective, self.blame = stage, recipe, objective, blame
        self._begin(0, [])

    def _begin(self, number: int, rows: list[Tensor]) -> None:
        self.number = number
        self.rows = rows
        """The examples of each step, and the sums of their objective with the training loss in place of its own."""
        self.paths: list[Gates] = []
        self.val_steps = 0
        """Steps of the architecture on validation examples."""
        self.examples = self.examples_before = 0
        self.start = time.monotonic()

    @property
    def steps(self) -> int:
        """The steps that are done."""
        return len(self.rows)

    def loss(self, output: Any, target: Target, teacher: Tree | None = None, same_step: bool = False) -> Tensor:
        """The training loss of a batch, which is counted. Metrics of blended inputs are those of their own targets.

        With ``same_step`` the batch belongs to the step of the last one.
        """
        loss = training_loss(self.objective, self.recipe, output, target, teacher)
        row = self._row(loss.detach(), main_output(output), target)
        self.rows.append(self.rows.pop() + row if same_step else row)
        self.examples += count(target.targets)
        return loss

    def _row(self, loss: Tensor, output: Any, target: Target) -> Tensor:
        """It never waits for a device."""
        counts, weight = self.objective.counts(output, target.targets).double(), self.objective.weight(target.targets)
        mean = loss.double()
        examples = torch.full_like(mean, count(target.targets))
        return torch.cat([torch.stack([examples, mean * weight, torch.zeros_like(mean) + weight]), counts])

    def progress(self, steps: int) -> str:
        """The epoch so far, of ``steps`` steps, in words: of this process alone. It waits for the device."""
        device = self.rows[-1].device
        sums = torch.stack([row.to(device) for row in self.rows]).sum(0)
        loss = self.objective.result(sums[1:])[LOSS]
        rate = self.examples * world() / max(1e-9, time.monotonic() - self.start)
        return f"epoch {self.number + 1}: {self.steps / steps:.0%}  loss {loss:.3f}  {rate:,.0f} examples/s"

    def end(self) -> dict[str, Any]:
        """The results of the epoch; another one begins.

        Raises ``UserError`` at the first loss that is not finite, with its step.
        """
        rows = self._all_rows()
        for step, loss in enumerate((rows[:, 1] / rows[:, 2]).tolist()):
            if not np.isfinite(loss):
                advice = self.blame() or f"try a learning rate below {self.recipe.lr:g}"
                raise UserError(
                    f"{self.stage}: the loss became {loss} in epoch {self.number + 1}, step {step + 1}"
                    f"{self._path(step)}; {advice}"
                )
        found, examples = self.objective.result(rows[:, 1:].sum(0)), int(rows[:, 0].sum())
        rate = (examples - self.examples_before) / max(1e-9, time.monotonic() - self.start)
        record = {
            "epoch": self.number,
            "epochs": self.recipe.epochs,
            "metrics": found,
            "examples_per_s": round(rate, 1),
        }
        self._begin(self.number + 1, [])
        return record

    def state_dict(self) -> dict[str, Any]:
        """The metrics so far."""
        return {"number": self.number, "rows": self._all_rows(), "val_steps": self.val_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on with an epoch; what all processes have counted, the first one has."""
        rows = state["rows"]
        self._begin(state["number"], list(rows if rank() == 0 else torch.zeros_like(rows)))
        self.val_steps, self.examples_before = state["val_steps"], int(rows[:, 0].sum())

    def _all_rows(self) -> Tensor:
        """The sums of each step over all processes, in main memory."""
        if not self.rows:
            return torch.empty(0, 3, dtype=torch.double)
        device = self.rows[-1].device
        return all_reduce_sum(torch.stack([row.to(device) for row in self.rows])).cpu()

    def _path(self, step: int) -> str:
        """The path of a step, if the step was made since the epoch began here."""
        number = step - self.steps + len(self.paths)
        if not 0 <= number < len(self.paths):
            return ""
        return f" on path {','.join('+'.join(map(str, gate.picks)) or '-' for gate in self.paths[number].values())}"
