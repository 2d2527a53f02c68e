"""A trained network of your own, opened and halved; no line of it changes (method sensitivity, no supernet)."""

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import sparsenas


def conv(inputs: int, outputs: int) -> nn.Module:
    """A convolution that keeps the size, batch norm and ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())


def data() -> sparsenas.Data:
    """1797 handwritten digits; test and validation examples are split off."""
    pixels, digits = load_digits(return_X_y=True)
    return sparsenas.as_data((torch.tensor(pixels / 16, dtype=torch.float32).view(-1, 1, 8, 8), torch.tensor(digits)))


def trained(x: Any, y: Any, epochs: int = 10) -> nn.Module:
    """A network with weights, which knows nothing of any search: put yours here."""
    torch.manual_seed(0)
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    net = nn.Sequential(conv(1, 16), conv(16, 32), nn.MaxPool2d(2), conv(32, 32), *pool, nn.Linear(32, 10))
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(y)).split(64):
            functional.cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
            optimizer.zero_grad()
    return net.eval()


def main(**changes: Any) -> sparsenas.Found:
    """Opens, searches, trains on, exports and reports; ``changes`` replace or add arguments of ``sparsenas.run``."""
    examples = data()
    net = trained(examples.train.inputs, examples.train.targets)
    arguments: dict[str, Any] = {
        "space": sparsenas.open(net, examples.train.example),
        "data": examples,
        "budget": "flops<=50%",
        "method": "sensitivity",
        "search": {"epochs": 0},
        "retrain": {"epochs": 15, "lr": 0.02},
        "baselines": 3,
        "threads": 1,
        "out": "runs/trained",
    }
    return sparsenas.run(**{**arguments, **changes})


if __name__ == "__main__":
    print(main().test)
