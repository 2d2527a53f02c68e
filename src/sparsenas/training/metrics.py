"""The epoch that is running: its figures, and how far it is."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsenas.core.gate import Gates
from sparsenas.data import Target
from sparsenas.distributed.collectives import all_reduce_sum, rank, world
from sparsenas.errors import UserError
from sparsenas.nn.auxiliary_head import Output
from sparsenas.training.recipe import Recipe


class Epoch:
    """Counts the losses and hits of an epoch on the device, and waits for it once, at the end.

    Its state is of the whole job: where there are several processes, all of them ask for it, or none.
    """

    def __init__(self, stage: str, recipe: Recipe) -> None:
        self.stage, self.recipe = stage, recipe
        self._begin(0)

    def _begin(self, number: int) -> None:
        self.number = number
        self.losses: list[Tensor] = []
        self.hits: list[Tensor] = []
        self.paths: list[Gates] = []
        self.images = self.asked = self.images_before = 0
        self.start = time.monotonic()

    @property
    def steps(self) -> int:
        """The steps done of it."""
        return len(self.losses)

    def loss(self, output: Output, target: Target) -> Tensor:
        """The training loss of a batch, which is counted; blended images count as hit by their own labels."""
        loss, labels = self.recipe.loss(output, *target), target.labels
        logits = output[0] if isinstance(output, tuple) else output
        self.losses.append(loss.detach())
        self.hits.append((logits.detach().argmax(1) == labels).sum())
        self.images += len(labels)
        return loss

    def end(self) -> dict[str, Any]:
        """The figures of the epoch; another begins.

        Raises ``UserError`` at the first loss that is not finite, saying where it was.
        """
        losses, hits, images = self._counted()
        for step, loss in enumerate(losses.tolist()):
            if not np.isfinite(loss):
                raise UserError(
                    f"{self.stage}: the loss became {loss} in epoch {self.number + 1}, step {step + 1}"
                    f"{self._path(step)}; try a learning rate below {self.recipe.lr:g}"
                )
        rate = (images - self.images_before) / max(1e-9, time.monotonic() - self.start)
        record = {
            "epoch": self.number,
            "epochs": self.recipe.epochs,
            "loss": sum(losses.tolist()) / len(losses),
            "accuracy": hits / images,
            "images_per_s": round(rate, 1),
        }
        self._begin(self.number + 1)
        return record

    def state_dict(self) -> dict[str, Any]:
        """Its figures so far."""
        losses, hits, images = self._counted() if self.losses else (torch.empty(0), 0, 0)
        return {"number": self.number, "losses": losses.cpu(), "hits": hits, "images": images, "asked": self.asked}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on with an epoch; what all processes have counted, the first one has."""
        self._begin(state["number"])
        self.losses, self.asked, self.images_before = list(state["losses"]), state["asked"], state["images"]
        if rank() == 0:
            self.hits, self.images = [torch.tensor(state["hits"])], state["images"]

    def _counted(self) -> tuple[Tensor, int, int]:
        """Mean losses, hits and images over all processes."""
        device = self.losses[-1].device
        losses = all_reduce_sum(torch.stack([loss.to(device, torch.double) for loss in self.losses])) / world()
        hits = sum((hit.to(device) for hit in self.hits), torch.zeros((), dtype=torch.long, device=device))
        counts = all_reduce_sum(torch.stack([hits, torch.tensor(self.images, device=device)])).tolist()
        return losses, counts[0], counts[1]

    def _path(self, step: int) -> str:
        """The path of a step, if it was made since the epoch began here."""
        number = step - self.steps + len(self.paths)
        if not 0 <= number < len(self.paths):
            return ""
        return f" on path {','.join('+'.join(map(str, gate.picks)) or '-' for gate in self.paths[number].values())}"
