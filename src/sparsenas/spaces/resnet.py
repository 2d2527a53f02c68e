"""ResNet-18 and ResNet-34 with searched bit widths (SPOS, mixed-precision search)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sparsenas.core.elastic import SliceBatchNorm2d, Width
from sparsenas.core.quant_choice import Bits, QuantConv2d, parse_pairs
from sparsenas.errors import check_at_least
from sparsenas.spaces.strides import kept_strides

PAIRS = "1/2,2/2,1/4,2/4,3/4,4/4"
"""The published options, weight bits / activation bits."""
EXPANSIONS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)
"""The published middle widths of channel search."""
STRIDES = (2, 2, 2, 2, 2)
"""Of the stem, the pooling, and the second to fourth stage."""


def resnet18(
    pairs: str = PAIRS,
    widths: bool = False,
    width: int = 64,
    shape: tuple[int, int, int] = (3, 224, 224),
    classes: int = 1000,
) -> nn.Sequential:
    """Builds ResNet-18 with a choice of bit widths for every residual block.

    All convolutions of a block, its shortcut included, have the block's weight and activation bits. The first
    convolution and the classifier keep full precision. With one pair of bit widths the network is a uniform baseline.
    The first convolution, the pooling and the second to fourth stage halve the image. Small images keep the last
    halvings only, so that 4 pixels are left along the shorter side: three stages at 32x32, the fourth at 8x8. A first
    convolution that does not halve the image has kernel 3, not 7; a pooling that does not is left out.

    Args:
        pairs: options of each block, weight bits / activation bits.
        widths: also choose the middle channels of each block, 0.2 to 1.6 times those of its output.
        width: channels of the first stage; each later one has twice as many.
        shape: channels, height and width of an image.
        classes: number of classes.
    """
    return _resnet((2, 2, 2, 2), pairs, widths, width, shape, classes)


def resnet34(
    pairs: str = PAIRS,
    widths: bool = False,
    width: int = 64,
    shape: tuple[int, int, int] = (3, 224, 224),
    classes: int = 1000,
) -> nn.Sequential:
    """Builds ResNet-34 with a choice of bit widths for every residual block, as ``resnet18``.

    Args:
        pairs: options of each block, weight bits / activation bits.
        widths: also choose the middle channels of each block, 0.2 to 1.6 times those of its output.
        width: channels of the first stage; each later one has twice as many.
        shape: channels, height and width of an image.
        classes: number of classes.
    """
    return _resnet((3, 4, 6, 3), pairs, widths, width, shape, classes)


class BasicBlock(nn.Module):
    """ResNet's block of two convolutions: ReLU(shortcut(x) + body(x))."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu(self.shortcut(x) + self.body(x))
        return y


def _resnet(
    depths: Sequence[int], pairs: str, widths: bool, width: int, shape: tuple[int, int, int], classes: int
) -> nn.Sequential:
    check_at_least({"--space.width": width}, {"--space.width": 1})
    choice = parse_pairs(pairs)
    strides = kept_strides(shape, STRIDES)
    layers: list[nn.Module] = [_stem(shape[0], width, *strides[:2])]
    inputs = width
    for stage, depth in enumerate(depths):
        outputs = width * 2**stage
        for i in range(depth):
            name = f"block{len(layers)}"
            stride = strides[stage + 1] if stage and i == 0 else 1
            middle = _middle(name, outputs) if widths else outputs
            layers.append(_block(inputs, middle, outputs, Bits(f"{name}.bits", choice), stride))
            inputs = outputs
    return nn.Sequential(*layers, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)))


def _stem(inputs: int, outputs: int, stride: int, pool: int) -> nn.Sequential:
    kernel = 7 if stride == 2 else 3
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]
    return nn.Sequential(*layers, nn.MaxPool2d(3, pool, 1)) if pool == 2 else nn.Sequential(*layers)


def _middle(name: str, outputs: int) -> Width:
    values = [round(outputs * e) for e in EXPANSIONS]
    return Width(f"{name}.width", values, [f"{e}x" for e in EXPANSIONS])


def _block(inputs: int, middle: int | Width, outputs: int, bits: Bits, stride: int) -> BasicBlock:
    # Without ReLU between the two: a quantized convolution clips its input at 0.
    body = nn.Sequential(
        QuantConv2d(inputs, middle, 3, bits, stride, padding=1, bias=False),
        SliceBatchNorm2d(middle),
        QuantConv2d(middle, outputs, 3, bits, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
    )
    if stride == 1 and inputs == outputs:
        return BasicBlock(body, nn.Identity())
    shortcut = nn.Sequential(QuantConv2d(inputs, outputs, 1, bits, stride, bias=False), nn.BatchNorm2d(outputs))
    return BasicBlock(body, shortcut)
