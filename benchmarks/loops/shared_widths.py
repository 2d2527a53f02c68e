"""A user's residual network with shared widths and blocks that may be skipped, written by hand."""

from __future__ import annotations

from torch import Tensor, nn

from sparsenas.core.elastic import SliceBatchNorm2d, SliceConv2d, SliceLinear, Width
from sparsenas.core.join import Join


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, inputs: Width, middle: Width, outputs: Width, stride: int) -> None:
        super().__init__()
        self.conv1 = SliceConv2d(inputs, middle, 3, stride, 1, bias=False)
        self.bn1 = SliceBatchNorm2d(middle)
        self.conv2 = SliceConv2d(middle, outputs, 3, 1, 1, bias=False)
        self.bn2 = SliceBatchNorm2d(outputs)
        self.shortcut = (
            nn.Identity()
            if inputs is outputs
            else nn.Sequential(SliceConv2d(inputs, outputs, 1, stride, bias=False), SliceBatchNorm2d(outputs))
        )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


def digits_resnet(classes: int = 10) -> nn.Module:
    """Six blocks in three stages for images of 1x8x8: widths along the residual stream, middles of their own, depth."""
    full = (8, 16, 32)
    stages = [Width(f"stage{i}", (n // 4, n // 2, n)) for i, n in enumerate(full)]
    parts: list[nn.Module] = [SliceConv2d(1, stages[0], 3, 1, 1, bias=False), SliceBatchNorm2d(stages[0]), nn.ReLU()]
    last = stages[0]
    for i, (stage, n) in enumerate(zip(stages, full, strict=True)):
        for j in range(2):
            stride = 2 if i and not j else 1
            block = Block(last, Width(f"middle{i}{j}", (n // 4, n // 2, n)), stage, stride)
            skippable = last is stage
            parts.append(Join.of(f"skip{i}{j}", {"block": block, "skip": nn.Identity()}) if skippable else block)
            last = stage
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), SliceLinear(last, classes))
