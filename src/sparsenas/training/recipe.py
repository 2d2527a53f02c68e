"""How a network is trained: schedule, optimizer, augmentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, pi
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD

from sparsenas.core.elastic import SliceBatchNorm2d
from sparsenas.core.quant_choice import alphas
from sparsenas.errors import UserError, check_at_least

FIRST_CYCLE = 10.0
LEAST = {"epochs": 1, "batch": 2, "warmup": 0, "clip": 0, "clip_value": 0, "weight_decay": 0, "momentum": 0}
LEAST |= {"lr_end": 0, "recalibrate": 0, "cutout": 0, "mixup": 0, "cutmix": 0, "auxiliary": 0}
"""Lowest legal values."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained by SGD."""

    epochs: int = 60
    """Passes over the training images"""
    batch: int = 64
    """Images per step, of all processes together; at least 2"""
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
    """Weight decay (L2)"""
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
    own_paths: bool = False
    """Each process samples its own path and normalizes by its own images. Supernets only"""
    sizes: tuple[int, ...] = ()
    """Image sides, each for an equal share of the epochs, as in 16,24,32; by default the data set's side"""

    def __post_init__(self) -> None:
        check_at_least(vars(self), LEAST)
        for name in ("ema", "smoothing", "drop_path"):
            if not 0 <= vars(self)[name] < 1:
                raise UserError(f"{name}: expected 0 <= {name} < 1, got {vars(self)[name]}")
        if not self.lr > 0:
            raise UserError(f"lr: expected > 0, got {self.lr}")
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

    def optimizer(self, net: nn.Module) -> SGD:
        """SGD. Parameters without gradient are not touched by a step. The network must be on its device by now."""
        decaying = {id(p) for p in self._decaying(net)}
        decayed = [p for p in net.parameters() if id(p) in decaying]
        others = [p for p in net.parameters() if id(p) not in decaying]
        groups = [{"params": decayed, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        cpu = all(p.device.type == "cpu" for p in net.parameters())
        optimizer = SGD(
            groups,
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov and self.momentum > 0,
            fused=cpu,
            foreach=not cpu,
        )
        if self.momentum > 0:
            # The buffers that SGD makes at a weight's first gradient. Fused SGD needs those of all weights or of none.
            optimizer.state.update({p: {"momentum_buffer": torch.zeros_like(p)} for p in net.parameters()})
        return optimizer

    def _decaying(self, net: nn.Module) -> Iterator[Tensor]:
        """The parameters that decay; the clipping levels of activation quantizers always do, as in PACT."""
        yield from alphas(net)
        for module in net.modules():
            scales = isinstance(module, _BatchNorm | SliceBatchNorm2d) and self.decay == "scales"
            for name, parameter in module.named_parameters(recurse=False):
                if self.decay == "all" or parameter.dim() > 1 or (scales and name == "weight"):
                    yield parameter


def _since_restart(epoch: float) -> float:
    """The share of the current cycle that is over. The first one takes 10 epochs, others twice the last one (SGDR)."""
    cycle = FIRST_CYCLE
    while epoch >= cycle:
        epoch, cycle = epoch - cycle, 2 * cycle
    return epoch / cycle
