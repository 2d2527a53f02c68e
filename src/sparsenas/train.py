"""The two training loops: a supernet under a method, and one plain network."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sparsenas.auxiliary import Output, WithAuxiliary
from sparsenas.checkpoint import Checkpoint
from sparsenas.choice import Gates, set_gates
from sparsenas.data import Data, Images, Split, Target, blended, cutout
from sparsenas.errors import UserError
from sparsenas.journal import Journal
from sparsenas.layers import set_drop_path
from sparsenas.methods import Method
from sparsenas.methods.learning import Follower, Learning
from sparsenas.recipe import Recipe


def seed_of(seed: int, *purpose: str | int) -> int:
    """A seed for one purpose, independent of the seeds for others."""
    words = [seed, *(zlib.crc32(str(part).encode()) for part in purpose)]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


class Epoch:
    """Counts one epoch's losses and hits on the device, and waits for it once, at the end."""

    def __init__(self, stage: str, epoch: int, recipe: Recipe) -> None:
        self.stage, self.epoch, self.recipe = stage, epoch, recipe
        self.losses: list[Tensor] = []
        self.hits: list[Tensor] = []
        self.images = 0
        self.start = time.monotonic()

    def loss(self, output: Output, target: Target) -> Tensor:
        """The training loss of a batch; blended images count as hit by their own labels."""
        loss, labels = self.recipe.loss(output, *target), target.labels
        logits = output[0] if isinstance(output, tuple) else output
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


def _output(model: nn.Module, data: Data, batch: Split, recipe: Recipe, epoch: int) -> tuple[Output, Target]:
    x = data.inputs(batch.images, recipe.augment, recipe.size_at(epoch))
    x = cutout(x, recipe.cutout) if recipe.cutout > 0 else x
    x, target = blended(x, batch.labels, recipe.mixup, recipe.cutmix)
    return model(x), target


def _trainee(fabric: Fabric, net: nn.Module, recipe: Recipe) -> tuple[nn.Module, nn.Module, Optimizer]:
    """What is trained (the network, with an auxiliary head if asked for), as Fabric runs it, and its optimizer."""
    whole = net
    if recipe.auxiliary > 0:
        whole = WithAuxiliary(net).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model, optimizer = fabric.setup(whole, recipe.optimizer(fabric.to_device(whole)))
    return whole.train(), model, optimizer


def _loss(model: nn.Module, data: Data, batch: Split, recipe: Recipe, epoch: int) -> Tensor:
    output, target = _output(model, data, batch, recipe, epoch)
    return recipe.loss(output, *target)


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
    follows from the seed and the step's number; the method's own is in its state. A method in one stage trains on the
    held-out images too: nothing is selected by them.
    Raises ``UserError`` when the loss is no longer finite.
    """
    stage, learning = checkpoint.stage, Learning(fabric, method)
    split = data.seen if method.one_stage else data.train
    whole, model, optimizer = _trainee(fabric, net, recipe)
    parts = {"net": whole, "optimizer": Follower(optimizer, whole), "method": method, **learning.parts()}
    first, steps = checkpoint.restore(parts), len(split) // min(recipe.batch, len(split))
    journal.rewind(stage, first)
    with journal.bar(stage, recipe.epochs, first) as bar:
        for epoch in range(first, recipe.epochs):
            since = learning.settle(net, recipe.epochs)
            set_drop_path(net, recipe.drop_path_at(epoch, since))
            figures, paths = Epoch(stage, epoch, recipe), []
            batches = split.shuffled(recipe.batch, seed_of(seed, stage, "order", epoch))
            asked = learning.batches(data.held_out, recipe.batch, seed_of(seed, stage, "held-out order", epoch))
            for step, batch in enumerate(batches, epoch * steps):
                torch.manual_seed(seed_of(seed, stage, step))
                lr = _set_lr(optimizer, recipe.lr_at(step, recipe.epochs * steps, since * steps))
                if learning.apart and method.learns(epoch, step):
                    set_gates(net, method.gates())
                    learning.step_apart(_loss(model, data, next(asked), recipe, epoch))
                paths.append(learning.run(net))
                loss = figures.loss(*_output(model, data, batch, recipe, epoch))
                _step(fabric, model, optimizer, loss, recipe)
                learning.step_along()
            record = figures.record(paths)
            done = learning.end_epoch(epoch, parts["optimizer"])
            journal.record(stage, step=(epoch + 1) * steps, lr=lr, **record, **method.facts())
            bar.advance(_facts(record))
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
    whole, model, optimizer = _trainee(fabric, net, recipe)
    decay = get_ema_multi_avg_fn(recipe.ema)
    average = AveragedModel(net, multi_avg_fn=decay, use_buffers=True) if recipe.ema > 0 else None
    parts = {"net": whole, "optimizer": optimizer} | ({} if average is None else {"average": average})
    first, steps = checkpoint.restore(parts), len(split) // min(recipe.batch, len(split))
    journal.rewind(stage, first)
    with journal.bar(stage, recipe.epochs, first) as bar:
        for epoch in range(first, recipe.epochs):
            set_drop_path(net, recipe.drop_path_at(epoch))
            figures = Epoch(stage, epoch, recipe)
            batches = split.shuffled(recipe.batch, seed_of(seed, stage, "order", epoch))
            for step, batch in enumerate(batches, epoch * steps):
                torch.manual_seed(seed_of(seed, stage, step))
                lr = _set_lr(optimizer, recipe.lr_at(step, recipe.epochs * steps))
                loss = figures.loss(*_output(model, data, batch, recipe, epoch))
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
    hits, loss, images = 0, 0.0, 0  # pictures that had to be skipped are not counted
    for part in split.batches(batch):
        images += len(part)
        logits = net(data.inputs(part.images)).float()
        hits += int((logits.argmax(1) == part.labels).sum())
        loss += float(F.cross_entropy(logits, part.labels, reduction="sum"))
    return {"accuracy": hits / images, "loss": loss / images}
