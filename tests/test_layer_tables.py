"""Costs where widths are shared, blocks may be skipped and inputs are concatenated: by layer, exactly."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from tests.nets import random_net, seeds
from torch import Tensor, nn
from torch.nn import functional as F

from sparsenas.core.arch import Arch, every_arch
from sparsenas.core.choice import Choice
from sparsenas.core.dag import Dag
from sparsenas.core.derive import Derivable, Replacements
from sparsenas.core.elastic import SliceBatchNorm2d, SliceConv2d, Width, now
from sparsenas.core.gate import Gate, Gated, choices, set_gates
from sparsenas.core.join import Join
from sparsenas.core.quant_choice import Bits, QuantConv2d
from sparsenas.costs import COSTS, CostTable, Layer, Limits, parse_budgets
from sparsenas.costs.factors import FactorCosts
from sparsenas.costs.layer_tables import layer_tables
from sparsenas.costs.space import TracedSpace
from sparsenas.costs.trace import trace_origins
from sparsenas.errors import UserError
from sparsenas.nn.blocks import Sum
from sparsenas.nn.clone import on_meta
from sparsenas.testing import check_space

IMAGE = (3, 8, 8)


class Block(nn.Module):
    """Two convolutions and a shortcut; its pooling is no module."""

    def __init__(self, inputs: Width, middle: Width, outputs: Width, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.norm1 = SliceConv2d(inputs, middle, 3, 1, 1, bias=False), SliceBatchNorm2d(middle)
        self.conv2, self.norm2 = SliceConv2d(middle, outputs, 3, 1, 1), SliceBatchNorm2d(outputs)
        self.shortcut = nn.Identity() if inputs is outputs else SliceConv2d(inputs, outputs, 1)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))) + self.shortcut(x)
        return F.avg_pool2d(y, self.stride) if self.stride > 1 else y


def residual() -> nn.Module:
    one, two = Width("one", (1, 2, 4)), Width("two", (3, 6))
    return nn.Sequential(
        SliceConv2d(3, one, 3, 1, 1),
        *(Join.of(f"skip{i}", {"block": Block(one, Width(f"m{i}", (2, 5)), one), "skip": nn.Identity()}) for i in "ab"),
        Block(one, Width("mc", (1, 3)), two, 2),
        nn.Flatten(),
        SliceLinearOfPositions(two, 16, 5),
    )


class SliceLinearOfPositions(Derivable):
    """A linear layer on all positions of a ``Width`` of channels."""

    def __init__(self, channels: Width, positions: int, outputs: int) -> None:
        super().__init__()
        self.channels, self.positions = channels, positions
        self.full = nn.Linear(channels.values[-1] * positions, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.full.weight[:, : self.channels.value * self.positions], self.full.bias)

    def derived(self) -> nn.Module:
        linear = nn.Linear(self.channels.value * self.positions, self.full.out_features)
        linear.weight = nn.Parameter(self.full.weight[:, : linear.in_features].detach().clone())
        linear.bias = nn.Parameter(self.full.bias.detach().clone())
        return linear


class ConcatConv(Derivable):
    """A convolution without padding whose input is a concatenation of several widths."""

    def __init__(self, inputs: Sequence[Width], outputs: Width) -> None:
        super().__init__()
        self.inputs, self.outputs = nn.ModuleList(inputs), outputs
        self.full = nn.Conv2d(sum(width.values[-1] for width in inputs), outputs.values[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, *self._slices())

    def _slices(self) -> tuple[Tensor, Tensor]:
        starts = np.cumsum([0, *(width.values[-1] for width in self.inputs)]).tolist()
        kept = [s + i for s, width in zip(starts, self.inputs, strict=False) for i in range(width.value)]
        return self.full.weight[: self.outputs.value, kept], self.full.bias[: self.outputs.value]

    def derived(self) -> nn.Module:
        weight, bias = (nn.Parameter(part.detach().clone()) for part in self._slices())
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
        conv.weight, conv.bias = weight, bias
        return conv


class Dense(nn.Module):
    """Every layer reads all before it."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        widths = [Width(f"w{i}", (1, 3, 4)) for i in range(layers)]
        self.first = SliceConv2d(3, widths[0], 3)
        self.rest = nn.ModuleList(ConcatConv(widths[: i + 1], widths[i + 1]) for i in range(layers - 1))
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for layer in self.rest:
            x = torch.cat([x, layer(x)], dim=1)
        return self.pool(x)


def dense() -> nn.Module:
    return Dense(4)


class Branches(nn.Module):
    """Four branches, then a layer on all of them."""

    def __init__(self) -> None:
        super().__init__()
        widths = [Width(f"w{i}", (i + 1, 2 * i + 4, 9 + i)) for i in range(4)]
        self.branches = nn.ModuleList(SliceConv2d(3, width, 3, 1, 1) for width in widths)
        self.last = ConcatConv(widths, Width("last", (2, 4)))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(torch.cat([branch(x) for branch in self.branches], dim=1))
        return y


def nested() -> nn.Module:
    def inner(i: int) -> nn.Module:
        middle = Width(f"inner{i}", (2, 3))
        ops = {str(k): nn.Sequential(SliceConv2d(3, middle, k, 1, k // 2), SliceConv2d(middle, 3, 1)) for k in (1, 3)}
        return Join.of(f"kernel{i}", {**ops, "none": nn.Identity()})

    parts = [Join.of(f"outer{i}", {"inner": inner(i), "pool": nn.MaxPool2d(3, 1, 1)}) for i in range(2)]
    return nn.Sequential(*parts, QuantConv2d(3, 4, 1, bits=Bits("bits", ((1, 2), (4, 4), (2, 8)))))


class Skip(Gated):
    """Whether a part of a network of the user's own class runs; no module of the library."""


class Kept(Gated):
    """How many hidden channels are kept, of those that may each go."""


class Opened(Derivable):
    """A network of the user's own class, which is cut as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.Conv2d(4, 6, 3, 1, 1), nn.Conv2d(6, 4, 1)))
        self.skip, self.kept = Skip(Choice("skip", ("run", "skip"))), Kept(Choice("kept", tuple("abcdef"), 1, 6))

    def derived(self) -> nn.Module:
        net, picks = copy.deepcopy(self.net), list(self.kept.gate.picks)
        if self.skip.gate.picks == (1,):
            net[1] = nn.Identity()
        else:
            first, second = nn.Conv2d(4, len(picks), 3, 1, 1), nn.Conv2d(len(picks), 4, 1)
            first.weight, first.bias = (nn.Parameter(p.detach()[picks].clone()) for p in net[1][0].parameters())
            second.weight, second.bias = nn.Parameter(net[1][1].weight.detach()[:, picks].clone()), net[1][1].bias
            net[1] = nn.Sequential(first, second)
        return net

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.derived().train(self.training)(x)
        return y


SPACES = [residual, dense, Branches, nested, Opened]


def found(net: nn.Module, costs: dict[str, Callable[..., float]] | None = None) -> FactorCosts | None:
    return layer_tables(TracedSpace(net, IMAGE, costs or COSTS, checks=24, seed=0))


@pytest.mark.parametrize("space", SPACES)
def test_every_architecture_has_the_costs_of_its_trace(space: Callable[[], nn.Module]) -> None:
    table = CostTable(space(), IMAGE)
    archs = list(every_arch(table.choices))
    archs = [archs[int(i)] for i in np.random.default_rng(1).permutation(len(archs))[:100]]
    values = table(archs)
    assert isinstance(table._exact, FactorCosts)
    assert [{name: float(column[i]) for name, column in values.items()} for i in range(len(archs))] == [
        table.exact(arch) for arch in archs
    ]


@pytest.mark.parametrize("space", SPACES)
def test_the_promises_of_a_space_hold(space: Callable[[], nn.Module]) -> None:
    check_space(space, IMAGE, archs=8)


@pytest.mark.parametrize("space", [residual, dense, nested])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_cheapest_is_the_first_of_all(space: Callable[[], nn.Module], sign: int) -> None:
    table = CostTable(space(), IMAGE)
    model, archs = table._exact, list(every_arch(table.choices))
    values = sign * model(table.encoding.encode(archs))
    for cost in range(len(COSTS)):
        best = model.cheapest(cost, sign)
        assert best is not None
        assert sign * model(table.encoding.encode([best]))[0, cost] == values[:, cost].min()


@settings(max_examples=20)
@given(seed=seeds)
def test_where_it_applies_it_is_exact(seed: int) -> None:
    rng, space = np.random.default_rng(seed), TracedSpace(random_net(seed), (4, 5, 5), COSTS, checks=0, seed=0)
    model, archs = layer_tables(space), [Arch.sample(space.choices, rng) for _ in range(4)]
    if model is not None:
        assert model(space.encoding.encode(archs)).tolist() == [space.trace(arch).tolist() for arch in archs]


def test_a_sum_over_many_widths_takes_one_table_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = found(dense())
    monkeypatch.setattr("sparsenas.costs.tabulate.MOST_ENTRIES", 9)
    parts = found(dense())
    assert whole is not None
    assert parts is not None
    assert max(len(factor.names) for factor in whole.factors) > 2
    assert max(len(factor.names) for factor in parts.factors) == 2
    rows = whole.encoding.encode(list(every_arch(whole.encoding.choices)))
    assert np.array_equal(whole(rows), parts(rows))


def test_a_cost_that_does_not_add_up_over_such_a_sum_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparsenas.costs.tabulate.MOST_ENTRIES", 9)
    assert found(dense(), {"squares": lambda layer: float(np.prod(layer.inputs)) ** 2}) is None


def test_a_cost_of_ones_own_need_not_know_every_layer() -> None:
    def picky(layer: Layer) -> float:
        if layer.op == "conv2d" and layer.output[1] == 5:
            raise UserError("no time for it")
        return 1.0

    assert found(residual(), {"picky": picky}) is None


def two_options_share() -> nn.Module:
    width, conv = Width("w", (1, 3)), nn.Conv2d(3, 3, 1)
    ops = {"once": conv, "twice": nn.Sequential(conv, nn.ReLU(), conv)}
    return nn.Sequential(Join.of("times", ops), SliceConv2d(3, width, 1))


def cell_with_width() -> nn.Module:
    join = Join(Choice("edge", ("a",), 0, 1), [nn.Identity()])
    dag = Dag(1, [join], Sum([nn.Identity(), nn.Identity()], [0, 1]), [nn.Conv2d(3, 3, 1)])
    return nn.Sequential(dag, SliceConv2d(3, Width("w", (1, 3)), 1))


def several() -> nn.Module:
    join = Join.of("ops", {"a": nn.Conv2d(3, 3, 1), "b": nn.Conv2d(3, 3, 3, 1, 1)}, 1, 2)
    return nn.Sequential(join, SliceConv2d(3, Width("w", (1, 3)), 1))


@pytest.mark.parametrize("space", [two_options_share, cell_with_width, several])
def test_where_it_does_not_apply_costs_are_exact_all_the_same(space: Callable[[], nn.Module]) -> None:
    table = CostTable(space(), IMAGE)
    assert found(space()) is None
    for arch in every_arch(table.choices):
        assert {name: float(values[0]) for name, values in table([arch]).items()} == table.exact(arch)


@pytest.mark.parametrize("bound", ["flops<=4464", "flops<=8e3", "flops>=60e3"])
def test_draws_within_a_budget_are_uniform_where_few_are_legal(bound: str) -> None:
    table = CostTable(residual(), IMAGE)
    limits, archs, rng = (
        Limits(table, parse_budgets([bound])),
        list(every_arch(table.choices)),
        np.random.default_rng(0),
    )
    legal = {arch for arch, meets in zip(archs, limits.legal(archs), strict=True) if meets}
    assert limits._sampler is not None
    drawn = [limits.draw(rng) for _ in range(40 * len(legal))]
    counts = [drawn.count(arch) for arch in legal]
    assert set(drawn) == legal
    assert ((np.array(counts) - 40) ** 2 / 40).sum() < len(legal) + 5 * np.sqrt(2 * len(legal)) + 5


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_replacements_that_are_kept_give_the_layers_of_new_ones(seed: int) -> None:
    rng, net, kept = np.random.default_rng(seed), on_meta(residual()), Replacements()
    for _ in range(6):
        set_gates(net, Arch.sample(choices(net), rng).gates())
        assert trace_origins(net, (1, *IMAGE), kept) == trace_origins(net, (1, *IMAGE), Replacements())


def test_a_layer_is_replaced_once_for_the_same_picks(monkeypatch: pytest.MonkeyPatch) -> None:
    width, made = Width("w", (2, 4)), []
    conv, kept = SliceConv2d(3, width, 1), Replacements()
    monkeypatch.setattr(SliceConv2d, "derived", lambda self: made.append(now(self.outputs)) or nn.Identity())
    for pick in (0, 1, 0, 1, 0):
        width.gate = Gate((pick,))
        kept(conv)
    assert made == [2, 4]


def test_budgets_that_were_checked_before_take_no_trace() -> None:
    table = CostTable(residual(), IMAGE)
    middle = sum(table.exact(arch)["flops"] for arch in CostTable(residual(), IMAGE).extremes("flops")) / 2
    limits = Limits(table, parse_budgets([f"flops<={middle}"]), check=False)
    assert "models" not in vars(table)
    assert limits.legal([limits.start])[0]
