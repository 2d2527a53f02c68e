"""Two ImageNet spaces of inverted residuals (MobileNetV2): those of ProxylessNAS and of FBNet."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import nn

from sparsenas.core.join import Join
from sparsenas.errors import UserError
from sparsenas.nn.blocks import Residual
from sparsenas.spaces.strides import kept_strides

PROXYLESS_WIDTHS = (24, 40, 80, 96, 192, 320)
PROXYLESS_DEPTHS = (4, 4, 4, 4, 4, 1)
PROXYLESS_STRIDES = (2, 2, 2, 1, 2, 1)
PROXYLESS_OPS = tuple((kernel, expansion) for kernel in (3, 5, 7) for expansion in (3, 6))

FBNET_STAGES = ((1, 16, 1), (4, 24, 2), (4, 32, 2), (4, 64, 2), (4, 112, 1), (4, 184, 2), (1, 352, 1))
"""Layers, channels and first stride of each stage."""
FBNET_OPS = tuple((kernel, *rest) for kernel in (3, 5) for rest in ((1, 1), (1, 2), (3, 1), (6, 1)))
"""Kernel, expansion and groups of the 1x1 convolutions."""


def proxyless(
    widths: tuple[int, ...] = PROXYLESS_WIDTHS, shape: tuple[int, int, int] = (3, 224, 224), classes: int = 1000
) -> nn.Sequential:
    """Builds the space of ProxylessNAS (Cai, Zhu, Han; ICLR 2019): 21 layers with 7^15 x 6^6 architectures.

    A 3x3 stem of 32 channels and a fixed inverted residual of 16 (kernel 3, no expansion) are followed by stages of 4,
    4, 4, 4, 4 and 1 layers, each of kernel 3, 5 or 7 and expansion 3 or 6. A layer that keeps its shape may also be
    skipped. The last layers are a 1x1 convolution of 1280 channels and the classifier. Activations are ReLU6; batch
    norm's epsilon is 1e-3. The operations are those of section 4.2 of the paper. Widths, depths, strides (2, 2, 2, 1,
    2, 1) and all other numbers are the defaults of the authors' search code (``imagenet_arch_search.py``,
    ``super_proxyless.py``). Their published networks are wider: Proxyless-R mobile has 32, 40, 80, 96, 192 and 320
    channels.

    The stem and four stages halve the image. Small images keep the last halvings only: 32x32 images are halved from the
    second stage on, 8x8 images by the fifth stage.

    Args:
        widths: output channels of the six stages.
        shape: channels, height and width of an image.
        classes: number of classes.
    """
    if len(widths) != len(PROXYLESS_DEPTHS):
        raise UserError(f"--space.widths: expected {len(PROXYLESS_DEPTHS)} numbers, one per stage, got {len(widths)}")
    first, *strides = kept_strides(shape, (2, *PROXYLESS_STRIDES))
    stem = (*_conv(shape[0], 32, 3, first), nn.ReLU6(inplace=True))
    fixed = (*_conv(32, 32, 3, groups=32), nn.ReLU6(inplace=True), *_conv(32, 16, 1))
    layers: list[nn.Module] = [nn.Sequential(*stem, *fixed)]
    stages = zip(PROXYLESS_DEPTHS, widths, strides, strict=True)
    for name, inputs, outputs, stride in _layers(16, list(stages)):
        ops = {f"k{k}_e{e}": _inverted(inputs, outputs, k, stride, e, relu=nn.ReLU6) for k, e in PROXYLESS_OPS}
        skip = {"skip": nn.Identity()} if stride == 1 and inputs == outputs else {}
        layers.append(Join.of(name, {**ops, **skip}))
    last = (*_conv(widths[-1], 1280, 1), nn.ReLU6(inplace=True))
    net = nn.Sequential(*layers, nn.Sequential(*last, *_classifier(1280, classes)))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3
    return _initialised(net)


def fbnet(last: int = 1504, shape: tuple[int, int, int] = (3, 224, 224), classes: int = 1000) -> nn.Sequential:
    """Builds the space of FBNet (Wu et al.; CVPR 2019): 22 layers of nine blocks each, 9^22 architectures.

    A 3x3 stem of 16 channels is followed by stages of 1, 4, 4, 4, 4, 4 and 1 layers with 16, 24, 32, 64, 112, 184 and
    352 channels, then by a 1x1 convolution and the classifier (table 1 of the paper). The first layers of the second,
    third, fourth and sixth stage halve the image. A block (table 2) is an inverted residual of kernel 3 or 5 and
    expansion 1, 3 or 6, with ReLU after the first two convolutions; ``_g2`` has 1x1 convolutions of two groups and a
    channel shuffle after the first. ``skip`` is the identity, or, where the shape changes, a 1x1 convolution with batch
    norm and ReLU. It and the place of the shuffle follow the authors' code (``maskrcnn-benchmark``,
    ``mobile-vision``).

    With 1504 channels in the last convolution, FBNet-A, B and C have within 1 % of the multiply-adds of the paper (249,
    295 and 375 M). The released B and C have 1984 channels.

    The stem and four stages halve the image. Small images keep the last halvings only: 32x32 images are halved from the
    third stage on, 8x8 images by the sixth stage.

    Args:
        last: channels of the last convolution.
        shape: channels, height and width of an image.
        classes: number of classes.
    """
    first, *strides = kept_strides(shape, (2, *(stride for *_, stride in FBNET_STAGES)))
    layers: list[nn.Module] = [nn.Sequential(*_conv(shape[0], 16, 3, first), nn.ReLU(inplace=True))]
    stages = [(depth, outputs, stride) for (depth, outputs, _), stride in zip(FBNET_STAGES, strides, strict=True)]
    for name, inputs, outputs, stride in _layers(16, stages):
        ops = {f"k{k}_e{e}{'_g2' * (g == 2)}": _inverted(inputs, outputs, k, stride, e, g) for k, e, g in FBNET_OPS}
        keeps = stride == 1 and inputs == outputs
        change = nn.Sequential(*_conv(inputs, outputs, 1, stride), nn.ReLU(inplace=True))
        layers.append(Join.of(name, {**ops, "skip": nn.Identity() if keeps else change}))
    head = (*_conv(FBNET_STAGES[-1][1], last, 1), nn.ReLU(inplace=True), *_classifier(last, classes))
    return _initialised(nn.Sequential(*layers, nn.Sequential(*head)))


def _layers(inputs: int, stages: list[tuple[int, int, int]]) -> Iterator[tuple[str, int, int, int]]:
    """Name, input and output channels and stride of each layer, from depth, channels and first stride of each stage."""
    number = 0
    for depth, outputs, first in stages:
        for i in range(depth):
            number += 1
            yield f"layer{number}", inputs, outputs, first if i == 0 else 1
            inputs = outputs


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> tuple[nn.Module, nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return conv, nn.BatchNorm2d(outputs)


def _inverted(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int,
    expansion: int,
    groups: int = 1,
    relu: Callable[[bool], nn.Module] = nn.ReLU,
) -> nn.Module:
    middle = inputs * expansion
    body = nn.Sequential(
        *(*_conv(inputs, middle, 1, groups=groups), relu(True)),
        *((nn.ChannelShuffle(groups),) if groups > 1 else ()),
        *(*_conv(middle, middle, kernel, stride, groups=middle), relu(True)),
        *_conv(middle, outputs, 1, groups=groups),
    )
    return Residual(body) if stride == 1 and inputs == outputs else body


def _classifier(inputs: int, classes: int) -> tuple[nn.Module, ...]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)


def _initialised(net: nn.Sequential) -> nn.Sequential:
    """Draws the convolutions as both papers' codes: normal, of variance 2 over outputs times kernel size."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return net
