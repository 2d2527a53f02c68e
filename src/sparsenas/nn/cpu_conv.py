"""Convolutions whose gradients are right and fast on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from sparsenas.nn.depthwise_grad import depthwise_conv2d
from sparsenas.nn.function_overrides import Replacements

NARROW = 16
"""Input channels from which on oneDNN's strided 1x1 convolutions are right. With fewer, the gradient of the weight is
written past the end of a buffer where channels are last in memory: crashes and wrong numbers (oneDNN issue 6035)."""
POINT = (1, 1)


def cpu_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """``torch.nn.functional.conv2d``; a narrow strided 1x1 convolution reads its pixels first and has no stride."""
    down, right = (stride, stride) if isinstance(stride, int) else (stride[0], stride[-1])
    narrow = weight.shape[2:] == POINT and weight.shape[1] < NARROW and max(down, right) > 1
    if narrow and padding in (0, "valid", (0, 0), [0, 0]) and x.device.type == "cpu":
        x, stride, padding = x[..., ::down, ::right], 1, 0
    return depthwise_conv2d(x, weight, bias, stride, padding, dilation, groups)


CPU_CONVOLUTIONS: Replacements = {functional.conv2d: cpu_conv2d}
"""Replaces convolutions; gradients differ by the order of sums only. Only forward passes need the override."""
