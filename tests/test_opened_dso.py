"""DSO-NAS on plain networks: thousands of units, a hard budget, a network that shrinks while it is searched."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

import sparsenas
from nets import seeds
from opening_nets import NETS, ResNet
from sparsenas import Arch, choices, derive, set_gates
from sparsenas.core.choice import Choice
from sparsenas.costs import Budget, CostTable, Limits, trace
from sparsenas.costs.layer import COSTS
from sparsenas.costs.space import sample_sizes
from sparsenas.data.sources.digits import digits
from sparsenas.distributed.fabric import Device
from sparsenas.methods import Dso, DsoFlags
from sparsenas.methods.dso.budget_controller import BudgetController
from sparsenas.objectives import Classification
from sparsenas.opening.opened import OpenedNetwork
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.spaces import dso
from sparsenas.testing import shaken
from sparsenas.training.loops import train_supernet
from sparsenas.training.recipe import Recipe

SHAPE = (1, 8, 8)


def opened(width: int = 8) -> OpenedNetwork:
    torch.manual_seed(0)
    return sparsenas.open(shaken(ResNet(width)), torch.randn(1, *SHAPE), groups=True)


SPACE = opened()
TABLE = CostTable(SPACE, SHAPE)
CELLS = CostTable(dso(width=4, depth=1, shape=SHAPE), SHAPE)
WHOLE = TABLE.exact(TABLE.fullest)["flops"]


def limits(**shares: float) -> Limits:
    return Limits(TABLE, [Budget(n, at_most=share * TABLE.exact(TABLE.fullest)[n]) for n, share in shares.items()])


@pytest.mark.parametrize("name", ["resnet", "dense", "mobile", "shuffle", "transformer", "resnext", "grouped"])
def test_costs_by_counts_are_those_of_the_derived_networks(name: str) -> None:
    torch.manual_seed(0)
    make, example = NETS[name]
    space = sparsenas.open(make(), example(), groups=True)
    one = example()[:1]
    table = CostTable(space, one, checks=4)
    assert table.count_costs is not None
    rng, found = np.random.default_rng(1), choices(space)
    archs = [sample_sizes(found, rng) for _ in range(5)]
    costs = table(archs)
    for i, arch in enumerate(archs):
        layers = trace(derive(space, arch.gates()), one)
        for cost in COSTS:
            assert costs[cost][i] == sum(COSTS[cost](layer) for layer in layers)


def test_kernels_and_blocks_stay_whole() -> None:
    assert all(choice.most == len(choice.options) > choice.least == 1 for choice in choices(SPACE).values())


def by_one(controller: BudgetController, row: np.ndarray, order: list[int], band: float) -> np.ndarray:
    """``BudgetController.drop``, one option after the other."""
    for option in order:
        if controller.met(row):
            break
        less = row.copy()
        less[option] = 0
        some = all(less[span].sum() >= least for span, least in controller.demands)
        if some and controller._high_enough(less) and controller.reach(less[None])[0] >= 1 - band:
            row = less
    return row


@given(seeds)
@settings(deadline=None, max_examples=6)
def test_dropping_many_at_once_is_dropping_one_by_one(seed: int) -> None:
    rng, table = np.random.default_rng(seed), (TABLE, CELLS)[seed % 2]
    whole = table.exact(table.fullest)
    low = 0.2 * whole["params"] if seed % 3 == 0 else 0.0
    budgets = [Budget("flops", at_most=float(rng.uniform(0.3, 0.9)) * whole["flops"]), Budget("params", at_least=low)]
    controller = BudgetController(Limits(table, budgets))
    row = np.ones(table.encoding.width)
    order = rng.permutation(len(row)).tolist()
    np.testing.assert_array_equal(controller.drop(row, order, 0.05), by_one(controller, row, order, 0.05))


def toy(method: Dso, seed: int, steps: int = 10) -> None:
    """A loss of the scales alone: 0.01 (scale - centre)^2, summed."""
    optimizer, scales = method.optimizer(), method.options.scales
    centre = torch.from_numpy(np.random.default_rng(seed).uniform(0, 1, len(scales))).float()
    for epoch in range(method.epochs):
        for step in range(steps):
            if method.takes_arch_step(epoch, epoch * steps + step):
                scales.grad = 0.02 * (scales.detach() - centre)
                optimizer.step()
        method.end_epoch(epoch)


@pytest.mark.parametrize(("share", "adapt"), [(0.5, "flops"), (0.25, "flops"), (0.5, "none"), (0.5, "memory_access")])
def test_a_budget_is_met_and_nearly_used(share: float, adapt: Any) -> None:
    method = Dso(TABLE.choices, limits(flops=share), 0, DsoFlags(pretrain=0, adapt=adapt), epochs=10)
    toy(method, 0)
    assert 0.93 * share * WHOLE <= TABLE.exact(method.final().arch)["flops"] <= share * WHOLE
    assert method.architecture_fixed_at() is not None


def test_several_budgets() -> None:
    bounds = limits(flops=0.5, params=0.3)
    method = Dso(TABLE.choices, bounds, 0, DsoFlags(pretrain=0), epochs=8)
    toy(method, 1)
    assert bounds.legal([method.final().arch])[0]


def test_penalties_follow_what_is_left_of_the_layers_of_a_choice() -> None:
    """Against traces of the layers: those whose shapes change with the choice."""
    from sparsenas.methods.dso.adaptive import Penalties

    rng = np.random.default_rng(0)
    arch = sample_sizes(TABLE.choices, rng)
    factors = Penalties(TABLE, "flops").at(TABLE.encoding.encode([arch])[0])

    def layers(a: Arch) -> list[tuple[tuple[int, ...], float]]:
        traced = trace(derive(SPACE, a.gates()), torch.zeros(1, *SHAPE))
        return [((*layer.inputs, *layer.output, *layer.weight), COSTS["flops"](layer)) for layer in traced]

    full, now = layers(TABLE.fullest), layers(arch)
    for name, choice in TABLE.choices.items():
        less = layers(TABLE.fullest.replace({name: tuple(range(len(choice.options) - 1))}))
        touched = [i for i, (one, other) in enumerate(zip(full, less, strict=True)) if one[0] != other[0]]
        expected = sum(now[i][1] for i in touched) / sum(full[i][1] for i in touched)
        np.testing.assert_allclose(factors[TABLE.encoding.span(name)], expected)


def test_thousands_of_units() -> None:
    """Nothing takes time or memory for the number of legal picks."""
    net = nn.Sequential(nn.Linear(8, 2048), nn.ReLU(), nn.Linear(2048, 1500), nn.ReLU(), nn.Linear(1500, 3))
    space = sparsenas.open(net, torch.randn(1, 8), groups=True)
    started = time.perf_counter()
    table = CostTable(space, (8,), checks=2)
    budget = Limits(table, [Budget("flops", at_most=0.3 * table.exact(table.fullest)["flops"])])
    arch = budget.draw(np.random.default_rng(0))
    assert arch is not None
    assert Arch.from_json(table.choices, arch.to_json()) == arch
    method = Dso(table.choices, budget, 0, DsoFlags(pretrain=0), epochs=4)
    toy(method, 0, steps=4)
    assert 0.95 <= table.exact(method.final().arch)["flops"] / budget.budgets[0].at_most <= 1
    assert time.perf_counter() - started < 30


@given(seeds)
@settings(max_examples=5)
def test_samples_of_many_options_are_uniform(seed: int) -> None:
    """Nearly all subsets of many options keep about half of them."""
    choice = Choice("many", tuple(map(str, range(1200))), 1, 1200)
    picks = choice.sample(np.random.default_rng(seed))
    assert 480 < len(picks) < 720


def test_digits_end_to_end(tmp_path: Path) -> None:
    """The network shrinks while it learns, meets its budget, and is found with its weights."""
    data, space = digits(), opened()
    bounds = limits(flops=0.4)
    method = Dso(bounds.choices, bounds, 0, DsoFlags(pretrain=0.25, prune_every=1), epochs=8)
    run, fabric = Run(tmp_path), Device("cpu").fabric()
    recipe, logger = Recipe(epochs=8, batch=64), RunLogger(run, quiet=True)
    train_supernet(fabric, space, method, data, Classification(10), recipe, 0, logger, Checkpoint(run, "supernet", 1e9))
    arch, gates = method.final()
    assert bounds.legal([arch])[0]
    assert TABLE.exact(arch)["flops"] >= 0.93 * 0.4 * WHOLE
    plain = derive(space, gates).eval()
    set_gates(space.eval(), method.gates())
    x = data.prepared(data.test.inputs, augment=False)
    with torch.no_grad():
        torch.testing.assert_close(space(x), plain(x), rtol=1e-4, atol=1e-4)
        assert float((plain(x).argmax(1) == data.test.targets).float().mean()) > 0.8
    assert sum(p.numel() for p in plain.parameters()) < 0.7 * sum(p.numel() for p in space.net.parameters())
