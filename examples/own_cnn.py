"""Your own convolutional network: some of its layers are choices, the search decides (classification)."""

from typing import Any

from torch import nn

import sparsenas
from sparsenas import Join, SliceBatchNorm2d, SliceConv2d, Width


def conv(inputs: int, outputs: int, kernel: int) -> nn.Module:
    """A convolution that keeps the size, batch norm and ReLU."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


def block(name: str, width: int) -> Join:
    """A choice of a kernel, or of no layer."""
    return Join.of(name, {**{f"conv{k}": conv(width, width, k) for k in (1, 3, 5)}, "skip": nn.Identity()})


def make(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Three chosen blocks and a chosen number of channels. ``shape`` and ``classes`` are those of the data."""
    middle = Width("middle", (4, 8, 16, 32))
    return nn.Sequential(
        conv(shape[0], 8, 3),
        block("first", 8),
        nn.MaxPool2d(2),
        SliceConv2d(8, middle, 3, padding=1),
        SliceBatchNorm2d(middle),
        nn.ReLU(),
        SliceConv2d(middle, 16, 1),
        block("second", 16),
        block("third", 16),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, classes),
    )


def main(**changes: Any) -> sparsenas.Found:
    """Searches, retrains, exports and reports; ``changes`` replace or add arguments of ``sparsenas.run``."""
    arguments: dict[str, Any] = {
        "space": make,
        "data": "digits",
        "budget": "flops<=100e3",
        "search": {"epochs": 40},
        "retrain": {"epochs": 20},
        "score": {"by": "loss"},
        "baselines": 3,
        "threads": 1,
        "out": "runs/own_cnn",
    }
    return sparsenas.run(**{**arguments, **changes})


if __name__ == "__main__":
    print(main().test)
