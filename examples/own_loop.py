"""Your own training loop and your own score: the library only says what runs in a step, and searches."""

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

import sparsenas
from sparsenas import Join, SliceLinear, Width


def make() -> nn.Module:
    """A perceptron: the widths of two layers and an activation."""
    first, last = Width("first", (8, 16, 32, 64)), Width("last", (8, 16, 32, 64))
    activation = Join.of("activation", {"relu": nn.ReLU(), "tanh": nn.Tanh(), "gelu": nn.GELU()})
    return nn.Sequential(SliceLinear(64, first), nn.ReLU(), SliceLinear(first, last), activation, SliceLinear(last, 10))


def parts() -> list[tuple[Tensor, Tensor]]:
    """Training, validation and test digits as rows of 64 pixels."""
    pixels, digits = load_digits(return_X_y=True)
    x, y = torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(digits)
    return [(x[rows], y[rows]) for rows in torch.randperm(len(y)).split([1097, 300, 400])]


def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of correct predictions: any function of a network may be a score, here of validation digits."""
    with torch.no_grad():
        return float((net(x).argmax(1) == y).double().mean())


def main(epochs: int = 60, budget: str = "params<=2000", **changes: Any) -> tuple[sparsenas.Found, float]:
    """Trains the supernet, searches it, and returns the found network and its test accuracy on inherited weights."""
    torch.manual_seed(0)
    (x, y), val, test = parts()
    net = make()
    method = sparsenas.method("spos", net, x, budget)
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    for epoch in range(epochs):
        for batch in torch.randperm(len(y)).split(64):
            with sparsenas.step(net, method):
                functional.cross_entropy(net(x[batch]), y[batch]).backward()
                optimizer.step()
                optimizer.zero_grad()
        method.end_epoch(epoch)
    found = sparsenas.evolve(net, budget, score=lambda one: accuracy(one, *val), example=x, **changes)
    return found, accuracy(found.network(), *test)


if __name__ == "__main__":
    print(main()[1])
