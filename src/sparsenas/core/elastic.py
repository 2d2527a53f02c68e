"""Choosing channel numbers: weights are allocated once at the largest width and sliced.

SPOS's channel search: of a weight of shape (most out, most in, k, k), the slice ``[:out, :in]`` is used. All layers
with the same width share a ``Width`` in place of the number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparsenas.core.choice import Choice, Picks
from sparsenas.core.derive import Derivable
from sparsenas.core.gate import Gated
from sparsenas.errors import UserError


class Width(Gated, Derivable):
    """A choice among channel numbers. Pass it, in place of the number, to every layer with these channels."""

    def __init__(self, name: str, values: Sequence[int], labels: Sequence[str] | None = None) -> None:
        """Raises ``UserError`` unless ``values`` are positive and increasing."""
        if not values or list(values) != sorted(set(values)) or values[0] < 1:
            raise UserError(f"width {name!r}: expected increasing positive channel numbers, got {tuple(values)}")
        super().__init__(Choice(name, tuple(labels if labels is not None else map(str, values))))
        self.values = tuple(values)

    @property
    def value(self) -> int:
        """The channel number that is chosen now."""
        return self.values[self.gate.picks[0]]

    def active_choices(self) -> Iterator[tuple[str, Picks]]:
        """This choice."""
        yield self.choice.name, self.gate.picks

    def derived(self) -> nn.Module:
        """The chosen number, for modules that hold their ``Width``."""
        return ChosenWidth(self.value)


class Expansion(Gated, Derivable):
    """A choice among factors, in place of a ``Width``: so many times the channels of ``base``, rounded down."""

    def __init__(self, name: str, base: int | Width, factors: Sequence[float]) -> None:
        """Raises ``UserError`` unless ``factors`` are positive and increasing."""
        if not factors or list(factors) != sorted(set(factors)) or factors[0] <= 0:
            raise UserError(f"expansion {name!r}: expected increasing positive factors, got {tuple(factors)}")
        super().__init__(Choice(name, tuple(map(str, factors))))
        self.base, self.factors = base, tuple(factors)

    @property
    def value(self) -> int:
        """The channel number that is chosen now."""
        return int(now(self.base) * self.factors[self.gate.picks[0]])

    def active_choices(self) -> Iterator[tuple[str, Picks]]:
        """This choice, and that of the base."""
        yield self.choice.name, self.gate.picks
        if isinstance(self.base, Width):
            yield from self.base.active_choices()

    def derived(self) -> nn.Module:
        """The chosen number, for modules that hold their ``Expansion``."""
        return ChosenWidth(self.value)


class ChosenWidth(nn.Module):
    """The chosen number in a derived network, in place of the ``Width``."""

    def __init__(self, value: int) -> None:
        super().__init__()
        self.value = value


Channels = int | Width | Expansion
"""A number of channels, fixed or chosen."""


def most(channels: Channels) -> int:
    """The largest number of channels."""
    if isinstance(channels, Expansion):
        return int(most(channels.base) * channels.factors[-1])
    return channels.values[-1] if isinstance(channels, Width) else channels


def now(channels: Channels) -> int:
    """The number of channels that is chosen now."""
    return channels if isinstance(channels, int) else channels.value


def _alike(one: Channels, other: Channels) -> bool:
    """Whether two numbers are always equal: the same number, or one choice, which has one name."""
    if isinstance(one, Width) and isinstance(other, Width):
        return one.choice == other.choice and one.values == other.values
    if isinstance(one, Expansion) and isinstance(other, Expansion):
        return one.choice == other.choice and one.factors == other.factors and _alike(one.base, other.base)
    return one == other


class SliceConv2d(Derivable):
    """A 2-d convolution whose input or output channels may be a ``Width``; ``depthwise`` has one filter per channel."""

    def __init__(
        self,
        inputs: Channels,
        outputs: Channels,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        depthwise: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if depthwise and not _alike(inputs, outputs):
            told = [f"{one}" if isinstance(one, int) else f"width {one.choice.name}" for one in (inputs, outputs)]
            raise UserError(
                "SliceConv2d: expected the same channels as inputs and outputs, since it is depthwise, got "
                + " and ".join(told)
            )
        self.inputs, self.outputs, self.depthwise = inputs, outputs, depthwise
        groups = most(inputs) if depthwise else 1
        full = nn.Conv2d(most(inputs), most(outputs), kernel, stride, padding, dilation, groups, bias)
        self.stride, self.padding, self.dilation = full.stride, padding, dilation
        self.weight, self.bias = full.weight, full.bias

    def slices(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the chosen widths, as views of the full ones."""
        outputs, inputs = now(self.outputs), 1 if self.depthwise else now(self.inputs)
        return self.weight[:outputs, :inputs], None if self.bias is None else self.bias[:outputs]

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, *self.slices())

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution with a weight of the slice's shape."""
        groups = x.shape[1] if self.depthwise else 1
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, groups)

    def derived(self) -> nn.Module:
        """An ``nn.Conv2d`` of the chosen widths."""
        weight, bias = self.slices()
        inputs, outputs = now(self.inputs), now(self.outputs)
        conv = nn.Conv2d(
            inputs,
            outputs,
            weight.shape[-1],
            self.stride[0],
            self.padding,
            self.dilation,
            inputs if self.depthwise else 1,
            bias is not None,
            device="meta",  # without drawing weights
        )
        return filled(conv, weight, bias).train(self.training)


class SliceLinear(Derivable):
    """A linear layer whose input or output features may be a ``Width``."""

    def __init__(self, inputs: Channels, outputs: Channels, bias: bool = True) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        full = nn.Linear(most(inputs), most(outputs), bias)
        self.weight, self.bias = full.weight, full.bias

    def slices(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the chosen widths, as views of the full ones."""
        outputs = now(self.outputs)
        return self.weight[:outputs, : now(self.inputs)], None if self.bias is None else self.bias[:outputs]

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, *self.slices())

    def derived(self) -> nn.Module:
        """An ``nn.Linear`` of the chosen widths."""
        weight, bias = self.slices()
        linear = nn.Linear(now(self.inputs), now(self.outputs), bias is not None, device="meta")
        return filled(linear, weight, bias).train(self.training)


class SliceBatchNorm2d(Derivable):
    """Batch norm over a ``Width`` of channels; the derived one always has affine parameters.

    Running statistics mix all widths that were trained. Recalibrate them for the chosen one, as scoring does.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: Channels, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> None:
        super().__init__()
        self.features, self.eps, self.momentum = features, eps, momentum
        self.weight = nn.Parameter(torch.ones(most(features))) if affine else None
        self.bias = nn.Parameter(torch.zeros(most(features))) if affine else None
        self.register_buffer("running_mean", torch.zeros(most(features)))
        self.register_buffer("running_var", torch.ones(most(features)))

    def _affine(self) -> tuple[Tensor | None, Tensor | None]:
        n = now(self.features)
        return None if self.weight is None else self.weight[:n], None if self.bias is None else self.bias[:n]

    def forward(self, x: Tensor) -> Tensor:
        n = now(self.features)
        mean, var = self.running_mean[:n], self.running_var[:n]
        return F.batch_norm(x, mean, var, *self._affine(), self.training, self.momentum, self.eps)

    def derived(self) -> nn.Module:
        """An ``nn.BatchNorm2d`` of the chosen width with the statistics as they are."""
        n = now(self.features)
        mean, var = self.running_mean[:n].clone(), self.running_var[:n].clone()
        norm = nn.BatchNorm2d(n, self.eps, self.momentum, device=mean.device, dtype=mean.dtype)
        weight, bias = self._affine()
        if weight is not None:
            filled(norm, weight, bias)
        norm.running_mean, norm.running_var = mean, var
        return norm.train(self.training)


def filled(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """``layer`` with copies of these parameters."""
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None:
            layer.register_parameter(name, nn.Parameter(tensor.detach().clone(memory_format=torch.contiguous_format)))
    return layer
