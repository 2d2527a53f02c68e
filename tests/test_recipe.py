"""The optimizer of a recipe is that of the textbook, whichever implementation is the fastest."""

from __future__ import annotations

import copy
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from sparsenas.core.elastic import SliceBatchNorm2d, Width
from sparsenas.core.quant_choice import QuantConv2d
from sparsenas.errors import UserError
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


@pytest.mark.parametrize("name", ["sgd", "adamw", "adagrad"])
def test_a_restored_optimizer_goes_on_the_same(name: str) -> None:
    recipe, net = Recipe(optimizer=name), nn.ModuleList([nn.Linear(3, 2), nn.Linear(3, 2)])
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


USABLE = ("adadelta", "adafactor", "adagrad", "adam", "adamax", "AdamW", "ASGD", "nadam", "radam", "rmsprop", "SGD")


def gradients(net: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for p in net.parameters():
        p.grad = torch.randn(p.shape, generator=generator)


@pytest.mark.parametrize("decay", ["weights", "all"])
@pytest.mark.parametrize("name", USABLE)
def test_optimizers_leave_alone_what_has_no_gradient(name: str, decay: Literal["weights", "all"]) -> None:
    recipe = Recipe(optimizer=name, lr=0.01, weight_decay=0.1, decay=decay)
    ran, left = nn.Linear(3, 2), nn.Linear(3, 2)
    optimizer = make_optimizer(recipe, nn.ModuleList([ran, left]))
    starts = [copy.deepcopy(layer.state_dict()) for layer in (ran, left)]
    states = [copy.deepcopy(optimizer.state[p]) for p in left.parameters() if p in optimizer.state]
    for _ in range(3):
        gradients(ran)
        optimizer.step()
    assert all(not torch.equal(p, starts[0][n]) for n, p in ran.named_parameters())
    assert all(torch.equal(p, starts[1][n]) for n, p in left.named_parameters())
    assert str(states) == str([optimizer.state[p] for p in left.parameters() if p in optimizer.state])


def test_adamw_is_that_of_the_paper() -> None:
    arguments = {"betas": [0.8, 0.95], "eps": "1e-3"}
    recipe = Recipe(optimizer="adamw", optimizer_args=arguments, lr=0.01, weight_decay=0.1)
    layer = nn.Linear(3, 2)
    expected = {n: p.detach().clone() for n, p in layer.named_parameters()}
    optimizer = make_optimizer(recipe, layer)
    first, second = ({n: torch.zeros_like(p) for n, p in expected.items()} for _ in range(2))
    for step in range(1, 6):
        gradients(layer)
        optimizer.step()
        for n, p in layer.named_parameters():
            assert p.grad is not None
            first[n] = 0.8 * first[n] + 0.2 * p.grad
            second[n] = 0.95 * second[n] + 0.05 * p.grad**2
            moved = (first[n] / (1 - 0.8**step)) / ((second[n] / (1 - 0.95**step)).sqrt() + 1e-3)
            decayed = expected[n] * (1 - 0.01 * 0.1) if p.dim() > 1 else expected[n]
            expected[n] = decayed - 0.01 * moved
    for n, p in layer.named_parameters():
        torch.testing.assert_close(p.detach(), expected[n])


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"optimizer": "adamv"}, "optimizer: expected one of adadelta, .*sgd, got adamv$"),
        ({"optimizer": "Optimizer"}, "optimizer: expected one of .*, got Optimizer$"),
        ({"optimizer": "LBFGS"}, "got LBFGS: it computes the loss several times"),
        ({"optimizer": "SparseAdam"}, "got SparseAdam: it takes sparse gradients"),
        ({"optimizer": "muon"}, "got muon: it takes matrices only"),
        ({"optimizer": "Rprop"}, "got Rprop: it needs"),
        ({"optimizer": "AdamW", "optimizer_args": {"beta": 1}}, "optimizer_args: expected arguments of AdamW, .*betas"),
        ({"optimizer": "AdamW", "optimizer_args": {"lr": 1}}, "optimizer_args: expected arguments of AdamW, .*got lr"),
        ({"optimizer_args": {"momentum": 0.9}}, "optimizer_args: expected .* of sgd, none, whose flags are momentum"),
        ({"optimizer": "adam", "optimizer_args": {"betas": [0.9, 2]}}, "does not take .*: Invalid beta"),
        ({"optimizer": "adam", "optimizer_args": {"betas": "fast"}}, "optimizer_args: adam does not take"),
        ({"optimizer": "adam", "optimizer_args": {"eps": "small"}}, "optimizer_args: adam does not take"),
        ({"accumulate": 0}, "accumulate: expected >= 1, got 0"),
        ({"distill_weight": 1.5}, "distill_weight: expected 0 <= distill_weight <= 1, got 1.5"),
        ({"distill_temperature": 0}, "distill_temperature: expected > 0, got 0"),
    ],
)
def test_refused_recipes(flags: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told) as error:
        Recipe(**flags)
    assert "\n" not in str(error.value)
