"""Choosing bit widths, to which weights and activations are quantized.

SPOS's mixed-precision search: activations by PACT, weights by DoReFa-Net, both with straight-through gradients. All
layers with the same bit widths share a ``Bits`` in place of the pair.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsenas.core.choice import Choice, Picks
from sparsenas.core.derive import Derivable
from sparsenas.core.elastic import SliceConv2d, SliceLinear, Width
from sparsenas.core.gate import Gated
from sparsenas.errors import UserError
from sparsenas.nn.quantize import (
    ALPHA,
    FixedQuantConv2d,
    FixedQuantLinear,
    Pair,
    Quantized,
    check_bits,
    quantize_activations,
    quantize_weights,
)


class Bits(Gated, Derivable):
    """A choice among pairs of (weight bits, activation bits), labelled ``w1a2`` and so on.

    Pass it, in place of the pair, to every layer that shares the choice.
    """

    def __init__(self, name: str, pairs: Sequence[Pair]) -> None:
        """Raises ``UserError`` unless all bit widths are within 1 to 16 and the pairs distinct."""
        for pair in pairs:
            check_bits(pair)
        super().__init__(Choice(name, tuple(f"w{weights}a{activations}" for weights, activations in pairs)))
        self.pairs = tuple(pairs)

    @property
    def value(self) -> Pair:
        """The pair that is chosen now."""
        return self.pairs[self.gate.picks[0]]

    def active_choices(self) -> Iterator[tuple[str, Picks]]:
        """This choice."""
        yield self.choice.name, self.gate.picks

    def derived(self) -> nn.Module:
        """The chosen pair, for modules that hold their ``Bits``."""
        return ChosenBits(self.value)


class ChosenBits(nn.Module):
    """The chosen pair in a derived network, in place of the ``Bits``."""

    def __init__(self, value: Pair) -> None:
        super().__init__()
        self.value = value


def parse_pairs(text: str) -> tuple[Pair, ...]:
    """Reads pairs such as ``1/2,4/4``: bits of the weights / bits of the activations. Raises ``UserError``."""
    found = [re.fullmatch(r"\s*([0-9]+)/([0-9]+)\s*", word) for word in text.split(",")]
    pairs = tuple((int(match[1]), int(match[2])) for match in found if match)
    if len(pairs) != len(found) or len(set(pairs)) != len(pairs):
        raise UserError(f"bit widths: expected distinct weight/activation pairs such as 1/2,4/4, got {text!r}")
    for pair in pairs:
        check_bits(pair)
    return pairs


def _now(bits: Pair | Bits) -> Pair:
    return bits.value if isinstance(bits, Bits) else bits


class QuantConv2d(Derivable):
    """A ``SliceConv2d`` with quantized weights and inputs; the bit widths may be a ``Bits``.

    Inputs are clipped to [0, alpha], so the layer includes a ReLU. A layer learns one alpha; all bit widths share it,
    as they share the weights.
    """

    def __init__(
        self,
        inputs: int | Width,
        outputs: int | Width,
        kernel: int,
        bits: Pair | Bits,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        depthwise: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.bits = bits
        self.layer = SliceConv2d(inputs, outputs, kernel, stride, padding, dilation, depthwise, bias)
        self.alpha = nn.Parameter(torch.tensor(ALPHA))

    def forward(self, x: Tensor) -> Tensor:
        weight_bits, activation_bits = _now(self.bits)
        weight, bias = self.layer.slices()
        x = quantize_activations(x, self.alpha, activation_bits)
        return self.layer.convolve(x, quantize_weights(weight, weight_bits), bias)

    def derived(self) -> nn.Module:
        """A ``FixedQuantConv2d`` of the chosen bits and widths."""
        layer = self.layer
        weight, bias = layer.slices()
        outputs, inputs, *kernel = weight.shape
        groups = outputs if layer.depthwise else 1
        fixed = FixedQuantConv2d(
            inputs * groups,
            outputs,
            (kernel[0], kernel[1]),
            _now(self.bits),
            (layer.stride[0], layer.stride[1]),
            layer.padding,
            layer.dilation,
            groups,
            bias is not None,
            device="meta",
        )
        return fixed.take(*_parameters(layer), self.alpha).train(self.training)


class QuantLinear(Derivable):
    """A ``SliceLinear`` with quantized weights and inputs, as ``QuantConv2d``."""

    def __init__(self, inputs: int | Width, outputs: int | Width, bits: Pair | Bits, bias: bool = True) -> None:
        super().__init__()
        self.bits = bits
        self.layer = SliceLinear(inputs, outputs, bias)
        self.alpha = nn.Parameter(torch.tensor(ALPHA))

    def forward(self, x: Tensor) -> Tensor:
        weight_bits, activation_bits = _now(self.bits)
        weight, bias = self.layer.slices()
        return F.linear(
            quantize_activations(x, self.alpha, activation_bits), quantize_weights(weight, weight_bits), bias
        )

    def derived(self) -> nn.Module:
        """A ``FixedQuantLinear`` of the chosen bits and widths."""
        weight, bias = self.layer.slices()
        outputs, inputs = weight.shape
        fixed = FixedQuantLinear(inputs, outputs, _now(self.bits), bias is not None, device="meta")
        return fixed.take(*_parameters(self.layer), self.alpha).train(self.training)


def _parameters(layer: SliceConv2d | SliceLinear) -> tuple[nn.Parameter, nn.Parameter | None]:
    weight, bias = layer.slices()
    return _whole(weight, layer.weight), None if bias is None else _whole(bias, layer.bias)


def _whole(part: Tensor, full: Tensor | None) -> nn.Parameter:
    """A slice as a parameter: the full parameter itself if the slice is all of it, so that it can be shared."""
    assert isinstance(full, nn.Parameter)
    return full if part.shape == full.shape else nn.Parameter(part.detach().clone(), full.requires_grad)


def alphas(net: nn.Module) -> list[nn.Parameter]:
    """The learned clipping levels of a network, searched or derived. PACT decays them as it decays weights."""
    return [module.alpha for module in net.modules() if isinstance(module, QuantConv2d | QuantLinear | Quantized)]
