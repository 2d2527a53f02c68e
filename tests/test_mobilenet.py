"""The spaces of ProxylessNAS and FBNet give the figures that their papers state."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nets import additive
from sparsenas.core.arch import Arch, space_size
from sparsenas.core.derive import derive
from sparsenas.core.gate import choices, set_gates
from sparsenas.costs import CostTable
from sparsenas.errors import UserError
from sparsenas.nn.blocks import Residual
from sparsenas.spaces.mobilenet import fbnet, proxyless
from sparsenas.spaces.published import read_arch

IMAGENET = (3, 224, 224)
CIFAR = (3, 32, 32)

# Released as "fbnet_b" and "fbnet_c", except for the width of the last convolution.
FBNET_B = """k3_e1 k3_e6 k5_e1 k3_e1 k3_e1 k5_e6 k5_e3 k3_e6 k5_e6 k5_e6 k5_e6 skip k5_e3 k5_e6 k3_e1 k5_e1 k5_e3
    k5_e6 k5_e1 k5_e6 k5_e6 k3_e6"""
FBNET_C = """k3_e1 k3_e6 skip k3_e1 k3_e1 k5_e6 k5_e3 k5_e6 k3_e6 k5_e6 k5_e3 k5_e6 k5_e6 k5_e6 k5_e6 k5_e6 k5_e3
    k5_e6 k5_e6 k5_e6 k5_e6 k3_e6"""


def test_proxyless_figures() -> None:
    net = proxyless(widths=(32, 40, 80, 96, 192, 320))
    table = CostTable(net, IMAGENET)
    exact = table.exact(read_arch(table.choices, "proxyless_mobile"))
    assert exact["flops"] == 320_427_584  # published: 320 M
    assert exact["params"] == 4_080_512  # published: 4.08 M


def test_fbnet_figures() -> None:
    net = fbnet()
    table = CostTable(net, IMAGENET)
    a = table.exact(read_arch(table.choices, "fbnet_a"))
    assert (a["flops"], a["params"]) == (249_921_848, 4_321_464)  # published: 249 M and 4.3 M
    for text, published in ((FBNET_B, 295e6), (FBNET_C, 375e6)):
        arch = Arch.from_json(table.choices, dict(zip(table.choices, text.split(), strict=True)))
        assert table.exact(arch)["flops"] == pytest.approx(published, rel=0.01)


def test_sizes() -> None:
    assert space_size(choices(proxyless(shape=CIFAR))) == 7**15 * 6**6
    assert space_size(choices(fbnet(shape=CIFAR))) == 9**22
    changing = [name for name, choice in choices(proxyless(shape=CIFAR)).items() if "skip" not in choice.options]
    assert changing == [f"layer{i}" for i in (1, 5, 9, 13, 17, 21)]


@pytest.mark.parametrize("make", [proxyless, fbnet])
def test_costs_add_up(make: type[nn.Sequential]) -> None:
    assert all(additive(CostTable(make(shape=CIFAR, classes=10), CIFAR)))


def test_layers_that_keep_their_shape_are_residual_or_skipped() -> None:
    for net, changing in ((proxyless(shape=CIFAR), 1), (fbnet(shape=CIFAR), 2)):
        changes, keeps = net[changing].ops, net[changing + 1].ops
        assert isinstance(keeps[-1], nn.Identity)
        assert all(isinstance(op, Residual) for op in keeps[:-1])
        assert not any(isinstance(op, Residual | nn.Identity) for op in changes)
    change = fbnet(shape=CIFAR)[2].ops[-1]
    assert [type(module) for module in change] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]


def test_grouped_blocks_shuffle_their_channels() -> None:
    block = fbnet(shape=CIFAR)[1].ops[choices(fbnet(shape=CIFAR))["layer1"].options.index("k3_e1_g2")].body
    convs = [module for module in block if isinstance(module, nn.Conv2d)]
    assert [conv.groups for conv in convs] == [2, 16, 2]
    shuffle = next(module for module in block if isinstance(module, nn.ChannelShuffle))
    x = torch.arange(16.0).reshape(1, 16, 1, 1)
    assert shuffle(x).flatten().tolist() == [i + 8 * half for i in range(8) for half in range(2)]


@pytest.mark.parametrize("make", [proxyless, fbnet])
def test_initialisation(make: type[nn.Sequential]) -> None:
    for weight in (p.detach() for p in make(shape=CIFAR).parameters() if p.ndim == 4 and p.numel() > 10_000):
        expected = (2 / (weight.shape[0] * weight[0, 0].numel())) ** 0.5
        assert float(weight.std()) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("make", [proxyless, fbnet])
def test_export_and_small_images(make: type[nn.Sequential]) -> None:
    net = make(shape=(1, 8, 8), classes=3).eval()
    arch = Arch.sample(choices(net), np.random.default_rng(0))
    plain, x = derive(net, arch.gates()), torch.randn(2, 1, 8, 8)
    assert plain[:-1](x).shape[2:] == (4, 4)
    program = torch.export.export(plain, (x,))
    assert torch.equal(program.module()(x), plain(x))
    set_gates(net, arch.gates())
    assert torch.equal(net(x), plain(x))


def test_a_width_for_every_stage() -> None:
    with pytest.raises(UserError, match="--space.widths: expected 6 numbers, one per stage, got 2"):
        proxyless(widths=(16, 24))
