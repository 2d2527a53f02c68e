"""Costs: counted as the papers count, looked up exactly, and bounded."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nets import SHAPE, additive, random_net, seeds, weighted
from sparsenas.core.arch import Arch, every_arch, space_size
from sparsenas.core.choice import Choice, Choices
from sparsenas.core.dag import Dag
from sparsenas.core.derive import derive
from sparsenas.core.elastic import SliceBatchNorm2d, SliceConv2d, SliceLinear, Width
from sparsenas.core.gate import Gate, choices, set_gates
from sparsenas.core.join import Join
from sparsenas.costs import COSTS, Budget, CostTable, Layer, parse_budgets, recorder, select, total, trace
from sparsenas.costs.additive import AdditiveCosts
from sparsenas.costs.extremes import minimise
from sparsenas.costs.factor import Factor
from sparsenas.costs.local_search import local_search, neighbours, options_of
from sparsenas.errors import UserError
from sparsenas.nn.blocks import Concat, Residual, Sum, conv_bn, inverted_residual
from sparsenas.spaces import darts, vit


def costs(net: nn.Module, shape: tuple[int, ...]) -> dict[str, float]:
    layers = trace(net, shape)
    return {name: total(cost, layers) for name, cost in COSTS.items()}


# What a trace sees.


@settings(max_examples=20)
@given(seeds)
def test_supernet_and_derived_network_cost_the_same(seed: int) -> None:
    net, rng = random_net(seed), np.random.default_rng(seed)
    gates = weighted(Arch.sample(choices(net), rng), rng)
    set_gates(net, gates)
    plain = derive(net, gates)
    assert trace(net, SHAPE) == trace(plain, SHAPE)
    assert total(COSTS["params"], trace(net, SHAPE)) == sum(p.numel() for p in plain.parameters())


@settings(max_examples=20)
@given(seeds)
def test_tracing_leaves_the_network_as_it_was(seed: int) -> None:
    net = random_net(seed).train()
    set_gates(net, Arch.sample(choices(net), np.random.default_rng(seed)).gates())
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    trace(net, SHAPE)
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


@pytest.mark.parametrize(
    ("layer", "shape", "flops"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), (3, 10, 12), 8 * 3 * 9 * 120),
        (nn.Conv2d(4, 8, (1, 5), stride=2, bias=False), (4, 9, 9), 8 * 4 * 5 * 5 * 3),
        (nn.Conv2d(6, 6, 5, padding=2, groups=6), (6, 7, 7), 6 * 25 * 49),
        (nn.Conv2d(6, 4, 3, padding=4, dilation=4, groups=2), (6, 8, 8), 4 * 3 * 9 * 64),
        (nn.ConvTranspose2d(4, 2, 2, stride=2), (4, 5, 5), 4 * 25 * 2 * 4),
        (nn.Linear(7, 5), (7,), 35),
        (nn.Linear(7, 5, bias=False), (3, 7), 3 * 35),
        (nn.MultiheadAttention(8, 2, batch_first=True), None, 4 * 8 * 8 * 6 + 2 * 6 * 6 * 8),
        (nn.MaxPool2d(2), (3, 8, 8), 0),
        (nn.BatchNorm2d(3), (3, 8, 8), 0),
        (nn.ReLU(), (3, 8, 8), 0),
    ],
)
def test_flops_are_multiply_adds(layer: nn.Module, shape: tuple[int, ...] | None, flops: int) -> None:
    class Attend(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(x, x, x)[0]
            return out

    net, shape = (layer, shape) if shape is not None else (Attend(), (6, 8))
    assert costs(net, shape)["flops"] == flops
    assert costs(net, shape)["params"] == sum(p.numel() for p in layer.parameters())


class Activated(nn.Module):
    """Convolutions between activations, which may overwrite their input, and between sums and products."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        kinds = (nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.ELU, nn.LeakyReLU, nn.SiLU, nn.GELU)
        acts = [kind(**({"inplace": in_place} if kind is not nn.GELU else {})) for kind in kinds]
        self.layers = nn.ModuleList(nn.Sequential(nn.Conv2d(n, n + 1, 3, padding=1), a) for n, a in enumerate(acts, 4))
        self.join = Join.of("last", {"pool": nn.AvgPool2d(2), "one": nn.Conv2d(11, 11, 2, stride=2)})

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            y = layer(x)
            y = y + y * y.mean((2, 3), keepdim=True) if y.shape[1] % 2 else y.clamp(-1, 1) * 2.0
            x = y.clamp_(min=0) + x[:, :1].expand_as(y)
        out: Tensor = self.join(x)
        return out


@pytest.mark.parametrize("name", ["random", "cells", "transformer", "activated", "activated in place"])
def test_results_known_beforehand_are_those_of_torch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, shape = {
        "random": lambda: (random_net(1), SHAPE),
        "cells": lambda: (darts(2, 3), (3, 8, 8)),
        "activated": lambda: (Activated(False), SHAPE),
        "activated in place": lambda: (Activated(True), SHAPE),
        "transformer": lambda: (vit((8, 12), (2, 3), (1.0, 2.0), (1, 2), 4, 2, shape=(3, 8, 8)), (3, 8, 8)),
    }[name]()
    found: list[list[Layer]] = []
    for arch in (Arch.sample(choices(net), np.random.default_rng(seed)) for seed in (0, 0, 1, 1)):
        if len(found) % 2:
            monkeypatch.setattr(recorder, "_SHORTCUTS", {})
        monkeypatch.setattr(sys.modules[trace.__module__], "with_numbers", None)  # a wrong shape is not tried again
        set_gates(net, arch.gates())
        found.append(trace(net, shape))
        monkeypatch.undo()
    assert found[0] == found[1] != found[2] == found[3]


def test_functional_code_is_seen_too() -> None:
    class Mine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = nn.Parameter(torch.zeros(4, 3, 3, 3))
            self.gain = nn.Parameter(torch.zeros(4, 1, 1))
            self.unused = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            y = torch.nn.functional.conv2d(x, self.kernel) * self.gain
            return y.mean((2, 3)) @ y.mean((2, 3)).t()

    found = costs(Mine(), (3, 5, 5))
    assert found["flops"] == 4 * 27 * 9 + 4
    assert found["params"] == 4 * 27 + 4 + 6


def test_parameters_used_twice_count_once_and_their_work_twice() -> None:
    conv = nn.Conv2d(3, 3, 1)
    found = costs(nn.Sequential(conv, nn.ReLU(), conv), (3, 4, 4))
    assert found["params"] == 12
    assert found["flops"] == 2 * 9 * 16


def test_tied_parameters_count_once() -> None:
    one, other = nn.Linear(4, 4), nn.Linear(4, 4, bias=False)
    other.weight = one.weight
    net = nn.Sequential(one, nn.ReLU(), Join.of("c", {"tied": other, "own": nn.Linear(4, 4)}))
    set_gates(net, {"c": Gate((0,))})
    assert costs(net, (4,))["params"] == 20
    table = CostTable(net, (4,))
    assert table.exact(Arch(table.choices, {"c": (0,)}))["params"] == 20


def test_memory_access_is_all_that_is_read_and_written() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2), nn.BatchNorm2d(5), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    conv = 3 * 9 * 9 + 5 * 4 * 4 + 5 * 3 * 9
    assert costs(net, (3, 9, 9))["memory_access"] == conv + 5 * 4 * 4 + 5
    assert costs(nn.Linear(7, 5), (7,))["memory_access"] == 7 + 5 + 35


def test_memory_access_gives_the_published_ratios() -> None:
    # DSO-NAS scales its penalties by these for 3x3 and 5x5 separable convolutions and poolings (eq. 10, CIFAR-10).
    def separable(kernel: int) -> nn.Module:
        wise = nn.Conv2d(96, 96, kernel, padding=kernel // 2, groups=96, bias=False)
        return nn.Sequential(wise, nn.Conv2d(96, 96, 1, bias=False), nn.BatchNorm2d(96), nn.ReLU())

    def pooling(pool: nn.Module) -> nn.Module:
        return nn.Sequential(pool, nn.BatchNorm2d(96))

    nets = [separable(3), separable(5), pooling(nn.MaxPool2d(3, 1, 1)), pooling(nn.AvgPool2d(3, 1, 1))]
    sep3, sep5, *pools = (costs(net, (96, 16, 16))["memory_access"] for net in nets)
    assert sep5 == 4 * 96 * 256 + 96 * 25 + 96 * 96
    assert sep3 / sep5 == pytest.approx(0.986, abs=5e-4)
    assert [pool / sep5 for pool in pools] == pytest.approx([0.447, 0.447], abs=5e-4)


def test_bitops_count_searched_layers_only() -> None:
    layer = Layer("conv2d", (1, 2, 4, 4), (1, 3, 4, 4), (3, 2, 1, 1), bits=(2, 4))
    plain = Layer("conv2d", (1, 2, 4, 4), (1, 3, 4, 4), (3, 2, 1, 1))
    assert total(COSTS["bitops"], [layer, plain]) == 3 * 2 * 16 * 2 * 4


def test_a_wrong_shape_gets_one_line() -> None:
    with pytest.raises(UserError, match=r"network does not run on an input of shape 4,8,8: [^\n]*$"):
        trace(nn.Conv2d(3, 3, 3), (4, 8, 8))
    with pytest.raises(UserError, match="shape 3,1,1"):
        CostTable(nn.Conv2d(3, 3, 3), (3, 1, 1))


# Tables.


def layer_choice(name: str, inputs: int, outputs: int, stride: int = 1) -> Join:
    ops = {
        "skip": conv_bn(inputs, outputs, 1, stride),
        "mb3": inverted_residual(inputs, outputs, 3, 2, stride),
        "conv5": conv_bn(inputs, outputs, 5, stride),
    }
    return Join.of(name, ops)


def choices_of_layers() -> nn.Module:
    return nn.Sequential(layer_choice("a", 3, 4), layer_choice("b", 4, 6, 2), layer_choice("c", 6, 6), nn.Flatten())


def widths_in_joins() -> nn.Module:
    blocks = []
    for i in range(2):
        middle = Width(f"block{i}.width", (2, 3, 8))
        body = nn.Sequential(SliceConv2d(3, middle, 3, padding=1), SliceBatchNorm2d(middle), SliceConv2d(middle, 3, 1))
        blocks.append(Join.of(f"block{i}", {"skip": nn.Identity(), "conv": Residual(body), "plain": conv_bn(3, 3, 3)}))
    return nn.Sequential(*blocks)


def one_rare_nested_choice() -> nn.Module:
    # Which inner operation runs matters for one option in nine: random checks could miss it.
    inner = Join.of("inner", {"small": conv_bn(3, 3, 1), "large": conv_bn(3, 3, 7)})
    ops: dict[str, nn.Module] = {f"conv{i}": conv_bn(3, 3, 1) for i in range(8)}
    return Join.of("outer", {**ops, "nested": inner})


def chain_of_widths() -> nn.Module:
    a, b, c = Width("a", (1, 5)), Width("b", (2, 3, 4)), Width("c", (2, 9))
    convs = (SliceConv2d(3, a, 3), SliceConv2d(a, b, 3), SliceBatchNorm2d(b), SliceConv2d(b, c, 1))
    return nn.Sequential(*convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), SliceLinear(c, 10))


def several_at_once() -> nn.Module:
    def ops() -> dict[str, nn.Module]:
        return {f"conv{k}": nn.Conv2d(3, 3, k, padding=k // 2) for k in (1, 3, 5, 7)}

    bounds = [(1, 2), (2, 2), (3, 4), (4, 4)]
    return nn.Sequential(*(Join.of(f"join{low}{high}", ops(), low, high) for low, high in bounds))


def tied() -> nn.Module:
    return nn.Sequential(layer_choice("cell", 3, 4), layer_choice("cell", 4, 4), layer_choice("other", 4, 4))


def cells_with_every_node_live() -> nn.Module:
    def node(name: str, sources: tuple[int, ...]) -> Join:
        labels = tuple(f"{op}{s}" for s in sources for op in ("sep", "pool"))
        ops = [op for _ in sources for op in (nn.Conv2d(3, 3, 3, padding=1), nn.MaxPool2d(3, 1, 1))]
        return Join(Choice(name, labels, 2, 2), ops, [s for s in sources for _ in range(2)])

    return Dag(1, [node("n1", (0,)), node("n2", (0, 1))], Concat([1, 2]))


def cell_with_dead_nodes() -> nn.Module:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()

            def edges(name: str, sources: int) -> Join:
                labels = tuple(map(str, range(sources)))
                return Join(Choice(name, labels, 0, sources), [nn.Identity() for _ in labels], range(sources))

            nodes = [nn.Conv2d(3, 3, k, padding=k // 2) for k in (1, 3)]
            self.dag = Dag(1, [edges(f"n{i}", i + 1) for i in range(2)], edges("out", 3), nodes)

        def forward(self, x: Tensor) -> Tensor:
            y = self.dag(x)
            return x if y is None else x + y

    return Block()


def three_that_meet() -> nn.Module:
    a, b = Width("a", (2, 3)), Width("b", (1, 4, 5))
    ops = {f"conv{k}": nn.Sequential(SliceConv2d(a, b, k, padding=k // 2)) for k in (5, 1, 3)}
    return nn.Sequential(SliceConv2d(3, a, 1), Join.of("kernel", ops), SliceConv2d(b, 2, 1))


def no_choice() -> nn.Module:
    return conv_bn(3, 3, 3)


ADDITIVE = [
    choices_of_layers,
    widths_in_joins,
    one_rare_nested_choice,
    chain_of_widths,
    several_at_once,
    tied,
    cells_with_every_node_live,
    no_choice,
]
NOT_ADDITIVE = [cell_with_dead_nodes, three_that_meet]
IMAGE = (3, 8, 8)


def truth(table: CostTable, net: nn.Module, archs: list[Arch]) -> dict[str, list[float]]:
    found = []
    for arch in archs:
        set_gates(net, arch.gates())
        found.append(costs(net, IMAGE))
    return {name: [each[name] for each in found] for name in COSTS}


@pytest.mark.parametrize("space", ADDITIVE + NOT_ADDITIVE)
def test_the_table_is_exact_everywhere(space: Callable[[], nn.Module]) -> None:
    net = space()
    table = CostTable(net, IMAGE)
    archs = list(every_arch(choices(net)))
    found, expected = table(archs), truth(table, net, archs)
    assert {name: values.tolist() for name, values in found.items()} == expected
    assert table.exact(archs[-1]) == {name: values[-1] for name, values in expected.items()}
    assert all(additive(table)) == (space in ADDITIVE)


@pytest.mark.parametrize("space", ADDITIVE)
def test_an_additive_space_needs_few_traces(space: Callable[[], nn.Module]) -> None:
    net = space()
    table = CostTable(net, IMAGE)
    table.models  # noqa: B018  fills the table
    traced = len(table._space.traced)
    table([Arch.sample(table.choices, np.random.default_rng(seed)) for seed in range(100)])
    assert len(table._space.traced) == traced


def test_what_random_checks_may_miss_is_looked_for() -> None:
    net = one_rare_nested_choice()
    table = CostTable(net, IMAGE, checks=0)
    archs = list(every_arch(choices(net)))
    assert table(archs)["flops"].tolist() == truth(table, net, archs)["flops"]

    # A node that dies only when two choices, each harmless alone, are both empty.
    edges = [Join(Choice(f"edge{i}", ("node",), 0, 1), [nn.Identity()], [1]) for i in range(2)]
    out = Join(Choice("out", ("in", "a", "b"), 3, 3), [nn.Identity()] * 3, [0, 2, 3])
    dag = Dag(1, [Sum([nn.Identity()], [0]), *edges], out, [conv_bn(3, 3, 3), nn.Identity(), nn.Identity()])
    table = CostTable(dag, IMAGE, checks=0)
    assert additive(table) == [False, False, False, True]
    low, high = (table.exact(arch)["flops"] for arch in table.extremes("flops"))
    assert (low, high) == (0, 81 * 64)


def test_a_large_cell_is_given_up_early() -> None:
    net = cell_with_dead_nodes()
    table = CostTable(nn.Sequential(net, *(layer_choice(f"l{i}", 3, 3) for i in range(20))), IMAGE)
    assert not any(additive(table))
    assert len(table._space.traced) <= 10


@pytest.mark.parametrize("space", ADDITIVE + NOT_ADDITIVE)
@pytest.mark.parametrize("cost", ["flops", "params", "memory_access", "bitops"])
def test_extremes_are_the_cheapest_and_the_dearest(space: Callable[[], nn.Module], cost: str) -> None:
    net = space()
    table = CostTable(net, IMAGE)
    values = table(list(every_arch(choices(net))))[cost]
    low, high = (table.exact(arch)[cost] for arch in table.extremes(cost))
    assert (low, high) == (values.min(), values.max())


def test_a_cost_that_is_no_whole_number_is_looked_up_to_rounding() -> None:
    net = choices_of_layers()
    table = CostTable(net, IMAGE, {"ms": lambda layer: 0.1 * layer.params + 1e-3})
    archs = list(every_arch(choices(net)))
    assert all(additive(table))
    found = table(archs)["ms"]
    for arch, value in zip(archs, found, strict=True):
        set_gates(net, arch.gates())
        assert value == pytest.approx(total(table.costs["ms"], trace(net, IMAGE)), rel=1e-12)


@given(st.integers(1, 6), seeds)
def test_elimination_finds_the_least_sum(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"n{i}" for i in range(n)]
    sizes = dict(zip(names, rng.integers(1, 4, n), strict=True))
    pairs = [pair for pair in itertools.combinations(names, 2) if rng.random() < 0.5]
    factors = [Factor(f, rng.normal(size=[sizes[x] for x in f])) for f in [*((x,) for x in names), *pairs]]

    def value(answer: dict[str, int]) -> float:
        return float(sum(factor.values[tuple(answer[name] for name in factor.names)] for factor in factors))

    every = [dict(zip(names, picks, strict=True)) for picks in itertools.product(*map(range, sizes.values()))]
    found = minimise(factors)
    assert found is not None
    assert value(found) == pytest.approx(min(map(value, every)))


def test_elimination_takes_long_chains_and_refuses_large_knots() -> None:
    rng = np.random.default_rng(0)
    names = [f"n{i:02}" for i in range(60)]
    chain = [Factor(pair, rng.normal(size=(8, 8))) for pair in itertools.pairwise(names)]
    found = minimise(chain)
    assert found is not None
    assert found.keys() == set(names)
    knot = [Factor(pair, rng.normal(size=(8, 8))) for pair in itertools.combinations(names[:12], 2)]
    assert minimise(knot) is None


def test_a_population_is_looked_up_in_no_time() -> None:
    net = nn.Sequential(*(layer_choice(f"l{i}", 3, 3) for i in range(20)))
    assert space_size(choices(net)) == 3**20
    table = CostTable(net, IMAGE)
    archs = [Arch.sample(table.choices, np.random.default_rng(seed)) for seed in range(50)]
    found = table(archs)["flops"]
    sample = archs[17]
    set_gates(net, sample.gates())
    assert found[17] == costs(net, IMAGE)["flops"]
    assert table([])["flops"].shape == (0,)


def test_architectures_are_encoded_and_decoded() -> None:
    encoding = CostTable(several_at_once(), IMAGE).encoding
    archs = list(every_arch(encoding.choices))
    rows = encoding.encode(archs)
    assert rows.shape == (len(archs), encoding.width)
    assert encoding.decode_all(rows) == [encoding.decode(row) for row in rows] == archs
    drawn, sampled = np.random.default_rng(1), np.random.default_rng(1)
    expected = encoding.encode([Arch.sample(encoding.choices, sampled) for _ in range(5)])
    assert np.array_equal(encoding.draw(drawn, 5), expected)


@pytest.mark.parametrize("space", ADDITIVE + NOT_ADDITIVE)
def test_each_cost_has_the_first_strategy_that_is_exact(
    space: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exact strategies, and a strategy that is wrong, give the same costs: it is refused."""
    net = space()
    archs = list(every_arch(choices(net)))
    expected = CostTable(net, IMAGE)(archs)
    exact = CostTable(net, IMAGE)
    wrong = AdditiveCosts(exact.encoding, np.ones(len(COSTS)), np.zeros((exact.encoding.width, len(COSTS))))
    monkeypatch.setattr(select, "LOOKUPS", (lambda *_: None, lambda *_: wrong))
    assert not any(additive(exact))
    assert {name: values.tolist() for name, values in exact(archs).items()} == {
        name: values.tolist() for name, values in expected.items()
    }


# Local search.


def separable(seed: int) -> tuple[Choices, Callable[[Sequence[Arch]], list[float]]]:
    """Some choices and a sum over options, whose only local optimum under ``neighbours`` is the least sum."""
    rng = np.random.default_rng(seed)
    bounds = [(1, 1), (0, 3), (2, 2), (1, 3)]
    choices = {f"c{i}": Choice(f"c{i}", tuple("abcd"), *b) for i, b in enumerate(bounds)}
    values = {name: rng.normal(size=4) for name in choices}
    return choices, lambda archs: [float(sum(values[n][list(p)].sum() for n, p in arch.items())) for arch in archs]


@given(seeds)
def test_local_search_ends_where_no_neighbour_is_better(seed: int) -> None:
    choices, evaluate = separable(seed)
    start = Arch.sample(choices, np.random.default_rng(seed))
    [value] = evaluate([start])
    found, least = local_search(start, value, [neighbours], evaluate)
    assert evaluate([found]) == [least]
    assert least <= value
    assert min(evaluate(neighbours(found))) >= least
    assert least == pytest.approx(min(evaluate(list(every_arch(choices)))))


@given(seeds)
def test_local_search_over_options_sets_one_choice_at_a_time(seed: int) -> None:
    choices, evaluate = separable(seed)
    start = Arch.sample(choices, np.random.default_rng(seed))
    found, _ = local_search(start, evaluate([start])[0], [options_of("c0"), options_of("c2")], evaluate)
    best = {
        name: min(choices[name].every(), key=lambda p: evaluate([start.replace({name: p})])) for name in ("c0", "c2")
    }
    assert found == start.replace(best)


def test_local_search_ends_early_where_that_is_enough_or_nothing_moves() -> None:
    choices, evaluate = separable(0)
    start = Arch.sample(choices, np.random.default_rng(0))
    assert local_search(start, 0.0, [neighbours], evaluate, enough=0.0) == (start, 0.0)
    assert local_search(start, 0.0, [lambda _: []], evaluate) == (start, 0.0)
    assert local_search(start, 0.0, [], evaluate) == (start, 0.0)


# Budgets.


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("flops<=330e6", Budget("flops", 0, 330e6)),
        ("flops <= 330M", Budget("flops", 0, 330e6)),
        ("params>=1_000k", Budget("params", 1e6)),
        ("memory_access<=2.5G", Budget("memory_access", 0, 2.5e9)),
        ("bitops>=0", Budget("bitops", 0)),
    ],
)
def test_budgets_are_read(text: str, budget: Budget) -> None:
    assert Budget.parse(text) == budget


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flops<330e6", "expected COST<=NUMBER"),
        ("flops=330e6", "expected COST<=NUMBER"),
        ("flops<=", "expected COST<=NUMBER"),
        ("flops<=-1", "expected COST<=NUMBER"),
        ("flops<=1__0", "expected COST<=NUMBER"),
        ("flops<=1_", "expected COST<=NUMBER"),
        ("flops<=10T", "expected COST<=NUMBER"),
        ("flops<=1e6<=2", "expected COST<=NUMBER"),
        ("flop<=1e6", "expected one of the costs flops, params, memory_access, bitops, or your own by --cost, got"),
        ("macs<=1e6", "got 'macs'; flops are multiply-adds"),
    ],
)
def test_unreadable_budgets_name_the_flag(text: str, message: str) -> None:
    with pytest.raises(UserError, match="--budget") as caught:
        Budget.parse(text)
    assert message in str(caught.value)
    assert repr(text) in str(caught.value)


@given(st.text(alphabet="flops<>=0123456789_.eE+-kMG ", max_size=14))
def test_budgets_are_read_or_refused(text: str) -> None:
    try:
        budget = Budget.parse(text)
    except UserError:
        return
    assert budget.cost == "flops"


@settings(max_examples=200)
@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_budget_includes_its_bounds(low: int, high: int, value: int) -> None:
    budgets = [f"flops>={low}", "params<=5", f"flops<={high}"]
    if low > high:
        with pytest.raises(UserError, match="flops cannot be >="):
            parse_budgets(budgets)
        return
    flops, params = parse_budgets(budgets)
    assert flops.allows(value) == (low <= value <= high)
    assert flops.allows(low)
    assert flops.allows(high)
    assert params == Budget("params", 0, 5)


def test_the_tightest_of_several_bounds_holds() -> None:
    assert parse_budgets(["flops<=9", "flops<=5", "flops>=1", "flops>=2"]) == [Budget("flops", 2, 5)]
    assert parse_budgets([]) == []


def test_budgets_print_as_they_are_written() -> None:
    assert str(Budget("flops", 1e6, 3.3e8)) == "flops>=1000000 and flops<=330000000"
    assert str(Budget("params", at_most=math.inf)) == "any params"
    assert Budget.parse(str(Budget("params", 0, 123456))) == Budget("params", 0, 123456)


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_the_bounds_of_a_printed_budget_are_read_back(low: int, high: int) -> None:
    expected = [Budget("flops", at_least=low)] if low else []
    assert Budget.parse_bounds(str(Budget("flops", low, high))) == [*expected, Budget("flops", at_most=high)]
    with pytest.raises(UserError, match="expected COST<=NUMBER"):
        Budget.parse_bounds("any flops")


def test_gates_of_one_choice_are_enough_to_trace() -> None:
    net = tied()
    set_gates(net, {"cell": Gate((1,)), "other": Gate((0,))})
    assert total(COSTS["flops"], trace(net, IMAGE)) > 0
