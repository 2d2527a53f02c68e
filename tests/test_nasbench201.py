"""The space of NAS-Bench-201 is the benchmark's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sparsenas.core.arch import Arch, every_arch
from sparsenas.core.derive import derive
from sparsenas.core.gate import choices
from sparsenas.costs import CostTable, Limits
from sparsenas.costs.budget import read_bounds
from sparsenas.costs.ends import budgets_at
from sparsenas.job.plugin import Plugin
from sparsenas.job.stages.candidates import architectures
from sparsenas.job.stages.compare import random_band
from sparsenas.job.task import make_task
from sparsenas.searching.connection import Connection
from sparsenas.searching.evolution import Evolution, RandomSearch, Score, Search
from sparsenas.spaces import nasbench201
from sparsenas.spaces.nasbench201 import EDGES
from sparsenas.testing import check_space


@pytest.mark.parametrize(("arch", "flops", "params"), [("333333", 220.12, 1.532), ("331332", 153.27, 1.073)])
def test_costs_are_those_of_the_benchmark(arch: str, flops: float, params: float) -> None:
    table = CostTable(nasbench201(), (3, 32, 32))
    costs = table.exact(Arch.from_text(table.choices, arch))
    assert (round(costs["flops"] / 1e6, 2), round(costs["params"] / 1e6, 3)) == (flops, params)


def test_labels_are_the_benchmarks() -> None:
    table = CostTable(nasbench201(width=4, cells=1), (3, 16, 16))
    assert [*table.choices] == ["1<-0", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2"]
    labels = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    assert {choice.options for choice in table.choices.values()} == {labels}


def test_the_space_keeps_its_promises() -> None:
    check_space(lambda: nasbench201(width=4, cells=1), (3, 16, 16), archs=10)


def test_isomorphic_cells_are_those_of_the_benchmark() -> None:
    """6466 of the 15 625 are distinct, as published; the one that stands for others costs no more than they do."""
    table = CostTable(nasbench201(width=4, cells=1), (3, 16, 16))
    archs = list(every_arch(table.choices))
    same = [table.net.canonical(arch) for arch in archs]  # type: ignore[operator]
    distinct = set(same)
    assert len(archs) == 15625
    assert len(distinct) == 6466
    assert all(table.net.canonical(arch) == arch for arch in distinct)  # type: ignore[operator]
    costs, least = table(archs), table(same)
    assert all((least[cost] <= costs[cost]).all() for cost in ("flops", "params"))


def _has_a_way(arch: Arch) -> bool:
    """Whether a walk over edges that are not ``none`` leads from the first node to the last one."""
    reached = {0}
    for (pick,), (start, end) in zip(arch.values(), EDGES, strict=True):
        reached |= {end} if pick and start in reached else set()
    return 3 in reached


def test_cells_are_connected_where_a_way_leads_through_them() -> None:
    net = nasbench201(width=2, cells=1, shape=(3, 8, 8))
    connected, archs = Connection(net, torch.rand(2, 3, 8, 8)), [*every_arch(choices(net))]
    without = [arch for arch in archs if not _has_a_way(arch)]
    assert len(without) == 341
    assert not any(connected(arch) for arch in without[::5])
    assert all(connected(arch) for arch in archs[3::97] if _has_a_way(arch))


def test_no_random_network_is_without_a_way() -> None:
    """At the cost of this cell every third one has none."""
    space, data = Plugin("nasbench201", {"width": 2, "cells": 1}), Plugin("digits")
    task = make_task(space, data, Plugin("classification"), [], 0, torch.device("cpu"))
    best = Arch.from_text(task.choices, "000300")
    assert all(map(_has_a_way, random_band(task, best, 12)))


def test_isomorphic_cells_compute_the_same() -> None:
    """Where all edges have the same weights, networks of isomorphic cells agree, and others differ."""
    net = nasbench201(width=4, cells=1).eval()
    generator = torch.Generator().manual_seed(0)
    weights = {k: torch.randn(4, 4, k, k, generator=generator) for k in (1, 3)}
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.weight.shape[:2] == (4, 4):
            module.weight.data = weights[module.kernel_size[0]]
    x, rng, merged = torch.randn(1, 4, 8, 8, generator=generator), np.random.default_rng(0), 0
    cell = net[2]
    for _ in range(60):
        arch = Arch.sample(choices(net), rng)
        same = net.canonical(arch)  # type: ignore[operator]
        first, second = (derive(cell, each.gates())(x) for each in (arch, same))
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)
        merged += arch != same
    assert merged > 20


@pytest.mark.parametrize("kind", [Evolution, RandomSearch])
def test_isomorphic_cells_are_proposed_once(kind: type[Search]) -> None:
    table = CostTable(nasbench201(width=4, cells=1), (3, 16, 16))
    limits = Limits(table, budgets_at(table, read_bounds(["flops<=60%", "flops>=40%"])))
    search = kind(architectures(limits), np.random.default_rng(0))
    proposed: list[Arch] = []
    while len(proposed) < 300 and (archs := search.ask()):
        proposed += archs
        search.tell(archs, [Score(float(arch.text().count("1"))) for arch in archs])
    assert all(limits.legal(proposed))
    same = [table.net.canonical(arch) for arch in proposed]  # type: ignore[operator]
    told = [arch for arch, legal in zip(same, limits.legal(same), strict=True) if legal]
    assert len(set(told)) == len(told) > 150
