"""Auxiliary heads: a second classifier inside a network, for training only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn
from torch.nn import functional


class Outputs(NamedTuple):
    """The output of a network in training, and that of its auxiliary head."""

    main: Tensor
    auxiliary: Tensor


class AuxiliaryHead(NamedTuple):
    """The layers of an auxiliary head: pooling to 2x2 pixels, a 1x1 and a 2x2 convolution, a linear layer (DARTS).

    DSO-NAS has a batch norm before them. DARTS and ISTA-NAS have none after the second convolution on ImageNet.
    DSO-NAS's last pooling is left out: it would average a single pixel.
    """

    channels: int
    """Channels of the features."""
    classes: int
    first_norm: bool = False
    """Whether a batch norm comes first."""
    last_norm: bool = True
    """Whether a batch norm follows the second convolution."""
    eps: float = 1e-5
    """Of the batch norms."""

    def build(self) -> nn.Sequential:
        """A new head."""
        return nn.Sequential(*self._layers())

    def _layers(self) -> Iterator[nn.Module]:
        if self.first_norm:
            yield nn.BatchNorm2d(self.channels, self.eps)
        yield from (nn.ReLU(), _ToFour())
        yield from (nn.Conv2d(self.channels, 128, 1, bias=False), nn.BatchNorm2d(128, self.eps), nn.ReLU(inplace=True))
        yield nn.Conv2d(128, 768, 2, bias=False)
        if self.last_norm:
            yield nn.BatchNorm2d(768, self.eps)
        yield from (nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(768, self.classes))


@runtime_checkable
class Deep(Protocol):
    """A network that offers features to an auxiliary head."""

    auxiliary: AuxiliaryHead
    """The layers of its head."""

    def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features."""
        ...


class WithAuxiliary(nn.Module):
    """A network and its auxiliary head.

    In training ``forward`` returns the logits of both, else those of ``net``. The head is no part of ``net``, so
    ``net`` is what is kept, counted and exported.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        assert isinstance(net, Deep)
        self.net: nn.Module = net
        self.auxiliary = net.auxiliary.build()

    def forward(self, x: Tensor) -> Tensor | Outputs:
        if not self.training:
            logits: Tensor = self.net(x)
            return logits
        assert isinstance(self.net, Deep)
        logits, features = self.net.with_features(x)
        return Outputs(logits, self.auxiliary(features))


class _ToFour(nn.Module):
    """Average pooling to 2x2 pixels; over 5x5 pixels, as published, where the image is large enough."""

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        if min(height, width) < 6:
            return functional.adaptive_avg_pool2d(x, 2)
        return functional.avg_pool2d(x, 5, (height - 5, width - 5))
