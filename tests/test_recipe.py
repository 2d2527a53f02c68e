"""The optimiser of a recipe is plain SGD, whichever implementation is the fastest."""

from __future__ import annotations

import copy
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from sparsenas.core.elastic import SliceBatchNorm2d, Width
from sparsenas.core.quant_choice import QuantConv2d
from sparsenas.spaces import tiny
from sparsenas.training.optimizers import make_optimizer
from sparsenas.training.recipe import Recipe


def reference_step(recipe: Recipe, net: nn.Module, momenta: dict[Tensor, Tensor]) -> None:
    """SGD as it is written in textbooks; a weight's momentum begins with its first gradient."""
    for p in net.parameters():
        if p.grad is not None:
            gradient = p.grad + recipe.weight_decay * p.data if p.dim() > 1 else p.grad
            old = momenta.get(p)
            momenta[p] = gradient.clone() if old is None else recipe.momentum * old + gradient
            step = gradient + recipe.momentum * momenta[p] if recipe.nesterov else momenta[p]
            p.data = p.data - recipe.lr * step


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [True, False])
def test_steps_equal_the_reference(momentum: float, nesterov: bool) -> None:
    recipe = Recipe(momentum=momentum, nesterov=nesterov and momentum > 0, weight_decay=0.01)
    ours, reference = (tiny(shape=(1, 8, 8)) for _ in range(2))
    reference.load_state_dict(ours.state_dict())
    optimizer, generator = make_optimizer(recipe, ours), torch.Generator().manual_seed(0)
    momenta: dict[Tensor, Tensor] = {}
    for _ in range(20):
        for p, q in zip(ours.parameters(), reference.parameters(), strict=True):
            drawn = torch.rand((), generator=generator) < 0.2  # so weights get their first gradients at different steps
            p.grad = torch.randn(p.shape, generator=generator) if drawn else None
            q.grad = p.grad
        optimizer.step()
        reference_step(recipe, reference, momenta)
    assert len(momenta) > 100
    for p, q in zip(ours.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(p, q)


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("weights", {"0.weight", "2.alpha", "2.layer.weight"}),
        ("scales", {"0.weight", "1.weight", "2.alpha", "2.layer.weight", "3.weight"}),
        ("all", {"0.weight", "0.bias", "1.weight", "1.bias", "2.alpha", "2.layer.weight", "3.weight", "3.bias"}),
    ],
)
def test_what_decays(decay: Literal["weights", "scales", "all"], expected: set[str]) -> None:
    width = Width("width", (2, 4))
    quantized = QuantConv2d(4, width, 1, (2, 2), bias=False)
    net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), quantized, SliceBatchNorm2d(width))
    start = {name: p.detach().clone() for name, p in net.named_parameters()}
    for parameter in net.parameters():
        parameter.data.add_(1)
        parameter.grad = torch.zeros_like(parameter)
    make_optimizer(Recipe(lr=0.1, weight_decay=0.01, momentum=0.0, decay=decay), net).step()
    now = dict(net.named_parameters())
    assert {name for name, p in start.items() if not torch.equal(p + 1, now[name])} == expected
    for name in expected:
        torch.testing.assert_close(now[name].detach(), (start[name] + 1) * (1 - 0.1 * 0.01))


def test_a_restored_optimizer_goes_on_the_same() -> None:
    recipe, net = Recipe(), nn.ModuleList([nn.Linear(3, 2), nn.Linear(3, 2)])
    optimizer = make_optimizer(recipe, net)
    net[0](torch.ones(1, 3)).sum().backward()
    optimizer.step()
    restored = make_optimizer(recipe, net)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    net[1](torch.ones(1, 3)).sum().backward()  # has had no gradient before
    before = [p.detach().clone() for p in net.parameters()]
    optimizer.step()
    after = [p.detach().clone() for p in net.parameters()]
    for p, old in zip(net.parameters(), before, strict=True):
        p.data.copy_(old)
    restored.step()
    assert all(torch.equal(p, new) for p, new in zip(net.parameters(), after, strict=True))
