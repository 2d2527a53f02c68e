"""What all tools are given: images of CIFAR-10 at 16x16, a trained network, a budget, and the same counter of costs."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from originals import NETS
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from training import accuracy, normalized

VAL = 5000
"""Images of the training set that candidates are scored on; the checkpoint has not seen them."""
CALIBRATION = 1024
"""Images on which batch norms of a candidate are calibrated."""
SHAPE = (3, 16, 16)
SHARES = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
"""Of a layer's channels, for every tool that takes shares; channel numbers are multiples of 2."""
MULTIPLE = 2


@dataclass(frozen=True)
class Images:
    """Bytes (n, 3, 16, 16) and classes (n), on one device."""

    train: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]

    @property
    def train_val(self) -> tuple[Tensor, Tensor]:
        """All images but those of the test."""
        x, y = (torch.cat([a, b]) for a, b in zip(self.train, self.val, strict=True))
        return x, y


def images(path: Path, device: str, most: int | None = None) -> Images:
    """Those of a file with ``train_x``, ``train_y``, ``test_x``, ``test_y``; ``most`` of each part, for a trial."""
    found = torch.load(path)
    x, y = found["train_x"].to(device), found["train_y"].long().to(device)
    test = found["test_x"].to(device), found["test_y"].long().to(device)
    parts = (x[VAL:], y[VAL:]), (x[:VAL], y[:VAL]), test
    return Images(*(tuple(t[:most] for t in part) for part in parts))  # type: ignore[arg-type]


def network(name: str, checkpoint: Path, device: str) -> nn.Module:
    """The trained network."""
    net = NETS[name]()
    net.load_state_dict(torch.load(checkpoint, map_location="cpu"))
    return net.to(device).eval()


def costs(net: nn.Module) -> dict[str, int]:
    """Multiply-adds of an image, by PyTorch's own counter, and parameters."""
    net = copy.deepcopy(net).cpu().eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, *SHAPE))
    return {"flops": counter.get_total_flops() // 2, "params": sum(p.numel() for p in net.parameters())}


def batches(x: Tensor, y: Tensor, count: int, size: int) -> list[tuple[Tensor, Tensor]]:
    """Normalised batches of the first images, with their classes."""
    return list(zip(normalized(x[: count * size]).split(size), y[: count * size].split(size), strict=True))


def score(data: Images) -> Callable[[nn.Module], float]:
    """Validation accuracy, in percent."""
    return lambda net: accuracy(net, *data.val)


def largest(within: Callable[[float], bool], low: float, high: float, steps: int = 24) -> float:
    """The largest number that is within, by bisection; ``low`` is taken to be."""
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) else (low, middle)
    return low


def shrunk(name: str, share: float) -> nn.Module:
    """The widest untrained network of equal shares everywhere within this share of the multiply-adds: by hand."""
    most = share * costs(NETS[name]())["flops"]
    first = {"resnet20": 1.0, "mobilenetv2": 0.5}[name]
    return NETS[name](largest(lambda s: costs(NETS[name](s))["flops"] <= most, 0.05, first, 12))


def say(*words: object) -> None:
    """To the log, at once."""
    print(*words, file=sys.stderr, flush=True)
