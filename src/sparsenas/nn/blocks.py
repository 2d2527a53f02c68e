"""Plain blocks of the built-in search spaces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from sparsenas.nn.auxiliary_head import AuxiliaryHead


def conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    """A convolution without bias that keeps the size (divided by ``stride``), batch norm, and ReLU if ``relu``."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


class Residual(nn.Module):
    """Adds the input to the output of ``body``; both must have the same shape."""

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


class DropPath(nn.Module):
    """In training sets the input of some examples to 0 and scales that of the others; else does nothing.

    Args:
        rate: probability per example.
        share: multiplies the rate that ``set_drop_path`` sets.
    """

    def __init__(self, rate: float = 0.0, share: float = 1.0) -> None:
        super().__init__()
        self.rate = rate
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = x.new_empty(len(x), *[1] * (x.dim() - 1)).bernoulli_(1 - self.rate)
        return x / (1 - self.rate) * kept


class Sum(nn.Module):
    """Adds ``ops[i](inputs[sources[i]])``: a ``Join`` whose choice is fixed.

    Args:
        ops: one per term.
        sources: the index of the input of each.
        drop: share of the drop-path rate at which training drops a term.
    """

    def __init__(self, ops: Iterable[nn.Module], sources: Sequence[int], drop: float = 0.0) -> None:
        super().__init__()
        self.ops = nn.ModuleList(ops)
        self.sources = tuple(sources)
        self.drop = DropPath(share=drop)

    def reads(self) -> tuple[int, ...]:
        """The indices of the inputs that are read."""
        return self.sources

    def forward(self, *inputs: Tensor | None) -> Tensor:
        """The sum. Only a ``Dag`` passes ``None``, for a source without input."""
        sources = [inputs[source] for source in self.sources]
        terms = [op(x) for op, x in zip(self.ops, sources, strict=True) if x is not None]
        total, *others = [self.drop(term) for term in terms] if self.training else terms
        for term in others:
            total = total + term
        y: Tensor = total
        return y


class DeepSequential(nn.Sequential):
    """Parts in a row; an auxiliary head may read the output of part number ``deep``."""

    def __init__(self, *parts: nn.Module, deep: int, auxiliary: AuxiliaryHead) -> None:
        super().__init__(*parts)
        self.deep, self.auxiliary = deep, auxiliary

    def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and the output of part number ``deep``."""
        features = x
        for i, part in enumerate(self):
            x = part(x)
            features = x if i == self.deep else features
        return x, features


class Concat(nn.Module):
    """Concatenates some of its inputs along the channels."""

    def __init__(self, sources: Sequence[int]) -> None:
        super().__init__()
        self.sources = tuple(sources)

    def reads(self) -> tuple[int, ...]:
        """The indices of the inputs that are read."""
        return self.sources

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat([inputs[source] for source in self.sources], dim=1)


def relu_conv_bn(inputs: int, outputs: int, affine: bool = True) -> nn.Sequential:
    """ReLU, a 1x1 convolution and batch norm."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs, affine=affine))


def separable_conv(channels: int, kernel: int, stride: int = 1, affine: bool = True) -> nn.Sequential:
    """ReLU, depthwise, 1x1 and batch norm, twice; the first depthwise convolution has the stride (DARTS)."""
    return nn.Sequential(
        *_relu_depthwise_pointwise(channels, kernel, stride, 1, affine),
        *_relu_depthwise_pointwise(channels, kernel, 1, 1, affine),
    )


def dilated_conv(channels: int, kernel: int, stride: int = 1, affine: bool = True) -> nn.Sequential:
    """ReLU, depthwise with a dilation of 2, 1x1 and batch norm (DARTS)."""
    return nn.Sequential(*_relu_depthwise_pointwise(channels, kernel, stride, 2, affine))


def _relu_depthwise_pointwise(
    channels: int, kernel: int, stride: int, dilation: int, affine: bool
) -> tuple[nn.Module, ...]:
    padding = dilation * (kernel // 2)
    return (
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    )


def factorized_reduce(inputs: int, outputs: int, affine: bool = True) -> nn.Sequential:
    """Halves the image: ReLU, two 1x1 convolutions side by side and batch norm (DARTS)."""
    return nn.Sequential(nn.ReLU(), FactorizedReduce(inputs, outputs), nn.BatchNorm2d(outputs, affine=affine))


class FactorizedReduce(nn.Module):
    """Concatenates two 1x1 convolutions of stride 2, one of which is shifted by one pixel.

    An image of odd size is padded with a last row and column of zeros.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs - outputs // 2, 1, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        shifted = nn.functional.pad(x[:, :, 1:, 1:], (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        return torch.cat([self.even(x), self.odd(shifted)], dim=1)


def set_drop_path(net: nn.Module, rate: float) -> None:
    """Sets the rate of every ``DropPath``: ``rate`` times its share."""
    for module in net.modules():
        if isinstance(module, DropPath):
            module.rate = rate * module.share
