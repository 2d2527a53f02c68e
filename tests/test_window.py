"""Windows of costs that few architectures meet: found wherever one does, refused only where none does."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nets import seeds
from sparsenas.core.arch import Arch, every_arch
from sparsenas.core.choice import Choice, Choices
from sparsenas.core.elastic import SliceConv2d, Width
from sparsenas.core.gate import choices
from sparsenas.core.join import Join
from sparsenas.costs import Budget, CostTable, Limits, parse_budgets, sums
from sparsenas.costs.encoding import Encoding
from sparsenas.costs.model import AdditiveTerms
from sparsenas.costs.window import Window, find_window
from sparsenas.errors import UserError
from sparsenas.nn.blocks import conv_bn
from sparsenas.spaces import nasbench_macro, tiny

IMAGE = (3, 8, 8)
BOUNDS = [(1, 1), (1, 1), (1, 1), (2, 2), (0, 2), (1, 3)]


def random_terms(seed: int, costs: int, whole: bool) -> tuple[Encoding, list[AdditiveTerms]]:
    """Up to five choices, and random costs of them with terms for some pairs of one-of-n choices."""
    rng = np.random.default_rng(seed)
    names = [f"c{i}" for i in range(int(rng.integers(1, 6)))]
    found: Choices = {n: Choice(n, tuple("abc"), *BOUNDS[int(rng.integers(len(BOUNDS)))]) for n in names}
    encoding = Encoding(found)
    single = [name for name in names if found[name].single]
    meeting = [pair for pair in itertools.combinations(single, 2) if rng.random() < 0.4]

    def numbers(*shape: int) -> np.ndarray:
        return rng.integers(-3, 9, shape) * 6.0 if whole else rng.normal(size=shape)

    terms = []
    for _ in range(costs):
        pairs = np.zeros((encoding.width, encoding.width))
        for a, b in meeting:
            pairs[encoding.span(a), encoding.span(b)] = numbers(3, 3)
        terms.append(AdditiveTerms(float(numbers(1)[0]), numbers(encoding.width), pairs if meeting else None))
    return encoding, terms


def values_of(encoding: Encoding, terms: list[AdditiveTerms], archs: list[Arch]) -> np.ndarray:
    rows = encoding.encode(archs)
    return np.stack(
        [t.base + rows @ t.options + (0 if t.pairs is None else ((rows @ t.pairs) * rows).sum(1)) for t in terms], 1
    )


@settings(max_examples=150)
@given(seeds, st.integers(1, 3), st.booleans(), st.sampled_from([0.0, 3.0, 20.0]))
def test_a_window_has_the_architectures_within_its_bounds(seed: int, costs: int, whole: bool, radius: float) -> None:
    encoding, terms = random_terms(seed, costs, whole)
    archs = list(every_arch(encoding.choices))
    values = values_of(encoding, terms, archs)
    rng = np.random.default_rng(seed)
    centre = values[int(rng.integers(len(archs)))]
    bounds = [(float(value) - radius, float(value) + radius) for value in centre]
    within = (np.abs(values - centre) <= radius + (0 if whole else 1e-9)).all(axis=1)
    expected = {arch for arch, inside in zip(archs, within, strict=True) if inside}
    window = find_window(encoding, terms, bounds)
    assert window is not None
    assert window.complete
    found = list(window.every())
    assert len(found) == len(set(found)) == window.size
    assert set(found) == expected
    drawn = window.draw(rng)
    assert drawn in expected


@settings(max_examples=40)
@given(seeds, st.integers(1, 3))
def test_a_window_between_reachable_values_is_proven_empty(seed: int, costs: int) -> None:
    encoding, terms = random_terms(seed, costs, whole=True)
    values = values_of(encoding, terms, list(every_arch(encoding.choices)))
    bounds = [(float(v) + 1, float(v) + 5) for v in values[0]]  # all values are multiples of 6
    window = find_window(encoding, terms, bounds)
    assert window is not None
    assert window.complete
    assert window.size == 0
    assert window.draw(np.random.default_rng(0)) is None


def test_draws_from_a_window_are_uniform() -> None:
    encoding, terms = random_terms(11, 1, whole=True)
    window = find_window(encoding, terms, [(-np.inf, np.inf)])
    assert window is not None
    every, rng = list(window.every()), np.random.default_rng(0)
    assert set(every) == set(every_arch(encoding.choices))
    count = 200 * len(every)
    seen = dict.fromkeys(every, 0)
    for _ in range(count):
        drawn = window.draw(rng)
        assert drawn is not None
        seen[drawn] += 1
    assert max(abs(n - 200) for n in seen.values()) < 6 * 200**0.5


def test_with_too_many_sums_part_of_them_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"c{i}" for i in range(12)]
    encoding = Encoding({name: Choice(name, tuple("abcd")) for name in names})
    options = np.random.default_rng(0).integers(0, 10**6, encoding.width).astype(float)
    monkeypatch.setattr("sparsenas.costs.window.MOST_STATES", (100,))
    monkeypatch.setattr(sums, "MOST_ADDITIONS", 1000)
    low, high = 3e6, 9e6
    window = find_window(encoding, [AdditiveTerms(0.0, options)], [(low, high)])
    assert isinstance(window, Window)
    assert not window.complete
    for arch in itertools.islice(window.every(), 1000):
        assert low <= (encoding.encode([arch])[0] @ options) <= high


def layers(name: str) -> Join:
    return Join.of(name, {f"conv{k}": conv_bn(3, 3, k) for k in (1, 3, 5)})


def chain() -> nn.Module:
    a, b, c = (Width(name, (1, 2, 5)) for name in "abc")
    return nn.Sequential(SliceConv2d(3, a, 3), SliceConv2d(a, b, 3), SliceConv2d(b, c, 1), layers_of(c))


def layers_of(width: Width) -> Join:
    return Join.of("last", {f"conv{k}": nn.Sequential(SliceConv2d(width, 2, k, padding=k // 2)) for k in (1, 3)})


@pytest.mark.parametrize("space", [tiny, nasbench_macro, chain])
@pytest.mark.parametrize("costs", [("flops",), ("flops", "params"), ("params", "memory_access", "flops")])
def test_the_window_of_one_architecture_is_found(space: Callable[[], nn.Module], costs: tuple[str, ...]) -> None:
    net = space()
    shape = {tiny: (1, 8, 8), nasbench_macro: (3, 32, 32)}.get(space, IMAGE)  # type: ignore[call-overload]
    table, rng = CostTable(net, shape), np.random.default_rng(0)
    for _ in range(4):
        values = table.exact(Arch.sample(table.choices, rng))
        begun = time.perf_counter()
        limits = Limits(table, [Budget(cost, values[cost], values[cost]) for cost in costs])
        drawn = [limits.draw(rng) for _ in range(3)]
        assert time.perf_counter() - begun < 10
        for arch in drawn:
            assert arch is not None
            assert {cost: table.exact(arch)[cost] for cost in costs} == {cost: values[cost] for cost in costs}


def test_all_architectures_of_a_window_are_drawn_one_after_another() -> None:
    table = CostTable(nasbench_macro(), (3, 32, 32))
    values = table(list(every_arch(table.choices)))
    flops, counts = np.unique(values["flops"], return_counts=True)
    bound = float(flops[counts == 4][0])
    limits, rng, seen = Limits(table, [Budget("flops", bound, bound)]), np.random.default_rng(0), set[Arch]()
    while (arch := limits.draw(rng, lambda a: a not in seen)) is not None:
        seen.add(arch)
    assert len(seen) == 4


def test_a_refusal_of_costs_that_add_up_is_a_proof() -> None:
    table = CostTable(nn.Sequential(*(layers(f"l{i}") for i in range(6))), IMAGE)
    values = table(list(every_arch(table.choices)))
    between = sorted(set(values["flops"].tolist()))[3] + 1
    with pytest.raises(UserError, match=rf"no architecture of this space meets flops>={between:.0f} and .*$"):
        Limits(table, [Budget("flops", between, between)])
    low, high = np.quantile(values["flops"], 0.1), np.quantile(values["params"], 0.9)
    with pytest.raises(UserError, match="no architecture of this space meets flops<=.*, params>=.* at once$"):
        Limits(table, parse_budgets([f"flops<={low:.0f}", f"params>={high:.0f}"]))


def three_that_meet() -> nn.Module:
    a, b = Width("a", (2, 3)), Width("b", (1, 4, 5))
    ops = {f"conv{k}": nn.Sequential(SliceConv2d(a, b, k, padding=k // 2)) for k in (5, 1, 3)}
    return nn.Sequential(SliceConv2d(3, a, 1), Join.of("kernel", ops), SliceConv2d(b, 2, 1))


def test_small_spaces_whose_costs_do_not_add_up_are_listed() -> None:
    net = three_that_meet()
    table = CostTable(net, IMAGE)
    assert table.additive_terms("flops") is None
    for arch in every_arch(choices(net)):
        values = table.exact(arch)
        limits = Limits(table, [Budget(cost, values[cost], values[cost]) for cost in ("flops", "params")])
        assert limits.draw(np.random.default_rng(0)) == arch
    with pytest.raises(UserError, match="no architecture of this space meets"):
        Limits(table, [Budget("flops", table.exact(arch)["flops"] + 1, table.exact(arch)["flops"] + 1)])
