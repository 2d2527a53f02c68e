"""The two networks that every tool makes smaller: plain modules, for images of CIFAR-10."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

Widths = dict[str, int]


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, middle: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, middle, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


class ResNet20(nn.Module):
    """Three stages of three residual blocks (He et al., 2016), at 16, 32 and 64 channels."""

    def __init__(self, share: float = 1.0) -> None:
        """With this share of all channels."""
        super().__init__()
        widths = [max(1, round(share * width)) for width in (16, 32, 64)]
        self.conv = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(widths[0])
        inputs, stages = widths[0], []
        for stage, width in enumerate(widths):
            blocks = [Residual(width if i else inputs, width, width, 2 if stage and not i else 1) for i in range(3)]
            stages.append(nn.Sequential(*blocks))
            inputs = width
        self.stage1, self.stage2, self.stage3 = stages
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.conv(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        y: Tensor = self.fc(self.pool(x).flatten(1))
        return y


class Inverted(nn.Module):
    """1x1 convolution to more channels, depthwise 3x3, 1x1 to fewer; beside a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = inputs * expansion
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += [nn.Conv2d(inputs, middle, 1, bias=False), nn.BatchNorm2d(middle), nn.ReLU6()]
        layers += [
            nn.Conv2d(middle, middle, 3, stride, 1, groups=middle, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU6(),
            nn.Conv2d(middle, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.body = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.residual else y


STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and first stride of each stage (Sandler et al., 2018), with strides for small images."""


class MobileNetV2(nn.Module):
    """MobileNetV2 at this share of its channels."""

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()

        def of(width: int) -> int:
            return max(1, round(share * width))

        inputs = of(32)
        layers: list[nn.Module] = [nn.Conv2d(3, inputs, 3, 1, 1, bias=False), nn.BatchNorm2d(inputs), nn.ReLU6()]
        for expansion, width, blocks, stride in STAGES:
            for i in range(blocks):
                layers.append(Inverted(inputs, of(width), 1 if i else stride, expansion))
                inputs = of(width)
        last = of(1280)
        layers += [nn.Conv2d(inputs, last, 1, bias=False), nn.BatchNorm2d(last), nn.ReLU6()]
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(last, 10)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(self.pool(self.features(x)).flatten(1))
        return y


NETS: dict[str, Callable[..., nn.Module]] = {"resnet20": ResNet20, "mobilenetv2": MobileNetV2}
