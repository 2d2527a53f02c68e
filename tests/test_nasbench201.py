"""The space of NAS-Bench-201 is the benchmark's."""

from __future__ import annotations

import pytest

from sparsenas.core.arch import Arch
from sparsenas.costs import CostTable
from sparsenas.spaces import nasbench201
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
