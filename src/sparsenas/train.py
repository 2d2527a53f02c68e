"""The two training loops: a supernet under a method, and one plain network."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sparsenas.choice import Gates, set_gates
from sparsenas.data import Data, Images, Split
from sparsenas.errors import UserError
from sparsenas.journal import Journal
from sparsenas.methods import Method
from sparsenas.methods.learning import Learning
from sparsenas.recipe import Recipe
from sparsenas.runs import Run


def seed_of(seed: int, *purpose: str | int) -> int:
    """A seed for one purpose, independent of the seeds for others."""
    words = [seed, *(zlib.crc32(str(part).encode()) for part in purpose)]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


class Checkpoint:
    """The resume file of one stage, written at ends of epochs, at most every few seconds."""

    NAME = "checkpoint.pt"

    def __init__(self, run: Run, stage: str, seconds: float = 10.0) -> None:
        self.run, self.stage, self.seconds = run, stage, seconds
        self.saved = time.monotonic()

    def restore(self, parts: Mapping[str, Any]) -> int:
        """Loads the state of every part if this stage was begun; returns the epochs done.

        Raises ``UserError`` when the file is damaged.
        """
        state: dict[str, Any] = self.run.load(self.NAME) if self.run.has(self.NAME) else {"stage": None}
        if state["stage"] != self.stage:
            return 0
        for name, part in parts.items():
            part.load_state_dict(state[name])
        return int(state["epoch"])

    def save(self, epoch: int, parts: Mapping[str, Any]) -> None:
        """Writes the state of every part after ``epoch`` epochs, if it is time."""
        if time.monotonic() - self.saved >= self.seconds:
            states = {name: part.state_dict() for name, part in parts.items()}
            self.run.save(self.NAME, {"stage": self.stage, "epoch": epoch, **states})
            self.saved = time.monotonic()


class Epoch:
    """Counts one epoch's losses and hits on the device, and waits for it once, at the end."""

    def __init__(self, stage: str, epoch: int, recipe: Recipe) -> None:
        self.stage, self.epoch, self.recipe = stage, epoch, recipe
        self.losses: list[Tensor] = []
        self.hits: list[Tensor] = []
        self.images = 0
        self.start = time.monotonic()

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The training loss of a batch."""
        loss = self.recipe.loss(logits, labels)
        self.losses.append(loss.detach())
        self.hits.append((logits.detach().argmax(1) == labels).sum())
        self.images += len(labels)
        return loss

    def record(self, paths: Sequence[Gates] = ()) -> dict[str, Any]:
        """The figures of the epoch. Raises ``UserError`` at the first loss that is not finite, saying where it was."""
        losses = torch.stack(self.losses).float().tolist()
        for step, loss in enumerate(losses):
            if not np.isfinite(loss):
                path = f" on path {','.join(_text(gate.picks) for gate in paths[step].values())}" if paths else ""
                raise UserError(
                    f"{self.stage}: the loss became {loss} in epoch {self.epoch + 1}, step {step + 1}{path}; "
                    f"try a learning rate below {self.recipe.lr:g}"
                )
        rate = self.images / max(1e-9, time.monotonic() - self.start)
        return {
            "epoch": self.epoch,
            "epochs": self.recipe.epochs,
            "loss": sum(losses) / len(losses),
            "accuracy": int(torch.stack(self.hits).sum()) / self.images,
            "images_per_s": round(rate, 1),
        }


def _text(picks: Sequence[int]) -> str:
    return "+".join(map(str, picks)) or "-"


def _facts(record: dict[str, Any]) -> str:
    return f"loss {record['loss']:.3f}  accuracy {record['accuracy']:.3f}  {record['images_per_s']:,.0f} images/s"


def _step(fabric: Fabric, model: Any, optimizer: Optimizer, loss: Tensor, recipe: Recipe) -> None:
    fabric.backward(loss)
    if recipe.clip > 0:
        fabric.clip_gradients(model, optimizer, max_norm=recipe.clip, error_if_nonfinite=False)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _set_lr(optimizer: Optimizer, lr: float) -> float:
    for group in optimizer.param_groups:
        group["lr"] = lr
    return lr


def _logits(model: nn.Module, data: Data, batch: Split, recipe: Recipe, epoch: int) -> Tensor:
    logits: Tensor = model(data.inputs(batch.images, recipe.augment, recipe.size_at(epoch)))
    return logits


def _loss(model: nn.Module, data: Data, batch: Split, recipe: Recipe, epoch: int) -> Tensor:
    return recipe.loss(_logits(model, data, batch, recipe, epoch), batch.labels)


def train_supernet(
    fabric: Fabric,
    net: nn.Module,
    method: Method,
    data: Data,
    recipe: Recipe,
    seed: int,
    journal: Journal,
    checkpoint: Checkpoint,
) -> None:
    """Trains the shared weights, each step under the gates that ``method`` proposes, and what the method itself learns.

    Weights the gates leave out get no gradient, so SGD leaves them and their momentum alone. All randomness of a step
    follows from the seed and the step's number; the method's own is in its state.
    Raises ``UserError`` when the loss is no longer finite.
    """
    stage, split, learning = checkpoint.stage, data.train, Learning(fabric, method)
    model, optimizer = fabric.setup(net, recipe.optimizer(fabric.to_device(net)))
    parts = {"net": net, "optimizer": optimizer, "method": method, **learning.parts()}
    first, steps = checkpoint.restore(parts), len(split) // min(recipe.batch, len(split))
    journal.rewind(stage, first)
    net.train()
    with journal.bar(stage, recipe.epochs, first) as bar:
        for epoch in range(first, recipe.epochs):
            learning.settle(net)
            figures, paths = Epoch(stage, epoch, recipe), []
            batches = split.shuffled(recipe.batch, seed_of(seed, stage, "order", epoch))
            asked = learning.batches(data.held_out, recipe.batch, seed_of(seed, stage, "held-out order", epoch))
            for step, batch in enumerate(batches, epoch * steps):
                torch.manual_seed(seed_of(seed, stage, step))
                lr = _set_lr(optimizer, recipe.lr_at(step, recipe.epochs * steps))
                if learning.apart:
                    set_gates(net, method.gates())
                    learning.step_apart(_loss(model, data, next(asked), recipe, epoch))
                paths.append(learning.gates())
                set_gates(net, paths[-1])
                loss = figures.loss(_logits(model, data, batch, recipe, epoch), batch.labels)
                _step(fabric, model, optimizer, loss, recipe)
                learning.step_along()
            record = figures.record(paths)
            journal.record(stage, step=(epoch + 1) * steps, lr=lr, **record)
            bar.advance(_facts(record))
            done = method.end_epoch(epoch)
            checkpoint.save(epoch + 1, parts)
            if done:
                break


def train_network(
    fabric: Fabric,
    net: nn.Module,
    data: Data,
    split: Images,
    recipe: Recipe,
    seed: int,
    journal: Journal,
    checkpoint: Checkpoint,
) -> None:
    """Trains one plain network on ``split``; its weights are the moving average's where the recipe has one.

    Raises ``UserError`` when the loss is no longer finite.
    """
    stage = checkpoint.stage
    model, optimizer = fabric.setup(net, recipe.optimizer(fabric.to_device(net)))
    decay = get_ema_multi_avg_fn(recipe.ema)
    average = AveragedModel(net, multi_avg_fn=decay, use_buffers=True) if recipe.ema > 0 else None
    parts = {"net": net, "optimizer": optimizer} | ({} if average is None else {"average": average})
    first, steps = checkpoint.restore(parts), len(split) // min(recipe.batch, len(split))
    journal.rewind(stage, first)
    net.train()
    with journal.bar(stage, recipe.epochs, first) as bar:
        for epoch in range(first, recipe.epochs):
            figures = Epoch(stage, epoch, recipe)
            batches = split.shuffled(recipe.batch, seed_of(seed, stage, "order", epoch))
            for step, batch in enumerate(batches, epoch * steps):
                torch.manual_seed(seed_of(seed, stage, step))
                lr = _set_lr(optimizer, recipe.lr_at(step, recipe.epochs * steps))
                loss = figures.loss(_logits(model, data, batch, recipe, epoch), batch.labels)
                _step(fabric, model, optimizer, loss, recipe)
                if average is not None:
                    average.update_parameters(net)
            record = figures.record()
            journal.record(stage, step=(epoch + 1) * steps, lr=lr, **record)
            bar.advance(_facts(record))
            checkpoint.save(epoch + 1, parts)
    if average is not None:
        net.load_state_dict(average.module.state_dict())
    net.eval()


@torch.no_grad()
def evaluate(net: nn.Module, data: Data, split: Images, batch: int = 500) -> dict[str, float]:
    """Accuracy and mean cross-entropy of a network in eval mode."""
    net.eval()
    hits, loss = 0, 0.0
    for part in split.batches(batch):
        logits = net(data.inputs(part.images)).float()
        hits += int((logits.argmax(1) == part.labels).sum())
        loss += float(F.cross_entropy(logits, part.labels, reduction="sum"))
    return {"accuracy": hits / len(split), "loss": loss / len(split)}
