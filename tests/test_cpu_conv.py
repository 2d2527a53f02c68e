"""Narrow strided 1x1 convolutions have right gradients on a CPU."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from sparsenas.nn.cpu_conv import CPU_CONVOLUTIONS, NARROW, cpu_conv2d
from sparsenas.nn.function_overrides import FunctionOverrides


@given(st.integers(1, NARROW + 2), st.integers(1, 9), st.tuples(st.integers(1, 3), st.integers(1, 3)), st.booleans())
def test_output_and_gradients_are_those_in_double_precision(
    inputs: int, outputs: int, stride: tuple[int, int], bias: bool
) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, inputs, 6, 5).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(outputs, inputs, 1, 1).to(memory_format=torch.channels_last).requires_grad_()
    shift = torch.randn(outputs, requires_grad=True) if bias else None
    given = [t for t in (x, weight, shift) if t is not None]
    doubles = [t.detach().double().contiguous().requires_grad_() for t in given]
    ours, expected = cpu_conv2d(*given, stride=stride), functional.conv2d(*doubles, stride=stride)
    torch.testing.assert_close(ours.double(), expected, atol=1e-5, rtol=1e-5)
    direction = torch.randn_like(ours)
    for mine, right in zip(
        torch.autograd.grad(ours, given, direction),
        torch.autograd.grad(expected, doubles, direction.double()),
        strict=True,
    ):
        torch.testing.assert_close(mine.double(), right, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("inputs", "strided"), [(NARROW - 1, False), (NARROW, True)])
def test_only_narrow_ones_are_changed(inputs: int, strided: bool) -> None:
    conv, x = nn.Conv2d(inputs, 2, 1, stride=2, bias=False), torch.randn(1, inputs, 4, 4)
    with FunctionOverrides(CPU_CONVOLUTIONS):
        y = conv(x)
    assert y.shape == (1, 2, 2, 2)
    assert strided == (y.grad_fn._saved_stride == (2, 2))  # type: ignore[union-attr]
