"""Plain blocks that spaces are made of. Nothing here knows of choices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


def conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    """A convolution without bias that keeps the size (divided by ``stride``), batch norm and, unless told, ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


class Residual(nn.Module):
    """Adds its input to what ``body`` makes of it; both must have the same shape."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.body(x)
        return y


def inverted_residual(inputs: int, outputs: int, kernel: int, expansion: int, stride: int = 1) -> nn.Module:
    """MobileNetV2's block: 1x1 expand, depthwise, 1x1 project; residual where the shape is kept."""
    middle = inputs * expansion
    body = nn.Sequential(
        *conv_bn(inputs, middle, 1),
        *conv_bn(middle, middle, kernel, stride, groups=middle),
        *conv_bn(middle, outputs, 1, relu=False),
    )
    return Residual(body) if stride == 1 and inputs == outputs else body


class Scale(nn.Module):
    """Multiplies by a fixed number."""

    factor: Tensor

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Sum(nn.Module):
    """Adds ``ops[i](inputs[sources[i]])``: what a ``Join`` is once its question is answered."""

    def __init__(self, ops: Iterable[nn.Module], sources: Sequence[int]) -> None:
        super().__init__()
        self.ops = nn.ModuleList(ops)
        self.sources = tuple(sources)

    def reads(self) -> tuple[int, ...]:
        """Which inputs are read."""
        return self.sources

    def forward(self, *inputs: Tensor) -> Tensor:
        terms = [op(inputs[source]) for op, source in zip(self.ops, self.sources, strict=True)]
        total: Tensor = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


class Concat(nn.Module):
    """Concatenates some of its inputs along the channels."""

    def __init__(self, sources: Sequence[int]) -> None:
        super().__init__()
        self.sources = tuple(sources)

    def reads(self) -> tuple[int, ...]:
        """Which inputs are read."""
        return self.sources

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat([inputs[source] for source in self.sources], dim=1)
