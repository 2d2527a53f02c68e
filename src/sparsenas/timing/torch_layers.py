"""Rebuilds a module from the description of a layer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sparsenas.costs.latency import text
from sparsenas.costs.layer import Layer, Shape
from sparsenas.errors import UserError


class Pool(NamedTuple):
    """A pooling's settings in full."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    ceil: bool

    def module(self, op: str) -> nn.Module:
        """The pooling itself."""
        make = nn.MaxPool2d if op == "max_pool2d" else nn.AvgPool2d
        return make(self.kernel, self.stride, self.padding, ceil_mode=self.ceil)


def module_of(layer: Layer) -> nn.Module:
    """A module in eval mode that runs ``layer``, a convolution with bias and ReLU.

    The bias stands for a folded batch norm. The ReLU stands for the activation or addition that follows nearly every
    convolution. Raises ``UserError`` for a layer that cannot be rebuilt.
    """
    if layer.op == "conv2d":
        return nn.Sequential(_convolution(layer), nn.ReLU(inplace=True)).eval()
    if layer.op == "conv_transpose2d":
        return nn.Sequential(_transposed(layer), nn.ReLU(inplace=True)).eval()
    if layer.op == "linear":
        return nn.Linear(layer.weight[1], layer.weight[0]).eval()
    if layer.op == "matmul":
        return Product()
    if layer.op == "mean":
        adaptive = len(layer.inputs) == len(layer.output) == 4 and layer.inputs[:2] == layer.output[:2]
        return nn.AdaptiveAvgPool2d(layer.output[2:]) if adaptive else Mean(*mean_axes(layer))
    return pool_settings(layer).module(layer.op)


def inputs_of(layer: Layer, batch: int) -> list[Shape]:
    """The shapes of a layer's inputs for a batch: two for a product of activations, else one."""
    first = (batch * layer.inputs[0], *layer.inputs[1:])
    if layer.op != "matmul":
        return [first]
    outputs, inner = layer.weight
    return [first, (*first[:-2], inner, outputs) if len(first) > 2 else (inner, outputs)]


class Product(nn.Module):
    """A product of two activations."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x @ y


class Mean(nn.Module):
    """The mean over some axes."""

    def __init__(self, axes: Shape, keep: bool) -> None:
        super().__init__()
        self.axes = axes
        self.keep = keep

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.axes, keepdim=self.keep)


def convolution_settings(layer: Layer) -> tuple[Shape, Shape, Shape, int]:
    """Stride, padding, dilation and groups."""
    axes = len(layer.weight) - 2
    stride, padding, dilation = (layer.settings[i * axes : (i + 1) * axes] for i in range(3))
    return stride, padding, dilation, layer.settings[-1]


def output_padding(layer: Layer) -> Shape:
    """The output padding of a transposed convolution."""
    stride, padding, dilation, _ = convolution_settings(layer)
    return tuple(
        output - ((size - 1) * s - 2 * p + d * (kernel - 1) + 1)
        for output, size, kernel, s, p, d in zip(
            layer.output[2:], layer.inputs[2:], layer.weight[2:], stride, padding, dilation, strict=True
        )
    )


def _convolution(layer: Layer) -> nn.Module:
    make = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(layer.weight) - 3]
    return make(layer.inputs[1], layer.output[1], layer.weight[2:], *convolution_settings(layer))  # type: ignore[arg-type]


def _transposed(layer: Layer) -> nn.Module:
    make = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[len(layer.weight) - 3]
    stride, padding, dilation, groups = convolution_settings(layer)
    sizes = layer.inputs[1], layer.output[1], layer.weight[2:]
    return make(*sizes, stride, padding, output_padding(layer), groups, True, dilation)  # type: ignore[arg-type]


def pool_settings(layer: Layer) -> Pool:
    """Settings of a pooling that give its recorded output. Raises ``UserError`` when there are none."""
    x = torch.empty(layer.inputs, device="meta")
    for pool in _candidates(layer.settings):
        try:
            output = pool.module(layer.op)(x)
        except RuntimeError:
            continue
        if output.shape == layer.output:
            return pool
    raise UserError(f"--space: expected poolings that can be rebuilt, got {text(layer)}")


def _candidates(settings: tuple[int, ...]) -> Iterator[Pool]:
    """Settings that may have been recorded: a missing stride is the kernel, and rounding up is not recorded."""
    kernel, *rest = zip(settings[::2], settings[1::2], strict=True)
    for ceil in (False, True):
        if len(rest) == 2:
            yield Pool(kernel, rest[0], rest[1], ceil)
        elif len(rest) == 1:
            yield Pool(kernel, rest[0], (0, 0), ceil)
            yield Pool(kernel, kernel, rest[0], ceil)
        else:
            yield Pool(kernel, kernel, (0, 0), ceil)


def mean_axes(layer: Layer) -> tuple[Shape, bool]:
    """The axes of a mean, and whether they were kept. Raises ``UserError`` when none give its recorded output."""
    axes = range(len(layer.inputs))
    for count in range(1, len(layer.inputs) + 1):
        for chosen in itertools.combinations(axes, count):
            if layer.output == tuple(1 if i in chosen else n for i, n in enumerate(layer.inputs)):
                return chosen, True
            if layer.output == tuple(n for i, n in enumerate(layer.inputs) if i not in chosen):
                return chosen, False
    raise UserError(f"--space: expected means that can be rebuilt, got {text(layer)}")
