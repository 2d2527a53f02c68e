"""Trains many plain networks at once on one GPU: every step is one CUDA graph, each network has a stream of its own.

On the CPU the same steps run eagerly, one network after the other.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)


def normalized(images: Tensor) -> Tensor:
    """Floats of images of bytes, shape (n, 3, h, w)."""
    x = images.float() / 255
    # Filled on the device: a copy from the host cannot be part of a graph.
    mean, std = (torch.cat([x.new_full((1, 1, 1, 1), one) for one in of], 1) for of in (MEAN, STD))
    return (x - mean) / std


@dataclass(frozen=True)
class Settings:
    """Of a training: SGD with Nesterov momentum, a cosine schedule after one epoch of warm-up, flips and shifts."""

    epochs: int
    batch: int = 256
    lr: float = 0.1
    weight_decay: float = 5e-4
    smoothing: float = 0.0
    shift: int = 2
    """Pixels that an image may be shifted each way; 2 for images of 16x16."""
    flip: bool = True
    teaching: float = 0.5
    """Share of the loss against the teacher, if there is one; the rest is the cross-entropy of the classes."""
    temperature: float = 1.0
    """By which the logits of both are divided in that loss."""


class Training:
    """One network and its training; ``step`` is what a graph captures: it reads and advances counters on the device."""

    def __init__(
        self,
        net: nn.Module,
        images: Tensor,
        targets: Tensor,
        settings: Settings,
        seed: int,
        teacher: nn.Module | None = None,
    ) -> None:
        self.net, self.images, self.targets, self.settings = net.train(), images, targets, settings
        self.teacher = teacher and teacher.eval()
        device = images.device
        self.steps = len(images) // settings.batch
        self.rng = torch.Generator(device).manual_seed(seed)
        self.at = torch.zeros((), dtype=torch.long, device=device)
        self.rate_at = torch.zeros((), dtype=torch.long, device=device)
        self.rates = torch.tensor(self._rates(), device=device)
        self.parameters = [p for p in net.parameters() if p.requires_grad]
        self.momenta = [torch.zeros_like(p) for p in self.parameters]
        self.decays = [settings.weight_decay if p.ndim > 1 else 0.0 for p in self.parameters]
        self.order = torch.zeros(self.steps, settings.batch, dtype=torch.long, device=device)
        self.moves = torch.zeros(self.steps, settings.batch, 3, dtype=torch.long, device=device)
        self.losses = torch.zeros((), device=device)

    def _rates(self) -> list[float]:
        total, warm = self.settings.epochs * self.steps, self.steps
        ramp = [self.settings.lr * min(1.0, (i + 1) / warm) for i in range(total)]
        return [r * 0.5 * (1 + math.cos(math.pi * i / total)) for i, r in enumerate(ramp)]

    def begin_epoch(self) -> None:
        """Draws the order, the shifts and the flips of an epoch."""
        device, batch = self.images.device, self.settings.batch
        order = torch.randperm(len(self.images), device=device, generator=self.rng)
        self.order.copy_(order[: self.steps * batch].view(self.steps, batch))
        size = 2 * self.settings.shift + 1
        self.moves[..., :2] = torch.randint(size, self.moves[..., :2].shape, device=device, generator=self.rng)
        if self.settings.flip:
            self.moves[..., 2] = torch.randint(2, self.moves[..., 2].shape, device=device, generator=self.rng)
        self.at.zero_()
        self.losses.zero_()

    def batch(self) -> tuple[Tensor, Tensor]:
        """The images of the step, shifted and flipped, and their targets."""
        index, moves = self.order.index_select(0, self.at.view(1))[0], self.moves.index_select(0, self.at.view(1))[0]
        pad, size = self.settings.shift, self.images.shape[-1]
        x = F.pad(normalized(self.images.index_select(0, index)), (pad,) * 4)
        columns = torch.arange(size, device=x.device)
        rows = moves[:, 0, None] + columns
        across = moves[:, 1, None] + torch.where(moves[:, 2, None] > 0, size - 1 - columns, columns)
        x = x.gather(2, rows[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))
        x = x.gather(3, across[:, None, None, :].expand(-1, x.shape[1], size, -1))
        return x.contiguous(memory_format=torch.channels_last), self.targets.index_select(0, index)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy; with a teacher, a share of it is the divergence from the teacher's output."""
        logits = self.net(x)
        loss = F.cross_entropy(logits, y, label_smoothing=self.settings.smoothing)
        if self.teacher is None:
            return loss
        share, t = self.settings.teaching, self.settings.temperature
        with torch.no_grad():
            taught = F.log_softmax(self.teacher(x) / t, 1)
        apart = F.kl_div(F.log_softmax(logits / t, 1), taught, reduction="batchmean", log_target=True)
        return (1 - share) * loss + share * t**2 * apart

    def step(self) -> None:
        """Forward, backward, update."""
        x, y = self.batch()
        loss = self.loss(x, y)
        grads = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        lr = self.rates.index_select(0, self.rate_at.view(1))[0]
        with torch.no_grad():
            used = [i for i, g in enumerate(grads) if g is not None]
            parameters, momenta = [self.parameters[i] for i in used], [self.momenta[i] for i in used]
            gs = [grads[i] for i in used]
            decayed = torch._foreach_mul(parameters, [self.decays[i] for i in used])
            torch._foreach_add_(decayed, gs)
            torch._foreach_mul_(momenta, 0.9)
            torch._foreach_add_(momenta, decayed)
            torch._foreach_add_(decayed, momenta, alpha=0.9)
            torch._foreach_mul_(decayed, lr)
            torch._foreach_sub_(parameters, decayed)
            self.losses.add_(loss.detach())
            self.at.add_(1)
            self.rate_at.add_(1)


class Captured:
    """A training whose step is a CUDA graph on a stream of its own; its state is as before the capture."""

    def __init__(self, training: Training) -> None:
        self.training, self.stream, self.graph = training, torch.cuda.Stream(), torch.cuda.CUDAGraph()
        training.net.to(memory_format=torch.channels_last)
        training.parameters = [p for p in training.net.parameters() if p.requires_grad]
        state = {k: v.clone() for k, v in training.net.state_dict().items()}
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            training.begin_epoch()
            for _ in range(3):
                training.step()
            self.stream.synchronize()
            with torch.cuda.graph(self.graph, stream=self.stream):
                training.step()
            training.net.load_state_dict(state)
            for momentum in training.momenta:
                momentum.zero_()
            training.rate_at.zero_()
        self.stream.synchronize()

    def begin_epoch(self) -> None:
        """As of the training."""
        with torch.cuda.stream(self.stream):
            self.training.begin_epoch()

    def step(self) -> None:
        """One replay."""
        with torch.cuda.stream(self.stream):
            self.graph.replay()


@torch.no_grad()
def accuracy(net: nn.Module, images: Tensor, targets: Tensor, batch: int = 1000) -> float:
    """In percent; the network is left in eval mode."""
    net.eval()
    right = sum(
        (net(normalized(x)).argmax(1) == y).sum()
        for x, y in zip(images.split(batch), targets.split(batch), strict=True)
    )
    return 100 * float(right) / len(images)


def train_all(
    nets: Sequence[nn.Module],
    images: Tensor,
    targets: Tensor,
    settings: Settings,
    seeds: Sequence[int],
    together: int = 8,
    teachers: Sequence[nn.Module | None] | None = None,
    stop: float = math.inf,
) -> list[bool]:
    """Trains plain networks in place; says of each whether its training was finished.

    Args:
        nets: on the device of the images; called with float images (n, 3, h, w), return logits.
        images: bytes, shape (n, 3, h, w), on the device.
        targets: classes, int64, on the device.
        settings: of all trainings.
        seeds: of each network: order, shifts and flips.
        together: networks that run at the same time on a GPU.
        teachers: of each network, or none.
        stop: ``time.time()`` after which no further group of networks is begun.
    """
    done: list[bool] = []
    jobs = list(zip(nets, seeds, teachers or [None] * len(nets), strict=True))
    for first in range(0, len(jobs), together):
        group = jobs[first : first + together]
        if time.time() > stop:
            done += [False] * len(group)
            continue
        trainings = [Training(net, images, targets, settings, seed, teacher) for net, seed, teacher in group]
        runners = [Captured(t) for t in trainings] if images.is_cuda else trainings
        for _ in range(settings.epochs):
            for runner in runners:
                runner.begin_epoch()
            for _ in range(trainings[0].steps):
                for runner in runners:
                    runner.step()
            if images.is_cuda:
                torch.cuda.synchronize()
        done += [True] * len(group)
    return done
