"""Faster gradients of wide and of dilated depthwise convolutions on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from sparsenas.nn.function_overrides import Replacements

WIDE = 3
"""Widest kernel for whose weight gradient oneDNN has fast code, on images no smaller than the kernel. With dilation it
has fast code for neither gradient (measured with 3.12)."""

Pair = tuple[int, int]
ONE: Pair = (1, 1)
NONE: Pair = (0, 0)


def depthwise_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """``torch.nn.functional.conv2d`` with other code for the gradients where that is faster."""
    slow = max(weight.shape[2:]) > min(WIDE, *x.shape[-2:]) or _pair(dilation) != ONE
    depthwise = groups > 1 and groups == x.shape[1] == len(weight)
    learns = torch.is_grad_enabled() and weight.requires_grad and not torch.is_autocast_enabled("cpu")
    simple = x.device.type == "cpu" and x.dim() == 4
    if isinstance(padding, str) or not (slow and depthwise and learns and simple):
        return functional.conv2d(x, weight, bias, stride, padding, dilation, groups)
    steps = (_pair(stride), _pair(padding), _pair(dilation))
    y: Tensor = _Depthwise.apply(x, weight, *steps)  # type: ignore[no-untyped-call]
    return y if bias is None else y + bias.view(-1, 1, 1)


DEPTHWISE: Replacements = {functional.conv2d: depthwise_conv2d}
"""Replaces convolutions; gradients differ by the order of sums only. Only forward passes need the override."""


def weight_gradient(
    x: Tensor, gradient: Tensor, kernel: Pair, stride: Pair = ONE, padding: Pair = NONE, dilation: Pair = ONE
) -> Tensor:
    """The weight's gradient in a depthwise convolution.

    A dilated kernel reads pixels of one phase only. So it is an ordinary kernel on small images, each of which has
    every ``dilation``-th pixel.

    Args:
        x: the input, (images, channels, height, width).
        gradient: of the output.
        kernel: height and width of the kernel; the other pairs have the same order.
        stride: of the convolution.
        padding: zeros above and below, and left and right.
        dilation: of the kernel.

    Returns:
        (channels, 1, kernel height, kernel width).
    """
    if dilation == ONE:
        return _by_columns(x, gradient, kernel, stride, padding)
    gradient = _spread(gradient, stride)
    lengths = [-(-length // d) for length, d in zip(gradient.shape[2:], dilation, strict=True)]
    read = [d * (length + k - 1) for length, k, d in zip(lengths, kernel, dilation, strict=True)]
    needed = [d * length for length, d in zip(lengths, dilation, strict=True)]
    small, outputs = _phases(_grown(x, padding, read), dilation), _phases(_grown(gradient, NONE, needed), dilation)
    return _by_columns(small, outputs, kernel, ONE, NONE)


def input_gradient(
    x: Tensor, weight: Tensor, gradient: Tensor, stride: Pair = ONE, padding: Pair = NONE, dilation: Pair = ONE
) -> Tensor:
    """The input's gradient in a depthwise convolution; with dilation, a convolution with the flipped kernel."""
    if dilation == ONE:
        return _gradients(x, weight, gradient, stride, padding, (True, False))[0]
    reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    before = (reach[0] - padding[0], reach[1] - padding[1])
    read = _grown(_spread(gradient, stride), before, [x.shape[2] + reach[0], x.shape[3] + reach[1]])
    return functional.conv2d(read, weight.flip(2, 3), None, ONE, NONE, dilation, len(weight))


def _by_columns(x: Tensor, gradient: Tensor, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
    """The gradient of a few columns of the kernel at a time: a narrower kernel on the pixels that they read."""
    columns = min(WIDE, kernel[1])
    starts = [*range(0, kernel[1] - columns, columns), kernel[1] - columns]
    part = x.new_empty(x.shape[1], 1, kernel[0], columns)
    within = stride[0] == 1 and x.shape[2] >= kernel[0]  # otherwise explicit rows of padding are faster
    top = 0 if within else padding[0]
    height, width = (
        step * (size - 1) + reach
        for step, size, reach in zip(stride, gradient.shape[2:], (kernel[0], columns), strict=True)
    )
    pieces = []
    for start, end in pairwise([*starts, kernel[1]]):
        read = _grown(x, (top, padding[1] - start), [x.shape[2] if within else height, width])
        piece = _gradients(read, part, gradient, stride, (padding[0] - top, 0), (False, True))[1]
        del read  # the next one reuses its memory, which is in the cache
        pieces.append(piece[..., : end - start])
    return torch.cat(pieces, dim=-1)


def _grown(x: Tensor, before: Pair, size: Sequence[int]) -> Tensor:
    """``x`` padded with zeros above and on the left, then up to this size; negative padding crops."""
    after = [total - lead - length for total, lead, length in zip(size, before, x.shape[2:], strict=True)]
    return functional.pad(x, (before[1], after[1], before[0], after[0]))


def _spread(x: Tensor, stride: Pair) -> Tensor:
    """``x`` with zeros between its pixels, as in a convolution of stride 1 most of whose outputs are unused."""
    if stride == ONE:
        return x
    sizes = [step * (length - 1) + 1 for step, length in zip(stride, x.shape[2:], strict=True)]
    wide = x.new_zeros(len(x), *sizes, x.shape[1]).permute(0, 3, 1, 2)
    wide[..., :: stride[0], :: stride[1]] = x
    return wide


def _phases(x: Tensor, dilation: Pair) -> Tensor:
    """Small images with every ``dilation``-th pixel, one for each first pixel."""
    (images, channels, height, width), (d, e) = x.shape, dilation
    parts = x.permute(0, 2, 3, 1).reshape(images, height // d, d, width // e, e, channels)
    small = parts.permute(2, 4, 0, 1, 3, 5).reshape(-1, height // d, width // e, channels)
    return small.permute(0, 3, 1, 2)


class _Depthwise(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.steps = stride, padding, dilation
        return functional.conv2d(x, weight, None, stride, padding, dilation, len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        x, weight = ctx.saved_tensors
        kernel = (weight.shape[2], weight.shape[3])
        inner = input_gradient(x, weight, gradient, *ctx.steps) if ctx.needs_input_grad[0] else None
        outer = weight_gradient(x, gradient, kernel, *ctx.steps) if ctx.needs_input_grad[1] else None
        return inner, outer, None, None, None


def _gradients(
    x: Tensor, weight: Tensor, gradient: Tensor, stride: Pair, padding: Pair, needed: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """PyTorch's own gradients. Its ``torch.nn.grad`` changes the memory layout and is slow."""
    mask = [*needed, False]
    backward = torch.ops.aten.convolution_backward
    inner, outer, _ = backward(gradient, x, weight, None, stride, padding, ONE, False, NONE, len(weight), mask)
    return inner, outer


def _pair(number: int | Sequence[int]) -> Pair:
    both = (number, number) if isinstance(number, int) else tuple(number)
    return both[0], both[-1]
