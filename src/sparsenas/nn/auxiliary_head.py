"""A second classifier inside a network, for training only."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn
from torch.nn import functional

from sparsenas.errors import UserError

Output = Tensor | tuple[Tensor, Tensor]
"""What a network gives in training: logits, or those and an auxiliary head's."""


@runtime_checkable
class Deep(Protocol):
    """A network whose features on the way an auxiliary head can read."""

    deep_channels: int
    classes: int

    def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and features of ``deep_channels`` channels."""
        ...


class WithAuxiliary(nn.Module):
    """A network and, for training only, a second classifier that reads features on the way (DARTS).

    In training ``forward`` returns both logits, else those of ``net``. The second classifier is no part of ``net``,
    so ``net`` is what is kept, counted and exported.
    """

    def __init__(self, net: nn.Module) -> None:
        """Raises ``UserError`` for a network that does not offer features."""
        super().__init__()
        if not isinstance(net, Deep):
            raise UserError(
                "recipe: auxiliary > 0 needs a network with features for an auxiliary head, as in the spaces darts and "
                f"dso; {type(net).__name__} has no with_features"
            )
        self.net: nn.Module = net
        self.auxiliary = nn.Sequential(
            *(nn.ReLU(), _ToFour()),
            *(nn.Conv2d(net.deep_channels, 128, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU(inplace=True)),
            *(nn.Conv2d(128, 768, 2, bias=False), nn.BatchNorm2d(768), nn.ReLU(inplace=True)),
            *(nn.Flatten(), nn.Linear(768, net.classes)),
        )

    def forward(self, x: Tensor) -> Output:
        if not self.training:
            logits: Tensor = self.net(x)
            return logits
        assert isinstance(self.net, Deep)
        logits, features = self.net.with_features(x)
        return logits, self.auxiliary(features)


class _ToFour(nn.Module):
    """Average pooling to 2x2 pixels: over 5x5 as published, where the image is that large."""

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        if min(height, width) < 6:
            return functional.adaptive_avg_pool2d(x, 2)
        return functional.avg_pool2d(x, 5, (height - 5, width - 5))
