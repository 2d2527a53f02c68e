"""Outlines of leaves (OSULeaf of sktime, extra ``examples``): series of 427 steps, six classes, 1-d convolutions."""

from typing import Any

import torch
from sktime.datasets import load_osuleaf
from torch import nn

import sparsenas
from sparsenas import Join


def conv(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Module:
    """A convolution that keeps the length, batch norm and ReLU."""
    padding = dilation * (kernel // 2)
    layer = nn.Conv1d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(layer, nn.BatchNorm1d(outputs), nn.ReLU())


def block(name: str, width: int) -> Join:
    """A choice of a kernel size, or of no layer."""
    kernels = {f"kernel{kernel}": conv(width, width, kernel) for kernel in (3, 7, 15)}
    return Join.of(name, {**kernels, "dilated7": conv(width, width, 7, dilation=4), "skip": nn.Identity()})


def make() -> nn.Module:
    """Six blocks in three stages; the series is halved before each."""
    layers: list[nn.Module] = []
    for stage, (inputs, outputs) in enumerate([(1, 16), (16, 24), (24, 32)]):
        layers += [conv(inputs, outputs, 7), nn.MaxPool1d(2)]
        layers += [block(f"stage{stage + 1}.{i}", outputs) for i in (1, 2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 6))


def part(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The series (examples, 1, 427) and their classes from 0 to 5 of the part ``train`` or ``test``."""
    series, kinds = load_osuleaf(name, return_type="numpy3d")
    return torch.tensor(series, dtype=torch.float32), torch.tensor([int(kind) - 1 for kind in kinds])


def main(**changes: Any) -> sparsenas.Found:
    """Searches, retrains, exports and reports; ``changes`` replace or add arguments of ``sparsenas.run``."""
    arguments: dict[str, Any] = {
        "space": make,
        "data": sparsenas.as_data({"train": part("train"), "test": part("test")}, val_share=0.3),
        "budget": "flops<=2.5e6",
        "search": {"epochs": 60, "batch": 20},
        "retrain": {"epochs": 40, "batch": 20},
        "score": {"by": "loss"},
        "baselines": 3,
        "threads": 1,
        "out": "runs/time_series",
    }
    return sparsenas.run(**{**arguments, **changes})


if __name__ == "__main__":
    print(main().test)
