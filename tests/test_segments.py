"""Costs taken segment by segment are those of the whole network, or the network is taken whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.elastic import SliceConv2d, Width
from sparsenas.core.gate import choices, set_gates
from sparsenas.core.join import Join
from sparsenas.costs import COSTS, CostTable, total, trace
from sparsenas.costs.segments import SegmentCosts
from sparsenas.costs.trace import trace_through
from sparsenas.errors import UserError
from sparsenas.nn.clone import on_meta

SHAPE = (2, 6, 6)


def join(name: str, channels: int = 2) -> Join:
    ops = {f"conv{k}": nn.Conv2d(channels, channels, k, padding=k // 2) for k in (1, 3, 5)}
    return Join.of(name, {**ops, "skip": nn.Identity()})


def through_a_width() -> nn.Sequential:
    middle = Width("middle", (1, 3, 4))
    return nn.Sequential(join("a"), SliceConv2d(2, middle, 3), nn.ReLU(), SliceConv2d(middle, 2, 1), join("b"))


def tied_choices() -> nn.Sequential:
    return nn.Sequential(join("a"), nn.MaxPool2d(2), join("a"), join("b"))


def tied_weights() -> nn.Sequential:
    first, second = join("a"), join("b")
    second.ops[1].weight = first.ops[1].weight
    return nn.Sequential(first, second)


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, 2 * x


class Added(nn.Module):
    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        return pair[0] + pair[1]


def more_than_a_tensor() -> nn.Sequential:
    return nn.Sequential(join("a"), Doubled(), Added(), join("b"))


@pytest.mark.parametrize("make", [through_a_width, tied_choices, tied_weights, more_than_a_tensor])
def test_costs_are_those_of_the_whole(make: type[nn.Sequential]) -> None:
    net = make()
    table, rng = CostTable(net, SHAPE), np.random.default_rng(0)
    archs = [Arch.sample(table.choices, rng) for _ in range(20)]
    found = table(archs)
    for i, arch in enumerate(archs):
        set_gates(net, arch.gates())
        layers = trace(net, SHAPE)
        for name, cost in COSTS.items():
            assert found[name][i] == table.exact(arch)[name] == total(cost, layers)


def test_what_counts_as_a_segment() -> None:
    nets = through_a_width(), tied_weights(), join("a")
    assert [len(SegmentCosts(on_meta(net), SHAPE, COSTS).segments) for net in nets] == [5, 1, 1]
    net = on_meta(more_than_a_tensor())
    with pytest.raises(UserError, match="does not run"):
        SegmentCosts(net, SHAPE, COSTS)(Arch.sample(choices(net), np.random.default_rng(0)))


def test_tracing_leaves_no_hooks() -> None:
    net = on_meta(tied_choices())
    set_gates(net, Arch.sample(choices(net), np.random.default_rng(0)).gates())
    assert trace_through(net, (1, *SHAPE))[1] == (1, 2, 3, 3)
    with pytest.raises(UserError, match="does not run on an input of shape 5,6,6"):
        trace_through(net[2].ops[0], (1, 5, 6, 6))
    hooks = [hook for m in net.modules() for hook in (*m._forward_hooks.values(), *m._forward_pre_hooks.values())]
    assert not hooks
    assert torch.is_grad_enabled()
