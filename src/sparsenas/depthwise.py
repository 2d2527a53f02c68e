"""The weight gradient of wide depthwise convolutions, in a form that processors are quick at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional
from torch.overrides import TorchFunctionMode

WIDE = 3
"""oneDNN has fast code for the weight gradient of kernels no wider than this, on images no smaller than the kernel
(measured with 3.12)."""

Pair = tuple[int, int]


class DepthwiseGradients(TorchFunctionMode):
    """Inside it, depthwise convolutions on a processor have a backward pass 1 to 7 times as fast, in any network.

    Gradients are the same but for the order of sums. Only forward passes need be inside.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is functional.conv2d:
            return depthwise_conv2d(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def depthwise_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """``torch.nn.functional.conv2d``, with ``weight_gradient`` where that is the faster one."""
    slow = max(weight.shape[2:]) > min(WIDE, *x.shape[-2:])
    depthwise = groups > 1 and groups == x.shape[1] == len(weight)
    learns = torch.is_grad_enabled() and weight.requires_grad and not torch.is_autocast_enabled("cpu")
    simple = x.device.type == "cpu" and x.dim() == 4 and not isinstance(padding, str) and _pair(dilation) == (1, 1)
    if not (slow and depthwise and learns and simple):
        return functional.conv2d(x, weight, bias, stride, padding, dilation, groups)
    y: Tensor = _Depthwise.apply(x, weight, _pair(stride), _pair(padding))  # type: ignore[no-untyped-call, arg-type]
    return y if bias is None else y + bias.view(-1, 1, 1)


def weight_gradient(x: Tensor, gradient: Tensor, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
    """The weight's gradient in a depthwise convolution, a few columns of the kernel at a time.

    Each time it is that of a narrower kernel on what these columns read, with the padding written out.

    Args:
        x: what was convolved, (images, channels, height, width).
        gradient: of what came out.
        kernel: height and width of the kernel, like the stride and the padding.
        stride: of the convolution.
        padding: zeros above and below, and left and right.

    Returns:
        (channels, 1, kernel height, kernel width).
    """
    columns = min(WIDE, kernel[1])
    starts = [*range(0, kernel[1] - columns, columns), kernel[1] - columns]
    part = x.new_empty(x.shape[1], 1, kernel[0], columns)
    within = stride[0] == 1 and x.shape[2] >= kernel[0]  # otherwise rows of padding are faster written out
    top = 0 if within else padding[0]
    height, width = (
        step * (size - 1) + reach
        for step, size, reach in zip(stride, gradient.shape[2:], (kernel[0], columns), strict=True)
    )
    bottom = 0 if within else height - top - x.shape[2]
    pieces = []
    for start, end in pairwise([*starts, kernel[1]]):
        left = padding[1] - start  # below 0 it cuts off
        read = functional.pad(x, (left, width - left - x.shape[3], top, bottom))
        piece = _gradients(read, part, gradient, stride, (padding[0] - top, 0), (False, True))[1]
        del read  # the next one takes its memory, which is in the cache
        pieces.append(piece[..., : end - start])
    return torch.cat(pieces, dim=-1)


class _Depthwise(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(x, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        inner, outer = None, None
        if ctx.needs_input_grad[0]:
            inner, _ = _gradients(x, weight, gradient, ctx.stride, ctx.padding, (True, False))
        if ctx.needs_input_grad[1]:
            kernel = (weight.shape[2], weight.shape[3])
            outer = weight_gradient(x, gradient, kernel, ctx.stride, ctx.padding)
        return inner, outer, None, None


def _gradients(
    x: Tensor, weight: Tensor, gradient: Tensor, stride: Pair, padding: Pair, asked: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """PyTorch's own; its ``torch.nn.grad`` loses the memory layout, and with it the time."""
    mask = [*asked, False]
    backward = torch.ops.aten.convolution_backward
    inner, outer, _ = backward(gradient, x, weight, None, stride, padding, (1, 1), False, (0, 0), len(weight), mask)
    return inner, outer


def _pair(number: int | Sequence[int]) -> Pair:
    both = (number, number) if isinstance(number, int) else tuple(number)
    return both[0], both[-1]
