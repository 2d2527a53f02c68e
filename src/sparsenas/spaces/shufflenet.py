"""The ImageNet space of SPOS (Guo et al., ECCV 2020): twenty blocks similar to ShuffleNetV2, and their widths."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from sparsenas.core.elastic import SliceBatchNorm2d, SliceConv2d, Width
from sparsenas.core.join import Join
from sparsenas.errors import UserError
from sparsenas.spaces.strides import kept_strides

STAGES = ((4, 64), (4, 160), (8, 320), (4, 640))
"""Blocks and output channels of each stage; the first block of a stage halves the image."""
KERNELS = {"shuffle3": 3, "shuffle5": 5, "shuffle7": 7, "xception": 3}
"""The options of a block and the kernels of their depthwise convolutions."""
WIDTHS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)

Channels = int | Width


def shufflenet(
    vary: Literal["blocks", "widths", "both"] = "blocks",
    widths: tuple[float, ...] = WIDTHS,
    shape: tuple[int, int, int] = (3, 224, 224),
    classes: int = 1000,
) -> nn.Sequential:
    """Builds the supernet of the released code, with its initial weights. Batch norms have no affine parameters.

    A 3x3 stem of 16 channels is followed by twenty blocks in stages of 4, 4, 8 and 4 with 64, 160, 320 and 640
    channels, a 1x1 convolution of 1024 channels, dropout of 0.1 and a classifier without bias. Each option of a block
    has its own weights, its projection included. If only widths vary, every block is ``shuffle3``. The stem and the
    first block of each stage halve the image. Small images keep the last halvings only: 32x32 images are halved from
    the second stage on, 8x8 images by the last stage.

    Args:
        vary: blocks (4^20 architectures), widths (8^20) or both (32^20).
        widths: middle channels of a block to choose from, as factors of half its output channels.
        shape: channels, height and width of an image.
        classes: number of classes.
    """
    if vary not in ("blocks", "widths", "both"):
        raise UserError(f"--space.vary: expected blocks, widths or both, got {vary!r}")
    first, *strides = kept_strides(shape, (2,) * (1 + len(STAGES)))
    layers: list[nn.Module] = [nn.Sequential(_conv(shape[0], 16, 3, first), _norm(16), nn.ReLU(inplace=True))]
    inputs = 16
    for (depth, outputs), stride in zip(STAGES, strides, strict=True):
        for i in range(depth):
            name = f"block{len(layers)}"
            middle = outputs // 2 if vary == "blocks" else _width(name, outputs, widths)
            labels = KERNELS if vary != "widths" else ("shuffle3",)
            units = {label: _unit(label, inputs, middle, outputs, stride if i == 0 else 1) for label in labels}
            layers.append(Join.of(name, units) if vary != "widths" else units["shuffle3"])
            inputs = outputs
    classifier = nn.Linear(1024, classes, bias=False)
    head = (*_pointwise(inputs, 1024), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), classifier)
    return _initialised(nn.Sequential(*layers, nn.Sequential(*head)), classifier)


class ShuffleUnit(nn.Module):
    """Two branches side by side: ``project`` and ``main``.

    With a ``project``, both branches read the whole input. Without, the channels of even index are kept as they are and
    ``main`` reads the odd ones, which is ShuffleNetV2's shuffle and split in one.
    """

    def __init__(self, main: nn.Module, project: nn.Module | None) -> None:
        super().__init__()
        self.main = main
        self.project = project

    def forward(self, x: Tensor) -> Tensor:
        if self.project is not None:
            return torch.cat([self.project(x), self.main(x)], dim=1)
        kept, rest = _split_last(x) if self.training else x.unflatten(1, (-1, 2)).unbind(2)
        return torch.cat([kept, self.main(rest)], dim=1)


def _split_last(x: Tensor) -> tuple[Tensor, Tensor]:
    """The channels of even and of odd index, as ``x.unflatten(1, (-1, 2)).unbind(2)``, for training.

    The gradient of ``unbind`` is stacked along the dimension that was split. Here that is the last one, so the gradient
    has the memory layout of the layers before it, channels last. Exported networks are faster without.
    """
    even, odd = x.permute(0, 2, 3, 1).unflatten(3, (-1, 2)).unbind(4)
    return even.permute(0, 3, 1, 2), odd.contiguous().permute(0, 3, 1, 2)


def _unit(label: str, inputs: int, middle: Channels, outputs: int, stride: int) -> ShuffleUnit:
    kernel, changes = KERNELS[label], inputs != outputs
    reads = inputs if changes else inputs // 2
    make = _xception if label == "xception" else _shuffle
    project = nn.Sequential(*_depthwise(inputs, kernel, stride), *_pointwise(inputs, inputs)) if changes else None
    return ShuffleUnit(nn.Sequential(*make(reads, middle, outputs - reads, kernel, stride)), project)


def _shuffle(inputs: int, middle: Channels, outputs: int, kernel: int, stride: int) -> tuple[nn.Module, ...]:
    return *_pointwise(inputs, middle), *_depthwise(middle, kernel, stride), *_pointwise(middle, outputs)


def _xception(inputs: int, middle: Channels, outputs: int, kernel: int, stride: int) -> tuple[nn.Module, ...]:
    return (
        *(*_depthwise(inputs, kernel, stride), *_pointwise(inputs, middle)),
        *(*_depthwise(middle, kernel, 1), *_pointwise(middle, middle)),
        *(*_depthwise(middle, kernel, 1), *_pointwise(middle, outputs)),
    )


def _pointwise(inputs: Channels, outputs: Channels) -> tuple[nn.Module, ...]:
    return _conv(inputs, outputs, 1), _norm(outputs), nn.ReLU(inplace=True)


def _depthwise(channels: Channels, kernel: int, stride: int) -> tuple[nn.Module, ...]:
    return _conv(channels, channels, kernel, stride, depthwise=True), _norm(channels)


def _conv(inputs: Channels, outputs: Channels, kernel: int, stride: int = 1, depthwise: bool = False) -> nn.Module:
    if isinstance(inputs, int) and isinstance(outputs, int):
        groups = inputs if depthwise else 1
        return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return SliceConv2d(inputs, outputs, kernel, stride, kernel // 2, depthwise=depthwise, bias=False)


def _norm(channels: Channels) -> nn.Module:
    if isinstance(channels, int):
        return nn.BatchNorm2d(channels, affine=False)
    return SliceBatchNorm2d(channels, affine=False)


def _width(block: str, outputs: int, factors: tuple[float, ...]) -> Width:
    values = [int(outputs // 2 * factor) for factor in factors]
    return Width(f"{block}.width", values, [f"{factor}x" for factor in factors])


def _initialised(net: nn.Sequential, classifier: nn.Linear) -> nn.Sequential:
    """Draws weights as the released code: normal, of standard deviation 1/inputs; 0.01 in the first and last layer."""
    convs = [module for module in net.modules() if isinstance(module, nn.Conv2d | SliceConv2d)]
    for conv in convs:
        nn.init.normal_(conv.weight, std=0.01 if conv is convs[0] else 1 / conv.weight.shape[1])
    nn.init.normal_(classifier.weight, std=0.01)
    return net
