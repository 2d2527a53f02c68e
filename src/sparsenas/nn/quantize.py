"""Plain layers with quantized weights and inputs: activations by PACT, weights by DoReFa-Net.

Gradients pass the rounding unchanged (straight-through estimator).
"""

from __future__ import annotations

from abc import ABC
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsenas.errors import UserError

Pair = tuple[int, int]
"""Bits of the weights and bits of the activations."""

MOST_BITS = 16
ALPHA = 2.5
"""Initial clipping level: a compromise of 2 and 4 bits for the positive half of a normal distribution."""
SMALLEST = 1e-6


def check_bits(pair: Pair) -> None:
    """Raises ``UserError`` unless both bit widths are within 1 to 16."""
    if not all(1 <= bits <= MOST_BITS for bits in pair):
        raise UserError(f"bit widths: expected 1 to {MOST_BITS} bits, got {pair[0]}/{pair[1]}")


class _StraightThrough(torch.autograd.Function):
    """Returns ``value``; the gradient goes to ``x`` unchanged."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor) -> Tensor:
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


def _straight_through(x: Tensor, value: Tensor) -> Tensor:
    passed: Tensor = _StraightThrough.apply(x, value)  # type: ignore[no-untyped-call]
    return passed


def _only_shapes(x: Tensor) -> bool:
    """Whether a tensor has no values to round, as when costs are traced, where each operation takes time."""
    return x.device.type == "meta"


def quantize_activations(x: Tensor, alpha: Tensor, bits: int) -> Tensor:
    """Clips to [0, alpha] and rounds to ``2^bits`` evenly spaced levels, both ends included (PACT, Choi et al. 2018).

    Straight-through estimator: the gradient passes where 0 < x < alpha, and alpha gets that of all x >= alpha. A
    negative alpha, the result of a large step, counts as its absolute value.
    """
    if _only_shapes(x):
        return x
    levels = 2**bits - 1
    alpha = alpha.abs().clamp_min(SMALLEST)
    # Comparisons with NaN are false, so that NaN is passed on and found in the loss.
    clipped = torch.where(x >= alpha, alpha, x.relu())
    share = (clipped.detach() / alpha.detach() * levels).round() / levels
    return _straight_through(clipped, share * alpha.detach())


def quantize_weights(weight: Tensor, bits: int) -> Tensor:
    """Rounds to ``2^bits`` evenly spaced levels, symmetric about 0 (DoReFa-Net, Zhou et al. 2016).

    Several bits: tanh(w) / max|tanh(w)| on levels from -1 to 1; the gradient is that of the unrounded number.
    One bit: the mean of |w| with the sign of w; the gradient passes unchanged.
    """
    if _only_shapes(weight):
        return weight
    if bits == 1:
        size = weight.detach().abs().mean()
        return _straight_through(weight, torch.where(weight.detach() >= 0, size, -size))
    levels = 2**bits - 1
    squashed = weight.tanh()
    unit = squashed / squashed.abs().max().clamp_min(SMALLEST)
    step = ((unit.detach() + 1) * (levels / 2)).round()
    # Integers until the division, so that opposite levels differ in sign only.
    return _straight_through(unit, (2 * step - levels) / levels)


class Quantized(nn.Module, ABC):
    """A plain layer of fixed bit widths.

    Its weight is kept unrounded for training, until ``freeze_weights``.
    """

    bits: Pair
    alpha: nn.Parameter
    weight: Tensor
    frozen: bool

    def fix(self, bits: Pair) -> None:
        """Sets the bit widths. Raises ``UserError`` when they are out of range."""
        check_bits(bits)
        self.bits, self.frozen = bits, False
        self.alpha = nn.Parameter(torch.tensor(ALPHA))

    def take(self, weight: nn.Parameter, bias: nn.Parameter | None, alpha: nn.Parameter) -> Quantized:
        """Replaces the layer's parameters by these."""
        self.weight, self.alpha = weight, alpha
        self.register_parameter("bias", bias)
        return self

    def rounded_weight(self) -> Tensor:
        """The weight that the layer computes with."""
        return self.weight if self.frozen else quantize_weights(self.weight, self.bits[0])

    def rounded_input(self, x: Tensor) -> Tensor:
        """The input that the layer computes with."""
        return quantize_activations(x, self.alpha, self.bits[1])


class FixedQuantConv2d(nn.Conv2d, Quantized):
    """An ``nn.Conv2d`` with rounded weights on rounded inputs."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        bits: Pair,
        stride: int | tuple[int, int] = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        device: str | None = None,
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding, dilation, groups, bias, device=device)
        self.fix(bits)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self._conv_forward(self.rounded_input(x), self.rounded_weight(), self.bias)
        return y


class FixedQuantLinear(nn.Linear, Quantized):
    """An ``nn.Linear`` with rounded weights on rounded inputs."""

    def __init__(self, inputs: int, outputs: int, bits: Pair, bias: bool = True, device: str | None = None) -> None:
        super().__init__(inputs, outputs, bias, device=device)
        self.fix(bits)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.rounded_input(x), self.rounded_weight(), self.bias)


def freeze_weights(net: nn.Module) -> nn.Module:
    """Replaces, in place, the weights of quantized layers by the rounded ones, for export. Returns ``net``.

    The outputs of ``net`` do not change. Weights shared with another network are left alone. ``net`` can no longer be
    trained, and its ``state_dict`` no longer fits a network that was not frozen.
    """
    for module in net.modules():
        if isinstance(module, Quantized):
            module.weight = nn.Parameter(module.rounded_weight().detach().clone(), requires_grad=False)
            module.frozen = True
    return net
