"""How a network is trained: schedule, optimizer, augmentation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from math import cos, pi
from typing import Any, Literal

from sparsenas.errors import UserError, check_at_least
from sparsenas.training.optimizer_names import check_optimizer

FIRST_CYCLE = 10.0
LEAST = {"epochs": 0, "batch": 2, "warmup": 0, "clip": 0, "clip_value": 0, "weight_decay": 0, "momentum": 0}
LEAST |= {
    "accumulate": 1,
    "distill_random": 0,
    "lr_end": 0,
    "recalibrate": 0,
    "cutout": 0,
    "mixup": 0,
    "cutmix": 0,
    "auxiliary": 0,
}
"""Lowest legal values."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    epochs: int = 60
    """Passes over the training examples; 0 only in the search of an opened network, on its own weights"""
    batch: int = 64
    """Examples per forward pass, of all processes together; at least 2"""
    accumulate: int = 1
    """Batches per step: their gradients are averaged before the weights change, as if they were one larger batch"""
    optimizer: str = "sgd"
    """Optimizer of torch.optim, such as sgd, adamw or rmsprop. Most need a lower learning rate than sgd"""
    optimizer_args: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the optimizer, as in '{betas: [0.9, 0.95], eps: 1e-6}'. Those of sgd are momentum and
    nesterov"""
    lr: float = 0.1
    """Learning rate at the start, after the warm-up; above 0"""
    schedule: Literal["linear", "cosine", "constant", "restarts"] = "cosine"
    """Decay of the learning rate. restarts = cosine over 10 epochs, then 20, 40 and so on"""
    lr_end: float = 0.0
    """Learning rate at the end of every schedule but constant"""
    warmup: float = 0.0
    """Epochs over which the learning rate increases linearly from 0"""
    momentum: float = 0.9
    """Momentum of SGD"""
    nesterov: bool = True
    """Nesterov momentum"""
    weight_decay: float = 4e-5
    """Weight decay: L2, or decoupled in optimizers such as adamw"""
    decay: Literal["weights", "scales", "all"] = "weights"
    """Parameters that decay. weights = weights of convolutions and linear layers; scales = also scales of batch norms;
    all = every parameter"""
    smoothing: float = 0.1
    """Label smoothing of objectives with classes, from 0 to below 1"""
    clip: float = 5.0
    """Largest norm of the gradient; 0 = no limit"""
    clip_value: float = 0.0
    """Largest magnitude of each value of the gradient, clipped before the norm; 0 = no limit. Not used in the
    pre-training of dso"""
    ema: float = 0.0
    """Decay of an exponential moving average of the weights, from 0 to below 1; the averaged weights are the result.
    0 = none. Retraining only"""
    recalibrate: int = 0
    """Training images on which batch norm is recalibrated after the training; 0 = none. Retraining only"""
    augment: bool = True
    """Use the data set's augmentation"""
    rand_augment: int = 0
    """Magnitude of RandAugment, whose two operations are drawn for each batch: 1 to 9, which is that of DeiT; 0 = none.
    It follows the data set's augmentation"""
    erase: float = 0.0
    """Probability of random erasing, which sets a box of 2 to 33 % of an image to 0: 0.25 in DeiT; 0 = none"""
    cutout: int = 0
    """Side of the square that is set to 0 in every image, after the augmentation; 0 = none"""
    mixup: float = 0.0
    """Alpha of mixup's Beta distribution; 0 = no mixup"""
    cutmix: float = 0.0
    """Alpha of CutMix's Beta distribution; 0 = no CutMix. With mixup too, one of the two is drawn for each batch"""
    drop_path: float = 0.0
    """Final drop-path rate, from 0 to below 1; increases linearly from 0. In darts operations are dropped. In dso
    inputs of operations and outputs of blocks are dropped, at a lower rate in earlier blocks"""
    auxiliary: float = 0.0
    """Weight of the auxiliary head's loss; 0 = no head. For spaces that offer features to one: darts and dso"""
    distill: str = ""
    """Distillation: who teaches besides the targets. In the search, sandwich: each step trains the largest architecture
    on the targets, then the smallest one and random ones on the outputs of the largest. In the retraining, largest: the
    largest network of the supernet on inherited weights; or original: the network that was opened; or a file of
    torch.export, such as net.pt2 of another run; or package.module:callable, a function that returns a network"""
    distill_random: int = 1
    """Random architectures of a sandwich"""
    distill_weight: float = 0.5
    """Share of the teacher in the loss, from 0 to 1. Retraining only: in a sandwich the others learn from it alone"""
    distill_temperature: float = 1.0
    """The outputs of both are divided by it before they are compared; above 0"""
    own_paths: bool = False
    """Each process samples its own path and normalizes by its own images. Supernets only"""
    sizes: tuple[int, ...] = ()
    """Image sides, each for an equal share of the epochs, as in 16,24,32; by default the data set's side"""

    def __post_init__(self) -> None:
        check_at_least(vars(self), LEAST)
        for name in ("ema", "smoothing", "drop_path"):
            if not 0 <= vars(self)[name] < 1:
                raise UserError(f"{name}: expected 0 <= {name} < 1, got {vars(self)[name]}")
        for name in ("distill_weight", "erase"):
            if not 0 <= vars(self)[name] <= 1:
                raise UserError(f"{name}: expected 0 <= {name} <= 1, got {vars(self)[name]}")
        if not 0 <= self.rand_augment <= 9:
            raise UserError(f"rand_augment: expected 0 <= rand_augment <= 9, got {self.rand_augment}")
        if self.rand_augment > 0 and not self.augment:
            raise UserError(f"rand_augment: expected 0 without the data set's augmentation, got {self.rand_augment}")
        for name in ("lr", "distill_temperature"):
            if not 0 < vars(self)[name] < math.inf:
                raise UserError(f"{name}: expected > 0, got {vars(self)[name]}")
        check_optimizer(self.optimizer, self.optimizer_args)
        if any(size < 1 for size in self.sizes):
            raise UserError(f"sizes: expected image sides >= 1, got {','.join(map(str, self.sizes))}")

    def size_at(self, epoch: int) -> int | None:
        """The image side of an epoch; ``None`` = the data set's side."""
        return self.sizes[epoch * len(self.sizes) // self.epochs] if self.sizes else None

    def lr_at(self, step: int, steps: int, since: int = 0) -> float:
        """The learning rate of a step out of ``steps`` in all epochs; the schedule begins at step ``since``."""
        warm = self.warmup * steps / self.epochs
        if step < warm:
            return self.lr * (step + 1) / (warm + 1)
        start = max(warm, since)
        share = max(0.0, step - start) / max(1.0, steps - start)
        if self.schedule == "restarts":
            share = _since_restart(max(0.0, step - start) * self.epochs / steps)
        cosine = (1 + cos(pi * share)) / 2
        fall = {"linear": 1 - share, "cosine": cosine, "constant": 1.0, "restarts": cosine}
        return self.lr_end + (self.lr - self.lr_end) * fall[self.schedule]

    def drop_path_at(self, epoch: int, since: int = 0) -> float:
        """The drop-path rate of an epoch; it increases linearly from 0 in epoch ``since``."""
        return self.drop_path * max(0, epoch - since) / max(1, self.epochs - since)


def _since_restart(epoch: float) -> float:
    """The share of the current cycle that is over. The first one takes 10 epochs, others twice the last one (SGDR)."""
    cycle = FIRST_CYCLE
    while epoch >= cycle:
        epoch, cycle = epoch - cycle, 2 * cycle
    return epoch / cycle
