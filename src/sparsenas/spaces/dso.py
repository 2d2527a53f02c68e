"""Completely connected blocks, in which every edge is optional (DSO-NAS; Zhang, Huang and Wang)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import floor

from torch import nn

from sparsenas.core.choice import Choice
from sparsenas.core.dag import Dag
from sparsenas.core.join import Join
from sparsenas.errors import UserError, check_at_least
from sparsenas.nn.auxiliary_head import AuxiliaryHead
from sparsenas.nn.blocks import DeepSequential, Sum
from sparsenas.spaces.strides import kept_strides

OPERATIONS = ("sep3", "sep5", "max3", "avg3")
"""The operations of a level, in order."""
LEVELS = 4
EPS = 2e-5
"""Of the batch norms."""
PUBLISHED_LEVELS, PUBLISHED_BLOCKS = 110, 24
"""Levels and blocks of the published network, for the drop-path rate of a block."""


def dso(
    width: int = 48,
    depth: int = 8,
    share: bool = False,
    input_scales: bool = False,
    dropout: float = 0.0,
    shape: tuple[int, int, int] = (3, 32, 32),
    classes: int = 10,
) -> DeepSequential:
    """Builds the space for small images: three stages of blocks; each has half the side and twice the channels.

    A block has 4 levels of 4 operations. An operation reads a sum of outputs of earlier levels and of the block's
    input. The block's output is a sum of 1x1 convolutions of operations' outputs. Every term of these sums is optional:
    124 edges per block, and 2 convolutions per reduction block. Operations without input or without use are left out.
    The architecture with all edges is the complete network.

    Args:
        width: channels of the first stage.
        depth: blocks of a stage.
        share: all blocks have the same edges.
        input_scales: edges from a block's input into its first level are optional too, as in the paper's equation. The
            released code always keeps them.
        dropout: dropout rate before the classifier, from 0 to below 1.
        shape: channels, height and width of an image.
        classes: number of classes.
    """
    check_at_least({"--space.depth": depth}, {"--space.depth": 1})
    strides = kept_strides(shape, (2, 2))
    stages = _stages(width, (depth,) * 3, strides, share, input_scales)
    return _network([_conv_bn(shape[0], width, 3, gain=True)], stages, 4 * width, dropout, classes)


def dso_imagenet(
    width: int = 28,
    depths: tuple[int, int, int, int] = (2, 2, 13, 6),
    share: bool = False,
    input_scales: bool = False,
    dropout: float = 0.0,
    shape: tuple[int, int, int] = (3, 224, 224),
    classes: int = 1000,
) -> DeepSequential:
    """Builds the space for large images: four stages of blocks as in ``dso``, after a stem that halves the image twice.

    Args:
        width: channels of the first stage.
        depths: blocks of each stage.
        share: all blocks have the same edges.
        input_scales: edges from a block's input into its first level are optional too, as in the paper's equation. The
            released code always keeps them.
        dropout: dropout rate before the classifier, from 0 to below 1.
        shape: channels, height and width of an image.
        classes: number of classes.
    """
    if min(depths) < 1:
        raise UserError(f"--space.depths: expected numbers >= 1, got {','.join(map(str, depths))}")
    first, second, *strides = kept_strides(shape, (2, 2, 2, 2, 2))
    half = width // 2
    stem = [_conv_bn(shape[0], half, 3, first, gain=True), _conv_bn(half, width, 3, second, gain=True)]
    stages = _stages(width, depths, strides, share, input_scales)
    return _network(stem, stages, 8 * width, dropout, classes)


def drop_shares(depths: Sequence[int]) -> list[float]:
    """The share of the drop-path rate of every block in order; it grows with depth.

    The released code counts levels: block u of stage s (from 0) begins at level l = floor(s D / 3) + 4 u of D = 110
    and has a share of (l + 1) / (D + 2), for 3 stages of 8 blocks. For other depths, D is 110 / 24 levels per block
    here, and a stage begins at the floor of D times the share of the blocks before it.
    """
    levels = PUBLISHED_LEVELS / PUBLISHED_BLOCKS
    starts = [floor(levels * sum(depths[:stage])) for stage in range(len(depths))]
    at = [start + LEVELS * block for start, depth in zip(starts, depths, strict=True) for block in range(depth)]
    return [(level + 1) / (levels * sum(depths) + 2) for level in at]


def _network(
    stem: Sequence[nn.Module], stages: Sequence[nn.Module], channels: int, dropout: float, classes: int
) -> DeepSequential:
    """The parts in a row; an auxiliary head reads the output of the last reduction block."""
    parts = [*stem, *stages, _head(channels, dropout, classes)]
    deep = max(i for i, part in enumerate(parts) if isinstance(part, Join))
    net = DeepSequential(*parts, deep=deep, auxiliary=AuxiliaryHead(channels, classes, first_norm=True, eps=EPS))
    net.apply(_start)
    return net


def _stages(
    width: int, depths: Sequence[int], strides: Sequence[int], share: bool, input_scales: bool
) -> list[nn.Module]:
    """All blocks of all stages, and the reduction blocks between them."""
    check_at_least({"--space.width": width}, {"--space.width": 2})
    layers: list[nn.Module] = []
    drops = iter(drop_shares(depths))
    for i, depth in enumerate(depths):
        channels = width * 2**i
        if i > 0:
            layers.append(_reduction(f"reduce{i}", channels // 2, strides[i - 1]))
        for j in range(depth):
            name = "" if share else f"stage{i + 1}.block{j + 1}."
            layers.append(_block(name, channels, j == 0, input_scales, next(drops)))
    return layers


def _block(name: str, channels: int, first: bool, input_scales: bool, drop: float) -> Dag:
    """A block. Positions: 0 is the input, then the operations level by level, then the sum of their outputs."""
    labels = ["input", *(f"level{i + 1}.{op}" for i in range(LEVELS) for op in OPERATIONS)]
    joins: list[Join | Sum] = []
    for level, (start, end) in enumerate(pairwise(range(1, len(labels) + 1, len(OPERATIONS)))):
        sources = range(max(1, start))
        for label in labels[start:end]:
            if level == 0 and not input_scales:
                joins.append(Sum([nn.Identity()], [0]))
            else:
                joins.append(_edges(name + label, labels[:start], [nn.Identity() for _ in sources], sources, drop))
    pointwise = [nn.Conv2d(channels, channels, 1, bias=False) for _ in labels[1:]]
    joins.append(_edges(f"{name}output", labels[1:], pointwise, range(1, len(labels)), drop))
    ops: list[nn.Module] = [make(channels) for _ in range(LEVELS) for make in _MAKE.values()]
    ops.append(nn.Sequential(_norm(channels), nn.ReLU(inplace=True)))
    shortcut = _conv_bn(channels, channels, 1) if first else nn.Identity()
    return Dag(1, joins, Sum([shortcut, nn.Identity()], [0, len(labels)]), ops, (*OPERATIONS * LEVELS, "sum"))


def _edges(name: str, labels: Sequence[str], ops: Sequence[nn.Module], sources: Sequence[int], drop: float) -> Join:
    return Join(Choice(name, tuple(labels), 0, len(labels)), ops, sources, drop)


def _reduction(name: str, channels: int, stride: int) -> Join:
    """Doubles the channels by a 1x1 and a 3x3 convolution, or by one of them."""
    ops = {f"conv{kernel}": _conv_bn(channels, 2 * channels, kernel, stride) for kernel in (1, 3)}
    return Join.of(name, ops, 1, 2)


def _separable(channels: int, kernel: int) -> nn.Sequential:
    depthwise = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
    return nn.Sequential(depthwise, *_conv_bn(channels, channels, 1))


def _pooled(pool: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(pool, _norm(channels, gain=False), nn.ReLU(inplace=True))


_MAKE: dict[str, Callable[[int], nn.Module]] = {
    "sep3": lambda channels: _separable(channels, 3),
    "sep5": lambda channels: _separable(channels, 5),
    "max3": lambda channels: _pooled(nn.MaxPool2d(3, 1, 1), channels),
    "avg3": lambda channels: _pooled(nn.AvgPool2d(3, 1, 1), channels),
}


def _conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, gain: bool = False) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, _norm(outputs, gain), nn.ReLU(inplace=True))


def _norm(channels: int, gain: bool = True) -> nn.BatchNorm2d:
    """Batch norm. Without ``gain`` its scale is 1 until the network is derived, since edges have scales."""
    norm = nn.BatchNorm2d(channels, eps=EPS)
    norm.weight.requires_grad_(gain)
    return norm


def _head(channels: int, dropout: float, classes: int) -> nn.Sequential:
    if not 0 <= dropout < 1:
        raise UserError(f"--space.dropout: expected at least 0 and below 1, got {dropout}")
    pooled = _norm(channels), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    dropped = [nn.Dropout(dropout)] if dropout > 0 else []
    return nn.Sequential(*pooled, *dropped, nn.Linear(channels, classes))


def _start(module: nn.Module) -> None:
    """The initial weights of the released code."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)
