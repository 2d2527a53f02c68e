"""Sliced layers are the plain layers of the slice, and leave the rest alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import nn
from torch.nn import functional as F

from nets import seeds, unsettle
from sparsenas.core.arch import Arch
from sparsenas.core.derive import derive
from sparsenas.core.elastic import SliceBatchNorm2d, SliceConv2d, SliceLinear, Width
from sparsenas.core.gate import Gate, choices, set_gates
from sparsenas.errors import UserError

VALUES = (2, 3, 5)


def widths(picks: tuple[int, int]) -> tuple[Width, Width, dict[str, Gate]]:
    return Width("in", VALUES), Width("out", VALUES), {"in": Gate((picks[0],)), "out": Gate((picks[1],))}


everywhere = pytest.mark.parametrize("picks", [(i, j) for i in range(3) for j in range(3)])


@everywhere
def test_a_sliced_convolution_is_the_convolution_of_the_slice(picks: tuple[int, int]) -> None:
    inputs, outputs, gates = widths(picks)
    sliced = SliceConv2d(inputs, outputs, 3, stride=2, padding=2, dilation=2)
    set_gates(sliced, gates)
    i, o = VALUES[picks[0]], VALUES[picks[1]]
    x = torch.randn(2, i, 7, 7)
    y = sliced(x)
    alone = F.conv2d(x, sliced.weight[:o, :i], sliced.bias[:o], stride=2, padding=2, dilation=2)
    assert torch.equal(y, alone)
    plain = derive(sliced, gates)
    assert type(plain) is nn.Conv2d
    assert (plain.in_channels, plain.out_channels) == (i, o)
    assert torch.equal(plain(x), alone)


@everywhere
def test_the_gradient_outside_the_slice_is_zero(picks: tuple[int, int]) -> None:
    inputs, outputs, gates = widths(picks)
    sliced = SliceConv2d(inputs, outputs, 3)
    set_gates(sliced, gates)
    i, o = VALUES[picks[0]], VALUES[picks[1]]
    sliced(torch.randn(2, i, 5, 5)).square().sum().backward()
    for parameter, inside in ((sliced.weight, (slice(o), slice(i))), (sliced.bias, (slice(o),))):
        grad = parameter.grad.clone()
        assert (grad[inside] != 0).all()
        grad[inside] = 0
        assert (grad == 0).all()


@pytest.mark.parametrize("pick", range(3))
def test_a_depthwise_convolution_has_one_filter_a_channel(pick: int) -> None:
    width, n = Width("w", VALUES), VALUES[pick]
    sliced = SliceConv2d(width, width, 3, padding=1, depthwise=True, bias=False)
    assert sliced.weight.shape == (5, 1, 3, 3)
    set_gates(sliced, {"w": Gate((pick,))})
    x = torch.randn(2, n, 4, 4)
    alone = torch.cat([F.conv2d(x[:, c : c + 1], sliced.weight[c : c + 1], padding=1) for c in range(n)], dim=1)
    torch.testing.assert_close(sliced(x), alone)
    plain = derive(sliced, {"w": Gate((pick,))})
    assert isinstance(plain, nn.Conv2d)
    assert plain.groups == n
    torch.testing.assert_close(plain(x), alone)


@everywhere
def test_a_sliced_linear_layer_is_the_linear_layer_of_the_slice(picks: tuple[int, int]) -> None:
    inputs, outputs, gates = widths(picks)
    sliced = SliceLinear(inputs, outputs)
    set_gates(sliced, gates)
    i, o = VALUES[picks[0]], VALUES[picks[1]]
    x = torch.randn(4, i)
    alone = F.linear(x, sliced.weight[:o, :i], sliced.bias[:o])
    assert torch.equal(sliced(x), alone)
    assert torch.equal(derive(sliced, gates)(x), alone)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("pick", range(3))
def test_a_sliced_batch_norm_is_the_batch_norm_of_the_slice(pick: int, training: bool) -> None:
    n = VALUES[pick]
    sliced = SliceBatchNorm2d(Width("w", VALUES)).train(training)
    unsettle(sliced)
    plain = derive(sliced, {"w": Gate((pick,))})
    untouched = sliced.running_mean[n:].clone(), sliced.running_var[n:].clone()
    assert isinstance(plain, nn.BatchNorm2d)
    x = torch.randn(3, n, 4, 4) + 5
    assert torch.equal(sliced(x), plain(x))
    # In training both move their statistics, the sliced one only those of the slice.
    assert torch.equal(sliced.running_mean[:n], plain.running_mean)
    assert torch.equal(sliced.running_var[:n], plain.running_var)
    assert torch.equal(sliced.running_mean[n:], untouched[0])
    assert torch.equal(sliced.running_var[n:], untouched[1])


def test_plain_numbers_are_widths_that_do_not_vary() -> None:
    conv = SliceConv2d(3, 4, 3)
    assert choices(conv) == {}
    plain = derive(conv, {})
    x = torch.randn(1, 3, 5, 5)
    assert torch.equal(conv(x), plain(x))


@given(seeds)
def test_a_chain_of_widths_fits_together(seed: int) -> None:
    a, b = Width("a", (1, 4, 6)), Width("b", (2, 3))
    conv = SliceConv2d(a, a, 3, padding=1, depthwise=True)
    net = nn.Sequential(
        SliceConv2d(2, a, 1), SliceBatchNorm2d(a), conv, SliceConv2d(a, b, 1), nn.Flatten(2), SliceLinear(9, 2)
    )
    gates = Arch.sample(choices(net), np.random.default_rng(seed)).gates()
    set_gates(net, gates)
    x = torch.randn(1, 2, 3, 3)
    assert net(x).shape == (1, b.value, 2)
    assert torch.equal(derive(net.eval(), gates)(x), net(x))


def test_a_block_may_keep_its_width_at_hand() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.width = Width("w", VALUES)
            self.conv = SliceConv2d(1, self.width, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x).sum() / self.width.value

    block = Block()
    plain = derive(block, {"w": Gate((1,))})
    x = torch.ones(1, 1, 2, 2)
    assert torch.equal(plain(x), block(x))
    assert not choices(plain)


@pytest.mark.parametrize("values", [(), (3, 2), (2, 2), (0, 1)])
def test_widths_must_increase(values: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="width 'w': expected increasing"):
        Width("w", values)


def test_a_depthwise_convolution_keeps_its_channels() -> None:
    with pytest.raises(UserError, match="the same channels as inputs and outputs"):
        SliceConv2d(3, 4, 3, depthwise=True)
    with pytest.raises(UserError, match="the same channels as inputs and outputs"):
        SliceConv2d(Width("a", VALUES), Width("b", VALUES), 3, depthwise=True)


@pytest.mark.parametrize("training", [True, False])
def test_a_batch_norm_without_affine_parameters_derives_to_one_with(training: bool) -> None:
    width = Width("w", VALUES)
    norm = SliceBatchNorm2d(width, affine=False).train(training)
    assert not list(norm.parameters())
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    for pick, n in enumerate(VALUES):
        plain = derive(norm, {"w": Gate((pick,))})
        x = torch.randn(4, n, 3, 3)
        assert torch.equal(norm(x), plain(x))
        assert plain.training == training
        assert (plain.weight.tolist(), plain.bias.tolist()) == ([1.0] * n, [0.0] * n)


def test_deriving_draws_nothing() -> None:
    width = Width("w", VALUES)
    net = nn.Sequential(SliceConv2d(1, width, 3), SliceLinear(4, width))
    state = torch.get_rng_state()
    derive(net, {"w": Gate((0,))})
    assert torch.equal(torch.get_rng_state(), state)


def test_two_widths_of_one_name_are_one_also_for_a_depthwise_convolution() -> None:
    one, other, third = Width("w", (2, 3)), Width("w", (2, 3)), Width("v", (2, 3))
    net = nn.Sequential(SliceConv2d(3, one, 1), SliceConv2d(one, other, 3, depthwise=True), SliceConv2d(other, 2, 1))
    for pick, width in enumerate(one.values):
        set_gates(net, {"w": Gate((pick,))})
        assert net[:2](torch.zeros(1, 3, 5, 5)).shape[1] == width
    with pytest.raises(UserError, match="the same channels as inputs and outputs"):
        SliceConv2d(one, third, 3, depthwise=True)
