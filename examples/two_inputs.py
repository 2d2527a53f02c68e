"""The sum of two handwritten digits: a network with two inputs.

Measured with seeds 0 and 1: test accuracy of 93.1 and 96.0 %; random networks of the same cost 89.2 and 88.2 %;
51 and 50 s of processor time.
"""

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import sparsenas
from sparsenas import Join, SliceLinear, Width


def conv(inputs: int, outputs: int, kernel: int) -> nn.Module:
    """A convolution that keeps the size, batch norm and ReLU."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


def block(name: str, width: int) -> Join:
    """A choice of a kernel, or of no layer."""
    return Join.of(name, {**{f"conv{k}": conv(width, width, k) for k in (1, 3, 5)}, "skip": nn.Identity()})


class Adder(nn.Module):
    """One eye reads both digits; a perceptron of a chosen width adds them."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        hidden = Width("hidden", (8, 16, 32, 64))
        self.eye = nn.Sequential(
            conv(1, 8, 3), block("first", 8), nn.MaxPool2d(2), conv(8, 16, 3), block("second", 16), block("third", 16),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 16), nn.ReLU(),
        )  # fmt: skip
        self.add = nn.Sequential(SliceLinear(32, hidden), nn.ReLU(), SliceLinear(hidden, classes))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Maps two batches of images (examples, 1, 8, 8) to logits (examples, 19)."""
        logits: Tensor = self.add(torch.cat([self.eye(left), self.eye(right)], 1))
        return logits


def data() -> dict[str, tuple[tuple[Tensor, Tensor], Tensor]]:
    """Pairs of digits. Training, validation and test pairs are made of different digits."""
    pixels, digits = load_digits(return_X_y=True)
    images, numbers = torch.tensor(pixels / 16, dtype=torch.float32).view(-1, 1, 8, 8), torch.tensor(digits)
    generator = torch.Generator().manual_seed(0)
    parts = torch.randperm(len(images), generator=generator).split([1097, 300, 400])
    pairs = {}
    for name, rows, count in zip(("train", "val", "test"), parts, (4000, 1000, 2000), strict=True):
        left, right = rows[torch.randint(len(rows), (2, count), generator=generator)]
        pairs[name] = (images[left], images[right]), numbers[left] + numbers[right]
    return pairs


def main(**changes: Any) -> sparsenas.Found:
    """Searches, retrains, exports and reports; ``changes`` replace or add arguments of ``sparsenas.run``."""
    arguments: dict[str, Any] = {
        "space": Adder,
        "data": data(),
        "budget": "flops<=200e3",
        "search": {"epochs": 15},
        "retrain": {"epochs": 10},
        "score": {"by": "loss"},
        "baselines": 3,
        "threads": 1,
        "out": "runs/two_inputs",
    }
    return sparsenas.run(**{**arguments, **changes})


if __name__ == "__main__":
    print(main().test)
