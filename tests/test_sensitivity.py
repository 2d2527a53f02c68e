"""The search by sensitivities: exact sums within budgets, measured architectures that may not be the result."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import nn

import sparsenas
from nets import seeds
from opening_nets import ResNet
from sparsenas import Arch, UserError, choices
from sparsenas.core.arch import every_arch
from sparsenas.core.choice import Choice
from sparsenas.costs import Budget, CostTable, Limits
from sparsenas.costs.factor import Factor
from sparsenas.costs.least_sum import SumWithin, cost_factors, least_sum
from sparsenas.methods import Sensitivity, SensitivityFlags
from sparsenas.methods.sensitivity import best_by_sum
from sparsenas.searching.evolution import Score, SearchProblem


@given(seeds)
def test_least_sum_is_that_of_all_combinations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"c{i}" for i in range(int(rng.integers(1, 5)))]
    numbers = {name: rng.normal(size=int(rng.integers(1, 4))) for name in names}

    def factor() -> Factor:
        own = tuple(rng.permutation(names)[: rng.integers(0, 4)].tolist())
        return Factor(own, rng.integers(0 if seed % 2 else -3, 9, [len(numbers[n]) for n in own]).astype(float))

    low = -math.inf if rng.random() < 0.5 else float(rng.integers(0, 6))
    bounds = [
        SumWithin([factor() for _ in range(rng.integers(1, 6))], low, float(rng.integers(3, 25)))
        for _ in range(rng.integers(0, 3))
    ]
    sums = {}
    for at in itertools.product(*(range(len(numbers[n])) for n in names)):
        chosen = dict(zip(names, at, strict=True))
        costs = [sum(f.values[tuple(chosen[n] for n in f.names)] for f in bound.factors) for bound in bounds]
        if all(bound.low <= cost <= bound.high for bound, cost in zip(bounds, costs, strict=True)):
            sums[at] = sum(numbers[n][i] for n, i in chosen.items())
    found = least_sum(numbers, bounds)
    assert (found is None) == (not sums)
    if found is not None:
        assert sums[tuple(found[n] for n in names)] == pytest.approx(min(sums.values()))


def small() -> tuple[nn.Module, CostTable]:
    torch.manual_seed(0)
    space = sparsenas.open(ResNet(8), torch.randn(1, 1, 8, 8), shares=(0.5, 1.0))
    return space, CostTable(space, (1, 8, 8))


def test_best_by_sum_is_the_best_of_all_architectures_of_an_opened_network() -> None:
    space, table = small()
    found, rng = choices(space), np.random.default_rng(0)
    every = list(every_arch(found))
    costs = table(every)
    full = {cost: float(values.max()) for cost, values in costs.items()}
    losses = {name: np.abs(rng.normal(size=len(choice.options))) for name, choice in found.items()}
    sums = table.encoding.encode(every) @ np.concatenate(list(losses.values()))
    for budgets in (
        [Budget("flops", at_most=0.5 * full["flops"])],
        [Budget("params", 0.3 * full["params"], 0.6 * full["params"]), Budget("flops", at_most=0.7 * full["flops"])],
    ):
        limits = Limits(table, budgets)
        assert all(cost_factors(table, budget.cost) is not None for budget in budgets)
        arch = best_by_sum(limits, losses)
        legal = np.array(limits.legal(every))
        assert legal[every.index(arch)]
        assert sums[every.index(arch)] == pytest.approx(sums[legal].min())


def searched(budget: float, seed: int, flags: SensitivityFlags) -> tuple[Limits, object, dict[Arch, Score]]:
    """A search whose losses are sums, up to a little noise."""
    space, table = small()
    full = max(table(list(every_arch(choices(space))))["flops"])
    limits = Limits(table, [Budget("flops", at_most=budget * full)])
    method = Sensitivity(limits.choices, limits, 0, flags)
    problem = SearchProblem(limits.choices, limits.draw, lambda a: [bool(x) for x in limits.legal(a)], lambda a: a)
    search = method.search(problem, np.random.default_rng(0))
    rng, told, planned = np.random.default_rng(seed), {}, search.planned
    worth = rng.random(table.encoding.width)
    while archs := search.ask():
        assert search.best is not None if search.measured else True
        losses = table.encoding.encode(archs) @ worth + 1e-3 * rng.normal(size=len(archs))
        scores = [Score(0.5, -float(loss)) for loss in losses]
        assert not set(archs) & told.keys()
        told |= dict(zip(archs, scores, strict=True))
        search.tell(archs, scores)
        assert ("still over" in search.best_is) == (not any(limits.legal(list(told))))
        assert len(told) <= search.planned <= planned
        planned = search.planned
    assert len(told) == search.planned
    every = list(every_arch(limits.choices))
    expected = min(table.encoding.encode([a for a, ok in zip(every, limits.legal(every), strict=True) if ok]) @ worth)
    assert -search.scores[search.best].tie == pytest.approx(expected, abs=0.02)
    return limits, search, told


@pytest.mark.parametrize("budget", [0.2, 0.5, 1.0])
def test_the_best_is_found_and_within_the_budget(budget: float) -> None:
    limits, search, told = searched(budget, 3, SensitivityFlags(rounds=1, proposals=5))
    options = sum(len(choice.options) - 1 for choice in limits.choices.values())
    assert len(told) <= 1 + options + 5
    assert all(limits.legal(list(search.scores)))
    assert budget == 1.0 or not all(limits.legal(list(told)))


def test_more_rounds_measure_around_the_best() -> None:
    _, search, told = searched(0.3, 5, SensitivityFlags(rounds=3, proposals=4))
    assert search.generation == 5


def test_later_rounds_measure_only_options_of_good_architectures() -> None:
    limits, search, told = searched(0.5, 3, SensitivityFlags(rounds=1, proposals=4))
    again = searched(0.5, 3, SensitivityFlags(rounds=2, proposals=4))[2]
    options = sum(len(choice.options) - 1 for choice in limits.choices.values())
    assert len(told) < len(again) < len(told) + options
    assert again.items() >= told.items()


def test_choices_that_keep_several_options_are_refused() -> None:
    space = sparsenas.open(ResNet(8), torch.randn(1, 1, 8, 8), groups=True, depth=False, kernels=False)
    limits = Limits(CostTable(space, (1, 8, 8), checks=2))
    with pytest.raises(UserError, match=r"--method sensitivity: expected one-of-n choices, choice 'stem.0' keeps 1 to"):
        Sensitivity(limits.choices, limits, 0)
    assert Choice("a", ("x",)).single


def test_flags_are_checked() -> None:
    with pytest.raises(UserError, match="rounds: expected >= 1, got 0"):
        SensitivityFlags(rounds=0)
