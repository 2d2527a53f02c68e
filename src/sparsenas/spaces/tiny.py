"""A small space for 8x8 images: the operation of each block and its width."""

from __future__ import annotations

from torch import nn

from sparsenas.core.elastic import SliceBatchNorm2d, SliceConv2d, Width
from sparsenas.core.join import Join
from sparsenas.nn.blocks import Residual, conv_bn

EXPANSIONS = (0.5, 1.0, 1.5, 2.0)


def tiny(width: int = 16, blocks: int = 5, shape: tuple[int, int, int] = (1, 8, 8), classes: int = 10) -> nn.Sequential:
    """Builds the space for small images. It is made for the 8x8 digits and trains in seconds.

    A stem is followed by blocks. A block is a 3x3 bottleneck, an inverted residual of kernel 3 or 5, or, where the
    shape is kept, the identity. Its middle width is 0.5, 1, 1.5 or 2 times its output channels. The block in the middle
    halves the image and doubles the channels.

    Args:
        width: channels of the first blocks.
        blocks: number of blocks.
        shape: channels, height and width of an image.
        classes: number of classes.
    """
    halving = blocks // 2
    layers: list[nn.Module] = [conv_bn(shape[0], width, 3)]
    for i in range(blocks):
        inputs, outputs = width * (1 + (i > halving)), width * (1 + (i >= halving))
        layers.append(_block(f"block{i + 1}", inputs, outputs, 2 if i == halving else 1))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, classes))
    return nn.Sequential(*layers, head)


def _block(name: str, inputs: int, outputs: int, stride: int) -> Join:
    middle = Width(f"{name}.width", [round(outputs * e) for e in EXPANSIONS], [f"{e}x" for e in EXPANSIONS])
    ops = {
        "conv3": _dense(inputs, middle, outputs, stride),
        "mb3": _inverted(inputs, middle, outputs, 3, stride),
        "mb5": _inverted(inputs, middle, outputs, 5, stride),
    }
    if stride == 1 and inputs == outputs:
        return Join.of(name, {**{label: Residual(op) for label, op in ops.items()}, "skip": nn.Identity()})
    return Join.of(name, ops)


def _dense(inputs: int, middle: Width, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(*_expand(inputs, middle, 3, stride), *_project(middle, outputs))


def _inverted(inputs: int, middle: Width, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    depthwise = SliceConv2d(middle, middle, kernel, stride, kernel // 2, depthwise=True, bias=False)
    spatial = (depthwise, SliceBatchNorm2d(middle), nn.ReLU(inplace=True))
    return nn.Sequential(*_expand(inputs, middle, 1, 1), *spatial, *_project(middle, outputs))


def _expand(inputs: int, middle: Width, kernel: int, stride: int) -> tuple[nn.Module, ...]:
    conv = SliceConv2d(inputs, middle, kernel, stride, kernel // 2, bias=False)
    return conv, SliceBatchNorm2d(middle), nn.ReLU(inplace=True)


def _project(middle: Width, outputs: int) -> tuple[nn.Module, ...]:
    return SliceConv2d(middle, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
