"""The size of a network in flash."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from sparsenas.__main__ import main
from sparsenas.core.arch import Arch
from sparsenas.core.derive import derive
from sparsenas.core.gate import choices
from sparsenas.costs import CostTable, total, trace
from sparsenas.costs.layer import size_in_bytes
from sparsenas.nn.quantize import Quantized
from sparsenas.spaces import SPACES


def by_hand(net: nn.Module) -> float:
    """Module by module."""
    size = 0.0
    for module in net.modules():
        for name, parameter in module.named_parameters(recurse=False):
            low = isinstance(module, Quantized) and name == "weight"
            size += parameter.numel() * (module.bits[0] / 8 if low else 4)
    return size


@pytest.mark.parametrize("seed", range(3))
def test_weights_take_the_bits_that_were_found(seed: int) -> None:
    net = SPACES["resnet18"](width=4, shape=(3, 16, 16), classes=3)
    arch = Arch.sample(choices(net), np.random.default_rng(seed))
    plain = derive(net, arch.gates())
    assert total(size_in_bytes, trace(plain, (3, 16, 16))) == by_hand(plain)
    table = CostTable(net, (3, 16, 16), costs={"bytes": size_in_bytes})
    assert table.exact(arch)["bytes"] == by_hand(plain)


def test_a_network_of_full_precision_takes_four_bytes_for_each_parameter() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    with torch.no_grad():
        assert total(size_in_bytes, trace(net, (3, 4, 4))) == 4 * sum(p.numel() for p in net.parameters())


def test_a_budget_on_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--space", "tiny", "--arch", "full", "--cost", "bytes", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == 4 * told["params"]
