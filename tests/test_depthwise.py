"""Depthwise gradients are those of PyTorch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.nn import functional

from sparsenas.nn.depthwise_grad import DEPTHWISE, WIDE, depthwise_conv2d
from sparsenas.nn.function_overrides import FunctionOverrides

Pair = tuple[int, int]


def pairs(low: int, high: int) -> st.SearchStrategy[Pair]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


@given(pairs(1, 8), pairs(1, 9), pairs(1, 3), pairs(0, 4), pairs(1, 3), st.booleans())
def test_gradients_of_any_convolution_are_those_of_pytorch(
    kernel: Pair, size: Pair, stride: Pair, padding: Pair, dilation: Pair, last: bool
) -> None:
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    assume(all(r <= length + 2 * p for r, length, p in zip(reach, size, padding, strict=True)))
    layout = torch.channels_last if last else torch.contiguous_format
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.double).to(memory_format=layout).requires_grad_()
    weight = torch.randn(3, 1, *kernel, dtype=torch.double, requires_grad=True)
    expected = functional.conv2d(x, weight, None, stride, padding, dilation, 3)
    ours = depthwise_conv2d(x, weight, None, stride, padding, dilation, 3)
    gradient = torch.randn_like(expected)
    for mine, theirs in zip(
        torch.autograd.grad(ours, (x, weight), gradient),
        torch.autograd.grad(expected, (x, weight), gradient),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_has_the_gradients_of_its_definition(kernel: int, stride: int, bias: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 2, 2 if kernel == WIDE else 6, 5, dtype=torch.double, requires_grad=True)
    weight = torch.randn(2, 1, kernel, kernel, dtype=torch.double, requires_grad=True)
    shift = torch.randn(2, dtype=torch.double, requires_grad=True)

    def convolved(x: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
        return depthwise_conv2d(x, weight, shift if bias else None, stride, kernel // 2, 1, 2)

    expected = functional.conv2d(x, weight, shift if bias else None, stride, kernel // 2, 1, 2)
    torch.testing.assert_close(convolved(x, weight, shift), expected)
    assert bias or "_Depthwise" in str(convolved(x, weight, shift).grad_fn)
    assert gradcheck(convolved, (x, weight, shift))


def test_any_network_has_the_same_gradients_inside() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.Conv2d(8, 8, 5, padding=2, groups=8),
        nn.Conv2d(8, 8, 7, 2, padding=3, groups=8, bias=False),
        nn.Conv2d(8, 8, 5, padding="same", groups=8),
        nn.Conv2d(8, 8, 5, padding=4, dilation=2, groups=8),
        nn.Conv2d(8, 16, 5, padding=2, groups=8),
        nn.Conv2d(16, 8, 5, padding=2, groups=2),
    ).double()
    x = torch.randn(2, 3, 9, 9, dtype=torch.double)
    net(x).square().sum().backward()
    expected = [weight.grad for weight in net.parameters()]
    net.zero_grad()
    with FunctionOverrides(DEPTHWISE):
        y = net(x)
    y.square().sum().backward()
    for weight, gradient in zip(net.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.grad, gradient)


def test_nothing_changes_where_nothing_is_learned() -> None:
    x, weight = torch.randn(1, 4, 8, 8, requires_grad=True), torch.randn(4, 1, 5, 5)
    assert "_Depthwise" not in str(depthwise_conv2d(x, weight, padding=2, groups=4).grad_fn)
    with torch.no_grad():
        assert depthwise_conv2d(x, weight.requires_grad_(), padding=2, groups=4).grad_fn is None
    with torch.autocast("cpu", torch.bfloat16):
        assert depthwise_conv2d(x, weight, padding=2, groups=4).dtype is torch.bfloat16
