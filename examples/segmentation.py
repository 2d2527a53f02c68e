"""Scenes of handwritten digits: which digit does each pixel belong to, if any (segmentation).

Measured with seeds 0 and 1: mean IoU of 55.9 and 56.4 % on test scenes; random networks of the same cost 46.9
and 52.8 %; 108 and 115 s of processor time. SGD with a learning rate of 0.1 learns far more slowly here than
AdamW.
"""

from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import sparsenas
from sparsenas import Join

SIDE, DIGITS = 32, 6
ADAMW = {"optimizer": "adamw", "lr": 0.02, "weight_decay": 1e-3, "batch": 8, "smoothing": 0.0}


def conv(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Module:
    """A convolution that keeps the size, batch norm and ReLU."""
    padding = dilation * (kernel // 2)
    layer = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


def block(name: str, width: int) -> Join:
    """A choice of a kernel, or of no layer."""
    ops = {"conv3": conv(width, width, 3), "conv5": conv(width, width, 5), "dilated3": conv(width, width, 3, 2)}
    return Join.of(name, {**ops, "conv1": conv(width, width, 1), "skip": nn.Identity()})


class UNet(nn.Module):
    """A small U-Net. What it saw at a larger size is added on the way back."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.down1 = nn.Sequential(conv(1, 8, 3), block("down1", 8))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), conv(8, 16, 3), block("down2", 16))
        self.bottom = nn.Sequential(nn.MaxPool2d(2), conv(16, 32, 3), block("bottom.1", 32), block("bottom.2", 32))
        self.up2 = nn.Sequential(conv(32, 16, 1), nn.Upsample(scale_factor=2))
        self.up1 = nn.Sequential(block("up2", 16), conv(16, 8, 1), nn.Upsample(scale_factor=2))
        self.head = nn.Sequential(block("up1", 8), nn.Conv2d(8, classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Maps scenes (examples, 1, 32, 32) to logits (examples, classes, 32, 32)."""
        high = self.down1(x)
        middle = self.down2(high)
        up = self.up2(self.bottom(middle)) + middle
        logits: Tensor = self.head(self.up1(up) + high)
        return logits


def scenes(digits: np.ndarray, kinds: np.ndarray, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Scenes of digits at random places, and for each pixel 1 + the digit whose ink it is, or 0."""
    rng = np.random.default_rng(seed)
    x, y = np.zeros((count, 1, SIDE, SIDE), np.float32), np.zeros((count, SIDE, SIDE), np.int64)
    for scene, labels in zip(x[:, 0], y, strict=True):
        for digit in rng.integers(len(digits), size=DIGITS):
            place = tuple(slice(at, at + 8) for at in rng.integers(SIDE - 8, size=2))
            ink = digits[digit] > 0.25
            scene[place][ink], labels[place][ink] = digits[digit][ink], kinds[digit] + 1
    return torch.from_numpy(x), torch.from_numpy(y)


def data() -> dict[str, tuple[Tensor, Tensor]]:
    """Training, validation and test scenes show different digits."""
    digits, kinds = load_digits(return_X_y=True)
    digits = (digits / 16).reshape(-1, 8, 8)
    rows = np.split(np.random.default_rng(0).permutation(len(digits)), [1000, 1400])
    counts = {"train": 1500, "val": 150, "test": 300}
    return {
        name: scenes(digits[own], kinds[own], count, seed)
        for seed, ((name, count), own) in enumerate(zip(counts.items(), rows, strict=True))
    }


def main(**changes: Any) -> sparsenas.Found:
    """Searches, retrains, exports and reports; ``changes`` replace or add arguments of ``sparsenas.run``."""
    arguments: dict[str, Any] = {
        "space": UNet,
        "data": data(),
        "objective": "segmentation",
        "budget": "flops<=50%",
        "search": {**ADAMW, "epochs": 8},
        "retrain": {**ADAMW, "epochs": 8},
        "method": {"name": "spos", "generations": 5},
        "score": {"calibration": 64},
        "baselines": 2,
        "threads": 1,
        "out": "runs/segmentation",
    }
    return sparsenas.run(**{**arguments, **changes})


if __name__ == "__main__":
    print(main().test)
